/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Long requests and answers through the gateway. The service here speaks HTTP: it answers a request for
 * /N with N bytes that depend on the request's body.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/spool.h"
#include "codec/codec.h"
#include "es/gateway/gateway.h"
#include "wire/message.h"
#include "local_service.h"

#define SESSION 7
#define EPOCH   1
#define A       11 /* the user's connections */
#define B       12
#define MIB     (1u << 20)
#define TWO     (2 * MIB - 1000) /* a body that goes in two segments */

struct bed {
	uv_loop_t loop;
	uv_tcp_t listener;
	struct spools *spools;
	struct gateway *gateway;
	struct container_address where;
	bool early; /* the service answers as soon as it has seen the headers, and goes away */
	int opened;
	int open;
	int executed;
	uint64_t body; /* digest of the last request's */
	uint64_t number;
	uint64_t answered;
	uint64_t refused;
	uint64_t doubtful;
	enum wire_status status;
	uint64_t digest;
	struct buf answer;
	char reason[WIRE_REASON_SIZE];
};

struct client {
	uv_tcp_t tcp;
	uv_write_t write;
	struct bed *bed;
	struct buf in;
	bool head;
	size_t asked; /* bytes that the answer is to have */
	size_t left;  /* of the body, still to come */
	uint64_t body;
	char *answer;
};

/* --- the service -------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	c->bed->open--;
	buf_deinit(&c->in);
	free(c->answer);
	free(c);
}

static void on_written(uv_write_t *write, int status)
{
	struct client *c = write->data;

	(void)status;
	free(c->answer);
	c->answer = NULL;
	if (c->bed->early && !uv_is_closing((uv_handle_t *)&c->tcp))
		uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* Byte @i of the answer to a request whose body has digest @body */
static char byte_at(uint64_t body, size_t i)
{
	return (char)('a' + (body + i / 7) % 26);
}

static void answer(struct client *c)
{
	struct bed *b = c->bed;
	char *all = malloc(c->asked + 128);

	assert_non_null(all);
	int head = sprintf(all, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", c->asked);
	for (size_t i = 0; i < c->asked; i++)
		all[(size_t)head + i] = byte_at(c->body, i);
	b->executed++;
	b->body = c->body;
	c->head = false;
	c->answer = all;
	uv_buf_t buf = uv_buf_init(all, (unsigned int)(c->asked + (size_t)head));
	c->write.data = c;
	assert_int_equal(uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written), 0);
}

static void read_head(struct client *c)
{
	const char *text = (const char *)buf_bytes(&c->in);
	const char *end = text ? memmem(text, c->in.len, "\r\n\r\n", 4) : NULL;

	if (!end)
		return;
	const char *length = strstr(text, "Content-Length: ");
	c->asked = strtoul(strchr(text, '/') + 1, NULL, 10);
	c->left = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
	c->head = true;
	c->body = DIGEST_START;
	buf_consume(&c->in, (size_t)(end + 4 - text));
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct client *c = h->data;

	(void)suggested;
	assert_int_equal(buf_reserve(&c->in, 65536, NULL), 0);
	*buf = uv_buf_init((char *)buf_tail(&c->in), 65536);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = s->data;

	(void)buf;
	if (n < 0) {
		if (!uv_is_closing((uv_handle_t *)s))
			uv_close((uv_handle_t *)s, on_closed);
		return;
	}
	c->in.len += (size_t)n;
	if (!c->head)
		read_head(c);
	if (!c->head)
		return;
	size_t len = c->in.len < c->left ? c->in.len : c->left;
	c->body = digest_add(c->body, buf_bytes(&c->in), len);
	c->left -= len;
	buf_consume(&c->in, len);
	if (c->bed->early)
		(void)uv_read_stop(s);
	if (!c->left || c->bed->early)
		answer(c);
}

static void on_connection(uv_stream_t *s, int status)
{
	struct bed *b = s->data;
	struct client *c = calloc(1, sizeof(*c));

	assert_int_equal(status, 0);
	assert_non_null(c);
	c->bed = b;
	c->tcp.data = c;
	buf_init(&c->in, 0);
	assert_int_equal(uv_tcp_init(&b->loop, &c->tcp), 0);
	assert_int_equal(uv_accept(s, (uv_stream_t *)&c->tcp), 0);
	assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
	b->opened++;
	b->open++;
}

