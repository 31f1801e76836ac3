/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Thaw guard - thaws a container that should run and was left frozen (R17)
 *
 * CRIU and runc freeze a container's group. They may hang, die, or put the group back into the
 * state that they found, frozen, long after everybody has stopped waiting for them. The guard is a
 * thread of its own that waits for nobody. It only looks at the groups of containers for which such
 * a program may still live. It thaws a group that is frozen at two looks in succession although its
 * container should run. This happens at the latest THAW_GUARD_MS after each freeze.
 *
 *     thaw_guard_watch()        the container is there, and runs
 *     thaw_guard_left()         before that: a process of a predecessor's cut still lives
 *     thaw_guard_may_freeze()   a cut begins
 *     thaw_guard_must_run()     the cut is over, or a container held after it may run again (R6).
 *                               It is thawed, and guarded
 *     thaw_guard_rest()         all processes of that cut have ended; once for each
 *                               thaw_guard_may_freeze(). After the last one a freeze is
 *                               intended (docker pause)
 *
 * All calls may be made from any thread, and none of them waits for more than a look of the guard.
 */

#include <sys/types.h>

#include "base/auto.h"

struct cgroup_freezer;
struct err;
struct thaw_guard;

/* From the freeze until the guard has thawed, unless the guard's thread gets no CPU */
#define THAW_GUARD_MS 1000

/* Containers watched at a time (R9); beyond it thaw_guard_watch() fails */
#define THAW_GUARD_MAX 4096

/**
 * thaw_guard_new() - Start the guard
 * @ret:	Set on success only; the caller owns it, see thaw_guard_free()
 * @thawed:	Called on the guard's thread when a container had to be thawed, with @reason NULL,
 *		or could not be, with the @reason; each once until it has been seen running. @id is
 *		its freezer's file if its id is not known. It must not call the guard; may be NULL
 * @ctx:	Handed to @thawed
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int thaw_guard_new(struct thaw_guard **ret,
		   void (*thawed)(void *ctx, const char *id, const char *reason), void *ctx,
		   struct err *err);

/** thaw_guard_free() - Stop the guard; all groups stay as they are. @g may be NULL. Return: NULL */
struct thaw_guard *thaw_guard_free(struct thaw_guard *g);

AUTO_DEFINE(thaw_guard)

/**
 * thaw_guard_watch() - Watch a container, which is to run from now on, and thaw it
 * @g:		Guard
 * @id:		Full id of the container, copied; its group must have it in its name
 * @pid:	of its first process
 * @err:	Filled in on failure
 *
 * Return: 0 (also if it is watched already), -ENOENT if the process is not of that container,
 * -ENOSPC beyond THAW_GUARD_MAX, or another negative error code
 */
int thaw_guard_watch(struct thaw_guard *g, const char *id, pid_t pid, struct err *err);

/**
 * thaw_guard_left() - A process of a predecessor's cut still lives, and may freeze a group
 * @g:		Guard, or NULL
 * @freezer:	Of the group, copied. The container of that group, watched or not yet, is guarded
 *		for ever
 *
 * Return: 0 (also if it is known already), -ENOSPC beyond THAW_GUARD_MAX, or -ENOMEM
 */
int thaw_guard_left(struct thaw_guard *g, const struct cgroup_freezer *freezer);

/** thaw_guard_forget() - Watch a container no more; one that is not watched is no error */
void thaw_guard_forget(struct thaw_guard *g, const char *id);

/**
 * thaw_guard_may_freeze() - From now on a container may be frozen, by a program that may hang; @g
 * may be NULL
 */
void thaw_guard_may_freeze(struct thaw_guard *g, const char *id);

/**
 * thaw_guard_must_run() - From now on a container should run: it is thawed at once, in the calling
 * thread
 * @g:		Guard, or NULL
 * @id:		Container
 *
 * Return: 0, -ENOENT if it is not watched, or another negative error code if it could not be
 * thawed: the guard keeps trying
 */
int thaw_guard_must_run(struct thaw_guard *g, const char *id);

/** thaw_guard_rest() - The programs of one thaw_guard_may_freeze() have ended; @g may be NULL */
void thaw_guard_rest(struct thaw_guard *g, const char *id);
