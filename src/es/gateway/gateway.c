/* SPDX-License-Identifier: Apache-2.0 */
#include "es/gateway/gateway.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/spool.h"
#include "codec/codec.h"
#include "es/gateway/endpoint.h"
#include "es/gateway/segments.h"
#include "es/gateway/streams.h"
#include "wire/message.h"

int gateway_new(struct gateway **ret, uv_loop_t *loop, struct spools *spools,
		const struct gateway_ops *ops, void *ctx, struct err *err)
{
	struct gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(err, -ENOMEM, "create gateway");
	g->loop = loop;
	g->spools = spools;
	g->ops = ops;
	g->ctx = ctx;
	list_init(&g->doors);
	*ret = g;
	return 0;
}

/* --- the fate of a request -------------------------------------------------------------------- */

/* The container has none any more. Return: its number */
static uint64_t end_request(struct door *d)
{
	uint64_t number = d->request.number;

	d->request.number = 0;
	d->failing_since = 0;
	d->exchange = d->own_exchange;
	d->whole = parts_request_free(d->whole);
	d->answer = spool_free(d->answer);
	return number;
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
	uint64_t number = end_request(d);

	g->ops->in_doubt(g->ctx, d->session, d->epoch, number, d->doubt);
}

void door_doubt(struct door *d, const char *reason, uint64_t after_ms)
{
	door_hang_up(d);
	(void)snprintf(d->doubt, sizeof(d->doubt), "%s", reason);
	(void)uv_timer_start(&d->retry, on_doubt, after_ms, 0);
}

static void refused(struct door *d, const char *reason)
{
	struct gateway *g = d->gateway;
	uint64_t number = end_request(d);

	g->ops->refused(g->ctx, d->session, d->epoch, number, reason);
}

static void dead(struct door *d, const char *reason)
{
	struct gateway *g = d->gateway;

	(void)end_request(d);
	g->ops->dead(g->ctx, d->session, d->epoch, reason);
}

void door_answered(struct door *d, const struct wire_data *answer)
{
	struct gateway *g = d->gateway;
	struct wire_data numbered = *answer;

	numbered.number = end_request(d);
	(void)uv_timer_stop(&d->retry);
	g->ops->answered(g->ctx, d->session, d->epoch, &numbered);
}

void door_failed(struct door *d, const char *what, int code)
{
	struct gateway *g = d->gateway;
	uint64_t now = uv_now(g->loop);

	door_hang_up(d);
	if (!d->request.number)
		return; /* an idle one: the next request opens another */
	if (d->written) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s it: %s", what, uv_strerror(code));
		door_doubt(d, reason, GATEWAY_DOUBT_MS);
		return;
	}
	if (!d->failing_since)
		d->failing_since = now;
	if (now - d->failing_since >= GATEWAY_CONNECT_MS) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s %s port %u: %s for %d s", what,
			       d->where.ip, d->where.port, uv_strerror(code),
			       GATEWAY_CONNECT_MS / 1000);
		dead(d, reason);
		return;
	}
	(void)uv_timer_start(&d->retry, on_retry, GATEWAY_RETRY_MS, 0);
}

/* @x reads @bytes as a request. Return: whether they are one, whole */
static bool begin_exchange(const struct door *d, struct codec_exchange *x, const struct buf *bytes,
			   struct err *err)
{
	codec_exchange_reset(x);
	x->own = d->request.connection != 0;
	return codec_request_whole(x, buf_bytes(bytes), bytes->len, err) == 0;
}

/* Is the request one for this service? Both edge servers of a migration find the same. */
static bool check(struct door *d)
{
	struct err err;

	if (d->checked)
		return true;
	d->checked = (!d->preamble.len || begin_exchange(d, d->preparation, &d->preamble, &err)) &&
		     (d->whole || begin_exchange(d, d->exchange, &d->bytes, &err));
	if (!d->checked)
		refused(d, err.text);
	return d->checked;
}

/*
 * The connection for the request, if it is there; of too many the one that was idle longest goes.
 */
static void choose_connection(struct door *d)
{
	struct connection *oldest = NULL;

	d->connection = NULL;
	list_for_each_safe(at, next, &d->connections)
	{
		struct connection *c = list_entry(at, struct connection, link);

		if (c->number == d->request.connection)
			d->connection = c;
		else if (!oldest || c->idle_since < oldest->idle_since)
			oldest = c;
	}
	if (!d->connection && oldest && d->connection_count >= GATEWAY_CONNECTIONS)
		door_close(oldest);
}

static bool stale(const struct door *d)
{
	const struct connection *c = d->connection;
	uint32_t limit = d->exchange->codec->idle_ms;

	return c && c->up && limit && uv_now(d->gateway->loop) - c->idle_since > limit;
}

/* --- requests that the container does not see ------------------------------------------------- */

static const struct wire_data nothing = { .bytes = (const uint8_t *)"" };

/* Codec tcp: done as soon as it is begun, so that no connection waits for another. */
static void stream_try(struct door *d)
{
	const struct wire_data *r = &d->request;
	struct err err;

	if (streams_take(d->streams, r->connection, buf_bytes(&d->bytes), d->bytes.len, &err) < 0)
		refused(d, err.text);
	else
		door_answered(d, &nothing);
}

