/* SPDX-License-Identifier: Apache-2.0 */

/* Requests and answers of ordinary users that are too long for one message */

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "users_bed.h"
#include "wire/message.h"

#define USER "127.0.0.11"
#define LONG 5000000

static int set_up(void **state)
{
	(void)state;
	users_bed_prepare(1);
	users_bed_start_all();
	return 0;
}

static int set_up_two(void **state)
{
	(void)state;
	users_bed_prepare(2);
	users_bed_start_all();
	return 0;
}

static int set_up_narrow(void **state)
{
	(void)state;
	users_bed_prepare(1);
	users_bed.spool_bytes = LONG;
	users_bed_start_all();
	return 0;
}

static int set_up_tiny(void **state)
{
	(void)state;
	users_bed_prepare(1);
	users_bed.spool_bytes = WIRE_PAYLOAD_MAX - 1;
	users_bed_start_all();
	return 0;
}

/* Sends a request with a body of @len bytes. Return: the bytes of its headers */
static size_t post(struct client *c, size_t len, const char *more)
{
	static char piece[1000];
	char head[128];
	int n = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\n%sContent-Length: %zu\r\n\r\n",
			 more, len);

	client_say(c, head);
	memset(piece, 'x', sizeof(piece));
	for (size_t left = len; left; left -= left < sizeof(piece) ? left : sizeof(piece))
		client_write(c, piece, left < sizeof(piece) ? left : sizeof(piece));
	return (size_t)n;
}

/* What fake_edge_byte() makes has come */
static void expect_long(struct client *c, size_t len)
{
	wait_until(c->len >= len || c->end);
	assert_true(c->len >= len);
	for (size_t i = 0; i < len; i++) {
		if (c->got[i] != fake_edge_byte(len, i))
			fail_msg("byte %zu is wrong", i);
	}
	assert_int_equal(c->len, len);
	client_forget(c);
}

static void expect_small(struct client *c, const char *body)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		       strlen(body), body);
	expect(c, text);
}

static void test_long_requests(void **state)
{
	struct client c;
	char text[64];

	(void)state;
	client_open(&c, USER, 0, "http");
	for (int i = 1; i <= 3; i++) {
		size_t len = (size_t)i * WIRE_PAYLOAD_MAX + (size_t)i;

		(void)snprintf(text, sizeof(text), "%d 0 %zu", i, len + post(&c, len, ""));
		expect_small(&c, text);
	}
	assert_false(fake_edge_under_way(users_bed.edge[0]));
	client_close(&c);
}

static void test_long_answers(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, USER, 0, "http");
	client_say(&c, "GET /5000000 HTTP/1.1\r\n\r\n");
	expect_long(&c, LONG);
	client_say(&c, "GET /1048577 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
	wait_until(c.len >= 1048577 + FAKE_EDGE_HEAD);
	assert_non_null(strstr(c.got + 1048577, "\r\n\r\n3 0 18"));
	assert_false(fake_edge_under_way(users_bed.edge[0]));
	client_close(&c);
}

/* Requests of other connections get their turn between long ones. */
static void test_connections(void **state)
{
	struct client a, b, c;
	char text[64];

	(void)state;
	client_open(&a, USER, 0, "http");
	client_open(&b, USER, 0, "http");
	client_open(&c, USER, 0, "http");
	client_say(&a, "GET /5000000 HTTP/1.1\r\n\r\nGET /3000000 HTTP/1.1\r\n\r\n");
	size_t head = post(&b, LONG, "");
	client_say(&c, "GET / HTTP/1.1\r\n\r\n");
	wait_until(c.len >= FAKE_EDGE_HEAD);
	wait_until(b.len >= FAKE_EDGE_HEAD);
	(void)snprintf(text, sizeof(text), " 0 %zu", LONG + head);
	assert_non_null(strstr(b.got, text));
	wait_until(a.len >= LONG + 3000000);
	for (size_t i = 0; i < 3000000; i++)
		assert_int_equal(a.got[LONG + i], fake_edge_byte(3000000, i));
	client_close(&a);
	client_close(&b);
	client_close(&c);
}

