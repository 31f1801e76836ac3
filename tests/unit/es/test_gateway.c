/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Gateway against a small service in the same process, on the same loop
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "es/gateway.h"
#include "wire/message.h"

#define SESSION 7
#define EPOCH   1

/* How the service treats its next request */
enum manner { ANSWERS, ANSWERS_IN_BYTES, HANGS_UP, ANSWERS_TOO_LONG, ANSWERS_TWICE };

struct bed {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_tcp_t *client;
	uint8_t in[4096];
	size_t in_len;
	enum manner manner;
	int connections;
	struct gateway *gateway;
	struct container_address where;
	uint64_t answered;
	char answer[64];
	uint64_t doubtful;
	char dead[WIRE_REASON_SIZE];
};

static void on_closed(uv_handle_t *h)
{
	free(h);
}

static void client_close(struct bed *b)
{
	if (b->client)
		uv_close((uv_handle_t *)b->client, on_closed);
	b->client = NULL;
	b->in_len = 0;
}

static void say(struct bed *b, const void *bytes, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned int)len);

	assert_int_equal(uv_try_write((uv_stream_t *)b->client, &buf, 1), (int)len);
}

static void serve(struct bed *b, uint32_t len)
{
	uint8_t answer[4 + 256];

	put_be32(answer, len);
	memcpy(answer + 4, b->in + 4, len);
	switch (b->manner) {
	case ANSWERS:
		say(b, answer, 4 + len);
		break;
	case ANSWERS_TWICE:
		say(b, answer, 4 + len);
		say(b, answer, 4 + len);
		break;
	case ANSWERS_IN_BYTES:
		for (size_t i = 0; i < 4 + len; i++)
			say(b, answer + i, 1);
		break;
	case ANSWERS_TOO_LONG:
		put_be32(answer, WIRE_PAYLOAD_MAX + 1);
		say(b, answer, 4);
		break;
	case HANGS_UP:
		client_close(b);
		return;
	}
	b->in_len = 0;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct bed *b = h->data;

	(void)suggested;
	*buf = uv_buf_init((char *)b->in + b->in_len, (unsigned int)(sizeof(b->in) - b->in_len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct bed *b = s->data;

	(void)buf;
	if ((uv_tcp_t *)s != b->client)
		return;
	if (n < 0) {
		client_close(b);
		return;
	}
	b->in_len += (size_t)n;
	if (b->in_len >= 4 && b->in_len == 4 + get_be32(b->in))
		serve(b, get_be32(b->in));
}

static void on_connection(uv_stream_t *s, int status)
{
	struct bed *b = s->data;

	assert_int_equal(status, 0);
	client_close(b);
	b->client = calloc(1, sizeof(*b->client));
	assert_non_null(b->client);
	assert_int_equal(uv_tcp_init(&b->loop, b->client), 0);
	b->client->data = b;
	assert_int_equal(uv_accept(s, (uv_stream_t *)b->client), 0);
	assert_int_equal(uv_read_start((uv_stream_t *)b->client, on_alloc, on_read), 0);
	b->connections++;
}

static void on_answered(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
			const void *bytes, size_t len)
{
	struct bed *b = ctx;

	assert_int_equal(session, SESSION);
	assert_int_equal(epoch, EPOCH);
	assert_true(len < sizeof(b->answer));
	memcpy(b->answer, bytes, len);
	b->answer[len] = '\0';
	b->answered = number;
}

static void on_in_doubt(void *ctx, uint64_t session, uint32_t epoch, uint64_t number)
{
	struct bed *b = ctx;

	assert_int_equal(session, SESSION);
	assert_int_equal(epoch, EPOCH);
	b->doubtful = number;
}

static void on_dead(void *ctx, uint64_t session, uint32_t epoch, const char *reason)
{
	struct bed *b = ctx;

	(void)session;
	(void)epoch;
	strcpy(b->dead, reason);
}

static const struct gateway_ops ops = {
	.answered = on_answered,
	.in_doubt = on_in_doubt,
	.dead = on_dead,
};

static void serve_at(struct bed *b, int port)
{
	struct sockaddr_in at;
	struct sockaddr_in got;
	int len = sizeof(got);

	assert_int_equal(uv_ip4_addr("127.0.0.1", port, &at), 0);
	assert_int_equal(uv_tcp_init(&b->loop, &b->listener), 0);
	b->listener.data = b;
	assert_int_equal(uv_tcp_bind(&b->listener, (struct sockaddr *)&at, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&b->listener, 8, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&b->listener, (struct sockaddr *)&got, &len), 0);
	b->where.port = ntohs(got.sin_port);
}

static int begin(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct err err;

	if (!b || uv_loop_init(&b->loop) < 0)
		return -1;
	strcpy(b->where.id, "container");
	strcpy(b->where.ip, "127.0.0.1");
	serve_at(b, 0);
	if (gateway_new(&b->gateway, &b->loop, &ops, b, &err) < 0 ||
	    gateway_add(b->gateway, SESSION, EPOCH, &b->where, &err) < 0)
		return -1;
	*state = b;
	return 0;
}

static int finish(void **state)
{
	struct bed *b = *state;

	gateway_close(b->gateway);
	client_close(b);
	if (!uv_is_closing((uv_handle_t *)&b->listener))
		uv_close((uv_handle_t *)&b->listener, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	int r = uv_loop_close(&b->loop);
	free(b);
	return r;
}

/* Runs the loop until something was told; the loop ends only if nothing can be told any more. */
static void run_until_told(struct bed *b)
{
	b->answered = 0;
	b->doubtful = 0;
	b->dead[0] = '\0';
	while (!b->answered && !b->doubtful && !b->dead[0])
		assert_int_not_equal(uv_run(&b->loop, UV_RUN_ONCE), 0);
}

static void ask(struct bed *b, uint64_t number, const char *text)
{
	gateway_execute(b->gateway, SESSION, EPOCH, number, text, strlen(text));
	/* never from inside the call */
	assert_int_equal(b->answered == number || b->doubtful == number || b->dead[0], 0);
	run_until_told(b);
}

static void test_answers(void **state)
{
	struct bed *b = *state;

	ask(b, 1, "one");
	assert_int_equal(b->answered, 1);
	assert_string_equal(b->answer, "one");
	b->manner = ANSWERS_IN_BYTES;
	ask(b, 2, "two");
	assert_string_equal(b->answer, "two");
	ask(b, 3, "");
	assert_int_equal(b->answered, 3);
	assert_string_equal(b->answer, "");
	assert_int_equal(b->connections, 1);
}

/* At a cut the connection is closed; the next request opens another (design, section 4). */
static void test_hang_up_between(void **state)
{
	struct bed *b = *state;

	ask(b, 1, "one");
	gateway_hang_up(b->gateway, SESSION);
	ask(b, 2, "two");
	assert_int_equal(b->answered, 2);
	assert_int_equal(b->connections, 2);
}

/* Once a byte of it is out, a request is never sent again (R1). */
static void test_in_doubt(void **state)
{
	struct bed *b = *state;

	b->manner = HANGS_UP;
	ask(b, 1, "one");
	assert_int_equal(b->doubtful, 1);
	assert_int_equal(b->answered, 0);
	b->manner = ANSWERS;
	ask(b, 2, "two");
	assert_int_equal(b->answered, 2);
	assert_string_equal(b->answer, "two");
}

static void test_rubbish_is_doubt(void **state)
{
	struct bed *b = *state;

	b->manner = ANSWERS_TOO_LONG;
	ask(b, 1, "one");
	assert_int_equal(b->doubtful, 1);
	b->manner = ANSWERS_TWICE;
	ask(b, 2, "two");
	assert_true(b->answered == 2 || b->doubtful == 2);
	b->manner = ANSWERS;
	ask(b, 3, "three");
	assert_int_equal(b->answered, 3);
	assert_string_equal(b->answer, "three");
}

/* A container that comes up again within the time gets the request: nothing of it was written. */
static void test_tried_again(void **state)
{
	struct bed *b = *state;
	int port = b->where.port;

	uv_close((uv_handle_t *)&b->listener, NULL);
	gateway_execute(b->gateway, SESSION, EPOCH, 1, "one", 3);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&b->loop, UV_RUN_ONCE);
	serve_at(b, port);
	run_until_told(b);
	assert_int_equal(b->answered, 1);
}

static void test_forgotten(void **state)
{
	struct bed *b = *state;

	assert_non_null(gateway_find(b->gateway, SESSION, EPOCH));
	assert_int_equal(gateway_epoch_of(b->gateway, SESSION, "container"), EPOCH);
	gateway_execute(b->gateway, SESSION, EPOCH, 1, "one", 3);
	gateway_remove(b->gateway, SESSION, EPOCH);
	assert_null(gateway_find(b->gateway, SESSION, EPOCH));
	assert_int_equal(gateway_epoch_of(b->gateway, SESSION, "container"), 0);
	/* to nobody: dropped, its death was told before */
	gateway_execute(b->gateway, SESSION, EPOCH, 2, "two", 3);
	for (int i = 0; i < 3; i++)
		(void)uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_int_equal(b->answered, 0);
}

static void test_bad_address(void **state)
{
	struct bed *b = *state;
	struct container_address bad = { .ip = "nowhere", .port = 1 };
	struct err err;

	assert_int_equal(gateway_add(b->gateway, 8, 1, &bad, &err), -EINVAL);
	assert_int_equal(gateway_add(b->gateway, SESSION, EPOCH, &b->where, &err), -EEXIST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, begin, finish),
		cmocka_unit_test_setup_teardown(test_hang_up_between, begin, finish),
		cmocka_unit_test_setup_teardown(test_in_doubt, begin, finish),
		cmocka_unit_test_setup_teardown(test_rubbish_is_doubt, begin, finish),
		cmocka_unit_test_setup_teardown(test_tried_again, begin, finish),
		cmocka_unit_test_setup_teardown(test_forgotten, begin, finish),
		cmocka_unit_test_setup_teardown(test_bad_address, begin, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
