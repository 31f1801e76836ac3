/* SPDX-License-Identifier: Apache-2.0 */
#include "core/es/answer_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#define HEADER_SIZE 24

struct answer {
	uint64_t number;
	uint64_t digest;
	enum wire_status status;
	uint8_t *bytes; /* owned */
	size_t len;
};

/* a ring: @first is the oldest */
struct answer_cache {
	struct answer answer[WIRE_WINDOW];
	size_t first;
	size_t count;
	size_t bytes;
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

static bool is_answer(const struct wire_data *answer)
{
	return answer->number && answer->len <= WIRE_PAYLOAD_MAX &&
	       (answer->status == WIRE_OK || answer->status == WIRE_OK_MORE ||
		answer->status == WIRE_E_IN_DOUBT || answer->status == WIRE_E_PROTOCOL);
}

int answer_cache_put(struct answer_cache *cache, const struct wire_data *answer, struct err *err)
{
	size_t len = answer->len;

	if (!is_answer(answer))
		return err_set(err, -EINVAL, "answer %llu with status %u and %zu bytes, limit %u",
			       (unsigned long long)answer->number, answer->status, len,
			       WIRE_PAYLOAD_MAX);
	if (cache->count && answer_at(cache, cache->count - 1)->number >= answer->number)
		return err_set(err, -EINVAL, "answer %llu stored out of order",
			       (unsigned long long)answer->number);
	uint8_t *copy = len ? malloc(len) : NULL;
	if (len && !copy)
		return err_set(err, -ENOMEM, "store an answer of %zu bytes", len);
	if (len)
		memcpy(copy, answer->bytes, len);
	if (answer->number > WIRE_WINDOW)
		answer_cache_trim(cache, answer->number - WIRE_WINDOW);
	*answer_at(cache, cache->count++) = (struct answer){ .number = answer->number,
							     .digest = answer->digest,
							     .status = answer->status,
							     .bytes = copy,
							     .len = len };
	cache->bytes += len;
	return 0;
}

int answer_cache_get(const struct answer_cache *cache, uint64_t number, struct wire_data *ret)
{
	/* numbers come without gaps nearly always, so the first guess nearly always holds */
	uint64_t first = cache->count ? answer_at(cache, 0)->number : 0;
	size_t guess = number >= first && number - first < cache->count ? number - first : 0;

	for (size_t i = 0; i < cache->count; i++) {
		const struct answer *a = answer_at(cache, (guess + i) % cache->count);

		if (a->number != number)
			continue;
		*ret = (struct wire_data){ .number = number,
					   .digest = a->digest,
					   .status = a->status,
					   .bytes = a->bytes,
					   .len = a->len };
		return 0;
	}
	return ANSWER_CACHE_E_ABSENT;
}

void answer_cache_trim(struct answer_cache *cache, uint64_t ack)
{
	while (cache->count && answer_at(cache, 0)->number <= ack) {
		cache->bytes -= answer_at(cache, 0)->len;
		free(answer_at(cache, 0)->bytes);
		cache->first = (cache->first + 1) % WIRE_WINDOW;
		cache->count--;
	}
}

size_t answer_cache_count(const struct answer_cache *cache)
{
	return cache->count;
}

size_t answer_cache_bytes(const struct answer_cache *cache)
{
	return cache->bytes;
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
		put_be64(header + 8, a->digest);
		put_be32(header + 16, (uint32_t)a->status);
		put_be32(header + 20, (uint32_t)a->len);
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
		const struct wire_data answer = { .number = get_be64(at),
						  .digest = get_be64(at + 8),
						  .status = get_be32(at + 16),
						  .bytes = at + HEADER_SIZE,
						  .len = get_be32(at + 20) };

		if (answer.len > len - HEADER_SIZE)
			return err_set(err, -EPROTO, "answer cache ends inside an answer");
		r = answer_cache_put(cache, &answer, err);
		if (r < 0)
			return r == -EINVAL ? err_wrap(err, -EPROTO, "answer cache") : r;
		at += HEADER_SIZE + answer.len;
		len -= HEADER_SIZE + answer.len;
	}
	*ret = TAKE_PTR(cache);
	return 0;
}
