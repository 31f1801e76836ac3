/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shared list - which directories of this host the operator shares with containers
 *
 * baton-es writes the file from its configuration, baton-runtime reads it (runtime/shared_pins.h). It lies beside
 * the directory of staged checkpoints, /run/baton/shared: one path on each line; root's, mode 0600.
 */

#include <stdbool.h>

struct err;

#define SHARED_LIST_MAX (64u << 10) /* bytes of the file; a longer list is refused */

/**
 * shared_list_write() - Write the list, whole or not at all
 * @staged:	The directory of staged checkpoints, an absolute path; the one above it is there
 * @shared:	Directories, NULL-terminated; or NULL for none
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a path with a newline, -ENOBUFS for more than SHARED_LIST_MAX bytes, or another negative
 * error code
 */
int shared_list_write(const char *staged, const char *const *shared, struct err *err);

/**
 * shared_list_read() - Read the list
 * @ret:	Set to it, to be freed; NULL if there is none
 * @staged:	As for shared_list_write()
 *
 * Return: 0, -EPERM if another user than root may have written it, -EFBIG, or another negative error code
 */
int shared_list_read(char **ret, const char *staged);

/** shared_list_has() - Whether a path is one of the directories of @list (may be NULL), or in one */
bool shared_list_has(const char *list, const char *path);
