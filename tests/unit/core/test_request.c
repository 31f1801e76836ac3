/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/common/replay_buffer.h"
#include "core/common/request.h"

static const uint8_t payload[] = "SELECT 3\nGET x\n";

static struct wire_data from_link(void)
{
	return (struct wire_data){ .number = 7,
				   .ack = 5,
				   .preamble = 9,
				   .connection = 3,
				   .segment = WIRE_SEGMENT_LAST,
				   .bytes = payload,
				   .len = sizeof(payload) };
}

/* The bytes of a link are copied, once: the others get a share */
static void test_shares(void **state)
{
	const struct wire_data d = from_link();
	struct request *first = request_keep(&d);

	(void)state;
	assert_non_null(first);
	assert_true(first->bytes != payload);
	assert_memory_equal(first->bytes, payload, sizeof(payload));
	const struct wire_data passed_on = request_data(first);
	assert_int_equal(passed_on.number, 7);
	assert_int_equal(passed_on.preamble, 9);
	assert_int_equal(passed_on.connection, 3);
	assert_int_equal(passed_on.segment, WIRE_SEGMENT_LAST);
	assert_int_equal(passed_on.len, sizeof(payload));
	struct request *second = request_keep(&passed_on);
	assert_ptr_equal(second, first);
	assert_null(request_free(first));
	assert_memory_equal(second->bytes, payload, sizeof(payload)); /* a share is left */
	assert_null(request_free(second));
	assert_null(request_free(NULL));
}

/* A copy of a message, whose bytes are elsewhere, says nothing of an object that may be gone */
static void test_copied_elsewhere(void **state)
{
	struct wire_data d = from_link();
	struct request *gone = request_keep(&d);

	(void)state;
	struct wire_data copied = request_data(gone);
	copied.bytes = payload;
	request_free(gone);
	struct request *kept = request_keep(&copied);
	assert_memory_equal(kept->bytes, payload, sizeof(payload));
	assert_int_equal(kept->shares, 1);
	request_free(kept);
}

/* A part of a request, or one under another number, is another request */
static void test_others(void **state)
{
	const struct wire_data d = from_link();
	struct request *whole = request_new(&d, 8);

	(void)state;
	assert_int_equal(whole->number, 8);
	struct wire_data part = request_data(whole);
	part.len = 4;
	struct request *other = request_keep(&part);
	assert_ptr_not_equal(other, whole);
	assert_int_equal(other->len, 4);
	request_free(other);
	request_free(whole);
}

/* The replay buffer has a share of its user's request, and gives it up when it drops it */
static void test_replay_buffer(void **state)
{
	AUTO(replay_buffer) struct replay_buffer *rb = NULL;
	const struct wire_data d = from_link();
	struct request *users = request_keep(&d);
	const struct wire_data passed_on = request_data(users);

	(void)state;
	assert_int_equal(replay_buffer_new(&rb, 10, 1000, NULL), 0);
	assert_int_equal(replay_buffer_push(rb, &passed_on, NULL), 0);
	assert_ptr_equal(replay_buffer_find(rb, 7)->request, users);
	assert_int_equal(users->shares, 2);
	assert_int_equal(replay_buffer_bytes(rb), sizeof(payload));
	replay_buffer_drop_through(rb, 7);
	assert_int_equal(users->shares, 1);
	assert_int_equal(replay_buffer_bytes(rb), 0);
	request_free(users);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_copied_elsewhere),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_replay_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
