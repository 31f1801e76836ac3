/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Withheld sessions - they may be here, but their records cannot be read
 *
 * "There is no such session here" is an answer that others rely on: the user would begin anew (R15). So access
 * points are told to wait, with the reason, and nothing else may take the session's number. They are told for each
 * request, too: as long as one is repeated, its user hears so, and further ones are refused. Nobody proves anything
 * here: without the record there is no secret.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "core/es/session.h"

struct withheld {
	struct list link;
	uint64_t session;
	char reason[WIRE_REASON_SIZE];
};

static struct withheld *find(const struct es_node *node, uint64_t session)
{
	list_for_each_safe(at, next, (struct list *)(uintptr_t)&node->withheld)
	{
		struct withheld *w = list_entry(at, struct withheld, link);

		if (w->session == session)
			return w;
	}
	return NULL;
}

int es_node_withhold(struct es_node *node, uint64_t session, const char *reason, struct err *err)
{
	struct withheld *w = find(node, session);

	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return err_set(err, -ENOMEM, "withhold a session");
		w->session = session;
		list_append(&node->withheld, &w->link);
	}
	(void)snprintf(w->reason, sizeof(w->reason), "%s", reason);
	return 0;
}

bool es_node_concede(struct es_node *node, uint64_t session)
{
	struct withheld *w = find(node, session);

	if (!w)
		return false;
	list_remove(&w->link);
	free(w);
	return true;
}

void es_withheld_free(struct es_node *node)
{
	list_for_each_safe(at, next, &node->withheld)
	{
		list_remove(at);
		free(list_entry(at, struct withheld, link));
	}
}

const char *es_node_withheld(const struct es_node *node, uint64_t session)
{
	const struct withheld *w = find(node, session);

	return w ? w->reason : NULL;
}

bool es_withheld_message(const struct es_node *node, const char *ap,
			 const struct wire_message *asked)
{
	const char *reason = es_node_withheld(node, asked->session);
	struct wire_message m = {
		.type = WIRE_REFUSED,
		.session = asked->session,
		.association = asked->association,
		.es_status = { .state = WIRE_ES_NONE, .status = WIRE_E_BUSY },
	};

	if (!reason)
		return false;
	if (asked->type == WIRE_ATTACH) /* a claim is named by its proof */
		m.es_status.command = get_be64(asked->attach.proof);
	(void)snprintf(m.es_status.reason, sizeof(m.es_status.reason), "%s", reason);
	node->ops->to_ap(node->ctx, ap, &m);
	return true;
}