/* --- what the gateway tells --------------------------------------------------------------------- */

static void on_answered(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *d)
{
	struct bed *b = ctx;

	(void)session;
	(void)epoch;
	assert_true(d->len <= WIRE_PAYLOAD_MAX);
	b->answered = d->number;
	b->status = d->status;
	b->digest = d->digest;
	assert_int_equal(buf_append(&b->answer, d->bytes, d->len, NULL), 0);
	uv_stop(&b->loop);
}

static void on_refused(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
		       const char *reason)
{
	struct bed *b = ctx;

	(void)session;
	(void)epoch;
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
	b->refused = number;
	uv_stop(&b->loop);
}

static void on_in_doubt(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
			const char *reason)
{
	struct bed *b = ctx;

	(void)session;
	(void)epoch;
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
	b->doubtful = number;
	uv_stop(&b->loop);
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

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	local_service(&b->loop, &b->listener, b, on_connection, &b->where);
	assert_int_equal(spools_new(&b->spools, "/tmp", 12 * MIB, NULL), 0);
	assert_int_equal(gateway_new(&b->gateway, &b->loop, b->spools, &ops, b, NULL), 0);
	assert_int_equal(
		gateway_add(b->gateway, SESSION, EPOCH, &codec_http, NULL, &b->where, NULL), 0);
	buf_init(&b->answer, 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	gateway_close(b->gateway);
	uv_close((uv_handle_t *)&b->listener, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(b->open, 0);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	spools_free(b->spools);
	buf_deinit(&b->answer);
	free(b);
	return 0;
}

/* --- words of the tests ------------------------------------------------------------------------- */

/* One numbered request. It has been answered, refused, or put in doubt when this returns. */
static void request(struct bed *b, uint32_t connection, enum wire_segment segment,
		    const void *bytes, size_t len)
{
	const struct wire_data d = { .number = ++b->number,
				     .connection = connection,
				     .segment = segment,
				     .bytes = bytes,
				     .len = len };

	buf_consume(&b->answer, b->answer.len);
	gateway_execute(b->gateway, SESSION, EPOCH, &d);
	while (b->answered != b->number && b->refused != b->number && b->doubtful != b->number)
		(void)uv_run(&b->loop, UV_RUN_DEFAULT);
}

static void whole(struct bed *b, uint32_t connection, const char *text)
{
	request(b, connection, WIRE_SEGMENT_WHOLE, text, strlen(text));
}

static void about(struct bed *b, uint32_t connection, enum wire_segment segment, uint64_t number)
{
	uint8_t bytes[WIRE_SEGMENT_NUMBER_SIZE];

	put_be64(bytes, number);
	request(b, connection, segment, bytes, sizeof(bytes));
}

/* A request for /@asked with a body of @len bytes; the caller frees it */
static char *post(size_t asked, size_t len, size_t *total)
{
	char *all = malloc(len + 128);

	assert_non_null(all);
	int head = sprintf(all, "POST /%zu HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
			   asked, len);
	for (size_t i = 0; i < len; i++)
		all[(size_t)head + i] = (char)(i % 251);
	*total = (size_t)head + len;
	return all;
}

static bool under_way(struct bed *b)
{
	return gateway_under_way(b->gateway, SESSION, EPOCH);
}

/* How many bytes follow the headers of what has come; those that came so far must be right. */
static size_t checked_body(const struct bed *b, size_t before)
{
	const char *text = (const char *)buf_bytes(&b->answer);
	size_t head = 0;

	if (!before) {
		const char *end = memmem(text, b->answer.len, "\r\n\r\n", 4);

		assert_non_null(end);
		head = (size_t)(end + 4 - text);
	}
	for (size_t i = head; i < b->answer.len; i++)
		assert_int_equal(text[i], byte_at(b->body, before + i - head));
	return b->answer.len - head;
}

/* --- tests -------------------------------------------------------------------------------------- */

static void test_long_request(void **state)
{
	struct bed *b = *state;
	size_t len;
	char *all = post(5, 3 * MIB, &len);

	request(b, A, WIRE_SEGMENT_BEGIN, all, MIB);
	assert_int_equal(b->status, WIRE_OK);
	assert_int_equal(b->answer.len, 0);
	assert_true(under_way(b));
	assert_int_equal(b->opened, 0); /* the container sees it when it is whole */
	request(b, A, WIRE_SEGMENT_MORE, all + MIB, MIB);
	request(b, A, WIRE_SEGMENT_MORE, all + 2 * MIB, MIB);
	request(b, A, WIRE_SEGMENT_LAST, all + 3 * MIB, len - 3 * MIB);
	assert_int_equal(b->answered, 4);
	assert_int_equal(b->status, WIRE_OK);
	assert_int_equal(b->executed, 1);
	const char *body = strstr(all, "\r\n\r\n") + 4;
	assert_true(b->body == digest_add(DIGEST_START, body, 3 * MIB));
	assert_int_equal(checked_body(b, 0), 5);
	assert_false(under_way(b));
	free(all);
}

/* Others are served meanwhile, each from what is its own. */
static void test_between_parts(void **state)
{
	struct bed *b = *state;
	size_t len_a, len_b;
	char *a = post(1, 2 * MIB, &len_a), *c = post(2, 2 * MIB + 1, &len_b);

	request(b, A, WIRE_SEGMENT_BEGIN, a, MIB);
	request(b, B, WIRE_SEGMENT_BEGIN, c, MIB);
	whole(b, 13, "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(checked_body(b, 0), 3);
	request(b, B, WIRE_SEGMENT_MORE, c + MIB, MIB);
	request(b, A, WIRE_SEGMENT_MORE, a + MIB, MIB);
	request(b, B, WIRE_SEGMENT_LAST, c + 2 * MIB, len_b - 2 * MIB);
	assert_int_equal(checked_body(b, 0), 2);
	request(b, A, WIRE_SEGMENT_LAST, a + 2 * MIB, len_a - 2 * MIB);
	assert_int_equal(checked_body(b, 0), 1);
	assert_int_equal(b->executed, 3);
	free(a);
	free(c);
}

static uint64_t fetch(struct bed *b, size_t size)
{
	uint64_t number = b->number, digest = b->digest;
	size_t got;

	assert_int_equal(b->status, WIRE_OK_MORE);
	assert_int_equal(b->answer.len, MIB);
	got = checked_body(b, 0);
	while (b->status == WIRE_OK_MORE) {
		assert_true(under_way(b));
		about(b, A, WIRE_SEGMENT_REST, number);
		got += checked_body(b, got);
	}
	assert_int_equal(b->status, WIRE_OK);
	assert_int_equal(got, size);
	assert_false(under_way(b));
	return digest;
}

static void test_long_answer(void **state)
{
	struct bed *b = *state;
	uint64_t first;

	whole(b, A, "GET /5000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	first = fetch(b, 5000000);
	whole(b, A, "GET /5000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(fetch(b, 5000000) == first); /* R5 */
	whole(b, A, "GET /5000001 HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(fetch(b, 5000001) != first);
	assert_int_equal(b->opened, 1);
	/* too much was asked for */
	about(b, A, WIRE_SEGMENT_REST, b->number);
	assert_int_equal(b->status, WIRE_OK);
	assert_int_equal(b->answer.len, 0);
}

/* The longest answer that goes in one piece, and one byte more */
static void test_where_parts_begin(void **state)
{
	const size_t head = strlen("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	struct bed *b = *state;
	char text[64];

	(void)snprintf(text, sizeof(text), "GET /%zu HTTP/1.1\r\nHost: a\r\n\r\n", MIB - head);
	whole(b, A, text);
	assert_int_equal(b->status, WIRE_OK);
	assert_int_equal(b->answer.len, MIB);
	(void)snprintf(text, sizeof(text), "GET /%zu HTTP/1.1\r\nHost: a\r\n\r\n", MIB - head + 1);
	whole(b, A, text);
	(void)fetch(b, MIB - head + 1);
	assert_int_equal(b->answer.len, 1);
}

static void test_drop(void **state)
{
	struct bed *b = *state;
	size_t len;
	char *all = post(1, TWO, &len);

	whole(b, A, "GET /3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	about(b, A, WIRE_SEGMENT_DROP, b->number);
	assert_false(under_way(b));
	request(b, A, WIRE_SEGMENT_BEGIN, all, MIB);
	about(b, A, WIRE_SEGMENT_DROP, 0);
	assert_false(under_way(b));
	request(b, A, WIRE_SEGMENT_LAST, all + MIB, len - MIB);
	assert_int_equal(b->doubtful, b->number);
	assert_int_equal(b->executed, 1);
	free(all);
}

/* R12: what a cut cuts off is executed nowhere, and its user is told. */
static void test_cut(void **state)
{
	struct bed *b = *state;
	size_t len;
	char *all = post(1, TWO, &len);

	whole(b, A, "GET /3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	uint64_t number = b->number;
	request(b, B, WIRE_SEGMENT_BEGIN, all, MIB);
	gateway_hang_up(b->gateway, SESSION);
	assert_false(under_way(b));
	request(b, B, WIRE_SEGMENT_LAST, all + MIB, len - MIB);
	assert_int_equal(b->doubtful, b->number);
	about(b, A, WIRE_SEGMENT_REST, number);
	assert_int_equal(b->status, WIRE_OK);
	assert_int_equal(b->answer.len, 0);
	assert_int_equal(b->executed, 1);
	free(all);
}

static void test_bad_parts(void **state)
{
	struct bed *b = *state;
	size_t len;
	char *all = post(1, TWO, &len);

	request(b, A, WIRE_SEGMENT_BEGIN, all, MIB); /* not whole */
	request(b, A, WIRE_SEGMENT_LAST, all + MIB, len - MIB - 1);
	assert_int_equal(b->refused, b->number);
	assert_non_null(strstr(b->reason, "does not end with its last part"));
	static const char small[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
	request(b, A, WIRE_SEGMENT_BEGIN, small, strlen(small)); /* whole too early */
	assert_int_equal(b->refused, b->number);
	request(b, A, WIRE_SEGMENT_BEGIN, "no HTTP", 7);
	assert_int_equal(b->refused, b->number);
	assert_non_null(strstr(b->reason, "codec http"));
	request(b, A, WIRE_SEGMENT_MORE, all, MIB);
	assert_int_equal(b->doubtful, b->number);
	request(b, 0, WIRE_SEGMENT_BEGIN, all, MIB); /* of no connection */
	assert_int_equal(b->refused, b->number);
	assert_int_equal(b->opened, 0);
	assert_false(under_way(b));
	free(all);
}

/* A service need not read all of a request that it does not want. */
static void test_early_answer(void **state)
{
	struct bed *b = *state;
	size_t len;
	char *all = post(7, 4 * MIB - 1000, &len);

	b->early = true;
	request(b, A, WIRE_SEGMENT_BEGIN, all, MIB);
	request(b, A, WIRE_SEGMENT_MORE, all + MIB, MIB);
	request(b, A, WIRE_SEGMENT_MORE, all + 2 * MIB, MIB);
	request(b, A, WIRE_SEGMENT_LAST, all + 3 * MIB, len - 3 * MIB);
	assert_int_equal(b->answered, b->number);
	assert_int_equal(checked_body(b, 0), 7);
	free(all);
}

/* R9: what does not fit is in doubt, and takes no room any more. */
static void test_no_room(void **state)
{
	struct bed *b = *state;

	whole(b, A, "GET /13000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(b->doubtful, b->number);
	assert_non_null(strstr(b->reason, "limit of"));
	whole(b, A, "GET /11000000 HTTP/1.1\r\nHost: a\r\n\r\n");
	(void)fetch(b, 11000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_between_parts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_where_parts_begin, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_drop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_parts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_early_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("gateway parts", tests, NULL, NULL);
}
