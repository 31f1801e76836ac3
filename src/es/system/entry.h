/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Entry - the form in which the session journal and the request log append to their files
 *
 *	u32 length of the body, u32 kind, u64 XXH3 of kind and body, body		all big-endian
 *
 * A crash in the middle of a write leaves an entry that is cut off, or does not match its sum.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define ENTRY_SIZE 16 /* bytes before the body */

/** entry_add() - Append an entry whose body is @head, then @bytes; each may be empty. Return: 0, or -ENOMEM */
int entry_add(struct buf *out, uint32_t kind, const void *head, size_t head_len, const void *bytes,
	      size_t len, struct err *err);

/** entry_good() - Whether @body, of the length that @head tells, has the sum that @head tells */
bool entry_good(const uint8_t head[ENTRY_SIZE], const void *body);
