/* SPDX-License-Identifier: Apache-2.0 */
#include "core/es/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/es/answer_cache.h"
#include "core/common/replay_buffer.h"
#include "core/es/session.h"

#define GIVEN_UP_SHARE 8 /* of all sessions, for one peer */

int es_node_new(struct es_node **ret, const char *name, const struct policy *policy, proof_fn proof,
		const struct es_node_ops *ops, void *ctx, struct err *err)
{
	int r;

	AUTO(es_node) struct es_node *node = calloc(1, sizeof(*node));
	if (!node)
		return err_set(err, -ENOMEM, "create edge server");
	list_init(&node->sessions);
	list_init(&node->withheld);
	for (size_t i = 0; i < ES_BUCKETS; i++)
		list_init(&node->bucket[i]);
	r = name_set(node->name, name, err);
	if (r < 0)
		return err_wrap(err, r, "create edge server");
	node->policy = *policy;
	node->proof = proof;
	node->ops = ops;
	node->ctx = ctx;
	*ret = TAKE_PTR(node);
	return 0;
}

void es_node_drain(struct es_node *node, bool drained)
{
	node->drained = drained;
}

void es_node_full(struct es_node *node, const char *reason)
{
	(void)snprintf(node->full, sizeof(node->full), "%s", reason ? reason : "");
}

bool es_node_drained(const struct es_node *node)
{
	return node->drained;
}

void es_node_tell(const struct es_node *node, const char *ap)
{
	const struct wire_message m = {
		.type = WIRE_EDGE_STATE,
		.edge_state = { .drained = node->drained },
	};

	node->ops->to_ap(node->ctx, ap, &m);
}

void es_node_stop(struct es_node *node)
{
	node->stopping = true;
}

bool es_node_busy(const struct es_node *node)
{
	list_for_each_safe(at, next, &node->sessions)
	{
		const struct es_session *s = list_entry(at, struct es_session, link);

		if (s->record.started && s->record.state != WIRE_ES_LOST && !s->starting)
			return true;
	}
	return false;
}

void es_node_set_policy(struct es_node *node, const struct policy *policy)
{
	node->policy = *policy;
}

struct es_node *es_node_free(struct es_node *node)
{
	if (node) {
		list_for_each_safe(at, next, &node->sessions)
			es_session_free(list_entry(at, struct es_session, link));
		es_withheld_free(node);
		free(node);
	}
	return NULL;
}

/* --- shares ------------------------------------------------------------------------------------ */

/* An arrival or a replica, or the trace of one: authority has never been here. */
static bool weightless(const struct es_session *s)
{
	const struct es_record *r = &s->record;

	return r->state == WIRE_ES_ARRIVING || r->state == WIRE_ES_STANDBY ||
	       (r->state == WIRE_ES_RETIRED && r->container_epoch > r->epoch);
}

/**
 * share_left() - Whether a device and an access point may have one more session here (R9)
 *
 * Arrivals and copies do not count: their names are the word of an edge server that may lie.
 *
 * Return: true, or false with the reason in @node->refusal
 */
static bool share_left(struct es_node *node, const char *mud, const char *ap)
{
	uint32_t device_share = policy_device_share(&node->policy);
	uint32_t ap_share = policy_ap_share(&node->policy);
	uint32_t of_device = 0;
	uint32_t of_ap = 0;

	list_for_each_safe(at, next, &node->sessions)
	{
		const struct es_session *s = list_entry(at, struct es_session, link);

		if (weightless(s))
			continue;
		of_device += name_equal(s->record.mud, mud);
		of_ap += name_equal(s->record.ap, ap);
	}
	if (of_device < device_share && of_ap < ap_share)
		return true;
	(void)snprintf(
		node->refusal, sizeof(node->refusal),
		"%s has %u sessions at %s, its share of sessions_max (%u): end some, or raise "
		"sessions_max",
		of_device < device_share ? ap : mud, of_device < device_share ? of_ap : of_device,
		node->name, node->policy.sessions_max);
	return false;
}

/* --- sessions that are not here ---------------------------------------------------------------- */

/* A session unknown here is surely not active here: NONE is an answer others may rely on (R4). */
static void send_absent(struct es_node *node, const char *ap, const struct wire_message *asked,
			enum wire_type type, enum wire_status status, const char *reason)
{
	struct wire_message m = {
		.type = type,
		.session = asked->session,
		.association = asked->association,
		.es_status = { .state = WIRE_ES_NONE, .status = status },
	};

