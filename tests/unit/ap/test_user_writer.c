/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A disk that takes its time, or has no room: the linker has fsync() and openat() go through here (meson.build)
 */

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
#include <unistd.h>
#include <uv.h>

#include "ap/users/writer.h"
#include "base/auto.h"
#include "base/err.h"

static char dir[64];
static uv_loop_t loop;
static uv_sem_t begun, may_go_on; /* of each call of fsync() */
static int syncs;

static const char *no_room; /* for the file of this name */

int __real_openat64(int at, const char *name, int flags, ...);
int __wrap_openat64(int at, const char *name, int flags, ...);

int __wrap_openat64(int at, const char *name, int flags, ...)
{
	const char *full = no_room;
	va_list args;

	if (full && strncmp(name, full, strlen(full)) == 0) {
		errno = ENOSPC;
		return -1;
	}
	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return __real_openat64(at, name, flags, mode);
}

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

/* What is put when the thread has just ended is written, too; what fails holds nothing up, and is tried again */
static void test_again(void **state)
{
	struct user_writer *uw = NULL;
	char text[16];

	(void)state;
	assert_int_equal(user_writer_new(&uw, &loop, dir, NULL), 0);
	go_on(4);
	no_room = "b.json"; /* before the thread begins */
	put(uw, "b.json", "1");
	put(uw, "a.json", "22");
	while (content(text, sizeof(text), "a.json") < 2)
		(void)uv_run(&loop, UV_RUN_ONCE);
	struct user_writer_state is = { 0 };
	user_writer_state(uw, &is);
	assert_int_equal(is.failed, 1);
	assert_int_equal(is.why.code, -ENOSPC);
	no_room = NULL;
	go_on(2);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	user_writer_state(uw, &is);
	assert_int_equal(is.failed, 0);
	assert_int_equal(content(text, sizeof(text), "b.json"), 1);
	put(uw, "b.json", NULL);
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

/* R15: a file that replaces another one is written before that one is removed, also while there is no room */
static void test_moves(void **state)
{
	struct user_writer *uw = NULL;
	char text[16];

	(void)state;
	assert_int_equal(user_writer_new(&uw, &loop, dir, NULL), 0);
	go_on(64);
	put(uw, "a.json", "1");
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	no_room = "b.json";
	assert_int_equal(user_writer_move(uw, "a.json", "b.json", "22", NULL), 0);
	assert_true(user_writer_removes(uw, "a.json"));
	put(uw, "a.json",
	    "another"); /* of another user: it must not overwrite what was not moved yet */
	assert_false(user_writer_removes(uw, "a.json"));
	assert_int_equal(user_writer_move(uw, "a.json", "c.json", "another", NULL), 0);
	put(uw, "a.json", "a third");
	for (int i = 0; i < 3; i++)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(content(text, sizeof(text), "a.json"), 1);
	assert_int_equal(content(text, sizeof(text), "b.json"), -1);
	/* there and back, before it was written */
	assert_int_equal(user_writer_move(uw, "c.json", "d.json", "4444", NULL), 0);
	assert_int_equal(user_writer_move(uw, "d.json", "c.json", "55555", NULL), 0);
	no_room = NULL;
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(content(text, sizeof(text), "b.json"), 2);
	assert_int_equal(content(text, sizeof(text), "c.json"), 5);
	assert_int_equal(content(text, sizeof(text), "d.json"), -1);
	assert_int_equal(content(text, sizeof(text), "a.json"), 7);
	assert_string_equal(text, "a third");
	put(uw, "b.json", NULL);
	put(uw, "c.json", NULL);
	user_writer_close(uw);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slow_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_moves, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
