/* SPDX-License-Identifier: Apache-2.0 */
#include "es/gateway.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "codec/codec.h"
#include "es/streams.h"
#include "wire/message.h"

#define READ_SIZE   65536
#define MESSAGE_MAX (CODEC_PREFIX_MAX + WIRE_PAYLOAD_MAX)

static_assert(READ_SIZE > CODEC_DATAGRAM_MAX, "a datagram is read whole");

/*
 * One connection. It outlives its container's entry until libuv has closed the handle, so it is an
 * object of its own; @door is NULL once nobody cares for it any more.
 */
struct connection {
	union {
		uv_handle_t handle;
		uv_tcp_t tcp;
		uv_udp_t udp;
	};
	uv_connect_t connect;
	uv_write_t write;
	struct list link; /* in its door's list */
	struct door *door;
	uint32_t number; /* of the user's connection that it serves */
	struct buf in;
	struct buf out; /* the request being written */
	bool up;
	bool made; /* like the user's: its preamble, if any, was answered */
	bool writing;
	uint64_t idle_since;
};

/* The way into one container. */
struct door {
	struct list link;
	struct gateway *gateway;
	uint64_t session;
	uint32_t epoch;
	struct container_address where;
	struct sockaddr_storage address;
	struct list connections;
	size_t connection_count;
	struct connection *connection; /* the one that serves the request */
	struct codec_exchange *exchange;
	struct streams *streams; /* codec tcp: instead of connections */
	uv_timer_t retry;        /* owned by the door; see door_free() */
	uint64_t number;         /* request the container has, 0 if none */
	uint32_t user;           /* the user's connection that it came by */
	struct buf preamble;
	struct buf request;
	bool preparing;  /* the preamble is in the container, the request is not */
	bool checked;    /* it is one for this service */
	bool fresh;      /* the exchange has just read it, and nothing since */
	bool written;    /* at least a byte of it may have reached the container */
	bool incomplete; /* there was no memory to keep it whole */
	uint64_t failing_since;
	char doubt[WIRE_REASON_SIZE];
};

struct gateway {
	uv_loop_t *loop;
	const struct gateway_ops *ops;
	void *ctx;
	struct list doors;
};

static void door_try(struct door *d);

int gateway_new(struct gateway **ret, uv_loop_t *loop, const struct gateway_ops *ops, void *ctx,
		struct err *err)
{
	struct gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(err, -ENOMEM, "create gateway");
	g->loop = loop;
	g->ops = ops;
	g->ctx = ctx;
	list_init(&g->doors);
	*ret = g;
	return 0;
}

/* --- connections ------------------------------------------------------------------------------- */

static void on_connection_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data;

	buf_deinit(&c->in);
	buf_deinit(&c->out);
	free(c);
}

static void connection_close(struct connection *c)
{
	struct door *d = c->door;

	list_remove(&c->link);
	d->connection_count--;
	if (d->connection == c)
		d->connection = NULL;
	c->door = NULL;
	uv_close(&c->handle, on_connection_closed);
}

/* The one that serves the request, or served the last one */
static void hang_up(struct door *d)
{
	if (d->connection)
		connection_close(d->connection);
}

static void hang_up_all(struct door *d)
{
	list_for_each_safe(at, next, &d->connections)
		connection_close(list_entry(at, struct connection, link));
}

static void on_retry(uv_timer_t *timer)
{
	door_try(timer->data);
}

/* The container lives, or its death was not told in time: the outcome is not known (R1). */
static void on_doubt(uv_timer_t *timer)
{
	struct door *d = timer->data;
	struct gateway *g = d->gateway;
	uint64_t number = d->number;

	d->number = 0;
	g->ops->in_doubt(g->ctx, d->session, d->epoch, number, d->doubt);
}

/* Something came, or ended, that cannot be its answer. */
static void doubt(struct door *d, const char *reason)
{
	hang_up(d);
	(void)snprintf(d->doubt, sizeof(d->doubt), "%s", reason);
	(void)uv_timer_start(&d->retry, on_doubt, GATEWAY_DOUBT_MS, 0);
}

