/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mud/mobility_model.h"

/* ---- radio ---- */

static const struct radio plain = {
	.transmit_dbm = 20, .reference_loss_db = 40, .exponent = 3, .decorrelation_m = 20
};

static double at(const struct radio *r, double x, double y)
{
	return radio_level(r, 0, (struct place){ 0, 0 }, (struct place){ x, y });
}

static void assert_near(double value, double expected, double tolerance)
{
	if (fabs(value - expected) > tolerance)
		fail_msg("%g and not %g", value, expected);
}

static void test_path_loss(void **state)
{
	struct radio r = plain;

	(void)state;
	assert_near(at(&r, 1, 0), -20, 1e-9);
	assert_near(at(&r, 0, 0), -20, 1e-9); /* nearer than 1 m: as at 1 m */
	assert_near(at(&r, 10, 0), -50, 1e-9);
	assert_near(at(&r, 0, -100), -80, 1e-9);
	assert_near(at(&r, 30, 40), -20 - 30 * log10(50), 1e-9);
	r.exponent = 2;
	assert_near(at(&r, 10, 0), -40, 1e-9);
}

/* Mean 0 and the deviation wanted, at corners of the grid and between them; continuous; seeded */
static void test_shadowing(void **state)
{
	struct radio r = plain, other = plain;
	double sum = 0, squares = 0;
	unsigned int n = 0, same = 0;

	(void)state;
	r.shadowing_db = 4;
	r.seed = 1;
	other.shadowing_db = 4;
	other.seed = 2;
	for (int x = 0; x < 100; x++) {
		for (int y = 0; y < 100; y++) {
			double here_x = x * 27.5, here_y = y * 31.25;
			double s = at(&r, here_x, here_y) - at(&plain, here_x, here_y);

			assert_true(at(&r, here_x, here_y) == at(&r, here_x, here_y));
			same += at(&r, here_x, here_y) == at(&other, here_x, here_y);
			sum += s;
			squares += s * s;
			n++;
		}
	}
	assert_near(sum / n, 0, 0.3);
	assert_near(sqrt(squares / n), 4, 0.3);
	assert_int_equal(same, 0);
	for (int i = -1000; i < 1000; i++) { /* no steps on the way, at no edge of the grid */
		double x = i * 0.1;
		double change = at(&r, x + 0.1, 33) - at(&r, x, 33);

		assert_true(fabs(change) < 1);
	}
	/* each access point has a shadow of its own */
	assert_true(radio_level(&r, 1, (struct place){ 0, 0 }, (struct place){ 50, 50 }) !=
		    at(&r, 50, 50));
}

/* ---- the whole ---- */

static const struct mobility_ap aps[] = { { "AP-1", { 0, 0 } },
					  { "AP-2", { 100, 0 } },
					  { "AP-3", { 200, 0 } } };

static struct mobility_model *model(struct movement *way, size_t count, const struct radio *radio)
{
	const struct mobility_setup setup = {
		.ap = aps,
		.aps = count,
		.radio = *radio,
		.rules = { .hysteresis_db = 6, .sensitivity_dbm = -82, .dwell_ms = 500 },
		.movement = way,
	};
	struct mobility_model *m = NULL;

	assert_int_equal(mobility_model_new(&m, &setup, NULL), 0);
	return m;
}

static struct movement *trace(const char *text)
{
	struct movement *way = NULL;

	assert_int_equal(movement_trace(&way, "way.csv", text, NULL), 0);
	return way;
}

static struct movement *random_way(uint64_t seed)
{
	const struct movement_waypoints plan = { .width = 200,
						 .height = 40,
						 .speed_min = 1,
						 .speed_max = 10,
						 .pause_ms = 1000,
						 .seed = seed };
	struct movement *way = NULL;

	assert_int_equal(movement_random(&way, &plan, NULL), 0);
	return way;
}

/* Past three access points at 10 m/s: 6 dB at exponent 3 are a ratio of 10^0.2 in distance */
static void test_past_three(void **state)
{
	struct mobility_news news;

	(void)state;
	AUTO(mobility_model)
	struct mobility_model *m = model(trace("0,0,0\n20,200,0\n"), 3, &plain);
	assert_string_equal(mobility_model_ap(m), "AP-1");
	assert_string_equal(mobility_model_text(m), "trace way.csv, 2 positions");
	assert_int_equal(mobility_model_due(m), MOBILITY_STEP_MS);
	assert_false(mobility_model_step(m, 6600, &news));
	/* d / (100 - d) >= 1.585 from d = 61.3 m on: 6200 ms, and 500 ms of dwell */
	assert_true(mobility_model_step(m, 6700, &news));
	assert_int_equal(news.what, AP_CHOICE_MOVE);
	assert_string_equal(news.ap, "AP-2");
	assert_int_equal(news.at_ms, 6700);
	assert_string_equal(news.detail,
			    "x_m=67.0 y_m=0.0 signal_dbm=AP-2:-65.6,AP-1:-74.8,AP-3:-83.7");
	assert_false(mobility_model_step(m, 6700, &news));
	/* asked late: what happened then is told as of then */
	assert_true(mobility_model_step(m, 3600000, &news));
	assert_string_equal(news.ap, "AP-3");
	assert_int_equal(news.at_ms, 16700);
	assert_false(mobility_model_step(m, 3600000, &news));
	assert_string_equal(mobility_model_ap(m), "AP-3");
}

