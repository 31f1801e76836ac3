/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "codec/codec.h"
#include "codec/connection.h"
#include "codec/exec_answer.h"
#include "wire/message.h"

struct user {
	struct codec_connection *connection;
	struct codec_exchange *exchange;
	uint64_t number;
};

static int set_up(void **state)
{
	struct user *u = calloc(1, sizeof(*u));

	assert_non_null(u);
	assert_int_equal(codec_connection_new(&u->connection, NULL), 0);
	assert_int_equal(codec_exchange_new(&u->exchange, &codec_resp, NULL, NULL), 0);
	*state = u;
	return 0;
}

static int tear_down(void **state)
{
	struct user *u = *state;

	codec_connection_free(u->connection);
	codec_exchange_free(u->exchange);
	free(u);
	return 0;
}

static int send(struct user *u, const char *request)
{
	size_t len = strlen(request);

	codec_exchange_reset(u->exchange);
	u->exchange->own = true;
	u->exchange->first = true;
	assert_int_equal(codec_request(u->exchange, request, len), CODEC_DONE);
	assert_int_equal(u->exchange->end, len);
	return codec_connection_sent(u->connection, u->exchange, ++u->number, request, len, NULL);
}

/* One request and its answer */
static void tell(struct user *u, const char *request, const char *answer)
{
	assert_int_equal(send(u, request), 0);
	codec_connection_answered(u->connection, u->number, answer, strlen(answer));
}

static void want(const struct user *u, const char *preamble)
{
	size_t len;
	const void *bytes = codec_connection_preamble(u->connection, &len);

	assert_int_equal(len, strlen(preamble));
	if (len)
		assert_memory_equal(bytes, preamble, len);
}

static void test_latest_counts(void **state)
{
	struct user *u = *state;

	want(u, "");
	tell(u, "INCR a\r\n", ":1\r\n");
	want(u, "");
	tell(u, "AUTH secret\r\n", "+OK\r\n");
	tell(u, "SELECT 1\r\n", "+OK\r\n");
	want(u, "AUTH secret\r\nSELECT 1\r\n");
	tell(u, "SELECT 2\r\n", "+OK\r\n");
	want(u, "AUTH secret\r\nSELECT 2\r\n");
	tell(u, "SELECT 99\r\n", "-ERR DB index is out of range\r\n");
	want(u, "AUTH secret\r\nSELECT 2\r\n");
	tell(u, "RESET\r\n", "+RESET\r\n");
	want(u, "");
}

/* The answers of a pipeline come later: until then what was sent counts, in its order. */
static void test_pipeline(void **state)
{
	struct user *u = *state;

	assert_int_equal(send(u, "SELECT 1\r\n"), 0);
	assert_int_equal(send(u, "SELECT 2\r\n"), 0);
	want(u, "SELECT 1\r\nSELECT 2\r\n");
	codec_connection_answered(u->connection, 1, "+OK\r\n", 5);
	codec_connection_answered(u->connection, 2, "-ERR\r\n", 6);
	want(u, "SELECT 1\r\n");
}

static void test_transaction(void **state)
{
	struct user *u = *state;

	tell(u, "SELECT 1\r\n", "+OK\r\n");
	tell(u, "MULTI\r\n", "+OK\r\n");
	tell(u, "INCR a\r\n", "+QUEUED\r\n");
	tell(u, "NONSENSE\r\n", "-ERR unknown command\r\n"); /* makes EXEC fail: it counts */
	want(u, "SELECT 1\r\nMULTI\r\nINCR a\r\nNONSENSE\r\n");
	tell(u, "EXEC\r\n", "-EXECABORT\r\n");
	want(u, "SELECT 1\r\n");
	tell(u, "MULTI\r\n", "-NOAUTH\r\n");
	want(u, "SELECT 1\r\n");
	tell(u, "INCR a\r\n", ":1\r\n");
	want(u, "SELECT 1\r\n");
	tell(u, "MULTI\r\n", "+OK\r\n");
	tell(u, "DISCARD\r\n", "+OK\r\n");
	want(u, "SELECT 1\r\n");
}

