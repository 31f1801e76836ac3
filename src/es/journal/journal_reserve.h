/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Journal reserve - room for session journals that nothing else can take
 *
 * It is a number of empty files, "reserve.NNN", whose blocks are allocated beyond their ends (fallocate() with
 * FALLOC_FL_KEEP_SIZE). When the disk is full, one of them becomes a journal: it is written where its blocks
 * are, and renamed. So no moment exists in which the room is free for others, as there would be if a large file
 * were shortened. The blocks of the old journal are free then, and are allocated again for the reserve, if nobody
 * was quicker.
 *
 * Blocks that are allocated can be written without further room on ext4, XFS, tmpfs and Btrfs (the first time,
 * which is all that is needed). A file system that cannot allocate gives no reserve.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct journal_reserve; /* opaque */

#define JOURNAL_RESERVE_FILE                                                                       \
	(128u << 10)            /* bytes of each: a journal that needs more finds no room in it */
#define JOURNAL_RESERVE_SHARE 8 /* of the file system's size, at most this part is reserved */

/**
 * journal_reserve_new() - Reserve room; also while there is none, then it is filled later
 * @ret:	Set on success only; the caller owns it, see journal_reserve_free()
 * @dir:	Descriptor of the directory of the journals, borrowed
 * @bytes:	How much
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOMEM, -EOPNOTSUPP if the file system cannot do it, or another negative error code
 */
int journal_reserve_new(struct journal_reserve **ret, int dir, uint64_t bytes, struct err *err);

/** journal_reserve_free() - The files stay. @jr may be NULL. Return: NULL, always */
struct journal_reserve *journal_reserve_free(struct journal_reserve *jr);

AUTO_DEFINE(journal_reserve)

/** journal_reserve_fill() - Allocate what is missing, as far as there is room */
void journal_reserve_fill(struct journal_reserve *jr);

/**
 * journal_reserve_use() - Write a file in reserved room, in place of the one that has its name
 * @jr:		Reserve
 * @name:	Of the file, in the directory
 * @bytes:	Its contents, borrowed
 * @len:	How many, at most JOURNAL_RESERVE_FILE
 * @err:	Filled in on failure
 *
 * It outlives a crash of the host, as by base/atomic_file.h.
 *
 * Return: 0, -ENOSPC if nothing is left or @len is too much, or another negative error code
 */
int journal_reserve_use(struct journal_reserve *jr, const char *name, const void *bytes, size_t len,
			struct err *err);

/** journal_reserve_left() - Bytes that are reserved now */
uint64_t journal_reserve_left(const struct journal_reserve *jr);

/** journal_reserve_wanted() - Bytes that are to be reserved */
uint64_t journal_reserve_wanted(const struct journal_reserve *jr);
