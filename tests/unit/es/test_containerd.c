/* SPDX-License-Identifier: Apache-2.0 */

/*
 * containerd: the layer of a container that was never started is found by its word - a real containerd
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "es/engine/containerd.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

extern char **environ;

struct bed {
	char dir[64];
	pid_t containerd;
};

static int run(const struct bed *b, const char *command)
{
	char line[1024];

	int len =
		snprintf(line, sizeof(line), "cd %s && { %s ; } >/dev/null 2>&1", b->dir, command);
	assert_true(len > 0 && (size_t)len < sizeof(line));
	return system(line);
}

/* ctr waits until containerd is there. */
static int ctr(const struct bed *b, const char *command)
{
	char line[512];

	(void)snprintf(line, sizeof(line),
		       "ctr --connect-timeout 30s -a %s/containerd/containerd.sock -n moby %s",
		       b->dir, command);
	return run(b, line);
}

static void containerd_start(struct bed *b)
{
	char config[96];
	char *argv[] = { (char *)(uintptr_t) "containerd", (char *)(uintptr_t) "--config", config,
			 NULL };
	posix_spawn_file_actions_t quiet;

	(void)snprintf(config, sizeof(config), "%s/config.toml", b->dir);
	FILE *f = fopen(config, "we");
	assert_non_null(f);
	(void)fprintf(f,
		      "version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\n"
		      "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"
		      "[grpc]\naddress = \"%s/containerd/containerd.sock\"\n",
		      b->dir, b->dir, b->dir);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(posix_spawn_file_actions_init(&quiet), 0);
	assert_int_equal(posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", 1, 0), 0);
	assert_int_equal(posix_spawnp(&b->containerd, "containerd", &quiet, NULL, argv, environ),
			 0);
	assert_int_equal(posix_spawn_file_actions_destroy(&quiet), 0);
}

static int setup(void **state)
{
	static struct bed bed;

	(void)snprintf(bed.dir, sizeof(bed.dir), "/tmp/baton-containerd-XXXXXX");
	if (!mkdtemp(bed.dir))
		return -1;
	bed.containerd = 0;
	*state = &bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;
	char line[96];

	if (b->containerd) {
		(void)kill(b->containerd, SIGTERM);
		(void)waitpid(b->containerd, NULL, 0);
	}
	(void)snprintf(line, sizeof(line), "rm -rf %s", b->dir);
	return system(line) == 0 ? 0 : -1;
}

static void test_upper(void **state)
{
	struct bed *b = *state;
	struct err err = { 0 };
	char expected[PATH_MAX];
	char upper[PATH_MAX] = "";
	struct stat st;

	if (geteuid() != 0 || run(b, "command -v containerd && command -v ctr") != 0) {
		print_message("SKIP: wants root, containerd and ctr\n");
		skip();
	}
	containerd_start(b);
	assert_int_equal(ctr(b, "snapshots prepare base"), 0);
	assert_int_equal(ctr(b, "snapshots commit image base"), 0);
	assert_int_equal(ctr(b, "snapshots prepare " ID " image"), 0);
	assert_int_equal(containerd_upper(upper, b->dir, ID, &err), 0);
	(void)snprintf(expected, sizeof(expected),
		       "%s/root/io.containerd.snapshotter.v1.overlayfs/snapshots/", b->dir);
	assert_int_equal(strncmp(upper, expected, strlen(expected)), 0);
	assert_int_equal(stat(upper, &st), 0);
	/* a container that is not there, and one whose layer is no overlay */
	assert_int_equal(containerd_upper(upper, b->dir, "other", &err), -EPROTO);
	assert_non_null(strstr(err.text, "not found"));
	assert_int_equal(ctr(b, "snapshots prepare alone"), 0);
	assert_int_equal(containerd_upper(upper, b->dir, "alone", &err), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_upper, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
