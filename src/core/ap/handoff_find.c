/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Handoff: find - which edge server has authority over a session that comes to this access point
 *
 * The device, or the old access point, has named edge servers; each is asked (ATTACH), and so are those that
 * they name as source or successor. One with authority ends the search. When all have answered and none has
 * it, a fenced container gets it back, but only if the outcome at each later one is known (R4). They are asked
 * for several rounds, because authority may move meanwhile. An edge server that does not answer may have the
 * session: the user is told its name, and waits.
 */

#include <stdio.h>
#include <string.h>

#include "core/ap/handoff.h"

#define FINDING_ROUNDS 3 /* authority may move while we ask: one round alone can miss it */

/*
 * A container has authority and has not executed all that the user has answers to: buffered requests of the rest were at an
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
		ap_handoff_go_back(s, now, AP_RESULT_ELSEWHERE,
				   "the access point that moved it is gone");
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

void ap_handoff_find_tick(struct ap_session *s, uint64_t now)
{
	if (now >= s->since + s->node->policy.associate_ms) {
		ap_mud_lost(s, now, WIRE_E_FAILED, "edge servers cannot be reached");
		return;
	}
	tell_missing(s, now);
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (s->edge[i].name[0] &&
		    !(s->edge[i].heard && s->edge[i].state != WIRE_ES_CREATING))
			ap_session_attach(s, &s->edge[i]);
	}
}
