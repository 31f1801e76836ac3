/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Commands - an access point tells what is to become of a session
 *
 * Only the access point where the user proved to be is obeyed (R11, R8). A command that does not fit the session's
 * state changes nothing; its answer tells the state. So each may be repeated.
 */

#include "core/es/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "core/common/request.h"

/*
 * Authority moves one epoch at a time. An access point that goes back knows of all moves since. Only so
 * many are possible without a message to the fenced container. A number beyond that is a mistake or a
 * lie, and could use up all epochs at once.
 */
#define EPOCH_STEP_MAX 64

#define FIRST_ASSOCIATION 1

/* --- who may command --------------------------------------------------------------------------- */

/*
 * The access point that made the session has no proof of its first association: it gave the secret
 * out itself.
 */
static bool proven(const struct es_session *s, uint32_t association, const char *ap,
		   const uint8_t *proof)
{
	uint8_t expected[WIRE_PROOF_SIZE];

	if (association == FIRST_ASSOCIATION && name_equal(ap, s->record.creator))
		return true;
	s->node->proof(expected, s->record.secret, s->record.session, association, ap);
	return proof_equal(expected, proof);
}

static void refuse(struct es_session *s, const char *ap, const struct wire_message *command,
		   enum wire_status status, const char *reason)
{
	struct wire_message m = {
		.type = WIRE_REFUSED,
		.session = s->record.session,
		.association = command->association,
		.es_status = { .status = status, .cut_association = s->record.association },
	};

	(void)snprintf(m.es_status.reason, sizeof(m.es_status.reason), "%s", reason);
	s->node->ops->to_ap(s->node->ctx, ap, &m);
}

/*
 * Refuses a message that has a proof. Only a sender with a good proof, even an old one, is told that the
 * user is elsewhere. For others this may be a different session, which somebody has put here under the same
 * number.
 */
static void refuse_proof(struct es_session *s, const char *from_ap,
			 const struct wire_message *command, const char *ap, const uint8_t *proof)
{
	struct wire_message m = {
		.type = WIRE_REFUSED,
		.session = s->record.session,
		.association = command->association,
		.es_status = { .status = WIRE_E_NOT_ALLOWED,
			       .command = get_be64(proof),
			       .reason = "not the access point the user proved to be at" },
	};

	if (proven(s, command->association, ap, proof))
		m.es_status.cut_association = s->record.association;
	s->node->ops->to_ap(s->node->ctx, from_ap, &m);
}

/*
 * Requests behind a gap are dropped: the next access point or holder sends them again. A holder that lost
 * its memory sends others under their numbers.
 */
static void drop_behind_gap(struct es_session *s)
{
	uint64_t through = es_session_received(s);

	for (size_t i = 0; i < WIRE_WINDOW; i++) {
		const struct request *r = s->pending[i];

		if (r && r->number > through)
			es_session_drop_pending(s, r->number);
	}
}

/**
 * admit() - Whether @ap is where the MUD is, as of its association number @association (R11)
 * @s:		Session
 * @from_ap:	Who says so, proven by its certificate
 * @association, @ap, @proof: Its statement
 *
 * Only the access point in charge may say so of another one: it hands the session over. An association
 * that is known already belongs to its own access point and to no other.
 *
 * A higher number with a valid proof makes @ap the one access point in charge. The requests since a cut
 * are buffered at one access point only, so a migration that relies on the replay buffer of another one
 * is stopped.
 */
static bool admit(struct es_session *s, const char *from_ap, uint32_t association, const char *ap,
		  const uint8_t *proof)
{
	bool known = association == s->record.association;

	if (association < s->record.association || (known && !name_equal(ap, s->record.ap)))
		return false;
	if (!name_equal(from_ap, ap) && (known || !name_equal(from_ap, s->record.ap)))
		return false;
	if (!proven(s, association, ap, proof))
		return false;
	if (known)
		return true;
	s->record.association = association;
	drop_behind_gap(s);
	(void)name_set(s->record.ap, ap, NULL);
	/* the access point that asked for the fence was not told FENCED, so nobody relies on it */
	s->fencing = false;
	s->then_to[0] = '\0'; /* where the user was to be, but is not any more */
	if (s->record.state == WIRE_ES_ACTIVE || s->record.state == WIRE_ES_FENCED ||
	    s->record.state == WIRE_ES_LOST)
		(void)es_session_persist(s, ES_PERSIST_ALL);
	if (s->migration != WIRE_MIGRATION_NONE &&
	    (!name_equal(s->migration_ap, ap) || s->cutting ||
	     s->migration == WIRE_MIGRATION_SENDING))
		es_session_cancel(s, "the user moved on");
	return true;
}

