/* SPDX-License-Identifier: Apache-2.0 */
#include "core/answer_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#define HEADER_SIZE 16

struct answer {
	uint64_t number;
	enum wire_status status;
	uint8_t *bytes; /* owned */
	size_t len;
};

/* a ring: @first is the oldest */
struct answer_cache {
	struct answer answer[WIRE_WINDOW];
	size_t first;
	size_t count;
};

static struct answer *answer_at(const struct answer_cache *cache, size_t i)
{
	return (struct answer *)&cache->answer[(cache->first + i) % WIRE_WINDOW];
}

int answer_cache_new(struct answer_cache **ret, struct err *err)
{
	struct answer_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return err_set(err, -ENOMEM, "create answer cache");
	*ret = cache;
	return 0;
}

struct answer_cache *answer_cache_free(struct answer_cache *cache)
{
	if (cache) {
		answer_cache_trim(cache, UINT64_MAX);
		free(cache);
	}
	return NULL;
}

int answer_cache_put(struct answer_cache *cache, uint64_t number, enum wire_status status,
		     const void *bytes, size_t len, struct err *err)
{
	if (cache->count && answer_at(cache, cache->count - 1)->number >= number)
		return err_set(err, -EINVAL, "answer %llu stored out of order",
			       (unsigned long long)number);
	uint8_t *copy = malloc(len ? len : 1);
	if (!copy)
		return err_set(err, -ENOMEM, "store an answer of %zu bytes", len);
	if (len)
		memcpy(copy, bytes, len);
	if (number > WIRE_WINDOW)
		answer_cache_trim(cache, number - WIRE_WINDOW);
	*answer_at(cache, cache->count++) = (struct answer){ number, status, copy, len };
	return 0;
}

int answer_cache_get(const struct answer_cache *cache, uint64_t number, struct wire_data *ret)
{
	for (size_t i = 0; i < cache->count; i++) {
		const struct answer *a = answer_at(cache, i);

		if (a->number != number)
			continue;
		*ret = (struct wire_data){
			.number = number, .status = a->status, .bytes = a->bytes, .len = a->len
		};
		return 0;
	}
	return ANSWER_CACHE_E_ABSENT;
}

void answer_cache_trim(struct answer_cache *cache, uint64_t ack)
{
	while (cache->count && answer_at(cache, 0)->number <= ack) {
		free(answer_at(cache, 0)->bytes);
		cache->first = (cache->first + 1) % WIRE_WINDOW;
		cache->count--;
	}
}

size_t answer_cache_count(const struct answer_cache *cache)
{
	return cache->count;
}

uint64_t answer_cache_highest(const struct answer_cache *cache)
{
	return cache->count ? answer_at(cache, cache->count - 1)->number : 0;
}

int answer_cache_encode(const struct answer_cache *cache, struct buf *out, struct err *err)
{
	int r;

	for (size_t i = 0; i < cache->count; i++) {
		const struct answer *a = answer_at(cache, i);
		uint8_t header[HEADER_SIZE];

		put_be64(header, a->number);
		put_be32(header + 8, (uint32_t)a->status);
		put_be32(header + 12, (uint32_t)a->len);
		r = buf_append(out, header, sizeof(header), err);
		if (r == 0)
			r = buf_append(out, a->bytes, a->len, err);
		if (r < 0)
			return err_wrap(err, r, "encode answer cache");
	}
	return 0;
}

int answer_cache_decode(struct answer_cache **ret, const void *bytes, size_t len, struct err *err)
{
	const uint8_t *at = bytes;
	int r;

	AUTO(answer_cache) struct answer_cache *cache = NULL;
	r = answer_cache_new(&cache, err);
	if (r < 0)
		return r;
	while (len) {
		if (len < HEADER_SIZE)
			return err_set(err, -EPROTO, "answer cache ends inside a header");
		uint64_t number = get_be64(at);
		uint32_t status = get_be32(at + 8);
		uint32_t size = get_be32(at + 12);

		if (size > WIRE_PAYLOAD_MAX || size > len - HEADER_SIZE)
			return err_set(err, -EPROTO, "answer cache: answer of %u bytes, limit %u",
				       size, WIRE_PAYLOAD_MAX);
		if (!number)
			return err_set(err, -EPROTO, "answer cache: number 0");
		if (status != WIRE_OK && status != WIRE_E_IN_DOUBT && status != WIRE_E_PROTOCOL)
			return err_set(err, -EPROTO, "answer cache: status %u", status);
		r = answer_cache_put(cache, number, (enum wire_status)status, at + HEADER_SIZE,
				     size, err);
		if (r < 0)
			return r == -EINVAL ? err_wrap(err, -EPROTO, "answer cache") : r;
		at += HEADER_SIZE + size;
		len -= HEADER_SIZE + size;
	}
	*ret = TAKE_PTR(cache);
	return 0;
}
