/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/spool.h"
#include "codec/codec.h"
#include "core/common/request.h"
#include "es/gateway/endpoint.h"

#define WRITE_SIZE (256u << 10) /* of a long request at once */

static_assert(ENDPOINT_READ_SIZE > CODEC_DATAGRAM_MAX, "a datagram is read whole");

/* --- their end -------------------------------------------------------------------------------- */

static void on_connection_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data;

	buf_deinit(&c->in);
	buf_deinit(&c->out);
	request_free(c->sending);
	free(c);
}

void endpoint_close(struct connection *c)
{
	struct endpoint *e = c->endpoint;

	list_remove(&c->link);
	e->connection_count--;
	if (e->connection == c)
		e->connection = NULL;
	c->endpoint = NULL;
	uv_close(&c->handle, on_connection_closed);
}

void endpoint_hang_up(struct endpoint *e)
{
	if (e->connection)
		endpoint_close(e->connection);
}

void endpoint_hang_up_all(struct endpoint *e)
{
	list_for_each_safe(at, next, &e->connections)
		endpoint_close(list_entry(at, struct connection, link));
}

/* Report the failure if the connection serves a request, else only close it. */
static void broke(struct connection *c, const char *what, int code)
{
	if (c == c->endpoint->connection)
		c->endpoint->events->failed(c->endpoint, what, code);
	else
		endpoint_close(c);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *c = handle->data;

	(void)suggested;
	*buf = buf_reserve(&c->in, ENDPOINT_READ_SIZE, NULL) < 0
		       ? uv_buf_init(NULL, 0)
		       : uv_buf_init((char *)buf_tail(&c->in), ENDPOINT_READ_SIZE);
}

/* Move the received bytes of the answer to the spool; make the spool if there is none. */
static int spill(struct endpoint *e, struct err *err)
{
	struct buf *in = &e->connection->in;
	int r = e->answer ? 0 : spool_new(&e->answer, e->gateway->spools, err);

	if (r == 0)
		r = spool_append(e->answer, buf_bytes(in), in->len, err);
	buf_consume(in, in->len);
	return r;
}

/* The next request, by this connection or another, may come as soon as the answer was told. */
static void release_connection(struct endpoint *e)
{
	struct connection *c = e->connection;

	c->idle_since = uv_now(e->gateway->loop);
	/* a service may answer before it has read everything; the rest must not precede the next */
	if (!e->exchange->keep || c->writing)
		endpoint_hang_up(e);
}

static void take_answer(struct endpoint *e)
{
	struct connection *c = e->connection;
	const struct codec_exchange *x = e->exchange;
	struct buf bytes = c->in;
	struct wire_data answer = { .bytes = buf_bytes(&bytes) + x->from, .len = x->end - x->from };

	buf_init(&c->in, c->in.limit);
	answer.digest = codec_answer_digest(x, answer.bytes, answer.len);
	release_connection(e);
	e->events->answered(e, &answer);
	buf_deinit(&bytes);
}

/* The first segment goes to the user at once, the others when they are asked for. */
static int take_long_answer(struct endpoint *e, struct err *err)
{
	const struct codec_exchange *x = e->exchange;
	const bool more = x->end - x->from > WIRE_PAYLOAD_MAX;
	size_t len = more ? WIRE_PAYLOAD_MAX : x->end - x->from;
	struct buf bytes;
	int r;

	buf_init(&bytes, WIRE_PAYLOAD_MAX);
	r = spill(e, err);
	if (r == 0)
		r = buf_reserve(&bytes, len, err);
	if (r == 0)
		r = spool_read(e->answer, x->from, buf_tail(&bytes), len, err);
	if (r == 0 && more)
		r = segments_keep(e->segments, e->request.connection, e->request.number,
				  TAKE_PTR(e->answer), x->from + len, x->end, err);
	if (r == 0) {
		const struct wire_data answer = {
			.status = more ? WIRE_OK_MORE : WIRE_OK,
			.bytes = buf_tail(&bytes),
			.len = len,
			.digest = more ? codec_answer_digest_segments(x)
				       : codec_answer_digest(x, buf_tail(&bytes), len),
		};

		release_connection(e);
		e->events->answered(e, &answer);
	}
	buf_deinit(&bytes);
	return r;
}

/* The connection has the state of the user's now. The answers to the preamble are dropped. */
static void take_preparation(struct endpoint *e)
{
	struct connection *c = e->connection;

	buf_consume(&c->in, c->in.len);
	(void)uv_timer_stop(&e->timer);
	e->preparing = false;
	c->made = true;
	/* as in release_connection() */
	if (!e->preparation->keep || c->writing)
		endpoint_hang_up(e);
	e->events->prepared(e);
}

