/* SPDX-License-Identifier: Apache-2.0 */
#include "report/log_reporter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "net/link.h"
#include "net/tls.h"
#include "wire/message.h"

/*
 * DOC: how events travel
 *
 *     any thread:   event() -> ring -> wake the loop
 *     event loop:   ring -> EVENTS (at most 256) -> link -> LogRepo
 *                                   CLOCK PROBE  -> link -> LogRepo
 *                   confirmed    <- CLOCK REPLY  <- link <-
 *
 * Slots from @tail on, @count of them, belong to the loop; the others to the holder of the mutex.
 * So the loop can encode from the ring without the lock, and takes it only to move @tail. The
 * LogRepo handles messages in order, hence a CLOCK REPLY says that all batches sent before its
 * probe have been stored.
 */

#define CLOCK_SAMPLES 8

/**
 * struct log_reporter - See above
 * @link:	Setup of links to the LogRepo
 * @peer:	The LogRepo, or NULL if there is none; other threads look whether there is one
 * @wake:	Lets other threads wake the loop
 * @timer:	Waits for a batch to fill; while closing, limits the wait
 * @handles:	Handles libuv still knows
 * @mutex:	Guards the members that follow it
 * @head:	Slot of the next event
 * @count:	Events from @tail on
 * @dropped:	Not yet told to the LogRepo
 * @dropped_total: Since the start
 * @ring:	LOG_REPORTER_RING events
 * @tail:	First event not sent; loop only, as is the rest
 * @unconfirmed: Events sent, but not known to have arrived
 * @probed:	How many of those the probe under way stands behind
 * @probing:	A probe is under way
 * @samples:	Clock measurements to go
 * @best_offset, @best_rtt: The best of them
 * @closing:	log_reporter_close() was called
 * @done, @done_ctx: Of that call
 * @told, @told_ctx: For a LogRepo that cannot be reached
 */
struct log_reporter {
	char node[NAME_SIZE];
	struct link_setup link;
	struct peer *peer;
	uv_loop_t *loop;
	uv_async_t wake;
	uv_timer_t timer;
	int handles;

	uv_mutex_t mutex;
	size_t head;
	size_t count;
	uint64_t dropped;
	uint64_t dropped_total;

	struct wire_event *ring;
	size_t tail;
	uint64_t unconfirmed;
	uint64_t probed;
	bool probing;
	int samples;
	int64_t best_offset;
	uint64_t best_rtt;
	bool closing;
	void (*done)(void *ctx);
	void *done_ctx;
	void (*told)(void *ctx, const char *who, const char *reason);
	void *told_ctx;
};

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct log_reporter *r = handle->data;

	if (--r->handles > 0)
		return;
	void (*done)(void *ctx) = r->done;
	void *ctx = r->done_ctx;
	uv_mutex_destroy(&r->mutex);
	free(r->ring);
	free(r);
	if (done)
		done(ctx);
}

static void finish(struct log_reporter *r)
{
	if (uv_is_closing((uv_handle_t *)&r->wake))
		return;
	uint64_t lost = r->count + r->unconfirmed + r->dropped;
	if (lost)
		log_debug("log reporter: %llu events did not reach the LogRepo",
			  (unsigned long long)lost);
	peer_close(r->peer);
	uv_close((uv_handle_t *)&r->wake, on_handle_closed);
	uv_close((uv_handle_t *)&r->timer, on_handle_closed);
}

static void on_close_limit(uv_timer_t *timer)
{
	finish(timer->data);
}

/* ---- sending, on the loop ---- */

/* Asks for the confirmation of all that was sent, unless an answer is awaited already */
static void probe(struct log_reporter *r, struct link *l)
{
	if (r->probing || link_probe(l) != 0)
		return;
	r->probing = true;
	r->probed = r->unconfirmed;
}

/* Sends one batch. Return: whether there may be another */
static bool send_batch(struct log_reporter *r, struct link *l)
{
	uv_mutex_lock(&r->mutex);
	size_t n = r->count;
	uint64_t dropped = r->dropped;
	uv_mutex_unlock(&r->mutex);
	if (n > LOG_REPORTER_RING - r->tail)
		n = LOG_REPORTER_RING - r->tail;
	if (n > WIRE_EVENTS_MAX)
		n = WIRE_EVENTS_MAX;
	if (!n && !dropped)
		return false;

	struct wire_message m = {
		.type = WIRE_EVENTS,
		.events = { .dropped = dropped, .count = (uint32_t)n, .event = r->ring + r->tail },
	};
	int result = link_send(l, &m);
	if (result > 0)
		return false; /* full or down: writable() or up() comes */
	/* a batch that cannot be encoded would stop all others for ever */
	bool sent = result == 0;
	uv_mutex_lock(&r->mutex);
	r->count -= n;
	r->dropped -= sent ? dropped : 0;
	r->dropped += sent ? 0 : n;
	r->dropped_total += sent ? 0 : n;
	uv_mutex_unlock(&r->mutex);
	r->tail = (r->tail + n) % LOG_REPORTER_RING;
	r->unconfirmed += sent ? n : 0;
	return n > 0;
}

