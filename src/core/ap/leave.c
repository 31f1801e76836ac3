/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Leaving - a session continues at the user's new access point, or ends by the user's word
 */

#include <string.h>

#include "base/bytes.h"
#include "core/ap/session.h"

/* --- leaving ----------------------------------------------------------------------------------- */

static void hand_over(struct ap_session *s, uint64_t now, struct ap_edge *authority)
{
	struct wire_message migrate = {
		.type = WIRE_MIGRATE,
		.session = s->session,
		.association = s->move_association,
	};
	struct wire_message answer = {
		.type = WIRE_MOVE_RESPONSE,
		.session = s->session,
		.association = s->move_association,
		.epoch = authority->epoch,
		.move_response = { .status = WIRE_OK, .command = get_be64(s->move.proof) },
	};

	memcpy(migrate.migrate.to_es, s->move.new_es, NAME_SIZE);
	memcpy(migrate.migrate.ap, s->move.new_ap, NAME_SIZE);
	memcpy(migrate.migrate.proof, s->move.proof, WIRE_PROOF_SIZE);
	ap_session_tell(s, authority, &migrate);
	memcpy(answer.move_response.service, s->service, NAME_SIZE);
	memcpy(answer.move_response.secret, s->secret, WIRE_SECRET_SIZE);
	memcpy(answer.move_response.authority, authority->name, NAME_SIZE);
	s->node->ops->to_ap(s->node->ctx, s->move.new_ap, &answer);
	ap_session_say(s, "MIGRATION ANNOUNCED", 0, "%s to %s", authority->name, s->move.new_es);
	ap_attempt_decide(s, AP_RESULT_USER_MOVED, "the user moved on");
	ap_session_move(s, AP_ENDED, now);
}

void ap_leave(struct ap_session *s, uint64_t now)
{
	struct wire_message m;

	switch (s->state) {
	case AP_TRACING:
	case AP_REPLAYING:
		if (ap_session_holds(s))
			break; /* fenced by its cut already: as below */
		m = ap_session_command(s, WIRE_ABORT);
		ap_session_tell(s, ap_session_dest(s), &m);
		hand_over(s, now, ap_session_source(s));
		break;
	case AP_SERVING:
		/* the copies a container needs to catch up with its user are here and nowhere else */
		if (!ap_forward_behind(s))
			hand_over(s, now, ap_session_source(s));
		break;
	case AP_GRACE:
	case AP_RETIRING:
		m = ap_session_command(s, WIRE_RETIRE);
		ap_session_tell(s, ap_session_source(s), &m);
		hand_over(s, now, ap_session_dest(s));
		break;
	case AP_ASSOCIATING:
	case AP_MOVING:
	case AP_FINDING:
	case AP_FENCING:
	case AP_ACTIVATING:
	case AP_GOING_BACK:
	case AP_ENDED:
	case AP_STATES:
		break; /* authority is on the move: that ends first (R8) */
	}
}

void ap_node_end(struct ap_node *node, const struct ap_ended *e)
{
	uint8_t proof[WIRE_PROOF_SIZE];

	node->proof(proof, e->secret, e->session, e->association, node->name);
	for (uint32_t i = 0; i < e->edges.count; i++)
		ap_ended_tell(node, e->edges.name[i], e->session, e->association, proof);
}

void ap_leave_end(struct ap_session *s, uint64_t now)
{
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (s->edge[i].name[0])
			ap_ended_tell(s->node, s->edge[i].name, s->session, s->association,
				      s->proof);
	}
	ap_attempt_decide(s, AP_RESULT_USER_LEFT, "its user has ended the session");
	ap_session_move(s, AP_ENDED, now);
}
