/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Wishes - an operator drains an edge server, or wants one session's container elsewhere
 *
 * Both change where containers belong (ap/place.c). Sessions concerned are looked at again at once.
 */

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/ap/session.h"

/* The session's place may be another now. A handoff past its FENCE continues, and the place is looked at then. */
static void review(struct ap_session *s, uint64_t now)
{
	const char *place = ap_session_place(s);

	ap_session_touch(s);
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

void ap_wish_reachable(struct ap_node *node, uint64_t now, const char *es)
{
	list_for_each_safe(at, next, &node->sessions)
	{
		struct ap_session *s = list_entry(at, struct ap_session, link);

		if (s->state == AP_SERVING && s->next_attempt && ap_session_away(s) &&
		    name_equal(ap_session_place(s), es)) {
			s->next_attempt = now;
			ap_session_touch(s);
		}
	}
}

/* The places of a configuration: the home one, then the others. Their state is kept. */
static int places_new(const struct ap_node *node, const char *const *es, size_t count,
		      struct ap_place **ret, size_t *places, struct err *err)
{
	struct ap_place *next = calloc(count + 1, sizeof(*next));
	size_t n = 1;

	if (!next)
		return err_set(err, -ENOMEM, "edge servers");
	next[0] = node->place[0];
	for (size_t i = 0; i < count; i++) {
		const struct ap_place *before = ap_place_find(node, es[i]);

		if (name_equal(es[i], next[0].name))
			continue;
		int r = before ? 0 : name_set(next[n].name, es[i], err);
		if (r < 0) {
			free(next);
			return r;
		}
		if (before)
			next[n] = *before;
		n++;
	}
	*ret = next;
	*places = n;
	return 0;
}

int ap_node_set_places(struct ap_node *node, uint64_t now, const char *const *es, size_t count,
		       struct err *err)
{
	struct ap_place *before = node->place, *next = NULL;
	size_t places_before = node->places, places = 0;
	int r = places_new(node, es, count, &next, &places, err);

	if (r < 0)
		return r;
	list_for_each_safe(at, more, &node->sessions)
	{
		struct ap_session *s = list_entry(at, struct ap_session, link);

		node->place = before;
		node->places = places_before;
		const char *was = ap_session_place(s);
		node->place = next;
		node->places = places;
		const char *is = ap_session_place(s);
		if (!was != !is || (was && !name_equal(was, is)))
			review(s, now);
	}
	node->place = next;
	node->places = places;
	free(before);
	return 0;
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
