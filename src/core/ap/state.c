/* SPDX-License-Identifier: Apache-2.0 */

/*
 * States of a session at an access point, and the ways from one to another
 *
 *     ASSOCIATING --> SERVING <-- FINDING <-- MOVING          a device begins, or comes from another access point
 *        SERVING --> TRACING --> REPLAYING --> FENCING --> ACTIVATING --> GRACE --> RETIRING --> SERVING
 *                     (T6)         (T7)                                   (T8)
 *        any of these after FENCE --> GOING_BACK --> SERVING  CT-x gets authority back
 *        SERVING --> GOING_BACK --> SERVING      its container has ended, and is to start again
 */

#include "base/state_table.h"
#include "core/ap/session.h"

#define MAY(state) STATE_BIT(AP_##state)

static const struct state_row rows[] = {
	[AP_ASSOCIATING] = { "associating", MAY(SERVING) | MAY(ENDED) },
	[AP_MOVING] = { "moving", MAY(FINDING) | MAY(SERVING) | MAY(TRACING) | MAY(ENDED) },
	[AP_FINDING] = { "finding", MAY(SERVING) | MAY(TRACING) | MAY(GOING_BACK) | MAY(ENDED) },
	[AP_SERVING] = { "serving", MAY(TRACING) | MAY(FINDING) | MAY(GOING_BACK) | MAY(ENDED) },
	[AP_TRACING] = { "tracing", MAY(REPLAYING) | MAY(SERVING) | MAY(FINDING) | MAY(GOING_BACK) |
					    MAY(ENDED) },
	[AP_REPLAYING] = { "replaying", MAY(FENCING) | MAY(SERVING) | MAY(FINDING) |
						MAY(GOING_BACK) | MAY(ENDED) },
	[AP_FENCING] = { "fencing", MAY(ACTIVATING) | MAY(GOING_BACK) | MAY(ENDED) },
	[AP_ACTIVATING] = { "activating", MAY(GRACE) | MAY(GOING_BACK) | MAY(ENDED) },
	[AP_GRACE] = { "grace", MAY(RETIRING) | MAY(GOING_BACK) | MAY(ENDED) },
	[AP_RETIRING] = { "retiring", MAY(SERVING) | MAY(ENDED) },
	[AP_GOING_BACK] = { "going back", MAY(SERVING) | MAY(TRACING) | MAY(FINDING) | MAY(ENDED) },
	[AP_ENDED] = { "ended", 0 },
};

static const struct state_table table = { "session at an access point", ARRAY_SIZE(rows), rows };

const char *ap_state_name(enum ap_state state)
{
	return state_name(&table, state);
}

void ap_session_move(struct ap_session *s, enum ap_state to, uint64_t now)
{
	state_require_move(&table, s->state, to);
	if (to == AP_SERVING || to == AP_FINDING || to == AP_ENDED)
		ap_attempt_end(s, now, to == AP_SERVING ? ap_session_source(s)->name : "");
	s->state = to;
	s->since = now;
	s->since_asked = now;
	s->next_retry = now + s->node->policy.retry_ms;
}