	(void)snprintf(m.es_status.reason, sizeof(m.es_status.reason), "%s", reason);
	node->ops->to_ap(node->ctx, ap, &m);
}

static void on_create_new(struct es_node *node, uint64_t now, const char *ap,
			  const struct wire_message *m)
{
	const struct wire_create *w = &m->create;

	if (!node->ops->service_known(node->ctx, w->service)) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason),
			       "service \"%s\" is not in the catalogue of %s", w->service,
			       node->name);
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_UNKNOWN_SERVICE, reason);
		return;
	}
	if (node->full[0]) {
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY, node->full);
		return;
	}
	if (!share_left(node, w->mud, ap)) {
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY, node->refusal);
		return;
	}
	struct es_session *s = es_session_new(node, m->session, now);
	if (!s) {
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY,
			    "limit of sessions reached at this edge server");
		return;
	}
	s->record.association = m->association;
	s->record.epoch = 1;
	s->record.container_epoch = 1;
	memcpy(s->record.mud, w->mud, NAME_SIZE);
	memcpy(s->record.service, w->service, NAME_SIZE);
	(void)name_set(s->record.ap, ap, NULL);
	(void)name_set(s->record.creator, ap, NULL);
	memcpy(s->record.secret, w->secret, WIRE_SECRET_SIZE);
	es_session_move(s, WIRE_ES_CREATING);
	/* after a crash the container would be nobody's */
	if (!es_session_persist(s, ES_PERSIST_ALL)) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s cannot write: %.200s", node->name,
			       s->why_unwritten);
		es_session_move(s, WIRE_ES_NONE);
		es_session_free(s);
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY, reason);
		return;
	}
	node->ops->create_container(node->ctx, m->session, 1, w->service);
}

/*
 * A repeated CREATE: the access point lost its memory or our answer. The secret goes again only to the
 * access point that made the session, for the same device and while that is still there (R11).
 */
static void on_create_again(struct es_session *s, uint64_t now, const char *ap,
			    const struct wire_message *m)
{
	bool same = name_equal(s->record.mud, m->create.mud) && name_equal(s->record.creator, ap) &&
		    name_equal(s->record.ap, ap) && s->record.association == m->association;

	if (!same) {
		send_absent(s->node, ap, m, WIRE_REFUSED, WIRE_E_NOT_ALLOWED,
			    "a session with this number exists");
		return;
	}
	s->heard = now;
	es_session_send(s, ap, s->record.state == WIRE_ES_ACTIVE ? WIRE_CREATED : WIRE_STATUS);
}

static void on_absent(struct es_node *node, uint64_t now, const char *ap,
		      const struct wire_message *m)
{
	switch (m->type) {
	case WIRE_CREATE:
		on_create_new(node, now, ap, m);
		break;
	case WIRE_ABORT:
		send_absent(node, ap, m, WIRE_ABORTED, WIRE_OK, "");
		break;
	case WIRE_RETIRE:
		send_absent(node, ap, m, WIRE_RETIRED, WIRE_OK, "");
		break;
	default:
		send_absent(node, ap, m, WIRE_STATUS, WIRE_OK, "");
	}
}

void es_node_message(struct es_node *node, uint64_t now, const char *ap,
		     const struct wire_message *m)
{
	struct es_session *s = es_session_find(node, m->session);

	node->now = now;
	if (m->session == 0)
		return;
	if (!s && es_withheld_message(node, ap, m))
		return;
	if (!s)
		on_absent(node, now, ap, m);
	else if (m->type == WIRE_CREATE)
		on_create_again(s, now, ap, m);
	else
		es_session_message(s, now, ap, m);
}

/* --- containers -------------------------------------------------------------------------------- */

/** in_use() - Whether a session has the container of an epoch */
static bool in_use(const struct es_session *s, uint32_t epoch)
{
	return s && s->record.container_epoch == epoch && es_session_has_container(s);
}

