/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/direct_client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "core/common/policy.h"
#include "net/address.h"
#include "net/crypto.h"
#include "net/tcp.h"
#include "report/log_reporter.h"

/*
 * DOC: requests between two marks
 *
 * Requests are numbered; @told <= @written <= @made.
 *
 *	told + 1 .. written	were sent, on connections that may have broken since (@gone)
 *	written + 1 .. made	wait for a connection
 *
 * A request that broke with its connection is only marked, and told from the event loop: the
 * callbacks must not come from inside a call. The application may close the client in a callback;
 * the client's memory stays until the loop has closed its timer, so @closing can be looked at.
 */

#define LENGTH_SIZE  4
#define READ_SIZE    65536
#define HANDSHAKE_MS 5000 /* unless a limit is given, as in net/link.h */
#define DEAD_MS      10000

/* struct place - Where the service is reached from an access point */
struct place {
	char ap[NAME_SIZE];
	struct address address;
};

/* struct request - Request n, in slot n % WIRE_WINDOW */
struct request {
	client_done_fn done;
	void *ctx;
	uint8_t *frame; /* until it is sent */
	size_t size;
	uint64_t patience_ends;
	uint32_t connection; /* 0: not sent */
	bool gone;           /* given up, not told yet */
};

/* struct connection - Outlives the client's interest in it until libuv has closed its handle */
struct connection {
	uv_tcp_t tcp;
	uv_connect_t connect;
	struct direct_client *client; /* NULL: nobody cares any more */
	struct buf in;
	uint32_t id;
	bool up;
};

/* struct outgoing - A frame on its way into the kernel */
struct outgoing {
	uv_write_t write;
	struct connection *connection;
	uint8_t *frame;
};

struct direct_client {
	uv_loop_t *loop;
	const struct client_ops *ops;
	void (*given_up)(void *ctx, uint64_t number, uint32_t connection);
	void *ctx;
	struct log_reporter *reporter;
	uint64_t session;
	bool request_events;
	uint64_t retry_ms;
	uint64_t patience_ms;
	uint64_t handshake_ms;
	uint32_t dead_ms;
	struct connection *connection;
	uint32_t connections;
	uint64_t retry_at; /* when to connect again; UINT64_MAX: a connection is there or coming */
	uint64_t come_up_by;  /* for a connection that is coming */
	char told_reason[96]; /* why the place was unreachable, as last told; empty: it answered */
	bool tell_up;         /* associated() is due once there is a connection */
	struct request request[WIRE_WINDOW];
	uint64_t told;
	uint64_t written;
	uint64_t made;
	uv_timer_t timer;
	bool closing;
	void (*closed)(void *ctx);
	void *closed_ctx;
	const struct place *at;
	size_t places;
	struct place place[];
};

static void set_timer(struct direct_client *c);

static struct request *slot(struct direct_client *c, uint64_t number)
{
	return &c->request[number % WIRE_WINDOW];
}

/* ---- outcomes ---- */

static void tell_given_up(struct direct_client *c)
{
	uint64_t number = ++c->told;
	struct request *q = slot(c, number);
	uint32_t connection = q->connection;

	free(q->frame);
	*q = (struct request){ 0 };
	log_reporter_event(c->reporter, "REQUEST LOST", c->session, number, "sent=%d ap=%s",
			   connection != 0, direct_client_ap(c));
	c->given_up(c->ctx, number, connection);
}

/* Tells which requests were given up, up to the first one that may still be answered */
static void tell_gone(struct direct_client *c)
{
	while (!c->closing && c->told < c->made && slot(c, c->told + 1)->gone)
		tell_given_up(c);
}

static bool any_gone(struct direct_client *c)
{
	return c->told < c->made && slot(c, c->told + 1)->gone;
}

static void give_up_impatient(struct direct_client *c)
{
	uint64_t now = uv_now(c->loop);

	for (uint64_t n = c->written + 1; n <= c->made; n++) {
		struct request *q = slot(c, n);

		if (q->patience_ends > now)
			return;
		q->gone = true;
		c->written = n;
	}
}

/* ---- the connection ---- */

static void on_connection_closed(uv_handle_t *handle)
{
	struct connection *k = handle->data;

	buf_deinit(&k->in);
	free(k);
}