/* The connection is of no use. What that means for the request depends on whether it was written. */
static void connection_failed(struct door *d, const char *what, int code)
{
	struct gateway *g = d->gateway;
	uint64_t now = uv_now(g->loop);

	hang_up(d);
	if (!d->number)
		return; /* an idle one: the next request opens another */
	if (d->written) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s it: %s", what, uv_strerror(code));
		doubt(d, reason);
		return;
	}
	if (!d->failing_since)
		d->failing_since = now;
	if (now - d->failing_since >= GATEWAY_CONNECT_MS) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s %s port %u: %s for %d s", what,
			       d->where.ip, d->where.port, uv_strerror(code),
			       GATEWAY_CONNECT_MS / 1000);
		d->number = 0;
		g->ops->dead(g->ctx, d->session, d->epoch, reason);
		return;
	}
	(void)uv_timer_start(&d->retry, on_retry, GATEWAY_RETRY_MS, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *c = handle->data;

	(void)suggested;
	*buf = buf_reserve(&c->in, READ_SIZE, NULL) < 0
		       ? uv_buf_init(NULL, 0)
		       : uv_buf_init((char *)buf_tail(&c->in), READ_SIZE);
}

/* A whole answer is in: the container is free again before anybody hears of it. */
static void take_answer(struct door *d)
{
	struct gateway *g = d->gateway;
	struct connection *c = d->connection;
	const struct codec_exchange *x = d->exchange;
	struct buf bytes = c->in;
	struct wire_data answer = { .number = d->number,
				    .bytes = buf_bytes(&bytes) + x->from,
				    .len = x->end - x->from };

	buf_init(&c->in, c->in.limit);
	c->idle_since = uv_now(g->loop);
	/* a service may answer before it has read everything; the rest must not precede the next */
	if (!x->keep || c->writing)
		hang_up(d);
	d->number = 0;
	d->failing_since = 0;
	(void)uv_timer_stop(&d->retry);
	answer.digest = codec_answer_digest(x, answer.bytes, answer.len);
	g->ops->answered(g->ctx, d->session, d->epoch, &answer);
	buf_deinit(&bytes);
}

/* The connection is like the user's now: what it took is of no interest to anybody. */
static void take_preparation(struct door *d)
{
	struct connection *c = d->connection;
	bool keep = d->exchange->keep;

	buf_consume(&c->in, c->in.len);
	(void)uv_timer_stop(&d->retry);
	d->preparing = false;
	c->made = true;
	if (!keep)
		hang_up(d);
	door_try(d);
}

static void take(struct door *d)
{
	if (d->preparing)
		take_preparation(d);
	else
		take_answer(d);
}

/* The last @len bytes of c->in are new. */
static void read_answer(struct door *d, size_t len)
{
	struct codec_exchange *x = d->exchange;
	const struct buf *in = &d->connection->in;
	const uint8_t *bytes = buf_bytes(in);
	enum codec_result r = codec_answer(x, bytes + (in->len - len), len);
	char reason[WIRE_REASON_SIZE];

	if (r == CODEC_MORE)
		return;
	if (r == CODEC_DONE && x->end == in->len) {
		take(d);
		return;
	}
	(void)snprintf(reason, sizeof(reason), "its answer is none of codec %s: %s", x->codec->name,
		       r == CODEC_DONE ? "more than one came" : x->reason);
	doubt(d, reason);
}

static bool nobody_asked(const struct connection *c)
{
	const struct door *d = c->door;

	return c != d->connection || !d->number || (!d->written && !d->preparing);
}

/* What happens to a connection that serves no request now concerns nobody. */
static void broke(struct connection *c, const char *what, int code)
{
	if (c == c->door->connection)
		connection_failed(c->door, what, code);
	else
		connection_close(c);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct connection *c = stream->data;
	struct door *d = c->door;

	(void)buf;
	if (!d || nread == 0)
		return;
	if (nread == UV_EOF && !nobody_asked(c) && codec_answer_closed(d->exchange) == CODEC_DONE) {
		take(d);
		return;
	}
	if (nread < 0) {
		broke(c, "read from", (int)nread);
		return;
	}
	c->in.len += (size_t)nread;
	if (nobody_asked(c))
		broke(c, "unasked answer from", UV_EPROTO);
	else
		read_answer(d, (size_t)nread);
}

