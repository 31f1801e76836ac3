/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Adoption - at its start an edge server adopts the sessions and containers that were here before
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "es/edge_inner.h"
#include "es/gateway/gateway.h"
#include "es/journal/session_store.h"
#include "es/journal/started_notes.h"

enum fate {
	FATE_UNCLAIMED, /* no journal speaks of its session */
	FATE_LEFT_OVER, /* its session has another container, or is elsewhere */
	FATE_KEPT,
};

struct adoption {
	struct edge_server *es;
	const struct container_found *found;
	size_t count;
	enum fate *fate;                    /* one for each of @found */
	const struct container_found *kept; /* of the session that is being adopted */
	size_t sessions;
	struct err why; /* the session that was read last cannot be adopted */
	edge_withhold_fn withhold;
	int r;
	struct err *err;
};

/*
 * A container that was restarted has lost its session's memory. The session must not continue
 * silently. Return: 1 if it was not, 0 if it was, or negative: that cannot be said now.
 */
static int not_restarted(struct edge_server *es, const struct container_found *f, struct err *err)
{
	char noted[CONTAINER_TIME_SIZE];
	int same = started_notes_same(es->started, &f->where, noted);

	if (same < 0)
		return err_set(err, same, "note of the start of container %.12s", f->where.id);
	if (same)
		return 1;
	log_error("session %016" PRIx64
		  ": container %.12s was restarted at %s, by somebody else; it ran "
		  "since %s, and what the session had in its memory is lost",
		  f->session, f->where.id, f->where.started, noted);
	return 0;
}

/* A container of a session that is served, or may be again. Return: negative if that cannot be said */
static int state_of(struct adoption *a, const struct es_record *record,
		    const struct container_found *f)
{
	struct err err = { 0 };

	if (!f->running)
		return ES_CONTAINER_STOPPED;
	int same = not_restarted(a->es, f, &a->why);
	if (same < 0)
		return same;
	if (!same)
		return ES_CONTAINER_RESTARTED;
	if (record->state != WIRE_ES_ACTIVE && record->state != WIRE_ES_FENCED)
		return ES_CONTAINER_RUNS;
	if (edge_open_to_requests(a->es, f->session, f->epoch, record->service, &f->where, &err) ==
	    0)
		return ES_CONTAINER_RUNS;
	log_error("session %016" PRIx64 ": container %.12s: %s", f->session, f->where.id, err.text);
	return ES_CONTAINER_STOPPED;
}

static void adopt(void *ctx, const struct es_record *record, const void *cache, size_t cache_len)
{
	struct adoption *a = ctx;
	/* one that could not be listed may still be there */
	int state = a->count < CONTAINERS_MAX ? ES_CONTAINER_GONE : ES_CONTAINER_STOPPED;

	a->why.code = 0;
	a->kept = NULL;
	for (size_t i = 0; i < a->count; i++) {
		const struct container_found *f = &a->found[i];

		if (f->session != record->session)
			continue;
		a->fate[i] = FATE_LEFT_OVER;
		if (f->epoch != record->container_epoch || record->state == WIRE_ES_RETIRED)
			continue;
		a->fate[i] = FATE_KEPT;
		a->kept = f;
		state = state_of(a, record, f);
	}
	if (state >= 0 && es_node_restore(a->es->node, edge_now(a->es), record, cache, cache_len,
					  (enum es_container)state, &a->why) == 0)
		a->sessions++;
}

/* A session must not be left out silently: its user would begin anew. */
static void adopt_or_withhold(void *ctx, const struct es_record *record, const void *cache,
			      size_t cache_len)
{
	struct adoption *a = ctx;

	adopt(a, record, cache, cache_len);
	if (a->why.code && a->r == 0)
		a->r = a->withhold(a->es, record->session, &a->why, a->kept, a->err);
}

static void bad_file(void *ctx, uint64_t session, const struct err *why)
{
	struct adoption *a = ctx;

	if (a->r == 0)
		a->r = a->withhold(a->es, session, why, NULL, a->err);
}

static int settle(struct adoption *a, const struct container_found *f, enum fate fate,
		  struct err *err)
{
	struct edge_server *es = a->es;

