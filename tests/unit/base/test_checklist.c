/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checklist: lines and JSON, what is counted, hostile text, directories
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

#include "base/auto.h"
#include "base/checklist.h"

/* What a function of the list prints, to be freed. */
static char *printed(bool json, void (*fill)(struct checklist *), bool *good)
{
	char *text = NULL;
	size_t size = 0;
	struct checklist list;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	checklist_begin(&list, to, json);
	fill(&list);
	*good = checklist_end(&list);
	assert_int_equal(fclose(to), 0);
	return text;
}

static void fill_all(struct checklist *list)
{
	checklist_ok(list, "kernel", "6.12");
	checklist_note(list, "clock", "set it", "it is \"late\"");
	checklist_lacks(list, "engine", "start it", "a\nb\033[31m%s", "c\\");
}

static void fill_good(struct checklist *list)
{
	checklist_ok(list, "kernel", "6.12");
	checklist_note(list, "clock", "set it", "late");
}

static void test_lines(void **state)
{
	bool good;

	(void)state;
	auto_free char *text = printed(false, fill_all, &good);
	assert_false(good);
	assert_string_equal(text, "ok     kernel          6.12\n"
				  "note   clock           it is \"late\"\n"
				  "                       set it\n"
				  "LACKS  engine          a?b?[31mc\\\n"
				  "                       start it\n"
				  "1 ok, 1 to be noted, 1 lacking\n");
	auto_free char *other = printed(false, fill_good, &good);
	assert_true(good);
	assert_non_null(strstr(other, "1 ok, 1 to be noted, 0 lacking\n"));
}

static void test_json(void **state)
{
	bool good;

	(void)state;
	auto_free char *text = printed(true, fill_all, &good);
	assert_false(good);
	assert_string_equal(
		text,
		"[\n  {\"result\": \"ok\", \"what\": \"kernel\", \"found\": \"6.12\"},\n"
		"  {\"result\": \"note\", \"what\": \"clock\", \"found\": \"it is \\\"late\\\"\", "
		"\"remedy\": \"set it\"},\n"
		"  {\"result\": \"lacks\", \"what\": \"engine\", \"found\": \"a?b?[31mc\\\\\", "
		"\"remedy\": \"start it\"}\n]\n");
}

static char directory[64];

static void fill_directories(struct checklist *list)
{
	char below[128];

	(void)snprintf(below, sizeof(below), "%s/not/yet/there", directory);
	checklist_directory(list, "good", directory, 0);
	checklist_directory(list, "below", below, 0);
	checklist_directory(list, "small", directory, UINT64_MAX);
	checklist_directory(list, "none", "/proc/self/nothing", 0);
}

static void test_directory(void **state)
{
	bool good;

	(void)state;
	(void)strcpy(directory, "/tmp/baton-checklist-XXXXXX");
	assert_non_null(mkdtemp(directory));
	auto_free char *text = printed(false, fill_directories, &good);
	assert_int_equal(rmdir(directory), 0);
	assert_false(good);
	assert_non_null(strstr(text, "ok     good"));
	assert_non_null(strstr(text, "ok     below"));
	assert_non_null(strstr(text, "note   small"));
	assert_non_null(strstr(text, "LACKS  none            /proc/self"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
