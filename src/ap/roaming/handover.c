/* SPDX-License-Identifier: Apache-2.0 */

/*
 * User handover - the sessions of an ordinary user follow it from access point to access point
 *
 * An ordinary client proves nothing and tells nobody that it moved. The access point where it turns up
 * claims it. The access point that has it gives the device's half of its sessions, secrets included, and
 * ends its connections. All of this goes over links whose other end is an access point by its
 * certificate: its word that the user is there takes the place of the user's proof (R11). From then on
 * the new access point plays the device, and its reassociation makes the containers follow.
 *
 *	AP-y: CLAIMING --------------- USER CLAIM (silent for n ms) ----------> AP-x: HERE
 *	clients challenged   <-------- USER CONNECTION ... --------------------
 *	      sessions held  <-------- USER CONTEXT, USER REQUEST ... ---------       connections reset
 *	                     <-------- USER END ------------------------------- LEFT  (a copy is kept)
 *	      HERE, and written down - USER TAKEN ----------------------------> forgotten
 *
 * The access point that heard the user last has it: a claim for a user that was heard here later is
 * refused. The claimant lets the user go, and is asked in turn for sessions that it may have. Lost messages
 * are asked for again: the copy is kept until USER TAKEN. If the user comes back before, it is claimed back.
 * If nobody has it, the copy is used.
 */

#include <inttypes.h>
#include <string.h>

#include "ap/roaming/handover.h"

#include "ap/roaming/away.h"
#include "ap/roaming/claims.h"
#include "ap/roaming/half_open.h"
#include "ap/roaming/histories.h"
#include "ap/roaming/receipt.h"
#include "ap/roaming/removal.h"
#include "ap/roaming/stations.h"
#include "ap/users/table.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "core/mud/session.h"
#include "net/crypto.h"
#include "report/log_reporter.h"

#define BYTES_MAX (4u << 20) /* of requests sent at once: less than a link's queue holds */

static uint64_t now_of(const struct users *u)
{
	return uv_now(u->session.loop);
}

static uint64_t silent_ms(const struct user *user)
{
	return now_of(user->users) - user->heard;
}

static void send_to(struct users *u, const char *ap, const struct wire_message *m)
{
	u->ops->to_ap(u->ctx, ap, m);
}

void user_handover_keep(struct user *user)
{
	user->giving = false;
	users_hold(user, false);
}

/* ---- giving away ---- */

static void answer_end(struct users *u, const char *ap, const struct wire_user_claim *claim,
		       enum wire_status status, uint32_t sessions)
{
	struct wire_message m = {
		.type = WIRE_USER_END,
		.user_end = { .claim = claim->claim, .status = status, .sessions = sessions },
	};

	memcpy(m.user_end.user, claim->user, NAME_SIZE);
	send_to(u, ap, &m);
}

/* struct giving - Receiver of a session's requests */
struct giving {
	struct users *users;
	const char *ap;
	const struct wire_user_claim *claim;
	uint64_t session;
};

static void give_request(void *ctx, const struct wire_data *d, uint16_t port, bool answered)
{
	const struct giving *g = ctx;
	struct wire_message m = {
		.type = WIRE_USER_REQUEST,
		.session = g->session,
		.user_request = { .claim = g->claim->claim,
				  .number = d->number,
				  .connection = d->connection,
				  .preamble = d->preamble,
				  .segment = d->segment,
				  .port = port,
				  .answered = answered,
				  .bytes = d->bytes,
				  .len = d->len },
	};

	memcpy(m.user_request.user, g->claim->user, NAME_SIZE);
	send_to(g->users, g->ap, &m);
}

/* Return: whether there was something to give */
static bool give_session(struct giving *g, struct user_session *us)
{
	struct mud_context c;

	if (!user_session_export(us, &c))
		return false;
	struct wire_message m = {
		.type = WIRE_USER_CONTEXT,
		.session = c.session,
		.association = c.association,
		.epoch = c.epoch,
		.user_context = { .claim = g->claim->claim,
				  .edges = c.edges,
				  .ack = c.ack,
				  .next = c.next },
	};
	memcpy(m.user_context.user, g->claim->user, NAME_SIZE);
	(void)snprintf(m.user_context.service, NAME_SIZE, "%s", user_session_service(us));
	memcpy(m.user_context.secret, c.secret, WIRE_SECRET_SIZE);
	g->session = c.session;
	send_to(g->users, g->ap, &m);
	crypto_wipe(m.user_context.secret, WIRE_SECRET_SIZE);
	crypto_wipe(c.secret, WIRE_SECRET_SIZE);
	user_session_each(us, give_request, g);
	return true;
}

static size_t bytes_to_give(const struct user *user)
{
	size_t n = 0;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions) n +=
		user_session_bytes(list_entry(at, struct user_entry, of_user)->session);
	return n;
}

static bool resuming(const struct user *user)
{
	bool any = false;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions) any |=
		user_session_resuming(list_entry(at, struct user_entry, of_user)->session);
	return any;
}