void es_node_created(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     const char *reason)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || s->record.state != WIRE_ES_CREATING || s->record.container_epoch != epoch) {
		/* its session ended meanwhile, and its removal may have come before it was there (R10) */
		if (!reason && !in_use(s, epoch))
			node->ops->remove_container(node->ctx, session, epoch);
		return;
	}
	s->heard = now;
	if (!reason) {
		es_session_move(s, WIRE_ES_ACTIVE);
		(void)es_session_persist(s, ES_PERSIST_ALL);
		es_session_say(s, "CONTAINER CREATED", 0, "service=%s", s->record.service);
		es_session_notify(s, WIRE_CREATED);
		return;
	}
	struct wire_message asked = { .session = session, .association = s->record.association };
	send_absent(node, s->record.ap, &asked, WIRE_FAILED, WIRE_E_FAILED, reason);
	es_session_say(s, "CONTAINER FAILED", 0, "%s", reason);
	/* it may be there all the same: the engine's answer got lost (R10) */
	es_session_move(s, WIRE_ES_NONE);
	(void)es_session_persist(s, ES_PERSIST_ALL);
	es_session_drop_container(s);
}

void es_node_removed(struct es_node *node, uint64_t session, uint32_t epoch)
{
	struct es_session *s = es_session_find(node, session);

	if (!s || !s->removing || s->removing_epoch != epoch)
		return;
	s->removing = false;
	s->remove_at = 0;
	s->remove_failures = 0;
	if (s->record.state == WIRE_ES_NONE) {
		es_session_forget(s);
		es_session_free(s);
	}
}

void es_node_not_removed(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
			 const char *reason)
{
	struct es_session *s = es_session_find(node, session);
	uint64_t pause = node->policy.backoff_ms;

	node->now = now;
	if (!s || !s->removing || s->removing_epoch != epoch)
		return;
	if (!s->remove_failures)
		es_session_say(s, "CONTAINER NOT REMOVED", s->record.executed, "%s", reason);
	for (uint32_t i = 0; i < s->remove_failures && pause < node->policy.backoff_max_ms; i++)
		pause *= 2;
	if (pause > node->policy.backoff_max_ms)
		pause = node->policy.backoff_max_ms;
	s->remove_failures++;
	s->remove_at = now + pause;
}

/* --- a migration away from here ---------------------------------------------------------------- */

void es_node_cut_wanted(struct es_node *node, uint64_t now, uint64_t session)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || s->cancelled || (s->migration != WIRE_MIGRATION_PREPARING && !s->protect.running))
		return; /* it was cancelled: source_finished is on its way */
	s->held = true;
	s->held_since = now;
	es_session_pump(s, now);
}

/*
 * A cut that failed may have left the container frozen, even if the program that froze it died meanwhile
 * (R17). Authority is here, so the container has to run.
 */
static void keep_running(struct es_session *s)
{
	const struct es_node *node = s->node;

	if (s->record.state == WIRE_ES_ACTIVE)
		node->ops->resume_container(node->ctx, s->record.session,
					    s->record.container_epoch);
}

void es_node_frozen(struct es_node *node, uint64_t session, uint64_t freeze_us)
{
	struct es_session *s = es_session_find(node, session);

	if (s && s->cutting)
		s->freeze_us = freeze_us;
}

/* From a cut on there may be a replica, to which authority may go: that is known after a crash, too (R4). */
static bool handed(struct es_session *s)
{
	s->record.handed = true;
	if (s->hold || es_session_persist(s, ES_PERSIST_HANDED))
		return true; /* es_session_hold() writes the whole record */
	es_session_cancel(s, "it cannot be written down that a replica comes about");
	return false;
}

void es_node_cut_taken(struct es_node *node, uint64_t now, uint64_t session, bool taken)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || !s->cutting)
		return;
	s->cutting = false;
	s->held = false;
	if (taken && s->protect.running)
		es_session_protect_taken(s); /* if it was cancelled too late, it is kept */
	if (taken && !s->cancelled && s->protect.running) {
		;
	} else if (taken && !s->cancelled && handed(s)) {
		s->cut = s->record.executed;
		s->cut_association = s->record.association;
		s->migration = WIRE_MIGRATION_SENDING;
		if (s->hold)
			es_session_hold(s);
		es_session_notify(s, WIRE_CUT);
	} else {
		keep_running(s);
	}
	es_session_pump(s, now);
}

