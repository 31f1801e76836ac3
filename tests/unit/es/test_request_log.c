/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/protection/request_log.h"

#define S         0x1234
#define FILE_OF_S "0000000000001234.requests"

static char dir[] = "/tmp/request-log-XXXXXX";
static struct request_log *log_;

static void add(uint64_t number, const char *bytes)
{
	const struct wire_data request = {
		.number = number,
		.preamble = 1,
		.connection = (uint32_t)number + 100,
		.segment = WIRE_SEGMENT_LAST,
		.bytes = (const uint8_t *)bytes,
		.len = strlen(bytes),
	};

	assert_int_equal(request_log_add(log_, S, &request, NULL), 0);
}

static void expect(uint64_t number, const char *bytes, uint64_t digest)
{
	struct wire_data request;
	struct es_logged of;

	assert_int_equal(request_log_read(log_, S, number, &request, &of, NULL), 0);
	assert_int_equal(request.number, number);
	assert_int_equal(request.preamble, 1);
	assert_int_equal(request.connection, number + 100);
	assert_int_equal(request.segment, WIRE_SEGMENT_LAST);
	assert_int_equal(request.len, strlen(bytes));
	assert_memory_equal(request.bytes, bytes, request.len);
	assert_int_equal(of.digest, digest);
	assert_false(of.in_doubt);
}

static void again(void)
{
	log_ = request_log_free(log_);
	assert_int_equal(request_log_open(&log_, dir, NULL), 0);
}

static off_t size_now(void)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/" FILE_OF_S, dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	return st.st_size;
}

static void cut_to(off_t size)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/" FILE_OF_S, dir);
	assert_int_equal(truncate(path, size), 0);
}

static int set_up(void **state)
{
	(void)state;
	return request_log_open(&log_, dir, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	request_log_forget(log_, S);
	log_ = request_log_free(log_);
	return 0;
}

static void test_log(void **state)
{
	(void)state;
	assert_false(request_log_covers(log_, S, 4, 5));
	assert_true(request_log_covers(log_, S, 5, 5));
	add(5, "five");
	add(6, "");
	add(7, "seven");
	assert_int_equal(request_log_answer(log_, S, 5, (struct es_logged){ .digest = 0x55 }, NULL),
			 0);
	assert_int_equal(request_log_answer(log_, S, 9, (struct es_logged){ .digest = 0x99 }, NULL),
			 -ENOENT);
	for (int i = 0; i < 2; i++) {
		expect(5, "five", 0x55);
		expect(6, "", 0);
		expect(7, "seven", 0);
		assert_true(request_log_covers(log_, S, 4, 7));
		assert_false(request_log_covers(log_, S, 3, 7));
		assert_false(request_log_covers(log_, S, 4, 8));
		assert_false(request_log_covers(log_, S + 1, 4, 7));
		again();
	}
}

/* What was dropped is gone after a restart, too; what follows is appended */
static void test_trim(void **state)
{
	struct wire_data request;
	struct es_logged how;

	(void)state;
	for (uint64_t n = 1; n <= 300; n++)
		add(n, "request");
	assert_int_equal(request_log_answer(log_, S, 299, (struct es_logged){ .digest = 7 }, NULL),
			 0);
	off_t before = size_now();
	assert_int_equal(request_log_trim(log_, S, 298, NULL), 0);
	assert_true(size_now() < before / 50);
	add(301, "more");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(request_log_read(log_, S, 298, &request, &how, NULL), -ENOENT);
		expect(299, "request", 7);
		expect(300, "request", 0);
		expect(301, "more", 0);
		again();
	}
	assert_int_equal(request_log_trim(log_, S, 301, NULL), 0);
	assert_false(request_log_covers(log_, S, 300, 301));
}

/* A crash in the middle of a write: the torn entry is passed over, and cut off */
static void test_torn(void **state)
{
	(void)state;
	add(1, "one");
	off_t whole = size_now();
	add(2, "two");
	for (off_t size = size_now() - 1; size > whole; size--) {
		log_ = request_log_free(log_);
		cut_to(size);
		assert_int_equal(request_log_open(&log_, dir, NULL), 0);
		assert_true(request_log_covers(log_, S, 0, 1));
		assert_false(request_log_covers(log_, S, 0, 2));
		assert_int_equal(size_now(), whole);
		add(2, "two");
		again();
		expect(2, "two", 0);
	}
}

/* The program died before the container saw it, and the number was used for another one */
static void test_replaced(void **state)
{
	(void)state;
	add(1, "one");
	add(2, "two");
	add(2, "another");
	expect(2, "another", 0);
	again();
	expect(1, "one", 0);
	expect(2, "another", 0);
}

/* Its user was told that nobody knows */
static void test_doubt(void **state)
{
	const struct es_logged doubt = { .in_doubt = true };
	struct wire_data request;
	struct es_logged how;

	(void)state;
	add(1, "one");
	add(2, "two");
	assert_int_equal(request_log_answer(log_, S, 2, doubt, NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(request_log_read(log_, S, 2, &request, &how, NULL), 0);
		assert_true(how.in_doubt);
		assert_int_equal(request_log_trim(log_, S, 1, NULL), 0);
		again();
	}
}

static void count(void *ctx, uint64_t session)
{
	*(size_t *)ctx += session == S;
}

static void test_each(void **state)
{
	size_t files = 0;

	(void)state;
	add(1, "one");
	request_log_each(log_, count, &files);
	assert_int_equal(files, 1);
	request_log_forget(log_, S);
	request_log_each(log_, count, &files);
	assert_int_equal(files, 1);
}

/* Logs that have changed are synced by a thread, each once */
static void test_unsynced(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(request_log_unsynced(log_, fd, 2), 0);
	add(1, "one");
	add(2, "two");
	assert_int_equal(request_log_unsynced(log_, fd, 2), 1);
	assert_int_equal(fsync(fd[0]), 0);
	assert_int_equal(close(fd[0]), 0);
	assert_int_equal(request_log_unsynced(log_, fd, 2), 0);
	request_log_sync_each(log_, true);
	add(3, "three");
	expect(3, "three", 0);
}

static void test_damaged(void **state)
{
	struct wire_data request;
	struct es_logged how;
	char path[128];

	(void)state;
	add(1, "one");
	add(2, "two");
	(void)snprintf(path, sizeof(path), "%s/" FILE_OF_S, dir);
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, size_now() - 1), 1);
	assert_int_equal(request_log_read(log_, S, 2, &request, &how, NULL), -ENODATA);
	again();
	assert_true(request_log_covers(log_, S, 0, 1));
	assert_false(request_log_covers(log_, S, 0, 2));
	/* a file that is something else is no log */
	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	again();
	assert_false(request_log_covers(log_, S, 0, 1));
	assert_true(request_log_add(log_, S, &(struct wire_data){ .number = 3 }, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_log, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_trim, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_torn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_doubt, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_each, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unsynced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
	};

	if (!mkdtemp(dir))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(dir);
	return r;
}
