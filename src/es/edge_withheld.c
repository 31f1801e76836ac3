/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Withheld sessions - their journals cannot be read, are damaged or lost
 *
 * Nobody knows then which requests were executed, so the session cannot go on. It must not begin anew either, for
 * something of it is here (R15): its user is refused, with the reason. A journal that could not be read at the
 * moment is read again every AGAIN_MS, with the containers as they are then. One that is damaged or gone is an
 * operator's to decide about: "restore" reads it again, when it has been put back, "discard" ends the session.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "es/edge_inner.h"
#include "es/journal/session_store.h"
#include "report/log_reporter.h"

#define AGAIN_MS 5000

/* Whether its journal may be good without anybody's help */
static bool may_recover(const struct es_unclaimed *u)
{
	return u->code && u->code != -EPROTO && u->code != -ENOENT;
}

static struct es_unclaimed *find(struct edge_server *es, uint64_t session)
{
	for (size_t i = 0; i < es->unclaimed_count; i++) {
		if (es->unclaimed[i].session == session)
			return &es->unclaimed[i];
	}
	return NULL;
}

/* Return: NULL without memory */
static struct es_unclaimed *add(struct edge_server *es, uint64_t session)
{
	struct es_unclaimed *more =
		reallocarray(es->unclaimed, es->unclaimed_count + 1, sizeof(*more));

	if (!more)
		return NULL;
	es->unclaimed = more;
	es->unclaimed[es->unclaimed_count] = (struct es_unclaimed){ .session = session };
	return &es->unclaimed[es->unclaimed_count++];
}

static void forget(struct edge_server *es, uint64_t session)
{
	for (size_t i = 0; i < es->unclaimed_count; i++) {
		if (es->unclaimed[i].session == session)
			es->unclaimed[i--] = es->unclaimed[--es->unclaimed_count];
	}
}

static int tell_node(struct edge_server *es, const struct es_unclaimed *u, const char *why,
		     struct err *err)
{
	char reason[WIRE_REASON_SIZE];

	if (may_recover(u))
		(void)snprintf(reason, sizeof(reason),
			       "%s cannot read its record of the session now, and tries again: "
			       "%.200s",
			       es->setup.name, why);
	else if (u->code == -EPROTO)
		(void)snprintf(reason, sizeof(reason),
			       "the record of the session at %s is damaged, and an operator must "
			       "decide (baton session): %.200s",
			       es->setup.name, why);
	else
		(void)snprintf(reason, sizeof(reason),
			       "%s has lost its record of the session, and keeps its container: "
			       "an operator must decide (baton session)",
			       es->setup.name);
	return es_node_withhold(es->node, u->session, reason, err);
}

static void say(const struct edge_server *es, const struct es_unclaimed *u, const char *why)
{
	if (may_recover(u))
		log_error("session %016" PRIx64
			  ": its journal cannot be read, and is tried again: %s; its user is "
			  "refused meanwhile",
			  u->session, why);
	else if (u->code)
		log_error("session %016" PRIx64
			  ": its journal is damaged: %s; its user is refused: baton session "
			  "restore, or discard",
			  u->session, why);
	else
		log_error("container %.12s of session %016" PRIx64
			  ", service %s: no journal speaks of its session; it is kept, and its "
			  "user refused: baton session restore, or discard",
			  u->container, u->session, u->service);
	log_reporter_event(es->setup.reporter, "SESSION WITHHELD", u->session, 0, "%s",
			   u->code ? why : "its journal is lost");
}

int edge_withhold(struct edge_server *es, uint64_t session, const struct err *why,
		  const struct container_found *f, struct err *err)
{
	struct es_unclaimed *u = find(es, session);
	bool known = u;

	if (!u || (f && u->container[0]))
		u = add(es, session);
	if (!u)
		return err_set(err, -ENOMEM, "withhold a session");
	if (f) {
		memcpy(u->service, f->service, NAME_SIZE);
		memcpy(u->container, f->where.id, sizeof(u->container));
	}
	if (why)
		u->code = why->code;
	if (known && !why) /* of its journal all was said */
		return 0;
	say(es, u, why ? why->text : "");
	return tell_node(es, u, why ? why->text : "", err);
}

