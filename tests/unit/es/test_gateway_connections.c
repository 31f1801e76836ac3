/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The gateway's connections into one container: one for each of the user's. The service here is a
 * little like Redis: each connection has a database of its own and a transaction of its own.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "base/spool.h"
#include "codec/codec.h"
#include "es/gateway/gateway.h"
#include "wire/message.h"
#include "local_service.h"

#define SESSION 7
#define EPOCH   1

struct client;

struct bed {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_timer_t late_answer;
	struct client *last; /* that connected */
	int late;            /* how often LATE came */
	struct spools *spools;
	struct gateway *gateway;
	struct container_address where;
	int opened;
	int open;
	int most;
	uint64_t answered;
	uint64_t digest;
	char answer[128];
	uint64_t refused;
	char reason[WIRE_REASON_SIZE];
};

struct client {
	uv_tcp_t tcp;
	struct bed *bed;
	char in[512];
	size_t len;
	int database;
	int queued; /* commands of an open transaction; -1: none is open */
};

/* --- the service ------------------------------------------------------------------------------- */

static void say(struct client *c, const char *text)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned int)strlen(text));

	assert_int_equal(uv_try_write((uv_stream_t *)&c->tcp, &buf, 1), (int)buf.len);
}

static void on_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	c->bed->open--;
	free(c);
}

/* LATE is answered with how often it has come until then */
static void on_late(uv_timer_t *timer)
{
	struct client *c = timer->data;
	char text[64];

	(void)snprintf(text, sizeof(text), ":%d\r\n", c->bed->late);
	say(c, text);
}

static void command(struct client *c, const char *line)
{
	char text[64];

	if (strcmp(line, "INCR late") == 0) {
		if (!c->bed->late++) {
			c->bed->late_answer.data = c;
			(void)uv_timer_start(&c->bed->late_answer, on_late, 4 * GATEWAY_RETRY_MS,
					     0);
		}
		return;
	}
	if (strcmp(line, "MULTI") == 0) {
		c->queued = 0;
		say(c, "+OK\r\n");
	} else if (strcmp(line, "EXEC") == 0) {
		(void)snprintf(text, sizeof(text), ":%d\r\n", c->queued);
		c->queued = -1;
		say(c, text);
	} else if (c->queued >= 0) {
		c->queued++;
		say(c, "+QUEUED\r\n");
	} else if (sscanf(line, "SELECT %d", &c->database) == 1) {
		say(c, "+OK\r\n");
	} else {
		(void)snprintf(text, sizeof(text), ":%d\r\n", c->database);
		say(c, text);
	}
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct client *c = h->data;

	(void)suggested;
	*buf = uv_buf_init(c->in + c->len, (unsigned int)(sizeof(c->in) - 1 - c->len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = s->data;
	char *end;

	(void)buf;
	if (n < 0) {
		uv_close((uv_handle_t *)s, on_closed);
		return;
	}
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	while ((end = strstr(c->in, "\r\n"))) {
		*end = '\0';
		command(c, c->in);
		c->len -= (size_t)(end + 2 - c->in);
		memmove(c->in, end + 2, c->len + 1);
	}
}

static void on_connection(uv_stream_t *s, int status)
{
	struct bed *b = s->data;
	struct client *c = calloc(1, sizeof(*c));

	assert_int_equal(status, 0);
	assert_non_null(c);
	c->bed = b;
	c->queued = -1;
	c->tcp.data = c;
	assert_int_equal(uv_tcp_init(&b->loop, &c->tcp), 0);
	assert_int_equal(uv_accept(s, (uv_stream_t *)&c->tcp), 0);
	assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
	b->last = c;
	b->opened++;
	if (++b->open > b->most)
		b->most = b->open;
}

/* --- what the gateway tells -------------------------------------------------------------------- */

static void on_answered(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *answer)
{
	struct bed *b = ctx;

	assert_int_equal(session, SESSION);
	assert_int_equal(epoch, EPOCH);
	assert_true(answer->len < sizeof(b->answer));
	memcpy(b->answer, answer->bytes, answer->len);
	b->answer[answer->len] = '\0';
	b->digest = answer->digest;
	b->answered = answer->number;
}

static void on_refused(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
		       const char *reason)
{
	struct bed *b = ctx;

	(void)session;
	(void)epoch;
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
	b->refused = number;
	uv_stop(&b->loop); /* told by a timer: the loop would go on to wait for more */
}

static void on_in_doubt(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
			const char *reason)
{
	(void)ctx;
	(void)session;
	(void)epoch;
	fail_msg("request %llu in doubt: %s", (unsigned long long)number, reason);
}

static void on_dead(void *ctx, uint64_t session, uint32_t epoch, const char *reason)
{
	(void)ctx;
	(void)session;
	(void)epoch;
	fail_msg("%s", reason);
}

static const struct gateway_ops ops = {
	.answered = on_answered,
	.refused = on_refused,
	.in_doubt = on_in_doubt,
	.dead = on_dead,
};

static int set_up_with(void **state, const struct codec_comparison *comparison)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	assert_int_equal(uv_timer_init(&b->loop, &b->late_answer), 0);
	local_service(&b->loop, &b->listener, b, on_connection, &b->where);
	assert_int_equal(spools_new(&b->spools, "/tmp", 1 << 20, NULL), 0);
	assert_int_equal(gateway_new(&b->gateway, &b->loop, b->spools, &ops, b, NULL), 0);
	assert_int_equal(
		gateway_add(b->gateway, SESSION, EPOCH, &codec_resp, comparison, &b->where, NULL),
		0);
	*state = b;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, NULL);
}

