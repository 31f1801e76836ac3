/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Answers of containers, and bytes that they send unasked
 */

#include "core/es/session.h"

#include <string.h>

#include "core/common/replay_buffer.h"

/* An answer of a container that is gone is passed over. */
static void answered(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     const struct wire_data *answer)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || es_session_replayed(s, now, epoch, answer))
		return;
	if (es_session_finish(s, now, epoch, answer))
		es_session_request_ended(s, now);
}

void es_node_executed(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		      const struct wire_data *answer)
{
	answered(node, now, session, epoch, answer);
}

void es_node_stream(struct es_node *node, uint64_t session, uint32_t epoch,
		    const struct wire_stream *stream)
{
	struct es_session *s = es_session_find(node, session);

	if (!s || s->record.container_epoch != epoch || s->record.state != WIRE_ES_ACTIVE)
		return;
	struct wire_message m = {
		.type = WIRE_STREAM,
		.session = session,
		.association = s->record.association,
		.epoch = s->record.epoch,
		.stream = *stream,
	};
	node->ops->to_ap(node->ctx, s->record.ap, &m);
}

void es_node_in_doubt(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		      uint64_t number)
{
	struct wire_data answer = { .number = number, .status = WIRE_E_IN_DOUBT };

	answer.digest = replay_digest(&answer);
	answered(node, now, session, epoch, &answer);
}

void es_node_refused(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     uint64_t number, const char *reason)
{
	struct wire_data answer = {
		.number = number,
		.status = WIRE_E_PROTOCOL,
		.bytes = (const uint8_t *)reason,
		.len = strlen(reason),
	};

	answer.digest = replay_digest(&answer);
	answered(node, now, session, epoch, &answer);
}
