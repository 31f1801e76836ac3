/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

static void test_names(void **state)
{
	static const char *const good[] = { "a", "AP-1", "EdgeServer-1", "x.y_z-9", "0" };
	static const char *const bad[] = { "",    ".x",       "-x",  "a b", "a/b",
					   "a\n", "\xc3\xa4", "a:b", "..",  "a*" };
	char longest[NAME_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(name_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(name_valid(bad[i]));
	memset(longest, 'n', sizeof(longest));
	longest[NAME_SIZE] = '\0';
	assert_false(name_valid(longest)); /* 64 characters */
	longest[NAME_SIZE - 1] = '\0';
	assert_true(name_valid(longest)); /* 63 */
}

static void test_name_set(void **state)
{
	char field[NAME_SIZE] = "before";
	struct err err = { 0 };

	(void)state;
	assert_int_equal(name_set(field, "no way", &err), -EINVAL);
	assert_true(err.text[0] != '\0');
	assert_string_equal(field, "before"); /* changed only if the name is acceptable */
	assert_int_equal(name_set(field, "AP-2", &err), 0);
	assert_string_equal(field, "AP-2");
	assert_true(name_equal(field, "AP-2"));
	assert_false(name_equal(field, "AP-20"));
}

static void test_hex(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x7f, 0x80, 0xff, 0xa5 };
	uint8_t back[sizeof(bytes)] = { 0 };
	char text[2 * sizeof(bytes) + 1];

	(void)state;
	hex_encode(text, bytes, sizeof(bytes));
	assert_string_equal(text, "007f80ffa5");
	assert_int_equal(hex_decode(back, sizeof(back), text), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_int_equal(hex_decode(back, sizeof(back), "007F80FFA5"), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_int_equal(hex_decode(back, sizeof(back), "007f80ffa"), -EINVAL);
	assert_int_equal(hex_decode(back, sizeof(back), "007f80ffa5a"), -EINVAL);
	assert_int_equal(hex_decode(back, sizeof(back), "007f80ffag"), -EINVAL);
	assert_int_equal(hex_decode(back, sizeof(back), " 07f80ffa5"), -EINVAL);
	assert_int_equal(hex_decode(back, sizeof(back), ""), -EINVAL);
	assert_int_equal(hex_decode(back, 0, ""), 0);
}

static void test_printable(void **state)
{
	char text[] = "a \033[2J\r\n\t~\x7f\x9b\xc3\xa4z";

	(void)state;
	text_printable(text);
	assert_string_equal(text, "a ?[2J???~????z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_name_set),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
