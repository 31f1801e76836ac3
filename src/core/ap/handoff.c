/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Handoff - authority over a session moves from CT-x to CT-y, or stays, but never splits
 *
 * Statements of the edge servers about themselves drive everything here: each message from one
 * updates its entry (struct ap_edge), then ap_handoff_progress() looks whether the present state has
 * all it was waiting for. Commands are repeated until the answer shows their effect, and all of them
 * may be repeated, so a lost message or link costs time and nothing else.
 */

#include <stdio.h>
#include <string.h>

#include "core/ap/session.h"
#include "core/common/replay_buffer.h"

#define DIVERGENCES_MAX 3  /* a doubt at the source may look like one; three do not */
#define CLOSE_BEHIND    16 /* requests that a copy may lack when the source is fenced */
#define FINDING_ROUNDS  3  /* authority may move while we ask: one round alone can miss it */

/* --- beginning --------------------------------------------------------------------------------- */

static void start_tracing(struct ap_session *s, uint64_t now)
{
	ap_attempt_end(s, now, ap_session_source(s)->name);
	const char *place = ap_session_place(s);
	int index = ap_session_edge(s, place);

	if (index < 0) { /* predecessors that have not answered yet take up all entries */
		s->next_attempt = now + ap_retry_pause(s);
		return;
	}
	s->dest = index;
	s->next_attempt = 0;
	s->hold_next = false;
	s->edge[index] = (struct ap_edge){ 0 };
	(void)name_set(s->edge[index].name, place, NULL);
	ap_session_move(s, AP_TRACING, now);
	ap_attempt_begin(s, now);
	ap_session_say(s, "T6", replay_buffer_highest(s->copies), "keeping copies, %s to %s",
		       ap_session_source(s)->name, place);
	ap_session_attach(s, &s->edge[index]);
	ap_edge_migrate(s);
}

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

/* Forgets the answers of a replica that is gone. Nobody got them, so they do not count. */
static void forget_copy_answers(struct ap_session *s, bool delivered_too)
{
	for (uint64_t n = replay_buffer_floor(s->copies) + 1;; n++) {
		struct replay_copy *c = replay_buffer_find(s->copies, n);

		if (!c)
			return;
		replay_buffer_release(s->copies, c);
		if (!c->delivered || delivered_too)
			c->has_digest[REPLAY_COPY] = false;
	}
}

void ap_handoff_adopt(struct ap_session *s, uint64_t now, int index)
{
	struct ap_edge *e = &s->edge[index];
	s->copy_inactive = false;
	char from[NAME_SIZE] = "";

	if (e->heard)
		memcpy(from, e->peer, NAME_SIZE);
	forget_copy_answers(s, false);
	for (int i = 0; i < AP_EDGES_MAX; i++) /* to be retired, for authority is elsewhere */
		s->edge[i].predecessor |= i != index && s->edge[i].heard &&
					  (s->edge[i].kept || s->edge[i].state == WIRE_ES_FENCED);
	ap_edges_forget_others(s, index);
	s->source = index;
	s->dest = -1;
	e->predecessor = false;
	ap_edges_watch(s, from);
	e->fed = 0;
	e->answered = 0;
	s->resume = s->resume && !e->heard;
	bool away = ap_session_away(s);
	bool reachable = away && !ap_place_down(s->node, ap_session_place(s));
	/* the copies it needs to catch up with its user are here alone: they would not survive this program (R7) */
	bool behind = ap_forward_behind(s);
	/* one that has just begun first serves, even if its edge server was drained meanwhile */
	if (reachable && !behind && s->state != AP_ASSOCIATING && !s->attempts &&
	    !ap_retry_given_up(s) && !s->move_association) {
		start_tracing(s, now);
	} else {
		ap_session_move(s, AP_SERVING, now);
		s->next_attempt = away && !ap_retry_given_up(s) ? now + ap_retry_pause(s) : 0;
	}
	ap_mud_respond(s, WIRE_OK, "");
	ap_mud_notice(s);
	if (e->heard)
		ap_forward_sync(s, now, e);
	else
		ap_forward_feed(s);
	ap_forward_settle(s);
	if (s->move_association)
		ap_leave(s, now);
}

