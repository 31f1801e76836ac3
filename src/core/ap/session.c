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
	const struct list *bucket = &node->bucket[session % AP_BUCKETS];
	const struct list *at = after ? after->same_bucket.next : bucket->next;

	for (; at != bucket; at = at->next) {
		struct ap_session *s = list_entry(at, struct ap_session, same_bucket);

		if (s->session == session && s->state != AP_ENDED)
			return s;
	}
	return NULL;
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
	list_append(&node->bucket[session % AP_BUCKETS], &s->same_bucket);
	node->count++;
	return s;
}

void ap_session_free(struct ap_session *s)
{
	replay_buffer_free(s->copies);
	list_remove(&s->link);
	list_remove(&s->same_bucket);
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
