/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Control groups - freeze and thaw all processes of a container, read its memory use
 *
 * Version 1 (one hierarchy for each controller) and 2 (one for all), whichever the container's
 * engine uses.
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/**
 * struct cgroup_freezer - How a container is frozen
 * @file:	written to freeze and thaw
 * @v2:		cgroup.freeze and cgroup.events rather than freezer.state
 */
struct cgroup_freezer {
	char file[PATH_MAX];
	bool v2;
};

/** cgroup_unified() - Whether this host has version 2 only */
bool cgroup_unified(void);

/**
 * cgroup_find() - The directory of the group that a process is in
 * @to:		Set to it
 * @pid:	Process
 * @controller:	Of version 1, where this host has it there
 * @v2:		Set to whether it is one of version 2
 *
 * Return: 0, or negative error code
 */
int cgroup_find(char to[PATH_MAX], pid_t pid, const char *controller, bool *v2);

/**
 * cgroup_read() - Read a file of the group that a process is in
 * @pid, @controller:	As for cgroup_find()
 * @files:	Its name in version 1 and in version 2; NULL: there is none
 * @to:		Set to its beginning as text
 * @size:	Room there
 *
 * Return: whether it could be read
 */
bool cgroup_read(pid_t pid, const char *controller, const char *const files[2], char *to,
		 size_t size);

#define CGROUP_LIST_MAX                                                                            \
	512 /* bytes of a list of hierarchies, with its end; further ones are left out */

/**
 * cgroup_version() - Which version of control groups this host has
 * @hierarchies:	Set to the hierarchies of version 1, each as the kernel says it
 *			("cpu,cpuacct"), with blanks between; a container has a mount of each
 *
 * Return: "v1", "v2", or "hybrid": version 1, and version 2 beside it
 */
const char *cgroup_version(char hierarchies[CGROUP_LIST_MAX]);

/** cgroup_version_parse() - The same from the text of a /proc/PID/cgroup */
const char *cgroup_version_parse(char hierarchies[CGROUP_LIST_MAX], const char *text);

/**
 * cgroup_freezer_find() - Find the freezer of the group a process is in
 * @to:		Filled in on success
 * @pid:	Process
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int cgroup_freezer_find(struct cgroup_freezer *to, pid_t pid, struct err *err);

/**
 * cgroup_freeze() - Freeze all, and wait until they are
 * @f:		Freezer
 * @timeout_ms:	Longest wait; thaws again then
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int cgroup_freeze(const struct cgroup_freezer *f, int timeout_ms, struct err *err);

/** cgroup_thaw() - Let them run. Return: 0, or negative error code */
int cgroup_thaw(const struct cgroup_freezer *f, struct err *err);

/** cgroup_frozen() - Whether they are frozen, all of them */
bool cgroup_frozen(const struct cgroup_freezer *f);

/** cgroup_freezing() - Whether they are frozen or about to be; false if the group is gone */
bool cgroup_freezing(const struct cgroup_freezer *f);

/**
 * cgroup_each_process() - Call a function for each process of the group
 * @f:		Freezer
 * @each:	Called with a process; not 0: stop there
 * @ctx:	Handed to it
 * @err:	Filled in if the list of processes cannot be read; @each explains its own failures
 *
 * Return: 0, what @each returned, or negative error code
 */
int cgroup_each_process(const struct cgroup_freezer *f, int (*each)(void *ctx, pid_t pid),
			void *ctx, struct err *err);

/**
 * cgroup_memory() - Memory of a process's group, files on tmpfs among it
 *
 * Return: bytes; 0 if that cannot be told
 */
uint64_t cgroup_memory(pid_t pid);
