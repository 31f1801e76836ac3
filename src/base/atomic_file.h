/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files that outlive a crash of the program or the host, and a failed write
 *
 * At every moment the name leads to the whole old content or the whole new one. The new one is written
 * beside it (name and ATOMIC_FILE_SUFFIX), synced and renamed; then the directory is synced. The next
 * write replaces a file with the suffix that a crash has left.
 */

#include <stddef.h>
#include <sys/types.h>

struct err;

#define ATOMIC_FILE_SUFFIX   ".new"
#define ATOMIC_FILE_NAME_MAX 250 /* bytes of a name, so that the suffix fits */

/**
 * atomic_file_write() - Write a file whole, or leave what is there
 * @dir:	Descriptor of its directory
 * @name:	In that directory, no path, at most ATOMIC_FILE_NAME_MAX bytes
 * @bytes:	Content, borrowed
 * @len:	Bytes of it
 * @mode:	Of the new file; the umask applies
 * @err:	Filled in on failure
 *
 * Only one caller may write a name at a time. If it fails after the rename, the new file is there,
 * but a crash of the host may bring back the old one.
 *
 * Return: 0, or negative error code
 */
int atomic_file_write(int dir, const char *name, const void *bytes, size_t len, mode_t mode,
		      struct err *err);

/**
 * atomic_file_create() - The same, if there is no file of this name yet
 *
 * Arguments and terms as for atomic_file_write().
 *
 * Return: 0, -EEXIST, or another negative error code
 */
int atomic_file_create(int dir, const char *name, const void *bytes, size_t len, mode_t mode,
		       struct err *err);
