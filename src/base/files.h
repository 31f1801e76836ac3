/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files of a process
 */

#include <stddef.h>

/**
 * files_raise_limit() - Allow this process as many open files as the system permits
 *
 * The usual soft limit of 1024 is less than the connections and sessions a daemon may hold (R9).
 * If it cannot be raised, the old limit stays, and single connections fail at it.
 */
void files_raise_limit(void);

/**
 * files_directory() - Make a directory of a daemon's own, and what is missing above it, mode 0700
 * @path:	Absolute path, trusted. A directory that is there stays as it is
 *
 * After a start of the host nothing is below /run any more.
 *
 * Return: 0, -ENAMETOOLONG, or another negative error code
 */
int files_directory(const char *path);

/** files_write() - Write all of it. Return: 0, or negative error code */
int files_write(int fd, const void *bytes, size_t len);
