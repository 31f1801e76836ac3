/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Process family - all that works in one of our directories, whoever has started it and whoever is
 * gone since
 *
 * runc starts CRIU, CRIU starts hooks and tar, and each may outlive the one that started it, in a
 * process group of its own; they may also outlive a predecessor of this program that was killed.
 * They are found by what they have: a variable in the environment that nobody else has (CRIU itself
 * writes over its own), or, if they are criu, runc, tar, gzip, baton-cut-hook or baton-store by the
 * name of their program, a file below the directory open. Only root's processes in our PID
 * namespace are looked at, and none that runs our own program, so no container can get itself into
 * the family. Nor does an administrator's shell, editor or backup that looks at the directory; a
 * tar of theirs that reads it is killed.
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
 * @timeout_ms:	Longest wait: what sleeps in the kernel may not go
 *
 * Return: 0, or -ETIMEDOUT if any is left
 */
int process_family_end(const struct process_family *family, int timeout_ms);
