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
#include "es/session_store.h"
#include "es/started_notes.h"

enum fate {
	FATE_UNCLAIMED, /* no journal speaks of its session */
	FATE_LEFT_OVER, /* its session has another container, or is elsewhere */
	FATE_KEPT,
};

struct adoption {
	struct edge_server *es;
	const struct container_found *found;
	size_t count;
	enum fate *fate; /* one for each of @found */
	size_t sessions;
};

/*
 * A container that was restarted has lost its session's memory. The session must not continue
 * silently.
 */
static bool not_restarted(struct edge_server *es, const struct container_found *f)
{
	char noted[CONTAINER_TIME_SIZE];

	if (started_notes_same(es->started, &f->where, noted))
		return true;
	log_error("session %016" PRIx64
		  ": container %.12s was restarted at %s, by somebody else; it ran "
		  "since %s, and what the session had in its memory is lost",
		  f->session, f->where.id, f->where.started, noted);
	return false;
}

/* A container of a session that is served, or may be again. */
static enum es_container state_of(struct adoption *a, const struct es_record *record,
				  const struct container_found *f)
{
	struct err err = { 0 };

	if (!f->running)
		return ES_CONTAINER_STOPPED;
	if (!not_restarted(a->es, f))
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
	enum es_container state =
		a->count < CONTAINERS_MAX ? ES_CONTAINER_GONE : ES_CONTAINER_STOPPED;
	struct err err = { 0 };

	for (size_t i = 0; i < a->count; i++) {
		const struct container_found *f = &a->found[i];

		if (f->session != record->session)
			continue;
		a->fate[i] = FATE_LEFT_OVER;
		if (f->epoch != record->container_epoch || record->state == WIRE_ES_RETIRED)
			continue;
		a->fate[i] = FATE_KEPT;
		state = state_of(a, record, f);
	}
	if (es_node_restore(a->es->node, edge_now(a->es), record, cache, cache_len, state, &err) <
	    0)
		log_error("session %016" PRIx64 ": not restored: %s", record->session, err.text);
	else
		a->sessions++;
}

static void bad_file(void *ctx, const char *file, const char *reason)
{
	(void)ctx;
	log_error("session file %s: %s; its session is lost, its container is kept", file, reason);
}

/* R15: the only thing that is left of a user's data is not removed without a person's word. */
static int keep_unclaimed(struct edge_server *es, const struct container_found *f, struct err *err)
{
	struct container_found *more =
		reallocarray(es->unclaimed, es->unclaimed_count + 1, sizeof(*more));

	if (!more)
		return err_set(err, -ENOMEM, "list containers");
	es->unclaimed = more;
	es->unclaimed[es->unclaimed_count++] = *f;
	log_error("container %.12s of session %016" PRIx64 ", service %s: no journal speaks of its "
		  "session; it is kept: baton session discard",
		  f->where.id, f->session, f->service);
	return 0;
}

static int settle(struct edge_server *es, const struct container_found *f, enum fate fate,
		  struct err *err)
{
	if (fate == FATE_UNCLAIMED)
		return keep_unclaimed(es, f, err);
	if (fate == FATE_LEFT_OVER &&
	    container_management_remove(es->containers, f->session, f->where.id, NULL, NULL,
					NULL) == 0)
		log_info("container that its session has left removed: %016" PRIx64 ", epoch %u",
			 f->session, f->epoch);
	return 0;
}

int edge_adopt(struct edge_server *es, const struct container_found *found, size_t count,
	       size_t *sessions, struct err *err)
{
	struct adoption a = { .es = es, .found = found, .count = count };
	int r;

	auto_free enum fate *fate = calloc(count + 1, sizeof(*fate));
	if (!fate)
		return err_set(err, -ENOMEM, "list containers");
	a.fate = fate;
	r = session_store_each(es->store, adopt, bad_file, &a, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = settle(es, &found[i], fate[i], err);
	/* a container that could not be listed may still be there */
	if (r == 0 && count < CONTAINERS_MAX)
		started_notes_sweep(es->started, found, count);
	*sessions = a.sessions;
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

int edge_discard(struct edge_server *es, uint64_t session, const char *who, struct err *err)
{
	int r = es_node_discard(es->node, edge_now(es), session, who, err);

	for (size_t i = 0; r == -ENOENT && i < es->unclaimed_count; i++) {
		const struct container_found f = es->unclaimed[i];

		if (f.session != session)
			continue;
		r = container_management_remove(es->containers, session, f.where.id, NULL, NULL,
						err);
		if (r < 0)
			return r;
		edge_unprotect(es, session);
		log_info("container %.12s of session %016" PRIx64
			 " removed with its data: discarded by operator %s",
			 f.where.id, session, who);
		es->unclaimed[i--] = es->unclaimed[--es->unclaimed_count];
		r = 0;
	}
	return r;
}