static void send_all(struct log_reporter *r)
{
	struct link *l = r->peer ? peer_link(r->peer) : NULL;

	while (l && send_batch(r, l))
		;
	if (l && r->unconfirmed)
		probe(r, l);
	/* a short-lived program's times are worth little without its clock's offset */
	bool measuring = l && r->samples > 0;
	if (r->closing && !r->unconfirmed && !r->count && !measuring)
		finish(r);
}

static void on_batch_time(uv_timer_t *timer)
{
	send_all(timer->data);
}

static void on_wake(uv_async_t *wake)
{
	struct log_reporter *r = wake->data;

	uv_mutex_lock(&r->mutex);
	size_t count = r->count;
	uv_mutex_unlock(&r->mutex);
	if (count >= WIRE_EVENTS_MAX || r->closing)
		send_all(r);
	else if (!uv_is_active((uv_handle_t *)&r->timer))
		(void)uv_timer_start(&r->timer, on_batch_time, LOG_REPORTER_BATCH_MS, 0);
}

/* ---- the link ---- */

static void on_up(void *ctx, struct link *l)
{
	struct log_reporter *r = ctx;

	r->samples = CLOCK_SAMPLES;
	r->best_rtt = UINT64_MAX;
	r->probing = false;
	probe(r, l);
	send_all(r);
}

/* The LogRepo has nothing to tell us */
static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	(void)ctx;
	(void)l;
	(void)m;
}

/* Events that were sent and are not confirmed may not have arrived */
static void drop_unconfirmed(struct log_reporter *r)
{
	uv_mutex_lock(&r->mutex);
	r->dropped += r->unconfirmed;
	r->dropped_total += r->unconfirmed;
	uv_mutex_unlock(&r->mutex);
	r->unconfirmed = 0;
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct log_reporter *r = ctx;

	(void)l;
	drop_unconfirmed(r);
	if (r->told)
		r->told(r->told_ctx, peer_name(r->peer), reason);
}

static void on_writable(void *ctx, struct link *l)
{
	(void)l;
	send_all(ctx);
}

static void on_clock(void *ctx, struct link *l, int64_t offset_us, uint64_t rtt_us)
{
	struct log_reporter *r = ctx;

	/* A reply to one of the link's own probes, which it sends after a second of silence, may be
	 * taken for ours: then the first batch after a silence counts as arrived a little early. */
	if (r->probing) {
		r->unconfirmed -= r->probed < r->unconfirmed ? r->probed : r->unconfirmed;
		r->probing = false;
	}
	if (r->samples > 0) {
		if (rtt_us < r->best_rtt) {
			r->best_rtt = rtt_us;
			r->best_offset = offset_us;
		}
		if (--r->samples > 0)
			probe(r, l);
		else
			log_reporter_event(r, "CLOCK OFFSET", 0, 0, "offset_us=%lld rtt_us=%llu",
					   (long long)r->best_offset,
					   (unsigned long long)r->best_rtt);
	}
	send_all(r);
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	struct log_reporter *r = ctx;

	if (r->told)
		r->told(r->told_ctx, who, reason);
}

static const struct link_ops reporter_ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.writable = on_writable,
	.clock = on_clock,
	.refused = on_refused,
};

/* ---- interface ---- */

int log_reporter_new(struct log_reporter **ret, const struct log_reporter_setup *setup,
		     struct err *err)
{
	int result;

