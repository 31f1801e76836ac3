/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Handoff: back - an attempt fails, and the user keeps the old container (R10)
 *
 * Before FENCE the source has never stopped serving: the attempt is dropped. After FENCE, or after the cut of
 * a stop-and-copy, authority goes back (AP_GOING_BACK):
 *
 *	Ask all edge servers anew, and abort the replica.
 *	Adopt one that is ACTIVE: ACTIVATE or an earlier UNFENCE had come through.
 *	Otherwise wait until no other can be active any more (R4).
 *	Send UNFENCE under an epoch higher than any that is known, until the source is ACTIVE.
 *
 * A source whose container is gone, or too old for the user's answers, is replaced by the best container that
 * has ended and may start again; without one the session is lost.
 */

#include <stdio.h>
#include <string.h>

#include "core/ap/handoff.h"

#define DIVERGENCES_MAX 3 /* a doubt at the source may look like one; three do not */

void ap_handoff_release_hold(struct ap_session *s, uint64_t now, enum ap_result result,
			     const char *why)
{
	ap_edge_order(s, ap_session_dest(s), WIRE_ABORT);
	s->copy_inactive = true;
	ap_handoff_go_back(s, now, result, why);
}

/* Before FENCE: CT-x never stopped serving, so the attempt is simply dropped (R10). */
void ap_handoff_drop(struct ap_session *s, uint64_t now, enum ap_result result, const char *why)
{
	ap_attempt_decide(s, result, why);
	if (ap_session_holds(s)) {
		ap_handoff_release_hold(s, now, result, why);
		return;
	}
	ap_edge_order(s, ap_session_dest(s), WIRE_ABORT);
	ap_edge_order(s, ap_session_source(s), WIRE_ABORT);
	s->attempts++;
	ap_session_say(s, "MIGRATION DROPPED", 0, "%s; %s", why,
		       ap_retry_given_up(s) ? "not tried again" : "tried again later");
	ap_handoff_forget_answers(s, true);
	ap_edges_forget_others(s, s->source);
	s->dest = -1;
	ap_session_move(s, AP_SERVING, now);
	s->next_attempt = ap_session_away(s) && !ap_retry_given_up(s) ? now + ap_retry_pause(s) : 0;
	ap_forward_settle(s);
	ap_forward_feed(s);
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

void ap_handoff_back_progress(struct ap_session *s, uint64_t now)
{
	struct ap_edge *source = ap_session_source(s);
	struct wire_message m = ap_session_command(s, WIRE_UNFENCE);
	uint32_t new_epoch = ap_edges_highest_epoch(s) + 1;

	if (source->heard && source->state == WIRE_ES_ACTIVE) {
		if (source->spoilt)
			ap_handoff_find_again(s, now);
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

void ap_handoff_back_repeat(struct ap_session *s, uint64_t now)
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
	ap_handoff_back_progress(s, now);
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
	ap_handoff_back_repeat(s, now);
}

void ap_handoff_go_back(struct ap_session *s, uint64_t now, enum ap_result result, const char *why)
{
	ap_attempt_decide(s, result, why);
	s->attempts++;
	return_to_source(s, now, why);
}

/* Nothing runs anywhere. If the data of the container that had authority are there, it starts again (R15). */
void ap_handoff_source_ended(struct ap_session *s, uint64_t now)
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
				: "the replica answered otherwise");
	if (!replaying && s->state != AP_FENCING && s->state != AP_ACTIVATING)
		return; /* after the switch it can only be reported, and it was */
	s->divergences += !in_doubt;
	s->diverged = s->divergences >= DIVERGENCES_MAX;
	s->hold_next = !in_doubt && !s->diverged;
	if (replaying) {
		ap_handoff_drop(s, now, AP_RESULT_DIVERGED, "the replica is not in sync");
		return;
	}
	ap_edge_order(s, ap_session_dest(s), WIRE_ABORT);
	/* FENCE is on its way: the state that the source told before is out of date, too */
	if (ap_session_source(s)->state != WIRE_ES_FENCED)
		ap_session_source(s)->heard = false;
	ap_handoff_go_back(s, now, AP_RESULT_DIVERGED, "the replica is not in sync");
}