/* A part could not be taken. */
static void part_failed(struct door *d, int code, const struct err *err)
{
	if (code == -EPROTO)
		refused(d, err->text);
	else
		door_doubt(d, err->text, 0);
}

static void give_rest(struct door *d)
{
	struct wire_data answer = nothing;
	struct buf bytes;
	struct err err;
	bool more;

	buf_init(&bytes, WIRE_PAYLOAD_MAX);
	int r = parts_rest(d->parts, &d->request, &bytes, &more, &err);
	answer.status = more ? WIRE_OK_MORE : WIRE_OK;
	answer.len = bytes.len;
	if (bytes.len)
		answer.bytes = buf_bytes(&bytes);
	if (r < 0)
		part_failed(d, r, &err);
	else
		door_answered(d, &answer);
	buf_deinit(&bytes);
}

/* Return: whether the request is one for the container, and whole */
static bool take_part(struct door *d)
{
	enum wire_part part = d->request.part;
	struct err err;
	int r = 0;

	if (part == WIRE_PART_WHOLE || d->whole)
		return true;
	if (!d->parts || !d->request.connection) {
		refused(d, "this service takes no requests in parts");
		return false;
	}
	d->connection = NULL; /* it needs none */
	d->request.bytes = buf_bytes(&d->bytes);
	d->request.len = d->bytes.len;
	if (part == WIRE_PART_REST) {
		give_rest(d);
		return false;
	}
	if (part == WIRE_PART_LAST)
		r = parts_last(d->parts, &d->whole, &d->request, &err);
	else if (part == WIRE_PART_DROP)
		parts_drop(d->parts, &d->request);
	else
		r = parts_collect(d->parts, &d->request, &err);
	if (r < 0)
		part_failed(d, r, &err);
	else if (d->whole)
		d->exchange = d->whole->exchange;
	else
		door_answered(d, &nothing);
	return d->whole;
}

void door_try(struct door *d)
{
	int r;

	if (d->incomplete) { /* the container is as well as before */
		if (d->parts && d->request.part != WIRE_PART_WHOLE)
			parts_drop(d->parts, &d->request);
		refused(d, "the edge server has no memory for this request: send it once more");
		return;
	}
	if (d->streams) {
		stream_try(d);
		return;
	}
	if (!take_part(d) || !check(d))
		return;
	choose_connection(d);
	if (stale(d))
		door_hang_up(d);
	if (d->connection && d->connection->up) {
		door_write(d);
		return;
	}
	if (d->connection)
		return; /* on its way */
	r = door_open(d);
	if (r < 0)
		door_failed(d, "connect to", r);
}

/* --- containers ------------------------------------------------------------------------------- */

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
	codec_exchange_free(d->own_exchange);
	codec_exchange_free(d->preparation);
	parts_free(d->parts);
	buf_deinit(&d->preamble);
	buf_deinit(&d->bytes);
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
	if (codec_exchange_new(&d->own_exchange, codec, comparison, err) < 0 ||
	    codec_exchange_new(&d->preparation, codec, comparison, err) < 0 ||
	    (codec->parts &&
	     parts_new(&d->parts, g->spools, codec, &d->own_exchange->comparison, err) < 0)) {
		door_delete(d);
		return err_wrap(err, -ENOMEM, "container %s", where->id);
	}
	d->exchange = d->own_exchange;
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
	buf_init(&d->bytes, DOOR_MESSAGE_MAX);
	list_append(&g->doors, &d->link);
	return 0;
}

static void on_door_closed(uv_handle_t *handle)
{
	door_delete(handle->data);
}

static void door_free(struct door *d)
{
	door_hang_up_all(d);
	(void)end_request(d);
	d->parts = parts_free(d->parts);
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
	buf_consume(&d->bytes, d->bytes.len);
	d->request = *request;
	d->request.bytes = NULL; /* they are in @bytes */
	d->preparing = false;
	d->checked = false;
	d->written = false;
	d->incomplete = buf_append(&d->preamble, request->bytes, request->preamble, NULL) < 0 ||
			buf_append(&d->bytes, prefix, prefix_len, NULL) < 0 ||
			buf_append(&d->bytes, bytes, len, NULL) < 0;
	/* from the loop, so that nothing comes back from inside this call */
	(void)uv_timer_start(&d->retry, on_retry, 0, 0);
}

void gateway_hang_up(struct gateway *g, uint64_t session)
{
	list_for_each_safe(at, next, &g->doors)
	{
		struct door *d = list_entry(at, struct door, link);

		if (d->session != session || d->request.number)
			continue;
		door_hang_up_all(d);
		if (d->parts)
			parts_clear(d->parts);
		if (d->streams)
			streams_end(d->streams);
	}
}

bool gateway_under_way(const struct gateway *g, uint64_t session, uint32_t epoch)
{
	const struct door *d = find(g, session, epoch);

	return d && d->parts && parts_any(d->parts);
}
