/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Processes: all of a family is found and ended, whoever has started it; what stops or traces a task is seen
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "es/system/process.h"
#include "es/system/process_family.h"
#include "es/system/task_state.h"

struct bed {
	char dir[64];
	char mark[96];
	char file[96];
	char program[96];
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	(void)snprintf(bed->dir, sizeof(bed->dir), "/tmp/baton-test-XXXXXX");
	assert_non_null(mkdtemp(bed->dir));
	(void)snprintf(bed->mark, sizeof(bed->mark), "BATON_TEST=%s", bed->dir);
	(void)snprintf(bed->file, sizeof(bed->file), "%s/file", bed->dir);
	(void)snprintf(bed->program, sizeof(bed->program), "%s/criu", bed->dir);
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	(void)unlink(bed->file);
	(void)unlink(bed->program);
	(void)rmdir(bed->dir);
	free(bed);
	return 0;
}

/** ends() - Start a script that leaves something behind; all of it must be gone afterwards */
static void ends(struct bed *bed, const char *script)
{
	const struct process_family family = { .dir = bed->dir, .mark = bed->mark };
	AUTO(process) struct process *p = NULL;
	const char *argv[] = { "sh", "-c", script, bed->file, NULL };
	const char *env[] = { bed->mark, NULL };

	if (geteuid() != 0) {
		print_message("SKIP: needs root\n");
		skip();
	}
	assert_false(process_family_lives(&family));
	assert_int_equal(process_start(&p, argv, env, NULL, NULL), 0);
	/* The script says so when all is there, and waits. */
	while (access(bed->file, F_OK) < 0)
		;
	assert_true(process_family_lives(&family));
	process_kill(p, SIGKILL);
	(void)process_wait(p, -1, 10000, &(int){ 0 }, NULL);
	assert_true(process_family_lives(&family)); /* or this test shows nothing */
	assert_int_equal(process_family_end(&family, 10000), 0);
	assert_false(process_family_lives(&family));
}

/* In a session, so a process group, of its own. */
static void test_orphan(void **state)
{
	ends(*state, "setsid sh -c ': >$0; sleep 1000' $0 & wait");
}

/* CRIU writes over its environment, as whoever shows a title does. */
static void test_without_mark(void **state)
{
	ends(*state,
	     "d=${0%/*}; cp /bin/sleep $d/criu; setsid env -i $d/criu 1000 3<$d/criu &"
	     "until read -r name </proc/$!/comm && [ $name = criu ]; do :; done; : >$0; wait");
}

/* An administrator who looks at a file of ours is none of it. */
static void test_stranger(void **state)
{
	struct bed *bed = *state;
	const struct process_family family = { .dir = bed->dir, .mark = bed->mark };
	AUTO(process) struct process *p = NULL;
	const char *argv[] = { "sh", "-c", "exec sleep 1000 3>$0", bed->file, NULL };
	const char *env[] = { NULL };

	if (geteuid() != 0) {
		print_message("SKIP: needs root\n");
		skip();
	}
	assert_int_equal(process_start(&p, argv, env, NULL, NULL), 0);
	while (access(bed->file, F_OK) < 0)
		;
	assert_false(process_family_lives(&family));
	assert_int_equal(process_family_end(&family, 0), 0);
	assert_int_equal(process_wait(p, -1, 0, &(int){ 0 }, NULL), -ETIMEDOUT);
	process_kill(p, SIGKILL);
	(void)process_wait(p, -1, 10000, &(int){ 0 }, NULL);
}

/* What goes on to fork is not faster than we are. */
static void test_forks_on(void **state)
{
	ends(*state, "setsid sh -c ': >$0; while :; do sleep 1000 & sleep 0.001; done' $0 & wait");
}

static void test_stopped(void **state)
{
	struct task_obstacle obstacle = { .remedy = NULL };
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		for (;;)
			pause();
	assert_false(task_obstacle(child, &obstacle));
	(void)kill(child, SIGSTOP);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(task_obstacle(child, &obstacle));
	assert_non_null(strstr(obstacle.what, "is stopped"));
	assert_non_null(strstr(obstacle.remedy, "SIGCONT"));
	(void)kill(child, SIGCONT);
	assert_int_equal(waitpid(child, &status, WCONTINUED), child);
	assert_false(task_obstacle(child, &obstacle));
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	assert_false(task_obstacle(child, &obstacle));
}

static void test_traced(void **state)
{
	struct task_obstacle obstacle;
	pid_t child = fork();

	(void)state;
	if (child == 0)
		for (;;)
			pause();
	if (ptrace(PTRACE_SEIZE, child, NULL, NULL) < 0) {
		print_message("SKIP: ptrace is not allowed here\n");
		(void)kill(child, SIGKILL);
		(void)waitpid(child, NULL, 0);
		skip();
	}
	/* It runs all the same. */
	assert_true(task_obstacle(child, &obstacle));
	assert_non_null(strstr(obstacle.what, "is traced by process"));
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_orphan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forks_on, setup, teardown),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_traced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
