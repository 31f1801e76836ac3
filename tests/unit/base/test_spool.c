/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/spool.h"

static char dir[] = "/tmp/test_spool-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir); /* fails if anything was left in it */
}

static void test_bytes_come_back(void **state)
{
	struct spools *all;
	struct spool *a, *b;
	struct err err;
	char got[8];

	(void)state;
	assert_int_equal(spools_new(&all, dir, 100, &err), 0);
	assert_int_equal(spool_new(&a, all, &err), 0);
	assert_int_equal(spool_new(&b, all, &err), 0);
	assert_int_equal(spool_append(a, "abc", 3, &err), 0);
	assert_int_equal(spool_append(b, "xyz", 3, &err), 0);
	assert_int_equal(spool_append(a, "defgh", 5, &err), 0);
	assert_true(spool_length(a) == 8);
	assert_int_equal(spool_read(a, 0, got, 8, &err), 0);
	assert_memory_equal(got, "abcdefgh", 8);
	assert_int_equal(spool_read(a, 2, got, 3, &err), 0);
	assert_memory_equal(got, "cde", 3);
	assert_int_equal(spool_read(b, 1, got, 2, &err), 0);
	assert_memory_equal(got, "yz", 2);
	assert_int_equal(spool_read(b, 2, got, 2, &err), -EIO);
	spool_free(a);
	spool_free(b);
	spools_free(all);
}

/* R9: what one gives back another may take. */
static void test_limit_of_all(void **state)
{
	struct spools *all;
	struct spool *a, *b;
	struct err err;

	(void)state;
	assert_int_equal(spools_new(&all, dir, 10, &err), 0);
	assert_int_equal(spool_new(&a, all, &err), 0);
	assert_int_equal(spool_new(&b, all, &err), 0);
	assert_int_equal(spool_append(a, "0123456", 7, &err), 0);
	assert_int_equal(spool_append(b, "0123", 4, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "limit of 10 bytes"));
	assert_true(spool_length(b) == 0);
	assert_int_equal(spool_append(b, "012", 3, &err), 0);
	spool_free(a);
	assert_int_equal(spool_append(b, "3456789", 7, &err), 0);
	assert_int_equal(spool_append(b, "x", 1, &err), -ENOSPC);
	spool_free(b);
	spools_free(all);
}

/* What was read to the end need not lie there until all of it was. */
static void test_forget(void **state)
{
	static char piece[1 << 20];
	struct spools *all;
	struct spool *a;
	struct err err;
	char got;

	(void)state;
	memset(piece, 'p', sizeof(piece));
	assert_int_equal(spools_new(&all, dir, 3 << 20, &err), 0);
	assert_int_equal(spool_new(&a, all, &err), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(spool_append(a, piece, sizeof(piece), &err), 0);
	assert_true(spools_left(all) == 0);
	assert_int_equal(spool_append(a, "x", 1, &err), -ENOSPC);
	spool_forget(a, 100); /* too little to be worth it */
	assert_true(spools_left(all) == 0);
	spool_forget(a, (1 << 20) + 5);
	assert_true(spools_left(all) == 1 << 20);
	spool_forget(a, 7); /* nothing comes back */
	assert_true(spools_left(all) == 1 << 20);
	assert_int_equal(spool_append(a, "x", 1, &err), 0);
	assert_true(spool_length(a) == (3 << 20) + 1);
	assert_int_equal(spool_read(a, 1 << 20, &got, 1, &err), 0);
	assert_int_equal(got, 'p');
	assert_int_equal(spool_read(a, 3 << 20, &got, 1, &err), 0);
	assert_int_equal(got, 'x');
	spool_free(a);
	assert_true(spools_left(all) == 3 << 20);
	spools_free(all);
}

static void test_no_file_is_seen(void **state)
{
	struct spools *all;
	struct spool *a;
	struct err err;
	size_t names = 0;

	(void)state;
	assert_int_equal(spools_new(&all, dir, 10, &err), 0);
	assert_int_equal(spool_new(&a, all, &err), 0);
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		names += e->d_name[0] != '.';
	closedir(d);
	assert_true(names == 0);
	spool_free(a);
	spools_free(all);
}

static void test_errors_name_the_place(void **state)
{
	struct spools *all;
	struct spool *a;
	struct err err;

	(void)state;
	assert_int_equal(spools_new(&all, "/proc/nowhere", 10, &err), 0);
	assert_true(spool_new(&a, all, &err) < 0);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
	assert_null(spool_free(NULL));
	assert_null(spools_free(all));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_come_back),
		cmocka_unit_test(test_limit_of_all),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_no_file_is_seen),
		cmocka_unit_test(test_errors_name_the_place),
	};

	return cmocka_run_group_tests_name("spool", tests, make_dir, remove_dir);
}
