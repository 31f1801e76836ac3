/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "core/es/answer_cache.h"

static int put(struct answer_cache *cache, uint64_t number, enum wire_status status,
	       const void *bytes, size_t len, struct err *err)
{
	const struct wire_data answer = {
		.number = number, .digest = number + 1, .status = status, .bytes = bytes, .len = len
	};

	return answer_cache_put(cache, &answer, err);
}

static struct answer_cache *filled(uint64_t from, uint64_t to)
{
	struct answer_cache *cache = NULL;
	char text[32];

	assert_int_equal(answer_cache_new(&cache, NULL), 0);
	for (uint64_t n = from; n <= to; n++) {
		int len = snprintf(text, sizeof(text), "answer %llu", (unsigned long long)n);

		assert_int_equal(put(cache, n, WIRE_OK, text, (size_t)len, NULL), 0);
	}
	return cache;
}

/* R1: what the device may still ask for is there, R9: and never more than the window */
static void test_window(void **state)
{
	AUTO(answer_cache) struct answer_cache *cache = filled(1, 3000);
	struct wire_data d;

	(void)state;
	assert_int_equal(answer_cache_count(cache), WIRE_WINDOW);
	assert_int_equal(answer_cache_get(cache, 3000 - WIRE_WINDOW, &d), ANSWER_CACHE_E_ABSENT);
	for (uint64_t n = 3001 - WIRE_WINDOW; n <= 3000; n++)
		assert_int_equal(answer_cache_get(cache, n, &d), 0);
	assert_int_equal(d.number, 3000);
	assert_int_equal(d.status, WIRE_OK);
	assert_int_equal(d.len, 11);
	assert_memory_equal(d.bytes, "answer 3000", 11);
	assert_int_equal(answer_cache_get(cache, 3001, &d), ANSWER_CACHE_E_ABSENT);
}

static void test_order(void **state)
{
	AUTO(answer_cache) struct answer_cache *cache = filled(5, 7);
	struct wire_data d;

	(void)state;
	assert_int_equal(put(cache, 7, WIRE_OK, "x", 1, NULL), -EINVAL);
	assert_int_equal(put(cache, 6, WIRE_OK, "x", 1, NULL), -EINVAL);
	assert_int_equal(answer_cache_count(cache), 3);
	assert_int_equal(answer_cache_get(cache, 7, &d), 0);
	assert_memory_equal(d.bytes, "answer 7", 8);
	/* a jump forgets what is a window older */
	assert_int_equal(put(cache, 6 + WIRE_WINDOW, WIRE_OK, "x", 1, NULL), 0);
	assert_int_equal(answer_cache_get(cache, 6, &d), ANSWER_CACHE_E_ABSENT);
	assert_int_equal(answer_cache_get(cache, 7, &d), 0);
	assert_int_equal(answer_cache_count(cache), 2);
}

static void test_trim(void **state)
{
	AUTO(answer_cache) struct answer_cache *cache = filled(1, 10);
	struct wire_data d;

	(void)state;
	answer_cache_trim(cache, 4);
	assert_int_equal(answer_cache_count(cache), 6);
	assert_int_equal(answer_cache_get(cache, 4, &d), ANSWER_CACHE_E_ABSENT);
	assert_int_equal(answer_cache_get(cache, 5, &d), 0);
	answer_cache_trim(cache, 2); /* going back changes nothing */
	assert_int_equal(answer_cache_count(cache), 6);
	answer_cache_trim(cache, UINT64_MAX);
	assert_int_equal(answer_cache_count(cache), 0);
	assert_null(answer_cache_free(NULL));
}

