/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packet Forwarder - requests to the containers that may have them, answers to the MUD
 *
 * Until authority moves, the MUD hears CT-x only. CT-y's answers to copies are compared, and kept
 * where CT-x has not answered; they go out once CT-y has authority (R4).
 */

#include <stdio.h>
#include <string.h>

#include "core/ap/session.h"
#include "core/common/replay_buffer.h"
#include "core/common/request.h"

/*
 * Times that a container is asked again for an answer: its cache may have dropped it. Several inquiries within
 * retry_ms count once, for the answer to the first may still be on its way.
 */
#define ASKED_MAX 5

static void send_copy(struct ap_session *s, const struct ap_edge *e, const struct replay_copy *c)
{
	struct wire_message m = ap_session_command(s, WIRE_REQUEST);

	m.epoch = e->epoch;
	m.data = request_data(c->request);
	m.data.ack = c->ack;
	ap_session_tell(s, e, &m);
}

/* Requests under way to an edge server have a limit in bytes, too (R9). */
static bool fits_under_way(struct ap_session *s, const struct ap_edge *e,
			   const struct replay_copy *next)
{
	size_t bytes = next->request->len;

	if (e->fed - e->answered < WIRE_WINDOW_BYTES / WIRE_PAYLOAD_MAX)
		return true;
	for (uint64_t n = e->answered + 1; n <= e->fed; n++) {
		const struct replay_copy *c = replay_buffer_find(s->copies, n);

		bytes += c ? c->request->len : 0;
	}
	return bytes <= WIRE_WINDOW_BYTES;
}

static void feed_edge(struct ap_session *s, struct ap_edge *e, uint64_t through)
{
	uint64_t floor = replay_buffer_floor(s->copies);

	if (e->answered < floor)
		e->answered = floor;
	if (e->fed < e->answered)
		e->fed = e->answered;
	while (e->fed < through && e->fed < e->answered + WIRE_WINDOW) {
		struct replay_copy *c = replay_buffer_find(s->copies, e->fed + 1);

		if (!c || !fits_under_way(s, e, c))
			return;
		send_copy(s, e, c);
		e->fed++;
	}
}

void ap_forward_feed(struct ap_session *s)
{
	struct ap_edge *source = ap_session_source(s);
	struct ap_edge *dest = ap_session_dest(s);
	uint64_t highest = replay_buffer_highest(s->copies);

	switch (s->state) {
	case AP_SERVING:
	case AP_TRACING:
		if (!ap_session_holds(s))
			feed_edge(s, source, highest);
		break;
	case AP_REPLAYING:
		if (ap_session_holds(s))
			break;
		feed_edge(s, source, highest);
		feed_edge(s, dest, highest);
		break;
	case AP_FENCING:
		if (ap_session_holds(s))
			break;
		feed_edge(s, source, s->fence_after);
		feed_edge(s, dest, highest);
		break;
	case AP_ACTIVATING:
		/* R6: nothing is compared, so a replica that is not active yet need not answer */
		if (!ap_session_holds(s))
			feed_edge(s, dest, highest);
		break;
	case AP_GRACE:
	case AP_RETIRING:
		feed_edge(s, dest, highest);
		break;
	case AP_ASSOCIATING:
	case AP_MOVING:
	case AP_FINDING:
	case AP_GOING_BACK:
	case AP_ENDED:
	case AP_STATES:
		break; /* held here until it is known who has authority */
	}
}

static bool dest_may_answer(const struct ap_session *s)
{
	return s->state == AP_GRACE || s->state == AP_RETIRING;
}

/* The edge server that may answer the MUD, also a request that is sent again. */
static struct ap_edge *answering_edge(struct ap_session *s)
{
	return dest_may_answer(s) ? ap_session_dest(s) : ap_session_source(s);
}

static void count_asked(const struct ap_session *s, uint64_t now, struct replay_copy *c)
{
	if (c->asked == ASKED_MAX || (c->asked && now < c->asked_at + s->node->policy.retry_ms))
		return;
	c->asked++;
	c->asked_at = now;
}

void ap_forward_sync(struct ap_session *s, uint64_t now, struct ap_edge *e)
{
	enum replay_side side = e == ap_session_dest(s) ? REPLAY_COPY : REPLAY_SOURCE;
	bool answers = e == answering_edge(s);
	uint64_t n = replay_buffer_floor(s->copies) + 1;
	struct replay_copy *c;

	/* executed there, but the answer has not come by here: its answer cache has it */
	for (; n <= e->executed && (c = replay_buffer_find(s->copies, n)); n++) {
		if (c->has_digest[side] && (!answers || c->delivered))
			continue;
		send_copy(s, e, c);
		if (answers)
			count_asked(s, now, c);
	}
	if (e->answered < e->executed)
		e->answered = e->executed;
	/* no progress since the last inquiry: the requests sent did not arrive */
	if (e->answered == e->answered_before)
		e->fed = e->answered;
	e->answered_before = e->answered;
	ap_forward_settle(s);
	ap_forward_feed(s);
}