static void go_back(struct ap_session *s, uint64_t now, enum ap_result result, const char *why);

/*
 * A container has authority and has not executed all that the user has answers to: copies of the rest were at an
 * access point that is gone. One that has ended elsewhere may have: then that is the one to go on (R1), when the
 * other is fenced (R4).
 */
static void find_better(struct ap_session *s, uint64_t now, const struct ap_edge *active)
{
	struct wire_message m = ap_session_command(s, WIRE_FENCE);
	int kept = ap_edges_kept(s);

	if (kept < 0 || !ap_edge_can_go_on(s, &s->edge[kept])) {
		ap_mud_lost(s, now, WIRE_E_SESSION_LOST,
			    "the container that gave the last answers is gone");
		return;
	}
	m.epoch = active->epoch;
	ap_session_tell(s, active, &m);
}

/* Whether the successors of all containers that authority left after @index had it tell the outcome (R4) */
static bool successors_known(const struct ap_session *s, int index)
{
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *e = &s->edge[i];
		bool resting = e->name[0] && (e->kept || e->state == WIRE_ES_FENCED);

		if (resting && e->epoch >= s->edge[index].epoch && !ap_edge_successor_known(s, e))
			return false;
	}
	return true;
}

/* Return: whether all edge servers have answered, and none of them is about to say something else */
static bool all_heard(const struct ap_session *s, int *known)
{
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *e = &s->edge[i];

		if (!e->name[0])
			continue;
		++*known;
		if (!e->heard || e->state == WIRE_ES_CREATING)
			return false; /* its answer may be the one that counts */
	}
	return true;
}

void ap_handoff_find(struct ap_session *s, uint64_t now)
{
	int known = 0;

	int active = ap_edges_active(s);
	if (active >= 0 && ap_edge_can_go_on(s, &s->edge[active])) {
		ap_handoff_adopt(s, now, active);
		return;
	}
	if (ap_edges_ask_further(s) || !all_heard(s, &known))
		return;
	if (active >= 0) {
		find_better(s, now, &s->edge[active]);
		return;
	}
	if (s->displaced) { /* a newer claim that nobody has refuted: the fenced container here may be old */
		ap_session_say(s, "DISPLACED", 0, "association %u", s->displaced);
		ap_session_move(s, AP_ENDED, now);
		return;
	}
	int resting = ap_edges_resting(s);
	if (resting >= 0 && successors_known(s, resting)) {
		s->source = resting;
		go_back(s, now, AP_RESULT_ELSEWHERE, "the access point that moved it is gone");
		return;
	}
	if (++s->rounds < FINDING_ROUNDS) {
		for (int i = 0; i < AP_EDGES_MAX; i++)
			s->edge[i].heard = false; /* asked again when next_retry comes */
		return;
	}
	if (s->proof_refused)
		ap_mud_lost(s, now, WIRE_E_NOT_ALLOWED, "the proof does not fit the session");
	else
		ap_mud_lost(s, now, WIRE_E_SESSION_LOST,
			    known ? "no edge server has the session" : "no edge server was named");
}

/* --- failing, going back ----------------------------------------------------------------------- */

/*
 * The source holds since the cut of this attempt (R6). Only we could give authority to the copy of
 * that cut, and have not: so CT-x may have it back without waiting for word from the destination.
 */
static void release_hold(struct ap_session *s, uint64_t now, enum ap_result result, const char *why)
{
	ap_edge_order(s, ap_session_dest(s), WIRE_ABORT);
	s->copy_inactive = true;
	go_back(s, now, result, why);
}

