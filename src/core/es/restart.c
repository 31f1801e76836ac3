/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Restart - a session outlives the processes of its container (R15)
 *
 * A container that has authority, or had it, may end at any time: it crashes, is killed, or its engine or
 * host restarts. Its layer and volumes stay. The session is LOST then, which tells its access point only that
 * nothing runs. A replica elsewhere may have all that the container had in memory, so the access point
 * decides: it gives authority to that replica, or back to this container (UNFENCE). Then the container is
 * started again, and requests wait until its service answers.
 *
 *	ACTIVE --ends--> LOST --UNFENCE--> ACTIVE, starting --es_node_started()--> ACTIVE
 *	  ^                |  ^                       |
 *	  |   data gone:   |  '---- data are gone, or it may not be started any more
 *	  |   it stays     |
 *
 * A container that ends again soon is started after a pause that doubles each time. The numbers and the answer
 * cache go on: nothing that was answered is executed again (R1). Only memory is lost, and that is said.
 */

#include "core/es/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/common/replay_buffer.h"
#include "core/es/answer_cache.h"

#define STABLE_MS 10000 /* a container that has run so long begins with the shortest pause again */

/* --- its end ----------------------------------------------------------------------------------- */

static void become_lost(struct es_session *s, const char *reason)
{
	s->starting = false;
	s->start_at = 0;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
	es_session_move(s, WIRE_ES_LOST);
	(void)es_session_persist(s, ES_PERSIST_ALL);
}

/* Its request, if it had one, stays in the record: it may have been executed (es_session_come_back()). */
static void container_ended(struct es_session *s, uint64_t now, int exit_code, const char *reason)
{
	bool soon = s->started_at && now - s->started_at < STABLE_MS;

	/* a cut that was taken is good without its container: the replica may still arrive (R10) */
	if (s->migration == WIRE_MIGRATION_PREPARING || s->protect.running)
		es_session_cancel(s, "the container died");
	es_session_clear_pending(s);
	s->fencing = false;
	s->held = false;
	s->holding = false;
	s->exit_code = exit_code;
	s->start_tries = soon ? s->start_tries + 1 : 0;
	become_lost(s, reason);
}

void es_node_container_died(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
			    int exit_code, const char *reason)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (s && s->protect.recovering && s->protect.arrived && s->protect.epoch == epoch) {
		es_session_not_recovered(s, now, false, reason);
		return;
	}
	if (!s || s->record.container_epoch != epoch || s->starting ||
	    (s->removing && s->removing_epoch == epoch))
		return; /* while it starts, es_node_started() tells */
	switch (s->record.state) {
	case WIRE_ES_ACTIVE:
	case WIRE_ES_FENCED:
		es_session_say(s, "CONTAINER DIED", s->record.executed, "%s", reason);
		container_ended(s, now, exit_code, reason);
		break;
	case WIRE_ES_STANDBY:
		(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
		es_session_say(s, "CONTAINER DIED", s->record.executed, "%s", reason);
		es_session_drop_container(s);
		es_session_give_up(s); /* nothing is lost: CT-x has it all */
		break;
	default:
		return;
	}
	es_session_notify(s, WIRE_LOST);
}

/* --- its return -------------------------------------------------------------------------------- */

bool es_session_may_come_back(struct es_session *s)
{
	const struct es_node *node = s->node;

	if (s->record.state != WIRE_ES_LOST || s->removing)
		return false;
	if (s->protect.kept)
		return true; /* with all that it had */
	if (s->gone)
		return false;
	return s->start_allowed ||
	       node->ops->may_start(node->ctx, s->record.service, s->exit_code, s->start_tries);
}

void es_session_come_back(struct es_session *s)
{
	if (!s->protect.kept)
		(void)es_session_settle_doubt(s, "the container ended while it ran");
	s->starting = true;
	s->start_running = false;
	s->start_allowed = false;
	s->told_at = 0;
	s->start_since = s->node->now;
	s->start_at = s->node->now + es_session_pause(s, s->start_tries);
}

