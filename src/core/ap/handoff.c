/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Handoff - authority over a session moves from CT-x to CT-y, or stays, but never splits
 *
 * Statements of the edge servers about themselves drive everything here: each message from one
 * updates its entry (struct ap_edge), then ap_handoff_progress() looks whether the present state has
 * all it was waiting for. Commands are repeated until the answer shows their effect, and all of them
 * may be repeated, so a lost message or link costs time and nothing else.
 */

#include <string.h>

#include "core/ap/handoff.h"
#include "core/common/replay_buffer.h"

#define CLOSE_BEHIND 16 /* requests that a replica may lack when the source is fenced */

/*
 * A container that has ended may be the only one that has executed all that its user has answers to, until the one
 * that serves has caught up. It is asked for again.
 */
static bool needed(struct ap_session *s, const struct ap_edge *e)
{
	return e->kept && ap_session_source(s) && ap_forward_behind(s);
}

static void predecessor_status(struct ap_session *s, struct ap_edge *e)
{
	if (!ap_edge_left_behind(s, e))
		*e = (struct ap_edge){ 0 };
	else if (!needed(s, e))
		ap_edge_order(s, e, WIRE_RETIRE);
}

/* --- progress ---------------------------------------------------------------------------------- */

static void start_replaying(struct ap_session *s, uint64_t now)
{
	struct ap_edge *dest = ap_session_dest(s);

	if (dest->epoch <= ap_session_source(s)->epoch) {
		ap_handoff_drop(s, now, AP_RESULT_COPIES,
				"the replica was made before authority came back");
		return;
	}
	if (replay_buffer_started(s->copies) && replay_buffer_floor(s->copies) > dest->cut) {
		ap_handoff_drop(s, now, AP_RESULT_COPIES,
				"buffered requests since the cut are missing");
		return;
	}
	replay_buffer_drop_through(s->copies, dest->cut);
	dest->answered = dest->executed;
	dest->fed = dest->executed;
	ap_session_move(s, AP_REPLAYING, now);
	ap_session_say(s, "T7", dest->cut, "replaying %llu requests",
		       (unsigned long long)(replay_buffer_highest(s->copies) -
					    replay_buffer_floor(s->copies)));
	ap_forward_feed(s);
	if (ap_session_holds(s)) /* the user waits for every millisecond from here on */
		ap_handoff_progress(s, now);
}

/* The edge server that should have authority says that it has none: look again. */
static bool lost_authority(struct ap_session *s, uint64_t now)
{
	const struct ap_edge *source = ap_session_source(s);

	if (!source->heard || (source->state != WIRE_ES_FENCED && source->state != WIRE_ES_RETIRED))
		return false;
	/* a cut for us leaves it fenced; after a cut for another access point it is lost to us */
	if (s->state != AP_SERVING && ap_session_holds(s))
		return false;
	ap_handoff_find_again(s, now);
	return true;
}

static void tracing_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);
	struct ap_edge *dest = ap_session_dest(s);

	if (lost_authority(s, now))
		return;
	if (dest->heard && dest->state == WIRE_ES_ACTIVE) {
		ap_handoff_adopt(s, now, s->dest);
		return;
	}
	if (dest->heard && dest->state == WIRE_ES_STANDBY) {
		if (dest->cut_association == s->association)
			start_replaying(s, now);
		else
			ap_edge_order(s, dest, WIRE_ABORT); /* of an older attempt */
		return;
	}
	if (ap_session_holds(s) && source->migration == WIRE_MIGRATION_NONE &&
	    ap_edge_not_coming(dest)) {
		ap_handoff_release_hold(s, now, AP_RESULT_COPY_DIED, "the replica died");
		return;
	}
	if (source->heard && source->cut_association == s->association)
		replay_buffer_drop_through(s->copies, source->cut);
	if (!ap_edge_gone(source))
		return;
	/* without a cut for us there is no replica; we have not given authority to one (R4) */
	bool replica = source->cut_association == s->association &&
		       now < s->since + s->node->policy.associate_ms;
	if (source->kept && (!replica || ap_edge_not_coming(dest))) {
		ap_edge_order(s, dest, WIRE_ABORT);
		s->copy_inactive = true;
		ap_handoff_go_back(s, now, AP_RESULT_COPY_DIED,
				   "the container died before its replica was there");
	} else if (ap_edge_not_coming(dest)) {
		ap_mud_lost(s, now, WIRE_E_SESSION_LOST, "the container died");
	}
}

