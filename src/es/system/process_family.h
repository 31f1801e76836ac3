/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Process family - all processes that work in one of our directories, whoever started them
 *
 * runc starts CRIU, CRIU starts hooks and tar, and each may outlive its parent, in a process group
 * of its own. They may also outlive a predecessor of this program that was killed. A process
 * belongs to the family if its environment has a variable that no other process has. CRIU
 * overwrites its own environment. So a process that has a file below the directory open belongs to
 * the family, too, if the name of its program is criu, runc, tar, gzip, baton-cut-hook or
 * baton-store. Only root's processes in our PID namespace are looked at, and none that runs our own
 * program, so no container can get itself into the family. An administrator's shell, editor or
 * backup that looks at the directory does not belong to it either; a tar of theirs that reads it is
 * killed.
 */

#include <stdbool.h>

/** struct process_family - How its members are known; both strings are borrowed */
struct process_family {
	const char *dir;  /* absolute path */
	const char *mark; /* "NAME=VALUE" */
};

/**
 * process_family_lives() - Look for members
 *
 * Return: whether there is one, or may be one, since there is no memory or descriptor to look with;
 * one that was killed and is not reaped yet does not count
 */
bool process_family_lives(const struct process_family *family);

/**
 * process_family_end() - Kill all members, and wait until they are gone
 * @family:	Family
 * @timeout_ms:	Longest wait: a process that sleeps in the kernel may not end
 *
 * Return: 0, or -ETIMEDOUT if any is left
 */
int process_family_end(const struct process_family *family, int timeout_ms);
