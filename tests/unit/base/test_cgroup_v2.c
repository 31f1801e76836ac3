/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Control groups version 2: who stands aside mounts them and takes nothing from the host
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/cgroup_v2.h"

/** first_line() - Read the first line of a file that has @key, or "" */
static void first_line(char *to, size_t size, const char *path, const char *key)
{
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *line = NULL;
	size_t room = 0;

	*to = '\0';
	while (f && !*to && getline(&line, &room, f) > 0)
		if (strstr(line, key))
			(void)snprintf(to, size, "%s", line);
}

/** namespace_of_self() - Inode of our cgroup namespace */
static ino_t namespace_of_self(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/self/ns/cgroup", &st), 0);
	return st.st_ino;
}

/** mount_aside() - In a child: stand aside, mount. Return: exit status, 0 if all is as it should be */
static int mount_aside(const char *dir)
{
	char before[4096];
	char after[4096];

	first_line(before, sizeof(before), "/proc/self/cgroup", ":");
	if (cgroup_v2_step_aside() < 0)
		return 1;
	first_line(after, sizeof(after), "/proc/self/cgroup", ":");
	if (strcmp(before, after) != 0)
		return 2;
	if (!cgroup_v2_alone())
		return 0;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 3;
	return mount("none", dir, "cgroup2", 0, NULL) < 0 ? 4 : 0;
}

static void test_step_aside(void **state)
{
	char dir[] = "/tmp/baton-test-XXXXXX";
	char before[4096];
	char after[4096];
	ino_t own = namespace_of_self();
	int status = 0;
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	first_line(before, sizeof(before), "/proc/self/mountinfo", " - cgroup2 ");
	assert_non_null(mkdtemp(dir));
	child = fork();
	if (child == 0)
		_exit(mount_aside(dir));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(rmdir(dir), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* Ours is as it was, and so is the mount of all. */
	assert_int_equal(namespace_of_self(), own);
	first_line(after, sizeof(after), "/proc/self/mountinfo", " - cgroup2 ");
	assert_string_equal(after, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
