/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/number_table.h"

#define MEMBERS 5000

static uint64_t number_of(size_t i)
{
	return i % 3 ? i * 256 : i; /* low bits alike, and in a row */
}

static void test_find(void **state)
{
	static struct number_entry e[MEMBERS];
	struct number_table t = { 0 };

	(void)state;
	assert_null(number_table_find(&t, 7));
	for (size_t i = 0; i < MEMBERS; i++)
		assert_int_equal(number_table_add(&t, &e[i], number_of(i)), 0);
	for (size_t i = 0; i < MEMBERS; i += 2)
		number_table_remove(&t, &e[i]);
	for (size_t i = 0; i < MEMBERS; i++) {
		struct number_entry *found = number_table_find(&t, number_of(i));

		while (found && found != &e[i])
			found = number_table_next(found);
		assert_ptr_equal(found, i % 2 ? &e[i] : NULL);
	}
	assert_int_equal(t.count, MEMBERS / 2);
	assert_true(t.chains >= t.count); /* a look-up takes a step, not a walk */
	number_table_deinit(&t);
}

/* Members of one number, in the order of addition, also after the table has grown */
static void test_equal_numbers(void **state)
{
	struct number_entry same[4];
	struct number_entry others[200];
	struct number_table t = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(number_table_add(&t, &same[i], 42), 0);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(number_table_add(&t, &others[i], 1000 + i), 0);
	number_table_remove(&t, &same[1]);
	struct number_entry *e = number_table_find(&t, 42);
	assert_ptr_equal(e, &same[0]);
	e = number_table_next(e);
	assert_ptr_equal(e, &same[2]);
	e = number_table_next(e);
	assert_ptr_equal(e, &same[3]);
	assert_null(number_table_next(e));
	number_table_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_equal_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
