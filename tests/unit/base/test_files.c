/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files of a process: directories of a daemon's own
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

static void test_directory(void **state)
{
	char home[] = "/tmp/baton-files-XXXXXX";
	char path[PATH_MAX];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(home));
	(void)snprintf(path, sizeof(path), "%s/run/work", home);
	assert_int_equal(files_directory(path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* what is there stays as it is */
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(files_directory(path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(rmdir(path), 0);
	(void)snprintf(path, sizeof(path), "%s/run", home);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(home), 0);
	assert_int_equal(files_directory("/dev/null/run"), -ENOTDIR);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(files_directory(path), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
