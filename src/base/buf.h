/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Byte buffer - grows at the end, is consumed from the front, never beyond its limit
 */

#include <stddef.h>
#include <stdint.h>

struct err;

/**
 * struct buf - Growing byte buffer
 * @data:	Bytes; valid from @head to @head + @len
 * @head:	Bytes already consumed
 * @len:	Bytes held
 * @capacity:	Bytes allocated
 * @limit:	Most bytes that may be held; 0 means no limit
 */
struct buf {
	uint8_t *data;
	size_t head;
	size_t len;
	size_t capacity;
	size_t limit;
};

/** buf_init() - Make @b empty with @limit bytes at most (0: no limit); nothing is allocated */
void buf_init(struct buf *b, size_t limit);

/** buf_deinit() - Release the bytes; the buffer can be used again as an empty one */
void buf_deinit(struct buf *b);

/**
 * buf_reserve() - Make room for more bytes at the end
 * @b:		Buffer
 * @more:	Bytes that will be added
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOBUFS at the limit, -ENOMEM
 */
int buf_reserve(struct buf *b, size_t more, struct err *err);

/**
 * buf_append() - Copy bytes to the end
 * @b:		Buffer
 * @data:	Bytes, borrowed for the call; may be NULL if @len is 0
 * @len:	Number of bytes
 * @err:	Filled in on failure, when nothing was added
 *
 * Return: 0, -ENOBUFS at the limit, -ENOMEM
 */
int buf_append(struct buf *b, const void *data, size_t len, struct err *err);

/** buf_consume() - Forget the first @len bytes, or all if there are fewer */
void buf_consume(struct buf *b, size_t len);

/** buf_remove() - Forget @len bytes that begin at byte @at; both must lie within the buffer */
void buf_remove(struct buf *b, size_t at, size_t len);

/** buf_bytes() - First held byte; valid until the buffer is changed. Return: never NULL if @len > 0 */
static inline uint8_t *buf_bytes(const struct buf *b)
{
	return b->data ? b->data + b->head : NULL;
}

/** buf_tail() - First free byte after buf_reserve(); the writer adds the bytes written to @len */
static inline uint8_t *buf_tail(const struct buf *b)
{
	return b->data + b->head + b->len;
}
