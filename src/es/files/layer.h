/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container layer - staging copy of the container layer, or of a volume, exact at one instant (T3,
 * R2)
 *
 * The copy is made while the service runs, and brought up to date any number of times. The last
 * update runs while the tasks are frozen, and copies only the changes since the one before. This
 * keeps the freeze short.
 *
 * A change shows in inode number, change time or size. Three kinds of files are always copied
 * again, as a change need not show there. First, a file changed during or shortly before an update:
 * change times are only as fine as a timer tick. Second, a file that a process has mapped shared
 * and writable: a write to a page that is dirty already changes no time. Third, the files that
 * layer_staging_dirty() names.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct layer_staging;

/** struct layer_stats - Counts of one update */
struct layer_stats {
	uint64_t files;        /* of all kinds, now in the copy */
	uint64_t bytes;        /* of regular files, now in the copy (holes not counted) */
	uint64_t copied_files; /* by this update */
	uint64_t copied_bytes;
	uint64_t removed_files;
};

/**
 * layer_staging_new() - Prepare the staging copy of a layer
 * @ret:	Set on success only; the caller owns it, see layer_staging_free()
 * @upper:	UpperDir of the container, or directory of the volume; consumed, also after a
 *		failure
 * @copy:	Empty directory of the copy; consumed likewise
 * @at:		Where the container has the volume, an absolute path; "" for the layer itself
 * @max_bytes:	Most bytes the copy may have, as in an archive: holes, names and headers count
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int layer_staging_new(struct layer_staging **ret, int upper, int copy, const char *at,
		      uint64_t max_bytes, struct err *err);

/**
 * layer_measure() - Size of the regular files below a directory, holes not counted
 * @path:	Directory
 * @entries:	How many files and directories to look at at most; reduced by those that were. 0 afterwards: there
 *		may be more. NULL: all
 *
 * Return: bytes; 0 if it cannot be read
 */
uint64_t layer_measure(const char *path, size_t *entries);

/** layer_staging_free() - Release it; the copy stays. @ls may be NULL. Return: NULL, always */
struct layer_staging *layer_staging_free(struct layer_staging *ls);

AUTO_DEFINE(layer_staging)

/**
 * layer_staging_update() - Make the copy equal to the layer
 * @ls:		Copy
 * @frozen:	Nothing changes the layer meanwhile: the copy is exact afterwards
 * @cancel_fd:	Ends it when readable, or -1
 * @stats:	Filled in on success
 * @err:	Filled in on failure
 *
 * Without @frozen, files that vanish meanwhile are skipped.
 *
 * Return: 0, -EFBIG at the limit, -ECANCELED, or another negative error code
 */
int layer_staging_update(struct layer_staging *ls, bool frozen, int cancel_fd,
			 struct layer_stats *stats, struct err *err);

/**
 * layer_staging_dirty() - Have a file copied again, even if it looks unchanged
 * @ls:		Copy
 * @path:	Absolute path in the container
 *
 * All updates up to the next frozen one do so.
 */
void layer_staging_dirty(struct layer_staging *ls, const char *path);