/* A client that takes nothing keeps its bytes at the access point, not the service. */
static void test_slow_client(void **state)
{
	struct client slow, other;

	(void)state;
	client_open(&slow, USER, 0, "http");
	client_open(&other, USER, 0, "http");
	client_read(&slow, false);
	client_say(&slow, "GET /9000000 HTTP/1.1\r\n\r\n");
	wait_until(fake_edge_under_way(users_bed.edge[0]));
	client_say(&other, "GET / HTTP/1.1\r\n\r\n");
	expect_small(&other, "2 0 18");
	wait_until(!fake_edge_under_way(users_bed.edge[0]));
	client_read(&slow, true);
	expect_long(&slow, 9000000);
	client_close(&slow);
	client_close(&other);
}

/* Nor does one that sends slowly; and its request counts when it is whole. */
static void test_slow_sender(void **state)
{
	struct client slow, other;
	char text[64];

	(void)state;
	client_open(&slow, USER, 0, "http");
	client_open(&other, USER, 0, "http");
	client_say(&slow, "POST / HTTP/1.1\r\nContent-Length: 2000001\r\n\r\n");
	for (int i = 0; i < 2000000 / 50; i++)
		client_write(&slow, "0123456789012345678901234567890123456789012345678\n", 50);
	client_say(&other, "GET / HTTP/1.1\r\n\r\n");
	expect_small(&other, "1 0 18");
	assert_false(fake_edge_under_way(users_bed.edge[0]));
	client_say(&slow, "z");
	(void)snprintf(text, sizeof(text), "2 0 %zu",
		       2000001 + strlen("POST / HTTP/1.1\r\nContent-Length: 2000001\r\n\r\n"));
	expect_small(&slow, text);
	client_close(&slow);
	client_close(&other);
}

/* R12: the edge server need not keep, nor wait for, what nobody wants any more. */
static void test_client_goes(void **state)
{
	struct client a, b;

	(void)state;
	client_open(&a, USER, 0, "http");
	client_open(&b, USER, 0, "http");
	fake_edge_pause(users_bed.edge[0], true);
	client_say(&a, "GET /9000000 HTTP/1.1\r\n\r\n");
	wait_until(fake_edge_received(users_bed.edge[0]) == 1);
	fake_edge_pause(users_bed.edge[0], false);
	wait_until(fake_edge_under_way(users_bed.edge[0]));
	client_close(&a);
	client_say(&b, "GET / HTTP/1.1\r\n\r\n");
	expect_small(&b, "2 0 18");
	wait_until(!fake_edge_under_way(users_bed.edge[0]));
	client_close(&b);
}

static void test_user_moves(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, USER, 0, "http");
	client_say(&c, "GET /9000000 HTTP/1.1\r\n\r\n");
	wait_until(fake_edge_under_way(users_bed.edge[0]));
	struct client d;
	client_open(&d, USER, 1, "http");
	client_say(&d, "GET / HTTP/1.1\r\n\r\n");
	expect_small(&d, "2 0 18");
	wait_until(c.end);
	client_say(&d, "GET /5000000 HTTP/1.1\r\n\r\n");
	expect_long(&d, LONG);
	wait_until(fake_edge_sessions(users_bed.edge[1]) == 1);
	assert_false(fake_edge_under_way(users_bed.edge[1]));
	client_close(&c);
	client_close(&d);
}

/* R1: a long request that is on its way is executed once, though its user is elsewhere by then. */
static void test_user_moves_with_parts(void **state)
{
	struct client c, d;

	(void)state;
	client_open(&c, USER, 0, "http");
	client_say(&c, "GET / HTTP/1.1\r\n\r\n");
	expect_small(&c, "1 0 18");
	fake_edge_pause(users_bed.edge[0], true);
	(void)post(&c, 3 * WIRE_PAYLOAD_MAX / 2, "");
	wait_until(fake_edge_received(users_bed.edge[0]) == 3);
	client_open(&d, USER, 1, "http");
	wait_until(c.end);
	client_say(&d, "GET / HTTP/1.1\r\n\r\n");
	fake_edge_pause(users_bed.edge[0], false);
	expect_small(&d, "3 0 18");
	client_close(&c);
	client_close(&d);
}

