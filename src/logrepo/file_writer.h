/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * File Writer - the default store: a file with one JSON object a line (paper, Figure 2)
 *
 * PATH is the file being written; when it reaches its size it becomes PATH.000001, then the next
 * PATH.000002 and so on, and the oldest beyond the number to keep are removed.
 *
 * After a crash at worst the last line is torn, for one write() appends a batch of lines. Opening cuts
 * the file back to its last whole line. A batch that cannot be written whole, as on a full disk, is cut
 * off again at once. Reading passes over a line that is no event.
 *
 * Durability: fdatasync() when a file is finished, at file_writer's close, and whenever sync is
 * called (baton-logrepo does each second). A power failure costs at most the events since then.
 */

#include <stddef.h>
#include <stdint.h>

struct err;
struct storage_backend;

/**
 * struct file_writer_config - Where to and how much
 * @path:		File being written; its directory must exist
 * @file_bytes:		Size at which the next file is begun
 * @files:		Files to keep, the one being written included; at least 1
 */
struct file_writer_config {
	const char *path;
	uint64_t file_bytes;
	uint64_t files;
};

/**
 * file_writer_open() - Open the store, and repair it after a crash
 * @ret:	Filled in on success; its close() releases everything
 * @config:	Borrowed for the call
 * @err:	Filled in on failure
 *
 * Return: 0, -EWOULDBLOCK if another process writes there, or another negative error code
 */
int file_writer_open(struct storage_backend *ret, const struct file_writer_config *config,
		     struct err *err);
