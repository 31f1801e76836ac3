/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Retries - whether a failed attempt to move a container is made again, and when
 */

#include <string.h>

#include "core/ap/session.h"

#define EQUAL_MAX 3 /* attempts that fail for one lasting reason; a fourth would, too */

uint64_t ap_retry_pause(const struct ap_session *s)
{
	const struct policy *p = &s->node->policy;
	uint64_t pause = p->backoff_ms;

	if (s->hold_next)
		return 1; /* R6: it cannot diverge again, so the next attempt need not wait */
	for (uint32_t i = 1; i < s->attempts && pause < p->backoff_max_ms; i++)
		pause *= 2;
	return pause < p->backoff_max_ms ? pause : p->backoff_max_ms;
}

/* Whether nothing is to be gained by another attempt, until the user moves or the container is another. */
bool ap_retry_given_up(const struct ap_session *s)
{
	const struct ap_edge *source = s->source < 0 ? NULL : &s->edge[s->source];

	return s->diverged || (source && s->given_up_epoch && s->given_up_epoch == source->epoch);
}

/* An attempt failed at the edge servers. A reason that may pass says nothing about the next attempt. */
void ap_retry_failed(struct ap_session *s, const struct wire_es_status *w)
{
	if (w->status != WIRE_E_LASTING) {
		s->equal_reasons = 0;
		return;
	}
	if (s->equal_reasons && strcmp(s->last_reason, w->reason) != 0)
		s->equal_reasons = 0;
	memcpy(s->last_reason, w->reason, WIRE_REASON_SIZE);
	if (++s->equal_reasons < EQUAL_MAX)
		return;
	s->equal_reasons = 0;
	s->given_up_epoch = ap_session_source(s)->epoch;
	s->node->counts.given_up++;
	ap_session_say(s, "MIGRATION GIVEN UP", 0, "%s", w->reason);
}
