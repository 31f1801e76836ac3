/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "net/link_inner.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "wire/codec.h"

/*
 * DOC: how a link works
 *
 * Bytes from the socket are fed to the TLS session, decrypted into @in, cut into frames, decoded
 * and handed to the owner, all inside libuv's read callback. Bytes to the socket go the other way:
 * encode, encrypt, append to @out, and @out is tried on the socket at once. Bytes that the kernel does
 * not take move to @flying, which libuv writes, while @out collects further ones. So there is at most
 * one write under way, and small messages travel together under load.
 *
 * Every end of a link goes through link_fail() or link_close(): the state becomes CLOSING and both
 * handles are closed. When libuv has called back for both, the owner is told (down, refused), the link
 * is taken from its listener or peer, and its memory is freed. That is why no callback ever comes from
 * inside link_send(), and why a callback may close the very link it was called for.
 */

#define DEFAULT_QUEUE_BYTES  (8u << 20)
#define DEFAULT_HANDSHAKE_MS 5000
#define DEFAULT_PROBE_MS     1000
#define DEFAULT_DEAD_MS      10000
#define DEFAULT_RETRY_MIN_MS 50
#define DEFAULT_RETRY_MAX_MS 2000
#define DEFAULT_ACCEPTED_MAX 1024
#define DEFAULT_HANDSHAKES   256

#define DECRYPT_STEP      16384u /* one TLS record */
#define PROBE_QUEUE_BYTES 65536u /* with more waiting, the bytes themselves will show if it lives */
#define KEEP_BYTES        (1u << 20)

static void on_tick(uv_timer_t *timer);

struct link_limits link_limits_defaults(struct link_limits l)
{
	if (!l.queue_bytes)
		l.queue_bytes = DEFAULT_QUEUE_BYTES;
	if (!l.handshake_ms)
		l.handshake_ms = DEFAULT_HANDSHAKE_MS;
	if (!l.probe_ms)
		l.probe_ms = DEFAULT_PROBE_MS;
	if (!l.dead_ms)
		l.dead_ms = DEFAULT_DEAD_MS;
	if (!l.retry_min_ms)
		l.retry_min_ms = DEFAULT_RETRY_MIN_MS;
	if (!l.retry_max_ms)
		l.retry_max_ms = DEFAULT_RETRY_MAX_MS;
	if (!l.accepted_max)
		l.accepted_max = DEFAULT_ACCEPTED_MAX;
	if (!l.handshakes_max)
		l.handshakes_max = DEFAULT_HANDSHAKES;
	return l;
}

/* ---- the end of a link ---- */

static void link_free(struct link *l)
{
	tls_session_free(l->tls);
	buf_deinit(&l->in);
	buf_deinit(&l->frame);
	buf_deinit(&l->out);
	buf_deinit(&l->flying);
	wire_scratch_deinit(&l->scratch);
	free(l);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct link *l = handle->data;

	if (--l->handles > 0)
		return;
	if (l->announced && !l->silent)
		l->setup.ops->down(l->setup.ctx, l, l->reason);
	/* down() may have closed the listener or peer, which then waits for this */
	l->owner_ops->gone(l->owner, l);
	if (l->data && l->data_gone)
		l->data_gone(l->data);
	link_free(l);
}

static void close_handles(struct link *l)
{
	l->state = LINK_CLOSING;
	uv_close((uv_handle_t *)&l->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&l->timer, on_handle_closed);
}

/* Last bytes, such as a TLS alert: tried once, for the kernel may have room */
static void try_last_bytes(struct link *l)
{
	if (l->tls && tls_session_drain(l->tls, &l->out, NULL) == 0 && l->out.len && !l->writing) {
		uv_buf_t b = uv_buf_init((char *)buf_bytes(&l->out), (unsigned int)l->out.len);

		(void)uv_try_write((uv_stream_t *)&l->tcp, &b, 1);
	}
}

