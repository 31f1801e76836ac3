/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A disk that takes its time: the linker has fsync() go through here (meson.build)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "ap/users/writer.h"
#include "base/auto.h"
#include "base/err.h"

static char dir[64];
static uv_loop_t loop;
static uv_sem_t begun, may_go_on; /* of each call of fsync() */
static int syncs;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	uv_sem_post(&begun);
	uv_sem_wait(&may_go_on);
	syncs++;
	return __real_fsync(fd);
}

static void put(struct user_writer *uw, const char *name, const char *text)
{
	assert_int_equal(user_writer_put(uw, name, text, NULL), 0);
}

/* Return: length of the file, -1 if there is none */
static int content(char *to, size_t size, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	size_t n = fread(to, 1, size - 1, f);
	to[n] = '\0';
	return (int)n;
}

static void go_on(int calls)
{
	for (int i = 0; i < calls; i++)
		uv_sem_post(&may_go_on);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_user_writer.XXXXXX");
	syncs = 0;
	return mkdtemp(dir) && uv_loop_init(&loop) == 0 && uv_sem_init(&begun, 0) == 0 &&
			       uv_sem_init(&may_go_on, 0) == 0
		       ? 0
		       : -1;
}

static int tear_down(void **state)
{
	char path[128];

	(void)state;
	uv_sem_destroy(&begun);
	uv_sem_destroy(&may_go_on);
	(void)snprintf(path, sizeof(path), "%s/a.json", dir);
	(void)unlink(path);
	return rmdir(dir) == 0 ? uv_loop_close(&loop) : -1;
}

/* Nobody waits for the disk, and the newest state of each file is the one that stays */
static void test_slow_disk(void **state)
{
	struct user_writer *uw = NULL;
	char text[16];

	(void)state;
	assert_int_equal(user_writer_new(&uw, &loop, dir, NULL), 0);
	put(uw, "a.json", "1");
	uv_sem_wait(&begun);
	put(uw, "a.json", "2");
	put(uw, "b.json", "x");
	put(uw, "a.json", "3");
	assert_false(user_writer_removes(uw, "b.json"));
	put(uw, "b.json", NULL);
	assert_true(user_writer_removes(uw, "b.json"));
	assert_false(user_writer_removes(uw, "a.json"));
	go_on(4); /* file and directory, of the first state and the last */
	user_writer_close(uw);
	assert_int_equal(syncs, 4);
	assert_int_equal(content(text, sizeof(text), "a.json"), 1);
	assert_string_equal(text, "3");
	assert_int_equal(content(text, sizeof(text), "b.json"), -1);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

/* What is put when the thread has just ended is written, too; what fails holds nothing up */
static void test_again(void **state)
{
	struct user_writer *uw = NULL;
	char text[16];

	(void)state;
	assert_int_equal(user_writer_new(&uw, &loop, dir, NULL), 0);
	go_on(4);
	put(uw, "nowhere/a.json", "1");
	put(uw, "a.json", "22");
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(content(text, sizeof(text), "a.json"), 2);
	put(uw, "a.json", "333");
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(content(text, sizeof(text), "a.json"), 3);
	put(uw, "a.json", NULL);
	user_writer_close(uw);
	assert_int_equal(content(text, sizeof(text), "a.json"), -1);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slow_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
