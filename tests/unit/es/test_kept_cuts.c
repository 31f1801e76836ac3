/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "es/protection/kept_cuts.h"
#include "es/worker/file_worker.h"

#define S 0x1234

static const char *program; /* baton-file-worker */
static char dir[] = "/tmp/kept-cuts-XXXXXX";

static size_t entries(void)
{
	struct dirent **list;
	int n = scandir(dir, &list, NULL, NULL);

	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	return n < 2 ? 0 : (size_t)n - 2;
}

static void keep(uint64_t session, uint64_t number)
{
	char part[PATH_MAX];
	char file[PATH_MAX + 16];
	json_t *plan = json_pack("{s:I}", "number", (json_int_t)number);

	assert_int_equal(kept_cuts_begin(part, dir, session, number, NULL), 0);
	(void)snprintf(file, sizeof(file), "%s/memory", part);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_int_equal(kept_cuts_finish(dir, session, number, plan, NULL), 0);
	json_decref(plan);
}

static uint64_t newest(uint64_t session)
{
	uint64_t number = 0;

	return kept_cuts_newest(dir, session, &number) == 0 ? number : UINT64_MAX;
}

static void sweep(void)
{
	struct file_workers *workers;

	assert_int_equal(file_workers_new(&workers, program, NULL, NULL), 0);
	kept_cuts_sweep(dir, workers);
	(void)file_workers_free(workers);
}

static int set_up(void **state)
{
	(void)state;
	return kept_cuts_prepare(dir, NULL);
}

static void test_keep(void **state)
{
	json_t *plan = NULL;

	(void)state;
	assert_int_equal(newest(S), UINT64_MAX);
	keep(S, 9);
	keep(S + 1, 500);
	assert_int_equal(newest(S), 9);
	keep(S, 10);
	assert_int_equal(newest(S), 10);
	assert_int_equal(newest(S + 1), 500);
	assert_int_equal(kept_cuts_plan(&plan, dir, S, 10, NULL), 0);
	assert_int_equal(json_integer_value(json_object_get(plan, "number")), 10);
	json_decref(plan);
	assert_int_equal(kept_cuts_plan(&plan, dir, S, 9, NULL), -EPROTO);
	assert_int_equal(entries(), 3);
	sweep();
	assert_int_equal(entries(), 2);
	kept_cuts_doom(dir, S);
	assert_int_equal(newest(S), UINT64_MAX);
	assert_int_equal(newest(S + 1), 500);
	kept_cuts_doom(dir, S + 1);
	sweep();
	assert_int_equal(entries(), 0);
}

/* The same number again: nothing was executed since, but for what the service does by itself */
static void test_same_number(void **state)
{
	(void)state;
	keep(S, 3);
	keep(S, 3);
	keep(S, 3);
	assert_int_equal(newest(S), 3);
	kept_cuts_doom(dir, S);
	sweep();
	assert_int_equal(entries(), 0);
}

/* A crash while a cut is written: it is no cut, and goes at the next start */
static void test_unfinished(void **state)
{
	char part[PATH_MAX];
	struct err err = { 0 };

	(void)state;
	keep(S, 3);
	assert_int_equal(kept_cuts_begin(part, dir, S, 4, NULL), 0);
	assert_int_equal(kept_cuts_begin(part, dir, S, 4, &err), -EEXIST);
	assert_int_equal(newest(S), 3);
	assert_int_equal(kept_cuts_prepare(dir, NULL), 0);
	assert_int_equal(kept_cuts_begin(part, dir, S, 4, NULL), 0);
	assert_int_equal(newest(S), 3);
	assert_int_equal(kept_cuts_prepare(dir, NULL), 0);
	kept_cuts_doom(dir, S);
	sweep();
	assert_int_equal(entries(), 0);
}

/* Names that are not ours are left alone */
static void test_foreign_names(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/0000000000001234.requests", dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(newest(S), UINT64_MAX);
	kept_cuts_doom(dir, S);
	assert_int_equal(kept_cuts_prepare(dir, NULL), 0);
	sweep();
	assert_int_equal(entries(), 1);
	assert_int_equal(unlink(path), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_keep, set_up),
		cmocka_unit_test_setup(test_same_number, set_up),
		cmocka_unit_test_setup(test_unfinished, set_up),
		cmocka_unit_test_setup(test_foreign_names, set_up),
	};

	program = argc > 1 ? argv[1] : "";
	if (geteuid() != 0) {
		(void)printf("SKIP: needs root: a file worker makes mounts\n");
		return 77;
	}
	if (!mkdtemp(dir))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(dir);
	return r;
}
