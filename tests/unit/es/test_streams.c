/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "es/gateway/streams.h"
#include "wire/message.h"

/* A service that says "hello" to whoever comes and then all that it hears, and a user */
struct bed {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_timer_t patience;
	struct streams *streams;
	int open;
	bool deaf; /* the service reads nothing */
	char heard[1u << 20];
	size_t len;
	uint64_t taken;
	int ends;
	int breaks;
	bool late;
};

struct client {
	uv_tcp_t tcp;
	struct bed *bed;
	char in[65536];
};

struct echo {
	uv_write_t write;
	char bytes[];
};

static void on_client_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	c->bed->open--;
	free(c);
}

static void on_echoed(uv_write_t *w, int status)
{
	(void)status;
	free(w->data);
}

static void echo(struct client *c, const char *bytes, size_t len)
{
	struct echo *e = malloc(sizeof(*e) + len);
	uv_buf_t buf;

	assert_non_null(e);
	memcpy(e->bytes, bytes, len);
	e->write.data = e;
	buf = uv_buf_init(e->bytes, (unsigned int)len);
	assert_int_equal(uv_write(&e->write, (uv_stream_t *)&c->tcp, &buf, 1, on_echoed), 0);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct client *c = h->data;

	(void)suggested;
	*buf = uv_buf_init(c->in, sizeof(c->in));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = s->data;

	if (n < 0)
		uv_close((uv_handle_t *)s, on_client_closed);
	else if (n > 0)
		echo(c, buf->base, (size_t)n);
}

static void on_connection(uv_stream_t *s, int status)
{
	struct bed *b = s->data;
	struct client *c = calloc(1, sizeof(*c));

	assert_int_equal(status, 0);
	assert_non_null(c);
	c->bed = b;
	c->tcp.data = c;
	assert_int_equal(uv_tcp_init(&b->loop, &c->tcp), 0);
	assert_int_equal(uv_accept(s, (uv_stream_t *)&c->tcp), 0);
	b->open++;
	echo(c, "hello", 5);
	if (!b->deaf)
		assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
}

