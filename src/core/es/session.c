/* SPDX-License-Identifier: Apache-2.0 */
#include "core/es/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/state_table.h"
#include "core/es/answer_cache.h"
#include "core/common/replay_buffer.h"
#include "core/common/request.h"

#define MAY(state) STATE_BIT(WIRE_ES_##state)

static const struct state_row rows[] = {
	[WIRE_ES_NONE] = { "none", MAY(CREATING) | MAY(ARRIVING) },
	[WIRE_ES_CREATING] = { "creating", MAY(ACTIVE) | MAY(NONE) },
	[WIRE_ES_ACTIVE] = { "active", MAY(FENCED) | MAY(LOST) | MAY(NONE) },
	[WIRE_ES_FENCED] = { "fenced", MAY(ACTIVE) | MAY(RETIRED) | MAY(LOST) | MAY(NONE) },
	[WIRE_ES_ARRIVING] = { "arriving", MAY(STANDBY) | MAY(RETIRED) | MAY(NONE) },
	[WIRE_ES_STANDBY] = { "standby", MAY(ACTIVE) | MAY(RETIRED) | MAY(NONE) },
	[WIRE_ES_RETIRED] = { "retired", MAY(ARRIVING) | MAY(NONE) },
	[WIRE_ES_LOST] = { "lost", MAY(ACTIVE) | MAY(ARRIVING) | MAY(RETIRED) | MAY(NONE) },
};

static const struct state_table table = { "session at an edge server", ARRAY_SIZE(rows), rows };

struct es_session *es_session_new(struct es_node *node, uint64_t session, uint64_t now)
{
	if (node->count >= node->policy.sessions_max)
		return NULL;
	struct es_session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	if (answer_cache_new(&s->cache, NULL) < 0) {
		free(s);
		return NULL;
	}
	if (deadlines_add(&node->deadlines, &s->deadline) < 0) {
		answer_cache_free(s->cache);
		free(s);
		return NULL;
	}
	if (number_table_add(&node->by_number, &s->by_number, session) < 0) {
		deadlines_remove(&node->deadlines, &s->deadline);
		answer_cache_free(s->cache);
		free(s);
		return NULL;
	}
	s->node = node;
	s->record.session = session;
	s->heard = now;
	list_append(&node->sessions, &s->link);
	node->count++;
	return s;
}

struct es_session *es_session_find(const struct es_node *node, uint64_t session)
{
	struct number_entry *e = number_table_find(&node->by_number, session);

	if (!e)
		return NULL;
	struct es_session *s = container_of(e, struct es_session, by_number);
	deadlines_touch(&s->node->deadlines, &s->deadline);
	return s;
}

void es_session_free(struct es_session *s)
{
	es_session_clear_pending(s);
	answer_cache_free(s->cache);
	list_remove(&s->link);
	number_table_remove(&s->node->by_number, &s->by_number);
	deadlines_remove(&s->node->deadlines, &s->deadline);
	s->node->count--;
	free(s);
}

void es_session_move(struct es_session *s, enum wire_es_state to)
{
	state_require_move(&table, s->record.state, to);
	s->record.state = to;
}

