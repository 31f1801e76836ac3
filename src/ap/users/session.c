/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/users/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/log.h"
#include "core/ap/node.h"
#include "core/mud/session.h"
#include "net/crypto.h"
#include "report/log_reporter.h"

/*
 * DOC: who may call whom
 *
 * The core's operations must only record. Messages of the device's half go straight into the node,
 * which only queues its own in turn (users.c). The node's messages come from that queue. So neither
 * is entered from its own operations. Reports of the device's half during a call are noted in @news
 * and acted upon when the call has returned, as in mud/client.c.
 */

#define AWAY_RETRIES                                                                               \
	3 /* the service is said to be away again within so many retry_ms, or it is back */

/* reports of the device's half during a call */
struct news {
	const struct wire_data *answer;
	const struct wire_stream *stream;
	bool lost;
};

/* who gets the answer to request @number; in slot @number % WIRE_WINDOW */
struct waiting {
	uint64_t number;
	struct user_waiter who;
};

struct user_session {
	uv_timer_t timer;
	uint64_t timer_at; /* when it fires; UINT64_MAX: it does not */
	const struct user_session_setup *setup;
	void *owner;
	uint64_t link;
	char user[NAME_SIZE];
	char service[NAME_SIZE];
	struct mud_session *mud; /* NULL: it has not begun, or was lost */
	bool associated;         /* once: a request may have been executed */
	bool held;
	char refusal[WIRE_REASON_SIZE]; /* held, and nobody is to wait */
	bool ended;
	bool wanted;
	bool fresh;        /* imported, and not associated here yet */
	uint64_t again_at; /* after a loss */
	uint64_t away_at;  /* the service was said to be away, see @reason; 0: it is not */
	uint64_t since;    /* when it last began to associate */
	bool refused;      /* and was told why it must wait, in @reason */
	char reason[WIRE_REASON_SIZE];
	struct news news;
	struct list holds;
	int long_messages;
	struct waiting waiting[WIRE_WINDOW];
};

/* ---- operations of the device's half ---- */

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct user_session *us = ctx;
	const struct user_session_setup *setup = us->setup;

	(void)ap; /* it never is anywhere else */
	ap_node_mud_message(setup->node, uv_now(setup->loop), us->link, us->user, m);
}

static void on_answer(void *ctx, const struct wire_data *answer)
{
	((struct user_session *)ctx)->news.answer = answer;
}

static void on_stream(void *ctx, const struct wire_stream *stream)
{
	((struct user_session *)ctx)->news.stream = stream;
}

static uint64_t new_number(void *ctx)
{
	(void)ctx;
	return crypto_number();
}

/*
 * The service is away for a while: its container starts again, or its edge server's disk is full. Requests
 * that it has wait; further ones are refused, so that clients are told and none of them waits (R9).
 */
static void on_waiting(void *ctx, const char *reason)
{
	struct user_session *us = ctx;

	if (!us->away_at)
		log_info("%s: service %s is away: %s", us->user, us->service, reason);
	us->away_at = uv_now(us->setup->loop);
	(void)snprintf(us->reason, sizeof(us->reason), "%s", reason);
}

static void on_lost(void *ctx, enum wire_status status, const char *reason)
{
	struct user_session *us = ctx;

	us->news.lost = true;
	(void)snprintf(us->reason, sizeof(us->reason), "%s", reason);
	log_info("session of %s with %s is lost (%s): %s", us->user, us->service,
		 wire_status_name(status), reason);
}

static void on_event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		     const char *detail)
{
	struct user_session *us = ctx;

	/* the node, which is here too, reports the same of each request */
	if (!number)
		log_reporter_event(us->setup->reporter, kind, session, number, "mud=%s %s",
				   us->user, detail);
}

static const struct mud_session_ops ops = {
	.to_ap = to_ap,
	.answer = on_answer,
	.stream = on_stream,
	.number = new_number,
	.waiting = on_waiting,
	.lost = on_lost,
	.event = on_event,
};

