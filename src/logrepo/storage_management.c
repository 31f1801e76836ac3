/* SPDX-License-Identifier: Apache-2.0 */
#include "logrepo/storage_management.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "logrepo/event_json.h"

#define SESSION_DIGITS_MIN 8 /* so many first digits of a session's number name it */
#define ANSWER_BYTES_MAX   (WIRE_TEXT_MAX - 4096u) /* leaves room for the closing fields */

struct storage {
	struct storage_backend backend;
	uint64_t stored;
	uint64_t lost;
};

int storage_new(struct storage **ret, const struct storage_backend *backend, struct err *err)
{
	struct storage *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, -ENOMEM, "storage");
	s->backend = *backend;
	*ret = s;
	return 0;
}

struct storage *storage_free(struct storage *s)
{
	if (s)
		s->backend.close(s->backend.self);
	free(s);
	return NULL;
}

uint64_t storage_stored(const struct storage *s)
{
	return s->stored;
}

uint64_t storage_lost(const struct storage *s)
{
	return s->lost;
}

int storage_sync(struct storage *s, struct err *err)
{
	return s->backend.sync(s->backend.self, err);
}

/* A hole in the record must show in the record */
static int store_loss(struct storage *s, const char *sender, uint64_t dropped, struct err *err)
{
	struct wire_event e = { .number = dropped, .time_us = realtime_us() };

	(void)snprintf(e.node, sizeof(e.node), "%s", sender);
	(void)snprintf(e.kind, sizeof(e.kind), "EVENTS DROPPED");
	(void)snprintf(e.detail, sizeof(e.detail), "%" PRIu64 " events before this one are missing",
		       dropped);
	return s->backend.append(s->backend.self, &e, 1, err);
}

/* A node may report events of itself only; readers would believe its events of others (R16) */
static int check_nodes(const char *sender, const struct wire_events *batch, struct err *err)
{
	for (uint32_t i = 0; i < batch->count; i++) {
		if (!name_equal(batch->event[i].node, sender))
			return err_set(err, -EPERM, "%s reports an event of %.63s", sender,
				       batch->event[i].node);
	}
	return 0;
}

int storage_store(struct storage *s, const char *sender, const struct wire_events *batch,
		  struct err *err)
{
	int r = check_nodes(sender, batch, err);

	if (r < 0) {
		s->lost += batch->count;
		return r;
	}
	s->lost += batch->dropped;
	if (batch->dropped)
		r = store_loss(s, sender, batch->dropped, err);
	if (r == 0 && batch->count)
		r = s->backend.append(s->backend.self, batch->event, batch->count, err);
	if (r < 0) {
		s->lost += batch->count;
		return err_wrap(err, r, "store %u events of %s", batch->count, sender);
	}
	s->stored += batch->count;
	return 0;
}

/* ---- inquiries ---- */

/* Conditions of an inquiry, and the page being filled */
struct query {
	uint64_t session;
	unsigned int session_shift;
	const char *node;
	const char *kind;
	uint64_t since_us;
	size_t limit;
	struct buf *answer;
	size_t found;
	size_t scanned;
	bool full;
	int result;
};

static bool matches(const struct query *q, const struct wire_event *e)
{
	bool session = !q->session || e->session == q->session ||
		       (q->session_shift && e->session >> q->session_shift == q->session);

	return session && (!q->node || strcmp(e->node, q->node) == 0) &&
	       (!q->kind || strcmp(e->kind, q->kind) == 0) && e->time_us >= q->since_us;
}

/* Takes one event of the store. Return: 1 if the page ends before it */
static int on_event(void *ctx, const struct wire_event *e)
{
	struct query *q = ctx;

	if (q->found >= q->limit || q->scanned >= STORAGE_SCAN_MAX ||
	    q->answer->len >= ANSWER_BYTES_MAX - 2048) {
		q->full = true;
		return 1;
	}
	q->scanned++;
	if (!matches(q, e))
		return 0;
	json_t *j = event_json_pack(e);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text)
		q->result = -ENOMEM;
	if (q->result == 0 && q->found)
		q->result = buf_append(q->answer, ",\n", 2, NULL);
	if (q->result == 0)
		q->result = buf_append(q->answer, text, strlen(text), NULL);
	free(text);
	q->found++;
	return q->result < 0;
}

static int read_filter(json_t *filter, struct query *q, struct storage_cursor *at, struct err *err)
{
	const char *session = NULL, *cursor = NULL;
	json_int_t since = 0, limit = STORAGE_PAGE_MAX;
	json_error_t why;
	char rest;

	if (json_unpack_ex(filter, &why, JSON_STRICT, "{s?s, s?s, s?s, s?s, s?I, s?I}", "session",
			   &session, "node", &q->node, "kind", &q->kind, "cursor", &cursor,
			   "since_us", &since, "limit", &limit) < 0)
		return err_set(err, -EINVAL, "filter: %s", why.text);
	if (session) {
		char *end;

		q->session = strtoull(session, &end, 16);
		if (*end || !q->session)
			return err_set(err, -EINVAL, "filter: session \"%.32s\" is no number",
				       session);
		if (strlen(session) >= SESSION_DIGITS_MIN && strlen(session) < 16)
			q->session_shift = 64 - 4 * (unsigned int)strlen(session);
	}
	if (cursor &&
	    sscanf(cursor, "%" SCNu64 ":%" SCNu64 "%c", &at->part, &at->offset, &rest) != 2)
		return err_set(err, -EINVAL, "filter: cursor \"%.48s\" is none of ours", cursor);
	if (since < 0 || limit < 1 || limit > STORAGE_PAGE_MAX)
		return err_set(err, -EINVAL, "filter: want since_us >= 0 and limit 1 to %d",
			       STORAGE_PAGE_MAX);
	q->since_us = (uint64_t)since;
	q->limit = (size_t)limit;
	return 0;
}

/* The page itself, once the filter is read */
static int fill_page(struct storage *s, struct query *q, struct storage_cursor *at, struct err *err)
{
	char end[128];
	int r;

	r = buf_append(q->answer, "{\"events\":[", 11, err);
	if (r == 0)
		r = s->backend.read(s->backend.self, at, on_event, q, err);
	if (r == 0 && q->result < 0)
		r = err_set(err, q->result, "answer");
	if (r < 0)
		return r;
	int n = snprintf(end, sizeof(end), "],\"cursor\":\"%" PRIu64 ":%" PRIu64 "\",\"more\":%s}",
			 at->part, at->offset, q->full ? "true" : "false");
	return buf_append(q->answer, end, (size_t)n, err);
}

int storage_query(struct storage *s, const char *filter, size_t len, struct buf *answer,
		  struct err *err)
{
	struct query q = { .answer = answer, .limit = STORAGE_PAGE_MAX };
	struct storage_cursor at = { 0 };
	json_error_t why;
	int r = 0;

	/* the strings of the filter live as long as this object */
	json_t *j = len ? json_loadb(filter, len, JSON_REJECT_DUPLICATES, &why) : json_object();
	if (!j)
		return err_set(err, -EINVAL, "filter: %s", why.text);
	r = read_filter(j, &q, &at, err);
	if (r == 0)
		r = fill_page(s, &q, &at, err);
	json_decref(j);
	return r;
}
