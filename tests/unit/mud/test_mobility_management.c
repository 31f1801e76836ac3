/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/err.h"
#include "mud/mobility_management.h"

static void test_good_moves(void **state)
{
	struct mobility_management mm = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mobility_management_add(&mm, "50:AP-2", &err), 0);
	assert_int_equal(mobility_management_add(&mm, "1500ms:AP-3", &err), 0);
	assert_int_equal(mobility_management_add(&mm, "0:ms", &err), 0);
	assert_int_equal(mm.count, 3);
	assert_int_equal(mm.move[0].when, MOBILITY_AFTER_REQUEST);
	assert_int_equal(mm.move[0].at, 50);
	assert_string_equal(mm.move[0].ap, "AP-2");
	assert_int_equal(mm.move[1].when, MOBILITY_AFTER_MS);
	assert_int_equal(mm.move[1].at, 1500);
	assert_string_equal(mm.move[1].ap, "AP-3");
	assert_string_equal(mm.move[2].ap, "ms");
}

static void test_bad_moves(void **state)
{
	static const char *const bad[] = { "",        "50",
					   ":AP-2",   "50:",
					   "-1:AP-2", " 5:AP-2",
					   "5 :AP-2", "5s:AP-2",
					   "5:A P",   "5ms",
					   "5:/x",    "x:AP-2",
					   "+5:AP",   "99999999999999999999999:AP-2" };
	struct mobility_management mm = { 0 };
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (mobility_management_add(&mm, bad[i], &err) != -EINVAL)
			fail_msg("accepted \"%s\"", bad[i]);
	}
	assert_int_equal(mm.count, 0);
	for (size_t i = 0; i < MOBILITY_MOVES_MAX; i++)
		assert_int_equal(mobility_management_add(&mm, "1:AP-1", &err), 0);
	assert_int_equal(mobility_management_add(&mm, "1:AP-1", &err), -ENOSPC);
}

/* Each move waits for its turn, also if its own condition holds earlier */
static void test_order(void **state)
{
	struct mobility_management mm = { 0 };

	(void)state;
	assert_null(mobility_management_step(&mm, 1000, 1000));
	assert_int_equal(mobility_management_due(&mm), UINT64_MAX);
	assert_int_equal(mobility_management_add(&mm, "50:AP-2", NULL), 0);
	assert_int_equal(mobility_management_add(&mm, "100ms:AP-3", NULL), 0);
	assert_int_equal(mobility_management_add(&mm, "50:AP-1", NULL), 0);
	assert_int_equal(mobility_management_due(&mm), UINT64_MAX);
	assert_null(mobility_management_step(&mm, 49, 99));
	assert_string_equal(mobility_management_step(&mm, 50, 99)->ap, "AP-2");
	assert_null(mobility_management_step(&mm, 50, 99));
	assert_int_equal(mobility_management_due(&mm), 100);
	assert_string_equal(mobility_management_step(&mm, 50, 100)->ap, "AP-3");
	assert_string_equal(mobility_management_step(&mm, 50, 100)->ap, "AP-1");
	assert_null(mobility_management_step(&mm, UINT64_MAX, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_moves),
		cmocka_unit_test(test_bad_moves),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests_name("mud/mobility_management", tests, NULL, NULL);
}
