/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Spool - a file without a name, for more bytes than memory should hold
 *
 * The file is gone when the program ends, however it ends. Nobody else can open it. Reads and writes
 * go to the kernel's cache, so they are quick unless the disk falls far behind.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct spool;
struct spools;

/**
 * spools_new() - Set the directory of a program's spools, and their limit
 * @ret:	Set on success only; the caller owns it, see spools_free()
 * @dir:	Directory on the file system for the bytes, copied; need not exist yet
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
 * @err:	Filled in on failure; bytes written so far do not count
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
 * If the file system cannot free them, they stay until spool_free().
 */
void spool_forget(struct spool *s, uint64_t offset);

/** spools_limit() - Another limit of all spools together; those that are over it stay as they are */
void spools_limit(struct spools *s, uint64_t max);

/** spools_left() - Bytes that may still be added to all spools together */
uint64_t spools_left(const struct spools *s);

/** spool_length() - Bytes in it, including forgotten ones */
uint64_t spool_length(const struct spool *s);