/* ---- time ---- */

static void on_timer(uv_timer_t *timer);

/* A timer that fires too early is cheaper than one that is set anew for each request. */
static void set_timer(struct user_session *us)
{
	uint64_t now = uv_now(us->setup->loop);
	uint64_t at = us->mud ? mud_session_deadline(us->mud) : UINT64_MAX;

	if (at >= us->timer_at)
		return;
	us->timer_at = at;
	(void)uv_timer_start(&us->timer, on_timer, at > now ? at - now : 0, 0);
}

static void resume(struct user_session *us);

static void on_timer(uv_timer_t *timer)
{
	struct user_session *us = timer->data;

	us->timer_at = UINT64_MAX;
	if (us->mud)
		mud_session_tick(us->mud, uv_now(us->setup->loop));
	resume(us);
	set_timer(us);
}

/* ---- beginning and end ---- */

int user_session_new(struct user_session **ret, const struct user_session_setup *setup,
		     const char *user, const char *service, uint64_t link, void *owner,
		     struct err *err)
{
	struct user_session *us = calloc(1, sizeof(*us));

	if (!us)
		return err_set(err, -ENOMEM, "session of %s with %s", user, service);
	(void)snprintf(us->user, sizeof(us->user), "%s", user);
	(void)snprintf(us->service, sizeof(us->service), "%s", service);
	us->setup = setup;
	us->link = link;
	us->owner = owner;
	us->timer_at = UINT64_MAX;
	list_init(&us->holds);
	(void)uv_timer_init(setup->loop, &us->timer); /* cannot fail */
	us->timer.data = us;
	*ret = us;
	return 0;
}

static int create(struct user_session *us, struct err *err)
{
	const struct user_session_setup *setup = us->setup;

	return mud_session_new(&us->mud, us->user, us->service, setup->policy, setup->proof, &ops,
			       us, err);
}

static void associate(struct user_session *us)
{
	const struct user_session_setup *setup = us->setup;
	uint64_t now = uv_now(setup->loop);

	us->since = now;
	us->refused = false;
	mud_session_move(us->mud, now, setup->ap);
	mud_session_up(us->mud, now, setup->ap);
}

