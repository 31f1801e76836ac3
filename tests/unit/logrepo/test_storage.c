/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "logrepo/file_writer.h"
#include "logrepo/storage_management.h"

static char dir[64], path[128];

static struct storage *open_store(uint64_t file_bytes, uint64_t files)
{
	struct file_writer_config config = { path, file_bytes, files };
	struct storage_backend backend;
	struct storage *s = NULL;
	struct err err = { 0 };

	if (file_writer_open(&backend, &config, &err) < 0 || storage_new(&s, &backend, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static void store(struct storage *s, uint64_t first, uint32_t count)
{
	struct wire_event e[256] = { 0 };
	struct err err = { 0 };
	uint32_t sent = 0;

	for (uint32_t i = 0; i < count; i++) {
		e[i].time_us = 1700000000000000u + first + i;
		e[i].number = first + i;
		e[i].session = (first + i) % 2 ? 0xfedcba9876543210 : 0;
		strcpy(e[i].node, (first + i) % 3 ? "AP-1" : "USER");
		strcpy(e[i].kind, "SVCQ");
		strcpy(e[i].detail, "\"quoted\" \xff");
	}
	/* each node sends its own */
	while (sent < count) {
		struct wire_events batch = { .event = e + sent };

		while (sent + batch.count < count &&
		       strcmp(batch.event[batch.count].node, batch.event->node) == 0)
			batch.count++;
		if (storage_store(s, batch.event->node, &batch, &err) < 0)
			fail_msg("%s", err.text);
		sent += batch.count;
	}
}

/* One page. Return: number of events; @first, @last their numbers; @cursor for the next page */
static size_t page(struct storage *s, const char *filter, uint64_t *first, uint64_t *last,
		   char cursor[64], bool *more)
{
	struct buf answer;
	struct err err = { 0 };
	json_error_t why;
	const char *next;
	int full;

	buf_init(&answer, 0);
	if (storage_query(s, filter, strlen(filter), &answer, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(answer.len <= WIRE_TEXT_MAX);
	json_t *j = json_loadb((char *)buf_bytes(&answer), answer.len, 0, &why);
	assert_non_null(j);
	json_t *events = json_object_get(j, "events");
	size_t n = json_array_size(events);
	*first = *last = 0;
	if (n) {
		json_t *a = json_array_get(events, 0), *b = json_array_get(events, n - 1);

		*first = (uint64_t)json_integer_value(json_object_get(a, "number"));
		*last = (uint64_t)json_integer_value(json_object_get(b, "number"));
	}
	assert_int_equal(json_unpack(j, "{s:s, s:b}", "cursor", &next, "more", &full), 0);
	(void)snprintf(cursor, 64, "%s", next);
	*more = full;
	json_decref(j);
	buf_deinit(&answer);
	return n;
}

static size_t files_in_dir(void)
{
	size_t n = 0;
	struct dirent *e;
	DIR *d = opendir(dir);

	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void test_pages(void **state)
{
	struct storage *s = open_store(1u << 20, 4);
	uint64_t first, last;
	char cursor[64], filter[256];
	bool more;

	(void)state;
	for (uint64_t n = 1; n <= 2500; n += 250)
		store(s, n, 250);
	assert_int_equal(storage_stored(s), 2500);
	assert_int_equal(page(s, "", &first, &last, cursor, &more), STORAGE_PAGE_MAX);
	assert_true(more && first == 1 && last == STORAGE_PAGE_MAX);
	(void)snprintf(filter, sizeof(filter), "{\"cursor\":\"%s\",\"limit\":500}", cursor);
	assert_int_equal(page(s, filter, &first, &last, cursor, &more), 500);
	assert_true(more && first == 1001 && last == 1500);
	(void)snprintf(filter, sizeof(filter), "{\"cursor\":\"%s\"}", cursor);
	assert_int_equal(page(s, filter, &first, &last, cursor, &more), 1000);
	assert_true(first == 1501 && last == 2500);
	/* follow: the cursor at the end gives what comes later */
	(void)snprintf(filter, sizeof(filter), "{\"cursor\":\"%s\"}", cursor);
	assert_int_equal(page(s, filter, &first, &last, cursor, &more), 0);
	assert_false(more);
	store(s, 2501, 1);
	assert_int_equal(page(s, filter, &first, &last, cursor, &more), 1);
	assert_int_equal(first, 2501);

	assert_int_equal(page(s, "{\"session\":\"fedcba9876543210\",\"limit\":10}", &first, &last,
			      cursor, &more),
			 10);
	assert_true(first == 1 && last == 19);
	assert_int_equal(page(s, "{\"node\":\"USER\",\"since_us\":1700000000002499}", &first, &last,
			      cursor, &more),
			 1);
	assert_int_equal(first, 2499);
	assert_int_equal(page(s, "{\"kind\":\"T1\"}", &first, &last, cursor, &more), 0);
	storage_free(s);
}

static void test_bad_filters(void **state)
{
	static const char *const bad[] = { "{",
					   "[]",
					   "{\"x\":1}",
					   "{\"limit\":0}",
					   "{\"limit\":1001}",
					   "{\"node\":1}",
					   "{\"cursor\":\"1\"}",
					   "{\"cursor\":\"1:2x\"}",
					   "{\"session\":\"xyz\"}",
					   "{\"since_us\":-1}",
					   "x" };
	struct storage *s = open_store(1u << 20, 4);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct buf answer;
		struct err err = { 0 };

		buf_init(&answer, 0);
		if (storage_query(s, bad[i], strlen(bad[i]), &answer, &err) != -EINVAL)
			fail_msg("accepted %s", bad[i]);
		buf_deinit(&answer);
	}
	storage_free(s);
}

static void test_rotation(void **state)
{
	struct storage *s = open_store(20000, 3);
	uint64_t first, last;
	char cursor[64], filter[128];
	bool more;

	(void)state;
	for (uint64_t n = 1; n <= 1000; n += 50)
		store(s, n, 50);
	assert_int_equal(files_in_dir(), 3);
	/* what was removed is gone, the rest is whole and in order */
	size_t n = page(s, "", &first, &last, cursor, &more);
	assert_int_equal(last, 1000);
	assert_int_equal(last - first + 1, n);
	assert_true(first > 1);
	/* a cursor into a removed file goes on at the oldest */
	assert_int_equal(page(s, "{\"cursor\":\"1:0\"}", &first, &last, cursor, &more), n);
	/* a cursor outlives the rotation of its file, and a restart */
	store(s, 1001, 1);
	(void)snprintf(filter, sizeof(filter), "{\"cursor\":\"%s\"}", cursor);
	for (uint64_t i = 1002; i <= 1140; i += 20)
		store(s, i, 20);
	storage_free(s);
	s = open_store(20000, 3);
	page(s, filter, &first, &last, cursor, &more);
	assert_int_equal(first, 1001);
	assert_int_equal(last, 1141);
	storage_free(s);
}

static void test_torn_line(void **state)
{
	uint64_t first, last;
	char cursor[64];
	struct stat st;
	bool more;

	(void)state;
	struct storage *s = open_store(1u << 20, 4);
	store(s, 1, 3);
	storage_free(s);
	assert_int_equal(stat(path, &st), 0);
	/* a crash in the middle of the last line, at every byte of it */
	for (off_t cut = st.st_size - 1; cut > st.st_size - 100; cut--) {
		assert_int_equal(truncate(path, cut), 0);
		s = open_store(1u << 20, 4);
		assert_int_equal(page(s, "", &first, &last, cursor, &more), 2);
		store(s, 3, 1);
		assert_int_equal(page(s, "", &first, &last, cursor, &more), 3);
		assert_int_equal(last, 3);
		storage_free(s);
	}
	/* rubbish in the middle is passed over; a file without any line is emptied */
	FILE *f = fopen(path, "a");
	assert_non_null(f);
	assert_true(fputs("{}\nrubbish\n\n[1]\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	s = open_store(1u << 20, 4);
	store(s, 4, 1);
	assert_int_equal(page(s, "", &first, &last, cursor, &more), 4);
	storage_free(s);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 5000; i++)
		(void)fputc('x', f);
	assert_int_equal(fclose(f), 0);
	s = open_store(1u << 20, 4);
	assert_int_equal(page(s, "", &first, &last, cursor, &more), 0);
	storage_free(s);
}

/* A disk that is full in the middle of a batch: nothing of it stays, later ones are whole */
static void test_full_disk(void **state)
{
	struct rlimit before, small;
	struct wire_event e[64] = { 0 };
	struct wire_events batch = { .count = 64, .event = e };
	struct err err = { 0 };
	uint64_t first, last;
	char cursor[64];
	bool more;

	(void)state;
	struct storage *s = open_store(1u << 20, 4);
	store(s, 1, 10);
	for (int i = 0; i < 64; i++) {
		strcpy(e[i].node, "AP-1");
		strcpy(e[i].kind, "SVCQ");
	}
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 3000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(storage_store(s, "AP-1", &batch, &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(storage_lost(s), 64);
	store(s, 11, 1);
	assert_int_equal(page(s, "", &first, &last, cursor, &more), 11);
	assert_int_equal(last, 11);
	storage_free(s);
}

static void test_loss_shows(void **state)
{
	struct wire_events batch = { .dropped = 42 };
	struct err err = { 0 };
	uint64_t first, last;
	char cursor[64];
	bool more;

	(void)state;
	struct storage *s = open_store(1u << 20, 4);
	assert_int_equal(storage_store(s, "EdgeServer-1", &batch, &err), 0);
	assert_int_equal(page(s, "{\"kind\":\"EVENTS DROPPED\",\"node\":\"EdgeServer-1\"}", &first,
			      &last, cursor, &more),
			 1);
	assert_int_equal(first, 42);
	assert_int_equal(storage_lost(s), 42);
	storage_free(s);
}

/* A user's device must not be able to write what an edge server has done (R16) */
static void test_whose_events(void **state)
{
	struct wire_event e[2] = { { .node = "USER", .kind = "SVCQ" },
				   { .node = "EdgeServer-1", .kind = "T8" } };
	struct wire_events batch = { .count = 2, .event = e };
	struct err err = { 0 };
	uint64_t first, last;
	char cursor[64];
	bool more;

	(void)state;
	struct storage *s = open_store(1u << 20, 4);
	assert_int_equal(storage_store(s, "USER", &batch, &err), -EPERM);
	assert_non_null(strstr(err.text, "USER reports an event of EdgeServer-1"));
	assert_int_equal(storage_lost(s), 2);
	assert_int_equal(page(s, "", &first, &last, cursor, &more), 0);
	storage_free(s);
}

static void test_one_writer(void **state)
{
	struct file_writer_config config = { path, 1u << 20, 4 };
	struct storage_backend second;
	struct err err = { 0 };

	(void)state;
	struct storage *s = open_store(1u << 20, 4);
	assert_int_equal(file_writer_open(&second, &config, &err), -EWOULDBLOCK);
	assert_non_null(strstr(err.text, "does another baton-logrepo run?"));
	storage_free(s);
	config.path = "/nowhere/events";
	assert_int_equal(file_writer_open(&second, &config, &err), -ENOENT);
}

static int dir_make(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/baton-test-logrepo-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/events.jsonl", dir);
	return 0;
}

static int dir_remove(void **state)
{
	char file[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(dir);

	(void)state;
	while (d && (e = readdir(d))) {
		(void)snprintf(file, sizeof(file), "%s/%s", dir, e->d_name);
		(void)unlink(file);
	}
	if (d)
		closedir(d);
	return rmdir(dir);
}

int main(void)
{
#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, dir_make, dir_remove)
	const struct CMUnitTest tests[] = {
		DIR_TEST(test_pages),        DIR_TEST(test_bad_filters), DIR_TEST(test_rotation),
		DIR_TEST(test_torn_line),    DIR_TEST(test_full_disk),   DIR_TEST(test_loss_shows),
		DIR_TEST(test_whose_events), DIR_TEST(test_one_writer),
	};

	return cmocka_run_group_tests_name("logrepo/storage", tests, NULL, NULL);
}
