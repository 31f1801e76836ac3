/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Departure - the source's side of a migration
 *
 * The migration's thread asks for a cut (es_node_cut_wanted()). Requests stop, one that runs is awaited, then the cut is
 * taken (es_session_pump()) and the container continues, unless the migration holds (R6). The end is told once, by
 * es_node_source_finished(). Cuts that are kept for protection (es/protect.c) take the same way.
 */

#include "core/es/session.h"

#include <stdio.h>
#include <string.h>

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