/* Leaves the connection; requests that were sent on it and have no answer are given up */
static void hang_up(struct direct_client *c)
{
	struct connection *k = c->connection;

	if (!k)
		return;
	c->connection = NULL;
	k->client = NULL;
	for (uint64_t n = c->told + 1; n <= c->written; n++)
		slot(c, n)->gone = true;
	uv_close((uv_handle_t *)&k->tcp, on_connection_closed);
}

/* The connection failed, or there is none: another one later. May end with a callback. */
static void connection_failed(struct direct_client *c, const char *what, int code)
{
	bool was_up = c->connection && c->connection->up;
	char reason[sizeof(c->told_reason)];

	(void)snprintf(reason, sizeof(reason), "%s: %s", what, uv_strerror(code));
	if (was_up)
		log_reporter_event(c->reporter, "DISCONNECTED", c->session, 0, "ap=%s %s",
				   c->at->ap, reason);
	hang_up(c);
	c->retry_at = uv_now(c->loop) + c->retry_ms;
	set_timer(c);
	if (strcmp(reason, c->told_reason) == 0)
		return;
	memcpy(c->told_reason, reason, sizeof(reason));
	c->tell_up = true;
	if (c->ops->unreachable)
		c->ops->unreachable(c->ctx, c->at->ap, reason);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *k = handle->data;

	(void)suggested;
	*buf = buf_reserve(&k->in, READ_SIZE, NULL) < 0
		       ? uv_buf_init(NULL, 0)
		       : uv_buf_init((char *)buf_tail(&k->in), READ_SIZE);
}

/* One answer. Return: false if nobody had asked */
static bool take_answer(struct direct_client *c, struct connection *k, const uint8_t *bytes,
			size_t len)
{
	tell_gone(c);
	if (c->closing)
		return true;
	if (c->told == c->written || slot(c, c->told + 1)->connection != k->id)
		return false;
	struct request *q = slot(c, ++c->told);
	const struct request who = *q;
	const struct wire_data answer = { .number = c->told, .bytes = bytes, .len = len };

	*q = (struct request){ 0 };
	c->told_reason[0] = '\0';
	if (c->request_events)
		log_reporter_event(c->reporter, "SVCR", c->session, answer.number, "status=%s",
				   wire_status_name(answer.status));
	if (who.done)
		who.done(who.ctx, &answer);
	return true;
}

/* Takes the whole answers there are; the client may be gone, or elsewhere, after each */
static void take_answers(struct direct_client *c, struct connection *k)
{
	while (k->client && k->in.len >= LENGTH_SIZE) {
		size_t len = get_be32(buf_bytes(&k->in));

		if (len > WIRE_PAYLOAD_MAX) {
			connection_failed(c, "answer too long", UV_EPROTO);
			return;
		}
		if (k->in.len < LENGTH_SIZE + len)
			return;
		if (!take_answer(c, k, buf_bytes(&k->in) + LENGTH_SIZE, len)) {
			connection_failed(c, "unasked answer", UV_EPROTO);
			return;
		}
		buf_consume(&k->in, LENGTH_SIZE + len);
	}
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct connection *k = stream->data;
	struct direct_client *c = k->client;

	(void)buf;
	if (!c || nread == 0)
		return;
	if (nread < 0) {
		connection_failed(c, "connection broke", (int)nread);
		return;
	}
	k->in.len += (size_t)nread;
	take_answers(c, k);
	if (k->client)
		set_timer(c);
}

static void on_written(uv_write_t *write, int status)
{
	struct outgoing *o = write->data;
	struct direct_client *c = o->connection->client;

	free(o->frame);
	free(o);
	if (c && status < 0)
		connection_failed(c, "connection broke", status);
}

/* Sends one request, once. Return: false if the connection does not take it: it may be sent later */
static bool write_request(struct connection *k, struct request *q)
{
	struct outgoing *o = malloc(sizeof(*o));
	uv_buf_t buf = uv_buf_init((char *)q->frame, (unsigned int)q->size);

	if (!o)
		return false;
	*o = (struct outgoing){ .connection = k, .frame = q->frame };
	o->write.data = o;
	if (uv_write(&o->write, (uv_stream_t *)&k->tcp, &buf, 1, on_written) < 0) {
		free(o);
		return false;
	}
	q->frame = NULL;
	q->connection = k->id;
	return true;
}

