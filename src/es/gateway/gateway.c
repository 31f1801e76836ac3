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
#include "core/common/request.h"
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
	list_init(&g->endpoints);
	list_init(&g->ready);
	(void)uv_idle_init(loop, &g->turn); /* cannot fail */
	g->turn.data = g;
	*ret = g;
	return 0;
}

/* --- the fate of a request -------------------------------------------------------------------- */

/* The container has none any more. Return: its number */
static uint64_t request_end(struct endpoint *e)
{
	uint64_t number = e->request.number;

	(void)uv_timer_stop(&e->timer);
	list_remove(&e->ready);
	e->request.number = 0;
	e->failing_since = 0;
	e->exchange = e->own_exchange;
	e->whole = parts_request_free(e->whole);
	e->kept = request_free(e->kept);
	e->answer = spool_free(e->answer);
	return number;
}

/* The container lives, or its death was not told in time: the outcome is not known (R1). */
static void outcome_unknown(struct endpoint *e)
{
	struct gateway *g = e->gateway;
	uint64_t number = request_end(e);

	g->ops->in_doubt(g->ctx, e->session, e->epoch, number, e->doubt);
}

static void on_doubt_over(uv_timer_t *timer)
{
	outcome_unknown(timer->data);
}

static void request_doubt(struct endpoint *e, const char *reason, uint64_t after_ms)
{
	endpoint_hang_up(e);
	(void)snprintf(e->doubt, sizeof(e->doubt), "%s", reason);
	if (after_ms)
		(void)uv_timer_start(&e->timer, on_doubt_over, after_ms, 0);
	else
		outcome_unknown(e);
}

static void request_refused(struct endpoint *e, const char *reason)
{
	struct gateway *g = e->gateway;
	uint64_t number = request_end(e);

	g->ops->refused(g->ctx, e->session, e->epoch, number, reason);
}

static void container_dead(struct endpoint *e, const char *reason)
{
	struct gateway *g = e->gateway;

	(void)request_end(e);
	g->ops->dead(g->ctx, e->session, e->epoch, reason);
}

static void request_answered(struct endpoint *e, const struct wire_data *answer)
{
	struct gateway *g = e->gateway;
	struct wire_data numbered = *answer;

	numbered.number = request_end(e);
	g->ops->answered(g->ctx, e->session, e->epoch, &numbered);
}

static void request_try(struct endpoint *e);

static void on_retry(uv_timer_t *timer)
{
	request_try(timer->data);
}

static void request_failed(struct endpoint *e, const char *what, int code)
{
	struct gateway *g = e->gateway;
	uint64_t now = uv_now(g->loop);

	endpoint_hang_up(e);
	if (!e->request.number)
		return; /* an idle one: the next request opens another */
	if (e->written) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s it: %s", what, uv_strerror(code));
		request_doubt(e, reason, GATEWAY_DOUBT_MS);
		return;
	}
	if (!e->failing_since)
		e->failing_since = now;
	if (now - e->failing_since >= GATEWAY_CONNECT_MS) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s %s port %u: %s for %d s", what,
			       e->where.ip, e->where.port, uv_strerror(code),
			       GATEWAY_CONNECT_MS / 1000);
		container_dead(e, reason);
		return;
	}
	/* one or the other: a request tried twice would be written twice (R1) */
	list_remove(&e->ready);
	(void)uv_timer_start(&e->timer, on_retry, GATEWAY_RETRY_MS, 0);
}

static void begin_exchange(const struct endpoint *e, struct codec_exchange *x)
{
	codec_exchange_reset(x);
	x->own = e->request.connection != 0;
}

/* Whether the preamble is a request, whole */
static bool check_preamble(struct endpoint *e, struct err *err)
{
	struct codec_exchange *x = e->preparation;

	if (!e->request.preamble)
		return true;
	begin_exchange(e, x);
	return codec_request_whole(x, e->kept->bytes, e->request.preamble, err) == 0;
}

