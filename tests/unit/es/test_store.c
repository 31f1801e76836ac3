/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What baton-store writes, gzip must read: the real one is what unpacks it at the destination
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define BLOCK 65535

static const char *program;

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	char command[600];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void test_sizes(void **state)
{
	static const int sizes[] = { 0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 1 << 20 };
	char dir[] = "/tmp/baton-store-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		shell("head -c %d /dev/urandom >%s/in", sizes[i], dir);
		/* Through a pipe as from tar, in pieces of any size */
		shell("cat %s/in | '%s' --any -9 >%s/out.gz", dir, program, dir);
		shell("gzip -dc %s/out.gz | cmp - %s/in", dir, dir);
	}
	shell("rm -r %s", dir);
}

static void test_failures(void **state)
{
	(void)state;
	shell("! echo x | '%s' -d 2>/dev/null >&2", program);
	shell("! '%s' 2>/dev/null <&-", program);
	shell("! echo x | '%s' 2>/dev/null >/dev/full", program);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_failures),
	};

	if (argc != 2)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
