/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Attempts - how long a move took, what it cost its user, and how it ended
 *
 * Nothing here decides anything. An attempt begins with T6 and ends when the session leaves the states
 * of a handoff, which ap_session_move() sees. Code that knows a reason tells it before.
 */

#include <stdio.h>
#include <string.h>

#include "core/ap/session.h"
#include "core/common/replay_buffer.h"

static const char *const results[AP_RESULTS] = {
	[AP_RESULT_MOVED] = "moved",
	[AP_RESULT_EDGE_SERVER] = "edge_server",
	[AP_RESULT_DIVERGED] = "diverged",
	[AP_RESULT_COPY_DIED] = "copy_died",
	[AP_RESULT_COPIES] = "copies_incomplete",
	[AP_RESULT_NOT_COMPARED] = "not_compared",
	[AP_RESULT_USER_MOVED] = "user_moved",
	[AP_RESULT_USER_LEFT] = "user_left",
	[AP_RESULT_ELSEWHERE] = "elsewhere",
	[AP_RESULT_LOST] = "session_lost",
	[AP_RESULT_PLACE] = "place_changed",
};

const char *ap_result_name(enum ap_result result)
{
	return result < AP_RESULTS ? results[result] : "unknown";
}

void ap_attempt_begin(struct ap_session *s, uint64_t now)
{
	s->attempt = (struct ap_attempt){ .open = true, .began = now };
	memcpy(s->attempt.from, ap_session_source(s)->name, NAME_SIZE);
	memcpy(s->attempt.to, ap_session_dest(s)->name, NAME_SIZE);
}

void ap_attempt_seen(struct ap_session *s, uint64_t now)
{
	const struct ap_edge *source = ap_session_source(s);
	struct ap_attempt *a = &s->attempt;

	if (!a->open || a->switched || !source || !source->heard)
		return;
	if (source->cut_association == s->association && source->freeze_us)
		a->freeze_us = source->freeze_us;
	if (ap_session_holds(s) && !a->held_since)
		a->held_since = now;
}

void ap_attempt_switched(struct ap_session *s, uint64_t now)
{
	const struct ap_edge *dest = ap_session_dest(s);
	struct ap_attempt *a = &s->attempt;

	if (!a->open)
		return;
	a->switched = now;
	/* with stop-and-copy the service stands still until the replica continues (R6) */
	if (a->held_since)
		a->freeze_us += (now - a->held_since) * 1000;
	if (s->fenced_at > dest->cut)
		a->replayed = s->fenced_at - dest->cut;
	if (replay_buffer_highest(s->copies) > s->fenced_at)
		a->held = replay_buffer_highest(s->copies) - s->fenced_at;
}

void ap_attempt_decide(struct ap_session *s, enum ap_result result, const char *reason)
{
	struct ap_attempt *a = &s->attempt;

	bool gone = result == AP_RESULT_USER_MOVED || result == AP_RESULT_USER_LEFT;

	if (!a->open || a->decided || (gone && a->switched))
		return; /* the move has succeeded if the user leaves after the switch */
	a->decided = true;
	a->result = result;
	(void)snprintf(a->reason, sizeof(a->reason), "%s", reason);
}

void ap_attempt_end(struct ap_session *s, uint64_t now, const char *authority)
{
	struct ap_attempt *a = &s->attempt;

	if (!a->open)
		return;
	/* ACTIVATE may have come through although we gave up, and a copy may die after the switch */
	bool there = name_equal(authority, a->to);
	bool moved = there || (a->switched && !a->decided);
	if (!moved)
		ap_attempt_decide(s, AP_RESULT_ELSEWHERE, "another access point decides");
	memcpy(s->last_from, a->from, NAME_SIZE);
	memcpy(s->last_to, a->to, NAME_SIZE);
	memcpy(s->last_why, moved ? "" : a->reason, moved ? 1 : WIRE_REASON_SIZE);
	s->last = (struct ap_moved){
		.session = s->session,
		.result = moved ? AP_RESULT_MOVED : a->result,
		.mud = s->mud,
		.service = s->service,
		.from = s->last_from,
		.to = s->last_to,
		.reason = s->last_why,
		.total_ms = (moved && a->switched ? a->switched : now) - a->began,
		.freeze_us = a->freeze_us,
		.replayed = a->replayed,
		.held = a->held,
		.in_doubt = a->in_doubt,
	};
	a->open = false;
	s->ended++;
	if (s->node->ops->moved)
		s->node->ops->moved(s->node->ctx, &s->last);
}