static bool check_request(struct endpoint *e, struct err *err)
{
	struct codec_exchange *x = e->exchange;

	if (e->whole)
		return true; /* it was read piece by piece */
	begin_exchange(e, x);
	if (e->prefix_len)
		(void)codec_request(x, e->prefix, e->prefix_len);
	return codec_request_whole(x, e->request.bytes, e->request.len, err) == 0;
}

/* Is the request one for this service? Both edge servers of a migration find the same. */
static bool check(struct endpoint *e)
{
	struct err err;

	if (e->checked)
		return true;
	e->checked = check_preamble(e, &err) && check_request(e, &err);
	if (!e->checked)
		request_refused(e, err.text);
	return e->checked;
}

/*
 * The connection for the request, if there is one. Beyond the limit the one idle longest is closed.
 */
static void choose_connection(struct endpoint *e)
{
	struct connection *oldest = NULL;

	e->connection = NULL;
	list_for_each_safe(at, next, &e->connections)
	{
		struct connection *c = list_entry(at, struct connection, link);

		if (c->number == e->request.connection)
			e->connection = c;
		else if (!oldest || c->idle_since < oldest->idle_since)
			oldest = c;
	}
	if (!e->connection && oldest && e->connection_count >= GATEWAY_CONNECTIONS)
		endpoint_close(oldest);
}

static bool stale(const struct endpoint *e)
{
	const struct connection *c = e->connection;
	uint32_t limit = e->exchange->codec->idle_ms;

	return c && c->up && limit && uv_now(e->gateway->loop) - c->idle_since > limit;
}

/* --- requests that the container does not see ------------------------------------------------- */

static const struct wire_data nothing = { .bytes = (const uint8_t *)"" };

/* Codec tcp: done as soon as it is begun, so that no connection waits for another. */
static void stream_try(struct endpoint *e)
{
	const struct wire_data *r = &e->request;
	struct err err;

	if (streams_take(e->streams, r->connection, r->bytes, r->len, &err) < 0)
		request_refused(e, err.text);
	else
		request_answered(e, &nothing);
}

/* A segment could not be taken. */
static void part_failed(struct endpoint *e, int code, const struct err *err)
{
	if (code == -EPROTO)
		request_refused(e, err->text);
	else
		request_doubt(e, err->text, 0);
}

static void give_rest(struct endpoint *e)
{
	struct wire_data answer = nothing;
	struct buf bytes;
	struct err err;
	bool more;

	buf_init(&bytes, WIRE_PAYLOAD_MAX);
	int r = segments_rest(e->segments, &e->request, &bytes, &more, &err);
	answer.status = more ? WIRE_OK_MORE : WIRE_OK;
	answer.len = bytes.len;
	if (bytes.len)
		answer.bytes = buf_bytes(&bytes);
	if (r < 0)
		part_failed(e, r, &err);
	else
		request_answered(e, &answer);
	buf_deinit(&bytes);
}

/* Return: whether the request is one for the container, and whole */
static bool take_part(struct endpoint *e)
{
	enum wire_segment segment = e->request.segment;
	struct err err;
	int r = 0;

	if (segment == WIRE_SEGMENT_WHOLE || e->whole)
		return true;
	if (!e->segments || !e->request.connection) {
		request_refused(e, "this service takes no requests in parts");
		return false;
	}
	e->connection = NULL; /* it needs none */
	if (segment == WIRE_SEGMENT_REST) {
		give_rest(e);
		return false;
	}
	if (segment == WIRE_SEGMENT_LAST)
		r = segments_last(e->segments, &e->whole, &e->request, &err);
	else if (segment == WIRE_SEGMENT_DROP)
		segments_drop(e->segments, &e->request);
	else
		r = segments_collect(e->segments, &e->request, &err);
	if (r < 0)
		part_failed(e, r, &err);
	else if (e->whole)
		e->exchange = e->whole->exchange;
	else
		request_answered(e, &nothing);
	return e->whole;
}

