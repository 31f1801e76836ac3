/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mud/ap_choice.h"

static const struct ap_choice_rules rules = { .hysteresis_db = 6,
					      .sensitivity_dbm = -82,
					      .dwell_ms = 500 };

static struct ap_choice begin(double first, double second)
{
	const double level[] = { first, second };
	struct ap_choice c;

	ap_choice_init(&c, &rules, level, 2);
	return c;
}

static enum ap_choice_e step(struct ap_choice *c, uint64_t ms, double first, double second)
{
	const double level[] = { first, second };

	return ap_choice_step(c, ms, level, 2);
}

static void test_begins_at_the_strongest(void **state)
{
	(void)state;
	assert_int_equal(begin(-50, -60).present, 0);
	assert_int_equal(begin(-60, -50).present, 1);
	assert_int_equal(begin(-60, -60).present, 0); /* a tie: the first */
	assert_false(begin(-82, -90).lost);
	assert_true(begin(-83, -90).lost);
}

static void test_better_for_the_dwell_time(void **state)
{
	struct ap_choice c = begin(-50, -70);

	(void)state;
	assert_int_equal(step(&c, 100, -60, -54), AP_CHOICE_STAY); /* 6 dB: from now on */
	assert_int_equal(step(&c, 599, -60, -54), AP_CHOICE_STAY);
	assert_int_equal(step(&c, 600, -60, -54), AP_CHOICE_MOVE);
	assert_int_equal(c.present, 1);
	assert_int_equal(step(&c, 700, -60, -54), AP_CHOICE_STAY);
}

static void test_interrupted(void **state)
{
	struct ap_choice c = begin(-50, -70);

	(void)state;
	(void)step(&c, 100, -60, -50);
	assert_int_equal(step(&c, 500, -60, -54.1), AP_CHOICE_STAY); /* not quite: anew */
	assert_int_equal(step(&c, 600, -60, -50), AP_CHOICE_STAY);
	assert_int_equal(step(&c, 1099, -60, -50), AP_CHOICE_STAY);
	assert_int_equal(step(&c, 1100, -60, -50), AP_CHOICE_MOVE);
}

/* Whatever comes within the hysteresis, to and fro for an hour: not one move */
static void test_no_ping_pong(void **state)
{
	struct ap_choice c = begin(-60, -60);

	(void)state;
	for (uint64_t ms = 0; ms < 3600000; ms += 100) {
		double swing = (ms / 3000) % 2 ? 2.9 : -2.9;

		assert_int_equal(step(&c, ms, -60 + swing, -60 - swing), AP_CHOICE_STAY);
	}
	/* without hysteresis and dwell, the same goes to and fro each time */
	unsigned int moves = 0;
	c.rules.hysteresis_db = 0;
	c.rules.dwell_ms = 0;
	for (uint64_t ms = 0; ms < 60000; ms += 100) {
		double swing = (ms / 3000) % 2 ? 2.9 : -2.9;

		moves += step(&c, ms, -60 + swing, -60 - swing) == AP_CHOICE_MOVE;
	}
	assert_int_equal(moves, 20);
}

static void test_ties(void **state)
{
	struct ap_choice c = begin(-60, -50);

	(void)state;
	c.rules.hysteresis_db = 0;
	c.rules.dwell_ms = 0;
	/* an equal one is no better one: the device stays where it is */
	assert_int_equal(step(&c, 100, -50, -50), AP_CHOICE_STAY);
	assert_int_equal(c.present, 1);
	const double three[] = { -40, -50, -40 };
	assert_int_equal(ap_choice_step(&c, 200, three, 3), AP_CHOICE_MOVE);
	assert_int_equal(c.present, 0); /* of two equals the first */
}

/* The dwell time is one access point's own: another that overtakes it starts anew */
static void test_two_candidates(void **state)
{
	const double begins[] = { -50, -90, -90 }, one[] = { -70, -60, -90 },
		     two[] = { -70, -60, -55 };
	struct ap_choice c;

	(void)state;
	ap_choice_init(&c, &rules, begins, 3);
	assert_int_equal(ap_choice_step(&c, 100, one, 3), AP_CHOICE_STAY);
	assert_int_equal(ap_choice_step(&c, 500, two, 3), AP_CHOICE_STAY);
	assert_int_equal(ap_choice_step(&c, 900, two, 3), AP_CHOICE_STAY);
	assert_int_equal(ap_choice_step(&c, 1000, two, 3), AP_CHOICE_MOVE);
	assert_int_equal(c.present, 2);
}

static void test_one_access_point(void **state)
{
	double level = -50;
	struct ap_choice c;

	(void)state;
	ap_choice_init(&c, &rules, &level, 1);
	for (uint64_t ms = 0; ms < 10000; ms += 100)
		assert_int_equal(ap_choice_step(&c, ms, &level, 1), AP_CHOICE_STAY);
	level = -82.1;
	assert_int_equal(ap_choice_step(&c, 10000, &level, 1), AP_CHOICE_LOST);
	assert_int_equal(ap_choice_step(&c, 10100, &level, 1), AP_CHOICE_STAY);
	level = -82;
	assert_int_equal(ap_choice_step(&c, 10200, &level, 1), AP_CHOICE_REGAINED);
	assert_int_equal(ap_choice_step(&c, 10300, &level, 1), AP_CHOICE_STAY);
	assert_int_equal(c.present, 0);
}

static void test_out_of_range(void **state)
{
	struct ap_choice c = begin(-50, -90);

	(void)state;
	/* nothing to lose: no hysteresis, no dwell */
	assert_int_equal(step(&c, 100, -83, -82), AP_CHOICE_MOVE);
	assert_int_equal(c.present, 1);
	assert_int_equal(step(&c, 200, -95, -90), AP_CHOICE_LOST);
	assert_int_equal(step(&c, 300, -82, -90), AP_CHOICE_MOVE); /* heard again, elsewhere */
	assert_int_equal(c.present, 0);
	assert_false(c.lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_at_the_strongest),
		cmocka_unit_test(test_better_for_the_dwell_time),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_no_ping_pong),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_two_candidates),
		cmocka_unit_test(test_one_access_point),
		cmocka_unit_test(test_out_of_range),
	};

	return cmocka_run_group_tests_name("mud/ap_choice", tests, NULL, NULL);
}