static void start_fencing(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);

	s->fence_after = source->fed;
	ap_session_move(s, AP_FENCING, now);
	ap_session_say(s, "FENCE", s->fence_after, "%s, the replica is at %llu", source->name,
		       (unsigned long long)ap_session_dest(s)->answered);
	if (!ap_edge_gone(source))
		ap_edge_fence(s);
	ap_forward_feed(s);
}

static void fencing_progress(struct ap_session *s, uint64_t now);

static void replaying_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);
	struct ap_edge *dest = ap_session_dest(s);
	uint64_t highest = replay_buffer_highest(s->copies);

	if (lost_authority(s, now))
		return;
	if (ap_edge_not_coming(dest)) {
		ap_handoff_drop(s, now, AP_RESULT_COPY_DIED, "the replica died");
		return;
	}
	if (ap_session_holds(s)) { /* nothing is left to compare, and nothing to wait for */
		start_fencing(s, now);
		fencing_progress(s, now);
		return;
	}
	bool caught_up =
		dest->answered >= source->answered && dest->answered + CLOSE_BEHIND >= highest;
	if (caught_up || ap_edge_gone(source) || replay_buffer_half_full(s->copies) ||
	    now >= s->since + s->node->policy.catch_up_ms)
		start_fencing(s, now);
}

/*
 * Up to @m the MUD heard CT-x. Each of those answers must be known here and CT-y's must be equal
 * before CT-y may have authority (R3, R5).
 */
static bool in_sync_through(struct ap_session *s, uint64_t m)
{
	for (uint64_t n = replay_buffer_floor(s->copies) + 1; n <= m; n++) {
		struct replay_copy *c = replay_buffer_find(s->copies, n);

		if (!c)
			return false;
		if (!c->has_digest[REPLAY_SOURCE] || !c->has_digest[REPLAY_COPY])
			return false;
		/* it may have been said already, and the same replica have come to us again */
		if (!ap_forward_alike(s, c))
			return false;
	}
	return true;
}

/* The last number the MUD has an answer for, when CT-x died and cannot say how far it was. */
static uint64_t last_delivered(struct ap_session *s)
{
	uint64_t last = replay_buffer_floor(s->copies);

	for (uint64_t n = last + 1; n <= replay_buffer_highest(s->copies); n++) {
		const struct replay_copy *c = replay_buffer_find(s->copies, n);

		if (c && c->has_digest[REPLAY_SOURCE])
			last = n;
	}
	return last;
}

static void fencing_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);
	struct ap_edge *dest = ap_session_dest(s);

	if (ap_edge_not_coming(dest) && ap_session_holds(s)) {
		ap_handoff_release_hold(s, now, AP_RESULT_COPY_DIED, "the replica died");
		return;
	}
	if (ap_edge_not_coming(dest)) {
		ap_handoff_go_back(s, now, AP_RESULT_COPY_DIED, "the replica died");
		return;
	}
	if (ap_edge_gone(source))
		s->fenced_at = last_delivered(s);
	else if (source->heard && source->state == WIRE_ES_FENCED)
		s->fenced_at = source->executed;
	else
		return;
	if (dest->answered < s->fenced_at || !in_sync_through(s, s->fenced_at)) {
		/* answers that cannot be compared do not prove the replica in sync: try again rather (R5) */
		if ((!ap_edge_gone(source) || source->kept) &&
		    now >= s->since + 2 * s->node->policy.catch_up_ms)
			ap_handoff_go_back(s, now, AP_RESULT_NOT_COMPARED,
					   "the answers of both could not be compared in time");
		return;
	}
	ap_session_move(s, AP_ACTIVATING, now);
	ap_edge_order(s, dest, WIRE_ACTIVATE);
	ap_forward_feed(s);
}

static void activating_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *dest = ap_session_dest(s);

	if (dest->heard && dest->state == WIRE_ES_ACTIVE) {
		ap_session_move(s, AP_GRACE, now);
		s->attempts = 0;
		ap_attempt_switched(s, now);
		ap_session_say(s, "T8", s->fenced_at, "requests go to %s, epoch=%u", dest->name,
			       dest->epoch);
		ap_forward_release(s, dest);
		ap_forward_feed(s);
		ap_mud_notice(s);
		if (s->move_association)
			ap_leave(s, now);
	} else if (ap_edge_not_coming(dest)) {
		ap_handoff_go_back(s, now, AP_RESULT_COPY_DIED, "the replica died");
	}
}

