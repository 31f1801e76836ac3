/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of the answer cache - it comes from another host with a cut, and from a file on a restart
 *
 * Any bytes must be either refused with a text, or give a cache that keeps its limits and encodes to
 * the very bytes it was read from (unless it held more than the window, which is forgotten).
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/es/answer_cache.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_same(const struct answer_cache *cache, const uint8_t *data, size_t size)
{
	struct buf out;

	buf_init(&out, 0);
	require(answer_cache_encode(cache, &out, NULL) == 0);
	require(out.len <= size);
	/* what a cache forgets while it is read is at its beginning */
	require(!out.len || memcmp(buf_bytes(&out), data + size - out.len, out.len) == 0);

	AUTO(answer_cache) struct answer_cache *again = NULL;
	require(answer_cache_decode(&again, buf_bytes(&out), out.len, NULL) == 0);
	require(answer_cache_count(again) == answer_cache_count(cache));
	buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct wire_data answer;

	AUTO(answer_cache) struct answer_cache *cache = NULL;
	int r = answer_cache_decode(&cache, data, size, &err);
	if (r < 0) {
		require(!cache && err.code == r && err.text[0]);
		return 0;
	}
	require(answer_cache_count(cache) <= WIRE_WINDOW);
	require_same(cache, data, size);
	(void)answer_cache_get(cache, 1, &answer);
	answer_cache_trim(cache, UINT64_MAX);
	require(answer_cache_count(cache) == 0);
	return 0;
}