/* Before FENCE: CT-x never stopped serving, so the attempt is simply dropped (R10). */
void ap_handoff_drop(struct ap_session *s, uint64_t now, enum ap_result result, const char *why)
{
	ap_attempt_decide(s, result, why);
	if (ap_session_holds(s)) {
		release_hold(s, now, result, why);
		return;
	}
	ap_edge_order(s, ap_session_dest(s), WIRE_ABORT);
	ap_edge_order(s, ap_session_source(s), WIRE_ABORT);
	s->attempts++;
	ap_session_say(s, "MIGRATION DROPPED", 0, "%s; %s", why,
		       ap_retry_given_up(s) ? "not tried again" : "tried again later");
	forget_copy_answers(s, true);
	ap_edges_forget_others(s, s->source);
	s->dest = -1;
	ap_session_move(s, AP_SERVING, now);
	s->next_attempt = ap_session_away(s) && !ap_retry_given_up(s) ? now + ap_retry_pause(s) : 0;
	ap_forward_settle(s);
	ap_forward_feed(s);
}

/* All edge servers of the session are asked where authority is. */
static void find_again(struct ap_session *s, uint64_t now)
{
	ap_session_move(s, AP_FINDING, now);
	s->rounds = 0;
	s->displaced = 0;
	s->proof_refused = false;
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		s->edge[i].heard = false;
		s->edge[i].predecessor = false; /* all of them count again */
		if (s->edge[i].name[0])
			ap_session_attach(s, &s->edge[i]);
	}
	s->source = -1;
	s->dest = -1;
}

/*
 * The source cannot have authority again. Another container that had it later, and has ended, is better than none:
 * its numbers go on where the user's answers end.
 */
static bool take_kept(struct ap_session *s, uint64_t now)
{
	int kept = ap_edges_kept(s);

	if (kept < 0 || kept == s->source || !ap_edge_can_go_on(s, &s->edge[kept]))
		return false;
	s->source = kept;
	s->dest = -1;
	s->unfence_sent = false;
	s->unfence_at = 0;
	ap_session_say(s, "GOING BACK", 0, "to %s, whose container has ended",
		       ap_session_source(s)->name);
	s->next_retry = now;
	return true;
}

static void going_back_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);
	struct wire_message m = ap_session_command(s, WIRE_UNFENCE);
	uint32_t new_epoch = ap_edges_highest_epoch(s) + 1;

	if (source->heard && source->state == WIRE_ES_ACTIVE) {
		if (source->spoilt)
			find_again(s, now);
		else
			ap_handoff_adopt(s, now, s->source);
		return;
	}
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		struct ap_edge *e = &s->edge[i];

		if (!e->name[0] || i == s->source || e->predecessor)
			continue;
		if (e->heard && e->state == WIRE_ES_ACTIVE) { /* ACTIVATE had come through */
			ap_handoff_adopt(s, now, i);
			return;
		}
		if (s->copy_inactive)
			continue;
		if (!e->heard || e->state == WIRE_ES_STANDBY || e->state == WIRE_ES_ARRIVING)
			return; /* not surely inactive: wait (R4) */
	}
	if (ap_edge_gone(source) && !source->kept) {
		if (!take_kept(s, now))
			ap_mud_lost(s, now, WIRE_E_SESSION_LOST, "both containers are gone");
		return;
	}
	/* UNFENCE may be on its way: no other container may get authority before it has obeyed, and is fenced (R4) */
	if (source->heard && !ap_edge_can_go_on(s, source) && !s->unfence_sent) {
		if (!take_kept(s, now))
			ap_mud_lost(s, now, WIRE_E_SESSION_LOST,
				    "the container that gave the last answers is gone");
		return;
	}
	if (now < s->unfence_at)
		return;
	s->unfence_sent = true;
	s->unfence_at = now + s->node->policy.retry_ms / 2;
	m.epoch = source->epoch;
	m.unfence.new_epoch = new_epoch;
	ap_session_tell(s, source, &m);
}

