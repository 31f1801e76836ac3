/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mud/movement.h"

static struct movement *trace(const char *text)
{
	struct movement *m = NULL;
	struct err err = { 0 };

	if (movement_trace(&m, "way.csv", text, &err) < 0)
		fail_msg("%s", err.text);
	return m;
}

static void assert_at(struct movement *m, uint64_t ms, double x, double y)
{
	struct place p = movement_at(m, ms);

	if (fabs(p.x - x) > 1e-9 || fabs(p.y - y) > 1e-9)
		fail_msg("at %llu ms: %g, %g and not %g, %g", (unsigned long long)ms, p.x, p.y, x,
			 y);
}

static void test_trace(void **state)
{
	(void)state;
	AUTO(movement)
	struct movement *m =
		trace("time_s,x_m,y_m\r\n# a comment\n\n1, 0, 10\n3,20,-10\n3.5,20,-10\n"
		      "4.5, 1e1,0 ");
	assert_at(m, 0, 0, 10);
	assert_at(m, 1000, 0, 10);
	assert_at(m, 1500, 5, 5);
	assert_at(m, 2000, 10, 0);
	assert_at(m, 3000, 20, -10);
	assert_at(m, 3400, 20, -10);
	assert_at(m, 4000, 15, -5);
	assert_at(m, 4500, 10, 0);
	assert_at(m, 1000000, 10, 0);
	assert_string_equal(movement_text(m), "trace way.csv, 4 positions");
}

static void test_trace_of_one_line(void **state)
{
	(void)state;
	AUTO(movement) struct movement *m = trace("0,3,4");
	assert_at(m, 0, 3, 4);
	assert_at(m, 99999, 3, 4);
}

static void test_bad_traces(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} bad[] = {
		{ "", "way.csv:1: no position" },
		{ "time_s,x_m,y_m\n", "way.csv:1: no position" },
		{ "0,0,0\n1,2\n", "way.csv:2: \"1,2\": want time_s,x_m,y_m" },
		{ "0,0,0\n1,2,3,4\n", "way.csv:2: \"1,2,3,4\": want" },
		{ "# way\n0;0;0\n", "way.csv:2: \"0;0;0\": want" },
		{ "0,a,0\n", "way.csv:1: \"0,a,0\": want" },
		{ "0,nan,0\n", "way.csv:1: \"0,nan,0\": want" },
		{ "0,0,inf\n", "way.csv:1: \"0,0,inf\": want" },
		{ "0,0,2000000\n", "way.csv:1: \"0,0,2000000\": want" },
		{ "0,0,0x\n", "way.csv:1: \"0,0,0x\": want" },
		{ "-1,0,0\n", "way.csv:1: time -1 s: the run begins at 0" },
		{ "0,0,0\n2,1,1\n2,3,3\n", "way.csv:3: time 2 s is not after 2 s" },
		{ "0,0,0\n2,1,1\n1,3,3\n", "way.csv:3: time 1 s is not after 2 s" },
		{ "0,0,0\ntime_s,x_m,y_m\n", "way.csv:2: \"time_s,x_m,y_m\": want" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct movement *none = NULL;
		struct err err = { 0 };

		assert_int_equal(movement_trace(&none, "way.csv", bad[i].text, &err), -EINVAL);
		assert_null(none);
		if (!strstr(err.text, bad[i].says))
			fail_msg("\"%s\" and not \"%s\"", err.text, bad[i].says);
	}
}

