/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "core/mud/session.h"
#include "core/common/policy.h"
#include "net/crypto.h"
#include "net/link.h"
#include "net/tls.h"
#include "report/log_reporter.h"

/*
 * DOC: how answers reach the application
 *
 * The core's operations must not come back into it, but an application that gets an answer wants to
 * send the next request at once. One message brings at most one answer, association or loss, so the
 * operations only note it in @news, and the application is told when the core has returned; the
 * bytes of the answer are still those of the link's message. The application may close the client
 * then, so telling it is always the last thing done.
 *
 * While it is closing, the client keeps its link until all bytes are with the kernel.
 */

#define FLUSH_MS 5 /* how often a closing client looks whether its bytes have left */

/* The queue can hold all unanswered requests of full size, so it is full only of repetitions */
#define QUEUE_BYTES (WIRE_WINDOW_BYTES + (size_t)8 * WIRE_PAYLOAD_MAX)

/* struct place - An access point */
struct place {
	char name[NAME_SIZE];
	char *address;
};

/* struct waiting - Who gets the answer of a request; request n is in slot n % WIRE_WINDOW */
struct waiting {
	client_done_fn done;
	void *ctx;
};

/* struct news - Results that the core told during a call */
struct news {
	const struct wire_data *answer;
	bool lost;
	enum wire_status status;
	char reason[WIRE_REASON_SIZE];
};

struct client {
	struct uv_loop_s *loop;
	struct tls_context *tls;
	struct link_limits limits;
	struct log_reporter *reporter;
	const struct client_ops *ops;
	void *ctx;
	struct mud_session *session;
	struct peer *peer; /* the access point it is at */
	struct waiting waiting[WIRE_WINDOW];
	struct news news;
	uv_timer_t timer;
	bool closing;
	uint64_t close_by;
	void (*closed)(void *ctx);
	void *closed_ctx;
	size_t places;
	struct place place[];
};

/* ---- calls of the core ---- */

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct client *c = ctx;
	struct link *l = c->peer ? peer_link(c->peer) : NULL;

	(void)ap; /* there is a link to the present one only */
	/* dropped if it cannot go: the core sends requests without an answer again */
	if (l && link_send(l, m) != 0)
		log_debug("%s was not sent", wire_type_name(m->type));
}

static void on_answer(void *ctx, const struct wire_data *answer)
{
	((struct client *)ctx)->news.answer = answer;
}

static uint64_t new_number(void *ctx)
{
	(void)ctx;
	return crypto_number();
}

static void on_lost(void *ctx, enum wire_status status, const char *reason)
{
	struct news *news = &((struct client *)ctx)->news;

	news->lost = true;
	news->status = status;
	(void)snprintf(news->reason, sizeof(news->reason), "%s", reason);
}

static void on_event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		     const char *detail)
{
	struct client *c = ctx;

	log_reporter_event(c->reporter, kind, session, number, "%s", detail);
}

static const struct mud_session_ops session_ops = {
	.to_ap = to_ap,
	.answer = on_answer,
	.number = new_number,
	.lost = on_lost,
	.event = on_event,
};

static void prove(uint8_t *proof, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	/* zeros are no proof: the access point will refuse, and say so */
	if (crypto_proof(proof, secret, session, association, ap) < 0)
		memset(proof, 0, WIRE_PROOF_SIZE);
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer);

/* After each call into the core: when does it want to be called next */
static void set_timer(struct client *c)
{
	uint64_t now = uv_now(c->loop);
	uint64_t at = mud_session_deadline(c->session);

	if (c->closing)
		return;
	if (at == UINT64_MAX)
		(void)uv_timer_stop(&c->timer);
	else
		(void)uv_timer_start(&c->timer, on_timer, at > now ? at - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct client *c = timer->data;

	mud_session_tick(c->session, uv_now(c->loop));
	set_timer(c);
}

/* ---- the link ---- */

static void on_up(void *ctx, struct link *l)
{
	struct client *c = ctx;

	mud_session_up(c->session, uv_now(c->loop), link_peer_name(l));
	set_timer(c);
}

/* Tells the application; it may have closed @c afterwards */
static void tell(struct client *c, bool associated)
{
	struct news news = c->news;

	c->news = (struct news){ 0 };
	if (c->closing)
		return;
	if (news.answer) {
		struct waiting *w = &c->waiting[news.answer->number % WIRE_WINDOW];
		struct waiting who = *w;

		*w = (struct waiting){ 0 };
		if (who.done)
			who.done(who.ctx, news.answer);
	} else if (news.lost && c->ops->lost) {
		c->ops->lost(c->ctx, news.status, news.reason);
	} else if (associated && c->ops->associated) {
		c->ops->associated(c->ctx, mud_session_ap(c->session));
	}
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct client *c = ctx;
	enum mud_state before = mud_session_state(c->session);

	mud_session_message(c->session, uv_now(c->loop), link_peer_name(l), m);
	set_timer(c);
	tell(c, before != MUD_ASSOCIATED && mud_session_state(c->session) == MUD_ASSOCIATED);
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct client *c = ctx;

	mud_session_down(c->session, uv_now(c->loop), link_peer_name(l));
	set_timer(c);
	if (!c->closing && c->ops->unreachable)
		c->ops->unreachable(c->ctx, link_peer_name(l), reason);
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	struct client *c = ctx;

	if (!c->closing && c->ops->unreachable)
		c->ops->unreachable(c->ctx, who, reason);
}

static const struct link_ops link_ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.refused = on_refused,
};