static void going_back_repeat(struct ap_session *s, uint64_t now)
{
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		struct ap_edge *e = &s->edge[i];

		if (!e->name[0])
			continue;
		if (i == s->source || !e->heard)
			ap_session_attach(s, e);
		else if (e->state == WIRE_ES_STANDBY || e->state == WIRE_ES_ARRIVING)
			ap_edge_order(s, e, WIRE_ABORT);
	}
	going_back_progress(s, now);
}

static void return_to_source(struct ap_session *s, uint64_t now, const char *why)
{
	ap_session_move(s, AP_GOING_BACK, now);
	s->unfence_sent = false;
	s->unfence_at = 0;
	/* the others' states from before the fence may be out of date: ask again (R4) */
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (i != s->source)
			s->edge[i].heard = false;
	}
	ap_session_say(s, "GOING BACK", 0, "to %s: %s", ap_session_source(s)->name, why);
	going_back_repeat(s, now);
}

static void go_back(struct ap_session *s, uint64_t now, enum ap_result result, const char *why)
{
	ap_attempt_decide(s, result, why);
	s->attempts++;
	return_to_source(s, now, why);
}

/* Nothing runs anywhere. If the data of the container that had authority are there, it starts again (R15). */
static void source_ended(struct ap_session *s, uint64_t now)
{
	if (ap_session_source(s)->kept)
		return_to_source(s, now, "its container has ended, and is to start again");
	else
		ap_mud_lost(s, now, WIRE_E_SESSION_LOST, "the container died");
}

void ap_handoff_diverged(struct ap_session *s, uint64_t now, uint64_t number, bool in_doubt)
{
	bool replaying = s->state == AP_REPLAYING;

	ap_session_say(s, "DIVERGED", number, "%s",
		       in_doubt ? "the outcome at the source is in doubt"
				: "the copy answered otherwise");
	if (!replaying && s->state != AP_FENCING && s->state != AP_ACTIVATING)
		return; /* after the switch it can only be reported, and it was */
	s->divergences += !in_doubt;
	s->diverged = s->divergences >= DIVERGENCES_MAX;
	s->hold_next = !in_doubt && !s->diverged;
	if (replaying) {
		ap_handoff_drop(s, now, AP_RESULT_DIVERGED, "the copy is not in sync");
		return;
	}
	ap_edge_order(s, ap_session_dest(s), WIRE_ABORT);
	/* FENCE is on its way: the state that the source told before is out of date, too */
	if (ap_session_source(s)->state != WIRE_ES_FENCED)
		ap_session_source(s)->heard = false;
	go_back(s, now, AP_RESULT_DIVERGED, "the copy is not in sync");
}

/* --- progress ---------------------------------------------------------------------------------- */

