/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Replies - messages that tell a device about its session
 */

#include <stdio.h>
#include <string.h>

#include "core/ap/session.h"
#include "core/common/replay_buffer.h"

void ap_mud_refuse(struct ap_node *node, uint64_t link, uint64_t session, uint64_t number,
		   enum wire_status status, const char *reason)
{
	struct wire_message m = {
		.type = WIRE_REFUSAL,
		.session = session,
		.refusal = { .status = status, .number = number },
	};

	(void)snprintf(m.refusal.reason, sizeof(m.refusal.reason), "%s", reason);
	if (link)
		node->ops->to_mud(node->ctx, link, &m);
}

static void add_edge(struct wire_edges *edges, const struct ap_edge *e)
{
	if (e && edges->count < WIRE_EDGES_MAX)
		memcpy(edges->name[edges->count++], e->name, NAME_SIZE);
}

/*
 * The destination is named before authority can have moved there, so a MUD always knows enough; likewise a container
 * that has ended, and may have executed more than the source.
 */
static struct wire_edges edges_to_remember(struct ap_session *s)
{
	struct wire_edges edges = { 0 };

	add_edge(&edges, ap_session_source(s));
	add_edge(&edges, ap_session_dest(s));
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (s->edge[i].predecessor && s->edge[i].kept)
			add_edge(&edges, &s->edge[i]);
	}
	return edges;
}

/* Requests that are at the edge server, or here on their way to it */
static uint64_t received(const struct ap_session *s, const struct ap_edge *source)
{
	uint64_t taken = replay_buffer_highest(s->copies);

	return taken > source->received ? taken : source->received;
}

void ap_mud_respond(struct ap_session *s, enum wire_status status, const char *reason)
{
	const struct ap_edge *source = ap_session_source(s);
	struct wire_message m = {
		.type = s->reassociating ? WIRE_REASSOCIATION_RESPONSE : WIRE_ASSOCIATION_RESPONSE,
		.session = s->session,
		.association = s->mud_association,
		.epoch = source ? source->epoch : 0,
		.association_response = { .status = status, .edges = edges_to_remember(s) },
	};

	if (!s->response_due || (s->resume && status == WIRE_OK))
		return;
	s->response_due = false;
	if (source && source->heard)
		m.association_response.received = received(s, source);
	(void)snprintf(m.association_response.reason, sizeof(m.association_response.reason), "%s",
		       reason);
	if (!s->reassociating && status == WIRE_OK)
		memcpy(m.association_response.secret, s->secret, WIRE_SECRET_SIZE);
	if (s->mud_link)
		s->node->ops->to_mud(s->node->ctx, s->mud_link, &m);
}

void ap_mud_notice(struct ap_session *s)
{
	const struct ap_edge *source = ap_session_source(s);
	struct wire_message m = {
		.type = WIRE_EDGE_NOTICE,
		.session = s->session,
		.association = s->mud_association,
		.epoch = source ? source->epoch : 0,
		.edges = edges_to_remember(s),
	};

	if (s->mud_link)
		s->node->ops->to_mud(s->node->ctx, s->mud_link, &m);
}

void ap_mud_lost(struct ap_session *s, uint64_t now, enum wire_status status, const char *reason)
{
	ap_session_say(s, "SESSION LOST", 0, "%s", reason);
	ap_attempt_decide(s, AP_RESULT_LOST, reason);
	s->node->counts.lost += status == WIRE_E_SESSION_LOST;
	if (s->response_due)
		ap_mud_respond(s, status, reason);
	else
		ap_mud_refuse(s->node, s->mud_link, s->session, 0, status, reason);
	ap_session_move(s, AP_ENDED, now);
}