static void request_try(struct endpoint *e)
{
	int r;

	if (!e->kept) { /* the container is as well as before */
		if (e->segments && e->request.segment != WIRE_SEGMENT_WHOLE)
			segments_forget(e->segments, e->request.connection);
		request_refused(
			e, "the edge server has no memory for this request: send it once more");
		return;
	}
	if (e->streams) {
		stream_try(e);
		return;
	}
	if (!take_part(e) || !check(e))
		return;
	choose_connection(e);
	if (stale(e))
		endpoint_hang_up(e);
	if (e->connection && e->connection->up) {
		endpoint_write(e);
		return;
	}
	if (e->connection)
		return; /* on its way */
	r = endpoint_open(e);
	if (r < 0)
		request_failed(e, "connect to", r);
}

static const struct endpoint_events endpoint_events = {
	.prepared = request_try,
	.answered = request_answered,
	.failed = request_failed,
	.doubt = request_doubt,
};

/* New requests are tried here, so that the core is not called from inside gateway_execute(). */
static void on_turn(uv_idle_t *turn)
{
	struct gateway *g = turn->data;

	struct endpoint *e;

	while ((e = list_first(&g->ready, struct endpoint, ready)) != NULL) {
		list_remove(&e->ready);
		request_try(e);
	}
	(void)uv_idle_stop(turn);
}

/* --- containers ------------------------------------------------------------------------------- */

static struct endpoint *endpoint_of(struct number_entry *e)
{
	return e ? container_of(e, struct endpoint, by_session) : NULL;
}

/* A session has one container, or two while one of them is being removed. */
static struct endpoint *first_of(const struct gateway *g, uint64_t session)
{
	return endpoint_of(number_table_find(&g->by_session, session));
}

static struct endpoint *next_of(const struct endpoint *e)
{
	return endpoint_of(number_table_next(&e->by_session));
}

static struct endpoint *find(const struct gateway *g, uint64_t session, uint32_t epoch)
{
	struct endpoint *e = first_of(g, session);

	while (e && e->epoch != epoch)
		e = next_of(e);
	return e;
}

static void endpoint_delete(struct endpoint *e)
{
	codec_exchange_free(e->own_exchange);
	codec_exchange_free(e->preparation);
	segments_free(e->segments);
	request_free(e->kept);
	free(e);
}

static void on_stream(void *ctx, const struct wire_stream *stream)
{
	struct endpoint *e = ctx;

	e->gateway->ops->stream(e->gateway->ctx, e->session, e->epoch, stream);
}

int gateway_add(struct gateway *g, uint64_t session, uint32_t epoch, const struct codec *codec,
		const struct codec_comparison *comparison, const struct container_address *where,
		struct err *err)
{
	if (find(g, session, epoch))
		return err_set(err, -EEXIST, "container %s", where->id);
	struct endpoint *e = calloc(1, sizeof(*e));
	if (!e)
		return err_set(err, -ENOMEM, "container %s", where->id);
	if (codec_exchange_new(&e->own_exchange, codec, comparison, err) < 0 ||
	    codec_exchange_new(&e->preparation, codec, comparison, err) < 0 ||
	    (codec->segments &&
	     segments_new(&e->segments, g->spools, codec, &e->own_exchange->comparison, err) < 0)) {
		endpoint_delete(e);
		return err_wrap(err, -ENOMEM, "container %s", where->id);
	}
	e->exchange = e->own_exchange;
	list_init(&e->connections);
	list_init(&e->ready);
	e->gateway = g;
	e->events = &endpoint_events;
	e->session = session;
	e->epoch = epoch;
	e->where = *where;
	if (uv_ip4_addr(where->ip, where->port, (struct sockaddr_in *)&e->address) < 0 &&
	    uv_ip6_addr(where->ip, where->port, (struct sockaddr_in6 *)&e->address) < 0) {
		endpoint_delete(e);
		return err_set(err, -EINVAL, "container %s has the address \"%s\"", where->id,
			       where->ip);
	}
	if (codec->stream && streams_new(&e->streams, g->loop, (struct sockaddr *)&e->address,
					 on_stream, e, err) < 0) {
		endpoint_delete(e);
		return err_wrap(err, -ENOMEM, "container %s", where->id);
	}
	if (number_table_add(&g->by_session, &e->by_session, session) < 0) {
		streams_close(e->streams);
		endpoint_delete(e);
		return err_set(err, -ENOMEM, "container %s", where->id);
	}
	(void)uv_timer_init(g->loop, &e->timer); /* cannot fail */
	e->timer.data = e;
	list_append(&g->endpoints, &e->link);
	return 0;
}