static void say(void *ctx, const struct wire_stream *m)
{
	struct bed *b = ctx;

	uv_stop(&b->loop); /* told by a timer: the loop would go on to wait for more */
	if (m->ended && m->offset != b->len) {
		b->breaks++;
		return;
	}
	assert_int_equal(m->offset, b->len);
	assert_true(b->len + m->len <= sizeof(b->heard));
	if (m->len)
		memcpy(b->heard + b->len, m->bytes, m->len);
	b->len += m->len;
	b->taken = m->taken;
	b->ends += m->ended;
}

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct sockaddr_in at;
	int len = sizeof(at);

	assert_non_null(b);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
	assert_int_equal(uv_tcp_init(&b->loop, &b->listener), 0);
	b->listener.data = b;
	assert_int_equal(uv_tcp_bind(&b->listener, (struct sockaddr *)&at, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&b->listener, 8, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&b->listener, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(uv_timer_init(&b->loop, &b->patience), 0);
	b->patience.data = b;
	assert_int_equal(streams_new(&b->streams, &b->loop, (struct sockaddr *)&at, say, b, NULL),
			 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	streams_close(b->streams);
	uv_close((uv_handle_t *)&b->listener, NULL);
	uv_close((uv_handle_t *)&b->patience, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(b->deaf ? 0 : b->open, 0);
	(void)uv_loop_close(&b->loop);
	free(b);
	return 0;
}

static void on_late(uv_timer_t *t)
{
	((struct bed *)t->data)->late = true;
}

/* Runs the loop until @holds, which must come true in time */
#define run_until(b, holds)                                                                        \
	do {                                                                                       \
		(b)->late = false;                                                                 \
		assert_int_equal(uv_timer_start(&(b)->patience, on_late, 10000, 0), 0);            \
		while (!(holds) && !(b)->late)                                                     \
			(void)uv_run(&(b)->loop, UV_RUN_ONCE);                                     \
		assert_false((b)->late);                                                           \
		(void)uv_timer_stop(&(b)->patience);                                               \
	} while (0)

static int tell(struct bed *b, uint32_t connection, const char *request)
{
	return streams_take(b->streams, connection, (const uint8_t *)request, strlen(request),
			    NULL);
}

static void test_both_ways(void **state)
{
	struct bed *b = *state;

	assert_int_equal(tell(b, 7, "O"), 0);
	assert_int_equal(tell(b, 7, "Done"), 0); /* before it is up */
	run_until(b, b->len >= 8);
	assert_int_equal(tell(b, 7, "Dtwo"), 0);
	run_until(b, b->len >= 11);
	assert_memory_equal(b->heard, "helloonetwo", 11);
	assert_int_equal(tell(b, 7, "E"), 0);
	run_until(b, b->ends);
	assert_int_equal(b->breaks, 0);
}

/* At a cut both sides see their connection break; what was under way is not put into another. */
static void test_cut(void **state)
{
	struct bed *b = *state;

	assert_int_equal(tell(b, 7, "O"), 0);
	run_until(b, b->len == 5);
	streams_end(b->streams);
	assert_int_equal(b->breaks, 0); /* not from inside the call */
	run_until(b, b->breaks == 1 && b->open == 0);
	assert_int_equal(tell(b, 7, "Dlate"), 0);
	run_until(b, b->breaks == 2);
	assert_int_equal(tell(b, 7, "R"), 0);
	b->len = 0;
	assert_int_equal(tell(b, 8, "O"), 0);
	run_until(b, b->len == 5);
	assert_int_equal(b->breaks, 2);
}

/* R9: an access point that ignores the window does not fill our memory, and is told why */
static void test_window_ignored(void **state)
{
	struct bed *b = *state;
	static char request[1 + 65536] = "D";
	struct err err = { .text = "" };
	size_t sent = 0;
	int r = 0;

	/* the loop does not run: nothing goes to the service meanwhile */
	assert_int_equal(tell(b, 7, "O"), 0);
	for (; r == 0 && sent < 2 * STREAMS_QUEUE; sent += sizeof(request) - 1)
		r = streams_take(b->streams, 7, (uint8_t *)request, sizeof(request), &err);
	assert_int_equal(r, -EPROTO);
	assert_true(sent <= STREAMS_QUEUE + sizeof(request));
	assert_non_null(strstr(err.text, "connection 7 ended: more than 1536 KiB wait"));
	run_until(b, b->breaks == 1);
}

/* R9: what the user has not taken is not read beyond the window */
static void test_window_down(void **state)
{
	struct bed *b = *state;
	char request[1 + 65536] = "D";
	char confirm[9] = "W";
	size_t sent = 0;

	memset(request + 1, 'x', sizeof(request) - 1);
	assert_int_equal(tell(b, 7, "O"), 0);
	run_until(b, b->len == 5);
	for (int i = 0; i < 12; i++, sent += sizeof(request) - 1)
		assert_int_equal(
			streams_take(b->streams, 7, (uint8_t *)request, sizeof(request), NULL), 0);
	run_until(b, b->len >= STREAMS_WINDOW);
	for (int i = 0; i < 50; i++)
		(void)uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_true(b->len < STREAMS_WINDOW + 65536);
	put_be64((uint8_t *)confirm + 1, b->len);
	assert_int_equal(streams_take(b->streams, 7, (uint8_t *)confirm, 9, NULL), 0);
	run_until(b, b->len == sent + 5);
}

static void test_taken(void **state)
{
	struct bed *b = *state;
	char request[1 + 65536] = "D";

	assert_int_equal(tell(b, 7, "O"), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			streams_take(b->streams, 7, (uint8_t *)request, sizeof(request), NULL), 0);
	run_until(b, b->taken >= STREAMS_WINDOW / 4);
}

static void test_bad(void **state)
{
	struct bed *b = *state;
	struct err err;

	assert_int_equal(streams_take(b->streams, 7, (const uint8_t *)"", 0, &err), -EPROTO);
	assert_int_equal(tell(b, 7, "X"), -EPROTO);
	assert_int_equal(tell(b, 0, "O"), -EPROTO);
	assert_int_equal(tell(b, 7, "O"), 0);
	assert_int_equal(tell(b, 7, "Wshort"), 0); /* means nothing */
	run_until(b, b->len == 5);
}

/* R9: one user too many connections: the next one ends at once */
static void test_limit(void **state)
{
	struct bed *b = *state;

	for (uint32_t i = 1; i <= STREAMS_MAX + 1; i++) {
		assert_int_equal(tell(b, i, "O"), 0);
		b->len = 0; /* each says hello: offsets of all begin at 0 */
		if (i <= STREAMS_MAX)
			run_until(b, b->len == 5);
	}
	run_until(b, b->breaks == 1);
	assert_int_equal(b->open, STREAMS_MAX);
}

static void test_nobody_listens(void **state)
{
	struct bed *b = *state;
	struct streams *to_nobody;
	struct sockaddr_in at;

	assert_int_equal(uv_ip4_addr("127.0.0.1", 1, &at), 0);
	assert_int_equal(streams_new(&to_nobody, &b->loop, (struct sockaddr *)&at, say, b, NULL),
			 0);
	assert_int_equal(streams_take(to_nobody, 7, (const uint8_t *)"O", 1, NULL), 0);
	run_until(b, b->breaks == 1);
	streams_close(to_nobody);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_window_down, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_window_ignored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_listens, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
