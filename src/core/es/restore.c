/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Restore - sessions of the journals, after a start of the program
 */

#include "core/es/session.h"

#include <errno.h>

#include "base/err.h"
#include "core/es/answer_cache.h"

/* sessions_max may have been lowered: a session that is here is never dropped for that (R15) */
static struct es_session *new_whatever_the_limit(struct es_node *node, uint64_t now,
						 const struct es_record *record)
{
	size_t others = node->count;

	node->count = 0;
	struct es_session *s = es_session_new(node, record->session, now);
	node->count += others;
	if (s)
		s->record = *record;
	return s;
}

/* It never had authority, or somebody ended it: nobody relies on it. */
static void restore_ended(struct es_session *s, enum es_container container)
{
	const struct es_record *r = &s->record;

	s->record.state = WIRE_ES_NONE;
	if (container != ES_CONTAINER_GONE && (r->executed || r->started))
		es_session_say(s, "DATA REMOVED", r->executed,
			       "mud=%s service=%s: the session had ended before a restart", r->mud,
			       r->service);
	es_session_drop_container(s);
}

/* Authority is here, or was. */
static int restore_known(struct es_session *s, uint64_t now, const void *bytes, size_t len,
			 enum es_container container, struct err *err)
{
	static const char *const ended[] = {
		[ES_CONTAINER_GONE] = "its container is gone, with layer and volumes",
		[ES_CONTAINER_STOPPED] = "the container ended while its edge server did not run",
		[ES_CONTAINER_RESTARTED] = "the container was started anew, by somebody else",
	};
	AUTO(answer_cache) struct answer_cache *cache = NULL;
	int r = answer_cache_decode(&cache, bytes, len, err);

	if (r < 0)
		return r;
	answer_cache_free(s->cache);
	s->cache = TAKE_PTR(cache);
	es_session_protect_restore(s, now, container == ES_CONTAINER_RUNS);
	/* otherwise what is written down is as it was, and needs no room on a disk that may be full */
	if ((container == ES_CONTAINER_RUNS || !s->protect.kept) &&
	    es_session_settle_doubt(s, "the program restarted while it ran"))
		(void)es_session_persist(s, ES_PERSIST_ALL);
	s->exit_code = -1;
	s->gone = container == ES_CONTAINER_GONE;
	if (container != ES_CONTAINER_RUNS)
		es_node_container_died(s->node, now, s->record.session, s->record.container_epoch,
				       -1, ended[container]);
	return 0;
}

static int restore(struct es_node *node, uint64_t now, const struct es_record *record,
		   const void *cache, size_t cache_len, enum es_container container,
		   struct err *err)
{
	int r = 0;

	node->now = now;
	if (!record->session || es_session_find(node, record->session))
		return err_set(err, -EPROTO, "record of session %016llx: number used twice or 0",
			       (unsigned long long)record->session);
	struct es_session *s = new_whatever_the_limit(node, now, record);
	if (!s)
		return err_set(err, -ENOMEM, "restore session %016llx",
			       (unsigned long long)record->session);
	switch (record->state) {
	case WIRE_ES_ARRIVING:
	case WIRE_ES_STANDBY:
		/* nobody relies on it; but an access point that looks for the session may know this place only (R7) */
		es_session_drop_container(s);
		es_session_give_up(s);
		break;
	case WIRE_ES_NONE:
	case WIRE_ES_CREATING:
	default:
		restore_ended(s, container);
		break;
	case WIRE_ES_ACTIVE:
	case WIRE_ES_FENCED:
	case WIRE_ES_RETIRED:
	case WIRE_ES_LOST:
		r = restore_known(s, now, cache, cache_len, container, err);
		break;
	}
	if (r == 0)
		return 0;
	es_session_free(s);
	return err_wrap(err, r, "restore session %016llx", (unsigned long long)record->session);
}

int es_node_restore(struct es_node *node, uint64_t now, const struct es_record *record,
		    const void *cache, size_t cache_len, enum es_container container,
		    struct err *err)
{
	int r = restore(node, now, record, cache, cache_len, container, err);

	if (r == 0)
		(void)es_node_concede(node, record->session);
	return r;
}
