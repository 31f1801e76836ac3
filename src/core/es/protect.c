/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Protection - a container that has ended comes back with its memory
 *
 * From time to time a consistent cut of the container (R2) is taken as for a migration, and kept at this edge
 * server. The requests since then are logged before the container sees them, and the digests of their answers.
 * When the container has ended, a new one is restored from the cut. It executes the logged requests, and its
 * answers must be those that were given (R5). Then it takes the place of the one that ended, which is removed:
 * the same service, with all that its user has answers to, and no request in doubt.
 *
 *	requests   1  2  3  4  5  6  7  8  9
 *	cut kept            |
 *	log                 |  5  6  7  8  9
 *	recovery   restore -'  5  6  7  8  9    (9 ran when it ended)
 *
 * Until then the container that ended keeps its layer and volumes, and the record names it. A recovery that fails
 * is tried again, until an operator decides otherwise. If the answers differ, the container that ended starts
 * again without its memory, as one without protection does (es/restart.c).
 *
 * A request that ends the container again may be the reason of all of it: it is left out, and in doubt. Requests
 * that were in doubt before are left out, too, unless the answers to later ones show that they had been executed.
 */

#include "core/es/session.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define LOG_DUE (32u << 20)  /* bytes logged: a cut is due before its time */
#define LOG_MAX (128u << 20) /* no cut could be kept for so long that protection ends (R9) */

static uint64_t protection(const struct es_session *s)
{
	const struct es_node_ops *ops = s->node->ops;

	return ops->protection ? ops->protection(s->node->ctx, s->record.service) : 0;
}

/* --- cuts that are kept ------------------------------------------------------------------------ */

uint64_t es_session_protect_at(const struct es_session *s)
{
	const struct es_protection *p = &s->protect;

	if (p->crashed_epoch && !s->removing && !s->unwritten)
		return 0;
	if (s->record.state != WIRE_ES_ACTIVE || !p->due_at || p->running || s->starting ||
	    s->fencing || s->removing || s->unwritten || s->migration != WIRE_MIGRATION_NONE)
		return UINT64_MAX;
	return p->due_at;
}

/* The record names the container that was restored, also after a crash: the one that ended may go. */
static void remove_crashed(struct es_session *s)
{
	s->removing = true;
	s->removing_epoch = s->protect.crashed_epoch;
	s->protect.crashed_epoch = 0;
	s->node->ops->remove_container(s->node->ctx, s->record.session, s->removing_epoch);
}

/* Its operator has changed the catalogue. */
static void not_protected(struct es_session *s)
{
	if (s->protect.kept)
		es_session_say(s, "PROTECTION LOST", s->record.executed,
			       "its service is not protected any more");
	es_session_unprotect(s);
}

void es_session_protect(struct es_session *s, uint64_t now)
{
	if (now < es_session_protect_at(s))
		return;
	if (s->protect.crashed_epoch) {
		remove_crashed(s);
		return;
	}
	if (!protection(s)) {
		not_protected(s);
		return;
	}
	const struct es_migration_order order = es_session_order(s, s->node->name, false);
	s->protect.running = true;
	s->cancelled = false;
	s->node->ops->keep_cut(s->node->ctx, &order);
}

void es_session_protect_taken(struct es_session *s)
{
	s->protect.taken = s->record.executed;
	s->protect.logging = true; /* nothing has been executed since */
}

static void kept(struct es_session *s)
{
	struct es_protection *p = &s->protect;

	p->kept = true;
	p->cut = p->taken;
	p->log_bytes = 0;
	s->node->ops->log_trim(s->node->ctx, s->record.session, p->cut);
	es_session_say(s, "CUT KEPT", p->cut, "requests are logged from here on");
}

void es_session_protect_ended(struct es_session *s, uint64_t now, const char *reason)
{
	struct es_protection *p = &s->protect;
	uint64_t every = protection(s);
	uint64_t pause = s->node->policy.backoff_ms;

	p->running = false;
	if (!reason && (!every || !p->logging || !es_session_has_container(s))) {
		/* it was no longer wanted, and requests have begun that are in no log */
		p->logging = true;
		es_session_unprotect(s);
		return;
	}
	bool again = p->failed;
	p->failed = reason && !s->cancelled;
	if (!reason)
		kept(s);
	else if (p->failed && !again) /* once, not for each try */
		es_session_say(s, "CUT NOT KEPT", s->record.executed, "%s", reason);
	if (p->failed && pause < every)
		pause = every;
	if (!every || (p->kept && p->cut == s->record.executed))
		p->due_at = 0;
	else
		p->due_at = now + (reason ? pause : every);
}

