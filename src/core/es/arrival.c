/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Arrival - the destination's side of a migration
 *
 *	offer, accepted --> ARRIVING --> STANDBY --ACTIVATE (es/commands.c)--> ACTIVE
 *	                       '-- failed or cancelled --> RETIRED, a trace that names the source (R7)
 *
 * An offer is the word of another edge server, which may lie. It replaces an older trace of the session only if it
 * knows the same secret (R11).
 */

#include "core/es/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/es/answer_cache.h"

#define GIVEN_UP_SHARE 8 /* of all sessions, for one peer */

/*
 * A session that has had authority here is not removed for a node that does not know its secret. A session
 * without authority so far may be the lie of an edge server that never had it. Then its numbers mean nothing
 * (R11), unless an access point has proven that it knows the same secret.
 */
static const char *older(const struct es_session *s, const struct wire_message *m)
{
	if (!proof_equal(m->offer.secret, s->record.secret))
		return es_session_weightless(s) && !s->vouched
			       ? NULL
			       : "the session that was here has another secret";
	if (m->association < s->record.association)
		return "the user moved on since";
	if ((s->record.state == WIRE_ES_RETIRED || s->record.state == WIRE_ES_LOST) &&
	    s->record.epoch > m->epoch)
		return "this edge server knows a later epoch";
	return NULL;
}

/*
 * Whether an older trace of the session stands in the way; the function removes it if it may. A fenced
 * container is removed only for the offer of the edge server that it was handed to. All others that have had
 * the session know its secret as well; for their offers it stays until its access point retires it (R3).
 */
static const char *clear_the_way(struct es_session *s, const char *from,
				 const struct wire_message *m)
{
	const char *reason = older(s, m);

	if (s->removing)
		return "the older container of this session is still being removed";
	if (reason)
		return reason;
	switch (s->record.state) {
	case WIRE_ES_RETIRED:
		return NULL;
	case WIRE_ES_LOST:
		if (s->gone)
			return NULL;
		/* fall through */
	case WIRE_ES_FENCED:
		/* the offer comes from the edge server with authority: the order to retire was lost */
		if (s->record.epoch >= m->epoch)
			return "this edge server knows a later epoch";
		if (!name_equal(from, s->record.peer))
			return "the container that was here waits for its access point's word to "
			       "retire";
		es_session_drop_container(s);
		s->holding = false;
		es_session_move(s, WIRE_ES_RETIRED);
		(void)es_session_persist(s, ES_PERSIST_ALL);
		return "the older container of this session is still being removed";
	case WIRE_ES_ARRIVING:
		es_session_cancel(s, "a newer offer came");
		return "an older arrival of this session is still being undone";
	case WIRE_ES_STANDBY:
		es_session_drop_container(s);
		es_session_give_up(s);
		return "an older copy of this session is still being removed";
	case WIRE_ES_ACTIVE:
	case WIRE_ES_CREATING:
		return "the session is active here";
	case WIRE_ES_NONE:
		break;
	}
	return "an older copy of this session is still being removed";
}

/**
 * forget_given_up() - Limit the failed arrivals of one peer to its share of the sessions
 *
 * Each stays known, for somebody may look for the session here (R7). When the peer has had more of them than
 * its share, the one that has been silent for the longest time is forgotten: sessions of others are not affected.
 *
 * Return: false if the peer has its share and none of them can go yet: their containers are being removed
 */
static bool forget_given_up(struct es_node *node, const char *peer)
{
	struct es_session *oldest = NULL;
	size_t count = 0;

	list_for_each_safe(at, next, &node->sessions)
	{
		struct es_session *s = list_entry(at, struct es_session, link);

		if (s->record.state != WIRE_ES_RETIRED || !es_session_weightless(s) ||
		    !name_equal(s->record.peer, peer))
			continue;
		count++;
		if (!s->removing && (!oldest || s->heard < oldest->heard))
			oldest = s;
	}
	if (!count || count < node->policy.sessions_max / GIVEN_UP_SHARE)
		return true;
	if (!oldest)
		return false;
	es_session_say(oldest, "FORGOTTEN", 0, "%s has %zu arrivals here that came to nothing",
		       peer, count);
	es_session_forget(oldest);
	es_session_move(oldest, WIRE_ES_NONE);
	es_session_free(oldest);
	return true;
}

/* Why the session of an offer cannot come; @old is its trace here, or NULL. Return: NULL if it can */
static const char *obstacle(struct es_node *node, const char *from, const struct wire_message *m,
			    struct es_session *old)
{
	const struct wire_offer *w = &m->offer;
	const char *reason;

	if (name_equal(from, node->name))
		return "nobody waits for this recovery any more";
	if (!node->ops->service_known(node->ctx, w->service))
		return "the service is not in the catalogue of the destination";
	if (node->full[0])
		return node->full;
	reason = old ? clear_the_way(old, from, m) : es_node_withheld(node, m->session);
	if (reason)
		return reason;
	if (!old && !forget_given_up(node, from))
		return "too many arrivals from that edge server are still being undone";
	if (!old && !es_node_share_left(node, w->mud, w->ap))
		return node->refusal;
	return NULL;
}