/* The destination that had to wait for another migration to end. Return: whether there is one */
static bool move_now(struct es_session *s)
{
	char to[NAME_SIZE];

	if (!s->then_to[0] || s->record.state != WIRE_ES_ACTIVE)
		return false;
	memcpy(to, s->then_to, NAME_SIZE);
	es_session_migrate(s, to, s->then_hold);
	return true;
}

void es_node_not_kept(struct es_node *node, uint64_t now, uint64_t session)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || !s->protect.running)
		return;
	es_session_protect_busy(s, now);
	(void)move_now(s);
}

void es_node_source_finished(struct es_node *node, uint64_t now, uint64_t session,
			     const char *reason, bool lasting)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || (s->migration == WIRE_MIGRATION_NONE && !s->protect.running))
		return;
	bool cancelled = s->cancelled;
	bool kept = s->protect.running;
	if (kept)
		es_session_protect_ended(s, now, reason);
	s->migration = WIRE_MIGRATION_NONE;
	s->cancelled = false;
	s->cutting = false;
	s->held = false;
	s->lasting = reason && lasting && !kept;
	if (reason && kept) {
		keep_running(s);
	} else if (reason) {
		(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
		es_session_say(s, "MIGRATION FAILED", s->record.executed, "%s", reason);
		keep_running(s);
	}
	if (!move_now(s) && reason && !kept) {
		es_session_notify(s, cancelled ? WIRE_ABORTED : WIRE_FAILED);
	}
	es_session_start_again(s, now);
	es_session_pump(s, now);
}

/* --- a migration to here ----------------------------------------------------------------------- */

/*
 * A session that has had authority here is not removed for a node that does not know its secret. A session
 * without authority so far may be the lie of an edge server that never had it. Then its numbers mean nothing
 * (R11), unless an access point has proven that it knows the same secret.
 */