void es_session_protect_busy(struct es_session *s, uint64_t now)
{
	s->protect.running = false;
	s->cancelled = false;
	s->protect.due_at = now + s->node->policy.retry_ms;
}

void es_session_protect_restore(struct es_session *s, uint64_t now, bool runs)
{
	struct es_protection *p = &s->protect;
	const struct es_node_ops *ops = s->node->ops;
	uint64_t every = protection(s);

	if (!ops->protection)
		return;
	int kept = ops->kept_cut(s->node->ctx, s->record.session, s->record.executed, &p->cut);
	if (kept < 0) /* unreadable is not absent: a recovery will show (R15) */
		p->cut = s->record.executed;
	p->kept = kept != 0;
	p->logging = p->kept;
	/* not all at once, for there may be many */
	if (p->kept && p->cut < s->record.executed)
		p->due_at = now + 1 + (every ? s->record.session % every : 0);
	if (!p->kept)
		ops->unprotect(s->node->ctx, s->record.session);
	else if (!every && runs)
		not_protected(s);
}

/* --- requests that are logged ------------------------------------------------------------------ */

void es_session_request_ended(struct es_session *s, uint64_t now)
{
	struct es_protection *p = &s->protect;
	uint64_t every = p->due_at ? 0 : protection(s);

	if (every)
		p->due_at = now + (p->kept ? every : 0);
	if (p->log_bytes > LOG_DUE && p->due_at > now && !p->failed)
		p->due_at = now;
	if (p->log_bytes > LOG_MAX) {
		es_session_say(s, "PROTECTION LOST", s->record.executed,
			       "no cut could be kept for %u MB of requests", LOG_MAX >> 20);
		es_session_unprotect(s);
	}
}

/* --- recovery ---------------------------------------------------------------------------------- */

bool es_session_recover(struct es_session *s)
{
	struct es_protection *p = &s->protect;
	struct es_migration_order order;

	if (!p->kept)
		return false;
	if (!p->recovering) {
		p->recovering = true;
		p->epoch = s->record.epoch;
	}
	p->offered = false;
	p->arrived = false;
	p->replaying = 0;
	p->skipped = false;
	order = es_session_order(s, s->node->name, false);
	order.epoch = p->epoch -
		      1; /* of the container that was cut, for all that its destination knows */
	s->node->ops->recover(s->node->ctx, &order);
	return true;
}

bool es_session_expects(const struct es_session *s, const char *from, const struct wire_message *m)
{
	return s->protect.recovering && s->start_running && !s->protect.offered &&
	       !s->protect.arrived && name_equal(from, s->node->name) &&
	       m->epoch + 1 == s->protect.epoch && proof_equal(m->offer.secret, s->record.secret);
}

/* The request that was under way is logged, too: now it is executed, once in the history that goes on. */
static void settle_open(struct es_session *s, const struct wire_data *answer)
{
	s->record.executed = answer->number;
	s->record.started = 0;
	es_session_keep(s, answer);
	s->node->ops->log_answer(s->node->ctx, s->record.session, answer->number,
				 (struct es_logged){ .digest = answer->digest });
}

static void recovered(struct es_session *s, uint64_t now)
{
	struct es_protection *p = &s->protect;

	p->recovering = false;
	p->with_doubts = false;
	p->tries = 0;
	if (p->crashed_epoch) /* the record could not be written since: it does not name this one */
		s->node->ops->remove_container(s->node->ctx, s->record.session,
					       s->record.container_epoch);
	else
		p->crashed_epoch = s->record.container_epoch;
	s->record.container_epoch = p->epoch;
	s->starting = false;
	s->start_running = false;
	s->start_at = 0;
	s->started_at = now;
	s->gone = false;
	s->restarts++;
	(void)es_session_persist(s, ES_PERSIST_ALL);
	es_session_say(s, "CONTAINER RECOVERED", s->record.executed,
		       "after %llu ms, from the cut at %llu, nothing is lost: %s",
		       (unsigned long long)(now - s->start_since), (unsigned long long)p->cut,
		       s->reason);
	s->reason[0] = '\0';
	es_session_protect(s, now);
	es_session_notify(s, WIRE_STATUS);
	es_session_pump(s, now);
}

