/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Edge servers of one session - their statements, taken together, and the orders to them
 */

#include <string.h>

#include "core/ap/session.h"
#include "core/common/replay_buffer.h"

bool ap_edge_gone(const struct ap_edge *e)
{
	return e->heard && (e->state == WIRE_ES_LOST || e->state == WIRE_ES_NONE);
}

/* A session there, if any, is the trace of an older stay. */
bool ap_edge_not_coming(const struct ap_edge *e)
{
	return ap_edge_gone(e) ||
	       (e->heard && (e->state == WIRE_ES_RETIRED || e->state == WIRE_ES_FENCED));
}

void ap_edge_migrate(struct ap_session *s)
{
	struct wire_message m = ap_session_command(s, WIRE_MIGRATE);

	memcpy(m.migrate.to_es, ap_session_dest(s)->name, NAME_SIZE);
	memcpy(m.migrate.ap, s->node->name, NAME_SIZE);
	memcpy(m.migrate.proof, s->proof, WIRE_PROOF_SIZE);
	m.migrate.hold = s->divergences > 0;
	ap_session_tell(s, ap_session_source(s), &m);
}

void ap_edge_fence(struct ap_session *s)
{
	struct wire_message m = ap_session_command(s, WIRE_FENCE);

	m.epoch = ap_session_source(s)->epoch;
	m.fence.after = s->fence_after;
	ap_session_tell(s, ap_session_source(s), &m);
}

void ap_edge_order(struct ap_session *s, const struct ap_edge *e, enum wire_type type)
{
	struct wire_message m = ap_session_command(s, type);

	m.epoch = e->epoch;
	ap_session_tell(s, e, &m);
}

uint32_t ap_edges_highest_epoch(const struct ap_session *s)
{
	uint32_t highest = 0;

	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (s->edge[i].name[0] && s->edge[i].epoch > highest)
			highest = s->edge[i].epoch;
	}
	return highest;
}

void ap_edges_forget_others(struct ap_session *s, int keep)
{
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (i != keep && !s->edge[i].predecessor)
			s->edge[i] = (struct ap_edge){ 0 };
	}
}

/*
 * Authority came to @e from a peer. If the access point that should have retired the peer is gone, the
 * peer may still be fenced. It is asked, and told to retire when it answers (ap_handoff_status()).
 */
void ap_edges_watch(struct ap_session *s, const char *name)
{
	int index = name_equal(name, ap_session_source(s)->name) ? -1 : ap_session_edge(s, name);

	if (index < 0 || index == s->source)
		return;
	s->edge[index].predecessor = true;
	ap_session_attach(s, &s->edge[index]);
}

bool ap_edge_left_behind(struct ap_session *s, const struct ap_edge *e)
{
	const struct ap_edge *source = ap_session_source(s);

	return (e->state == WIRE_ES_FENCED || e->kept) && source && source->heard &&
	       e->epoch < source->epoch;
}

/*
 * Whether the container at @e can serve this MUD: the MUD has answers up to @acked, so the container must
 * have executed that many requests, or the missing ones must be buffered here (R1).
 */
bool ap_edge_can_go_on(const struct ap_session *s, const struct ap_edge *e)
{
	if (e->spoilt)
		return false;
	return e->executed >= s->acked ||
	       (replay_buffer_started(s->copies) && replay_buffer_floor(s->copies) <= e->executed);
}

/* One that has executed all that the user has answers to comes first; then the one that had authority later. */
static bool better(const struct ap_session *s, const struct ap_edge *e, int than)
{
	const struct ap_edge *other = than < 0 ? NULL : &s->edge[than];

	if (!other)
		return true;
	if (ap_edge_can_go_on(s, e) != ap_edge_can_go_on(s, other))
		return ap_edge_can_go_on(s, e);
	return e->epoch > other->epoch;
}