/* The MUD asks again, so an answer got lost between here and there. */
static void repeat_request(struct ap_session *s, const struct wire_data *d)
{
	struct replay_copy *c = replay_buffer_find(s->copies, d->number);
	struct ap_edge *e = answering_edge(s);
	struct wire_message m = ap_session_command(s, WIRE_REQUEST);

	if (c)
		c->delivered = false;
	if (!e || s->state == AP_GOING_BACK)
		return;
	m.epoch = e->epoch;
	m.data = *d;
	if (d->number <= e->fed)
		ap_session_tell(s, e, &m);
}

/*
 * The MUD has answers, from an access point before this one, to requests that did not fit in here when
 * it sent all again. It will never send them any more. The container has executed them, so only a
 * replica in the making needs them, and its attempt is dropped for the missing buffered requests.
 */
static void pass_over_answered(struct ap_session *s, const struct wire_data *d)
{
	const struct ap_edge *e = answering_edge(s);
	bool gap = replay_buffer_started(s->copies) &&
		   d->number > replay_buffer_highest(s->copies) + 1;

	if (!gap || d->ack < d->number - 1 || !e || e->executed < d->ack)
		return;
	if (s->state == AP_SERVING || s->state == AP_TRACING)
		replay_buffer_drop_through(s->copies, d->number - 1);
}

void ap_forward_request(struct ap_session *s, const struct wire_data *d)
{
	int r;

	if (s->acked < d->ack) {
		s->acked = d->ack;
		ap_forward_settle(s);
	}
	pass_over_answered(s, d);
	r = replay_buffer_push(s->copies, d, NULL);
	switch (r) {
	case 0:
		s->node->counts.requests++;
		if (s->node->policy.request_events)
			ap_session_say(s, "SVCQ", d->number, "len=%zu", d->len);
		ap_forward_feed(s);
		break;
	case REPLAY_BUFFER_E_STALE:
		repeat_request(s, d);
		break;
	default:
		/* back-pressure: the MUD sends it again, and nothing after it was taken (R9) */
		s->node->counts.not_taken++;
		if (s->node->policy.request_events)
			ap_session_say(s, "SVCQ NOT TAKEN", d->number, "%s",
				       r == REPLAY_BUFFER_E_FULL  ? "replay buffer is full"
				       : r == REPLAY_BUFFER_E_GAP ? "one before it was not taken"
								  : "out of memory");
	}
}

static void deliver(struct ap_session *s, struct replay_copy *c, const struct wire_data *answer)
{
	struct wire_message m = {
		.type = WIRE_ANSWER,
		.session = s->session,
		.association = s->mud_association,
		.data = *answer,
	};

	if (!s->mud_link)
		return; /* it will ask again */
	if (c && c->delivered)
		return;
	s->node->ops->to_mud(s->node->ctx, s->mud_link, &m);
	if (c) {
		c->delivered = true;
		replay_buffer_release(s->copies, c); /* may hold the very bytes just sent */
	}
	s->node->counts.answers++;
	s->node->counts.in_doubt += answer->status == WIRE_E_IN_DOUBT;
	s->attempt.in_doubt += answer->status == WIRE_E_IN_DOUBT;
	if (s->node->policy.request_events)
		ap_session_say(s, "SVCR", answer->number, "len=%zu", answer->len);
}

bool ap_forward_behind(struct ap_session *s)
{
	const struct ap_edge *source = ap_session_source(s);
	uint64_t n = source->answered;

	if (source->heard && source->executed > n)
		n = source->executed;
	if (source->heard && s->acked > n)
		return true;
	for (n++; n <= replay_buffer_highest(s->copies); n++) {
		const struct replay_copy *c = replay_buffer_find(s->copies, n);

		if (c && c->delivered)
			return true;
	}
	return false;
}

/*
 * The user has its answer from another container that is gone. The one that serves now has executed it, too, and may
 * have to say that the outcome is in doubt (R1).
 */
static bool word_awaited(const struct ap_session *s, const struct replay_copy *c)
{
	enum replay_side side = dest_may_answer(s) ? REPLAY_COPY : REPLAY_SOURCE;

	return c->delivered && !c->has_digest[side] && c->asked && c->asked < ASKED_MAX;
}

