/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory delta - the pages of a checkpoint that an earlier checkpoint of the same container lacks
 *
 * While a container is held, every byte that has still to go is somebody's waiting time (R6). So
 * its memory goes ahead while it serves, and after the cut only what differs. The kernel need not
 * have noted which pages were written: they are found by what is in them, wherever they lie now.
 *
 * CRIU's files pages-N.img hold pages one after the other. In a delta each has a file pages-N.delta
 * in its place; all other files of the checkpoint are small and stay as they are. All numbers are
 * big-endian:
 *
 *     "BATONMD1", u64 pages of the file, u64 XXH3 of its bytes, then until there are that many
 *     u32 count, u32 base + 1, u64 page     that many pages of pages-<base>.img, from this one on
 *     u32 count, u32 0                      that many pages follow
 *
 * The only file besides session_store.c that knows xxhash.
 */

#include <stdint.h>

#include "base/auto.h"

struct err;
struct memory_base; /* opaque */

#define MEMORY_DELTA_PAGE  4096u
#define MEMORY_DELTA_FILES 1024u /* pages-N.img in one checkpoint */

/** struct memory_delta_stats - What was found */
struct memory_delta_stats {
	uint64_t pages;
	uint64_t same;  /* of them, in the earlier checkpoint */
	uint64_t bytes; /* of all files of the delta, those that are not pages included */
};

/**
 * memory_base_new() - Learn what is in the pages of an earlier checkpoint
 * @ret:	Set on success only; the caller owns it, see memory_base_free()
 * @dir:	Its directory; nothing may change in it as long as @ret lives
 * @err:	Filled in on failure
 *
 * It takes a while: to be done before anybody waits.
 *
 * Return: 0, or negative error code
 */
int memory_base_new(struct memory_base **ret, int dir, struct err *err);

/** memory_base_free() - Release it; @b may be NULL. Return: NULL, always */
struct memory_base *memory_base_free(struct memory_base *b);

AUTO_DEFINE(memory_base)

/**
 * memory_delta_make() - Write the delta of a checkpoint
 * @base:	The earlier checkpoint
 * @images:	Directory of the checkpoint; nothing may change in it meanwhile
 * @delta:	Empty directory on the same file system, where the delta goes; files that are not
 *		pages are linked there
 * @stats:	Filled in on success
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int memory_delta_make(const struct memory_base *base, int images, int delta,
		      struct memory_delta_stats *stats, struct err *err);

/**
 * memory_delta_apply() - Put the files of pages back in place of their deltas
 * @base:	Directory of the earlier checkpoint
 * @images:	Directory of the delta, as it came from another host: not trusted
 * @max_bytes:	Most bytes of all files made
 * @err:	Filled in on failure; the directory is of no use then
 *
 * Return: 0, -EPROTO for what is no delta, -EFBIG beyond @max_bytes, or another negative error code
 */
int memory_delta_apply(int base, int images, uint64_t max_bytes, struct err *err);
