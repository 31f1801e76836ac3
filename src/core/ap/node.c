/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ap/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "core/ap/session.h"
#include "core/common/replay_buffer.h"

int ap_node_new(struct ap_node **ret, const char *name, const char *home,
		const struct policy *policy, proof_fn proof, const struct ap_node_ops *ops,
		void *ctx, struct err *err)
{
	int r;

	AUTO(ap_node) struct ap_node *node = calloc(1, sizeof(*node));
	if (!node)
		return err_set(err, -ENOMEM, "create access point");
	list_init(&node->sessions);
	list_init(&node->owed);
	deadlines_init(&node->deadlines, ap_session_deadline);
	r = name_set(node->name, name, err);
	if (r == 0)
		r = name_set(node->home, home, err);
	if (r < 0)
		return err_wrap(err, r, "create access point");
	r = ap_node_add_place(node, home, err);
	if (r < 0)
		return err_wrap(err, r, "create access point");
	node->policy = *policy;
	node->proof = proof;
	node->ops = ops;
	node->ctx = ctx;
	*ret = TAKE_PTR(node);
	return 0;
}

struct ap_node *ap_node_free(struct ap_node *node)
{
	if (node) {
		list_for_each_safe(at, next, &node->sessions)
			ap_session_free(list_entry(at, struct ap_session, link));
		ap_ended_free(node);
		number_table_deinit(&node->by_number);
		deadlines_deinit(&node->deadlines);
		free(node->place);
		free(node);
	}
	return NULL;
}

void ap_node_set_policy(struct ap_node *node, const struct policy *policy)
{
	node->policy = *policy;
	list_for_each_safe(at, next, &node->sessions)
		ap_session_touch(list_entry(at, struct ap_session, link));
}

size_t ap_node_sessions_at(const struct ap_node *node, const char *es)
{
	size_t n = 0;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&node->sessions)
	{
		const struct ap_session *s = list_entry(at, struct ap_session, link);
		bool concerns = false;

		for (int i = 0; i < AP_EDGES_MAX; i++)
			concerns |= name_equal(s->edge[i].name, es);
		n += concerns;
	}
	return n;
}

/* Releases those of a number that have ended; nothing on the stack may refer to one any more. */
static void reap(struct ap_node *node, uint64_t session)
{
	struct number_entry *e = number_table_find(&node->by_number, session);

	while (e) {
		struct ap_session *s = container_of(e, struct ap_session, by_number);

		e = number_table_next(e);
		if (s->state == AP_ENDED)
			ap_session_free(s);
	}
}

/* --- messages ---------------------------------------------------------------------------------- */

static void on_request(struct ap_session *s, uint64_t now, const struct wire_data *d)
{
	ap_forward_request(s, d);
	if (s->state ==
	    AP_REPLAYING) /* there is more to catch up with, or the replay buffer is half full */
		ap_handoff_progress(s, now);
}

void ap_node_mud_message(struct ap_node *node, uint64_t now, uint64_t link, const char *mud,
			 const struct wire_message *m)
{
	struct ap_session *s = ap_session_next(node, m->session, NULL);

	if (m->session == 0) {
		ap_mud_refuse(node, link, 0, 0, WIRE_E_PROTOCOL, "session number 0");
		return;
	}
	while (s && s->mud_link != link)
		s = ap_session_next(node, m->session, s);
	if (m->type != WIRE_REQUEST)
		ap_mud_message(node, now, link, mud, m);
	else if (!s)
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_UNKNOWN_SESSION,
			      "associate before sending requests");
	else
		on_request(s, now, &m->data);
	reap(node, m->session);
}

void ap_node_mud_gone(struct ap_node *node, uint64_t now, uint64_t link)
{
	list_for_each_safe(at, next, &node->sessions)
	{
		struct ap_session *s = list_entry(at, struct ap_session, link);

		if (s->mud_link == link) {
			s->mud_link = 0;
			s->left_at = now;
			ap_session_touch(s);
		}
	}
}

static void on_move_notify(struct ap_node *node, uint64_t now, const char *ap,
			   const struct wire_message *m)
{
	struct ap_session *s = ap_session_next(node, m->session, NULL);
	struct wire_message answer = { .type = WIRE_MOVE_RESPONSE,
				       .session = m->session,
				       .association = m->association,
				       .move_response = {
					       .status = WIRE_E_UNKNOWN_SESSION,
					       .command = get_be64(m->move_notify.proof),
				       } };
	uint8_t expected[WIRE_PROOF_SIZE];

	while (s && !s->has_secret)
		s = ap_session_next(node, m->session, s);
	if (s && s->state != AP_MOVING && s->state != AP_FINDING) {
		node->proof(expected, s->secret, s->session, m->association, ap);
		bool proven = name_equal(ap, m->move_notify.new_ap) &&
			      proof_equal(expected, m->move_notify.proof);
		if (proven && m->association > s->mud_association) {
			s->move = m->move_notify;
			s->move_association = m->association;
			ap_session_say(s, "MOVE NOTIFY", 0, "to=%s", ap);
			ap_leave(s, now);
			return;
		}
		ap_session_say(s, "MOVE REFUSED", 0, "claimed by %s without the user's proof", ap);
		answer.move_response.status = WIRE_E_NOT_ALLOWED;
	}
	node->ops->to_ap(node->ctx, ap, &answer);
}

