/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ap/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "core/common/replay_buffer.h"

struct ap_session *ap_session_next(const struct ap_node *node, uint64_t session,
				   const struct ap_session *after)
{
	struct number_entry *e = after ? number_table_next(&after->by_number)
				       : number_table_find(&node->by_number, session);

	for (; e; e = number_table_next(e)) {
		struct ap_session *s = container_of(e, struct ap_session, by_number);

		ap_session_touch(s);
		if (s->state != AP_ENDED)
			return s;
	}
	return NULL;
}

void ap_session_touch(struct ap_session *s)
{
	deadlines_touch(&s->node->deadlines, &s->deadline);
}

uint64_t ap_session_deadline(const struct deadline *d)
{
	const struct ap_session *s = container_of(d, struct ap_session, deadline);
	const struct policy *p = &s->node->policy;
	uint64_t at = UINT64_MAX;

	switch (s->state) {
	case AP_SERVING:
		at = s->since_asked + (s->word_awaited ? p->retry_ms : p->idle_ms / 4);
		if (s->next_attempt && s->next_attempt < at)
			at = s->next_attempt;
		break;
	case AP_GRACE:
		at = s->since + p->grace_ms;
		break;
	case AP_ENDED:
		return 0;
	case AP_ASSOCIATING:
	case AP_MOVING:
	case AP_FINDING:
	case AP_TRACING:
	case AP_REPLAYING:
	case AP_FENCING:
	case AP_ACTIVATING:
	case AP_RETIRING:
	case AP_GOING_BACK:
	case AP_STATES:
		at = s->next_retry;
		break;
	}
	if (!s->mud_link && s->left_at + p->idle_ms < at)
		at = s->left_at + p->idle_ms;
	return at;
}

bool ap_session_proven(const struct ap_session *s)
{
	return s->has_secret && s->state != AP_ASSOCIATING;
}

bool ap_session_fits(const struct ap_session *s, const uint8_t *secret)
{
	uint8_t expected[WIRE_PROOF_SIZE];

	if (s->has_secret)
		return proof_equal(s->secret, secret);
	s->node->proof(expected, secret, s->session, s->association, s->node->name);
	return proof_equal(expected, s->proof);
}

bool ap_session_meant(const struct ap_session *s, uint64_t command)
{
	return command == get_be64(s->proof) || (!command && ap_session_proven(s));
}

struct ap_session *ap_session_new(struct ap_node *node, uint64_t session, enum ap_state state,
				  uint64_t now)
{
	if (node->count >= node->policy.sessions_max)
		return NULL;
	struct ap_session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	if (replay_buffer_new(&s->copies, node->policy.copies_max, node->policy.copies_bytes_max,
			      NULL) < 0) {
		free(s);
		return NULL;
	}
	if (deadlines_add(&node->deadlines, &s->deadline) < 0) {
		replay_buffer_free(s->copies);
		free(s);
		return NULL;
	}
	if (number_table_add(&node->by_number, &s->by_number, session) < 0) {
		deadlines_remove(&node->deadlines, &s->deadline);
		replay_buffer_free(s->copies);
		free(s);
		return NULL;
	}
	s->node = node;
	s->session = session;
	s->state = state;
	s->since = now;
	s->since_asked = now;
	s->left_at = now;
	s->source = -1;
	s->dest = -1;
	s->next_retry = now + node->policy.retry_ms;
	list_append(&node->sessions, &s->link);
	node->count++;
	return s;
}

void ap_session_free(struct ap_session *s)
{
	replay_buffer_free(s->copies);
	list_remove(&s->link);
	number_table_remove(&s->node->by_number, &s->by_number);
	deadlines_remove(&s->node->deadlines, &s->deadline);
	s->node->count--;
	free(s);
}

void ap_session_say(struct ap_session *s, const char *kind, uint64_t number, const char *fmt, ...)
{
	char detail[WIRE_REASON_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	s->node->ops->event(s->node->ctx, s->session, kind, number, detail);
}

int ap_session_edge(struct ap_session *s, const char *name)
{
	int free_entry = -1;

	if (!name[0])
		return -1;
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		if (name_equal(s->edge[i].name, name))
			return i;
		if (!s->edge[i].name[0] && free_entry < 0)
			free_entry = i;
	}
	if (free_entry < 0)
		return -1;
	s->edge[free_entry] = (struct ap_edge){ 0 };
	(void)name_set(s->edge[free_entry].name, name, NULL);
	return free_entry;
}

struct wire_message ap_session_command(const struct ap_session *s, enum wire_type type)
{
	return (struct wire_message){ .type = type,
				      .session = s->session,
				      .association = s->association };
}

void ap_session_tell(struct ap_session *s, const struct ap_edge *e, const struct wire_message *m)
{
	s->node->ops->to_es(s->node->ctx, e->name, m);
}

void ap_session_attach(struct ap_session *s, const struct ap_edge *e)
{
	struct wire_message m = ap_session_command(s, WIRE_ATTACH);

	memcpy(m.attach.ap, s->node->name, NAME_SIZE);
	memcpy(m.attach.proof, s->proof, WIRE_PROOF_SIZE);
	ap_session_tell(s, e, &m);
}