static void test_out_of_range_and_back(void **state)
{
	struct mobility_news news;

	(void)state;
	AUTO(mobility_model)
	struct mobility_model *m = model(trace("0,0,0\n100,-1000,0\n200,0,0\n"), 1, &plain);
	assert_true(mobility_model_step(m, 200000, &news));
	assert_int_equal(news.what, AP_CHOICE_LOST);
	assert_int_equal(news.at_ms, 11700); /* 10^(62 / 30) = 116.6 m */
	assert_true(mobility_model_step(m, 200000, &news));
	assert_int_equal(news.what, AP_CHOICE_REGAINED);
	assert_int_equal(news.at_ms, 188400);
	assert_false(mobility_model_step(m, 200000, &news));
}

/* The same seed makes the same moves, however often and late one asks */
static void test_repeats(void **state)
{
	struct radio shadowed = plain;
	struct mobility_news often, late;
	uint64_t now = 0;
	unsigned int moves = 0;

	(void)state;
	shadowed.shadowing_db = 4;
	shadowed.seed = 9;
	AUTO(mobility_model) struct mobility_model *a = model(random_way(9), 3, &shadowed);
	AUTO(mobility_model) struct mobility_model *b = model(random_way(9), 3, &shadowed);
	assert_string_equal(mobility_model_ap(a), mobility_model_ap(b));
	while (mobility_model_step(b, 1800000, &late)) {
		while (!mobility_model_step(a, now, &often))
			now += 37;
		assert_int_equal(often.what, late.what);
		assert_int_equal(often.at_ms, late.at_ms);
		assert_string_equal(often.ap, late.ap);
		assert_string_equal(often.detail, late.detail);
		moves += late.what == AP_CHOICE_MOVE;
	}
	assert_false(mobility_model_step(a, 1800000, &often));
	assert_true(moves > 20);
	assert_true(moves < 1800);

	AUTO(mobility_model) struct mobility_model *c = model(random_way(10), 3, &shadowed);
	AUTO(mobility_model) struct mobility_model *d = model(random_way(9), 3, &shadowed);
	(void)mobility_model_step(c, 1800000, &often);
	(void)mobility_model_step(d, 1800000, &late);
	assert_string_not_equal(often.detail, late.detail);
}

static void test_long_names_fit(void **state)
{
	char name[4][NAME_SIZE];
	struct mobility_ap many[4];
	struct mobility_news news;
	struct mobility_model *m = NULL;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		memset(name[i], 'a' + (char)i, NAME_SIZE - 1);
		name[i][NAME_SIZE - 1] = '\0';
		many[i] = (struct mobility_ap){ name[i], { (double)i * 100, 0 } };
	}
	const struct mobility_setup setup = {
		.ap = many,
		.aps = 4,
		.radio = plain,
		.rules = { .hysteresis_db = 6, .sensitivity_dbm = -82 },
		.movement = trace("0,0,0\n20,200,0\n"),
	};
	assert_int_equal(mobility_model_new(&m, &setup, NULL), 0);
	assert_true(mobility_model_step(m, 20000, &news));
	assert_true(strlen(news.detail) < MOBILITY_DETAIL_SIZE);
	assert_non_null(strstr(news.detail, "signal_dbm=bbb"));
	mobility_model_free(m);
}

static void test_bad_setup(void **state)
{
	struct mobility_ap nameless = { "", { 0, 0 } };
	struct mobility_setup setup = { .ap = aps };
	struct mobility_model *none = NULL;

	(void)state;
	assert_int_equal(mobility_model_new(&none, &setup, NULL), -EINVAL);
	setup.aps = MOBILITY_APS_MAX + 1;
	assert_int_equal(mobility_model_new(&none, &setup, NULL), -EINVAL);
	setup.ap = &nameless;
	setup.aps = 1;
	assert_int_equal(mobility_model_new(&none, &setup, NULL), -EINVAL);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_loss),  cmocka_unit_test(test_shadowing),
		cmocka_unit_test(test_past_three), cmocka_unit_test(test_out_of_range_and_back),
		cmocka_unit_test(test_repeats),    cmocka_unit_test(test_long_names_fit),
		cmocka_unit_test(test_bad_setup),
	};

	return cmocka_run_group_tests_name("mud/mobility_model", tests, NULL, NULL);
}