/* ---- the application's side ---- */

static void client_free(struct client *c)
{
	mud_session_free(c->session);
	for (size_t i = 0; i < c->places; i++)
		free(c->place[i].address);
	free(c);
}

static int copy_places(struct client *c, const struct client_setup *setup, struct err *err)
{
	for (; c->places < setup->ap_count; c->places++) {
		struct place *p = &c->place[c->places];
		int r = name_set(p->name, setup->aps[c->places].name, err);

		if (r < 0)
			return err_wrap(err, r, "access point");
		p->address = strdup(setup->aps[c->places].address);
		if (!p->address)
			return err_set(err, -ENOMEM, "access point %s", p->name);
	}
	return 0;
}

int client_new(struct client **ret, const struct client_setup *setup, struct err *err)
{
	struct client *c;
	int r;

	if (tls_context_role(setup->tls) != WIRE_ROLE_MUD)
		return err_set(err, -EINVAL,
			       "the certificate of %s is for role \"%s\", not for a mobile device",
			       tls_context_name(setup->tls),
			       wire_role_name(tls_context_role(setup->tls)));
	c = calloc(1, sizeof(*c) + setup->ap_count * sizeof(struct place));
	if (!c)
		return err_set(err, -ENOMEM, "client");
	c->loop = setup->loop;
	c->tls = setup->tls;
	c->limits = setup->limits;
	if (c->limits.queue_bytes < QUEUE_BYTES)
		c->limits.queue_bytes = QUEUE_BYTES;
	c->reporter = setup->reporter;
	c->ops = setup->ops;
	c->ctx = setup->ctx;
	r = copy_places(c, setup, err);
	if (r == 0)
		r = mud_session_new(&c->session, tls_context_name(setup->tls), setup->service,
				    setup->policy, prove, &session_ops, c, err);
	if (r < 0) {
		client_free(c);
		return r;
	}
	(void)uv_timer_init(c->loop, &c->timer); /* cannot fail */
	c->timer.data = c;
	*ret = c;
	return 0;
}

static const struct place *find_place(const struct client *c, const char *ap)
{
	for (size_t i = 0; i < c->places; i++) {
		if (name_equal(c->place[i].name, ap))
			return &c->place[i];
	}
	return NULL;
}

int client_move(struct client *c, const char *ap, struct err *err)
{
	const struct link_setup setup = {
		.loop = c->loop,
		.tls = c->tls,
		.ops = &link_ops,
		.ctx = c,
		.limits = c->limits,
	};
	const struct place *p = find_place(c, ap);
	struct peer *peer;
	int r;

	if (!p)
		return err_set(err, -ENOENT, "move to %.63s", ap);
	if (name_equal(ap, mud_session_ap(c->session)))
		return 0;
	r = peer_new(&peer, &setup, p->name, WIRE_ROLE_AP, p->address, err);
	if (r < 0)
		return r;
	peer_close(c->peer);
	c->peer = peer;
	mud_session_move(c->session, uv_now(c->loop), p->name);
	set_timer(c);
	return 0;
}

int client_request(struct client *c, const void *bytes, size_t len, client_done_fn done, void *ctx,
		   uint64_t *number, struct err *err)
{
	const struct wire_data request = { .bytes = bytes, .len = len };

	int r = mud_session_request(c->session, uv_now(c->loop), &request, number, err);

	set_timer(c);
	if (r == MUD_SESSION_E_FULL)
		return CLIENT_E_FULL;
	if (r == MUD_SESSION_E_LOST)
		return CLIENT_E_LOST;
	if (r < 0)
		return r;
	c->waiting[*number % WIRE_WINDOW] = (struct waiting){ done, ctx };
	return 0;
}

const char *client_ap(const struct client *c)
{
	return mud_session_ap(c->session);
}

uint64_t client_session(const struct client *c)
{
	return mud_session_number(c->session);
}

size_t client_unanswered(const struct client *c)
{
	return mud_session_unanswered(c->session);
}

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;
	void (*closed)(void *ctx) = c->closed;
	void *ctx = c->closed_ctx;

	client_free(c);
	if (closed)
		closed(ctx);
}

static void on_flush(uv_timer_t *timer)
{
	struct client *c = timer->data;
	const struct link *l = c->peer ? peer_link(c->peer) : NULL;

	if (l && link_queued(l) && uv_now(c->loop) < c->close_by)
		return;
	peer_close(c->peer);
	c->peer = NULL;
	uv_close((uv_handle_t *)&c->timer, on_closed);
}

void client_close(struct client *c, void (*done)(void *ctx), void *ctx)
{
	if (!c) {
		if (done)
			done(ctx);
		return;
	}
	mud_session_end(c->session, uv_now(c->loop));
	c->closing = true;
	c->closed = done;
	c->closed_ctx = ctx;
	c->close_by = uv_now(c->loop) + CLIENT_CLOSE_MS;
	(void)uv_timer_start(&c->timer, on_flush, 0, FLUSH_MS);
}