static void grace_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);
	struct ap_edge *dest = ap_session_dest(s);

	if (ap_edge_gone(dest)) {
		if (ap_edge_gone(source) && !source->kept && !dest->kept)
			ap_mud_lost(s, now, WIRE_E_SESSION_LOST, "both containers are gone");
		else
			ap_handoff_go_back(s, now, AP_RESULT_COPY_DIED,
					   "the container died soon after the switch");
		return;
	}
	if (now >= s->since + s->node->policy.grace_ms || replay_buffer_half_full(s->copies)) {
		ap_session_move(s, AP_RETIRING, now);
		ap_edge_order(s, source, WIRE_RETIRE);
		ap_forward_settle(s);
	}
}

static void retiring_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);
	struct ap_edge *dest = ap_session_dest(s);

	if ((!ap_edge_gone(source) || source->kept) &&
	    !(source->heard && source->state == WIRE_ES_RETIRED))
		return;
	ap_session_say(s, "SWITCH COMPLETE", replay_buffer_highest(s->copies),
		       "%s retired, %s serves", source->name, dest->name);
	s->source = s->dest;
	s->dest = -1;
	ap_edges_forget_others(s, s->source);
	ap_session_move(s, AP_SERVING, now);
	s->next_attempt =
		ap_session_away(s) ? now : 0; /* an operator may want it elsewhere by now */
	ap_mud_notice(s);
	ap_forward_settle(s);
	ap_forward_feed(s);
}

static void serving_progress(struct ap_session *s, uint64_t now)
{
	if (!lost_authority(s, now) && ap_edge_gone(ap_session_source(s)))
		ap_handoff_source_ended(s, now);
}

void ap_handoff_progress(struct ap_session *s, uint64_t now)
{
	switch (s->state) {
	case AP_FINDING:
		ap_handoff_find(s, now);
		break;
	case AP_SERVING:
		serving_progress(s, now);
		break;
	case AP_TRACING:
		tracing_progress(s, now);
		break;
	case AP_REPLAYING:
		replaying_progress(s, now);
		break;
	case AP_FENCING:
		fencing_progress(s, now);
		break;
	case AP_ACTIVATING:
		activating_progress(s, now);
		break;
	case AP_GRACE:
		grace_progress(s, now);
		break;
	case AP_RETIRING:
		retiring_progress(s, now);
		break;
	case AP_GOING_BACK:
		ap_handoff_back_progress(s, now);
		break;
	case AP_ASSOCIATING:
	case AP_MOVING:
	case AP_ENDED:
	case AP_STATES:
		break;
	}
}

static void associating_status(struct ap_session *s, uint64_t now, const struct wire_message *m)
{
	if (m->type == WIRE_FAILED)
		ap_mud_lost(s, now, m->es_status.status, m->es_status.reason);
	else if (m->es_status.state == WIRE_ES_NONE && s->abandoned)
		ap_session_move(s, AP_ENDED, now); /* CREATE has never come there */
	else if (m->es_status.state == WIRE_ES_ACTIVE || ap_session_source(s)->kept) {
		/* after a lost answer the edge server knows the secret of the first try */
		memcpy(s->secret, m->es_status.secret, WIRE_SECRET_SIZE);
		/* the edge server that made the session needs no proof; one to which it moves does */
		s->node->proof(s->proof, s->secret, s->session, s->association, s->node->name);
		if (s->leaving)
			ap_leave_end(s, now);
		else
			ap_handoff_adopt(s, now, s->source);
		if (s->state == AP_SERVING)
			ap_handoff_progress(s, now);
	} else if (m->es_status.state == WIRE_ES_LOST)
		ap_mud_lost(s, now, WIRE_E_SESSION_LOST, m->es_status.reason);
}

/*
 * The source's container has ended, and was not started yet. If it may not be, its user is told for as long as that
 * lasts (R9, R15). LOST comes unasked when something has changed: then it is asked again at once.
 */
static void kept_status(struct ap_session *s, uint64_t now, const struct wire_message *m)
{
	if (m->type == WIRE_LOST)
		s->unfence_at = 0;
	if (s->waiting_told && now < s->waiting_told + s->node->policy.retry_ms)
		return;
	s->waiting_told = now;
	ap_mud_refuse(s->node, s->mud_link, s->session, m->es_status.executed + 1, WIRE_E_BUSY,
		      m->es_status.reason);
}