static bool in_charge(const struct es_session *s, const char *ap, const struct wire_message *m)
{
	return m->association == s->record.association && name_equal(ap, s->record.ap);
}

/* --- commands ---------------------------------------------------------------------------------- */

static void on_attach(struct es_session *s, uint64_t now, const char *ap,
		      const struct wire_message *m)
{
	if (!name_equal(ap, m->attach.ap) || !admit(s, ap, m->association, ap, m->attach.proof)) {
		refuse_proof(s, ap, m, m->attach.ap, m->attach.proof);
		return;
	}
	s->heard = now;
	s->vouched = true;
	es_session_send(s, ap, WIRE_STATUS);
}

void es_session_migrate(struct es_session *s, const char *to_es, bool hold)
{
	const struct es_migration_order order = es_session_order(s, to_es, hold);

	(void)name_set(s->record.peer, to_es, NULL);
	s->record.handed = false;
	memcpy(s->migration_ap, s->record.ap, NAME_SIZE);
	s->migration = WIRE_MIGRATION_PREPARING;
	s->migration_epoch = s->record.epoch;
	s->hold = hold;
	s->cancelled = false;
	s->then_to[0] = '\0';
	s->cut_association = 0;
	s->freeze_us = 0;
	s->reason[0] = '\0';
	(void)es_session_persist(s, ES_PERSIST_ALL);
	es_session_say(s, "MIGRATION START", s->record.executed, "to=%s epoch=%u sync=%s", to_es,
		       s->record.epoch, hold ? "hold" : "replay");
	s->node->ops->migrate(s->node->ctx, &order);
}

static void on_migrate(struct es_session *s, uint64_t now, const char *from_ap,
		       const struct wire_message *m)
{
	const struct wire_migrate *w = &m->migrate;
	bool hold = s->node->ops->hold(s->node->ctx, s->record.service, w->hold);

	if (!admit(s, from_ap, m->association, w->ap, w->proof)) {
		refuse_proof(s, from_ap, m, w->ap, w->proof);
		return;
	}
	s->heard = now;
	s->then_to[0] = '\0';
	if (s->record.state != WIRE_ES_ACTIVE || s->fencing || s->starting) {
		/* the answer tells the state; one that starts is asked for again */
	} else if (name_equal(w->to_es, s->node->name)) {
		es_session_cancel(s, "the user came back");
	} else if (s->protect.running) {
		es_session_cancel(s, "the user moves");
		memcpy(s->then_to, w->to_es, NAME_SIZE);
		s->then_hold = hold;
	} else if (s->migration == WIRE_MIGRATION_NONE) {
		es_session_migrate(s, w->to_es, hold);
	} else if (
		s->cancelled || s->hold != hold || !name_equal(w->to_es, s->record.peer) ||
		/* authority went and came back: the replica on its way would be no younger than we are */
		s->migration_epoch != s->record.epoch) {
		es_session_cancel(s, "the user moved on");
		memcpy(s->then_to, w->to_es, NAME_SIZE);
		s->then_hold = hold;
	}
	es_session_send(s, from_ap, WIRE_STATUS);
}

static void on_fence(struct es_session *s, uint64_t now, const struct wire_message *m)
{
	if (s->record.state == WIRE_ES_FENCED) {
		es_session_notify(s, WIRE_FENCED);
		return;
	}
	if (s->record.state != WIRE_ES_ACTIVE || m->epoch != s->record.epoch) {
		es_session_notify(s, WIRE_STATUS);
		return;
	}
	if (!s->fencing) {
		s->fencing = true;
		s->fence_after = m->fence.after;
	}
	es_session_pump(s, now);
}

/* Authority is back here, so the container that was frozen for the cut continues (R10). */
static void end_hold(struct es_session *s)
{
	if (!s->holding)
		return;
	s->holding = false;
	es_session_cancel(s, "the access point went back");
	s->node->ops->resume_container(s->node->ctx, s->record.session, s->record.container_epoch);
}