static int begin(struct user_session *us, struct err *err)
{
	int r = create(us, err);

	if (r < 0)
		return r;
	us->associated = false;
	associate(us);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void user_session_close(struct user_session *us)
{
	if (us->mud)
		ap_node_mud_gone(us->setup->node, uv_now(us->setup->loop), us->link);
	us->mud = mud_session_free(us->mud);
	list_for_each_safe(at, next, &us->holds) list_remove(at);
	uv_close((uv_handle_t *)&us->timer, on_closed);
}

void user_session_end(struct user_session *us)
{
	us->ended = true;
	if (us->mud)
		mud_session_end(us->mud, uv_now(us->setup->loop));
}

/* ---- requests ---- */

/* Calls waiting clients in turn while there is room; one that finds too little waits again. */
static void resume(struct user_session *us)
{
	struct list turn;

	list_init(&turn);
	list_for_each_safe(at, next, &us->holds)
	{
		list_remove(at);
		list_append(&turn, at);
	}
	while (!list_empty(&turn)) {
		struct user_hold *hold = list_first(&turn, struct user_hold, link);

		list_remove(&hold->link);
		if (user_session_room(us, 0,
				      hold->segment ? WIRE_SEGMENT_MORE : WIRE_SEGMENT_WHOLE) ==
		    USER_SESSION_E_WAIT)
			list_append(&us->holds, &hold->link);
		else
			hold->resume(hold->ctx); /* may wait again, behind the others */
	}
}

/* If it fails now, the next request tries again. */
static void begin_if_wanted(struct user_session *us)
{
	if (!us->wanted || us->held || us->ended || us->mud)
		return;
	us->wanted = false;
	(void)begin(us, NULL);
}

void user_session_want(struct user_session *us)
{
	us->wanted = true;
	begin_if_wanted(us);
	set_timer(us);
}

void user_session_hold(struct user_session *us, bool held)
{
	us->held = held;
	us->refusal[0] = '\0';
	begin_if_wanted(us);
	resume(us);
	set_timer(us);
}

void user_session_refuse(struct user_session *us, const char *reason)
{
	(void)snprintf(us->refusal, sizeof(us->refusal), "%s", reason);
	resume(us);
	set_timer(us);
}

void user_session_long(struct user_session *us, int more)
{
	us->long_messages += more;
	if (us->long_messages || list_empty(&us->holds))
		return;
	/* waiting clients are called from the loop, for our caller may be one of them */
	us->timer_at = uv_now(us->setup->loop);
	(void)uv_timer_start(&us->timer, on_timer, 0, 0);
}

/* It is said again each time that a request is repeated. Then the next request finds out whether it is back. */
static bool is_away(const struct user_session *us)
{
	return us->away_at && us->mud &&
	       uv_now(us->setup->loop) < us->away_at + AWAY_RETRIES * us->setup->policy->retry_ms;
}

/* It was refused for so long that its user need not wait for it. It goes on asking. */
static bool out_of_reach(const struct user_session *us)
{
	return us->refused && uv_now(us->setup->loop) >= us->since + us->setup->policy->move_ms;
}

int user_session_room(struct user_session *us, size_t len, enum wire_segment segment)
{
	bool begins = segment == WIRE_SEGMENT_WHOLE || segment == WIRE_SEGMENT_BEGIN;

	if (us->refusal[0])
		return USER_SESSION_E_AWAY;
	if (us->held || (begins && us->long_messages))
		return USER_SESSION_E_WAIT;
	if (us->ended)
		return USER_SESSION_E_AWAY;
	if (begins && (is_away(us) || (us->mud && out_of_reach(us))))
		return USER_SESSION_E_AWAY;
	if (us->mud)
		return mud_session_takes(us->mud, len) ? 0 : USER_SESSION_E_WAIT;
	return uv_now(us->setup->loop) < us->again_at ? USER_SESSION_E_AWAY : 0;
}

const char *user_session_reason(const struct user_session *us)
{
	if (us->refusal[0])
		return us->refusal;
	return us->reason[0] ? us->reason : "the user has left";
}

void user_session_wait(struct user_session *us, struct user_hold *hold)
{
	list_remove(&hold->link);
	list_append(&us->holds, &hold->link);
	set_timer(us);
}

int user_session_request(struct user_session *us, const struct wire_data *d,
			 const struct user_waiter *waiter, uint64_t *number, struct err *err)
{
	int r = us->mud ? 0 : begin(us, err);

	if (r == 0)
		r = mud_session_request(us->mud, uv_now(us->setup->loop), d, number, err);
	set_timer(us);
	if (r > 0)
		return err_set(err, -EAGAIN, "request of %zu bytes", d->len);
	if (r == 0)
		us->waiting[*number % WIRE_WINDOW] = (struct waiting){ *number, *waiter };
	return r;
}

/* ---- from access point to access point ---- */

bool user_session_export(const struct user_session *us, struct mud_context *to)
{
	return us->mud && !us->ended && mud_session_export(us->mud, to);
}

struct each {
	const struct user_session *us;
	void (*fn)(void *ctx, const struct wire_data *d, uint16_t port, bool answered);
	void *ctx;
	size_t bytes;
};

static void on_each(void *ctx, const struct wire_data *d, bool answered)
{
	const struct each *e = ctx;
	const struct waiting *w = &e->us->waiting[d->number % WIRE_WINDOW];

	e->fn(e->ctx, d, w->number == d->number ? w->who.port : 0, answered);
}

void user_session_each(const struct user_session *us,
		       void (*fn)(void *ctx, const struct wire_data *d, uint16_t port,
				  bool answered),
		       void *ctx)
{
	struct each e = { .us = us, .fn = fn, .ctx = ctx };

	if (us->mud)
		mud_session_each(us->mud, on_each, &e);
}

static void add_bytes(void *ctx, const struct wire_data *d, bool answered)
{
	(void)answered;
	((struct each *)ctx)->bytes += d->len;
}

size_t user_session_bytes(const struct user_session *us)
{
	struct each e = { 0 };

	if (us->mud)
		mud_session_each(us->mud, add_bytes, &e);
	return e.bytes;
}

bool user_session_resuming(const struct user_session *us)
{
	struct mud_context c;

	return us->mud && mud_session_export(us->mud, &c) && !c.next;
}

/* Clients that still wait ask again. */
static void drop(struct user_session *us)
{
	ap_node_mud_gone(us->setup->node, uv_now(us->setup->loop), us->link);
	us->mud = mud_session_free(us->mud);
	memset(us->waiting, 0, sizeof(us->waiting));
	us->fresh = false;
	us->ended = false;
}

int user_session_import(struct user_session *us, const struct mud_context *from, struct err *err)
{
	int r;

	if (us->mud)
		drop(us);
	r = create(us, err);
	if (r == 0)
		r = mud_session_import(us->mud, from, err);
	if (r < 0)
		us->mud = mud_session_free(us->mud);
	us->associated = true;
	us->ended = false;
	us->fresh = r == 0;
	return r;
}

/* Without numbers they are asked for, from the edge server. Return: whether there is a session */
static bool import_own(struct user_session *us, bool numbers)
{
	struct mud_context c;

	if (!user_session_export(us, &c)) {
		user_session_end(us);
		return false;
	}
	if (!numbers)
		c.ack = c.next = 0;
	int r = user_session_import(us, &c, NULL);
	crypto_wipe(c.secret, sizeof(c.secret));
	return r == 0;
}

bool user_session_park(struct user_session *us)
{
	/* requests that are not here are known to the edge server */
	return import_own(us, !user_session_unanswered(us) && user_session_whole(us));
}

bool user_session_park_old(struct user_session *us)
{
	return import_own(us, false);
}

int user_session_import_request(struct user_session *us, const struct wire_data *d, bool answered,
				const struct user_waiter *waiter, struct err *err)
{
	int r = mud_session_import_request(us->mud, d, answered, err);

	if (r == 0 && !answered)
		us->waiting[d->number % WIRE_WINDOW] = (struct waiting){ d->number, *waiter };
	return r;
}

bool user_session_whole(const struct user_session *us)
{
	return !us->mud || mud_session_whole(us->mud);
}

void user_session_go_on(struct user_session *us)
{
	/* with requests missing its numbers would go wrong */
	if (us->mud && (us->ended || (us->fresh && !mud_session_whole(us->mud))))
		drop(us);
	if (!us->mud || !us->fresh)
		return;
	us->fresh = false;
	associate(us);
	set_timer(us);
}

void user_session_forget(struct user_session *us, uint64_t number)
{
	us->waiting[number % WIRE_WINDOW] = (struct waiting){ 0 };
}

void user_session_forget_waiter(struct user_session *us, const void *ctx)
{
	for (size_t i = 0; i < WIRE_WINDOW; i++) {
		if (us->waiting[i].number && us->waiting[i].who.ctx == ctx)
			us->waiting[i] = (struct waiting){ 0 };
	}
}

/* ---- answers ---- */

static void tell(struct user_session *us, const struct wire_data *answer)
{
	struct waiting *w = &us->waiting[answer->number % WIRE_WINDOW];
	struct user_waiter who = w->who;

	if (w->number != answer->number)
		return;
	*w = (struct waiting){ 0 };
	if (who.answered)
		who.answered(who.ctx, us, who.port, answer);
}

/* Whether requests were executed is not known, unless the session never came to be. */
static void tell_lost(struct user_session *us)
{
	struct wire_data d = { .status = us->associated ? WIRE_E_IN_DOUBT : WIRE_E_BUSY,
			       .bytes = (const uint8_t *)us->reason,
			       .len = strlen(us->reason) };

	us->mud = mud_session_free(us->mud);
	us->again_at = uv_now(us->setup->loop) + us->setup->policy->backoff_ms;
	for (size_t i = 0; i < WIRE_WINDOW; i++) {
		d.number = us->waiting[i].number;
		tell(us, &d);
	}
}

/* Notes why the session, which is to be associated, is not yet */
static void take_refusal(struct user_session *us, const struct wire_message *m)
{
	const char *reason = NULL;

	if (m->type == WIRE_REFUSAL && !m->refusal.number)
		reason = m->refusal.reason;
	else if (m->type == WIRE_ASSOCIATION_RESPONSE || m->type == WIRE_REASSOCIATION_RESPONSE)
		reason = m->association_response.reason;
	if (!reason || !*reason)
		return;
	if (m->type == WIRE_ASSOCIATION_RESPONSE &&
	    m->association_response.status == WIRE_E_UNKNOWN_SESSION) {
		us->since = uv_now(us->setup->loop); /* another begins */
		us->refused = false;
		return;
	}
	us->refused = true;
	(void)snprintf(us->reason, sizeof(us->reason), "%s", reason);
}

/* The node's state before and after a message. One that was associated, and is not any more, begins to wait. */
static void take_state(struct user_session *us, bool was_associated, const struct wire_message *m)
{
	bool is_associated = mud_session_state(us->mud) == MUD_ASSOCIATED;

	us->associated |= is_associated;
	if (was_associated && !is_associated)
		us->since = uv_now(us->setup->loop);
	if (is_associated || was_associated)
		us->refused = false;
	else
		take_refusal(us, m);
}

/* Nothing of it was executed, and no edge server takes it: those who wait hear so, the next request begins anew. */
static void give_up(struct user_session *us)
{
	log_debug("session of %s with %s does not begin: %s", us->user, us->service, us->reason);
	mud_session_end(us->mud, uv_now(us->setup->loop));
	us->refused = false;
	tell_lost(us);
}

void user_session_message(struct user_session *us, const struct wire_message *m)
{
	if (!us->mud)
		return;
	bool was_associated = mud_session_state(us->mud) == MUD_ASSOCIATED;
	us->news = (struct news){ 0 };
	mud_session_message(us->mud, uv_now(us->setup->loop), us->setup->ap, m);
	struct news news = us->news;
	take_state(us, was_associated, m);
	if (news.answer) {
		us->away_at = 0;
		tell(us, news.answer);
	}
	if (news.stream)
		us->setup->stream(us, news.stream);
	if (news.lost)
		tell_lost(us);
	else if (!us->associated && out_of_reach(us))
		give_up(us);
	resume(us);
	set_timer(us);
}

/* ---- queries ---- */

void *user_session_owner(const struct user_session *us)
{
	return us->owner;
}

size_t user_session_unanswered(const struct user_session *us)
{
	return us->mud ? mud_session_unanswered(us->mud) : 0;
}

uint64_t user_session_number(const struct user_session *us)
{
	return us->mud ? mud_session_number(us->mud) : 0;
}

const char *user_session_service(const struct user_session *us)
{
	return us->service;
}

uint64_t user_session_link(const struct user_session *us)
{
	return us->link;
}

const char *user_session_state(const struct user_session *us)
{
	static const char *const names[MUD_STATES] = {
		[MUD_IDLE] = "idle",
		[MUD_ASSOCIATING] = "associating",
		[MUD_REASSOCIATING] = "reassociating",
		[MUD_ASSOCIATED] = "associated",
		[MUD_LOST] = "lost",
	};

	if (us->refusal[0])
		return "refused";
	if (us->held)
		return "looked for";
	return us->mud ? names[mud_session_state(us->mud)] : "idle";
}
