/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Wishes - an operator drains an edge server, or wants one session's container elsewhere
 *
 * Both change where containers belong (ap/place.c). Sessions concerned are looked at again at once.
 */

#include <errno.h>

#include "base/err.h"
#include "core/ap/session.h"

/* The session's place may be another now. A handoff past its FENCE continues, and the place is looked at then. */
static void review(struct ap_session *s, uint64_t now)
{
	const char *place = ap_session_place(s);

	if (s->state == AP_SERVING) {
		s->attempts = 0;
		s->equal_reasons = 0;
		s->given_up_epoch = 0;
		s->next_attempt = ap_session_away(s) && !s->diverged ? now : 0;
	} else if ((s->state == AP_TRACING || s->state == AP_REPLAYING) && place &&
		   !name_equal(ap_session_dest(s)->name, place)) {
		ap_handoff_drop(s, now, AP_RESULT_PLACE, "an operator wants it elsewhere");
	}
}

void ap_wish_drained(struct ap_node *node, uint64_t now, const char *es, bool drained)
{
	struct ap_place *p = ap_place_find(node, es);

	if (!p || p->drained == drained)
		return;
	node->ops->event(node->ctx, 0, drained ? "EDGE SERVER DRAINED" : "EDGE SERVER UNDRAINED", 0,
			 es);
	/* Others' sessions have given up for a reason, or wait: that stays so. */
	list_for_each_safe(at, next, &node->sessions)
	{
		struct ap_session *s = list_entry(at, struct ap_session, link);

		p->drained = !drained;
		const char *before = ap_session_place(s);
		p->drained = drained;
		const char *after = ap_session_place(s);
		if (!before != !after || (before && !name_equal(before, after)))
			review(s, now);
	}
	p->drained = drained;
}

int ap_node_wish(struct ap_node *node, uint64_t now, uint64_t session, const char *es,
		 struct err *err)
{
	struct ap_session *s = ap_session_next(node, session, NULL);

	while (s && !ap_session_proven(s))
		s = ap_session_next(node, session, s);
	if (!s)
		return err_set(err, -ENOENT, "session %016llx", (unsigned long long)session);
	if (!ap_place_find(node, es))
		return err_set(err, -EINVAL, "edge server %s is not in the configuration of %s", es,
			       node->name);
	if (ap_node_drained(node, es))
		return err_set(err, -EINVAL, "edge server %s is drained: baton undrain %s", es, es);
	(void)name_set(s->wish, es, NULL);
	/* an operator who asks again has a reason to expect success now */
	s->diverged = false;
	ap_session_say(s, "MOVE WISHED", 0, "to=%s", es);
	review(s, now);
	return 0;
}
