/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cgroup root: the path that runc makes of what the engine wants, and nothing else reaches CRIU
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "runtime/cgroup_root.h"

static void path(const char *wanted, bool systemd, const char *expected)
{
	char to[CGROUP_ROOT_MAX] = "";

	assert_int_equal(cgroup_root_of(to, wanted, systemd), 0);
	assert_string_equal(to, expected);
}

static void test_systemd(void **state)
{
	(void)state;
	path("system.slice:docker:c0ffee", true, "/system.slice/docker-c0ffee.scope");
	path(":docker:c0ffee", true, "/system.slice/docker-c0ffee.scope");
	path("a.slice:docker:c0ffee", true, "/a.slice/docker-c0ffee.scope");
	path("a-b-cd.slice:docker:c0ffee", true,
	     "/a.slice/a-b.slice/a-b-cd.slice/docker-c0ffee.scope");
	path("-.slice:docker:c0ffee", true, "/docker-c0ffee.scope");
	path("system.slice:docker:own.slice", true, "/system.slice/own.slice");
}

static void test_cgroupfs(void **state)
{
	(void)state;
	path("/docker/c0ffee", false, "/docker/c0ffee");
	path("/lab-pc1/c0ffee", false, "/lab-pc1/c0ffee");
	/* without --systemd-cgroup it is a path, whatever it looks like */
	path("/a:b:c", false, "/a:b:c");
}

static void refused(const char *wanted, bool systemd)
{
	char to[CGROUP_ROOT_MAX] = "before";

	if (cgroup_root_of(to, wanted, systemd) != -EINVAL)
		fail_msg("%s", wanted);
	assert_string_equal(to, "before");
}

static void test_refused(void **state)
{
	static const char *const units[] = { "",
					     "/docker/c0ffee",
					     "system.slice:docker",
					     "system.slice:docker:",
					     "system.slice:docker:a:b",
					     "system.slice:docker:a/b",
					     "system.slice:a/b:c0ffee",
					     "system:docker:c0ffee",
					     ".slice:docker:c0ffee",
					     "a/b.slice:docker:c0ffee",
					     "a--b.slice:docker:c0ffee",
					     "-a.slice:docker:c0ffee",
					     "a-.slice:docker:c0ffee",
					     "a.slice:docker:b c" };
	static const char *const paths[] = {
		"",     "docker/c0ffee", "/a b",      "/a\ntcp-close", "/a/../../b", "/..",
		"/a#b", "/\"a\"",        "/\xc3\xa4", "/a\\b",         "/a/b/.."
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		refused(units[i], true);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		refused(paths[i], false);
}

static void test_long(void **state)
{
	char wanted[CGROUP_ROOT_MAX + 1];
	char to[CGROUP_ROOT_MAX];

	(void)state;
	memset(wanted, 'a', sizeof(wanted));
	wanted[0] = '/';
	wanted[CGROUP_ROOT_MAX] = '\0';
	assert_int_equal(cgroup_root_of(to, wanted, false), -ENAMETOOLONG);
	wanted[CGROUP_ROOT_MAX - 1] = '\0';
	path(wanted, false, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_systemd),
		cmocka_unit_test(test_cgroupfs),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
