/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory delta - the pages of a checkpoint that an earlier checkpoint of the same container lacks
 *
 * While a container is held, a user waits for every byte that is still to send (R6). So its memory
 * is pre-copied while it serves, and only the difference is sent after the cut. The kernel need not
 * record which pages were written: pages are compared by their contents, at any address.
 *
 * CRIU's files pages-N.img hold pages one after the other. A delta has a file pages-N.delta in
 * place of each. All other files of the checkpoint are small and stay as they are. All numbers are
 * big-endian:
 *
 *     "BATONMD1", u64 pages of the file, u64 XXH3 of its bytes. Then, until all pages are there:
 *     u32 count, u32 base + 1, u64 page     that many pages of pages-<base>.img, from this one on
 *     u32 count, u32 0                      that many pages follow
 *
 * Two files know xxhash: this one and session_store.c.
 */

#include <stdint.h>

#include "base/auto.h"

struct err;
struct memory_base; /* opaque */

#define MEMORY_DELTA_PAGE  4096u
#define MEMORY_DELTA_FILES 1024u /* pages-N.img in one checkpoint */

/** struct memory_delta_stats - Counts of a delta */
struct memory_delta_stats {
	uint64_t pages;
	uint64_t same;  /* of them, in the earlier checkpoint */
	uint64_t bytes; /* of all files of the delta, those that are not pages included */
};

/**
 * memory_base_new() - Index the pages of an earlier checkpoint
 * @ret:	Set on success only; the caller owns it, see memory_base_free()
 * @dir:	Its directory; nothing may change in it as long as @ret lives
 * @err:	Filled in on failure
 *
 * It is slow: call it before a user waits.
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
 * @delta:	Empty directory on the same file system for the delta; files without pages are
 *		linked there
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
 * @err:	Filled in on failure; the directory is incomplete then
 *
 * Return: 0, -EPROTO if it is no delta, -EFBIG beyond @max_bytes, or another negative error code
 */
int memory_delta_apply(int base, int images, uint64_t max_bytes, struct err *err);