static int set_up_uncompared(void **state)
{
	struct codec_comparison none = { .none = true };

	return set_up_with(state, &none);
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	gateway_close(b->gateway);
	uv_close((uv_handle_t *)&b->listener, NULL);
	uv_close((uv_handle_t *)&b->late_answer, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(b->open, 0);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	spools_free(b->spools);
	free(b);
	return 0;
}

/* A request of the user's connection @connection, after what made that what it is */
static void ask(struct bed *b, uint32_t connection, const char *preamble, const char *request)
{
	static uint64_t number;
	char bytes[256];
	int len = snprintf(bytes, sizeof(bytes), "%s%s", preamble, request);
	number++;
	const struct wire_data d = { .number = number,
				     .connection = connection,
				     .preamble = (uint32_t)strlen(preamble),
				     .bytes = (const uint8_t *)bytes,
				     .len = (size_t)len };

	b->answered = 0;
	b->refused = 0;
	gateway_execute(b->gateway, SESSION, EPOCH, &d);
	while (!b->answered && !b->refused)
		(void)uv_run(&b->loop, UV_RUN_ONCE);
}

static void on_pipe(uv_poll_t *pipe, int status, int events)
{
	static const char request[] = "INCR late\r\n";
	const struct wire_data d = { .number = 1000,
				     .connection = 1,
				     .bytes = (const uint8_t *)request,
				     .len = sizeof(request) - 1 };
	struct bed *b = pipe->data;

	assert_int_equal(status, 0);
	(void)events;
	b->answered = 0;
	gateway_execute(b->gateway, SESSION, EPOCH, &d);
	uv_close((uv_handle_t *)pipe, NULL);
}

/* R1: the idle connection ends in the very turn of the loop in which the next request comes */
static void test_written_once(void **state)
{
	struct bed *b = *state;
	uv_os_fd_t service;
	uv_poll_t poll;
	int fd[2];

	ask(b, 1, "", "GET\r\n");
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(uv_poll_init(&b->loop, &poll, fd[0]), 0);
	poll.data = b;
	assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_pipe), 0);
	(void)uv_run(&b->loop, UV_RUN_NOWAIT); /* the loop watches it from here on */
	assert_int_equal(uv_fileno((uv_handle_t *)&b->last->tcp, &service), 0);
	/* in this order they are ready, and are told */
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(shutdown(service, SHUT_WR), 0);
	b->answered = 0;
	while (!b->answered)
		(void)uv_run(&b->loop, UV_RUN_ONCE);
	assert_string_equal(b->answer, ":1\r\n");
	close(fd[0]);
	close(fd[1]);
}