static void replay_next(struct es_session *s, uint64_t now)
{
	struct es_protection *p = &s->protect;
	struct es_logged how = { .in_doubt = false };
	struct wire_data request;
	struct err err = { 0 };

	for (;; p->replayed++) {
		uint64_t next = p->replayed + 1;

		if (p->replayed >= s->record.executed && !s->record.started) {
			recovered(s, now);
			return;
		}
		int r = s->node->ops->logged(s->node->ctx, s->record.session, next, &request, &how,
					     &err);
		if (r < 0 && next == s->record.started) {
			(void)es_session_settle_doubt(s, "it is not in the log");
			continue;
		}
		if (r < 0) {
			es_session_not_recovered(s, now, true, err.text);
			return;
		}
		if (!how.in_doubt || p->with_doubts)
			break;
		p->skipped = true;
	}
	p->digest = how.digest;
	p->doubtful = how.in_doubt;
	p->replaying = request.number;
	s->node->ops->execute(s->node->ctx, s->record.session, p->epoch, &request);
}

void es_session_restored(struct es_session *s, uint64_t now, uint64_t cut)
{
	s->protect.offered = false;
	s->protect.arrived = true;
	s->protect.cut =
		cut; /* or the program ended when one was kept, and before that was known */
	s->protect.replayed = cut;
	replay_next(s, now);
}

bool es_session_replayed(struct es_session *s, uint64_t now, uint32_t epoch,
			 const struct wire_data *answer)
{
	struct es_protection *p = &s->protect;
	char why[WIRE_REASON_SIZE];

	if (!p->recovering || !p->arrived || epoch != p->epoch || answer->number != p->replaying)
		return false;
	if (answer->status == WIRE_E_IN_DOUBT) {
		es_session_not_recovered(s, now, false, "the connection to its service broke");
		return true;
	}
	p->replaying = 0;
	if (p->digest && answer->digest && p->digest != answer->digest) {
		(void)snprintf(why, sizeof(why), "it answers request %llu otherwise than it did",
			       (unsigned long long)answer->number);
		/* requests in doubt may have been executed, after all: only then the answers are the same */
		bool again = p->skipped && !p->with_doubts;
		p->with_doubts = again;
		es_session_not_recovered(s, now, !again, why);
		return true;
	}
	p->replayed = answer->number;
	bool opened = s->record.started == answer->number;
	if (opened)
		settle_open(s, answer);
	replay_next(s, now);
	if (opened && !p->recovering)
		es_session_answer(s, answer);
	return true;
}

/* The container that was restored is removed before another one of its name is made. */
static void remove_restored(struct es_session *s)
{
	s->removing = true;
	s->removing_epoch = s->protect.epoch;
	s->node->ops->remove_container(s->node->ctx, s->record.session, s->protect.epoch);
}

static void start_without_memory(struct es_session *s, uint64_t now, const char *why)
{
	es_session_say(s, "PROTECTION LOST", s->record.executed,
		       "the container starts without its memory: %s", why);
	es_session_unprotect(s);
	(void)es_session_settle_doubt(s, "the container ended while it ran");
	(void)es_session_persist(s, ES_PERSIST_ALL);
	s->start_running = false;
	s->start_at = now;
}

void es_session_not_recovered(struct es_session *s, uint64_t now, bool final, const char *reason)
{
	struct es_protection *p = &s->protect;
	bool poison = p->arrived && p->replaying && p->replaying == s->record.started;

	es_session_say(s, "CONTAINER NOT RECOVERED", s->record.executed, "%s", reason);
	/* neither with this request nor without it does it answer as it did */
	final |= p->arrived && p->replaying && p->doubtful;
	if (p->arrived)
		remove_restored(s);
	p->offered = false;
	p->arrived = false;
	p->replaying = 0;
	s->start_running = false;
	if (final) {
		start_without_memory(s, now, reason);
		return;
	}
	/* it may be the one that ends the container each time */
	if (poison && es_session_settle_doubt(s, "the container ended again while it ran"))
		(void)es_session_persist(s, ES_PERSIST_ALL);
	p->tries++;
	(void)snprintf(s->reason, sizeof(s->reason), "its memory is being recovered: %.160s",
		       reason);
	s->start_at = now + es_session_pause(s, p->tries);
}

void es_node_not_recovered(struct es_node *node, uint64_t now, uint64_t session,
			   enum es_recovery how, const char *reason)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || !s->protect.recovering || !s->start_running || s->protect.offered ||
	    s->protect.arrived)
		return;
	if (how != ES_RECOVERY_AWAY) {
		es_session_not_recovered(s, now, how == ES_RECOVERY_NO_CUT, reason);
		return;
	}
	s->start_running = false;
	s->start_at = now + node->policy.retry_ms;
}

bool es_session_give_up_memory(struct es_session *s)
{
	if (!s->protect.recovering || !s->protect.tries)
		return false;
	start_without_memory(s, s->node->now, "by an operator");
	return true;
}