static void take(struct endpoint *e)
{
	struct err err;

	if (e->preparing)
		take_preparation(e);
	else if (!e->answer && e->exchange->end - e->exchange->from <= WIRE_PAYLOAD_MAX)
		take_answer(e);
	else if (take_long_answer(e, &err) < 0)
		e->events->doubt(e, err.text, GATEWAY_DOUBT_MS);
}

static struct codec_exchange *asked(const struct endpoint *e)
{
	return e->preparing ? e->preparation : e->exchange;
}

/* More is to come. */
static void go_on(struct endpoint *e)
{
	struct buf *in = &e->connection->in;
	struct err err;

	if (e->preparing)
		buf_consume(in, in->len);
	else if ((e->answer || in->len > WIRE_PAYLOAD_MAX) &&
		 codec_limit(e->exchange) > WIRE_PAYLOAD_MAX && spill(e, &err) < 0)
		e->events->doubt(e, err.text, GATEWAY_DOUBT_MS);
}

/* The last @len bytes of the connection's buffer are new. */
static void read_answer(struct endpoint *e, size_t len)
{
	struct codec_exchange *x = asked(e);
	const struct buf *in = &e->connection->in;
	const uint8_t *bytes = buf_bytes(in);
	enum codec_result r = codec_answer(x, bytes + (in->len - len), len);
	char reason[WIRE_REASON_SIZE];

	if (r == CODEC_MORE) {
		go_on(e);
		return;
	}
	if (r == CODEC_DONE && x->end == x->seen) {
		take(e);
		return;
	}
	(void)snprintf(reason, sizeof(reason), "its answer is none of codec %s: %s", x->codec->name,
		       r == CODEC_DONE ? "more than one came" : x->reason);
	e->events->doubt(e, reason, GATEWAY_DOUBT_MS);
}

static bool nobody_asked(const struct connection *c)
{
	const struct endpoint *e = c->endpoint;

	return c != e->connection || !e->request.number || (!e->written && !e->preparing);
}

/* @len bytes have come into the connection's buffer. */
static void take_bytes(struct connection *c, size_t len)
{
	c->in.len += len;
	if (nobody_asked(c))
		broke(c, "unasked answer from", UV_EPROTO);
	else
		read_answer(c->endpoint, len);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct connection *c = stream->data;
	struct endpoint *e = c->endpoint;

	(void)buf;
	if (!e || nread == 0)
		return;
	if (nread == UV_EOF && !nobody_asked(c) && codec_answer_closed(asked(e)) == CODEC_DONE) {
		take(e);
		return;
	}
	if (nread < 0) {
		broke(c, "read from", (int)nread);
		return;
	}
	take_bytes(c, (size_t)nread);
}

/* --- datagrams -------------------------------------------------------------------------------- */

static void on_silence(uv_timer_t *timer)
{
	struct endpoint *e = timer->data;
	char reason[WIRE_REASON_SIZE];

	(void)snprintf(reason, sizeof(reason), "no answer for %d s", GATEWAY_SILENCE_MS / 1000);
	/* an answer that comes now must not be taken for the next one's */
	e->events->doubt(e, reason, 0);
}

static void on_datagram(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf,
			const struct sockaddr *from, unsigned int flags)
{
	struct connection *c = udp->data;
	struct endpoint *e = c->endpoint;

	(void)buf;
	(void)flags; /* ENDPOINT_READ_SIZE: none is cut short */
	if (!e || (nread == 0 && !from))
		return;
	if (nread == UV_ECONNREFUSED && c == e->connection)
		e->written = false; /* nothing listens: it is still ours */
	if (nread < 0) {
		broke(c, "send to", (int)nread);
		return;
	}
	take_bytes(c, (size_t)nread);
}

static void send_datagram(struct endpoint *e)
{
	struct connection *c = e->connection;
	uv_buf_t buf =
		uv_buf_init((char *)(uintptr_t)e->request.bytes, (unsigned int)e->request.len);

	int r = uv_udp_try_send(&c->udp, &buf, 1, NULL);
	if (r < 0) {
		e->events->failed(e, "send to", r);
		return;
	}
	e->written = true;
	(void)uv_timer_start(&e->timer, on_silence, GATEWAY_SILENCE_MS, 0);
}

static int datagrams_open(struct endpoint *e, struct connection *c)
{
	int r = uv_udp_connect(&c->udp, (const struct sockaddr *)&e->address);

	if (r == 0)
		r = uv_udp_recv_start(&c->udp, on_alloc, on_datagram);
	if (r < 0)
		return r;
	c->up = true;
	send_datagram(e);
	return 0;
}

/* --- requests --------------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status);

/* Has libuv write, which takes a turn of the loop or more; the bytes must stay until on_written() */
static int write_later(struct connection *c, const uv_buf_t *bufs, unsigned int count)
{
	int r;

	c->write.data = c;
	c->writing = true;
	r = uv_write(&c->write, (uv_stream_t *)&c->tcp, bufs, count, on_written);
	c->writing = r == 0;
	return r;
}