/* What a transaction sets counts from its execution on, not before, and not if there was none. */
static void test_transaction_that_sets(void **state)
{
	struct user *u = *state;

	tell(u, "SELECT 1\r\n", "+OK\r\n");
	tell(u, "MULTI\r\n", "+OK\r\n");
	tell(u, "SELECT 2\r\n", "+QUEUED\r\n");
	want(u, "SELECT 1\r\nMULTI\r\nSELECT 2\r\n");
	assert_false(codec_connection_settling(u->connection));
	tell(u, "EXEC\r\n", "*1\r\n+OK\r\n");
	want(u, "SELECT 2\r\n");
	static const char *const none[] = { "*-1\r\n", "-EXECABORT\r\n", "", "+OK\r\n",
					    "*1\r\n-ERR DB index is out of range\r\n" };
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		tell(u, "MULTI\r\n", "+OK\r\n");
		tell(u, "SELECT 3\r\n", "+QUEUED\r\n");
		tell(u, *none[i] == '+' ? "DISCARD\r\n" : "EXEC\r\n", none[i]);
		want(u, "SELECT 2\r\n");
		assert_false(codec_connection_settling(u->connection));
	}
}

/* Which of the answers is whose: those that were not queued have none, and others are of any kind. */
static void test_transaction_of_many(void **state)
{
	struct user *u = *state;

	tell(u, "MULTI\r\n", "+OK\r\n");
	tell(u, "SELECT 1\r\n", "+QUEUED\r\n");
	tell(u, "MULTI\r\n", "-ERR MULTI calls can not be nested\r\n");
	tell(u, "LRANGE a 0 -1\r\n", "+QUEUED\r\n");
	tell(u, "AUTH secret\r\n", "+QUEUED\r\n");
	tell(u, "GET b\r\n", ""); /* in doubt; it was in the next preamble */
	tell(u, "SELECT 2\r\n", "+QUEUED\r\n");
	tell(u, "SELECT 99\r\n", "+QUEUED\r\n");
	tell(u, "INCR a\r\n", "+QUEUED\r\n");
	tell(u, "EXEC\r\n",
	     "*7\r\n+OK\r\n*2\r\n$6\r\n-\r\n*9\r\r\n*1\r\n:1\r\n-WRONGPASS\r\n$-1\r\n+OK\r\n"
	     "-ERR DB index is out of range\r\n:7\r\n");
	want(u, "SELECT 2\r\n");
	/* of a long answer only the first part is seen */
	tell(u, "MULTI\r\n", "+OK\r\n");
	tell(u, "GET large\r\n", "+QUEUED\r\n");
	tell(u, "SELECT 3\r\n", "+QUEUED\r\n");
	tell(u, "EXEC\r\n", "*2\r\n$2000000\r\nxxxxxxxxxxxx");
	want(u, "SELECT 3\r\n");
}

/* Until it is known what counts nothing more may be sent. */
static void test_settling(void **state)
{
	struct user *u = *state;

	assert_int_equal(send(u, "MULTI\r\n"), 0);
	assert_int_equal(send(u, "SELECT 1\r\n"), 0);
	assert_int_equal(send(u, "EXEC\r\n"), 0);
	assert_true(codec_connection_settling(u->connection));
	assert_false(codec_connection_open(u->connection));
	assert_int_equal(send(u, "INCR a\r\n"), -EBUSY);
	codec_connection_answered(u->connection, 1, "+OK\r\n", 5);
	codec_connection_answered(u->connection, 2, "+QUEUED\r\n", 9);
	assert_true(codec_connection_settling(u->connection));
	codec_connection_answered(u->connection, 3, "*1\r\n+OK\r\n", 9);
	assert_false(codec_connection_settling(u->connection));
	want(u, "SELECT 1\r\n");
	/* MULTI itself failed: there was no transaction, and SELECT took effect at once, or not */
	assert_int_equal(send(u, "MULTI\r\n"), 0);
	assert_int_equal(send(u, "SELECT 2\r\n"), 0);
	assert_int_equal(send(u, "EXEC\r\n"), 0);
	codec_connection_answered(u->connection, 5, "-NOAUTH\r\n", 9);
	codec_connection_answered(u->connection, 6, "-NOAUTH\r\n", 9);
	codec_connection_answered(u->connection, 7, "-ERR EXEC without MULTI\r\n", 25);
	assert_false(codec_connection_settling(u->connection));
	want(u, "SELECT 1\r\n");
}

