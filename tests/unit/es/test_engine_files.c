/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Engine files: each change beside a layer that the engine would act upon is seen
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/engine/engine_files.h"

/** run() - Run a command of the shell in a directory */
static void run(const char *dir, const char *command)
{
	char line[512];

	int len = snprintf(line, sizeof(line), "cd %s && { %s ; }", dir, command);
	assert_true(len > 0 && (size_t)len < sizeof(line));
	assert_int_equal(system(line), 0);
}

static const char made[] =
	"mkdir diff work merged && printf l/A:l/B >lower && printf C >link && touch committed";

static void test_changes(void **state)
{
	static const struct {
		const char *command;
		bool seen;
	} rows[] = {
		{ "true", false },
		{ "touch diff/x && mkdir baton-ahead && touch baton-ahead/y && mv baton-ahead/y "
		  "diff "
		  "&& chmod 711 diff && chown 7:7 diff",
		  false },
		{ "printf l/A:../../../../etc >lower", true },
		{ "printf l/A:l/C >lower", true },
		{ "rm lower", true },
		{ "rm lower && ln -s /etc/passwd lower", true },
		{ "rm lower && mkdir lower", true },
		{ "printf more >>committed", true },
		{ "chmod 600 link", true },
		{ "touch opts.json", true },
		{ "rm -r diff && ln -s /etc diff", true },
		{ "ln lower diff/x", true },
		{ "mv lower diff/x && ln diff/x lower", true },
		{ "cp lower l && mv l lower", true },
		{ "mv work w && mv merged work && mv w merged", true },
		{ "rmdir work && ln -s /etc work", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char dir[] = "/tmp/baton-engine-files-XXXXXX";
		struct buf before = { .data = NULL };
		struct buf after = { .data = NULL };
		struct err err = { 0 };

		assert_non_null(mkdtemp(dir));
		run(dir, made);
		assert_int_equal(engine_files_read(&before, dir, "diff", "baton-ahead", &err), 0);
		run(dir, rows[i].command);
		assert_int_equal(engine_files_read(&after, dir, "diff", "baton-ahead", &err), 0);
		assert_int_equal(before.len != after.len ||
					 memcmp(buf_bytes(&before), buf_bytes(&after), after.len) !=
						 0,
				 rows[i].seen);
		buf_deinit(&before);
		buf_deinit(&after);
		run(dir, "rm -r ./*");
		assert_int_equal(rmdir(dir), 0);
	}
}

/* Beside most volumes there is nothing before; what is there afterwards is seen */
static void test_volume(void **state)
{
	char dir[] = "/tmp/baton-engine-files-XXXXXX";
	struct buf before = { .data = NULL };
	struct buf after = { .data = NULL };
	struct err err = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	run(dir, "mkdir _data");
	assert_int_equal(engine_files_read(&before, dir, "_data", "baton-ahead", &err), 0);
	assert_true(before.len > 0);
	run(dir, "touch opts.json");
	assert_int_equal(engine_files_read(&after, dir, "_data", "baton-ahead", &err), 0);
	assert_true(after.len > before.len);
	buf_deinit(&before);
	buf_deinit(&after);
	run(dir, "rm -r ./*");
	assert_int_equal(rmdir(dir), 0);
}

static void test_limits(void **state)
{
	char dir[] = "/tmp/baton-engine-files-XXXXXX";
	struct buf to = { .data = NULL };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(engine_files_read(&to, "/no/such", "diff", "baton-ahead", &err), -ENOENT);
	assert_non_null(mkdtemp(dir));
	run(dir, "truncate -s 1G lower");
	assert_int_equal(engine_files_read(&to, dir, "diff", "baton-ahead", &err), -E2BIG);
	buf_deinit(&to);
	run(dir, "rm lower && mkfifo pipe");
	assert_int_equal(engine_files_read(&to, dir, "diff", "baton-ahead", &err), 0);
	buf_deinit(&to);
	run(dir, "touch $(seq 40)");
	assert_int_equal(engine_files_read(&to, dir, "diff", "baton-ahead", &err), -E2BIG);
	buf_deinit(&to);
	run(dir, "rm -r ./*");
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_volume),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
