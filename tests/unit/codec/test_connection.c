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
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