void es_session_say(struct es_session *s, const char *kind, uint64_t number, const char *fmt, ...)
{
	char detail[WIRE_REASON_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	s->node->ops->event(s->node->ctx, s->record.session, kind, number, detail);
}

/* The record is older than the session's state, so nobody may rely on that state yet (R1, R4). */
static bool record_behind(const struct es_session *s)
{
	return s->unwritten && s->to_write != ES_PERSIST_STARTED;
}

static void not_written(struct es_session *s, enum es_persist what, const char *why)
{
	uint64_t now = s->node->now;

	(void)snprintf(s->why_unwritten, sizeof(s->why_unwritten), "%.255s", why);
	if (!s->unwritten) {
		s->unwritten_since = now;
		s->told_at = now;
		es_session_say(s, "NOT WRITTEN", s->record.executed, "%s", why);
	}
	s->unwritten = true;
	/* by then the user may have confirmed the answer, and the cache has dropped it */
	s->to_write = what == ES_PERSIST_ANSWER ? ES_PERSIST_ALL : what;
	s->write_at = now + s->node->policy.retry_ms;
}

bool es_session_persist(struct es_session *s, enum es_persist what)
{
	struct err err = { 0 };

	if (record_behind(s) && s->to_write != what)
		what = ES_PERSIST_ALL;
	if (s->node->ops->persist(s->node->ctx, &s->record, s->cache, what, &err) < 0) {
		not_written(s, what, err.text);
		return false;
	}
	if (s->unwritten)
		es_session_say(s, "WRITTEN AGAIN", s->record.executed, "after %llu ms",
			       (unsigned long long)(s->node->now - s->unwritten_since));
	s->unwritten = false;
	return true;
}

void es_session_forget(struct es_session *s)
{
	s->unwritten = false;
	s->node->ops->forget(s->node->ctx, s->record.session);
}

bool es_session_waiting(const struct es_session *s, uint64_t number)
{
	const struct request *r = s->pending[number % WIRE_WINDOW];

	return r && r->number == number;
}

static bool next_waits(const struct es_session *s)
{
	return es_session_waiting(s, s->record.executed + 1);
}

/*
 * R9: a waiting user is told the reason, and that nothing was executed; it may still be executed later. @kind is
 * that of the event, or NULL
 */
static void tell_waiting(struct es_session *s, uint64_t now, const char *kind, const char *why)
{
	struct wire_message m = {
		.type = WIRE_REFUSED,
		.session = s->record.session,
		.association = s->record.association,
		.es_status = { .status = WIRE_E_BUSY,
			       .executed = s->record.executed,
			       .cut_association = s->record.association },
	};

	(void)snprintf(m.es_status.reason, sizeof(m.es_status.reason),
		       "request %llu waits, nothing of it was executed: %s %.140s",
		       (unsigned long long)s->record.executed + 1, s->node->name, why);
	s->told_at = now;
	if (kind)
		es_session_say(s, kind, s->record.executed + 1, "%s", m.es_status.reason);
	s->node->ops->to_ap(s->node->ctx, s->record.ap, &m);
}

void es_session_write_again(struct es_session *s, uint64_t now)
{
	if (!s->unwritten || now < s->write_at)
		return;
	if (record_behind(s) && es_session_persist(s, s->to_write))
		es_session_notify(s, WIRE_STATUS);
	es_session_pump(s, now);
	if (s->unwritten && now >= s->write_at)
		s->unwritten = false; /* no request waits for it any more */
	if (s->unwritten && s->record.ap[0] && next_waits(s) &&
	    now >= s->told_at + s->node->policy.write_ms) {
		char why[WIRE_REASON_SIZE];

		(void)snprintf(why, sizeof(why), "cannot write: %.100s", s->why_unwritten);
		tell_waiting(s, now, "WAITING TO WRITE", why);
	}
}

/* Each time that the access point repeats its requests, so that their user does not wait without a word (R9). */
static void tell_starting(struct es_session *s, uint64_t now)
{
	char why[WIRE_REASON_SIZE];

	if (!s->starting || !next_waits(s))
		return;
	if (s->told_at && now < s->told_at + s->node->policy.retry_ms / 2)
		return;
	(void)snprintf(why, sizeof(why), "starts its container again: %.100s", s->reason);
	tell_waiting(s, now, NULL, why);
}

/* An arrival that was told to stop never becomes a copy, so it may be called gone already. */
static enum wire_es_state visible_state(const struct es_session *s)
{
	if (s->record.state == WIRE_ES_ARRIVING && s->cancelled)
		return WIRE_ES_NONE;
	return s->record.state;
}

/* Requests up to this number will be executed in any case: all before them are here. */
uint64_t es_session_received(const struct es_session *s)
{
	uint64_t n = s->record.executed;

	while (n - s->record.executed < WIRE_WINDOW && es_session_waiting(s, n + 1))
		n++;
	return n;
}

/*
 * A protected container that has ended will have executed the request that was under way: it is logged. The user may
 * have its answer.
 */
static uint64_t visible_executed(const struct es_session *s)
{
	bool ended = s->record.state == WIRE_ES_LOST || s->starting;

	return ended && s->protect.kept && s->record.started ? s->record.started
							     : s->record.executed;
}

static struct wire_message status_message(const struct es_session *s, enum wire_type type)
{
	struct wire_message m = {
		.type = type,
		.session = s->record.session,
		.association = s->record.association,
		.epoch = s->record.epoch,
		.es_status = {
			.state = visible_state(s),
			.executed = visible_executed(s),
			.received = es_session_received(s),
			.cut = s->cut,
			.cut_association = s->cut_association,
			.migration = s->migration,
			.holding = s->holding,
			.freeze_us = s->cut_association ? s->freeze_us : 0,
		},
	};

	if (type == WIRE_FAILED)
		m.es_status.status = s->lasting ? WIRE_E_LASTING : WIRE_E_FAILED;
	if (s->record.state == WIRE_ES_LOST && s->gone && !s->protect.kept)
		m.es_status.status = WIRE_E_LASTING;
	/* of LOST only a successor is told: it may have authority. Where the session came from has none */
	if (s->record.state != WIRE_ES_LOST || s->record.handed)
		memcpy(m.es_status.peer, s->record.peer, NAME_SIZE);
	memcpy(m.es_status.mud, s->record.mud, NAME_SIZE);
	memcpy(m.es_status.service, s->record.service, NAME_SIZE);
	memcpy(m.es_status.reason, s->reason, WIRE_REASON_SIZE);
	return m;
}

void es_session_send(struct es_session *s, const char *ap, enum wire_type type)
{
	struct wire_message m = status_message(s, type);

	if (record_behind(s))
		return; /* it is asked for again, and told when it is true after a crash, too */
	/* the access point that hands the session over gets the answer, but is not in charge any more (R11) */
	if (name_equal(ap, s->record.ap))
		memcpy(m.es_status.secret, s->record.secret, WIRE_SECRET_SIZE);
	s->node->ops->to_ap(s->node->ctx, ap, &m);
}

void es_session_notify(struct es_session *s, enum wire_type type)
{
	if (s->record.ap[0])
		es_session_send(s, s->record.ap, type);
}

void es_session_drop_pending(struct es_session *s, uint64_t number)
{
	struct request **slot = &s->pending[number % WIRE_WINDOW];

	s->pending_count--;
	s->pending_bytes -= (*slot)->len;
	*slot = request_free(*slot);
}

void es_session_clear_pending(struct es_session *s)
{
	for (uint64_t i = 0; s->pending_count && i < WIRE_WINDOW; i++) {
		if (s->pending[i])
			es_session_drop_pending(s, i);
	}
}

void es_session_unprotect(struct es_session *s)
{
	const struct es_node *node = s->node;
	struct es_protection *p = &s->protect;

	if (p->running)
		es_session_cancel(s, "the session is not protected any more");
	if (p->recovering && p->arrived)
		node->ops->remove_container(node->ctx, s->record.session, p->epoch);
	else if (p->recovering && s->start_running)
		node->ops->cancel_migration(node->ctx, s->record.session, "it is of no use");
	if (p->kept || p->logging)
		node->ops->unprotect(node->ctx, s->record.session);
	*p = (struct es_protection){
		.running = p->running,
		.crashed_epoch = p->crashed_epoch,
	};
}

void es_session_drop_container(struct es_session *s)
{
	es_session_unprotect(s);
	if (s->protect.crashed_epoch)
		s->node->ops->remove_container(s->node->ctx, s->record.session,
					       s->protect.crashed_epoch);
	s->protect.crashed_epoch = 0;
	s->starting = false; /* a start that is under way is of no interest any more */
	s->start_running = false;
	s->start_at = 0;
	s->removing = true;
	s->removing_epoch = s->record.container_epoch;
	s->node->ops->remove_container(s->node->ctx, s->record.session, s->record.container_epoch);
}

void es_session_give_up(struct es_session *s)
{
	es_session_clear_pending(s);
	s->record.started = 0;
	s->cut_association = 0;
	s->cancelled = false;
	s->record.epoch--; /* authority never was here: it was at the peer, one epoch before */
	es_session_move(s, WIRE_ES_RETIRED);
	(void)es_session_persist(s, ES_PERSIST_ALL);
}

void es_session_cancel(struct es_session *s, const char *reason)
{
	bool arriving = s->record.state == WIRE_ES_ARRIVING;

	if (s->cancelled ||
	    (!arriving && s->migration == WIRE_MIGRATION_NONE && !s->protect.running))
		return;
	s->cancelled = true;
	/* while the cut itself is being taken the container is frozen: its end resumes execution */
	if (!s->cutting)
		s->held = false;
	s->node->ops->cancel_migration(s->node->ctx, s->record.session, reason);
}

struct es_migration_order es_session_order(const struct es_session *s, const char *to_es, bool hold)
{
	struct es_migration_order order = {
		.session = s->record.session,
		.association = s->record.association,
		.epoch = s->record.epoch,
		.container_epoch = s->record.container_epoch,
		.hold = hold,
	};

	(void)name_set(order.to_es, to_es, NULL);
	memcpy(order.ap, s->record.ap, NAME_SIZE);
	memcpy(order.mud, s->record.mud, NAME_SIZE);
	memcpy(order.service, s->record.service, NAME_SIZE);
	memcpy(order.secret, s->record.secret, WIRE_SECRET_SIZE);
	return order;
}

uint64_t es_session_pause(const struct es_session *s, uint32_t tries)
{
	const struct policy *p = &s->node->policy;
	uint64_t pause = p->backoff_ms;

	if (!tries)
		return 0;
	for (uint32_t i = 1; i < tries && pause < p->backoff_max_ms; i++)
		pause *= 2;
	return pause < p->backoff_max_ms ? pause : p->backoff_max_ms;
}

/* --- executing --------------------------------------------------------------------------------- */

/* Requests are taken; a container that is being started again executes them later. */
static bool may_execute(const struct es_session *s)
{
	return s->record.state == WIRE_ES_ACTIVE || s->record.state == WIRE_ES_STANDBY;
}

static void become_fenced(struct es_session *s)
{
	s->fencing = false;
	es_session_clear_pending(s);
	es_session_move(s, WIRE_ES_FENCED);
	(void)es_session_persist(s, ES_PERSIST_ALL);
	es_session_say(s, "FENCED", s->record.executed, "epoch=%u", s->record.epoch);
	es_session_notify(s, WIRE_FENCED);
}

void es_session_hold(struct es_session *s)
{
	s->holding = true;
	s->fencing = false;
	es_session_clear_pending(s);
	es_session_move(s, WIRE_ES_FENCED);
	(void)es_session_persist(s, ES_PERSIST_ALL);
	es_session_say(s, "HELD", s->record.executed, "epoch=%u until CT-y is there",
		       s->record.epoch);
}

static void take_cut(struct es_session *s)
{
	s->cutting = true;
	s->node->ops->take_cut(s->node->ctx, s->record.session, s->record.executed, s->cache);
}

#define LOGGED 64 /* bytes that each logged request takes beside its own */

/* A request that is not in the log could not be executed again: then the session is not protected any more. */
static void log_request(struct es_session *s, const struct wire_data *request)
{
	struct err err = { 0 };

	s->protect.log_bytes += request->len + LOGGED; /* of small ones this is most */
	if (s->node->ops->log_request(s->node->ctx, s->record.session, request, &err) == 0)
		return;
	es_session_say(s, "PROTECTION LOST", s->record.executed, "%s", err.text);
	es_session_unprotect(s);
}

/* Return: false if it cannot be written that the request begins, so it does not (R1) */
static bool execute(struct es_session *s, struct request *r)
{
	const struct wire_data request = request_data(r);

	if (s->protect.logging)
		log_request(s, &request);
	s->record.started = r->number;
	if (!es_session_persist(s, ES_PERSIST_STARTED)) {
		s->record.started = 0;
		return false;
	}
	s->node->ops->execute(s->node->ctx, s->record.session, s->record.container_epoch, &request);
	return true;
}

static bool may_write(const struct es_session *s, uint64_t now)
{
	return !s->unwritten || now >= s->write_at;
}

/*
 * An instant for a cut (R12): no message is incomplete, or an incomplete one will stay so, for its sender
 * is gone.
 */
static bool idle(const struct es_session *s, uint64_t now)
{
	const struct es_node *node = s->node;
	uint64_t drain_ms = node->policy.drain_ms;

	if (!node->ops->under_way(node->ctx, s->record.session, s->record.container_epoch))
		return true;
	return now >= s->held_since + drain_ms && now >= s->finished_at + drain_ms;
}

void es_session_pump(struct es_session *s, uint64_t now)
{
	uint64_t next = s->record.executed + 1;

	if (!may_execute(s) || s->record.started || s->node->stopping)
		return;
	if (s->cutting || record_behind(s))
		return;
	if (s->starting) {
		if (s->fencing) /* nothing runs, and the replica has what is here */
			become_fenced(s);
		return;
	}
	if (s->held && idle(s, now)) {
		take_cut(s);
		return;
	}
	if (es_session_waiting(s, next) && !(s->fencing && next > s->fence_after)) {
		if (answer_cache_bytes(s->cache) + WIRE_PAYLOAD_MAX > WIRE_WINDOW_BYTES)
			return; /* the MUD confirms answers with its next request, or the same again */
		if (may_write(s, now) && execute(s, s->pending[next % WIRE_WINDOW]))
			return;
	}
	/* requests that FENCE allowed and that are not here will be executed by CT-y alone */
	if (s->fencing)
		become_fenced(s);
}

void es_session_answer(struct es_session *s, const struct wire_data *answer)
{
	struct wire_message m = {
		.type = WIRE_ANSWER,
		.session = s->record.session,
		.association = s->record.association,
		.epoch = s->record.epoch,
		.data = *answer,
	};

	s->node->ops->to_ap(s->node->ctx, s->record.ap, &m);
}

static void keep_request(struct es_session *s, const struct wire_data *d)
{
	struct request **slot = &s->pending[d->number % WIRE_WINDOW];

	if (es_session_waiting(s, d->number) || s->pending_bytes + d->len > WIRE_WINDOW_BYTES)
		return;
	struct request *request = request_keep(d);
	if (!request) {
		/* as if it had been lost on the way: the access point sends it again */
		es_session_say(s, "OUT OF MEMORY", d->number, "request of %zu bytes dropped",
			       d->len);
		return;
	}
	if (*slot)
		es_session_drop_pending(s, (*slot)->number);
	s->pending_count++;
	s->pending_bytes += d->len;
	*slot = request;
}

void es_session_request(struct es_session *s, uint64_t now, const struct wire_message *m)
{
	const struct wire_data *d = &m->data;
	struct wire_data answer;

	if (m->epoch != s->record.epoch)
		return;
	answer_cache_trim(s->cache, d->ack);
	if (d->number <= s->record.executed) {
		if (answer_cache_get(s->cache, d->number, &answer) == 0)
			es_session_answer(s, &answer);
		return;
	}
	if (!may_execute(s) || d->number == s->record.started)
		return;
	if (s->fencing && d->number > s->fence_after)
		return;
	if (d->number > s->record.executed + WIRE_WINDOW || d->number > d->ack + WIRE_WINDOW)
		return;
	keep_request(s, d);
	es_session_pump(s, now);
	tell_starting(s, now);
}

void es_session_keep(struct es_session *s, const struct wire_data *answer)
{
	struct wire_data doubt = { .number = answer->number, .status = WIRE_E_IN_DOUBT };

	if (answer_cache_put(s->cache, answer, NULL) == 0)
		return;
	es_session_say(s, "ANSWER NOT KEPT", answer->number, "%zu bytes", answer->len);
	doubt.digest = replay_digest(&doubt);
	(void)answer_cache_put(s->cache, &doubt, NULL); /* needs no memory */
}

static void log_answer(struct es_session *s, const struct wire_data *answer)
{
	bool in_doubt = answer->status == WIRE_E_IN_DOUBT;
	const struct es_logged how = {
		.digest = in_doubt ? 0 : answer->digest,
		.in_doubt = in_doubt,
	};

	if (!s->protect.logging)
		return;
	s->node->ops->log_answer(s->node->ctx, s->record.session, answer->number, how);
	if (how.in_doubt && s->protect.due_at)
		s->protect.due_at =
			s->node->now; /* a cut is better than a request that is left out */
}

bool es_session_settle_doubt(struct es_session *s, const char *why)
{
	struct wire_data answer = { .number = s->record.started, .status = WIRE_E_IN_DOUBT };

	if (!s->record.started)
		return false;
	es_session_say(s, "IN DOUBT", s->record.started, "%s", why);
	answer.digest = replay_digest(&answer);
	es_session_keep(s, &answer);
	log_answer(s, &answer);
	s->record.executed = s->record.started;
	s->record.started = 0;
	return true;
}

bool es_session_finish(struct es_session *s, uint64_t now, uint32_t epoch,
		       const struct wire_data *answer)
{
	if (s->record.container_epoch != epoch || s->record.started != answer->number)
		return false;
	s->record.started = 0;
	s->record.executed = answer->number;
	s->finished_at = now;
	if (es_session_waiting(s, answer->number))
		es_session_drop_pending(s, answer->number);
	es_session_keep(s, answer);
	log_answer(s, answer);
	/* Sent even if it is not written: STARTED is, so the request is never executed again (R1). */
	(void)es_session_persist(s, ES_PERSIST_ANSWER);
	es_session_answer(s, answer);
	es_session_pump(s, now);
	return true;
}

/* --- its end ----------------------------------------------------------------------------------- */

bool es_session_has_container(const struct es_session *s)
{
	return s->record.state != WIRE_ES_NONE && s->record.state != WIRE_ES_RETIRED &&
	       !(s->record.state == WIRE_ES_LOST && s->gone);
}

void es_session_end(struct es_session *s, const char *fmt, ...)
{
	bool container = es_session_has_container(s);
	char why[WIRE_REASON_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	es_session_cancel(s, why);
	bool data = container || s->protect.kept;
	es_session_unprotect(s);
	/* R15: no user data goes without a word; one that was never used has none */
	if (data && (s->record.executed || s->record.started))
		es_session_say(s, "DATA REMOVED", s->record.executed, "mud=%s service=%s: %s",
			       s->record.mud, s->record.service, why);
	es_session_clear_pending(s);
	s->starting = false;
	s->record.started = 0;
	es_session_move(s, WIRE_ES_NONE);
	if (container || s->removing)
		(void)es_session_persist(s, ES_PERSIST_ALL);
	else
		es_session_forget(s);
	if (container)
		es_session_drop_container(s);
	else if (!s->removing)
		es_session_free(s);
}
