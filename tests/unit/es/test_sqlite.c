/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "es/container/sqlite.h"

static char dir[] = "/tmp/baton-sqlite-XXXXXX";
static char path[64];

/* A file with the beginning of a database whose header has this in byte 18 */
static int database(const char *beginning, uint8_t writer)
{
	uint8_t page[512] = { 0 };
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)snprintf((char *)page, sizeof(page), "%s", beginning);
	page[18] = writer;
	assert_int_equal(pwrite(fd, page, sizeof(page), 0), sizeof(page));
	return fd;
}

static size_t findings(void)
{
	const pid_t pids[] = { getpid(), -1 };
	json_t *list = json_array();

	container_sqlite_check(list, pids, 2);
	size_t count = json_array_size(list);
	if (count)
		assert_non_null(strstr(
			json_string_value(json_object_get(json_array_get(list, 0), "what")), path));
	json_decref(list);
	return count;
}

static void test_kept_open(void **state)
{
	int fd = database("SQLite format 3", 1);

	(void)state;
	assert_int_equal(findings(), 1);
	(void)close(fd);
	assert_int_equal(findings(), 0);
}

static void test_others(void **state)
{
	int fifo[2];
	int fd = database("SQLite format 3", 2); /* write-ahead log */

	(void)state;
	assert_int_equal(findings(), 0);
	(void)close(fd);
	fd = database("SQLite format 2", 1);
	assert_int_equal(findings(), 0);
	assert_int_equal(ftruncate(fd, 3), 0);
	assert_int_equal(findings(), 0);
	(void)close(fd);
	assert_int_equal(pipe(fifo), 0); /* must not be waited for */
	assert_int_equal(findings(), 0);
	(void)close(fifo[0]);
	(void)close(fifo[1]);
}

/* struct opener - Opens the database anew all the time, at another descriptor each time */
struct opener {
	pthread_t thread;
	atomic_bool enough;
};

static void *open_and_close(void *ctx)
{
	struct opener *o = ctx;
	int before = open(path, O_RDONLY | O_CLOEXEC);

	while (!atomic_load(&o->enough)) {
		int next = open(path, O_RDONLY | O_CLOEXEC);

		(void)close(before);
		before = next;
	}
	(void)close(before);
	return NULL;
}

/* One that is opened for each transaction does no harm, and may be open whenever we look */
static void test_opened_anew(void **state)
{
	struct opener o = { 0 };

	(void)state;
	(void)close(database("SQLite format 3", 1));
	assert_int_equal(pthread_create(&o.thread, NULL, open_and_close, &o), 0);
	/* each of five looks finds it at the same one of two descriptors once in 16 times */
	size_t found = 0;
	for (int i = 0; i < 8; i++)
		found += findings() > 0;
	atomic_store(&o.enough, true);
	(void)pthread_join(o.thread, NULL);
	assert_true(found < 8);
}

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/data.db", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	return unlink(path) < 0 ? -1 : rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_open),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_opened_anew),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
