/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Gateway against small services in the same process, on the same loop, with each codec
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/spool.h"
#include "codec/codec.h"
#include "es/gateway/gateway.h"
#include "wire/message.h"

#define SESSION 7
#define EPOCH   1

/* How the service treats its next request */
enum manner { BY_SCRIPT, ANSWERS, ANSWERS_IN_BYTES, HANGS_UP, ANSWERS_TOO_LONG, ANSWERS_TWICE };

/* A service that wants exactly these bytes and says, each in a write of its own, these */
struct script {
	const char *request;
	const char *answer[4];
	bool hangs_up;
};

struct bed {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_tcp_t *client;
	uv_udp_t udp;
	const struct codec *codec;
	const struct script *script;
	uint8_t in[4096];
	size_t in_len;
	enum manner manner;
	int connections;
	struct spools *spools;
	struct gateway *gateway;
	struct container_address where;
	uint64_t answered;
	char answer[256];
	size_t answer_len;
	uint64_t doubtful;
	uint64_t refused;
	char reason[WIRE_REASON_SIZE];
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

/* One write may not overtake another: the gateway gets them one by one, as far as that can be. */
static void serve_script(struct bed *b)
{
	const struct script *s = b->script;
	size_t wanted = strlen(s->request);

	assert_true(b->in_len <= wanted);
	assert_memory_equal(b->in, s->request, b->in_len);
	if (b->in_len < wanted)
		return;
	b->in_len = 0;
	for (size_t i = 0; i < ARRAY_SIZE(s->answer) && s->answer[i]; i++)
		say(b, s->answer[i], strlen(s->answer[i]));
	if (s->hangs_up)
		client_close(b);
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
	case BY_SCRIPT:
		break; /* it has another way */
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
	if (b->manner == BY_SCRIPT)
		serve_script(b);
	else if (b->in_len >= 4 && b->in_len == 4 + get_be32(b->in))
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

static void on_answered(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *answer)
{
	struct bed *b = ctx;
	size_t len = answer->len;

	assert_int_equal(session, SESSION);
	assert_int_equal(epoch, EPOCH);
	assert_true(len < sizeof(b->answer));
	memcpy(b->answer, answer->bytes, len);
	b->answer[len] = '\0';
	b->answer_len = len;
	b->answered = answer->number;
}

static void on_refused(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
		       const char *reason)
{
	struct bed *b = ctx;

	assert_int_equal(session, SESSION);
	assert_int_equal(epoch, EPOCH);
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
	b->refused = number;
	uv_stop(&b->loop); /* told by a timer: the loop would go on to wait for more */
}

static void on_in_doubt(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
			const char *reason)
{
	struct bed *b = ctx;

	assert_int_equal(session, SESSION);
	assert_int_equal(epoch, EPOCH);
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
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
	.refused = on_refused,
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

/* A port that nothing listens on, until datagrams_at() */
static void find_port(struct bed *b)
{
	serve_at(b, 0);
	uv_close((uv_handle_t *)&b->listener, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
}

static int begin_with(void **state, const struct codec *codec, enum manner manner)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct err err;

	if (!b || uv_loop_init(&b->loop) < 0)
		return -1;
	strcpy(b->where.id, "container");
	strcpy(b->where.ip, "127.0.0.1");
	b->codec = codec;
	b->manner = manner;
	if (codec->datagram)
		find_port(b);
	else
		serve_at(b, 0);
	if (spools_new(&b->spools, "/tmp", 1 << 20, &err) < 0 ||
	    gateway_new(&b->gateway, &b->loop, b->spools, &ops, b, &err) < 0 ||
	    gateway_add(b->gateway, SESSION, EPOCH, codec, NULL, &b->where, &err) < 0)
		return -1;
	*state = b;
	return 0;
}

static int begin(void **state)
{
	return begin_with(state, &codec_frame, ANSWERS);
}

static int begin_line(void **state)
{
	return begin_with(state, &codec_line, BY_SCRIPT);
}

static int begin_resp(void **state)
{
	return begin_with(state, &codec_resp, BY_SCRIPT);
}

static int begin_http(void **state)
{
	return begin_with(state, &codec_http, BY_SCRIPT);
}

static int begin_udp(void **state)
{
	return begin_with(state, &codec_udp, BY_SCRIPT);
}

static int finish(void **state)
{
	struct bed *b = *state;

	gateway_close(b->gateway);
	client_close(b);
	if (!b->codec->datagram && !uv_is_closing((uv_handle_t *)&b->listener))
		uv_close((uv_handle_t *)&b->listener, NULL);
	if (b->udp.loop)
		uv_close((uv_handle_t *)&b->udp, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	int r = uv_loop_close(&b->loop);
	spools_free(b->spools);
	free(b);
	return r;
}

/* Runs the loop until something was told; the loop ends only if nothing can be told any more. */
static void run_until_told(struct bed *b)
{
	b->answered = 0;
	b->doubtful = 0;
	b->refused = 0;
	b->dead[0] = '\0';
	while (!b->answered && !b->doubtful && !b->refused && !b->dead[0])
		assert_int_not_equal(uv_run(&b->loop, UV_RUN_ONCE), 0);
}

static void execute(struct bed *b, uint64_t number, const void *bytes, size_t len)
{
	const struct wire_data request = { .number = number, .bytes = bytes, .len = len };

	gateway_execute(b->gateway, SESSION, EPOCH, &request);
}

static void ask(struct bed *b, uint64_t number, const char *text)
{
	execute(b, number, text, strlen(text));
	/* never from inside the call */
	assert_int_equal(b->answered == number || b->doubtful == number || b->refused == number ||
				 b->dead[0],
			 0);
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
	execute(b, 1, "one", 3);
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
	execute(b, 1, "one", 3);
	gateway_remove(b->gateway, SESSION, EPOCH);
	assert_null(gateway_find(b->gateway, SESSION, EPOCH));
	assert_int_equal(gateway_epoch_of(b->gateway, SESSION, "container"), 0);
	/* to nobody: dropped, its death was told before */
	execute(b, 2, "two", 3);
	for (int i = 0; i < 3; i++)
		(void)uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_int_equal(b->answered, 0);
}

static void test_bad_address(void **state)
{
	struct bed *b = *state;
	struct container_address bad = { .ip = "nowhere", .port = 1 };
	struct err err;

	assert_int_equal(gateway_add(b->gateway, 8, 1, &codec_line, NULL, &bad, &err), -EINVAL);
	assert_int_equal(
		gateway_add(b->gateway, SESSION, EPOCH, &codec_line, NULL, &b->where, &err),
		-EEXIST);
}

/* --- the other codecs -------------------------------------------------------------------------- */

static void play(struct bed *b, uint64_t number, const struct script *script, const char *answer)
{
	b->script = script;
	ask(b, number, script->request);
	assert_int_equal(b->answered, number);
	assert_string_equal(b->answer, answer);
}

/* What is no request never reaches the container, and the next one is served (R9). */
static void want_refusal(struct bed *b, uint64_t number, const char *request, const char *reason)
{
	int connections = b->connections;

	ask(b, number, request);
	assert_int_equal(b->refused, number);
	assert_non_null(strstr(b->reason, reason));
	assert_int_equal(b->connections, connections);
}

static void test_line(void **state)
{
	static const struct script one = { "put a 1\n", { "ok\n" } };
	static const struct script two = { "get\ta\r\n", { "va", "lue", " 1\n" } };
	struct bed *b = *state;

	want_refusal(b, 1, "no newline", "codec line: not whole after 10 bytes");
	want_refusal(b, 2, "two\nlines\n", "more than one message");
	play(b, 3, &one, "ok\n");
	play(b, 4, &two, "value 1\n");
	want_refusal(b, 5, "", "not whole");
	gateway_hang_up(b->gateway, SESSION);
	play(b, 6, &one, "ok\n");
	assert_int_equal(b->connections, 2);
}

/* An answer that is none: what the container did with the request is not known (R1). */
static void test_line_too_many(void **state)
{
	static const struct script many = { "a\n", { "b\nc\n" } };
	static const struct script half = { "a\n", { "b" }, .hangs_up = true };
	static const struct script good = { "a\n", { "b\n" } };
	struct bed *b = *state;

	b->script = &many;
	ask(b, 1, many.request);
	assert_int_equal(b->doubtful, 1);
	assert_non_null(strstr(b->reason, "more than one came"));
	b->script = &half;
	ask(b, 2, half.request);
	assert_int_equal(b->doubtful, 2);
	assert_non_null(strstr(b->reason, "end of file"));
	play(b, 3, &good, "b\n");
}

static void test_resp(void **state)
{
	static const struct script one = { "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", { ":1\r\n" } };
	static const struct script pipeline = {
		"MULTI\r\nINCR a\r\nLRANGE b 0 -1\r\nEXEC\r\n",
		{ "+OK\r\n+QUEUED\r", "\n+QUEUED\r\n*2\r\n:2\r\n*2\r\n$1\r\n", "x\r\n$-1\r\n" },
	};
	struct bed *b = *state;

	play(b, 1, &one, ":1\r\n");
	play(b, 2, &pipeline, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n*2\r\n$1\r\nx\r\n$-1\r\n");
	want_refusal(b, 3, "*1\r\n$9\r\nSUBSCRIBE", "not whole");
	want_refusal(b, 4, "SUBSCRIBE a\r\n", "command SUBSCRIBE");
	want_refusal(b, 5, "MULTI\r\n", "MULTI without EXEC");
	play(b, 6, &one, ":1\r\n");
	assert_int_equal(b->connections, 1);
}

#define HTTP_OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void test_http(void **state)
{
	static const struct script get = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", { HTTP_OK } };
	static const struct script post = {
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
		"3\r\n\r\nabc",
		{ "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n" },
	};
	static const struct script head = { "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
					    { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" } };
	static const struct script chunks = {
		"GET /c HTTP/1.1\r\nHost: a\r\n\r\n",
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r", "\nok\r\n",
		  "0\r\n\r\n" }
	};
	struct bed *b = *state;

	play(b, 1, &get, HTTP_OK);
	play(b, 2, &post, "HTTP/1.1 204 No Content\r\n\r\n");
	play(b, 3, &head, head.answer[0]);
	play(b, 4, &chunks,
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
	want_refusal(b, 5, "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
		     "another protocol");
	want_refusal(b, 6, "GET / HTTP/1.1\r\n", "not whole");
	play(b, 7, &get, HTTP_OK);
	assert_int_equal(b->connections, 1);
}

/* Answers after which the connection is of no use, and those that end with it */
static void test_http_closing(void **state)
{
	static const struct script last = { "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
					    { HTTP_OK },
					    .hangs_up = true };
	static const struct script until = { "GET /u HTTP/1.0\r\n\r\n",
					     { "HTTP/1.0 200 OK\r\n\r\nall ", "of it" },
					     .hangs_up = true };
	static const struct script broken = { "GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
					      { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok" },
					      .hangs_up = true };
	static const struct script rubbish = { "GET /r HTTP/1.1\r\nHost: a\r\n\r\n",
					       { "+PONG\r\n" } };
	struct bed *b = *state;

	play(b, 1, &last, HTTP_OK);
	play(b, 2, &until, "HTTP/1.0 200 OK\r\n\r\nall of it");
	play(b, 3, &last, HTTP_OK);
	assert_int_equal(b->connections, 3);
	b->script = &broken;
	ask(b, 4, broken.request);
	assert_int_equal(b->doubtful, 4);
	b->script = &rubbish;
	ask(b, 5, rubbish.request);
	assert_int_equal(b->doubtful, 5);
	assert_non_null(strstr(b->reason, "its answer is none of codec http"));
	play(b, 6, &last, HTTP_OK);
}

/* --- datagrams --------------------------------------------------------------------------------- */

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
			unsigned int flags)
{
	struct bed *b = udp->data;
	const struct script *s = b->script;

	(void)flags;
	if (!from)
		return;
	assert_int_equal((size_t)n, strlen(s->request));
	assert_memory_equal(buf->base, s->request, (size_t)n);
	b->connections++;
	for (size_t i = 0; i < ARRAY_SIZE(s->answer) && s->answer[i]; i++) {
		uv_buf_t say_it = uv_buf_init((char *)(uintptr_t)s->answer[i],
					      (unsigned int)strlen(s->answer[i]));

		assert_int_equal(uv_udp_try_send(udp, &say_it, 1, from), (int)say_it.len);
	}
}

static void datagrams_at(struct bed *b, int port)
{
	struct sockaddr_in at;

	assert_int_equal(uv_ip4_addr("127.0.0.1", port, &at), 0);
	assert_int_equal(uv_udp_init(&b->loop, &b->udp), 0);
	b->udp.data = b;
	assert_int_equal(uv_udp_bind(&b->udp, (struct sockaddr *)&at, 0), 0);
	assert_int_equal(uv_udp_recv_start(&b->udp, on_alloc, on_datagram), 0);
}

static void test_udp(void **state)
{
	static const struct script one = { "one", { "1" } };
	static const struct script empty = { "", { "" } };
	static const struct script twice = { "two", { "2", "2 again" } };
	struct bed *b = *state;

	datagrams_at(b, b->where.port);
	play(b, 1, &one, "1");
	play(b, 2, &empty, "");
	assert_int_equal(b->answer_len, 0);
	play(b, 3, &twice, "2");
	play(b, 4, &one, "1"); /* and not what came too many */
	gateway_hang_up(b->gateway, SESSION);
	play(b, 5, &one, "1");
	assert_int_equal(b->connections, 5); /* each was sent once */
}

/* Nothing listens yet: nobody can have executed it, so it is tried again. */
static void test_udp_not_yet(void **state)
{
	static const struct script one = { "one", { "1" } };
	struct bed *b = *state;

	b->script = &one;
	execute(b, 1, "one", 3);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&b->loop, UV_RUN_ONCE);
	datagrams_at(b, b->where.port);
	run_until_told(b);
	assert_int_equal(b->answered, 1);
	assert_int_equal(b->connections, 1);
}

/* A service that says nothing: in doubt after the limit, never sent again (R1, R9). */
static void test_udp_silence(void **state)
{
	static const struct script silence = { "one", { NULL } };
	static const struct script two = { "two", { "2" } };
	struct bed *b = *state;

	datagrams_at(b, b->where.port);
	b->script = &silence;
	ask(b, 1, "one");
	assert_int_equal(b->doubtful, 1);
	assert_non_null(strstr(b->reason, "no answer for 5 s"));
	assert_int_equal(b->connections, 1);
	play(b, 2, &two, "2");
}

static void test_udp_too_long(void **state)
{
	static const char bytes[CODEC_DATAGRAM_MAX + 1];
	struct bed *b = *state;

	execute(b, 1, bytes, sizeof(bytes));
	(void)uv_run(&b->loop, UV_RUN_DEFAULT); /* nothing else is open: it ends by itself */
	assert_int_equal(b->refused, 1);
	assert_non_null(strstr(b->reason, "65508 bytes do not fit"));
}

/* A request that there is no room for, in a buffer or in memory, is refused: the container goes on. */
static void test_no_room(void **state)
{
	static const uint8_t bytes[WIRE_PREAMBLE_MAX + 4];
	const struct wire_data request = {
		.number = 1, .bytes = bytes, .len = sizeof(bytes), .preamble = WIRE_PREAMBLE_MAX + 1
	};
	struct bed *b = *state;

	gateway_execute(b->gateway, SESSION, EPOCH, &request);
	run_until_told(b);
	assert_string_equal(b->dead, "");
	assert_int_equal(b->refused, 1);
	assert_non_null(strstr(b->reason, "no memory for this request"));
	ask(b, 2, "two");
	assert_int_equal(b->answered, 2);
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
		cmocka_unit_test_setup_teardown(test_no_room, begin, finish),
		cmocka_unit_test_setup_teardown(test_line, begin_line, finish),
		cmocka_unit_test_setup_teardown(test_line_too_many, begin_line, finish),
		cmocka_unit_test_setup_teardown(test_resp, begin_resp, finish),
		cmocka_unit_test_setup_teardown(test_http, begin_http, finish),
		cmocka_unit_test_setup_teardown(test_http_closing, begin_http, finish),
		cmocka_unit_test_setup_teardown(test_udp, begin_udp, finish),
		cmocka_unit_test_setup_teardown(test_udp_not_yet, begin_udp, finish),
		cmocka_unit_test_setup_teardown(test_udp_silence, begin_udp, finish),
		cmocka_unit_test_setup_teardown(test_udp_too_long, begin_udp, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
