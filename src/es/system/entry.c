/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/entry.h"

#include <xxhash.h>

#include "base/buf.h"
#include "base/bytes.h"

int entry_add(struct buf *out, uint32_t kind, const void *head, size_t head_len, const void *bytes,
	      size_t len, struct err *err)
{
	uint8_t start[ENTRY_SIZE] = { 0 };
	size_t body = out->len + ENTRY_SIZE;
	int r;

	put_be32(start, (uint32_t)(head_len + len));
	put_be32(start + 4, kind);
	r = buf_append(out, start, sizeof(start), err);
	if (r == 0)
		r = buf_append(out, head, head_len, err);
	if (r == 0)
		r = buf_append(out, bytes, len, err);
	if (r == 0)
		put_be64(buf_bytes(out) + body - 8,
			 XXH3_64bits_withSeed(buf_bytes(out) + body, head_len + len, kind));
	return r;
}

bool entry_good(const uint8_t head[ENTRY_SIZE], const void *body)
{
	return get_be64(head + 8) == XXH3_64bits_withSeed(body, get_be32(head), get_be32(head + 4));
}