static void test_trace_limits(void **state)
{
	size_t size = (MOVEMENT_ROWS_MAX + 1) * 16;
	struct movement *none = NULL;
	struct err err = { 0 };
	char line[300];

	(void)state;
	memset(line, '1', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(movement_trace(&none, "way.csv", line, &err), -EINVAL);
	assert_non_null(strstr(err.text, "way.csv:1: line of 299 bytes: at most 255"));

	auto_free char *text = malloc(size);
	assert_non_null(text);
	size_t len = 0;
	for (int i = 0; i < MOVEMENT_ROWS_MAX; i++)
		len += (size_t)snprintf(text + len, size - len, "%d,0,0\n", i);
	AUTO(movement) struct movement *most = trace(text);
	assert_non_null(most);
	(void)snprintf(text + len, size - len, "%d,0,0\n", MOVEMENT_ROWS_MAX);
	assert_int_equal(movement_trace(&none, "way.csv", text, &err), -EINVAL);
	assert_non_null(strstr(err.text, "way.csv:100001: at most 100000 positions"));
}

static const struct movement_waypoints plan = {
	.width = 200, .height = 50, .speed_min = 1, .speed_max = 3, .pause_ms = 2000, .seed = 5
};

static struct movement *random_way(const struct movement_waypoints *p)
{
	struct movement *m = NULL;
	struct err err = { 0 };

	if (movement_random(&m, p, &err) < 0)
		fail_msg("%s", err.text);
	return m;
}

/* In the area, never faster than said, and at rest where a rest is due */
static void test_random_waypoint(void **state)
{
	unsigned int resting = 0, moving = 0;

	(void)state;
	AUTO(movement) struct movement *m = random_way(&plan);
	struct place before = movement_at(m, 0);
	for (uint64_t ms = 100; ms <= 3600000; ms += 100) {
		struct place p = movement_at(m, ms);
		double speed = hypot(p.x - before.x, p.y - before.y) * 10;

		assert_true(p.x >= 0 && p.x <= 200 && p.y >= 0 && p.y <= 50);
		assert_true(speed < 3 + 1e-6);
		resting += speed == 0;
		moving += speed >= 1 - 1e-6;
		before = p;
	}
	assert_true(resting > 500);
	assert_true(moving > 20000);
}

static void test_same_seed_same_way(void **state)
{
	struct movement_waypoints other = plan;
	bool differs = false;

	(void)state;
	other.seed = 6;
	AUTO(movement) struct movement *a = random_way(&plan);
	AUTO(movement) struct movement *b = random_way(&plan);
	AUTO(movement) struct movement *c = random_way(&other);
	for (uint64_t ms = 0; ms <= 600000; ms += 500) {
		struct place p = movement_at(a, ms), r = movement_at(c, ms);
		/* looking more often does not change the way */
		if (ms > 250)
			(void)movement_at(b, ms - 250);
		struct place q = movement_at(b, ms);

		assert_true(p.x == q.x && p.y == q.y);
		differs = differs || p.x != r.x || p.y != r.y;
	}
	assert_true(differs);
}

static void test_bad_plans(void **state)
{
	const struct movement_waypoints bad[] = {
		{ .width = 0, .height = 1, .speed_min = 1, .speed_max = 1 },
		{ .width = 1, .height = -1, .speed_min = 1, .speed_max = 1 },
		{ .width = NAN, .height = 1, .speed_min = 1, .speed_max = 1 },
		{ .width = 1, .height = INFINITY, .speed_min = 1, .speed_max = 1 },
		{ .width = 1, .height = 1, .speed_min = 0, .speed_max = 1 },
		{ .width = 1, .height = 1, .speed_min = 2, .speed_max = 1 },
		{ .width = 1, .height = 1, .speed_min = 1, .speed_max = NAN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct movement *none = NULL;

		assert_int_equal(movement_random(&none, &bad[i], NULL), -EINVAL);
		assert_null(none);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace),           cmocka_unit_test(test_trace_of_one_line),
		cmocka_unit_test(test_bad_traces),      cmocka_unit_test(test_trace_limits),
		cmocka_unit_test(test_random_waypoint), cmocka_unit_test(test_same_seed_same_way),
		cmocka_unit_test(test_bad_plans),
	};

	return cmocka_run_group_tests_name("mud/movement", tests, NULL, NULL);
}
