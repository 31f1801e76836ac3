/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checkpoint - T1: the memory and process state of a container, saved while it stays (R2, R3)
 *
 * CRIU is started early (by `runc checkpoint --leave-running`) and waits in its pre-dump hook,
 * where nothing has been touched yet. So its start costs no frozen time. Then:
 *
 *     checkpoint_begin()   runc and CRIU start ........... hook pre-dump: waits for us
 *     checkpoint_freeze()  freeze the cgroup
 *     checkpoint_dump()    let CRIU go: it finds the tasks frozen and need not poll for it
 *                          hook network-lock ............. CRIU dumps; we run frozen(first)
 *                          hook post-dump ................ CRIU waits; we run frozen(last)
 *                          hook network-unlock ........... CRIU lets go, we thaw, or hold (R6)
 *     checkpoint_thaw()    CRIU has ended, or is ended; the tasks run, unless it holds
 *
 * A hook that is told "no" makes CRIU undo its work and leave the tasks as they were. In this way a
 * failed layer copy or a cancellation ends a dump that has begun. A CRIU that is silent for 5 s, or
 * does not obey a "no" for 3 s, both times the patience, is killed with all processes that it
 * started. The tasks are thawed when it is gone (R17): its parasite code in them ends by itself
 * when it loses its master.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"

struct err;
struct checkpoint;
struct thaw_guard;

/**
 * struct checkpoint_config - A container and the tools to dump it; borrowed for checkpoint_begin()
 * @container:	full id
 * @pid:	of its first process
 * @runc_root:	runc's state directory of this container
 * @prefix:	@prefix/bin is put first in PATH
 * @cut_hook:	path of baton-cut-hook
 * @store:	path of baton-store, which tar is to find as gzip; NULL: the real one
 * @dir:	work directory, made here with mode 0700; should be on tmpfs
 * @guard:	told when the tasks may be frozen and when not; borrowed as long as the checkpoint,
 *		or NULL
 * @cancel_fd:	ends everything when readable, as soon as that is safe; or -1
 * @patience:	factor for all waits for CRIU and runc; 0: 1
 * @remap:	runc must be told to carry files without a name, see migration_runc_remaps()
 * @hold:	leave the tasks frozen after a dump that is good (R6); cgroup_thaw() is the caller's
 * @late:	TEST ONLY: call frozen() after the thaw
 */
struct checkpoint_config {
	const char *container;
	pid_t pid;
	const char *runc_root;
	const char *prefix;
	const char *cut_hook;
	const char *store;
	const char *dir;
	struct thaw_guard *guard;
	int cancel_fd;
	uint32_t patience;
	bool remap;
	bool hold;
	bool late;
};

/** struct checkpoint_result - Times and bytes of the cut */
struct checkpoint_result {
	uint64_t freeze_us; /* from asking for the freeze until the thaw */
	uint64_t dump_us;   /* from there until runc had ended */
	uint64_t last_us;   /* of it, in frozen(last) */
	uint64_t bytes;     /* of all image files */
};

/**
 * checkpoint_frozen() - Called twice while the tasks are frozen
 * @ctx:	Given at checkpoint_dump()
 * @last:	false: CRIU is still dumping; true: all files that it leaves in the file system are there
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code, which ends the dump without a result
 */
typedef int (*checkpoint_frozen)(void *ctx, bool last, struct err *err);

/**
 * checkpoint_begin() - Start CRIU and have it wait before it touches anything
 * @ret:	Set on success only; the caller owns it, see checkpoint_free()
 * @config:	Container and tools
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int checkpoint_begin(struct checkpoint **ret, const struct checkpoint_config *config,
		     struct err *err);

/*
 * A cut: freeze, dump, thaw, each once and in this order, see source_cut().
 */

/**
 * checkpoint_freeze() - Freeze all tasks of the container
 * @c:		From checkpoint_begin()
 * @err:	Filled in on failure; checkpoint_thaw() is owed then, too
 *
 * Return: 0, -EBUSY if there is a task that CRIU would hang on, or another negative error code
 */
int checkpoint_freeze(struct checkpoint *c, struct err *err);

/**
 * checkpoint_dump() - Have CRIU write the tasks' memory
 * @c:		Frozen
 * @frozen:	Called in the calling thread
 * @ctx:	Handed to it
 * @result:	Filled in as far as it goes
 * @err:	Filled in on failure
 *
 * CRIU's last hook ends the freeze: it thaws them, unless the checkpoint holds.
 *
 * Return: 0, or negative error code
 */
int checkpoint_dump(struct checkpoint *c, checkpoint_frozen frozen, void *ctx,
		    struct checkpoint_result *result, struct err *err);

/**
 * checkpoint_thaw() - Make sure that the tasks run, unless it is @good and holds (R6)
 * @c:		After checkpoint_freeze(), also a failed one
 * @good:	Freeze and dump were; otherwise CRIU is ended, and undoes its work
 * @result:	Its times are filled in
 */
void checkpoint_thaw(struct checkpoint *c, bool good, struct checkpoint_result *result);

/**
 * checkpoint_close() - Make the images root's alone, and measure them
 *
 * TEST ONLY: @late checkpoints snapshot the layer here.
 *
 * Return: 0, or negative error code of @frozen
 */
int checkpoint_close(struct checkpoint *c, checkpoint_frozen frozen, void *ctx,
		     struct checkpoint_result *result, struct err *err);

/** checkpoint_images() - Directory of the image files. Return: valid as long as @c */
const char *checkpoint_images(const struct checkpoint *c);

/**
 * checkpoint_free() - Stop it if it runs, thaw, remove all its files
 * @c:		Checkpoint, or NULL
 *
 * The files stay if one of its programs sleeps in the kernel and cannot be ended, for
 * checkpoint_clean().
 *
 * Return: NULL, always
 */
struct checkpoint *checkpoint_free(struct checkpoint *c);

AUTO_DEFINE(checkpoint)

/**
 * checkpoint_clean() - Clean up a work directory after a predecessor that was killed
 * @dir:	Directory given as @dir then; runc and CRIU that still work there are ended, and a
 *		container that is still frozen is thawed
 * @guard:	Told of a container that may be frozen again, since one of them cannot be ended; or
 *		NULL
 * @err:	Filled in on failure
 *
 * Return: 0, -ETIMEDOUT if one of them sleeps in the kernel and cannot be
 * ended: the directory stays, so that it is found again; or another negative error code
 */
int checkpoint_clean(const char *dir, struct thaw_guard *guard, struct err *err);

/**
 * checkpoint_log_reason() - Find the first error in a log of CRIU
 * @path:	Log file
 * @to:		Set to it, or to "" if there is none
 * @size:	Room there
 */
void checkpoint_log_reason(const char *path, char *to, size_t size);

/**
 * checkpoint_write_config() - Write the options CRIU takes at dump and restore
 * @path:	File to write, 0600
 * @action_script:	Hook, or NULL
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int checkpoint_write_config(const char *path, const char *action_script, struct err *err);