static const char *older(const struct es_session *s, const struct wire_message *m)
{
	if (!proof_equal(m->offer.secret, s->record.secret))
		return weightless(s) && !s->vouched
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

		if (s->record.state != WIRE_ES_RETIRED || !weightless(s) ||
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

bool es_node_offered(struct es_node *node, uint64_t now, const char *from,
		     const struct wire_message *m, const char **reason)
{
	const struct wire_offer *w = &m->offer;
	struct es_session *old = es_session_find(node, m->session);
	struct es_session *s;

	node->now = now;
	*reason = NULL;
	if (m->session == 0 || !name_equal(from, w->from_es)) {
		*reason = "the offer does not come from the edge server it names";
		return false;
	}
	if (m->epoch == 0 || m->epoch == UINT32_MAX) {
		*reason = "the offer has an epoch that no session comes to";
		return false;
	}
	if (old && es_session_expects(old, from, m)) {
		old->protect.offered = true;
		return true;
	}
	if (name_equal(from, node->name)) {
		*reason = "nobody waits for this recovery any more";
		return false;
	}
	if (!node->ops->service_known(node->ctx, w->service)) {
		*reason = "the service is not in the catalogue of the destination";
		return false;
	}
	if (node->full[0]) {
		*reason = node->full;
		return false;
	}
	*reason = old ? clear_the_way(old, from, m) : es_node_withheld(node, m->session);
	if (*reason)
		return false;
	if (!old && !forget_given_up(node, from)) {
		*reason = "too many arrivals from that edge server are still being undone";
		return false;
	}
	if (!old && !share_left(node, w->mud, w->ap)) {
		*reason = node->refusal;
		return false;
	}
	/* The record of the older session stays until the newer one is written down. */
	node->count -= old != NULL;
	s = es_session_new(node, m->session, now);
	node->count += old != NULL;
	if (!s) {
		*reason = "limit of sessions reached at the destination, or no memory";
		return false;
	}
	s->record.association = m->association;
	s->record.epoch = m->epoch + 1;
	s->record.container_epoch = m->epoch + 1;
	memcpy(s->record.mud, w->mud, NAME_SIZE);
	memcpy(s->record.service, w->service, NAME_SIZE);
	memcpy(s->record.ap, w->ap, NAME_SIZE);
	(void)name_set(s->record.peer, from, NULL);
	memcpy(s->record.secret, w->secret, WIRE_SECRET_SIZE);
	s->vouched = old && (old->vouched || !weightless(old)) &&
		     proof_equal(old->record.secret, w->secret);
	es_session_move(s, WIRE_ES_ARRIVING);
	/* its source must be known after a crash, too */
	if (!es_session_persist(s, ES_PERSIST_ALL)) {
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

const char *es_node_service(const struct es_node *node, uint64_t session)
{
	const struct es_session *s = es_session_find(node, session);

	return s ? s->record.service : "";
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

/* --- restart ----------------------------------------------------------------------------------- */

static int restore(struct es_node *node, uint64_t now, const struct es_record *record,
		   const void *cache, size_t cache_len, enum es_container container,
		   struct err *err)
{
	bool known = record->state == WIRE_ES_ACTIVE || record->state == WIRE_ES_FENCED ||
		     record->state == WIRE_ES_RETIRED || record->state == WIRE_ES_LOST;
	static const char *const ended[] = {
		[ES_CONTAINER_GONE] = "its container is gone, with layer and volumes",
		[ES_CONTAINER_STOPPED] = "the container ended while its edge server did not run",
		[ES_CONTAINER_RESTARTED] = "the container was started anew, by somebody else",
	};
	int r;

	node->now = now;
	if (!record->session || es_session_find(node, record->session))
		return err_set(err, -EPROTO, "record of session %016llx: number used twice or 0",
			       (unsigned long long)record->session);
	/* sessions_max may have been lowered: a session that is here is never dropped for that (R15) */
	size_t others = node->count;
	node->count = 0;
	struct es_session *s = es_session_new(node, record->session, now);
	node->count += others;
	if (!s)
		return err_set(err, -ENOMEM, "restore session %016llx",
			       (unsigned long long)record->session);
	s->record = *record;
	if (record->state == WIRE_ES_ARRIVING || record->state == WIRE_ES_STANDBY) {
		/* nobody relies on it; but an access point that looks for the session may know this place only (R7) */
		es_session_drop_container(s);
		es_session_give_up(s);
		return 0;
	}
	if (!known) {
		/* it never had authority, or somebody ended it: nobody relies on it */
		s->record.state = WIRE_ES_NONE;
		if (container != ES_CONTAINER_GONE && (record->executed || record->started))
			es_session_say(s, "DATA REMOVED", record->executed,
				       "mud=%s service=%s: the session had ended before a restart",
				       record->mud, record->service);
		es_session_drop_container(s);
		return 0;
	}
	AUTO(answer_cache) struct answer_cache *restored = NULL;
	r = answer_cache_decode(&restored, cache, cache_len, err);
	if (r < 0) {
		es_session_free(s);
		return err_wrap(err, r, "restore session %016llx",
				(unsigned long long)record->session);
	}
	answer_cache_free(s->cache);
	s->cache = TAKE_PTR(restored);
	es_session_protect_restore(s, now, container == ES_CONTAINER_RUNS);
	/* otherwise what is written down is as it was, and needs no room on a disk that may be full */
	if ((container == ES_CONTAINER_RUNS || !s->protect.kept) &&
	    es_session_settle_doubt(s, "the program restarted while it ran"))
		(void)es_session_persist(s, ES_PERSIST_ALL);
	s->exit_code = -1;
	s->gone = container == ES_CONTAINER_GONE;
	if (container != ES_CONTAINER_RUNS)
		es_node_container_died(node, now, record->session, record->container_epoch, -1,
				       ended[container]);
	return 0;
}

int es_node_restore(struct es_node *node, uint64_t now, const struct es_record *record,
		    const void *cache, size_t cache_len, enum es_container container,
		    struct err *err)
{
	int r = restore(node, now, record, cache, cache_len, container, err);

	if (r == 0)
		(void)es_node_concede(node, record->session);
	return r;
}

/* --- time -------------------------------------------------------------------------------------- */

/* The time at which it ends if no access point asks for it. */
static uint64_t lease_end(const struct es_session *s)
{
	const struct policy *p = &s->node->policy;

	switch (s->record.state) {
	case WIRE_ES_STANDBY:
		return s->heard + p->standby_ms;
	case WIRE_ES_ACTIVE:
	case WIRE_ES_FENCED:
	case WIRE_ES_LOST:
		/* one that was never used has nothing of a user's */
		if (!s->record.executed && !s->record.started)
			return s->heard + p->idle_ms;
		return p->keep_ms ? s->heard + p->keep_ms : UINT64_MAX;
	case WIRE_ES_RETIRED:
		return s->heard + p->idle_ms;
	case WIRE_ES_NONE:
	case WIRE_ES_CREATING:
	case WIRE_ES_ARRIVING:
		break; /* their containers' operations end in bounded time */
	}
	return UINT64_MAX;
}

static uint64_t session_deadline(const struct es_session *s)
{
	uint64_t drained = s->held_since + s->node->policy.drain_ms;
	uint64_t at = lease_end(s);

	if (s->held && !s->cutting && drained < at)
		at = drained;
	if (s->unwritten && s->write_at < at)
		at = s->write_at;
	if (s->remove_at && s->remove_at < at)
		at = s->remove_at;
	if (es_session_start_due(s) < at)
		at = es_session_start_due(s);
	if (es_session_protect_at(s) < at)
		at = es_session_protect_at(s);
	return at;
}

static void delay_cut(struct es_session *s)
{
	char reason[WIRE_REASON_SIZE];

	if (s->unwritten)
		(void)snprintf(reason, sizeof(reason),
			       "nothing goes on before it is written: %.200s", s->why_unwritten);
	else
		(void)snprintf(reason, sizeof(reason),
			       "request %llu %s longer than the drain limit of %llu ms",
			       (unsigned long long)(s->record.started ? s->record.started
								      : s->record.executed),
			       s->record.started ? "runs" : "is part of what takes",
			       (unsigned long long)s->node->policy.drain_ms);
	s->held = false;
	es_session_say(s, "CUT DELAYED", s->record.started, "%s", reason);
	s->node->ops->cut_delayed(s->node->ctx, s->record.session, reason);
}

static void session_tick(struct es_session *s, uint64_t now)
{
	const struct policy *p = &s->node->policy;

	if (s->remove_at && now >= s->remove_at) {
		s->remove_at = 0;
		s->node->ops->remove_container(s->node->ctx, s->record.session, s->removing_epoch);
	}
	es_session_write_again(s, now);
	es_session_start_again(s, now);
	es_session_protect(s, now);
	if (s->held && now >= s->held_since + p->drain_ms)
		es_session_pump(s, now);
	if (s->held && !s->cutting && now >= s->held_since + p->drain_ms) {
		delay_cut(s);
		es_session_pump(s, now);
	}
	if (now < lease_end(s))
		return;
	if (s->record.state == WIRE_ES_STANDBY) {
		es_session_say(s, "STANDBY DROPPED", s->record.executed,
			       "no access point asked for %llu ms",
			       (unsigned long long)p->standby_ms);
		es_session_drop_container(s);
		es_session_give_up(s);
		return;
	}
	es_session_end(s, "no access point asked for it for %llu s",
		       (unsigned long long)(now - s->heard) / 1000);
}

void es_node_tick(struct es_node *node, uint64_t now)
{
	node->now = now;
	list_for_each_safe(at, next, &node->sessions)
	{
		struct es_session *s = list_entry(at, struct es_session, link);

		if (now >= session_deadline(s))
			session_tick(s, now);
	}
}

uint64_t es_node_deadline(const struct es_node *node)
{
	uint64_t earliest = UINT64_MAX;

	list_for_each_safe(at, next, (struct list *)&node->sessions)
	{
		uint64_t d = session_deadline(list_entry(at, struct es_session, link));

		if (d < earliest)
			earliest = d;
	}
	return earliest;
}

void es_node_each(const struct es_node *node,
		  void (*fn)(void *ctx, const struct es_session_view *view), void *ctx)
{
	list_for_each_safe(at, next, (struct list *)&node->sessions)
	{
		const struct es_session *s = list_entry(at, struct es_session, link);
		struct es_session_view view = {
			.record = s->record,
			.migration = s->migration,
			.cut = s->cut,
			.queued = s->pending_count,
			.cached = answer_cache_count(s->cache),
			.held = s->held,
			.removing = s->removing,
			.starting = s->starting,
			.gone = s->gone,
			.restarts = s->restarts,
			.memory_from = s->memory_from,
			.kept = s->protect.kept,
			.kept_cut = s->protect.cut,
			.silent_ms = node->now > s->heard ? node->now - s->heard : 0,
			.reason = s->reason,
			.unwritten = s->unwritten ? s->why_unwritten : NULL,
		};

		fn(ctx, &view);
	}
}