uint64_t es_session_start_due(const struct es_session *s)
{
	if (!s->starting || s->start_running)
		return UINT64_MAX;
	if (s->protect.running || s->migration != WIRE_MIGRATION_NONE)
		return UINT64_MAX; /* they end soon, for their container has */
	if (s->protect.recovering && s->removing)
		return UINT64_MAX; /* a container that an earlier try has left has the name of this one's */
	return s->start_at;
}

void es_session_start_again(struct es_session *s, uint64_t now)
{
	if (now < es_session_start_due(s))
		return;
	s->start_running = true;
	if (es_session_recover(s))
		return;
	s->node->ops->start_container(s->node->ctx, s->record.session, s->record.container_epoch,
				      s->record.service);
}

static void runs_again(struct es_session *s, uint64_t now)
{
	s->starting = false;
	s->start_at = 0;
	s->started_at = now;
	s->restarts++;
	s->memory_from = s->record.executed;
	es_session_say(s, "CONTAINER RESTARTED", s->record.executed,
		       "after %llu ms: effects of requests up to this one in memory are lost: %s",
		       (unsigned long long)(now - s->start_since), s->reason);
	s->reason[0] = '\0';
	es_session_notify(s, WIRE_STATUS);
	es_session_pump(s, now);
}

/* The engine's failure is not the container's: it is asked again soon, and without end. */
static void start_failed(struct es_session *s, uint64_t now, enum es_start how, const char *reason)
{
	const struct es_node *node = s->node;

	if (how == ES_START_AWAY) {
		s->start_tries = 0;
		s->start_at = now + node->policy.retry_ms;
		return;
	}
	es_session_say(s, "CONTAINER NOT RESTARTED", s->record.executed, "%s", reason);
	s->gone = how == ES_START_GONE;
	s->start_tries++;
	if (!s->gone &&
	    node->ops->may_start(node->ctx, s->record.service, s->exit_code, s->start_tries)) {
		(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
		s->start_at = now + es_session_pause(s, s->start_tries);
		return;
	}
	es_session_clear_pending(s);
	become_lost(s, reason);
	es_session_notify(s, WIRE_LOST);
}

bool es_node_started(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     enum es_start how, const char *reason)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || !s->starting || !s->start_running || s->record.container_epoch != epoch)
		return false;
	s->start_running = false;
	if (how == ES_START_DONE)
		runs_again(s, now);
	else
		start_failed(s, now, how, reason);
	return true;
}

/* --- an operator's word ------------------------------------------------------------------------ */

int es_node_allow_start(struct es_node *node, uint64_t session, struct err *err)
{
	struct es_session *s = es_session_find(node, session);

	if (!s || s->record.state == WIRE_ES_NONE || s->record.state == WIRE_ES_RETIRED)
		return err_set(err, -ENOENT, "no such session at %s", node->name);
	if (es_session_give_up_memory(s))
		return 0;
	if (s->record.state != WIRE_ES_LOST)
		return err_set(err, -EALREADY, "the session is %s",
			       s->starting ? "being started already"
					   : wire_es_state_name(s->record.state));
	if (s->gone && !s->protect.kept)
		return err_set(
			err, -ENODATA,
			"its container is gone, with layer and volumes: baton session discard");
	s->start_allowed = true;
	s->start_tries = 0;
	es_session_say(s, "START ALLOWED", s->record.executed, "by an operator");
	es_session_notify(s, WIRE_LOST); /* so that its access point asks for it */
	return 0;
}

int es_node_discard(struct es_node *node, uint64_t now, uint64_t session, const char *who,
		    struct err *err)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || s->record.state == WIRE_ES_NONE)
		return err_set(err, -ENOENT, "no such session at %s", node->name);
	if (s->record.state == WIRE_ES_ARRIVING || s->record.state == WIRE_ES_CREATING)
		return err_set(err, -EBUSY, "the session is %s: discard it when it is there",
			       wire_es_state_name(s->record.state));
	es_session_end(s, "discarded by operator %s", who);
	return 0;
}