static void write_waiting(struct direct_client *c)
{
	struct connection *k = c->connection;

	if (!k || !k->up)
		return;
	while (c->written < c->made && write_request(k, slot(c, c->written + 1)))
		c->written++;
}

static void on_up(struct direct_client *c, struct connection *k)
{
	bool tell = c->tell_up;
	uv_os_fd_t fd;

	k->up = true;
	c->tell_up = false;
	if (uv_fileno((uv_handle_t *)&k->tcp, &fd) == 0)
		tcp_tune(fd, c->dead_ms);
	log_reporter_event(c->reporter, "CONNECTED", c->session, 0, "ap=%s", c->at->ap);
	give_up_impatient(c);
	write_waiting(c);
	set_timer(c);
	if (tell && c->ops->associated)
		c->ops->associated(c->ctx, c->at->ap);
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct connection *k = connect->data;
	struct direct_client *c = k->client;

	if (!c)
		return;
	if (status == 0)
		status = uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read);
	if (status < 0)
		connection_failed(c, "connect", status);
	else
		on_up(c, k);
}

static int connection_open(struct direct_client *c)
{
	struct connection *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return UV_ENOMEM;
	r = uv_tcp_init(c->loop, &k->tcp);
	if (r < 0) {
		free(k);
		return r;
	}
	k->tcp.data = k;
	k->connect.data = k;
	k->client = c;
	k->id = ++c->connections;
	buf_init(&k->in, LENGTH_SIZE + WIRE_PAYLOAD_MAX + READ_SIZE);
	c->connection = k;
	c->retry_at = UINT64_MAX;
	c->come_up_by = uv_now(c->loop) + c->handshake_ms;
	return uv_tcp_connect(&k->connect, &k->tcp, (const struct sockaddr *)&c->at->address.any,
			      on_connected);
}

/* ---- time ---- */

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void connect_if_due(struct direct_client *c)
{
	int r;

	if (c->connection && !c->connection->up && uv_now(c->loop) >= c->come_up_by) {
		connection_failed(c, "connect", UV_ETIMEDOUT);
	} else if (!c->connection && uv_now(c->loop) >= c->retry_at) {
		r = connection_open(c);
		if (r < 0)
			connection_failed(c, "connect", r);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct direct_client *c = timer->data;

	if (!c->connection || !c->connection->up)
		give_up_impatient(c);
	else
		write_waiting(c);
	connect_if_due(c);
	tell_gone(c);
	set_timer(c);
}

/* After each change: when is something due next */
static void set_timer(struct direct_client *c)
{
	uint64_t now = uv_now(c->loop);
	uint64_t at = c->connection ? UINT64_MAX : c->retry_at;

	if (c->closing)
		return;
	if (any_gone(c))
		at = now;
	if (c->connection && !c->connection->up)
		at = min(at, c->come_up_by);
	if (c->written < c->made) /* up, and yet it waits: there was no memory to send it */
		at = min(at, c->connection && c->connection->up
				     ? now + c->retry_ms
				     : slot(c, c->written + 1)->patience_ends);
	if (at == UINT64_MAX)
		(void)uv_timer_stop(&c->timer);
	else
		(void)uv_timer_start(&c->timer, on_timer, at > now ? at - now : 0, 0);
}

/* ---- the application's side ---- */

static void direct_client_free(struct direct_client *c)
{
	for (size_t i = 0; i < WIRE_WINDOW; i++)
		free(c->request[i].frame);
	free(c);
}

static int copy_places(struct direct_client *c, const struct client_setup *setup, struct err *err)
{
	for (; c->places < setup->ap_count; c->places++) {
		struct place *p = &c->place[c->places];
		int r = name_set(p->ap, setup->aps[c->places].name, err);

		if (r == 0)
			r = address_parse(&p->address, setup->aps[c->places].address, err);
		if (r < 0)
			return err_wrap(err, r, "service at %.63s", setup->aps[c->places].name);
	}
	return 0;
}

int direct_client_new(struct direct_client **ret, const struct direct_client_setup *setup,
		      struct err *err)
{
	const struct client_setup *s = &setup->client;
	struct direct_client *c = calloc(1, sizeof(*c) + s->ap_count * sizeof(struct place));
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "direct client");
	c->loop = s->loop;
	c->ops = s->ops;
	c->ctx = s->ctx;
	c->given_up = setup->given_up;
	c->reporter = s->reporter;
	c->request_events = s->policy->request_events;
	c->retry_ms = s->policy->retry_ms;
	c->patience_ms = setup->patience_ms;
	c->handshake_ms = s->limits.handshake_ms ? s->limits.handshake_ms : HANDSHAKE_MS;
	c->dead_ms = s->limits.dead_ms ? s->limits.dead_ms : DEAD_MS;
	c->retry_at = UINT64_MAX;
	r = copy_places(c, s, err);
	if (r == 0 && crypto_random(&c->session, sizeof(c->session)) < 0)
		r = err_set(err, -EIO, "number of the session");
	if (r < 0) {
		direct_client_free(c);
		return r;
	}
	(void)uv_timer_init(c->loop, &c->timer); /* cannot fail */
	c->timer.data = c;
	*ret = c;
	return 0;
}

