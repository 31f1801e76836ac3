/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "runtime/arguments.h"

#define ID "0123456789abcdef"

static int count(const char *const *argv)
{
	int n = 0;

	while (argv[n])
		n++;
	return n;
}

/* The strings of a real command line are not constant, so the parser's type is not either. */
static char **writable(const char *const *argv)
{
	return (char **)(uintptr_t)argv;
}

static void parse(struct runtime_call *call, const char *const *argv)
{
	runtime_call_parse(call, count(argv), writable(argv));
}

static void test_parse(void **state)
{
	const char *const create[] = { "baton-runtime", "--root",      "/r",     "--log",    "/l",
				       "--log-format",  "json",        "create", "--bundle", "/b",
				       "--pid-file",    "/b/init.pid", ID,       NULL };
	const char *const flags[] = { "baton-runtime", "--debug", "--root=/r", "--systemd-cgroup",
				      "start",         ID,        NULL };
	const char *const no_unit[] = { "baton-runtime", "--systemd-cgroup=false", "create", ID,
					NULL };
	const char *const version[] = { "baton-runtime", "--version", NULL };
	const char *const bare[] = { "baton-runtime", "create", NULL };
	struct runtime_call call;

	(void)state;
	parse(&call, create);
	assert_int_equal(call.command, 7);
	assert_string_equal(call.id, ID);
	assert_string_equal(call.bundle, "/b");
	assert_string_equal(call.pid_file, "/b/init.pid");
	assert_string_equal(call.root, "/r");
	assert_false(call.systemd);
	parse(&call, flags);
	assert_int_equal(call.command, 4);
	assert_string_equal(call.root, "/r");
	assert_true(call.systemd);
	assert_string_equal(call.id, ID);
	assert_null(call.pid_file);
	parse(&call, no_unit);
	assert_string_equal(call.root, "/run/runc");
	assert_false(call.systemd);
	assert_string_equal(call.id, ID);
	parse(&call, version);
	assert_int_equal(call.command, 0);
	assert_null(call.id);
	parse(&call, bare);
	assert_int_equal(call.command, 1);
	assert_null(call.id);
}

static void test_id(void **state)
{
	(void)state;
	assert_true(runtime_id_valid(ID));
	assert_false(runtime_id_valid(NULL));
	assert_false(runtime_id_valid(""));
	assert_false(runtime_id_valid(".."));
	assert_false(runtime_id_valid("a/b"));
}

static void expect_restore(const char *const *argv, const char *const *want)
{
	struct runtime_call call;
	size_t n = 0;

	parse(&call, argv);
	const char **got = runtime_restore_argv(&call, count(argv), writable(argv), "runc",
						"/s/images", "/s/work");
	assert_non_null(got);
	for (; want[n]; n++) {
		assert_non_null(got[n]);
		assert_string_equal(got[n], want[n]);
	}
	assert_null(got[n]);
	free(got);
}

static void test_restore(void **state)
{
	const char *const create[] = {
		"x",          "--root",   "/r", "--log",      "/l",
		"create",     "--bundle", "/b", "--no-pivot", "--no-new-keyring",
		"--pid-file", "/p",       ID,   NULL
	};
	const char *const preserve[] = { "x", "create", "--preserve-fds", "3", "--bundle=/b",
					 ID,  NULL };
	static const char *const plain[] = {
		"runc",     "--root",       "/r",           "--log",      "/l",          "restore",
		"--detach", "--file-locks", "--image-path", "/s/images",  "--work-path", "/s/work",
		"--bundle", "/b",           "--no-pivot",   "--pid-file", "/p",          ID,
		NULL
	};
	static const char *const without[] = {
		"runc",         "restore",   "--detach",    "--file-locks",
		"--image-path", "/s/images", "--work-path", "/s/work",
		"--bundle=/b",  ID,          NULL
	};

	(void)state;
	expect_restore(create, plain);
	expect_restore(preserve, without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