static void on_endpoint_closed(uv_handle_t *handle)
{
	endpoint_delete(handle->data);
}

static void endpoint_free(struct endpoint *e)
{
	endpoint_hang_up_all(e);
	(void)request_end(e);
	e->segments = segments_free(e->segments);
	streams_close(e->streams);
	list_remove(&e->link);
	number_table_remove(&e->gateway->by_session, &e->by_session);
	list_remove(&e->ready);
	uv_close((uv_handle_t *)&e->timer, on_endpoint_closed);
}

void gateway_remove(struct gateway *g, uint64_t session, uint32_t epoch)
{
	struct endpoint *e = find(g, session, epoch);

	if (e)
		endpoint_free(e);
}

static void on_gateway_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void gateway_close(struct gateway *g)
{
	if (!g)
		return;
	list_for_each_safe(at, next, &g->endpoints)
		endpoint_free(list_entry(at, struct endpoint, link));
	number_table_deinit(&g->by_session);
	uv_close((uv_handle_t *)&g->turn, on_gateway_closed);
}

const struct container_address *gateway_find(const struct gateway *g, uint64_t session,
					     uint32_t epoch)
{
	const struct endpoint *e = find(g, session, epoch);

	return e ? &e->where : NULL;
}

uint32_t gateway_epoch_of(const struct gateway *g, uint64_t session, const char *id)
{
	for (const struct endpoint *e = first_of(g, session); e; e = next_of(e)) {
		if (strcmp(e->where.id, id) == 0)
			return e->epoch;
	}
	return 0;
}

/* The decoder of links has seen to it already. */
static bool within_limits(const struct wire_data *request)
{
	return request->preamble <= WIRE_PREAMBLE_MAX && request->preamble <= request->len &&
	       request->len <= WIRE_PAYLOAD_MAX;
}

void gateway_execute(struct gateway *g, uint64_t session, uint32_t epoch,
		     const struct wire_data *request)
{
	struct endpoint *e = find(g, session, epoch);

	if (!e)
		return; /* its death was told, or will be */
	request_free(e->kept);
	e->kept = within_limits(request) ? request_keep(request) : NULL;
	e->request = *request;
	e->request.bytes = e->kept ? e->kept->bytes + request->preamble : NULL;
	e->request.len = e->kept ? request->len - request->preamble : 0;
	e->request.kept = NULL; /* its bytes are not the whole ones */
	e->prefix_len = codec_prefix(e->exchange->codec, e->prefix, e->request.len);
	e->preparing = false;
	e->checked = false;
	e->written = false;
	(void)uv_timer_stop(&e->timer);
	list_remove(&e->ready);
	list_append(&g->ready, &e->ready);
	(void)uv_idle_start(&g->turn, on_turn);
}

void gateway_hang_up(struct gateway *g, uint64_t session)
{
	for (struct endpoint *e = first_of(g, session); e; e = next_of(e)) {
		if (e->request.number)
			continue;
		endpoint_hang_up_all(e);
		if (e->segments)
			segments_clear(e->segments);
		if (e->streams)
			streams_end(e->streams);
	}
}

bool gateway_under_way(const struct gateway *g, uint64_t session, uint32_t epoch)
{
	const struct endpoint *e = find(g, session, epoch);

	return e && e->segments && segments_any(e->segments);
}
