/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lines of a program: what a person reads, and what systemd's journal reads
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"

/**
 * said() - What a program writes that says one thing at each level
 * @journal:	JOURNAL_STREAM is set; 0: not, 1: to its stderr, 2: to another file
 */
static void said(char *to, size_t size, int journal)
{
	int ends[2];
	char stream[64];
	struct stat st;
	int status;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork(); /* what it knows of its surroundings it has asked once */
	if (child == 0) {
		if (dup2(ends[1], STDERR_FILENO) < 0 || fstat(STDERR_FILENO, &st) < 0)
			_exit(1);
		(void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
			       (uintmax_t)st.st_ino + (journal == 2));
		(void)unsetenv("BATON_DEBUG");
		if (journal)
			(void)setenv("JOURNAL_STREAM", stream, 1);
		else
			(void)unsetenv("JOURNAL_STREAM");
		log_name("baton-x X-1");
		log_error("broken: %d\n<0>two", 7);
		log_info("begun");
		log_debug("not wanted");
		_exit(0);
	}
	close(ends[1]);
	auto_fclose FILE *from = fdopen(ends[0], "re");
	size_t n = fread(to, 1, size - 1, from);
	to[n] = '\0';
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_journal(void **state)
{
	char text[512];

	(void)state;
	said(text, sizeof(text), 1);
	assert_string_equal(text, "<3>baton-x X-1: broken: 7?<0>two\n<6>baton-x X-1: begun\n");
}

/* The variable is inherited; stderr may be another file meanwhile. */
static void test_person(void **state)
{
	char text[512];

	(void)state;
	for (int journal = 0; journal <= 2; journal += 2) {
		said(text, sizeof(text), journal);
		/* "08:15:00.123 error baton-x X-1: ..." */
		assert_int_equal(text[2], ':');
		assert_string_equal(strchr(text, ' '),
				    strstr(text, " error baton-x X-1: broken: 7?<0>two\n"));
		assert_non_null(strstr(text, " info baton-x X-1: begun\n"));
		assert_null(strstr(text, "wanted"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_person),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