static const struct place *find_place(const struct direct_client *c, const char *ap)
{
	for (size_t i = 0; i < c->places; i++) {
		if (name_equal(c->place[i].ap, ap))
			return &c->place[i];
	}
	return NULL;
}

int direct_client_move(struct direct_client *c, const char *ap, struct err *err)
{
	const struct place *p = find_place(c, ap);

	if (!p)
		return err_set(err, -ENOENT, "move to %.63s", ap);
	if (p == c->at)
		return 0;
	hang_up(c);
	c->at = p;
	c->told_reason[0] = '\0';
	c->tell_up = true;
	c->retry_at = uv_now(c->loop);
	set_timer(c);
	return 0;
}

int direct_client_request(struct direct_client *c, const void *bytes, size_t len,
			  client_done_fn done, void *ctx, uint64_t *number, struct err *err)
{
	struct request *q = slot(c, c->made + 1);

	if (len > WIRE_PAYLOAD_MAX)
		return err_set(err, -EINVAL, "request of %zu bytes: the limit is %u", len,
			       WIRE_PAYLOAD_MAX);
	if (c->made - c->told == WIRE_WINDOW)
		return CLIENT_E_FULL;
	uint8_t *frame = malloc(LENGTH_SIZE + len);
	if (!frame)
		return err_set(err, -ENOMEM, "keep a request of %zu bytes", len);
	put_be32(frame, (uint32_t)len);
	if (len)
		memcpy(frame + LENGTH_SIZE, bytes, len);
	*q = (struct request){ .done = done,
			       .ctx = ctx,
			       .frame = frame,
			       .size = LENGTH_SIZE + len,
			       .patience_ends = uv_now(c->loop) + c->patience_ms };
	*number = ++c->made;
	if (c->request_events)
		log_reporter_event(c->reporter, "SVCQ", c->session, *number, "ap=%s",
				   direct_client_ap(c));
	write_waiting(c);
	set_timer(c);
	return 0;
}

const char *direct_client_ap(const struct direct_client *c)
{
	return c->at ? c->at->ap : "";
}

uint64_t direct_client_session(const struct direct_client *c)
{
	return c->session;
}

size_t direct_client_unanswered(const struct direct_client *c)
{
	return (size_t)(c->made - c->told);
}

static void on_closed(uv_handle_t *handle)
{
	struct direct_client *c = handle->data;
	void (*closed)(void *ctx) = c->closed;
	void *ctx = c->closed_ctx;

	direct_client_free(c);
	if (closed)
		closed(ctx);
}

void direct_client_close(struct direct_client *c, void (*done)(void *ctx), void *ctx)
{
	if (!c) {
		if (done)
			done(ctx);
		return;
	}
	c->closing = true;
	c->closed = done;
	c->closed_ctx = ctx;
	hang_up(c);
	uv_close((uv_handle_t *)&c->timer, on_closed);
}