void ap_forward_settle(struct ap_session *s)
{
	s->word_awaited = false;
	if (s->state != AP_SERVING && s->state != AP_RETIRING)
		return;
	for (;;) {
		uint64_t next = replay_buffer_floor(s->copies) + 1;
		struct replay_copy *c = replay_buffer_find(s->copies, next);

		/* after going back, CT-x must also execute the requests that CT-y has answered (R3) */
		if (!c || next > answering_edge(s)->answered || (!c->delivered && next > s->acked))
			return;
		s->word_awaited = word_awaited(s, c);
		if (s->word_awaited)
			return;
		replay_buffer_drop_through(s->copies, next);
	}
}

bool ap_forward_alike(const struct ap_session *s, const struct replay_copy *c)
{
	if (!c->has_digest[REPLAY_SOURCE] || !c->has_digest[REPLAY_COPY] ||
	    c->digest[REPLAY_SOURCE] == c->digest[REPLAY_COPY] || !s->node->policy.compare)
		return true;
	/* or the service's answers are not to be compared */
	return !c->digest[REPLAY_SOURCE] || !c->digest[REPLAY_COPY];
}

/*
 * A replica that died soon after the switch has answered the request, and the user has its answer. CT-x was
 * executing it again when it or its edge server's program died: the user cannot be told of this doubt (R1).
 */
static bool effect_in_doubt(const struct replay_copy *c, const struct wire_data *answer)
{
	if (answer->status != WIRE_E_IN_DOUBT || !c || !c->delivered || c->in_doubt ||
	    c->has_digest[REPLAY_SOURCE])
		return false;
	return true;
}

enum ap_answer ap_forward_take(struct ap_session *s, struct ap_edge *e,
			       const struct wire_message *m)
{
	struct replay_copy *c = replay_buffer_find(s->copies, m->data.number);
	bool from_dest = e == ap_session_dest(s);

	if (m->epoch != e->epoch || (!from_dest && e != ap_session_source(s)))
		return AP_ANSWER_PASSED_OVER;
	if (from_dest && s->state == AP_TRACING)
		return AP_ANSWER_PASSED_OVER; /* of an older copy, which is on its way out */
	if (e->answered < m->data.number)
		e->answered = m->data.number;
	if (!from_dest && !dest_may_answer(s) && effect_in_doubt(c, &m->data))
		return AP_ANSWER_SPOILT;
	if (!c)
		return AP_ANSWER_TAKEN;
	enum replay_side side = from_dest ? REPLAY_COPY : REPLAY_SOURCE;
	c->has_digest[side] = true;
	c->in_doubt |= m->data.status == WIRE_E_IN_DOUBT;
	c->digest[side] = m->data.digest;
	return ap_forward_alike(s, c) ? AP_ANSWER_TAKEN : AP_ANSWER_DIVERGED;
}

void ap_forward_deliver(struct ap_session *s, const struct ap_edge *e,
			const struct wire_data *answer)
{
	struct replay_copy *c = replay_buffer_find(s->copies, answer->number);

	if (e != ap_session_dest(s) || dest_may_answer(s))
		deliver(s, c, answer);
	else if (c && !c->delivered)
		(void)replay_buffer_withhold(s->copies, c, answer, NULL);
	ap_forward_settle(s);
	ap_forward_feed(s);
}

void ap_forward_stream(struct ap_session *s, const struct ap_edge *e, const struct wire_message *m)
{
	struct wire_message to_user = {
		.type = WIRE_STREAM,
		.session = s->session,
		.association = s->mud_association,
		.stream = m->stream,
	};

	s->streams = true;
	if (s->mud_link && e == answering_edge(s) && m->epoch == e->epoch)
		s->node->ops->to_mud(s->node->ctx, s->mud_link, &to_user);
}

void ap_forward_broken(struct ap_session *s, const struct ap_edge *e)
{
	struct wire_message to_user = {
		.type = WIRE_STREAM,
		.session = s->session,
		.association = s->mud_association,
		.stream = { .ended = true },
	};

	if (s->streams && s->mud_link && e == answering_edge(s))
		s->node->ops->to_mud(s->node->ctx, s->mud_link, &to_user);
}

void ap_forward_waiting(struct ap_session *s, const struct ap_edge *e,
			const struct wire_es_status *why)
{
	if (e == answering_edge(s))
		ap_mud_refuse(s->node, s->mud_link, s->session, why->executed + 1, WIRE_E_BUSY,
			      why->reason);
}

void ap_forward_release(struct ap_session *s, struct ap_edge *e)
{
	uint64_t n = replay_buffer_floor(s->copies) + 1;
	struct replay_copy *c;

	for (; n <= e->answered && (c = replay_buffer_find(s->copies, n)); n++) {
		struct wire_data answer = { .number = n,
					    .digest = c->answer_digest,
					    .status = c->answer_status,
					    .bytes = c->answer,
					    .len = c->answer_len };

		if (c->delivered)
			continue;
		if (c->answer)
			deliver(s, c, &answer);
		else
			send_copy(s, e, c); /* it was not kept here; the answer cache has it */
	}
}
