/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/user_datagrams.h"

struct bed {
	uv_loop_t loop;
	struct sockaddr_in from;
	struct user_datagrams *waiting;
	int answer; /* of take() */
	int tried;
	char taken[64];
};

static int take(void *ctx, const struct sockaddr *from, const void *bytes, size_t len)
{
	struct bed *b = ctx;

	assert_memory_equal(from, &b->from, sizeof(b->from));
	b->tried++;
	if (b->answer == 0)
		strncat(b->taken, bytes, len);
	return b->answer;
}

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	assert_int_equal(uv_ip4_addr("10.0.0.1", 77, &b->from), 0);
	assert_int_equal(user_datagrams_new(&b->waiting, &b->loop, take, b, NULL), 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	user_datagrams_close(b->waiting);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	free(b);
	return 0;
}

static bool add(struct bed *b, const char *text)
{
	return user_datagrams_add(b->waiting, (struct sockaddr *)&b->from, text, strlen(text));
}

/* They are tried until they are taken, in their order. */
static void test_order(void **state)
{
	struct bed *b = *state;

	b->answer = -EAGAIN;
	assert_false(user_datagrams_waiting(b->waiting));
	assert_true(add(b, "a"));
	assert_true(add(b, "b"));
	while (b->tried < 3)
		(void)uv_run(&b->loop, UV_RUN_ONCE);
	assert_true(user_datagrams_waiting(b->waiting));
	assert_true(add(b, "c"));
	b->answer = 0;
	(void)uv_run(&b->loop, UV_RUN_DEFAULT); /* ends when none waits */
	assert_string_equal(b->taken, "abc");
	assert_false(user_datagrams_waiting(b->waiting));
	assert_int_equal(user_datagrams_dropped(b->waiting), 0);
}

/* R9: not for ever, and not ever more */
static void test_limits(void **state)
{
	struct bed *b = *state;
	static const char large[USER_DATAGRAMS_BYTES];
	int added = 0;

	b->answer = -EAGAIN;
	while (add(b, "x") && added <= USER_DATAGRAMS_MAX)
		added++;
	assert_int_equal(added, USER_DATAGRAMS_MAX);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT); /* until the last one is given up */
	assert_int_equal(user_datagrams_dropped(b->waiting), USER_DATAGRAMS_MAX);
	assert_false(user_datagrams_add(b->waiting, (struct sockaddr *)&b->from, large,
					sizeof(large) + 1));
}

static void test_refused(void **state)
{
	struct bed *b = *state;

	b->answer = -EHOSTUNREACH;
	assert_true(add(b, "a"));
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(b->tried, 1);
	assert_int_equal(user_datagrams_dropped(b->waiting), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
