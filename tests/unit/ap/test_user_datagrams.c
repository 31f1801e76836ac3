/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/listeners/datagrams.h"

struct bed {
	uv_loop_t loop;
	struct sockaddr_in from;
	in_addr_t refused; /* datagrams from here are to wait, whatever @answer */
	struct user_datagrams *waiting;
	int answer; /* of take() */
	int tried;
	char taken[64];
};

static int take(void *ctx, const struct sockaddr *from, const void *bytes, size_t len)
{
	const struct sockaddr_in *in = (const void *)from;
	struct bed *b = ctx;

	assert_int_equal(in->sin_family, AF_INET);
	b->tried++;
	if (in->sin_addr.s_addr == b->refused)
		return -EAGAIN;
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

static bool waits(const struct bed *b)
{
	return user_datagrams_waiting(b->waiting, (const struct sockaddr *)&b->from);
}

static void of_user(struct bed *b, int user, uint16_t port)
{
	char ip[32];

	(void)snprintf(ip, sizeof(ip), "10.0.0.%d", user);
	assert_int_equal(uv_ip4_addr(ip, port, &b->from), 0);
}

/* They are tried until they are taken, in their order. */
static void test_order(void **state)
{
	struct bed *b = *state;

	b->answer = -EAGAIN;
	assert_false(waits(b));
	assert_true(add(b, "a"));
	assert_true(add(b, "b"));
	while (b->tried < 3)
		(void)uv_run(&b->loop, UV_RUN_ONCE);
	assert_true(waits(b));
	assert_true(add(b, "c"));
	b->answer = 0;
	(void)uv_run(&b->loop, UV_RUN_DEFAULT); /* ends when none waits */
	assert_string_equal(b->taken, "abc");
	assert_false(waits(b));
	assert_int_equal(user_datagrams_dropped(b->waiting), 0);
}

/* Who must wait makes nobody else wait; of one address all keep their order, whatever their port. */
static void test_users_do_not_wait_for_one_another(void **state)
{
	struct bed *b = *state;

	of_user(b, 1, 77);
	b->refused = b->from.sin_addr.s_addr;
	assert_true(add(b, "a"));
	of_user(b, 2, 77);
	assert_false(waits(b));
	assert_true(add(b, "b"));
	of_user(b, 1, 78);
	assert_true(waits(b));
	assert_true(add(b, "c"));
	of_user(b, 2, 78);
	assert_true(add(b, "d"));
	while (strlen(b->taken) < 2)
		(void)uv_run(&b->loop, UV_RUN_ONCE);
	assert_string_equal(b->taken, "bd");
	assert_false(waits(b));
	b->refused = 0;
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_string_equal(b->taken, "bdac");
	assert_int_equal(user_datagrams_dropped(b->waiting), 0);
}

/* R9: not for ever, and not ever more; and nobody takes all the room */
static void test_limits(void **state)
{
	struct bed *b = *state;
	static const char large[USER_DATAGRAMS_BYTES];
	int added = 0;

	b->answer = -EAGAIN;
	while (add(b, "x") && added <= USER_DATAGRAMS_EACH)
		added++;
	assert_int_equal(added, USER_DATAGRAMS_EACH);
	for (int user = 2; added <= USER_DATAGRAMS_MAX; user++) {
		of_user(b, user, 77);
		if (!add(b, "x"))
			break;
		added++;
	}
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
		cmocka_unit_test_setup_teardown(test_users_do_not_wait_for_one_another, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
