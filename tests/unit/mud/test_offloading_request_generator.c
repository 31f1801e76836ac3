/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "mud/offloading_request_generator.h"

static uv_loop_t loop;

/* What takes the requests: only so many until it is emptied */
struct sink {
	uint64_t sent;
	uint64_t room;
	bool in_order;
	uint64_t last_at;
};

static bool take(void *ctx, uint64_t number, const char *payload, size_t len)
{
	struct sink *s = ctx;
	uint64_t now = uv_now(&loop);

	if (!s->room)
		return false;
	s->room--;
	s->in_order = s->in_order && number == s->sent + 1 && strlen(payload) == len;
	s->last_at = now;
	s->sent++;
	return true;
}

static void test_payload(void **state)
{
	const struct generator_plan plan = { .count = 3, .work = 11, .seed = 7, .verify = true };
	struct generator_plan other = plan;
	char a[GENERATOR_PAYLOAD_MAX], b[GENERATOR_PAYLOAD_MAX];

	(void)state;
	size_t len = generator_payload(a, &plan, 1);
	assert_int_equal(len, strlen(a));
	assert_int_equal(len, strlen("{\"seq\":1,\"work\":\"\"}") + 22);
	assert_memory_equal(a, "{\"seq\":1,\"work\":\"", 17);
	assert_string_equal(a + len - 2, "\"}");
	(void)generator_payload(b, &plan, 1);
	assert_string_equal(a, b);
	other.seed = 8;
	(void)generator_payload(b, &other, 1);
	assert_string_not_equal(a, b);
	(void)generator_payload(b, &plan, 3);
	assert_string_equal(b, "{\"seq\":3,\"op\":\"verify\"}");
	other.work = 0;
	(void)generator_payload(b, &other, 2);
	assert_string_equal(b, "{\"seq\":2,\"work\":\"\"}");
	other.work = GENERATOR_WORK_MAX;
	other.count = UINT64_MAX;
	assert_true(generator_payload(b, &other, UINT64_MAX - 1) < sizeof(b));
}

static void test_limits(void **state)
{
	struct generator *g = NULL;
	struct generator_plan plan = { .count = 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(generator_new(&g, &loop, &plan, take, NULL, &err), -EINVAL);
	plan.count = GENERATOR_REQUESTS_MAX + 1;
	assert_int_equal(generator_new(&g, &loop, &plan, take, NULL, &err), -EINVAL);
	plan.count = 1;
	plan.work = GENERATOR_WORK_MAX + 1;
	assert_int_equal(generator_new(&g, &loop, &plan, take, NULL, &err), -EINVAL);
	assert_null(g);
}

/* One each interval, none earlier */
static void test_interval(void **state)
{
	const struct generator_plan plan = { .count = 20, .interval_ms = 2, .work = 4 };
	struct sink s = { .room = UINT64_MAX, .in_order = true };
	struct generator *g;

	(void)state;
	assert_int_equal(generator_new(&g, &loop, &plan, take, &s, NULL), 0);
	uint64_t began = uv_now(&loop);
	generator_start(g);
	generator_start(g); /* twice is once */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(generator_done(g));
	assert_int_equal(s.sent, 20);
	assert_true(s.in_order);
	assert_true(s.last_at - began >= 19 * 2);
	assert_int_equal(generator_waited(g), 0);
	generator_close(g);
	uv_run(&loop, UV_RUN_DEFAULT);
}

/* What finds no room waits for the next answer, and is counted */
static void test_overflow_waits(void **state)
{
	const struct generator_plan plan = { .count = 10 };
	struct sink s = { .room = 4, .in_order = true };
	struct generator *g;

	(void)state;
	assert_int_equal(generator_new(&g, &loop, &plan, take, &s, NULL), 0);
	generator_start(g);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(generator_sent(g), 4);
	assert_false(generator_done(g));
	s.room = 1;
	generator_resume(g);
	assert_int_equal(generator_sent(g), 5);
	s.room = 100;
	generator_resume(g);
	assert_true(generator_done(g));
	assert_int_equal(generator_waited(g), 6);
	assert_true(s.in_order);
	generator_resume(g);
	assert_int_equal(s.sent, 10);
	generator_close(g);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static int open_loop(void **state)
{
	(void)state;
	return uv_loop_init(&loop);
}

static int close_loop(void **state)
{
	(void)state;
	return uv_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_payload),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_overflow_waits),
	};

	return cmocka_run_group_tests_name("mud/offloading_request_generator", tests, open_loop,
					   close_loop);
}
