/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Handoff: authority - which edge server has it, as far as this access point knows
 *
 * An edge server that says that it has authority is adopted: requests go to it, all others are forgotten or
 * retired. Its container then moves to its place if it is not there. When an edge server that should have
 * authority says otherwise, all of them count again and are asked anew (AP_FINDING).
 */

#include <stdio.h>
#include <string.h>

#include "core/ap/handoff.h"
#include "core/common/replay_buffer.h"

void ap_handoff_begin(struct ap_session *s, uint64_t now)
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
	ap_session_say(s, "T6", replay_buffer_highest(s->copies), "buffering requests, %s to %s",
		       ap_session_source(s)->name, place);
	ap_session_attach(s, &s->edge[index]);
	ap_edge_migrate(s);
}

/* Forgets the answers of a replica that is gone. Nobody got them, so they do not count. */
void ap_handoff_forget_answers(struct ap_session *s, bool delivered_too)
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
	ap_handoff_forget_answers(s, false);
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
		ap_handoff_begin(s, now);
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

/* All edge servers of the session are asked where authority is. */
void ap_handoff_find_again(struct ap_session *s, uint64_t now)
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
		ap_handoff_find_again(s, now);
}