/* Return: whether it is written down */
static bool begin_arrival(struct es_session *s, const struct es_session *old, const char *from,
			  const struct wire_message *m)
{
	const struct wire_offer *w = &m->offer;

	s->record.association = m->association;
	s->record.epoch = m->epoch + 1;
	s->record.container_epoch = m->epoch + 1;
	memcpy(s->record.mud, w->mud, NAME_SIZE);
	memcpy(s->record.service, w->service, NAME_SIZE);
	memcpy(s->record.ap, w->ap, NAME_SIZE);
	(void)name_set(s->record.peer, from, NULL);
	memcpy(s->record.secret, w->secret, WIRE_SECRET_SIZE);
	s->vouched = old && (old->vouched || !es_session_weightless(old)) &&
		     proof_equal(old->record.secret, w->secret);
	es_session_move(s, WIRE_ES_ARRIVING);
	/* its source must be known after a crash, too */
	return es_session_persist(s, ES_PERSIST_ALL);
}

bool es_node_offered(struct es_node *node, uint64_t now, const char *from,
		     const struct wire_message *m, const char **reason)
{
	struct es_session *old = es_session_find(node, m->session);
	struct es_session *s;

	node->now = now;
	*reason = NULL;
	if (m->session == 0 || !name_equal(from, m->offer.from_es))
		*reason = "the offer does not come from the edge server it names";
	else if (m->epoch == 0 || m->epoch == UINT32_MAX)
		*reason = "the offer has an epoch that no session comes to";
	if (*reason)
		return false;
	if (old && es_session_expects(old, from, m)) {
		old->protect.offered = true;
		return true;
	}
	*reason = obstacle(node, from, m, old);
	if (*reason)
		return false;
	/* The record of the older session stays until the newer one is written down. */
	node->count -= old != NULL;
	s = es_session_new(node, m->session, now);
	node->count += old != NULL;
	if (!s) {
		*reason = "limit of sessions reached at the destination, or no memory";
		return false;
	}
	if (!begin_arrival(s, old, from, m)) {
		es_session_free(s);
		*reason = "the destination cannot write down that the session comes";
		return false;
	}
	if (old) {
		es_session_unprotect(old);
		es_session_free(old);
	}
	return true;
}

static int stand_by(struct es_session *s, uint64_t now, const struct wire_cut *cut, struct err *err)
{
	int r;

	AUTO(answer_cache) struct answer_cache *cache = NULL;
	r = answer_cache_decode(&cache, cut->cache, cut->cache_len, err);
	if (r < 0)
		return err_wrap(err, r, "cut of session %016llx",
				(unsigned long long)s->record.session);
	if (answer_cache_highest(cache) > cut->number)
		return err_set(err, -EPROTO, "cut of session %016llx: an answer from after it",
			       (unsigned long long)s->record.session);
	answer_cache_free(s->cache);
	s->cache = TAKE_PTR(cache);
	s->record.executed = cut->number;
	s->cut = cut->number;
	s->cut_association = s->record.association;
	s->heard = now;
	es_session_move(s, WIRE_ES_STANDBY);
	es_session_say(s, "READY", cut->number, "epoch=%u from=%s", s->record.epoch,
		       s->record.peer);
	es_session_notify(s, WIRE_READY);
	return 0;
}

int es_node_arrived(struct es_node *node, uint64_t now, uint64_t session,
		    const struct wire_cut *cut, struct err *err)
{
	struct es_session *s = es_session_find(node, session);
	int r = 0;

	node->now = now;
	if (s && s->protect.offered) {
		es_session_restored(s, now, cut->number);
		return 0;
	}
	if (!s || s->record.state != WIRE_ES_ARRIVING)
		return 0;
	if (!s->cancelled)
		r = stand_by(s, now, cut, err);
	if (s->record.state == WIRE_ES_ARRIVING) {
		es_session_drop_container(s);
		es_session_give_up(s);
	}
	return r;
}

uint32_t es_node_arriving_epoch(const struct es_node *node, uint64_t session)
{
	const struct es_session *s = es_session_find(node, session);

	if (s && s->protect.offered)
		return s->protect.epoch;
	return s && s->record.state == WIRE_ES_ARRIVING ? s->record.container_epoch : 0;
}

void es_node_arrival_failed(struct es_node *node, uint64_t now, uint64_t session,
			    const char *reason)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (s && s->protect.offered) {
		es_session_not_recovered(s, now, false, reason);
		return;
	}
	if (!s || s->record.state != WIRE_ES_ARRIVING)
		return;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
	es_session_say(s, "ARRIVAL FAILED", 0, "%s", reason);
	es_session_give_up(s);
	es_session_notify(s, WIRE_FAILED);
}