	struct log_reporter *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, -ENOMEM, "log reporter");
	result = name_set(r->node, setup->node, err);
	if (result < 0) {
		free(r);
		return err_wrap(err, result, "log reporter");
	}
	r->loop = setup->loop;
	r->told = setup->refused;
	r->told_ctx = setup->ctx;
	r->ring = calloc(LOG_REPORTER_RING, sizeof(*r->ring));
	if (!r->ring || uv_mutex_init(&r->mutex) < 0) {
		free(r->ring);
		free(r);
		return err_set(err, -ENOMEM, "log reporter");
	}
	r->link = (struct link_setup){
		.loop = setup->loop,
		.tls = setup->tls,
		.ops = &reporter_ops,
		.ctx = r,
	};
	if (setup->address)
		result = peer_new(&r->peer, &r->link, setup->repository, WIRE_ROLE_LOGREPO,
				  setup->address, err);
	if (result == 0) {
		result = uv_async_init(setup->loop, &r->wake, on_wake);
		if (result < 0)
			(void)err_set(err, result, "log reporter");
	}
	if (result < 0) {
		peer_close(r->peer);
		uv_mutex_destroy(&r->mutex);
		free(r->ring);
		free(r);
		return result;
	}
	(void)uv_timer_init(setup->loop, &r->timer); /* cannot fail */
	r->wake.data = r;
	r->timer.data = r;
	r->handles = 2;
	*ret = r;
	return 0;
}

static void report(struct log_reporter *r, uint64_t time_us, const char *kind, uint64_t session,
		   uint64_t number, const char *fmt, va_list ap)
	__attribute__((format(printf, 6, 0)));

static void report(struct log_reporter *r, uint64_t time_us, const char *kind, uint64_t session,
		   uint64_t number, const char *fmt, va_list ap)
{
	struct wire_event e = { .time_us = time_us, .session = session, .number = number };

	memcpy(e.node, r->node, sizeof(e.node));
	(void)snprintf(e.kind, sizeof(e.kind), "%s", kind);
	(void)vsnprintf(e.detail, sizeof(e.detail), fmt, ap);
	uv_mutex_lock(&r->mutex);
	bool fits = r->peer && r->count < LOG_REPORTER_RING;
	if (fits) {
		r->ring[r->head] = e;
		r->head = (r->head + 1) % LOG_REPORTER_RING;
		r->count++;
	} else {
		r->dropped++;
		r->dropped_total++;
	}
	uv_mutex_unlock(&r->mutex);
	if (fits)
		(void)uv_async_send(&r->wake);
}

void log_reporter_event(struct log_reporter *r, const char *kind, uint64_t session, uint64_t number,
			const char *fmt, ...)
{
	va_list ap;

	if (!r)
		return;
	va_start(ap, fmt);
	report(r, realtime_us(), kind, session, number, fmt, ap);
	va_end(ap);
}

void log_reporter_event_at(struct log_reporter *r, uint64_t time_us, const char *kind,
			   uint64_t session, uint64_t number, const char *fmt, ...)
{
	va_list ap;

	if (!r)
		return;
	va_start(ap, fmt);
	report(r, time_us, kind, session, number, fmt, ap);
	va_end(ap);
}

void log_reporter_certificates(struct log_reporter *r, struct tls_context *tls,
			       enum tls_watch_word word, const char *text)
{
	if (word == TLS_WATCH_READ)
		log_info("%s", text);
	else
		log_error("%s", text);
	if (word == TLS_WATCH_ENDING)
		log_reporter_event(r, "CERTIFICATE ENDS", 0, 0, "days=%" PRId64,
				   tls_watch_days(tls));
}

int log_reporter_repository(struct log_reporter *r, const char *repository, const char *address,
			    struct err *err)
{
	struct peer *last = r->peer;
	struct peer *next = NULL;

	if (last && address && name_equal(peer_name(last), repository))
		return peer_change(last, address, &r->link.limits, err);
	if (address) {
		int result = peer_new(&next, &r->link, repository, WIRE_ROLE_LOGREPO, address, err);

		if (result < 0)
			return result;
	}
	uv_mutex_lock(&r->mutex);
	r->peer = next;
	uv_mutex_unlock(&r->mutex);
	if (last)
		drop_unconfirmed(r);
	r->probing = false;
	peer_close(last);
	return 0;
}

uint64_t log_reporter_dropped(struct log_reporter *r)
{
	uv_mutex_lock(&r->mutex);
	uint64_t dropped = r->dropped_total;
	uv_mutex_unlock(&r->mutex);
	return dropped;
}

uint64_t log_reporter_waiting(struct log_reporter *r)
{
	uv_mutex_lock(&r->mutex);
	uint64_t waiting = r->count;
	uv_mutex_unlock(&r->mutex);
	return waiting;
}

void log_reporter_close(struct log_reporter *r, void (*done)(void *ctx), void *ctx)
{
	if (!r) {
		if (done)
			done(ctx);
		return;
	}
	r->closing = true;
	r->done = done;
	r->done_ctx = ctx;
	(void)uv_timer_start(&r->timer, on_close_limit, LOG_REPORTER_CLOSE_MS, 0);
	send_all(r);
}