/* The next piece of a long request */
static int write_piece(struct connection *c)
{
	size_t len = c->left < WRITE_SIZE ? (size_t)c->left : WRITE_SIZE;

	buf_consume(&c->out, c->out.len);
	if (buf_reserve(&c->out, len, NULL) < 0)
		return UV_ENOMEM;
	if (spool_read(c->endpoint->whole->bytes, c->from, buf_tail(&c->out), len, NULL) < 0)
		return UV_EIO;
	c->out.len = len;
	c->from += len;
	c->left -= len;
	const uv_buf_t buf = uv_buf_init((char *)buf_bytes(&c->out), (unsigned int)c->out.len);
	return write_later(c, &buf, 1);
}

static void on_written(uv_write_t *write, int status)
{
	struct connection *c = write->data;
	struct endpoint *e = c->endpoint;

	if (!e)
		return;
	/*
	 * A service may have answered, and closed the connection, before it has read everything:
	 * its answer is still to be read, and then the end.
	 */
	if (status < 0 && !nobody_asked(c))
		return;
	c->writing = false;
	c->sending = request_free(c->sending);
	if (status == 0 && c->left)
		status = write_piece(c);
	if (status < 0)
		broke(c, "write to", status);
}

/* Bytes of the request, with @prefix_len of its prefix in front. The socket takes them at once nearly always. */
static int write_bytes(struct endpoint *e, size_t prefix_len, const uint8_t *bytes, size_t len)
{
	struct connection *c = e->connection;
	uv_buf_t bufs[2] = {
		uv_buf_init((char *)c->prefix, (unsigned int)prefix_len),
		uv_buf_init((char *)(uintptr_t)bytes, (unsigned int)len),
	};

	memcpy(c->prefix, e->prefix, prefix_len);
	int n = uv_try_write((uv_stream_t *)&c->tcp, bufs, 2);
	if (n < 0 && n != UV_EAGAIN)
		return n;
	for (size_t i = 0, taken = n > 0 ? (size_t)n : 0; i < 2; i++) {
		size_t of_this = taken < bufs[i].len ? taken : bufs[i].len;

		bufs[i].base += of_this;
		bufs[i].len -= of_this;
		taken -= of_this;
	}
	if (!bufs[0].len && !bufs[1].len)
		return 0;
	c->sending = request_share(e->kept);
	return write_later(c, bufs, 2);
}

static int write_request(struct endpoint *e)
{
	struct connection *c = e->connection;

	if (!e->whole)
		return write_bytes(e, e->prefix_len, e->request.bytes, e->request.len);
	c->from = 0;
	c->left = spool_length(e->whole->bytes);
	return write_piece(c);
}

/* A new connection gets the preamble before the request. */
void endpoint_write(struct endpoint *e)
{
	struct connection *c = e->connection;
	int r;

	if (e->exchange->codec->datagram) {
		send_datagram(e);
		return;
	}
	e->preparing = !c->made;
	e->written = c->made;
	r = c->made ? write_request(e) : write_bytes(e, 0, e->kept->bytes, e->request.preamble);
	if (r < 0) {
		e->preparing = false;
		e->written = e->written && c->sending; /* then a part of it may have been */
		e->events->failed(e, "write to", r);
	}
}

/* --- their beginning -------------------------------------------------------------------------- */

static void on_connected(uv_connect_t *connect, int status)
{
	struct connection *c = connect->data;
	struct endpoint *e = c->endpoint;

	if (!e)
		return;
	if (status == 0)
		status = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
	if (status < 0) {
		broke(c, "connect to", status);
		return;
	}
	c->up = true;
	(void)uv_tcp_nodelay(&c->tcp, 1);
	if (e->request.number && c == e->connection)
		endpoint_write(e);
}

int endpoint_open(struct endpoint *e)
{
	bool datagram = e->exchange->codec->datagram;
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return UV_ENOMEM;
	r = datagram ? uv_udp_init(e->gateway->loop, &c->udp)
		     : uv_tcp_init(e->gateway->loop, &c->tcp);
	if (r < 0) {
		free(c);
		return r;
	}
	c->handle.data = c;
	c->connect.data = c;
	c->endpoint = e;
	c->number = e->request.connection;
	c->made = e->request.preamble == 0;
	buf_init(&c->in, ENDPOINT_MESSAGE_MAX + ENDPOINT_READ_SIZE);
	buf_init(&c->out, WRITE_SIZE);
	list_append(&e->connections, &c->link);
	e->connection_count++;
	e->connection = c;
	if (datagram)
		return datagrams_open(e, c);
	return uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&e->address,
			      on_connected);
}
