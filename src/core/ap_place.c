/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Places - which edge server a session's container belongs to
 *
 * That is the access point's own one, unless an operator has drained it: then the next one in the order
 * of the configuration that is not drained. For one session an operator may wish another; the wish lasts
 * while the session is here, and is passed over while that edge server is drained.
 *
 * Edge servers say themselves that they are drained (EDGE STATE), each time a link comes up and when it
 * changes. What one said last counts while it is away.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/ap_session.h"

static struct ap_place *place_find(const struct ap_node *node, const char *es)
{
	for (size_t i = 0; i < node->places; i++) {
		if (name_equal(node->place[i].name, es))
			return &node->place[i];
	}
	return NULL;
}

int ap_node_add_place(struct ap_node *node, const char *es, struct err *err)
{
	if (place_find(node, es))
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
	const struct ap_place *p = place_find(node, es);

	return p && p->drained;
}

const char *ap_session_place(const struct ap_session *s)
{
	if (s->wish[0] && !ap_node_drained(s->node, s->wish))
		return s->wish;
	return ap_node_place(s->node);
}

bool ap_session_away(const struct ap_session *s)
{
	const char *place = ap_session_place(s);

	return place && s->source >= 0 && !name_equal(s->edge[s->source].name, place);
}

/* Its place may be another now. What is after its FENCE goes on, and is looked at when that is over. */
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

void ap_place_state(struct ap_node *node, uint64_t now, const char *es, bool drained)
{
	struct ap_place *p = place_find(node, es);

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
	if (!place_find(node, es))
		return err_set(err, -EINVAL, "edge server %s is not in the configuration of %s", es,
			       node->name);
	if (ap_node_drained(node, es))
		return err_set(err, -EINVAL, "edge server %s is drained: baton undrain %s", es, es);
	(void)name_set(s->wish, es, NULL);
	/* who asks has a reason to believe that it will do now what it did not before */
	s->diverged = false;
	ap_session_say(s, "MOVE WISHED", 0, "to=%s", es);
	review(s, now);
	return 0;
}
