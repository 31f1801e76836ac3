/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

static void test_empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(b.len, 0);
	assert_null(buf_bytes(&b));
	assert_int_equal(buf_append(&b, NULL, 0, NULL), 0);
	buf_consume(&b, 10);
	assert_int_equal(b.len, 0);
	buf_deinit(&b);
}

static void test_append_and_consume(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(buf_append(&b, "hello ", 6, NULL), 0);
	assert_int_equal(buf_append(&b, "world", 5, NULL), 0);
	assert_int_equal(b.len, 11);
	assert_memory_equal(buf_bytes(&b), "hello world", 11);
	buf_consume(&b, 6);
	assert_int_equal(b.len, 5);
	assert_memory_equal(buf_bytes(&b), "world", 5);
	buf_consume(&b, 100); /* at most all there are */
	assert_int_equal(b.len, 0);
	buf_deinit(&b);
	assert_int_equal(buf_append(&b, "again", 5, NULL), 0);
	assert_memory_equal(buf_bytes(&b), "again", 5);
	buf_deinit(&b);
}

/* R9: the limit counts what is held, and at the limit nothing is added */
static void test_limit(void **state)
{
	struct buf b;
	struct err err = { 0 };

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_append(&b, "12345678", 8, &err), 0);
	assert_int_equal(buf_append(&b, "9", 1, &err), -ENOBUFS);
	assert_int_equal(err.code, -ENOBUFS);
	assert_int_equal(b.len, 8);
	assert_int_equal(buf_reserve(&b, SIZE_MAX, &err), -ENOBUFS); /* no overflow */
	buf_consume(&b, 3);
	assert_int_equal(buf_append(&b, "9ab", 3, &err), 0);
	assert_memory_equal(buf_bytes(&b), "456789ab", 8);
	assert_int_equal(buf_append(&b, "c", 1, &err), -ENOBUFS);
	buf_deinit(&b);
}

/* A buffer that is filled and emptied for ever slides back instead of growing */
static void test_slide(void **state)
{
	struct buf b;
	size_t capacity = 0;

	(void)state;
	buf_init(&b, 0);
	for (unsigned int i = 0; i < 100000; i++) {
		assert_int_equal(buf_append(&b, &i, sizeof(i), NULL), 0);
		if (i >= 9) {
			unsigned int first;

			memcpy(&first, buf_bytes(&b), sizeof(first));
			assert_int_equal(first, i - 9);
			buf_consume(&b, sizeof(i));
		}
		if (i == 1000)
			capacity = b.capacity;
	}
	assert_int_equal(b.capacity, capacity);
	buf_deinit(&b);
}

static void test_grow(void **state)
{
	static uint8_t block[3000];
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	for (size_t i = 0; i < 300; i++) {
		memset(block, (int)i & 0xff, sizeof(block));
		assert_int_equal(buf_append(&b, block, sizeof(block), NULL), 0);
	}
	assert_int_equal(b.len, 300 * sizeof(block));
	for (size_t i = 0; i < 300; i++) {
		memset(block, (int)i & 0xff, sizeof(block));
		assert_memory_equal(buf_bytes(&b) + i * sizeof(block), block, sizeof(block));
	}
	buf_deinit(&b);
}

static void test_reserve(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(buf_append(&b, "ab", 2, NULL), 0);
	buf_consume(&b, 1);
	assert_int_equal(buf_reserve(&b, 5000, NULL), 0);
	memset(buf_tail(&b), 'x', 5000);
	b.len += 5000;
	assert_int_equal(b.len, 5001);
	assert_int_equal(buf_bytes(&b)[0], 'b');
	assert_int_equal(buf_bytes(&b)[5000], 'x');
	buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty), cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_limit), cmocka_unit_test(test_slide),
		cmocka_unit_test(test_grow),  cmocka_unit_test(test_reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
