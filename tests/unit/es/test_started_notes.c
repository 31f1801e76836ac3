/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Started notes: a container that was restarted is known by when it was started (R15)
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
#include <unistd.h>

#include "base/err.h"
#include "es/container/management.h"
#include "es/journal/started_notes.h"

static void test_notes(void **state)
{
	char dir[] = "/tmp/baton-test-XXXXXX";
	struct container_found found = { .where = { .id = "abc",
						    .started = "2026-01-01T00:00:00.1Z" } };
	struct container_address other = { .id = "abcd", .started = "2026-01-01T00:00:00.1Z" };
	char noted[CONTAINER_TIME_SIZE];
	char file[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	AUTO(started_notes) struct started_notes *sn = NULL;
	assert_int_equal(started_notes_open(&sn, dir, NULL), 0);
	/* From an older version there is nothing to compare with. */
	assert_int_equal(1, started_notes_same(sn, &found.where, noted));
	assert_string_equal(noted, "");
	assert_int_equal(started_notes_put(sn, &found.where, NULL), 0);
	assert_int_equal(started_notes_put(sn, &other, NULL), 0);
	assert_int_equal(1, started_notes_same(sn, &found.where, noted));
	assert_string_equal(noted, found.where.started);
	(void)snprintf(found.where.started, sizeof(found.where.started), "2026-01-01T00:00:00.2Z");
	assert_int_equal(0, started_notes_same(sn, &found.where, noted));
	assert_string_equal(noted, "2026-01-01T00:00:00.1Z");
	/* What is not there any more needs none. */
	started_notes_sweep(sn, &found, 1);
	assert_int_equal(1, started_notes_same(sn, &other, noted));
	assert_string_equal(noted, "");
	assert_int_equal(0, started_notes_same(sn, &found.where, noted));
	/* R15: one that cannot be read says nothing, not even that there is none */
	(void)snprintf(file, sizeof(file), "%s/abcd.started", dir);
	assert_int_equal(symlink(file, file), 0);
	assert_int_equal(started_notes_same(sn, &other, noted), -ELOOP);
	assert_string_equal(noted, "");
	started_notes_drop(sn, other.id);
	(void)snprintf(file, sizeof(file), "%s/kept.session", dir);
	fclose(fopen(file, "we"));
	started_notes_sweep(sn, NULL, 0);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
