/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Ended sessions - each edge server hears of the end, also one that is out of reach when it comes
 *
 * DISASSOCIATION has no answer. An ATTACH follows it on the same link; the edge server answers that with a
 * STATUS, which says NONE if it has nothing of the session any more. Until then the end is owed, and told again
 * when the link comes up. Else the edge server would keep a container that nobody wants for days (R15).
 *
 * Ends that are owed are soft state (R7) and end with this program. The oldest one is dropped when there are too many. An
 * edge server that is not in the configuration, or has left it, is told once.
 */

#include <stdlib.h>
#include <string.h>

#include "core/ap/session.h"

/* Of each edge server, so that one which confirms nothing takes no other one's place */
#define OWED_MAX 1024

/**
 * struct owed - The end of a session that an edge server has not confirmed
 * @link:	in the node's list, the oldest first
 * @es:		Edge server
 * @proof:	that the session's user was here, as of @association
 */
struct owed {
	struct list link;
	uint64_t session;
	uint32_t association;
	char es[NAME_SIZE];
	uint8_t proof[WIRE_PROOF_SIZE];
};

static void drop(struct owed *o)
{
	list_remove(&o->link);
	free(o);
}

static void tell(struct ap_node *node, const struct owed *o)
{
	const struct wire_message end = {
		.type = WIRE_DISASSOCIATION,
		.session = o->session,
		.association = o->association,
	};
	struct wire_message m = {
		.type = WIRE_ATTACH,
		.session = o->session,
		.association = o->association,
	};

	memcpy(m.attach.ap, node->name, NAME_SIZE);
	memcpy(m.attach.proof, o->proof, WIRE_PROOF_SIZE);
	node->ops->to_es(node->ctx, o->es, &m);
	node->ops->to_es(node->ctx, o->es, &end);
	node->ops->to_es(node->ctx, o->es, &m);
}

static void make_room(struct ap_node *node, const char *es)
{
	struct owed *oldest = NULL;
	size_t count = 0;

	list_for_each_safe(at, next, &node->owed)
	{
		struct owed *o = list_entry(at, struct owed, link);

		if (!name_equal(o->es, es))
			continue;
		oldest = oldest ? oldest : o;
		count++;
	}
	if (count < OWED_MAX)
		return;
	node->ops->event(node->ctx, oldest->session, "END NOT TOLD", 0, oldest->es);
	drop(oldest);
}

void ap_ended_tell(struct ap_node *node, const char *es, uint64_t session, uint32_t association,
		   const uint8_t *proof)
{
	struct owed lasting = { .session = session, .association = association };
	struct owed *o;

	memcpy(lasting.es, es, NAME_SIZE);
	memcpy(lasting.proof, proof, WIRE_PROOF_SIZE);
	tell(node, &lasting);
	if (!ap_edge_known(node, es))
		return;
	make_room(node, es);
	o = malloc(sizeof(*o));
	if (!o) {
		node->ops->event(node->ctx, session, "END NOT TOLD", 0, es);
		return;
	}
	*o = lasting;
	list_append(&node->owed, &o->link);
}

void ap_ended_heard(struct ap_node *node, const char *es, const struct wire_message *m)
{
	/* one that refuses knows that the user is elsewhere by now, under a higher association (R11) */
	bool over = (m->type == WIRE_STATUS && m->es_status.state == WIRE_ES_NONE) ||
		    (m->type == WIRE_REFUSED && m->es_status.status == WIRE_E_NOT_ALLOWED);

	if (!over)
		return;
	list_for_each_safe(at, next, &node->owed)
	{
		struct owed *o = list_entry(at, struct owed, link);

		if (o->session == m->session && o->association == m->association &&
		    name_equal(o->es, es))
			drop(o);
	}
}

void ap_ended_up(struct ap_node *node, const char *es)
{
	list_for_each_safe(at, next, &node->owed)
	{
		struct owed *o = list_entry(at, struct owed, link);

		if (name_equal(o->es, es))
			tell(node, o);
	}
}

void ap_ended_free(struct ap_node *node)
{
	list_for_each_safe(at, next, &node->owed) drop(list_entry(at, struct owed, link));
}