static void on_written(uv_write_t *write, int status)
{
	struct connection *c = write->data;

	c->writing = false;
	if (c->door && status < 0)
		broke(c, "write to", status);
}

/* --- datagrams --------------------------------------------------------------------------------- */

static void on_silence(uv_timer_t *timer)
{
	struct door *d = timer->data;

	hang_up(d); /* an answer that comes now must not be taken for the next one's */
	(void)snprintf(d->doubt, sizeof(d->doubt), "no answer for %d s", GATEWAY_SILENCE_MS / 1000);
	on_doubt(timer);
}

static void on_datagram(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf,
			const struct sockaddr *from, unsigned int flags)
{
	struct connection *c = udp->data;
	struct door *d = c->door;

	(void)buf;
	(void)flags; /* READ_SIZE: none is cut short */
	if (!d || (nread == 0 && !from))
		return;
	if (nread == UV_ECONNREFUSED && c == d->connection)
		d->written = false; /* nothing listens: it is still ours */
	if (nread < 0) {
		broke(c, "send to", (int)nread);
		return;
	}
	c->in.len += (size_t)nread;
	if (nobody_asked(c))
		broke(c, "unasked answer from", UV_EPROTO);
	else
		read_answer(d, (size_t)nread);
}

static void send_request(struct door *d)
{
	struct connection *c = d->connection;
	uv_buf_t buf = uv_buf_init((char *)buf_bytes(&d->request), (unsigned int)d->request.len);

	int r = uv_udp_try_send(&c->udp, &buf, 1, NULL);
	if (r < 0) {
		connection_failed(d, "send to", r);
		return;
	}
	d->written = true;
	(void)uv_timer_start(&d->retry, on_silence, GATEWAY_SILENCE_MS, 0);
}

static int datagrams_open(struct door *d, struct connection *c)
{
	int r = uv_udp_connect(&c->udp, (const struct sockaddr *)&d->address);

	if (r == 0)
		r = uv_udp_recv_start(&c->udp, on_alloc, on_datagram);
	if (r < 0)
		return r;
	c->up = true;
	send_request(d);
	return 0;
}

/* --- streams ----------------------------------------------------------------------------------- */

static int write_bytes(struct connection *c, const struct buf *bytes)
{
	int r;

	buf_consume(&c->out, c->out.len);
	if (buf_append(&c->out, buf_bytes(bytes), bytes->len, NULL) < 0)
		return UV_ENOMEM;
	uv_buf_t buf = uv_buf_init((char *)buf_bytes(&c->out), (unsigned int)c->out.len);
	c->write.data = c;
	c->writing = true;
	r = uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
	c->writing = r == 0;
	return r;
}

/* The exchange reads @bytes as a request. Return: whether they are one, whole */
static bool begin_exchange(struct door *d, const struct buf *bytes, struct err *err)
{
	codec_exchange_reset(d->exchange);
	d->exchange->own = d->user != 0;
	return codec_request_whole(d->exchange, buf_bytes(bytes), bytes->len, err) == 0;
}

/* A connection that was opened for the request is made like the user's first. */
static void write_request(struct door *d)
{
	struct connection *c = d->connection;
	struct buf *bytes = c->made ? &d->request : &d->preamble;
	int r;

	/* both were found good before: reading them again, if it has to be, finds the same */
	bool has_read = c->made && d->fresh;
	d->fresh = false;
	if (!has_read && !begin_exchange(d, bytes, NULL)) {
		connection_failed(d, "write to", UV_EPROTO);
		return;
	}
	d->preparing = !c->made;
	d->written = c->made;
	r = write_bytes(c, bytes);
	if (r < 0) {
		d->preparing = false;
		d->written = false;
		connection_failed(d, "write to", r);
	}
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct connection *c = connect->data;
	struct door *d = c->door;

	if (!d)
		return;
	if (status == 0)
		status = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
	if (status < 0) {
		broke(c, "connect to", status);
		return;
	}
	c->up = true;
	(void)uv_tcp_nodelay(&c->tcp, 1);
	if (d->number && c == d->connection)
		write_request(d);
}

