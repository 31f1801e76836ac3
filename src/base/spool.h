/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Spool - bytes that are too many for memory: a file without a name
 *
 * The file is gone when the program ends, however it does. Nobody else can open it. Reads and writes
 * go to the kernel's cache, so they are quick unless the disk cannot follow at all.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct spool;
struct spools;

/**
 * spools_new() - Where a program's spools lie, and how much they may take together
 * @ret:	Set on success only; the caller owns it, see spools_free()
 * @dir:	Directory on the file system that takes the bytes, copied; need not exist yet
 * @max:	Bytes of all spools together (R9)
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int spools_new(struct spools **ret, const char *dir, uint64_t max, struct err *err);

/** spools_free() - After the last spool_free(); @s may be NULL. Return: NULL, always */
struct spools *spools_free(struct spools *s);

/**
 * spool_new() - Create an empty one
 * @ret:	Set on success only; the caller owns it, see spool_free()
 * @spools:	Where, borrowed until spool_free()
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOMEM, or what the file system says
 */
int spool_new(struct spool **ret, struct spools *spools, struct err *err);

/** spool_free() - Give its bytes back; @s may be NULL. Return: NULL, always */
struct spool *spool_free(struct spool *s);

AUTO_DEFINE(spool)

/**
 * spool_append() - Add bytes at the end
 * @s:		Spool
 * @bytes:	Borrowed for the call
 * @len:	How many
 * @err:	Filled in on failure; some of them may have been written, but do not count
 *
 * Return: 0, -ENOSPC at the limit of all spools or of the file system, or another negative error code
 */
int spool_append(struct spool *s, const void *bytes, size_t len, struct err *err);

/**
 * spool_read() - Copy bytes out of it
 * @s:		Spool
 * @offset:	Of the first; @offset + @len is at most spool_length()
 * @to:		Filled in
 * @len:	How many
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int spool_read(const struct spool *s, uint64_t offset, void *to, size_t len, struct err *err);

/**
 * spool_forget() - Give back the bytes before @offset, which are not read any more
 *
 * Where the file system cannot, they stay until spool_free().
 */
void spool_forget(struct spool *s, uint64_t offset);

/** spools_left() - Bytes that may still be added to all spools together */
uint64_t spools_left(const struct spools *s);

/** spool_length() - Bytes in it, those that were forgotten included */
uint64_t spool_length(const struct spool *s);