static void give(struct user *user, const char *ap, const struct wire_user_claim *claim)
{
	struct users *u = user->users;
	struct giving g = { .users = u, .ap = ap, .claim = claim };
	uint32_t sessions = 0;

	/* with codec tcp the last requests here tell the service that connections end */
	user_half_open_leave(user);
	user_half_open_give(user, ap, claim);
	users_hold(user, true);
	if (bytes_to_give(user) > BYTES_MAX || (user->state == USER_HERE && resuming(user))) {
		user->giving = user->state == USER_HERE;
		answer_end(u, ap, claim, WIRE_E_BUSY, 0); /* answers come in, less is left */
		return;
	}
	list_for_each_safe(at, next, &user->sessions)
	{
		struct user_session *us = list_entry(at, struct user_entry, of_user)->session;

		/* one that no edge server has confirmed yet begins anew elsewhere */
		if (give_session(&g, us))
			sessions++;
		else
			user_session_end(us);
	}
	answer_end(u, ap, claim, WIRE_OK, sessions);
	if (user->state == USER_HERE)
		log_info("%s is at %s now", user->name, ap);
	log_reporter_event(u->session.reporter, "USER HANDED OVER", 0, 0, "mud=%s to=%s",
			   user->name, ap);
	if (u->stations && user->state == USER_HERE)
		user_stations_moved(u->stations, user);
	list_remove(&user->claiming);
	user_receipt_cancel(user, ap);
	user->state = USER_LEFT;
	user->giving = false;
	user->given = claim->claim;
	user->since = now_of(u);
	memcpy(user->peer, ap, strnlen(ap, NAME_SIZE - 1) + 1);
}

/* The user that is claimed, in memory or of a file, or NULL. Return: 0, or negative if that cannot be said now */
static int claimed(struct users *u, struct user **ret, const struct wire_user_claim *claim)
{
	static const uint8_t not_known[WIRE_STATION_SIZE];
	bool known = memcmp(claim->station, not_known, WIRE_STATION_SIZE) != 0;
	struct err err;
	int r = users_asked_for(u, ret, claim->user, known ? claim->station : NULL, &err);

	if (r < 0)
		log_debug("claim of %s: %s", claim->user, err.text);
	return r;
}

static void on_claim(struct users *u, const char *ap, const struct wire_user_claim *claim)
{
	struct user *user = NULL;
	int r = claimed(u, &user, claim);

	if (r < 0 || !user) {
		answer_end(u, ap, claim, r < 0 ? WIRE_E_BUSY : WIRE_E_UNKNOWN_SESSION, 0);
		return;
	}
	uint64_t silent = silent_ms(user);
	bool later_here = silent < claim->silent_ms ||
			  (silent == claim->silent_ms && user->state == USER_CLAIMING &&
			   strcmp(u->ap, ap) < 0);
	switch (user->state) {
	case USER_HERE:
		if (!later_here) {
			give(user, ap, claim);
			break;
		}
		answer_end(u, ap, claim, WIRE_E_NOT_ALLOWED, 0);
		user_claim_also(user, ap);
		break;
	case USER_CLAIMING:
		/* the context we asked for must arrive before it can move on, unless we wait for it in vain */
		if (later_here || !user->refusal[0])
			answer_end(u, ap, claim, later_here ? WIRE_E_NOT_ALLOWED : WIRE_E_BUSY, 0);
		else if (user_claim_yield(user))
			give(user, ap, claim);
		else
			answer_end(u, ap, claim, WIRE_E_UNKNOWN_SESSION, 0);
		break;
	case USER_LEFT:
		/* the access point it went to decides, as long as its message may be on the way */
		if (user->peer[0] && !name_equal(user->peer, ap) &&
		    now_of(u) < user->since + 2 * u->policy.move_ms) {
			answer_end(u, ap, claim, WIRE_E_BUSY, 0);
			break;
		}
		/* another claim: the sessions may have gone on where they went, so these numbers are old */
		if (user->peer[0] && user->given != claim->claim)
			users_park_old(user);
		give(user, ap, claim);
		break;
	case USER_UNREAD:
		break; /* claimed() does not find it */
	}
}

static void on_taken(struct users *u, const char *ap, const struct wire_user_claim *claim)
{
	struct user *user = NULL;

	if (claimed(u, &user, claim) == 0 && user && user->state == USER_LEFT &&
	    name_equal(user->peer, ap) && (!user->given || user->given == claim->claim))
		users_forget(user);
}

/* ---- taking ---- */

/* Whether a message of @ap answers the user's present claim. Return: the user, or NULL */
static struct user *claiming(struct users *u, const char *name, uint64_t claim, const char *ap)
{
	struct user *user = users_find(u, name);

	if (!user || list_empty(&user->claiming) || user->claim != claim)
		return NULL;
	return user->peer[0] && !name_equal(user->peer, ap) ? NULL : user;
}

/* The context is invalid. The next claim gets it again from its beginning. */
static void spoilt(struct user *user, const char *ap, const struct err *err)
{
	if (user->spoilt !=
	    user->claim) /* once a claim: the other side chooses how often it comes */
		log_error("%s: context from %s: %s", user->name, ap, err->text);
	user->spoilt = user->claim;
	user->importing = NULL;
	user->imported = 0;
}

