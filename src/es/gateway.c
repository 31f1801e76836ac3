/* SPDX-License-Identifier: Apache-2.0 */
#include "es/gateway.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "wire/message.h"

#define LENGTH_SIZE 4
#define READ_SIZE   65536

/*
 * One connection. It outlives its container's entry until libuv has closed the handle, so it is an
 * object of its own; @door is NULL once nobody cares for it any more.
 */
struct connection {
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	struct door *door;
	struct buf in;
	struct buf out; /* the request being written */
	bool up;
};

/* The way into one container. */
struct door {
	struct list link;
	struct gateway *gateway;
	uint64_t session;
	uint32_t epoch;
	struct container_address where;
	struct sockaddr_storage address;
	struct connection *connection;
	uv_timer_t retry; /* owned by the door; see door_free() */
	uint64_t number;  /* request the container has, 0 if none */
	struct buf request;
	bool written;    /* at least a byte of it may have reached the container */
	bool incomplete; /* there was no memory to keep it whole */
	uint64_t failing_since;
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

static void hang_up(struct door *d)
{
	struct connection *c = d->connection;

	if (!c)
		return;
	d->connection = NULL;
	c->door = NULL;
	uv_close((uv_handle_t *)&c->tcp, on_connection_closed);
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
	g->ops->in_doubt(g->ctx, d->session, d->epoch, number);
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
		(void)uv_timer_start(&d->retry, on_doubt, GATEWAY_DOUBT_MS, 0);
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
static void take_answer(struct door *d, size_t len)
{
	struct gateway *g = d->gateway;
	struct connection *c = d->connection;
	uint64_t number = d->number;
	struct buf answer = c->in;

	buf_init(&c->in, c->in.limit);
	d->number = 0;
	d->failing_since = 0;
	g->ops->answered(g->ctx, d->session, d->epoch, number, buf_bytes(&answer) + LENGTH_SIZE,
			 len);
	buf_deinit(&answer);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct connection *c = stream->data;
	struct door *d = c->door;

	(void)buf;
	if (!d || nread == 0)
		return;
	if (nread < 0) {
		connection_failed(d, "read from", (int)nread);
		return;
	}
	c->in.len += (size_t)nread;
	if (!d->number) { /* nobody asked */
		connection_failed(d, "unasked answer from", UV_EPROTO);
		return;
	}
	if (c->in.len < LENGTH_SIZE)
		return;
	uint32_t len = get_be32(buf_bytes(&c->in));
	if (len > WIRE_PAYLOAD_MAX || c->in.len > LENGTH_SIZE + (size_t)len) {
		connection_failed(d, "answer too long from", UV_EPROTO);
		return;
	}
	if (c->in.len == LENGTH_SIZE + (size_t)len)
		take_answer(d, len);
}

static void on_written(uv_write_t *write, int status)
{
	struct connection *c = write->data;

	if (c->door && status < 0)
		connection_failed(c->door, "write to", status);
}

static void write_request(struct door *d)
{
	struct connection *c = d->connection;

	buf_consume(&c->out, c->out.len);
	if (buf_append(&c->out, buf_bytes(&d->request), d->request.len, NULL) < 0) {
		connection_failed(d, "write to", UV_ENOMEM);
		return;
	}
	uv_buf_t buf = uv_buf_init((char *)buf_bytes(&c->out), (unsigned int)c->out.len);
	c->write.data = c;
	d->written = true;
	int r = uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
	if (r < 0) {
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
		connection_failed(d, "connect to", status);
		return;
	}
	c->up = true;
	(void)uv_tcp_nodelay(&c->tcp, 1);
	if (d->number)
		write_request(d);
}

static int connection_open(struct door *d)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return UV_ENOMEM;
	r = uv_tcp_init(d->gateway->loop, &c->tcp);
	if (r < 0) {
		free(c);
		return r;
	}
	c->tcp.data = c;
	c->connect.data = c;
	c->door = d;
	buf_init(&c->in, LENGTH_SIZE + WIRE_PAYLOAD_MAX + READ_SIZE);
	buf_init(&c->out, LENGTH_SIZE + WIRE_PAYLOAD_MAX);
	d->connection = c;
	return uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&d->address,
			      on_connected);
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
	if (d->connection && d->connection->up) {
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

int gateway_add(struct gateway *g, uint64_t session, uint32_t epoch,
		const struct container_address *where, struct err *err)
{
	if (find(g, session, epoch))
		return err_set(err, -EEXIST, "container %s", where->id);
	struct door *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, -ENOMEM, "container %s", where->id);
	d->gateway = g;
	d->session = session;
	d->epoch = epoch;
	d->where = *where;
	if (uv_ip4_addr(where->ip, where->port, (struct sockaddr_in *)&d->address) < 0 &&
	    uv_ip6_addr(where->ip, where->port, (struct sockaddr_in6 *)&d->address) < 0) {
		free(d);
		return err_set(err, -EINVAL, "container %s has the address \"%s\"", where->id,
			       where->ip);
	}
	(void)uv_timer_init(g->loop, &d->retry); /* cannot fail */
	d->retry.data = d;
	buf_init(&d->request, LENGTH_SIZE + WIRE_PAYLOAD_MAX);
	list_append(&g->doors, &d->link);
	return 0;
}

static void on_door_closed(uv_handle_t *handle)
{
	struct door *d = handle->data;

	buf_deinit(&d->request);
	free(d);
}

static void door_free(struct door *d)
{
	hang_up(d);
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

void gateway_execute(struct gateway *g, uint64_t session, uint32_t epoch, uint64_t number,
		     const void *bytes, size_t len)
{
	struct door *d = find(g, session, epoch);
	uint8_t length[LENGTH_SIZE];

	if (!d)
		return; /* its death was told, or will be */
	put_be32(length, (uint32_t)len);
	buf_consume(&d->request, d->request.len);
	d->number = number;
	d->written = false;
	d->failing_since = 0;
	d->incomplete = buf_append(&d->request, length, sizeof(length), NULL) < 0 ||
			buf_append(&d->request, bytes, len, NULL) < 0;
	/* from the loop, so that nothing comes back from inside this call */
	(void)uv_timer_start(&d->retry, on_retry, 0, 0);
}

void gateway_hang_up(struct gateway *g, uint64_t session)
{
	list_for_each_safe(at, next, &g->doors)
	{
		struct door *d = list_entry(at, struct door, link);

		if (d->session == session && !d->number)
			hang_up(d);
	}
}