static int connection_open(struct door *d)
{
	bool datagram = d->exchange->codec->datagram;
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return UV_ENOMEM;
	r = datagram ? uv_udp_init(d->gateway->loop, &c->udp)
		     : uv_tcp_init(d->gateway->loop, &c->tcp);
	if (r < 0) {
		free(c);
		return r;
	}
	c->handle.data = c;
	c->connect.data = c;
	c->door = d;
	c->number = d->user;
	c->made = d->preamble.len == 0;
	buf_init(&c->in, MESSAGE_MAX + READ_SIZE);
	buf_init(&c->out, MESSAGE_MAX);
	list_append(&d->connections, &c->link);
	d->connection_count++;
	d->connection = c;
	if (datagram)
		return datagrams_open(d, c);
	return uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&d->address,
			      on_connected);
}

/* Is the request one for this service? Both edge servers of a migration find the same. */
static bool check(struct door *d)
{
	struct gateway *g = d->gateway;
	uint64_t number = d->number;
	struct err err;

	if (d->checked)
		return true;
	d->checked = (!d->preamble.len || begin_exchange(d, &d->preamble, &err)) &&
		     begin_exchange(d, &d->request, &err);
	d->fresh = d->checked;
	if (d->checked)
		return true;
	d->number = 0;
	g->ops->refused(g->ctx, d->session, d->epoch, number, err.text);
	return false;
}

/* The connection for the request, if it is there; of too many the one that was idle longest goes. */
static void choose_connection(struct door *d)
{
	struct connection *oldest = NULL;

	d->connection = NULL;
	list_for_each_safe(at, next, &d->connections)
	{
		struct connection *c = list_entry(at, struct connection, link);

		if (c->number == d->user)
			d->connection = c;
		else if (!oldest || c->idle_since < oldest->idle_since)
			oldest = c;
	}
	if (!d->connection && oldest && d->connection_count >= GATEWAY_CONNECTIONS)
		connection_close(oldest);
}

static bool stale(const struct door *d)
{
	const struct connection *c = d->connection;
	uint32_t limit = d->exchange->codec->idle_ms;

	return c && c->up && limit && uv_now(d->gateway->loop) - c->idle_since > limit;
}

/* Codec tcp: done as soon as it is begun, so that no connection waits for another. */
static void stream_try(struct door *d)
{
	struct gateway *g = d->gateway;
	struct wire_data answer = { .number = d->number, .bytes = (const uint8_t *)"" };
	struct err err;

	d->number = 0;
	if (streams_take(d->streams, d->user, buf_bytes(&d->request), d->request.len, &err) < 0)
		g->ops->refused(g->ctx, d->session, d->epoch, answer.number, err.text);
	else
		g->ops->answered(g->ctx, d->session, d->epoch, &answer);
}

static void door_try(struct door *d)
{
	struct gateway *g = d->gateway;
	int r;

	if (d->incomplete) {
		d->number = 0;
		g->ops->dead(g->ctx, d->session, d->epoch, "out of memory for a request");
		return;
	}
	if (d->streams) {
		stream_try(d);
		return;
	}
	if (!check(d))
		return;
	choose_connection(d);
	if (stale(d))
		hang_up(d);
	if (d->connection && d->connection->up) {
		if (d->exchange->codec->datagram)
			send_request(d);
		else
			write_request(d);
		return;
	}
	if (d->connection)
		return; /* on its way */
	r = connection_open(d);
	if (r < 0)
		connection_failed(d, "connect to", r);
}

/* --- containers -------------------------------------------------------------------------------- */

static struct door *find(const struct gateway *g, uint64_t session, uint32_t epoch)
{
	list_for_each_safe(at, next, (struct list *)&g->doors)
	{
		struct door *d = list_entry(at, struct door, link);

		if (d->session == session && d->epoch == epoch)
			return d;
	}
	return NULL;
}

static void door_delete(struct door *d)
{
	codec_exchange_free(d->exchange);
	buf_deinit(&d->preamble);
	buf_deinit(&d->request);
	free(d);
}

static void on_stream(void *ctx, const struct wire_stream *stream)
{
	struct door *d = ctx;

	d->gateway->ops->stream(d->gateway->ctx, d->session, d->epoch, stream);
}

