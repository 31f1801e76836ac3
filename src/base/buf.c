/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void buf_init(struct buf *b, size_t limit)
{
	*b = (struct buf){ .limit = limit };
}

void buf_deinit(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .limit = b->limit };
}

static size_t grown_capacity(size_t now, size_t need)
{
	size_t want = now ? now : 256;

	while (want < need)
		want *= 2;
	return want;
}

int buf_reserve(struct buf *b, size_t more, struct err *err)
{
	if (more > SIZE_MAX / 4 || (b->limit && b->len + more > b->limit))
		return err_set(err, -ENOBUFS, "buffer limit of %zu bytes", b->limit);
	if (b->head + b->len + more <= b->capacity)
		return 0;
	/* sliding the bytes down is cheaper than growing, once at least half was consumed */
	if (b->head >= b->capacity / 2 && b->len + more <= b->capacity) {
		memmove(b->data, b->data + b->head, b->len);
		b->head = 0;
		return 0;
	}
	size_t capacity = grown_capacity(b->capacity, b->head + b->len + more);
	uint8_t *data = realloc(b->data, capacity);
	if (!data)
		return err_set(err, -ENOMEM, "grow buffer to %zu bytes", capacity);
	b->data = data;
	b->capacity = capacity;
	return 0;
}

int buf_append(struct buf *b, const void *data, size_t len, struct err *err)
{
	int r;

	if (!len)
		return 0;
	r = buf_reserve(b, len, err);
	if (r < 0)
		return r;
	memcpy(buf_tail(b), data, len);
	b->len += len;
	return 0;
}

void buf_consume(struct buf *b, size_t len)
{
	if (len >= b->len) {
		b->head = 0;
		b->len = 0;
		return;
	}
	b->head += len;
	b->len -= len;
}

void buf_remove(struct buf *b, size_t at, size_t len)
{
	uint8_t *bytes = buf_bytes(b);

	if (!len)
		return;
	memmove(bytes + at, bytes + at + len, b->len - at - len);
	b->len -= len;
}
