/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/common/replay_buffer.h"
#include "core/common/request.h"

static int push(struct replay_buffer *rb, uint64_t number, size_t len)
{
	static const uint8_t bytes[4096];
	struct wire_data d = { .number = number, .bytes = bytes, .len = len };

	return replay_buffer_push(rb, &d, NULL);
}

static void test_numbers(void **state)
{
	AUTO(replay_buffer) struct replay_buffer *rb = NULL;

	(void)state;
	assert_int_equal(replay_buffer_new(&rb, 100, 10000, NULL), 0);
	assert_false(replay_buffer_started(rb));
	assert_int_equal(push(rb, 41, 8), 0); /* the first one decides where numbers begin */
	assert_true(replay_buffer_started(rb));
	assert_int_equal(replay_buffer_floor(rb), 40);
	assert_int_equal(push(rb, 42, 8), 0);
	assert_int_equal(push(rb, 42, 8), REPLAY_BUFFER_E_STALE);
	assert_int_equal(push(rb, 7, 8), REPLAY_BUFFER_E_STALE);
	assert_int_equal(push(rb, 44, 8), REPLAY_BUFFER_E_GAP);
	assert_int_equal(replay_buffer_highest(rb), 42);
	assert_int_equal(replay_buffer_find(rb, 41)->request->number, 41);
	assert_null(replay_buffer_find(rb, 40));
	assert_null(replay_buffer_find(rb, 43));
	assert_null(replay_buffer_find(rb, 0));
	assert_null(replay_buffer_free(NULL));
}

/* R9: both limits; at the limit nothing is stored, and room comes back */
static void test_limits(void **state)
{
	AUTO(replay_buffer) struct replay_buffer *few = NULL;
	AUTO(replay_buffer) struct replay_buffer *small = NULL;

	(void)state;
	assert_int_equal(replay_buffer_new(&few, 4, 10000, NULL), 0);
	for (uint64_t n = 1; n <= 4; n++) {
		assert_true(replay_buffer_half_full(few) == (n > 2));
		assert_int_equal(push(few, n, 1), 0);
	}
	assert_int_equal(push(few, 5, 1), REPLAY_BUFFER_E_FULL);
	assert_int_equal(replay_buffer_highest(few), 4);
	replay_buffer_drop_through(few, 1);
	assert_int_equal(push(few, 5, 1), 0);

	assert_int_equal(replay_buffer_new(&small, 100, 1000, NULL), 0);
	assert_int_equal(push(small, 1, 600), 0);
	assert_true(replay_buffer_half_full(small));
	assert_int_equal(push(small, 2, 401), REPLAY_BUFFER_E_FULL);
	assert_int_equal(push(small, 2, 400), 0);
	assert_int_equal(replay_buffer_bytes(small), 1000);
	replay_buffer_drop_through(small, 2);
	assert_int_equal(replay_buffer_bytes(small), 0);
}

static void test_drop(void **state)
{
	AUTO(replay_buffer) struct replay_buffer *rb = NULL;

	(void)state;
	assert_int_equal(replay_buffer_new(&rb, 1000, 100000, NULL), 0);
	/* also in an empty buffer: numbers that come later begin above it */
	replay_buffer_drop_through(rb, 10);
	assert_int_equal(replay_buffer_floor(rb), 10);
	assert_int_equal(push(rb, 10, 1), REPLAY_BUFFER_E_STALE);
	assert_int_equal(push(rb, 12, 1), REPLAY_BUFFER_E_GAP);
	for (uint64_t n = 11; n <= 300; n++) {
		assert_int_equal(push(rb, n, 3), 0);
		if (n % 3 == 0)
			replay_buffer_drop_through(rb, n > 60 ? n - 50 : 10);
	}
	assert_int_equal(replay_buffer_floor(rb), 250);
	assert_int_equal(replay_buffer_bytes(rb), 150);
	assert_int_equal(replay_buffer_find(rb, 251)->request->number, 251);
	replay_buffer_drop_through(rb, 100); /* never down again */
	assert_int_equal(replay_buffer_floor(rb), 250);
	replay_buffer_drop_through(rb, 300);
	assert_int_equal(replay_buffer_highest(rb), 300);
	assert_int_equal(push(rb, 301, 1), 0);
}

/* R4: an answer of CT-y is kept beside its request, under the same limit */
static void test_withhold(void **state)
{
	AUTO(replay_buffer) struct replay_buffer *rb = NULL;
	static const uint8_t bytes[900];
	struct wire_data answer = { .number = 1, .status = WIRE_OK, .bytes = bytes, .len = 900 };

	(void)state;
	assert_int_equal(replay_buffer_new(&rb, 10, 1000, NULL), 0);
	assert_int_equal(push(rb, 1, 50), 0);
	assert_int_equal(push(rb, 2, 50), 0);
	struct replay_copy *c = replay_buffer_find(rb, 1);
	assert_int_equal(replay_buffer_withhold(rb, c, &answer, NULL), 0);
	assert_int_equal(replay_buffer_bytes(rb), 1000);
	/* again: it takes the place of the first */
	assert_int_equal(replay_buffer_withhold(rb, c, &answer, NULL), 0);
	assert_int_equal(replay_buffer_bytes(rb), 1000);
	answer.len = 1;
	assert_int_equal(replay_buffer_withhold(rb, replay_buffer_find(rb, 2), &answer, NULL),
			 REPLAY_BUFFER_E_FULL);
	replay_buffer_release(rb, c);
	replay_buffer_release(rb, c);
	assert_null(c->answer);
	assert_int_equal(replay_buffer_bytes(rb), 100);
	assert_int_equal(replay_buffer_withhold(rb, c, &answer, NULL), 0);
	replay_buffer_drop_through(rb, 1);
	assert_int_equal(replay_buffer_bytes(rb), 50);
}

/* R5: another status, length or byte is another digest */
static void test_digest(void **state)
{
	struct wire_data a = { .status = WIRE_OK, .bytes = (const uint8_t *)"abcd", .len = 4 };
	struct wire_data b = a;

	(void)state;
	b.number = 17; /* the number does not count */
	assert_true(replay_digest(&a) == replay_digest(&b));
	b.status = WIRE_E_IN_DOUBT;
	assert_false(replay_digest(&a) == replay_digest(&b));
	b = a;
	b.len = 3;
	assert_false(replay_digest(&a) == replay_digest(&b));
	b.bytes = (const uint8_t *)"abce";
	b.len = 4;
	assert_false(replay_digest(&a) == replay_digest(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_drop),    cmocka_unit_test(test_withhold),
		cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
