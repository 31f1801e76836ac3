/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Time - the next deadline of a session, and its effect
 */

#include "core/es/session.h"

#include <stdio.h>

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

uint64_t es_session_deadline(const struct deadline *d)
{
	const struct es_session *s = container_of(d, struct es_session, deadline);
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
	struct deadline *d;

	node->now = now;
	(void)deadlines_earliest(&node->deadlines);
	while ((d = deadlines_take(&node->deadlines, now)) != NULL)
		session_tick(container_of(d, struct es_session, deadline), now);
}

uint64_t es_node_deadline(struct es_node *node)
{
	return deadlines_earliest(&node->deadlines);
}

uint64_t es_node_deadline_by_walk(const struct es_node *node)
{
	uint64_t earliest = UINT64_MAX;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&node->sessions)
	{
		uint64_t d =
			es_session_deadline(&list_entry(at, struct es_session, link)->deadline);

		if (d < earliest)
			earliest = d;
	}
	return earliest;
}