void link_fail(struct link *l, const char *reason)
{
	if (l->state == LINK_CLOSING)
		return;
	(void)snprintf(l->reason, sizeof(l->reason), "%s", reason);
	if (l->state == LINK_UP)
		tls_session_close(l->tls);
	try_last_bytes(l);
	close_handles(l);
}

void link_fail_uv(struct link *l, const char *what, int status)
{
	char text[ERR_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s: %s", what, uv_strerror(status));
	link_fail(l, text);
}

void link_close(struct link *l)
{
	l->silent = true;
	link_fail(l, "closed by us");
}

/* ---- sending ---- */

static void link_flush(struct link *l);

static void on_written(uv_write_t *req, int status)
{
	struct link *l = req->data;

	l->writing = false;
	if (l->state == LINK_CLOSING)
		return;
	if (status < 0) {
		link_fail_uv(l, "write", status);
		return;
	}
	if (l->flying.capacity > KEEP_BYTES)
		buf_deinit(&l->flying); /* a burst is over: idle links must not hold megabytes */
	else
		buf_consume(&l->flying, l->flying.len);
	l->last_said = uv_now(l->setup.loop);
	link_flush(l);
	if (l->full && l->state == LINK_UP && link_queued(l) <= l->setup.limits.queue_bytes / 2) {
		l->full = false;
		if (l->setup.ops->writable)
			l->setup.ops->writable(l->setup.ctx, l);
	}
}

/* Moves encrypted bytes towards the socket, as far as it takes them */
static void link_flush(struct link *l)
{
	if (l->writing || l->state == LINK_CLOSING || !l->out.len)
		return;
	uv_buf_t b = uv_buf_init((char *)buf_bytes(&l->out), (unsigned int)l->out.len);
	int n = uv_try_write((uv_stream_t *)&l->tcp, &b, 1);
	if (n < 0 && n != UV_EAGAIN) {
		link_fail_uv(l, "write", n);
		return;
	}
	if (n > 0) {
		buf_consume(&l->out, (size_t)n);
		l->last_said = uv_now(l->setup.loop);
	}
	if (!l->out.len)
		return;
	struct buf empty = l->flying;
	l->flying = l->out;
	l->out = empty;
	b = uv_buf_init((char *)buf_bytes(&l->flying), (unsigned int)l->flying.len);
	l->write.data = l;
	int r = uv_write(&l->write, (uv_stream_t *)&l->tcp, &b, 1, on_written);
	if (r < 0) {
		link_fail_uv(l, "write", r);
		return;
	}
	l->writing = true;
}

/* Takes the bytes that TLS has for the network, and sends them */
static int link_push(struct link *l, struct err *err)
{
	int r = tls_session_drain(l->tls, &l->out, err);

	if (r < 0)
		return r;
	link_flush(l);
	return 0;
}

size_t link_queued(const struct link *l)
{
	return l->out.len + l->flying.len;
}

/* link_send() for any state after the handshake */
static int send_message(struct link *l, const struct wire_message *m)
{
	size_t limit = l->setup.limits.queue_bytes;
	struct err err = { 0 };
	size_t put;
	int r;

	if (m->type == WIRE_TRANSFER_CHUNK || m->type == WIRE_TRANSFER_CUT)
		return -EINVAL;
	if (link_queued(l) >= limit) {
		l->full = true;
		return LINK_E_FULL;
	}
	buf_consume(&l->frame, l->frame.len);
	r = wire_encode(m, &l->frame, &err);
	if (r < 0) {
		log_debug("link to %s: %s", l->name, err.text);
		return r;
	}
	/* one message larger than the limit may still go when nothing else waits */
	if (link_queued(l) && link_queued(l) + l->frame.len > limit) {
		l->full = true;
		return LINK_E_FULL;
	}
	r = tls_session_write(l->tls, buf_bytes(&l->frame), l->frame.len, &put, &err);
	if (r == 0)
		r = link_push(l, &err);
	if (r != 0) {
		link_fail(l, r < 0 ? err.text : "TLS does not take bytes");
		return LINK_E_DOWN;
	}
	return l->state == LINK_CLOSING ? LINK_E_DOWN : 0;
}

int link_send(struct link *l, const struct wire_message *m)
{
	if (l->state != LINK_UP)
		return LINK_E_DOWN;
	return send_message(l, m);
}

int link_probe(struct link *l)
{
	struct wire_message m = {
		.type = WIRE_CLOCK_PROBE,
		.clock = { .sent_us = realtime_us() },
	};

	return link_send(l, &m);
}

/* ---- receiving ---- */

/* Tells the peer why it cannot stay; without this it would only see a broken connection */
void link_refuse(struct link *l, const char *reason)
{
	struct wire_message m = {
		.type = WIRE_REFUSAL,
		.refusal = { .status = WIRE_E_NOT_ALLOWED },
	};

	(void)snprintf(m.refusal.reason, sizeof(m.refusal.reason), "%.250s", reason);
	(void)send_message(l, &m);
	link_fail(l, reason);
}

static void greet(struct link *l)
{
	struct wire_message hello;

	l->state = LINK_HELLO;
	wire_hello_set(&hello, tls_context_name(l->setup.tls), tls_context_role(l->setup.tls));
	if (send_message(l, &hello) < 0)
		link_fail(l, "cannot send HELLO");
}

static void handshake(struct link *l)
{
	struct err err = { 0 };
	int r;

	r = tls_session_handshake(l->tls, &err);
	if (r < 0) {
		link_fail(l, err.text);
		return;
	}
	if (r == 0)
		l->state = LINK_HELLO;
	if (link_push(l, &err) < 0) {
		link_fail(l, err.text);
		return;
	}
	if (l->state != LINK_HELLO)
		return;
	/* before HELLO: a peer that never was up tries again after ever longer waits */
	r = tls_session_peer(l->tls, l->name, &l->role, &err);
	if (r == 0)
		r = l->owner_ops->proven(l->owner, l, &err);
	if (r < 0) {
		link_refuse(l, err.text);
	} else if (r == LINK_E_HELD) {
		l->state = LINK_HELD;
		(void)uv_read_stop((uv_stream_t *)&l->tcp);
		link_hold(l);
	} else {
		greet(l);
	}
}

static void come_up(struct link *l, const struct wire_message *m)
{
	struct err err = { 0 };

	if (wire_hello_check(m, l->name, l->role, &err) < 0) {
		link_refuse(l, err.text);
		return;
	}
	l->version = m->hello.version;
	l->state = LINK_UP;
	l->announced = true;
	uint64_t tick = l->setup.limits.probe_ms / 2 + 1;
	l->last_tick = uv_now(l->setup.loop);
	(void)uv_timer_start(&l->timer, on_tick, tick, tick);
	if (l->owner_ops->up)
		l->owner_ops->up(l->owner);
	l->setup.ops->up(l->setup.ctx, l);
	if (l->suspected)
		l->owner_ops->heard(l->owner, l);
}

static void answer_probe(struct link *l, const struct wire_message *m)
{
	struct wire_message reply = {
		.type = WIRE_CLOCK_REPLY,
		.clock = { .sent_us = m->clock.sent_us, .received_us = realtime_us() },
	};

	/* at the queue's limit the other side hears enough from us without this */
	(void)send_message(l, &reply);
}

static void take_clock(struct link *l, const struct wire_message *m)
{
	uint64_t now = realtime_us();

	if (!l->setup.ops->clock || now < m->clock.sent_us)
		return;
	uint64_t rtt = now - m->clock.sent_us;
	int64_t offset = (int64_t)(m->clock.received_us - (m->clock.sent_us + rtt / 2));
	l->setup.ops->clock(l->setup.ctx, l, offset, rtt);
}

static void handle_message(struct link *l, const struct wire_message *m)
{
	if (m->type == WIRE_REFUSAL && m->session == 0) {
		char text[ERR_TEXT_MAX];

		(void)snprintf(text, sizeof(text), "the peer refused us: %s", m->refusal.reason);
		link_fail(l, text);
		return;
	}
	if (l->state == LINK_HELLO) {
		come_up(l, m);
		return;
	}
	switch (m->type) {
	case WIRE_HELLO:
		l->broke_rules = true;
		link_fail(l, "sent HELLO twice");
		break;
	case WIRE_CLOCK_PROBE:
		answer_probe(l, m);
		break;
	case WIRE_CLOCK_REPLY:
		take_clock(l, m);
		break;
	default:
		l->setup.ops->message(l->setup.ctx, l, m);
	}
}

/* Whether frames may be handed on now */
static bool may_deliver(const struct link *l)
{
	return l->state == LINK_HELLO || (l->state == LINK_UP && !l->paused);
}

static void deliver_frames(struct link *l)
{
	while (may_deliver(l)) {
		struct wire_message m;
		struct err err = { 0 };
		size_t size;

		int r = wire_frame_size(buf_bytes(&l->in), l->in.len, false, &size, &err);
		if (r == 0 || (r > 0 && size > l->in.len))
			return;
		if (r > 0)
			r = wire_decode(buf_bytes(&l->in), size, &m, &l->scratch, &err);
		if (r < 0) {
			l->broke_rules = true;
			link_fail(l, err.text);
			return;
		}
		handle_message(l, &m);
		buf_consume(&l->in, size);
	}
}

/* Decrypts and hands on all that is there, unless the owner pauses or closes the link */
static void process(struct link *l)
{
	if (l->state == LINK_HANDSHAKE)
		handshake(l);
	deliver_frames(l);
	while (may_deliver(l)) {
		struct err err = { 0 };
		size_t got;

		int r = buf_reserve(&l->in, DECRYPT_STEP, &err);
		if (r == 0)
			r = tls_session_read(l->tls, buf_tail(&l->in), DECRYPT_STEP, &got, &err);
		if (r == TLS_E_WANT_READ)
			break;
		if (r != 0) {
			link_fail(l, r == TLS_E_CLOSED ? "closed by the peer" : err.text);
			return;
		}
		l->in.len += got;
		deliver_frames(l);
	}
	/* reading can make TLS send something, such as a key update */
	if (l->state != LINK_CLOSING)
		(void)link_push(l, NULL);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *b)
{
	/* shared by all links of a thread: libuv fills it and on_read() empties it at once */
	static _Thread_local char bytes[65536];

	(void)handle;
	(void)suggested;
	*b = uv_buf_init(bytes, sizeof(bytes));
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *b)
{
	struct link *l = stream->data;
	struct err err = { 0 };

	if (l->state == LINK_CLOSING || nread == 0)
		return;
	if (nread == UV_EOF) {
		link_fail(l, "the peer broke off");
		return;
	}
	if (nread < 0) {
		link_fail_uv(l, "read", (int)nread);
		return;
	}
	l->last_heard = uv_now(l->setup.loop);
	if (l->suspected && l->state == LINK_UP)
		l->owner_ops->heard(l->owner, l);
	if (tls_session_feed(l->tls, b->base, (size_t)nread, &err) < 0) {
		link_fail(l, err.text);
		return;
	}
	process(l);
}

void link_pause(struct link *l)
{
	if (l->paused || l->state != LINK_UP)
		return;
	l->paused = true;
	(void)uv_read_stop((uv_stream_t *)&l->tcp);
}

static void on_resumed(uv_timer_t *timer)
{
	struct link *l = timer->data;
	uint64_t tick = l->setup.limits.probe_ms / 2 + 1;

	(void)uv_timer_start(&l->timer, on_tick, tick, tick);
	process(l);
}

void link_resume(struct link *l)
{
	if (!l->paused || l->state != LINK_UP)
		return;
	l->paused = false;
	l->last_heard = uv_now(l->setup.loop);
	int r = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
	if (r < 0) {
		link_fail_uv(l, "read", r);
		return;
	}
	/* frames may be waiting in @in already, and no byte from the network would wake them */
	(void)uv_timer_start(&l->timer, on_resumed, 0, 0);
}

/* ---- life ---- */

static void on_tick(uv_timer_t *timer)
{
	struct link *l = timer->data;
	const struct link_limits *limits = &l->setup.limits;
	uint64_t now = uv_now(l->setup.loop);
	struct err err = { 0 };

	/* a process that was stopped must not blame its peers for the time it slept */
	if (now - l->last_tick > limits->dead_ms / 2)
		l->last_heard = now;
	l->last_tick = now;
	if (tls_session_valid(l->tls, &err) < 0) {
		link_refuse(l, err.text);
		return;
	}
	if (!l->paused && now - l->last_heard >= limits->dead_ms) {
		char text[64];

		(void)snprintf(text, sizeof(text), "no sign of life for %u ms", limits->dead_ms);
		link_fail(l, text);
		return;
	}
	if (link_queued(l) > PROBE_QUEUE_BYTES)
		return;
	if (now - l->last_said >= limits->probe_ms ||
	    (!l->paused && now - l->last_heard >= limits->probe_ms))
		(void)link_probe(l);
}

static void on_handshake_timeout(uv_timer_t *timer)
{
	struct link *l = timer->data;
	char text[64];

	(void)snprintf(text, sizeof(text), "%s not done within %u ms",
		       l->state == LINK_CONNECTING ? "connect" : "handshake",
		       l->setup.limits.handshake_ms);
	link_fail(l, text);
}

static void on_waited(uv_timer_t *timer)
{
	struct link *l = timer->data;

	l->owner_ops->waited(l->owner, l);
}

/* Less than the peer's own limit, which is the same by default: it waits for our HELLO */
void link_hold(struct link *l)
{
	(void)uv_timer_start(&l->timer, on_waited, l->setup.limits.handshake_ms / 2 + 1, 0);
}

void link_greet(struct link *l)
{
	if (l->state != LINK_HELD)
		return;
	(void)uv_timer_start(&l->timer, on_handshake_timeout, l->setup.limits.handshake_ms, 0);
	int r = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
	if (r < 0) {
		link_fail_uv(l, "read", r);
		return;
	}
	greet(l);
	process(l); /* its HELLO may have come with the end of the handshake */
}

int link_new(struct link **ret, const struct link_setup *setup, const struct link_owner_ops *ops,
	     void *owner)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->setup = *setup;
	l->owner_ops = ops;
	l->owner = owner;
	list_init(&l->item);
	buf_init(&l->in, WIRE_LINK_FRAME_MAX + DECRYPT_STEP);
	int r = uv_tcp_init(setup->loop, &l->tcp);
	if (r < 0) {
		free(l);
		return r;
	}
	(void)uv_timer_init(setup->loop, &l->timer); /* cannot fail */
	l->tcp.data = l;
	l->timer.data = l;
	l->handles = 2;
	l->last_heard = uv_now(setup->loop);
	l->last_said = l->last_heard;
	(void)uv_timer_start(&l->timer, on_handshake_timeout, setup->limits.handshake_ms, 0);
	*ret = l;
	return 0;
}

void link_connected(struct link *l, bool server)
{
	struct err err = { 0 };
	uv_os_fd_t fd;
	int r;

	l->state = LINK_HANDSHAKE;
	if (uv_fileno((uv_handle_t *)&l->tcp, &fd) == 0)
		tcp_tune(fd, l->setup.limits.dead_ms);
	r = tls_session_new(&l->tls, l->setup.tls, server, -1, &err);
	if (r < 0) {
		link_fail(l, err.text);
		return;
	}
	r = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
	if (r < 0) {
		link_fail_uv(l, "read", r);
		return;
	}
	handshake(l);
}

const char *link_peer_name(const struct link *l)
{
	return l->name;
}

enum wire_role link_peer_role(const struct link *l)
{
	return l->role;
}

uint32_t link_peer_version(const struct link *l)
{
	return l->version;
}

bool link_broke_rules(const struct link *l)
{
	return l->broke_rules;
}

void link_set_data(struct link *l, void *data, void (*gone)(void *data))
{
	l->data = data;
	l->data_gone = gone;
}

void *link_data(const struct link *l)
{
	return l->data;
}
