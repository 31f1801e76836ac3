/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Adoption - at its start an edge server adopts the sessions and containers that were here before
 */

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "es/edge_inner.h"
#include "es/session_store.h"
#include "es/started_notes.h"

struct adoption {
	struct edge_server *es;
	const struct container_found *found;
	size_t count;
	bool *kept; /* one for each of @found */
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

static void adopt(void *ctx, const struct es_record *record, const void *cache, size_t cache_len)
{
	struct adoption *a = ctx;
	bool gone = record->state == WIRE_ES_RETIRED || record->state == WIRE_ES_LOST;
	bool alive = false;
	struct err err = { 0 };

	for (size_t i = 0; i < a->count && !gone; i++) {
		const struct container_found *f = &a->found[i];

		if (f->session != record->session || f->epoch != record->container_epoch)
			continue;
		alive = f->running && not_restarted(a->es, f) &&
			edge_open_to_requests(a->es, f->session, f->epoch, record->service,
					      &f->where, &err) == 0;
		a->kept[i] = true;
	}
	if (es_node_restore(a->es->node, edge_now(a->es), record, cache, cache_len, alive, &err) <
	    0)
		log_error("session %016" PRIx64 ": not restored: %s", record->session, err.text);
	else
		a->sessions++;
}

static void bad_file(void *ctx, const char *file, const char *reason)
{
	(void)ctx;
	log_error("session file %s: %s; its session is lost, the file can be deleted", file,
		  reason);
}

int edge_adopt(struct edge_server *es, const struct container_found *found, size_t count,
	       size_t *sessions, struct err *err)
{
	struct adoption a = { .es = es, .found = found, .count = count };
	int r;

	auto_free bool *kept = calloc(count + 1, sizeof(*kept));
	if (!kept)
		return err_set(err, -ENOMEM, "list containers");
	a.kept = kept;
	r = session_store_each(es->store, adopt, bad_file, &a, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!kept[i] &&
		    container_management_remove(es->containers, found[i].session, found[i].where.id,
						NULL, NULL, NULL) == 0)
			log_info("container of an unfinished migration removed: %016" PRIx64
				 ", epoch %u",
				 found[i].session, found[i].epoch);
	}
	/* a container that could not be listed may still be there */
	if (r == 0 && count < CONTAINERS_MAX)
		started_notes_sweep(es->started, found, count);
	*sessions = a.sessions;
	return r;
}
