/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * File Writer - the default store: a file with one JSON object a line (paper, Figure 2)
 *
 * PATH is the file being written; when it reaches its size it becomes PATH.000001, then the next
 * PATH.000002 and so on, and the oldest beyond the number to keep are removed.
 *
 * What a crash leaves behind: lines are appended with one write() a batch, so at worst the last
 * line is torn; opening cuts the file back to its last whole line. A batch that cannot be written
 * whole, as on a full disk, is cut off again at once. A line that is no event, whoever wrote it, is
 * passed over when reading.
 *
 * Durability: fdatasync() when a file is finished, at file_writer's close, and whenever sync is
 * called (baton-logrepo does each second). A power failure costs at most what came since.
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
 * file_writer_open() - Open the store, mending what a crash left
 * @ret:	Filled in on success; its close() releases everything
 * @config:	Borrowed for the call
 * @err:	Filled in on failure
 *
 * Return: 0, -EWOULDBLOCK if another process writes there, or another negative error code
 */
int file_writer_open(struct storage_backend *ret, const struct file_writer_config *config,
		     struct err *err);
