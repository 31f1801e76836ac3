/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Places - the edge server that a session's container belongs to
 *
 * That is the access point's home. If an operator has drained it, the place is the next edge server in the
 * order of the configuration that is not drained. For one session an operator may wish another; the wish
 * lasts while the session is here, and has no effect while that edge server is drained.
 *
 * An edge server tells whether it is drained (EDGE STATE), each time a link comes up and when the state
 * changes. Its last word counts while it is away.
 *
 * A session that begins goes to the first place that can be reached, so that a user is served while the home
 * edge server is down. It moves home when that is back. Containers that exist stay where they are meanwhile.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/ap/session.h"

struct ap_place *ap_place_find(const struct ap_node *node, const char *es)
{
	for (size_t i = 0; i < node->places; i++) {
		if (name_equal(node->place[i].name, es))
			return &node->place[i];
	}
	return NULL;
}

int ap_node_add_place(struct ap_node *node, const char *es, struct err *err)
{
	if (ap_place_find(node, es))
		return 0;
	struct ap_place *grown = realloc(node->place, (node->places + 1) * sizeof(*grown));
	if (!grown)
		return err_set(err, -ENOMEM, "edge server %s", es);
	node->place = grown;
	grown[node->places] = (struct ap_place){ 0 };
	int r = name_set(grown[node->places].name, es, err);
	node->places += r == 0;
	return r;
}

const char *ap_node_place(const struct ap_node *node)
{
	for (size_t i = 0; i < node->places; i++) {
		if (!node->place[i].drained)
			return node->place[i].name;
	}
	return NULL;
}

bool ap_node_drained(const struct ap_node *node, const char *es)
{
	const struct ap_place *p = ap_place_find(node, es);

	return p && p->drained;
}

const char *ap_session_place(const struct ap_session *s)
{
	const struct ap_place *wish = s->wish[0] ? ap_place_find(s->node, s->wish) : NULL;

	return wish && !wish->drained ? wish->name : ap_node_place(s->node);
}

/*
 * A link that broke, or is being made, is waited for a moment: else the users who come in that moment would
 * all begin elsewhere, and move home.
 */
enum ap_begin ap_place_begin(const struct ap_node *node, uint64_t now,
			     const struct ap_place **place)
{
	enum ap_begin how = AP_BEGIN_DRAINED;

	for (size_t i = 0; i < node->places; i++) {
		const struct ap_place *p = &node->place[i];

		if (p->drained)
			continue;
		*place = p;
		if (!p->down)
			return AP_BEGIN_NOW;
		if (now < p->down_at + node->policy.retry_ms)
			return AP_BEGIN_LATER;
		how = AP_BEGIN_AWAY;
	}
	return how;
}

bool ap_place_down(const struct ap_node *node, const char *es)
{
	const struct ap_place *p = ap_place_find(node, es);

	return p && p->down;
}

bool ap_edge_known(const struct ap_node *node, const char *es)
{
	return !node->ops->es_known || node->ops->es_known(node->ctx, es);
}

bool ap_session_away(const struct ap_session *s)
{
	const char *place = ap_session_place(s);

	return place && s->source >= 0 && !name_equal(s->edge[s->source].name, place);
}