static int import(struct user *user, const struct mud_context *c, const char *service,
		  struct err *err)
{
	struct user_entry *e = NULL;
	int r = users_import_room(user, service, err);

	if (r == 0)
		r = users_session(user, &e, service, err);
	if (r == 0 && e)
		r = user_session_import(e->session, c, err);
	if (r == 0 && e)
		user->importing = e->session;
	return r;
}

static void on_connection(struct users *u, const char *ap, const struct wire_user_connection *w)
{
	struct user *user = claiming(u, w->user, w->claim, ap);

	if (!user)
		return;
	user_half_open_take(user, w);
	user_half_open_end(user);
}

static void on_context(struct users *u, const char *ap, const struct wire_message *m)
{
	const struct wire_user_context *w = &m->user_context;
	struct user *user = claiming(u, w->user, w->claim, ap);
	struct mud_context c = { .session = m->session,
				 .association = m->association,
				 .epoch = m->epoch,
				 .edges = w->edges,
				 .ack = w->ack,
				 .next = w->next };
	struct err err;
	int r = 0;

	if (!user)
		return;
	(void)snprintf(user->peer, sizeof(user->peer), "%s", ap);
	memcpy(c.ap, user->peer, NAME_SIZE);
	memcpy(c.secret, w->secret, WIRE_SECRET_SIZE);
	user->importing = NULL;
	if (user_history_goes_on(user, w->service, &c)) {
		user_claim_back(user, ap);
		r = import(user, &c, w->service, &err);
	}
	crypto_wipe(c.secret, WIRE_SECRET_SIZE);
	if (r < 0)
		spoilt(user, ap, &err);
	else
		user->imported++;
}

static void on_request(struct users *u, const char *ap, const struct wire_message *m)
{
	const struct wire_user_request *w = &m->user_request;
	struct user *user = claiming(u, w->user, w->claim, ap);
	const struct wire_data d = { .number = w->number,
				     .connection = w->connection,
				     .preamble = w->preamble,
				     .segment = w->segment,
				     .bytes = w->bytes,
				     .len = w->len };
	struct user_waiter waiter = { 0 };
	struct err err;

	if (!user || !user->importing || user_session_number(user->importing) != m->session)
		return;
	const struct users_offer *offer = users_offered(u, user_session_service(user->importing));
	if (w->port && offer) {
		waiter = offer->waiter;
		waiter.port = (uint16_t)w->port;
	}
	if (user_session_import_request(user->importing, &d, w->answered, &waiter, &err) < 0)
		spoilt(user, ap, &err);
}

static bool all_whole(const struct user *user)
{
	bool whole = true;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions) whole &=
		user_session_whole(list_entry(at, struct user_entry, of_user)->session);
	return whole;
}

static void take(struct user *user, const char *ap, const struct wire_user_end *w)
{
	struct users *u = user->users;

	if (user->imported != w->sessions || !all_whole(user)) {
		const struct err err = { .text = "not all of it came" };

		spoilt(user, ap, &err);
		return;
	}
	if (user->state == USER_CLAIMING) {
		log_info("%s came from %s with %u sessions", user->name, ap, w->sessions);
		log_reporter_event(u->session.reporter, "USER TAKEN", 0, 0,
				   "mud=%s from=%s sessions=%u", user->name, ap, w->sessions);
	}
	user->imported = 0;
	user_claim_answered(user, ap);
	if (user->state == USER_CLAIMING)
		user_claim_settle(user);
	user_receipt_owe(user, ap, w->claim);
}

static void on_end(struct users *u, const char *ap, const struct wire_user_end *w)
{
	struct user *user = claiming(u, w->user, w->claim, ap);

	if (!user)
		return;
	user_half_open_told(user);
	switch (w->status) {
	case WIRE_OK:
		take(user, ap, w);
		break;
	case WIRE_E_UNKNOWN_SESSION:
		user_claim_answered(user, ap);
		break;
	case WIRE_E_NOT_ALLOWED:
		log_info("%s is at %s, not here", user->name, ap);
		(void)user_claim_yield(user);
		break;
	default:
		break; /* not now: asked again */
	}
}

void user_handover_message(struct users *u, const char *ap, const struct wire_message *m)
{
	switch (m->type) {
	case WIRE_USER_CLAIM:
		on_claim(u, ap, &m->user_claim);
		break;
	case WIRE_USER_TAKEN:
		on_taken(u, ap, &m->user_claim);
		break;
	case WIRE_USER_CONNECTION:
		on_connection(u, ap, &m->user_connection);
		break;
	case WIRE_USER_CONTEXT:
		on_context(u, ap, m);
		break;
	case WIRE_USER_REQUEST:
		on_request(u, ap, m);
		break;
	case WIRE_USER_END:
		on_end(u, ap, &m->user_end);
		break;
	default:
		break; /* nothing else is for users */
	}
}