void ap_handoff_status(struct ap_session *s, uint64_t now, struct ap_edge *e,
		       const struct wire_message *m)
{
	if (s->state == AP_ASSOCIATING) {
		associating_status(s, now, m);
		return;
	}
	if (e->predecessor) {
		predecessor_status(s, e);
		return;
	}
	if ((s->state == AP_SERVING || s->state == AP_TRACING) && e == ap_session_source(s) &&
	    e->state == WIRE_ES_ACTIVE && !ap_edge_can_go_on(s, e)) {
		ap_mud_lost(s, now, WIRE_E_SESSION_LOST,
			    "the container that gave the last answers is gone");
		return;
	}
	/* the source's word that it failed counts only while it is still at it */
	if (s->state == AP_TRACING && m->type == WIRE_FAILED && e == ap_session_source(s)) {
		ap_retry_failed(s, &m->es_status);
		ap_handoff_drop(s, now, AP_RESULT_EDGE_SERVER, m->es_status.reason);
		return;
	}
	/* it is in the way: the session has been here before, and the word to retire got lost */
	if (s->state == AP_TRACING && e == ap_session_dest(s) && ap_edge_left_behind(s, e) &&
	    !needed(s, e))
		ap_edge_order(s, e, WIRE_RETIRE);
	if (e->state == WIRE_ES_ACTIVE || e->state == WIRE_ES_STANDBY ||
	    e->state == WIRE_ES_FENCED) {
		bool serves = e == ap_session_source(s) ||
			      (e == ap_session_dest(s) && s->state != AP_TRACING);

		if (serves && m->type == WIRE_STATUS && s->state != AP_FINDING)
			ap_forward_sync(s, now, e);
	}
	if (s->state == AP_GOING_BACK && e == ap_session_source(s) && e->kept)
		kept_status(s, now, m);
	ap_handoff_progress(s, now);
}

/* --- time -------------------------------------------------------------------------------------- */

static void tracing_repeat(struct ap_session *s)
{
	struct ap_edge *source = ap_session_source(s);
	struct ap_edge *dest = ap_session_dest(s);

	ap_session_attach(s, dest);
	ap_session_attach(s, source);
	if (source->heard && source->state == WIRE_ES_ACTIVE &&
	    source->migration == WIRE_MIGRATION_NONE && ap_edge_not_coming(dest))
		ap_edge_migrate(s);
}

/* Its container goes home when the pause is over, its place is up, and the replay buffer is not needed here. */
static void serving_tick(struct ap_session *s, uint64_t now)
{
	const struct policy *p = &s->node->policy;

	if (s->next_attempt && now >= s->next_attempt && ap_session_away(s) &&
	    ap_place_down(s->node, ap_session_place(s)))
		s->next_attempt = now + p->backoff_max_ms; /* or when it is up */
	if (s->next_attempt && now >= s->next_attempt && ap_session_away(s) &&
	    !ap_forward_behind(s)) {
		ap_handoff_begin(s, now);
		ap_mud_notice(s);
		return;
	}
	if (s->next_attempt && s->next_attempt <= now)
		s->next_attempt = ap_session_away(s) ? now + p->retry_ms : 0;
	/* a session without requests is not an idle one while its user is here */
	s->since_asked = now;
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (i == s->source || s->edge[i].predecessor)
			ap_session_attach(s, &s->edge[i]);
	}
}

void ap_handoff_tick(struct ap_session *s, uint64_t now)
{
	s->next_retry = now + s->node->policy.retry_ms;
	switch (s->state) {
	case AP_FINDING:
		ap_handoff_find_tick(s, now);
		return;
	case AP_SERVING:
		serving_tick(s, now);
		return;
	case AP_TRACING:
		tracing_repeat(s);
		break;
	case AP_REPLAYING:
		ap_session_attach(s, ap_session_dest(s));
		break;
	case AP_FENCING:
		if (!ap_edge_gone(ap_session_source(s))) {
			ap_session_attach(s, ap_session_source(s));
			ap_edge_fence(s);
		}
		ap_session_attach(s, ap_session_dest(s));
		break;
	case AP_ACTIVATING:
		ap_session_attach(s, ap_session_dest(s));
		ap_edge_order(s, ap_session_dest(s), WIRE_ACTIVATE);
		break;
	case AP_RETIRING:
		ap_edge_order(s, ap_session_source(s), WIRE_RETIRE);
		break;
	case AP_GOING_BACK:
		ap_handoff_back_repeat(s, now);
		return;
	case AP_GRACE:
	case AP_ASSOCIATING:
	case AP_MOVING:
	case AP_ENDED:
	case AP_STATES:
		break;
	}
	ap_handoff_progress(s, now);
}
