/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operations that failed at once: the node is told in a turn of its own
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "es/edge_inner.h"

void edge_tell_later(struct edge_server *es, enum later_kind kind, uint64_t session, uint32_t epoch,
		     const struct err *err)
{
	struct later *l = calloc(1, sizeof(*l));

	if (!l) {
		log_error("out of memory: session %016" PRIx64 " is stuck", session);
		return;
	}
	l->kind = kind;
	l->session = session;
	l->epoch = epoch;
	l->lasting = err->lasting;
	l->code = err->code;
	(void)snprintf(l->reason, sizeof(l->reason), "%.*s", WIRE_REASON_SIZE - 1, err->text);
	list_append(&es->later, &l->link);
	(void)uv_async_send(&es->wake);
}

static enum es_recovery recovery_of(int code)
{
	if (code == -ENOENT)
		return ES_RECOVERY_NO_CUT;
	return code == -EBUSY || code == -EALREADY || code == -EMFILE || code == -ENFILE
		       ? ES_RECOVERY_AWAY
		       : ES_RECOVERY_FAILED;
}

void edge_later_wake(uv_async_t *wake)
{
	struct edge_server *es = wake->data;

	list_for_each_safe(at, next, &es->later)
	{
		struct later *l = list_entry(at, struct later, link);

		list_remove(&l->link);
		switch (l->kind) {
		case LATER_SOURCE_FAILED:
			es_node_source_finished(es->node, edge_now(es), l->session, l->reason,
						l->lasting);
			break;
		case LATER_NO_CUT:
			es_node_cut_taken(es->node, edge_now(es), l->session, false);
			break;
		case LATER_NOT_REMOVED:
			es_node_not_removed(es->node, edge_now(es), l->session, l->epoch,
					    l->reason);
			break;
		case LATER_NOT_STARTED: /* too many wait for the engine: asked again soon */
			(void)es_node_started(es->node, edge_now(es), l->session, l->epoch,
					      ES_START_AWAY, l->reason);
			break;
		case LATER_NOT_RECOVERED:
			es_node_not_recovered(es->node, edge_now(es), l->session,
					      recovery_of(l->code), l->reason);
			break;
		case LATER_NOT_KEPT:
			es_node_not_kept(es->node, edge_now(es), l->session);
			break;
		case LATER_NOT_CREATED:
			es_node_created(es->node, edge_now(es), l->session, l->epoch, l->reason);
			break;
		}
		free(l);
	}
}
