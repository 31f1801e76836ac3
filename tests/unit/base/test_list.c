/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"

struct item {
	int value;
	struct list link;
};

static void test_order(void **state)
{
	struct item item[4] = { { .value = 0 }, { .value = 1 }, { .value = 2 }, { .value = 3 } };
	struct list head;
	int expected = 0;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_first(&head, struct item, link));
	assert_null(list_last(&head, struct item, link));
	for (int i = 0; i < 4; i++)
		list_append(&head, &item[i].link);
	assert_false(list_empty(&head));
	assert_ptr_equal(list_first(&head, struct item, link), &item[0]);
	assert_ptr_equal(list_last(&head, struct item, link), &item[3]);
	list_for_each_safe(at, next, &head)
		assert_int_equal(list_entry(at, struct item, link)->value, expected++);
	assert_int_equal(expected, 4);
}

static void test_remove_while_walking(void **state)
{
	struct item item[4] = { { .value = 0 }, { .value = 1 }, { .value = 2 }, { .value = 3 } };
	struct list head;
	int seen = 0;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 4; i++)
		list_append(&head, &item[i].link);
	list_for_each_safe(at, next, &head)
	{
		seen++;
		if (list_entry(at, struct item, link)->value % 2 == 0)
			list_remove(at);
	}
	assert_int_equal(seen, 4);
	assert_ptr_equal(list_first(&head, struct item, link), &item[1]);
	assert_ptr_equal(list_last(&head, struct item, link), &item[3]);
	list_remove(&item[0].link); /* removing twice is harmless */
	list_remove(&item[1].link);
	list_remove(&item[3].link);
	assert_true(list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_remove_while_walking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