/* State that belongs to a connection is not mixed with another's, and outlives ours. */
static void test_state(void **state)
{
	struct bed *b = *state;

	ask(b, 1, "", "SELECT 3\r\n");
	assert_string_equal(b->answer, "+OK\r\n");
	ask(b, 2, "", "GET\r\n");
	assert_string_equal(b->answer, ":0\r\n");
	ask(b, 1, "SELECT 3\r\n", "GET\r\n");
	assert_string_equal(b->answer, ":3\r\n");
	assert_int_equal(b->opened, 2);
	gateway_hang_up(b->gateway, SESSION); /* a cut */
	ask(b, 1, "SELECT 3\r\n", "GET\r\n");
	assert_string_equal(b->answer, ":3\r\n");
	ask(b, 2, "", "GET\r\n");
	assert_string_equal(b->answer, ":0\r\n");
	assert_int_equal(b->opened, 4);
}

/* A transaction that a cut fell into is begun again before it is ended. */
static void test_transaction(void **state)
{
	struct bed *b = *state;

	ask(b, 5, "", "MULTI\r\n");
	ask(b, 5, "MULTI\r\n", "SET a\r\n");
	assert_string_equal(b->answer, "+QUEUED\r\n");
	gateway_hang_up(b->gateway, SESSION);
	ask(b, 5, "MULTI\r\nSET a\r\n", "SET b\r\n");
	assert_string_equal(b->answer, "+QUEUED\r\n");
	ask(b, 5, "MULTI\r\nSET a\r\nSET b\r\n", "EXEC\r\n");
	assert_string_equal(b->answer, ":2\r\n");
}

/* Without a connection of its own a request may not leave anything behind. */
static void test_refused(void **state)
{
	struct bed *b = *state;

	ask(b, 0, "", "SELECT 3\r\n");
	assert_int_not_equal(b->refused, 0);
	assert_non_null(strstr(b->reason, "SELECT"));
	ask(b, 1, "", "BLPOP a 0\r\n");
	assert_int_not_equal(b->refused, 0);
	assert_non_null(strstr(b->reason, "wait for another request"));
	ask(b, 1, "SUBSCRIBE a\r\n", "GET\r\n");
	assert_int_not_equal(b->refused, 0);
	ask(b, 1, "SELECT", "GET\r\n");
	assert_int_not_equal(b->refused, 0);
}

/* R9: a user with ever more connections does not get ever more of ours */
static void test_limit(void **state)
{
	struct bed *b = *state;

	for (uint32_t i = 1; i <= 2 * GATEWAY_CONNECTIONS; i++)
		ask(b, i, "SELECT 4\r\n", "GET\r\n");
	assert_int_equal(b->opened, 2 * GATEWAY_CONNECTIONS);
	assert_true(b->most <= GATEWAY_CONNECTIONS + 1); /* one may still be closing */
	ask(b, 1, "SELECT 4\r\n", "GET\r\n");
	assert_string_equal(b->answer, ":4\r\n");
	assert_int_equal(b->opened, 2 * GATEWAY_CONNECTIONS + 1);
}

static void test_compared(void **state)
{
	struct bed *b = *state;
	uint64_t digest;

	ask(b, 1, "", "GET\r\n");
	digest = b->digest;
	assert_true(digest != 0);
	ask(b, 2, "", "GET\r\n");
	assert_true(b->digest == digest);
	ask(b, 2, "SELECT 1\r\n", "SELECT 1\r\n");
	assert_true(b->digest != digest);
}

static void test_not_compared(void **state)
{
	struct bed *b = *state;

	ask(b, 1, "", "GET\r\n");
	assert_true(b->digest == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_state, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transaction, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_written_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_compared, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_compared, set_up_uncompared, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