void ap_node_ap_message(struct ap_node *node, uint64_t now, const char *ap,
			const struct wire_message *m)
{
	struct ap_session *s = ap_session_next(node, m->session, NULL);

	if (m->type == WIRE_MOVE_NOTIFY)
		on_move_notify(node, now, ap, m);
	for (; s && m->type == WIRE_MOVE_RESPONSE; s = ap_session_next(node, m->session, s)) {
		if (s->state == AP_MOVING && m->association == s->association &&
		    name_equal(ap, s->old_ap) && ap_session_meant(s, m->move_response.command))
			ap_mud_move_response(s, now, m);
	}
	reap(node, m->session);
}

/*
 * An edge server that has the session knows its secret. A status with another secret is a mistake or a
 * lie, about the session or about the epoch that authority has come to (R11).
 */
static bool credible(struct ap_session *s, uint64_t now, const struct wire_message *m)
{
	/* the absence of a session needs no proof; a session about to begin has none yet */
	if (m->es_status.state == WIRE_ES_NONE || s->state == AP_ASSOCIATING)
		return true;
	if (!ap_session_fits(s, m->es_status.secret))
		return false;
	if (!s->has_secret)
		ap_session_prove(s, now, m->es_status.secret);
	return true;
}

static void take_status(struct ap_session *s, struct ap_edge *e, const struct wire_message *m)
{
	const struct wire_es_status *w = &m->es_status;

	e->heard = true;
	e->state = w->state;
	e->epoch = w->state == WIRE_ES_NONE ? e->epoch : m->epoch;
	e->executed = w->executed;
	e->received = w->received;
	e->cut = w->cut;
	e->cut_association = w->cut_association;
	e->migration = w->migration;
	e->holding = w->holding;
	e->kept = w->state == WIRE_ES_LOST && w->status != WIRE_E_LASTING;
	e->freeze_us = w->freeze_us;
	e->others = false;
	memcpy(e->peer, w->peer, NAME_SIZE);
	if (w->state != WIRE_ES_NONE)
		memcpy(s->service, w->service, NAME_SIZE);
}

static void on_refused(struct ap_session *s, uint64_t now, struct ap_edge *e,
		       const struct wire_message *m)
{
	const struct ap_edge *source = ap_session_source(s);

	if (m->association != s->association)
		return; /* of an older visit of the MUD */
	if (!ap_session_meant(s, m->es_status.command))
		return;
	if (m->es_status.status == WIRE_E_BUSY && s->state == AP_FINDING) {
		ap_handoff_withheld(s, now, m->es_status.reason);
		return;
	}
	if (m->es_status.status == WIRE_E_BUSY) {
		ap_forward_waiting(s, e, &m->es_status);
		return;
	}
	if (source && e != source)
		return; /* this edge server has no say in where the user is now */
	if (m->es_status.cut_association > s->association && s->state != AP_FINDING) {
		/* the MUD proved to be elsewhere: the access point there takes care of everything */
		ap_session_say(s, "DISPLACED", 0, "association %u", m->es_status.cut_association);
		ap_attempt_decide(s, AP_RESULT_USER_MOVED, "the user is elsewhere");
		ap_session_move(s, AP_ENDED, now);
		return;
	}
	if (s->state == AP_ASSOCIATING)
		ap_mud_lost(s, now, WIRE_E_NOT_ALLOWED, m->es_status.reason);
	if (s->state ==
	    AP_FINDING) { /* the session there is not this device's; another edge server may have that */
		e->heard = true;
		e->state = WIRE_ES_NONE;
		e->others = true;
		e->peer[0] = '\0';
		if (m->es_status.cut_association > s->association)
			s->displaced = m->es_status.cut_association;
		else
			s->proof_refused = true;
		ap_handoff_find(s, now);
	}
}

static void on_answer(struct ap_session *s, uint64_t now, struct ap_edge *e,
		      const struct wire_message *m)
{
	const struct replay_copy *c;
	bool from_dest = e == ap_session_dest(s);

	switch (ap_forward_take(s, e, m)) {
	case AP_ANSWER_PASSED_OVER:
		return;
	case AP_ANSWER_SPOILT:
		ap_handoff_spoilt(s, now, m->data.number);
		return;
	case AP_ANSWER_DIVERGED:
		c = replay_buffer_find(s->copies, m->data.number);
		ap_handoff_diverged(s, now, m->data.number, c && c->in_doubt);
		if (from_dest)
			return; /* the attempt was dropped, and all that belongs to it */
		break;
	case AP_ANSWER_TAKEN:
		break;
	}
	ap_forward_deliver(s, e, &m->data);
	if (s->state == AP_SERVING && s->move_association)
		ap_leave(s, now);
	ap_handoff_progress(s, now);
}