static void test_too_long(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, USER, 0, "http");
	client_say(&c, "POST / HTTP/1.1\r\nExpect: 100-continue\r\n"
		       "Content-Length: 1073741825\r\n\r\n");
	wait_until(c.end);
	assert_non_null(strstr(c.got, "413 Payload Too Large"));
	assert_non_null(strstr(c.got, "limit of 1073741824 bytes"));
	client_close(&c);
}

static void test_continue(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, USER, 0, "http");
	client_say(&c, "POST / HTTP/1.1\r\nExpect: 100-continue\r\n"
		       "Content-Length: 1073741824\r\n\r\n");
	expect(&c, "HTTP/1.1 100 Continue\r\n\r\n");
	client_close(&c);
}

/* R9: what does not fit is refused, and the room is there again. */
static void test_no_room(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, USER, 0, "http");
	(void)post(&c, LONG + 1, "");
	wait_until(c.end);
	assert_non_null(strstr(c.got, "503 Service Unavailable"));
	assert_non_null(strstr(c.got, "limit of 5000000 bytes"));
	client_close(&c);
	client_open(&c, USER, 0, "http");
	(void)post(&c, LONG - 1000, "");
	wait_until(c.len >= FAKE_EDGE_HEAD);
	assert_non_null(strstr(c.got, "200 OK"));
	client_close(&c);
}

/* An answer that does not fit in waits where it is until its client has taken some of it. */
static void test_back_pressure(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, USER, 0, "http");
	client_read(&c, false);
	client_say(&c, "GET /9000000 HTTP/1.1\r\n\r\n");
	wait_until(fake_edge_executed(users_bed.edge[0]) >= 4);
	assert_true(fake_edge_under_way(users_bed.edge[0]));
	client_read(&c, true);
	expect_long(&c, 9000000);
	assert_true(fake_edge_executed(users_bed.edge[0]) == 9);
	assert_false(fake_edge_under_way(users_bed.edge[0]));
	client_close(&c);
}

/* Not even the beginning of an answer fits in: its client is told by the end, the edge server, too. */
static void test_no_room_for_an_answer(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, USER, 0, "http");
	client_say(&c, "GET /9000000 HTTP/1.1\r\n\r\n");
	wait_until(c.end);
	assert_int_equal(c.len, 0);
	wait_until(!fake_edge_under_way(users_bed.edge[0]));
	client_close(&c);
}

/* Redis: a long value; but what is remembered of a connection cannot be long. */
static void test_resp(void **state)
{
	static char value[2000000];
	struct client c;
	char text[64];

	(void)state;
	memset(value, 'v', sizeof(value));
	client_open(&c, USER, 0, "resp");
	client_say(&c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n");
	client_write(&c, value, sizeof(value));
	client_say(&c, "\r\n");
	expect(&c, "+1 0 2000032\r\n");
	client_say(&c, "SELECT 3\r\n");
	expect(&c, "+2 0 10\r\n");
	client_say(&c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n");
	client_write(&c, value, sizeof(value));
	client_say(&c, "\r\n");
	expect(&c, "+3 10 2000032\r\n"); /* with what makes a new connection like this one */
	client_say(&c, "MULTI\r\n");
	wait_until(c.len > 0);
	client_forget(&c);
	(void)snprintf(text, sizeof(text), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n");
	client_say(&c, text);
	client_write(&c, value, sizeof(value));
	client_say(&c, "\r\n");
	wait_until(c.end);
	assert_non_null(strstr(c.got, "-ERR longer than what can be remembered"));
	client_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long_requests, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_long_answers, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_connections, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_slow_client, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_slow_sender, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_client_goes, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_user_moves, set_up_two, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_user_moves_with_parts, set_up_two,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_too_long, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_continue, set_up, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_no_room, set_up_narrow, users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_no_room_for_an_answer, set_up_tiny,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_back_pressure, set_up_narrow,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_resp, set_up, users_bed_tear_down),
	};

	return cmocka_run_group_tests_name("ap/user_segments", tests, users_bed_certificates,
					   users_bed_remove_certificates);
}