/* ---- reading again ---- */

static void read_one(struct edge_server *es, const struct container_found *found, size_t count,
		     uint64_t session)
{
	struct es_unclaimed *u = find(es, session);
	struct err why = { 0 };

	if (edge_adopt_again(es, found, count, session, &why) == 0) {
		log_info("session %016" PRIx64 ": its journal can be read again, it goes on",
			 session);
		forget(es, session);
		return;
	}
	bool may = may_recover(u);
	u->code = why.code;
	if (may && !may_recover(u)) /* it is worse than it looked */
		say(es, u, why.text);
	if (tell_node(es, u, why.text, &why) < 0)
		log_debug("session %016" PRIx64 ": %s", session, why.text);
}

static void on_listed(void *ctx, const struct container_found *found, size_t count,
		      const char *reason)
{
	struct edge_server *es = ctx;
	size_t i = 0;

	if (es->stopped)
		return;
	while (!reason && i < es->unclaimed_count) {
		size_t before = es->unclaimed_count;

		if (may_recover(&es->unclaimed[i]))
			read_one(es, found, count, es->unclaimed[i].session);
		i += es->unclaimed_count == before; /* else another one is in its place */
	}
	edge_withheld_read(es);
}

static void on_again(uv_timer_t *timer)
{
	struct edge_server *es = timer->data;
	struct err err;

	if (container_management_list(es->containers, on_listed, es, &err) < 0)
		edge_withheld_read(es);
}

void edge_withheld_read(struct edge_server *es)
{
	bool any = false;

	for (size_t i = 0; i < es->unclaimed_count; i++)
		any |= may_recover(&es->unclaimed[i]);
	if (any)
		(void)uv_timer_start(&es->again, on_again, AGAIN_MS, 0);
}

/* ---- an operator's word ---- */

static int discard_withheld(struct edge_server *es, uint64_t session, const char *who,
			    struct err *err)
{
	char detail[WIRE_REASON_SIZE];
	bool container = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < es->unclaimed_count; i++) {
		const struct es_unclaimed *u = &es->unclaimed[i];

		if (u->session != session || !u->container[0])
			continue;
		(void)snprintf(detail, sizeof(detail), "service=%s: discarded by operator %s",
			       u->service, who);
		container = true;
		edge_data_removed(es, session, 0, detail);
		r = edge_remove_container(es, session, 0, u->container, err);
	}
	if (r < 0)
		return r;
	if (!container) { /* its record is all that is left */
		(void)snprintf(detail, sizeof(detail), "discarded by operator %s", who);
		edge_data_removed(es, session, 0, detail);
		edge_say_discarded(es, session);
	}
	edge_unprotect(es, session);
	session_store_forget(es->store, session);
	(void)es_node_concede(es->node, session);
	forget(es, session);
	return 0;
}

int edge_discard(struct edge_server *es, uint64_t session, const char *who, struct err *err)
{
	int r = es_node_discard(es->node, edge_now(es), session, who, err);

	return r == -ENOENT && find(es, session) ? discard_withheld(es, session, who, err) : r;
}

int edge_restore(struct edge_server *es, uint64_t session, struct err *err)
{
	int r = es_node_allow_start(es->node, session, err);
	struct es_unclaimed *u = r == -ENOENT ? find(es, session) : NULL;

	if (!u)
		return r;
	r = session_store_again(es->store, session, NULL, NULL, err);
	if (r == -ENOENT)
		return err_set(err, r,
			       "there is no file %016" PRIx64
			       ".session in state_dir: put it back and restore again, or take "
			       "what you need out of container %.12s (docker cp) and discard",
			       session, u->container);
	if (r < 0)
		return err_wrap(err, r, "its journal");
	u->code = -EAGAIN;
	(void)uv_timer_start(&es->again, on_again, 0, 0);
	return 0;
}