static void session_es_message(struct ap_session *s, uint64_t now, const char *es,
			       const struct wire_message *m)
{
	struct ap_edge *e = NULL;

	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (name_equal(s->edge[i].name, es))
			e = &s->edge[i];
	}
	if (!e)
		return;
	if (m->type == WIRE_ANSWER) {
		on_answer(s, now, e, m);
	} else if (m->type == WIRE_STREAM) {
		ap_forward_stream(s, e, m);
	} else if (m->type == WIRE_REFUSED) {
		on_refused(s, now, e, m);
	} else if (m->association == s->association && credible(s, now, m)) {
		take_status(s, e, m);
		if (s->resume && e == ap_session_source(s)) {
			s->resume = false;
			ap_mud_respond(s, WIRE_OK, "");
		}
		ap_attempt_seen(s, now);
		ap_handoff_status(s, now, e, m);
	}
}

void ap_node_es_message(struct ap_node *node, uint64_t now, const char *es,
			const struct wire_message *m)
{
	if (m->type == WIRE_EDGE_STATE) {
		ap_wish_drained(node, now, es, m->edge_state.drained);
		return;
	}
	ap_ended_heard(node, es, m);
	for (struct ap_session *s = ap_session_next(node, m->session, NULL); s;
	     s = ap_session_next(node, m->session, s))
		session_es_message(s, now, es, m);
	reap(node, m->session);
}

void ap_node_es_down(struct ap_node *node, uint64_t now, const char *es)
{
	struct ap_place *p = ap_place_find(node, es);

	if (!p || p->down)
		return;
	p->down = true;
	p->down_at = now;
}

void ap_node_es_up(struct ap_node *node, uint64_t now, const char *es)
{
	struct ap_place *p = ap_place_find(node, es);

	if (p)
		p->down = false;
	ap_ended_up(node, es);
	list_for_each_safe(at, next, &node->sessions)
	{
		struct ap_session *s = list_entry(at, struct ap_session, link);

		ap_session_touch(s);
		for (int i = 0; i < AP_EDGES_MAX; i++) {
			struct ap_edge *e = &s->edge[i];

			if (!name_equal(e->name, es))
				continue;
			e->fed = e->answered;
			ap_forward_broken(s, e);
			if (s->state == AP_ASSOCIATING || s->state == AP_MOVING)
				s->next_retry = now;
			else
				ap_session_attach(s, e);
		}
		ap_forward_feed(s);
	}
	ap_wish_reachable(node, now, es);
}

/* --- time -------------------------------------------------------------------------------------- */

static void session_tick(struct ap_session *s, uint64_t now)
{
	if (!s->mud_link && now >= s->left_at + s->node->policy.idle_ms) {
		ap_attempt_decide(s, AP_RESULT_USER_LEFT, "its user has been away too long");
		ap_session_move(s, AP_ENDED, now); /* the edge server ends it by itself */
	} else if (s->state == AP_ASSOCIATING || s->state == AP_MOVING) {
		ap_mud_tick(s, now);
	} else {
		ap_handoff_tick(s, now);
	}
	if (s->state == AP_ENDED)
		ap_session_free(s);
}

void ap_node_tick(struct ap_node *node, uint64_t now)
{
	struct deadline *d;

	(void)deadlines_earliest(&node->deadlines);
	while ((d = deadlines_take(&node->deadlines, now)) != NULL)
		session_tick(container_of(d, struct ap_session, deadline), now);
}

uint64_t ap_node_deadline(struct ap_node *node)
{
	return deadlines_earliest(&node->deadlines);
}

uint64_t ap_node_deadline_by_walk(const struct ap_node *node)
{
	uint64_t earliest = UINT64_MAX;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&node->sessions)
	{
		uint64_t d =
			ap_session_deadline(&list_entry(at, struct ap_session, link)->deadline);

		if (d < earliest)
			earliest = d;
	}
	return earliest;
}

struct ap_counts ap_node_counts(const struct ap_node *node)
{
	return node->counts;
}

void ap_node_each(const struct ap_node *node,
		  void (*fn)(void *ctx, const struct ap_session_view *view), void *ctx)
{
	list_for_each_safe(at, next, (struct list *)&node->sessions)
	{
		const struct ap_session *s = list_entry(at, struct ap_session, link);
		struct ap_session_view view = {
			.session = s->session,
			.association = s->association,
			.state = s->state,
			.floor = replay_buffer_floor(s->copies),
			.highest = replay_buffer_highest(s->copies),
			.copies_bytes = replay_buffer_bytes(s->copies),
			.place = ap_session_place(s),
			.given_up = ap_retry_given_up(s),
			.ended = s->ended,
			.last = s->last,
		};

		memcpy(view.mud, s->mud, NAME_SIZE);
		memcpy(view.wish, s->wish, NAME_SIZE);
		memcpy(view.service, s->service, NAME_SIZE);
		if (s->source >= 0)
			memcpy(view.source, s->edge[s->source].name, NAME_SIZE);
		if (s->dest >= 0)
			memcpy(view.dest, s->edge[s->dest].name, NAME_SIZE);
		fn(ctx, &view);
	}
}
