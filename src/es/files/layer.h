/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container layer - a copy of the writable layer, or of a volume, that is exact at one instant (T3,
 * R2)
 *
 * The copy is made ahead while the service runs, and brought up to date any number of times; the
 * last time while its tasks are frozen, when only what changed since has to be copied. That is what
 * keeps the freeze short.
 *
 * What changed is told by inode number, change time and size. Three cases these cannot show are
 * copied again in any case: a file changed during or shortly before an update (change times are
 * only as fine as a timer tick), a file that a process has mapped shared and writable (writing to a
 * page that is dirty already changes no time), and what layer_staging_dirty() names.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct layer_staging;

/** struct layer_stats - What an update found and did */
struct layer_stats {
	uint64_t files;        /* of all kinds, now in the copy */
	uint64_t bytes;        /* of regular files, now in the copy (holes not counted) */
	uint64_t copied_files; /* by this update */
	uint64_t copied_bytes;
	uint64_t removed_files;
};

/**
 * layer_staging_new() - Prepare to copy a layer
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
 *
 * Return: bytes; 0 if it cannot be read
 */
uint64_t layer_measure(const char *path);

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
 * Without @frozen, files that vanish under our eyes are passed over.
 *
 * Return: 0, -EFBIG at the limit, -ECANCELED, or another negative error code
 */
int layer_staging_update(struct layer_staging *ls, bool frozen, int cancel_fd,
			 struct layer_stats *stats, struct err *err);

/**
 * layer_staging_dirty() - Have a file of the copy copied again, whatever it looks like
 * @ls:		Copy
 * @path:	Absolute path in the container
 *
 * By all updates up to the next frozen one.
 */
void layer_staging_dirty(struct layer_staging *ls, const char *path);