int ap_edges_resting(const struct ap_session *s)
{
	int best = -1;

	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *e = &s->edge[i];

		if (e->name[0] && e->heard && (e->kept || e->state == WIRE_ES_FENCED) &&
		    better(s, e, best))
			best = i;
	}
	return best;
}

int ap_edges_kept(const struct ap_session *s)
{
	int best = -1;

	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *e = &s->edge[i];

		if (e->name[0] && e->heard && e->kept && better(s, e, best))
			best = i;
	}
	return best;
}

int ap_edges_active(const struct ap_session *s)
{
	int best = -1;

	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *e = &s->edge[i];

		if (e->name[0] && e->heard && e->state == WIRE_ES_ACTIVE &&
		    (best < 0 || e->epoch > s->edge[best].epoch))
			best = i;
	}
	return best;
}

/* Whether @k has told its part of the way that goes on from the trace at @e */
static bool goes_beyond(const struct ap_edge *k, const struct ap_edge *e)
{
	return k->heard && name_equal(k->name, e->peer);
}

/* Whether the word of @e counts for @k: of a fenced container the successor must be known (R4) */
static bool needs(const struct ap_edge *k, const struct ap_edge *e)
{
	return k->heard && k->state == WIRE_ES_FENCED && name_equal(k->peer, e->name);
}

/*
 * The entry of an edge server that has nothing, or only the trace of where the session went on from there. Its word has
 * been followed, and is not needed any more. Return: index, or -1
 */
static int spent_entry(const struct ap_session *s)
{
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *e = &s->edge[i];
		bool spent = e->state == WIRE_ES_NONE && !e->others && !e->peer[0];
		bool needed = !e->heard;

		for (int k = 0; k < AP_EDGES_MAX; k++) {
			spent |= e->state == WIRE_ES_RETIRED && goes_beyond(&s->edge[k], e);
			needed |= needs(&s->edge[k], e);
		}
		if (spent && !needed)
			return i;
	}
	return -1;
}

/* Entry of an edge server that another one has named. Return: index, or -1 if nobody can be passed over for it */
static int edge_named(struct ap_session *s, const char *name)
{
	int index = ap_session_edge(s, name);

	if (index >= 0)
		return index;
	index = spent_entry(s);
	if (index >= 0) {
		s->edge[index] = (struct ap_edge){ 0 };
		(void)name_set(s->edge[index].name, name, NULL);
	}
	return index;
}

/*
 * Edge servers name one another as source or successor of a session: follow that. While one cannot be asked for want
 * of room, the session is not lost (R15).
 */
bool ap_edges_ask_further(struct ap_session *s)
{
	bool asked = false;

	for (int i = 0; i < AP_EDGES_MAX; i++) {
		struct ap_edge *e = &s->edge[i];

		if (!e->name[0] || !e->heard || !e->peer[0] ||
		    (e->state == WIRE_ES_ACTIVE && ap_edge_can_go_on(s, e)))
			continue;
		char name[NAME_SIZE];

		memcpy(name, e->peer, NAME_SIZE);
		int peer = edge_named(s, name);
		if (peer >= 0 && s->edge[peer].heard)
			continue;
		if (peer >= 0)
			ap_session_attach(s, &s->edge[peer]);
		asked = true;
	}
	return asked;
}

/*
 * Whether the edge server to which fenced @e was handed tells the outcome. One that does not know the session
 * has lost its state: authority may have been there and moved on to an unknown place, so @e may not have it
 * back (R4). One that has another user's session under this number took it in place of a replica without
 * authority: no other session is removed for a stranger's (R11). A container that ended and was not handed to
 * anybody has no successor.
 */
bool ap_edge_successor_known(const struct ap_session *s, const struct ap_edge *e)
{
	if (e->kept && !e->peer[0])
		return true;
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		const struct ap_edge *next = &s->edge[i];

		if (next->name[0] && name_equal(next->name, e->peer))
			return next->heard &&
			       (next->state != WIRE_ES_NONE || next->peer[0] || next->others);
	}
	return false;
}