/* Wherever it breaks off, what is in it is not taken for something else. */
static void test_exec_answer(void **state)
{
	static const char answer[] =
		"*4\r\n$5\r\na\r\nb-\r\n*2\r\n*-1\r\n*1\r\n:1\r\n-ERR\r\n+OK\r\n";
	static const enum exec_answer want_of[] = { EXEC_ANSWER_SUCCEEDED, EXEC_ANSWER_SUCCEEDED,
						    EXEC_ANSWER_FAILED, EXEC_ANSWER_SUCCEEDED,
						    EXEC_ANSWER_FAILED };
	static const size_t from[] = { 4, 15, 32, 38 }; /* where each begins */

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(exec_answer_of(answer, sizeof(answer) - 1, i), want_of[i]);
	for (size_t len = 0; len < sizeof(answer) - 1; len++) {
		char *exact = malloc(len + 1); /* so that a tool sees who reads beyond it */

		assert_non_null(exact);
		memcpy(exact, answer, len);
		for (size_t i = 0; i < 4; i++)
			assert_int_equal(exec_answer_of(exact, len, i), len < 4 ? EXEC_ANSWER_FAILED
									: len <= from[i]
										? EXEC_ANSWER_BEYOND
										: want_of[i]);
		free(exact);
	}
}

static void test_exec_answer_broken(void **state)
{
	static const char *const broken[] = { "*2\r\n$9\r\na\r\n+OK\r\n", "*2\r\n\n+OK\r\n",
					      "*2\r\n*99999999999999999999\r\n+OK\r\n",
					      "*2\r\n$9223372036854775807\r\n+OK\r\n" };
	static const char *const none[] = {
		"", "*", "*4", "\n", "*1\n", "*\r\n", "*x\r\n+OK\r\n+OK\r\n"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(exec_answer_of(broken[i], strlen(broken[i]), 1),
				 EXEC_ANSWER_BEYOND);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(exec_answer_of(none[i], strlen(none[i]), 1), EXEC_ANSWER_FAILED);
}

/* RESP3: what stands before a value is none, and errors may be of a length in bytes */
static void test_exec_answer_resp3(void **state)
{
	static const char answer[] =
		">2\r\n+a\r\n*1\r\n:1\r\n*5\r\n%1\r\n+a\r\n_\r\n|1\r\n+t\r\n:9\r\n"
		"~1\r\n#t\r\n!3\r\nERR\r\n=5\r\ntxt:-\r\n|1\r\n+t\r\n:9\r\n-ERR\r\n";
	static const enum exec_answer want_of[] = { EXEC_ANSWER_SUCCEEDED, EXEC_ANSWER_SUCCEEDED,
						    EXEC_ANSWER_FAILED,    EXEC_ANSWER_SUCCEEDED,
						    EXEC_ANSWER_FAILED,    EXEC_ANSWER_FAILED };

	(void)state;
	for (size_t i = 0; i < sizeof(want_of) / sizeof(want_of[0]); i++)
		assert_int_equal(exec_answer_of(answer, sizeof(answer) - 1, i), want_of[i]);
	assert_int_equal(exec_answer_of("_\r\n", 3, 0), EXEC_ANSWER_FAILED);
	assert_false(exec_answer_is_error("%1\r\n+a\r\n:1\r\n", 12));
	assert_true(exec_answer_is_error(">1\r\n+a\r\n-NOPROTO\r\n", 18));
	assert_true(exec_answer_is_error("!3\r\nERR\r\n", 9));
	assert_true(exec_answer_is_error(">1\r\n+a\r\n", 8));
	assert_true(exec_answer_is_error("", 0));
}

/* R9: a transaction without end is not remembered without end */
static void test_limit(void **state)
{
	struct user *u = *state;
	char request[1024 + 8];
	int r = 0;

	(void)snprintf(request, sizeof(request), "SET a %01000d\r\n", 1);
	tell(u, "MULTI\r\n", "+OK\r\n");
	for (unsigned int i = 0; r == 0 && i <= WIRE_PREAMBLE_MAX / 1000; i++)
		r = send(u, request);
	assert_int_equal(r, -E2BIG);
	tell(u, "DISCARD\r\n", "+OK\r\n");
	want(u, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_latest_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pipeline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transaction, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transaction_that_sets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transaction_of_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_settling, set_up, tear_down),
		cmocka_unit_test(test_exec_answer),
		cmocka_unit_test(test_exec_answer_broken),
		cmocka_unit_test(test_exec_answer_resp3),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
