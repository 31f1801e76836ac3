/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files that outlive a crash: at every moment the whole old content or the whole new one
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/err.h"
#include "faults.h"

static char path[64];
static int dir = -1;

static int begin(void **state)
{
	(void)state;
	strcpy(path, "/tmp/baton-atomic-XXXXXX");
	if (!mkdtemp(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	(void)unlinkat(dir, "f", 0);
	(void)unlinkat(dir, "f.new", 0);
	close(dir);
	return rmdir(path);
}

static void content(char *to, size_t size)
{
	auto_close int fd = openat(dir, "f", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, to, size - 1);

	assert_true(n >= 0);
	to[n] = '\0';
}

static void test_whole(void **state)
{
	struct stat st;
	char text[16];

	(void)state;
	assert_int_equal(atomic_file_write(dir, "f", "one", 3, 0600, NULL), 0);
	assert_int_equal(atomic_file_write(dir, "f", "second", 6, 0600, NULL), 0);
	content(text, sizeof(text));
	assert_string_equal(text, "second");
	assert_int_equal(fstatat(dir, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_not_equal(faccessat(dir, "f.new", F_OK, 0), 0);
}

/* A file that is there stays as it is, and nothing is left beside it */
static void test_create(void **state)
{
	struct err err = { 0 };
	char text[16];

	(void)state;
	(void)unlinkat(dir, "f", 0);
	assert_int_equal(atomic_file_create(dir, "f", "one", 3, 0600, &err), 0);
	assert_int_equal(atomic_file_create(dir, "f", "two", 3, 0600, &err), -EEXIST);
	assert_non_null(strstr(err.text, "to f"));
	content(text, sizeof(text));
	assert_string_equal(text, "one");
	assert_int_not_equal(faccessat(dir, "f.new", F_OK, 0), 0);
}

/* A link in the place of the temporary file is not followed */
static void test_no_link(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("elsewhere", dir, "f.new"), 0);
	assert_int_equal(atomic_file_write(dir, "f", "x", 1, 0600, NULL), 0);
	assert_int_not_equal(faccessat(dir, "elsewhere", F_OK, 0), 0);
}

static void each_call(enum faults_how how)
{
	struct err err;
	char text[16];
	bool struck = true;

	for (unsigned int n = 1; struck; n++) {
		assert_true(n < 20);
		assert_int_equal(atomic_file_write(dir, "f", "old", 3, 0600, &err), 0);
		faults_disk(n, how, ENOSPC);
		int r = atomic_file_write(dir, "f", "the new", 7, 0600, &err);
		struck = faults_off();
		content(text, sizeof(text));
		if (r == 0)
			assert_string_equal(text, "the new");
		else
			assert_true(strcmp(text, "old") == 0 || strcmp(text, "the new") == 0);
	}
}

static void test_each_call_fails(void **state)
{
	(void)state;
	each_call(FAULTS_ONCE);
	each_call(FAULTS_SHORT);
	each_call(FAULTS_CRASH);
	each_call(FAULTS_TORN);
}

static void test_name_too_long(void **state)
{
	char name[ATOMIC_FILE_NAME_MAX + 2];
	struct err err;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(atomic_file_write(dir, name, "x", 1, 0600, &err), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),         cmocka_unit_test(test_create),
		cmocka_unit_test(test_no_link),       cmocka_unit_test(test_each_call_fails),
		cmocka_unit_test(test_name_too_long),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
