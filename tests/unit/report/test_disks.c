/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that fills up and gets room again; it is a tmpfs, which needs root */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/log.h"
#include "report/disks.h"

static char at[64];

struct seen {
	int looks;
	int bad;
	struct disks_view view;
	char trouble[64];
};

static int set_up(void **state)
{
	(void)state;
	strcpy(at, "/tmp/baton-disks-XXXXXX");
	if (!mkdtemp(at) || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", at, "tmpfs", 0, "size=4m") < 0)
		at[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return !at[0] || (umount2(at, MNT_DETACH) == 0 && rmdir(at) == 0) ? 0 : -1;
}

static void on_looked(void *ctx)
{
	((struct seen *)ctx)->looks++;
}

static void on_bad(void *ctx, const struct disks_view *view)
{
	struct seen *s = ctx;

	s->bad++;
	s->view = *view;
	(void)snprintf(s->trouble, sizeof(s->trouble), "%s", view->trouble);
}

static void fill(const char *name)
{
	static char bytes[1 << 16];
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", at, name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
}

static void look(uv_loop_t *loop, struct seen *s, const struct disks *d)
{
	int until = s->looks + 2; /* the first may have begun before */

	while (s->looks < until)
		(void)uv_run(loop, UV_RUN_ONCE);
	s->bad = 0;
	disks_each_bad(d, on_bad, s);
}

static void test_full(void **state)
{
	struct disks_place place[] = {
		{ "state_dir", at, "make room" },
		{ "image_dir", at, "make room" },
		{ "spool_dir", "/nowhere/at/all", "make room" },
		{ "checkpoint_dir", NULL, "make room" },
	};
	struct seen s = { 0 };
	struct disks *d = NULL;
	uv_loop_t loop;
	char path[128];

	(void)state;
	if (!at[0]) {
		print_message("SKIP: no tmpfs can be mounted here\n");
		skip();
	}
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(disks_new(&d, &loop, place, 4, on_looked, &s, NULL), 0);
	look(&loop, &s, d);
	assert_int_equal(s.bad, 0);
	assert_int_equal(disks_view(d, 0).bytes, 4 << 20);
	fill("hog");
	look(&loop, &s, d);
	assert_int_equal(s.bad, 2); /* a missing directory is not full */
	assert_true(s.view.low);
	assert_int_equal(s.view.free, 0);
	(void)snprintf(path, sizeof(path), "%s/hog", at);
	assert_int_equal(unlink(path), 0);
	disks_trouble(d, 1, "3 sessions wait");
	look(&loop, &s, d);
	assert_int_equal(s.bad, 1);
	assert_string_equal(s.view.what, "image_dir");
	assert_false(s.view.low);
	assert_string_equal(s.trouble, "3 sessions wait");
	disks_trouble(d, 1, NULL);
	look(&loop, &s, d);
	assert_int_equal(s.bad, 0);
	disks_close(d);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* It is closed while a look runs */
static void test_close(void **state)
{
	struct disks_place place[] = { { "state_dir", "/tmp", "make room" } };
	struct disks *d = NULL;
	struct seen s = { 0 };
	uv_loop_t loop;

	(void)state;
	for (int turns = 0; turns < 3; turns++) {
		assert_int_equal(uv_loop_init(&loop), 0);
		assert_int_equal(disks_new(&d, &loop, place, 1, on_looked, &s, NULL), 0);
		for (int i = 0; i < turns; i++)
			(void)uv_run(&loop, UV_RUN_NOWAIT);
		disks_close(d);
		assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
		assert_int_equal(uv_loop_close(&loop), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