static void on_unfence(struct es_session *s, const struct wire_message *m)
{
	uint32_t new_epoch = m->unfence.new_epoch;
	bool lost = es_session_may_come_back(s);

	if ((s->record.state == WIRE_ES_FENCED || lost) && new_epoch > s->record.epoch &&
	    new_epoch - s->record.epoch <= EPOCH_STEP_MAX) {
		/* the container keeps the name of the epoch it was made in; only authority moved */
		es_session_move(s, WIRE_ES_ACTIVE);
		s->record.epoch = new_epoch;
		s->record.handed = false;
		end_hold(s);
		if (lost)
			es_session_come_back(s);
		(void)es_session_persist(s, ES_PERSIST_ALL);
		es_session_say(s, "UNFENCED", s->record.executed, "epoch=%u", new_epoch);
		es_session_start_again(s, s->node->now);
	}
	if (s->record.state == WIRE_ES_ACTIVE && s->record.epoch == new_epoch)
		es_session_notify(s, WIRE_UNFENCED);
	else
		es_session_notify(s, WIRE_STATUS);
}

static void on_activate(struct es_session *s, const struct wire_message *m)
{
	if (s->record.state == WIRE_ES_STANDBY && m->epoch == s->record.epoch) {
		es_session_move(s, WIRE_ES_ACTIVE);
		(void)es_session_persist(s, ES_PERSIST_ALL);
		es_session_say(s, "MIGRATION DONE", s->record.executed, "epoch=%u from=%s",
			       s->record.epoch, s->record.peer);
	}
	if (s->record.state == WIRE_ES_ACTIVE && m->epoch == s->record.epoch)
		es_session_notify(s, WIRE_ACTIVATED);
	else
		es_session_notify(s, WIRE_STATUS);
}

static void on_retire(struct es_session *s)
{
	if (s->record.state == WIRE_ES_FENCED || s->record.state == WIRE_ES_LOST) {
		if (es_session_has_container(s))
			es_session_drop_container(s);
		es_session_unprotect(s);
		s->holding = false;
		es_session_move(s, WIRE_ES_RETIRED);
		(void)es_session_persist(s, ES_PERSIST_ALL);
		es_session_say(s, "RETIRED", s->record.executed, "epoch=%u to=%s", s->record.epoch,
			       s->record.peer);
	}
	es_session_notify(s, s->record.state == WIRE_ES_RETIRED ? WIRE_RETIRED : WIRE_STATUS);
}

static void on_abort(struct es_session *s, uint64_t now)
{
	switch (s->record.state) {
	case WIRE_ES_ARRIVING:
		es_session_cancel(s, "the access point aborted the migration");
		break;
	case WIRE_ES_STANDBY:
		es_session_drop_container(s);
		es_session_give_up(s);
		break;
	case WIRE_ES_ACTIVE:
		s->then_to[0] = '\0';
		es_session_cancel(s, "the access point aborted the migration");
		es_session_pump(s, now);
		break;
	case WIRE_ES_NONE:
	case WIRE_ES_CREATING:
	case WIRE_ES_FENCED:
	case WIRE_ES_RETIRED:
	case WIRE_ES_LOST:
		break;
	}
	es_session_notify(s, WIRE_ABORTED);
}

static void on_disassociation(struct es_session *s)
{
	es_session_say(s, "DISASSOCIATION", s->record.executed, "by the user");
	if (s->record.state == WIRE_ES_ARRIVING || s->record.state == WIRE_ES_NONE) {
		es_session_cancel(s, "the user ended the session");
		if (!s->removing) /* otherwise when its container is gone */
			es_session_forget(s);
		return;
	}
	es_session_end(s, "the user ended the session");
}

void es_session_message(struct es_session *s, uint64_t now, const char *ap,
			const struct wire_message *m)
{
	if (m->type == WIRE_ATTACH) {
		on_attach(s, now, ap, m);
		return;
	}
	if (m->type == WIRE_MIGRATE) {
		on_migrate(s, now, ap, m);
		return;
	}
	if (!in_charge(s, ap, m)) {
		refuse(s, ap, m, WIRE_E_NOT_ALLOWED,
		       "not the access point in charge of the session");
		return;
	}
	s->heard = now;
	switch (m->type) {
	case WIRE_REQUEST:
		es_session_request(s, now, m);
		break;
	case WIRE_FENCE:
		on_fence(s, now, m);
		break;
	case WIRE_UNFENCE:
		on_unfence(s, m);
		break;
	case WIRE_ACTIVATE:
		on_activate(s, m);
		break;
	case WIRE_RETIRE:
		on_retire(s);
		break;
	case WIRE_ABORT:
		on_abort(s, now);
		break;
	case WIRE_DISASSOCIATION:
		on_disassociation(s);
		break;
	default:
		refuse(s, ap, m, WIRE_E_PROTOCOL, "message does not belong here");
	}
}