	/* R15: the only thing that is left of a user's data is not removed without a person's word */
	if (fate == FATE_UNCLAIMED)
		return a->withhold(es, f->session, NULL, f, err);
	if (fate == FATE_LEFT_OVER &&
	    container_management_remove(es->containers, f->session, f->where.id, NULL, NULL,
					NULL) == 0)
		log_info("container that its session has left removed: %016" PRIx64 ", epoch %u",
			 f->session, f->epoch);
	return 0;
}

int edge_adopt(struct edge_server *es, const struct container_found *found, size_t count,
	       edge_withhold_fn withhold, size_t *sessions, struct err *err)
{
	struct adoption a = {
		.es = es, .found = found, .count = count, .withhold = withhold, .err = err
	};
	int r;

	auto_free enum fate *fate = calloc(count + 1, sizeof(*fate));
	if (!fate)
		return err_set(err, -ENOMEM, "list containers");
	a.fate = fate;
	r = session_store_each(es->store, adopt_or_withhold, bad_file, &a, err);
	if (r == 0)
		r = a.r;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = settle(&a, &found[i], fate[i], err);
	/* a container that could not be listed may still be there */
	if (r == 0 && count < CONTAINERS_MAX)
		started_notes_sweep(es->started, found, count);
	*sessions = a.sessions;
	return r;
}

int edge_adopt_again(struct edge_server *es, const struct container_found *found, size_t count,
		     uint64_t session, struct err *err)
{
	struct adoption a = { .es = es, .found = found, .count = count };
	int r;

	auto_free enum fate *fate = calloc(count + 1, sizeof(*fate));
	if (!fate)
		return err_set(err, -ENOMEM, "list containers");
	a.fate = fate;
	r = session_store_again(es->store, session, adopt, &a, err);
	if (r == 0 && a.why.code) {
		*err = a.why;
		r = a.why.code;
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (found[i].session == session)
			r = settle(&a, &found[i], fate[i], err);
	}
	return r;
}

struct comparison {
	struct edge_server *es;
	const struct container_found *found;
	size_t count;
	uint64_t began_ms;
	struct ended {
		uint64_t session;
		uint32_t epoch;
		const char *reason;
	} * ended;
	size_t ended_count;
};

/* Return: why the container that the gateway speaks to is not the one that it was; NULL if it is */
static const char *changed(const struct comparison *c, const struct container_address *where)
{
	if (where->opened_ms >= c->began_ms) /* it was started, or came, while the list was made */
		return NULL;
	for (size_t i = 0; i < c->count; i++) {
		const struct container_found *f = &c->found[i];

		if (strcmp(f->where.id, where->id) != 0)
			continue;
		if (!f->running)
			return "the container ended while its engine was away";
		return strcmp(f->where.started, where->started) == 0
			       ? NULL
			       : "the container was started anew while its engine was away";
	}
	return c->count < CONTAINERS_MAX ? "the container is gone" : NULL;
}

static void compare(void *ctx, const struct es_session_view *v)
{
	struct comparison *c = ctx;
	const struct es_record *r = &v->record;
	const struct container_address *where =
		gateway_find(c->es->gateway, r->session, r->container_epoch);
	const char *reason = where ? changed(c, where) : NULL;

	if (reason)
		c->ended[c->ended_count++] =
			(struct ended){ r->session, r->container_epoch, reason };
}

static void count(void *ctx, const struct es_session_view *v)
{
	(void)v;
	++*(size_t *)ctx;
}

void edge_compare(void *ctx, const struct container_found *found, size_t found_count,
		  uint64_t began_ms)
{
	struct comparison c = {
		.es = ctx, .found = found, .count = found_count, .began_ms = began_ms
	};
	size_t sessions = 0;

	es_node_each(c.es->node, count, &sessions);
	auto_free struct ended *ended = calloc(sessions + 1, sizeof(*ended));
	if (!ended) {
		log_error("containers are not compared with what the engine has: out of memory");
		return;
	}
	c.ended = ended;
	es_node_each(c.es->node, compare, &c);
	for (size_t i = 0; i < c.ended_count; i++)
		edge_container_ended(c.es, ended[i].session, ended[i].epoch, -1, ended[i].reason);
}
