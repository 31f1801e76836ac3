/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/state_table.h"

enum { RED, GREEN, YELLOW };

static const struct state_row rows[] = {
	[RED] = { "red", STATE_BIT(GREEN) },
	[GREEN] = { "green", STATE_BIT(YELLOW) },
	[YELLOW] = { "yellow", STATE_BIT(RED) },
};

static const struct state_table table = { "light", 3, rows };

static void test_moves(void **state)
{
	(void)state;
	assert_true(state_may_move(&table, RED, GREEN));
	assert_false(state_may_move(&table, GREEN, RED));
	assert_false(state_may_move(&table, RED, RED));
	assert_false(state_may_move(&table, RED, 3)); /* no such state */
	assert_false(state_may_move(&table, 3, RED));
	state_require_move(&table, YELLOW, RED);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(state_name(&table, GREEN), "green");
	assert_non_null(state_name(&table, 99));
}

/* A move that the table does not allow stops the process at once */
static void test_impossible_move(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)freopen("/dev/null", "w", stderr);
		state_require_move(&table, GREEN, RED);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_impossible_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