/* R2: the cache travels with the cut, in this very form */
static void test_form(void **state)
{
	static const uint8_t form[] = {
		0,   0, 0, 0, 0, 0, 0, 9, 0,  0, 0, 0, 0, 0, 0, 10, 0,  0, 0, 0, 0, 0, 0, 2, 'h',
		'i', 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0,  11, 0, 0, 0, 7, 0, 0, 0, 0,
	};
	struct buf out;

	(void)state;
	AUTO(answer_cache) struct answer_cache *cache = NULL;
	assert_int_equal(answer_cache_new(&cache, NULL), 0);
	assert_int_equal(put(cache, 9, WIRE_OK, "hi", 2, NULL), 0);
	assert_int_equal(put(cache, 10, WIRE_E_IN_DOUBT, NULL, 0, NULL), 0);
	buf_init(&out, 0);
	assert_int_equal(answer_cache_encode(cache, &out, NULL), 0);
	assert_int_equal(out.len, sizeof(form));
	assert_memory_equal(buf_bytes(&out), form, sizeof(form));
	buf_deinit(&out);
}

/* Every status that an answer may have travels with the session. */
static void test_statuses(void **state)
{
	static const enum wire_status may[] = { WIRE_OK, WIRE_E_IN_DOUBT, WIRE_E_PROTOCOL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(may); i++) {
		struct wire_data d = { 0 };
		struct buf out;

		AUTO(answer_cache) struct answer_cache *cache = NULL;
		AUTO(answer_cache) struct answer_cache *again = NULL;
		buf_init(&out, 0);
		assert_int_equal(answer_cache_new(&cache, NULL), 0);
		assert_int_equal(put(cache, 5, may[i], "why", 3, NULL), 0);
		assert_int_equal(answer_cache_encode(cache, &out, NULL), 0);
		assert_int_equal(answer_cache_decode(&again, buf_bytes(&out), out.len, NULL), 0);
		assert_int_equal(answer_cache_get(again, 5, &d), 0);
		assert_int_equal(d.status, may[i]);
		assert_int_equal(d.len, 3);
		buf_deinit(&out);
	}
}

static void test_round_trip(void **state)
{
	AUTO(answer_cache) struct answer_cache *cache = filled(40, 2140);
	AUTO(answer_cache) struct answer_cache *copy = NULL;
	struct wire_data d;
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_int_equal(answer_cache_encode(cache, &out, NULL), 0);
	assert_int_equal(answer_cache_decode(&copy, buf_bytes(&out), out.len, NULL), 0);
	assert_int_equal(answer_cache_count(copy), WIRE_WINDOW);
	for (uint64_t n = 2141 - WIRE_WINDOW; n <= 2140; n++)
		assert_int_equal(answer_cache_get(copy, n, &d), 0);
	assert_memory_equal(d.bytes, "answer 2140", 11);
	assert_int_equal(d.digest, 2141);
	buf_deinit(&out);
}

static void refused(const void *bytes, size_t len)
{
	struct answer_cache *cache = NULL;
	struct err err = { 0 };

	assert_int_equal(answer_cache_decode(&cache, bytes, len, &err), -EPROTO);
	assert_null(cache);
	assert_true(err.text[0] != '\0');
}

/* It comes from another host: not trusted */
static void test_malformed(void **state)
{
	AUTO(answer_cache) struct answer_cache *cache = filled(1, 2);
	AUTO(answer_cache) struct answer_cache *empty = NULL;
	uint8_t header[16] = { 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_int_equal(answer_cache_encode(cache, &out, NULL), 0);
	for (size_t len = 1; len < out.len; len++) {
		if (len != out.len / 2) /* one whole answer */
			refused(buf_bytes(&out), len);
	}
	buf_deinit(&out);
	put_be64(header, 3);
	put_be32(header + 8, WIRE_E_BUSY); /* no status of an answer */
	refused(header, sizeof(header));
	put_be32(header + 8, WIRE_OK);
	put_be32(header + 12, WIRE_PAYLOAD_MAX + 1);
	refused(header, sizeof(header));
	put_be32(header + 12, UINT32_MAX);
	refused(header, sizeof(header));
	assert_int_equal(answer_cache_decode(&empty, NULL, 0, NULL), 0);
	assert_int_equal(answer_cache_count(empty), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),    cmocka_unit_test(test_order),
		cmocka_unit_test(test_trim),      cmocka_unit_test(test_form),
		cmocka_unit_test(test_statuses),  cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
