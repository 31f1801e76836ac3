/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void test_set(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(err_set(&err, -ENOENT, "open %s", "/x"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.text, "open /x: No such file or directory");
	/* what these two mean is for the caller's own words to say */
	assert_int_equal(err_set(&err, -EPROTO, "length %d", 7), -EPROTO);
	assert_string_equal(err.text, "length 7");
	assert_int_equal(err_set(&err, -EINVAL, "no such thing"), -EINVAL);
	assert_string_equal(err.text, "no such thing");
}

static void test_wrap(void **state)
{
	struct err err = { 0 };

	(void)state;
	(void)err_set(&err, -EACCES, "open /y");
	assert_int_equal(err_wrap(&err, -EACCES, "start %s", "AP-1"), -EACCES);
	assert_string_equal(err.text, "start AP-1: open /y: Permission denied");
	assert_int_equal(err_wrap(&err, -EIO, "baton"), -EIO); /* the code may change on the way */
	assert_int_equal(err.code, -EIO);
}

/* Whether trying again helps goes up with the reason, and no further than that reason */
static void test_lasting(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(err_lasting(&err, err_set(&err, -EPERM, "privileged")), -EPERM);
	assert_int_equal(err_wrap(&err, -EPERM, "prepare"), -EPERM);
	assert_true(err.lasting);
	(void)err_set(&err, -EPIPE, "send");
	assert_false(err.lasting);
	assert_int_equal(err_lasting(NULL, -EPERM), -EPERM);
}

static void test_nobody_listens(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -EIO, "%s", "x"), -EIO);
	assert_int_equal(err_wrap(NULL, -EIO, "%s", "x"), -EIO);
}

/* R9: one line of bounded length, whatever goes in */
static void test_long(void **state)
{
	struct err err = { 0 };
	char word[2 * ERR_TEXT_MAX];

	(void)state;
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	(void)err_set(&err, -ENOMEM, "%s", word);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	for (int i = 0; i < 3; i++)
		(void)err_wrap(&err, -ENOMEM, "level %d", i);
	assert_true(strlen(err.text) < ERR_TEXT_MAX);
	assert_int_equal(strncmp(err.text, "level 2: level 1: level 0: www", 30), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),     cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_lasting), cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
