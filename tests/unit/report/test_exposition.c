/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/histogram.h"
#include "report/exposition.h"

static void assert_text(struct exposition *x, const char *expected)
{
	assert_false(x->failed);
	assert_int_equal(buf_append(&x->text, "", 1, NULL), 0);
	assert_string_equal((const char *)buf_bytes(&x->text), expected);
	exposition_deinit(x);
}

static void test_samples(void **state)
{
	struct exposition x;

	(void)state;
	exposition_init(&x);
	exposition_one(&x, "baton_a_total", "counter", "How many.", 12345678901.0);
	exposition_family(&x, "baton_b", "gauge", "How much.");
	exposition_sample(&x, 0.25, "peer", "AP-1", "role", "ap", NULL);
	/* what a value of a label may not hold as it is */
	exposition_sample(&x, -1, "peer", "a\"b\\c\nx", NULL);
	assert_text(&x, "# HELP baton_a_total How many.\n# TYPE baton_a_total counter\n"
			"baton_a_total 12345678901\n"
			"# HELP baton_b How much.\n# TYPE baton_b gauge\n"
			"baton_b{peer=\"AP-1\",role=\"ap\"} 0.25\n"
			"baton_b{peer=\"a\\\"b\\\\c\\nx\"} -1\n");
}

/* Buckets count all that took at most so long, and the last one counts all */
static void test_histogram(void **state)
{
	struct histogram h = { 0 };
	struct exposition x;

	(void)state;
	histogram_add(&h, 0.05);
	histogram_add(&h, 0.051);
	histogram_add(&h, 4000);
	exposition_init(&x);
	exposition_family(&x, "baton_h_seconds", "histogram", "How long.");
	exposition_histogram(&x, &h, "side", "source", NULL);
	assert_text(&x, "# HELP baton_h_seconds How long.\n# TYPE baton_h_seconds histogram\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.001\"} 0\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.005\"} 0\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.01\"} 0\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.025\"} 0\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.05\"} 1\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.1\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.25\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"0.5\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"1\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"2.5\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"5\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"10\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"30\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"60\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"300\"} 2\n"
			"baton_h_seconds_bucket{side=\"source\",le=\"+Inf\"} 3\n"
			"baton_h_seconds_sum{side=\"source\"} 4000.101\n"
			"baton_h_seconds_count{side=\"source\"} 3\n");
}

static void test_limit(void **state)
{
	struct exposition x;

	(void)state;
	exposition_init(&x);
	for (int i = 0; i < 200000 && !x.failed; i++)
		exposition_one(&x, "baton_c", "gauge", "Much.", i);
	assert_true(x.failed);
	assert_true(x.text.len <= EXPOSITION_MAX);
	exposition_deinit(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