static void start_replaying(struct ap_session *s, uint64_t now)
{
	struct ap_edge *dest = ap_session_dest(s);

	if (dest->epoch <= ap_session_source(s)->epoch) {
		ap_handoff_drop(s, now, AP_RESULT_COPIES,
				"the copy was made before authority came back");
		return;
	}
	if (replay_buffer_started(s->copies) && replay_buffer_floor(s->copies) > dest->cut) {
		ap_handoff_drop(s, now, AP_RESULT_COPIES, "copies since the cut are not complete");
		return;
	}
	replay_buffer_drop_through(s->copies, dest->cut);
	dest->answered = dest->executed;
	dest->fed = dest->executed;
	ap_session_move(s, AP_REPLAYING, now);
	ap_session_say(s, "T7", dest->cut, "replaying %llu copies",
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
	find_again(s, now);
	return true;
}

/*
 * Another container that has ended may have executed it for sure: then that one goes on. Without one the session is
 * lost.
 */
void ap_handoff_spoilt(struct ap_session *s, uint64_t now, uint64_t number)
{
	char why[WIRE_REASON_SIZE];
	int kept = ap_edges_kept(s);

	(void)snprintf(why, sizeof(why), "request %llu was answered, and its effect may be gone",
		       (unsigned long long)number);
	if (kept < 0 || (s->state != AP_SERVING && s->state != AP_TRACING &&
			 s->state != AP_REPLAYING && s->state != AP_GOING_BACK)) {
		ap_mud_lost(s, now, WIRE_E_SESSION_LOST, why);
		return;
	}
	ap_session_say(s, "SPOILT", number, "%s at %s", why, ap_session_source(s)->name);
	ap_session_source(s)->spoilt = true;
	if (s->state != AP_GOING_BACK || !s->unfence_sent)
		find_again(s, now);
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
		release_hold(s, now, AP_RESULT_COPY_DIED, "the copy died");
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
		go_back(s, now, AP_RESULT_COPY_DIED,
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
	ap_session_say(s, "FENCE", s->fence_after, "%s, the copy is at %llu", source->name,
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
		ap_handoff_drop(s, now, AP_RESULT_COPY_DIED, "the copy died");
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
		/* it may have been said already, and the same copy have come to us again */
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
		release_hold(s, now, AP_RESULT_COPY_DIED, "the copy died");
		return;
	}
	if (ap_edge_not_coming(dest)) {
		go_back(s, now, AP_RESULT_COPY_DIED, "the copy died");
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
			go_back(s, now, AP_RESULT_NOT_COMPARED,
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
		go_back(s, now, AP_RESULT_COPY_DIED, "the copy died");
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
			go_back(s, now, AP_RESULT_COPY_DIED,
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
		source_ended(s, now);
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
		going_back_progress(s, now);
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

void ap_handoff_withheld(struct ap_session *s, uint64_t now, const char *reason)
{
	s->since_asked = now; /* tell_missing() knows less */
	ap_mud_refuse(s->node, s->mud_link, s->session, 0, WIRE_E_BUSY, reason);
}

/* Its user is told why it waits, and goes on waiting: the edge server that is missing may have the session. */
static void tell_missing(struct ap_session *s, uint64_t now)
{
	char reason[WIRE_REASON_SIZE];

	if (now < s->since_asked + s->node->policy.move_ms)
		return;
	s->since_asked = now;
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *e = &s->edge[i];

		if (!e->name[0] || e->heard)
			continue;
		if (ap_edge_known(s->node, e->name))
			(void)snprintf(
				reason, sizeof(reason),
				"edge server %s may have the session, and does not answer %s",
				e->name, s->node->name);
		else
			(void)snprintf(reason, sizeof(reason),
				       "edge server %s may have the session, and is not in the "
				       "configuration of %s",
				       e->name, s->node->name);
		ap_mud_refuse(s->node, s->mud_link, s->session, 0, WIRE_E_BUSY, reason);
		return;
	}
}

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

void ap_handoff_tick(struct ap_session *s, uint64_t now)
{
	const struct policy *p = &s->node->policy;

	s->next_retry = now + p->retry_ms;
	switch (s->state) {
	case AP_FINDING:
		if (now >= s->since + p->associate_ms) {
			ap_mud_lost(s, now, WIRE_E_FAILED, "edge servers cannot be reached");
			return;
		}
		tell_missing(s, now);
		for (int i = 0; i < AP_EDGES_MAX; i++) {
			if (s->edge[i].name[0] &&
			    !(s->edge[i].heard && s->edge[i].state != WIRE_ES_CREATING))
				ap_session_attach(s, &s->edge[i]);
		}
		return;
	case AP_SERVING:
		if (s->next_attempt && now >= s->next_attempt && ap_session_away(s) &&
		    ap_place_down(s->node, ap_session_place(s)))
			s->next_attempt = now + p->backoff_max_ms; /* or when it is up */
		if (s->next_attempt && now >= s->next_attempt && ap_session_away(s) &&
		    !ap_forward_behind(s)) {
			start_tracing(s, now);
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
		going_back_repeat(s, now);
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