int gateway_add(struct gateway *g, uint64_t session, uint32_t epoch, const struct codec *codec,
		const struct codec_comparison *comparison, const struct container_address *where,
		struct err *err)
{
	if (find(g, session, epoch))
		return err_set(err, -EEXIST, "container %s", where->id);
	struct door *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, -ENOMEM, "container %s", where->id);
	if (codec_exchange_new(&d->exchange, codec, comparison, err) < 0) {
		door_delete(d);
		return err_wrap(err, -ENOMEM, "container %s", where->id);
	}
	list_init(&d->connections);
	d->gateway = g;
	d->session = session;
	d->epoch = epoch;
	d->where = *where;
	if (uv_ip4_addr(where->ip, where->port, (struct sockaddr_in *)&d->address) < 0 &&
	    uv_ip6_addr(where->ip, where->port, (struct sockaddr_in6 *)&d->address) < 0) {
		door_delete(d);
		return err_set(err, -EINVAL, "container %s has the address \"%s\"", where->id,
			       where->ip);
	}
	if (codec->stream && streams_new(&d->streams, g->loop, (struct sockaddr *)&d->address,
					 on_stream, d, err) < 0) {
		door_delete(d);
		return err_wrap(err, -ENOMEM, "container %s", where->id);
	}
	(void)uv_timer_init(g->loop, &d->retry); /* cannot fail */
	d->retry.data = d;
	buf_init(&d->preamble, WIRE_PREAMBLE_MAX);
	buf_init(&d->request, MESSAGE_MAX);
	list_append(&g->doors, &d->link);
	return 0;
}

static void on_door_closed(uv_handle_t *handle)
{
	door_delete(handle->data);
}

static void door_free(struct door *d)
{
	hang_up_all(d);
	streams_close(d->streams);
	list_remove(&d->link);
	uv_close((uv_handle_t *)&d->retry, on_door_closed);
}

void gateway_remove(struct gateway *g, uint64_t session, uint32_t epoch)
{
	struct door *d = find(g, session, epoch);

	if (d)
		door_free(d);
}

void gateway_close(struct gateway *g)
{
	if (!g)
		return;
	list_for_each_safe(at, next, &g->doors) door_free(list_entry(at, struct door, link));
	free(g);
}

const struct container_address *gateway_find(const struct gateway *g, uint64_t session,
					     uint32_t epoch)
{
	const struct door *d = find(g, session, epoch);

	return d ? &d->where : NULL;
}

uint32_t gateway_epoch_of(const struct gateway *g, uint64_t session, const char *id)
{
	list_for_each_safe(at, next, (struct list *)&g->doors)
	{
		const struct door *d = list_entry(at, struct door, link);

		if (d->session == session && strcmp(d->where.id, id) == 0)
			return d->epoch;
	}
	return 0;
}

void gateway_execute(struct gateway *g, uint64_t session, uint32_t epoch,
		     const struct wire_data *request)
{
	struct door *d = find(g, session, epoch);
	const uint8_t *bytes = request->bytes + request->preamble;
	size_t len = request->len - request->preamble;
	uint8_t prefix[CODEC_PREFIX_MAX];

	if (!d)
		return; /* its death was told, or will be */
	size_t prefix_len = codec_prefix(d->exchange->codec, prefix, len);
	buf_consume(&d->preamble, d->preamble.len);
	buf_consume(&d->request, d->request.len);
	d->number = request->number;
	d->user = request->connection;
	d->preparing = false;
	d->checked = false;
	d->written = false;
	d->failing_since = 0;
	d->incomplete = buf_append(&d->preamble, request->bytes, request->preamble, NULL) < 0 ||
			buf_append(&d->request, prefix, prefix_len, NULL) < 0 ||
			buf_append(&d->request, bytes, len, NULL) < 0;
	/* from the loop, so that nothing comes back from inside this call */
	(void)uv_timer_start(&d->retry, on_retry, 0, 0);
}

void gateway_hang_up(struct gateway *g, uint64_t session)
{
	list_for_each_safe(at, next, &g->doors)
	{
		struct door *d = list_entry(at, struct door, link);

		if (d->session != session || d->number)
			continue;
		hang_up_all(d);
		if (d->streams)
			streams_end(d->streams);
	}
}
