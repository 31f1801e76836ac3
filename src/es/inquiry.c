/* SPDX-License-Identifier: Apache-2.0 */
#include "es/inquiry.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "core/es/node.h"
#include "es/ap_links.h"
#include "es/container/management.h"
#include "es/migration/controller.h"
#include "net/link.h"
#include "report/disks.h"

#define CHECK          "check "
#define FITS           "fits "
#define RESTORE        "restore "
#define DISCARD        "discard "
#define CHECK_TEXT_MAX 320
#define LINK_MAX       1000000000000

/* a check under way; the link's data points to it */
struct check {
	struct link *link;
	uint64_t session;
};

static void reply(struct link *l, uint64_t session, enum wire_status status, const char *text)
{
	struct wire_message answer = {
		.type = WIRE_INQUIRY_ANSWER,
		.session = session,
		.text = { .status = status, .bytes = (const uint8_t *)text, .len = strlen(text) },
	};

	/* an operator who does not read the answers gets no more of them */
	(void)link_send(l, &answer);
}

static void reply_json(struct link *l, uint64_t session, json_t *json)
{
	auto_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text)
		reply(l, session, WIRE_E_FAILED, "out of memory");
	else if (strlen(text) > WIRE_TEXT_MAX)
		reply(l, session, WIRE_E_FAILED, "the answer is too long");
	else
		reply(l, session, WIRE_OK, text);
}

static void count_session(void *ctx, const struct es_session_view *v)
{
	(void)v;
	(*(json_int_t *)ctx)++;
}

static const char *migration_name(enum wire_migration migration)
{
	switch (migration) {
	case WIRE_MIGRATION_NONE:
		return "none";
	case WIRE_MIGRATION_PREPARING:
		return "preparing";
	case WIRE_MIGRATION_SENDING:
		return "sending";
	}
	return "unknown";
}

static void add_session(void *ctx, const struct es_session_view *v)
{
	const struct es_record *r = &v->record;
	char number[17];

	(void)snprintf(number, sizeof(number), "%016" PRIx64, r->session);
	json_t *s = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:b}",
			      "session", number, "mud", r->mud, "service", r->service, "state",
			      wire_es_state_name(r->state), "epoch", (json_int_t)r->epoch,
			      "association", (json_int_t)r->association, "executed",
			      (json_int_t)r->executed, "queued", (json_int_t)v->queued, "cached",
			      (json_int_t)v->cached, "migration", migration_name(v->migration),
			      "peer", r->peer, "ap", r->ap, "removing", v->removing);
	json_t *more = json_pack("{s:b, s:b, s:I, s:I, s:I, s:s%}", "starting", v->starting, "gone",
				 v->gone, "restarts", (json_int_t)v->restarts, "memory_from",
				 (json_int_t)v->memory_from, "silent_ms", (json_int_t)v->silent_ms,
				 "reason", v->reason, strlen(v->reason));
	(void)json_object_update(s, more);
	json_decref(more);
	if (v->kept)
		(void)json_object_set_new(s, "protected", json_integer((json_int_t)v->kept_cut));
	(void)json_array_append_new(ctx, s);
}

static json_t *unclaimed(const struct es_inquiry *q)
{
	json_t *all = json_array();

	for (size_t i = 0; i < q->unclaimed_count; i++) {
		const struct es_unclaimed *u = &q->unclaimed[i];
		const char *reason = es_node_withheld(q->node, u->session);
		char number[17];

		(void)snprintf(number, sizeof(number), "%016" PRIx64, u->session);
		(void)json_array_append_new(
			all, json_pack("{s:s, s:s, s:s, s:s?}", "session", number, "service",
				       u->service, "container", u->container, "reason", reason));
	}
	return all;
}

static void add_ap(void *ctx, const char *name)
{
	(void)json_object_set_new(ctx, name, json_true());
}

static void add_full(void *ctx, const struct disks_view *v)
{
	(void)json_array_append_new(ctx,
				    json_pack("{s:s, s:s, s:I, s:I, s:s}", "what", v->what, "path",
					      v->path, "bytes", (json_int_t)v->bytes, "free",
					      (json_int_t)v->free, "trouble", v->trouble));
}

static json_t *status(const struct es_inquiry *q)
{
	json_t *full = json_array();
	json_t *aps = json_object();
	json_int_t sessions = 0;

	es_node_each(q->node, count_session, &sessions);
	ap_links_each(q->aps, add_ap, aps);
	if (q->disks)
		disks_each_bad(q->disks, add_full, full);
	return json_pack("{s:s, s:s, s:I, s:b, s:I, s:o, s:o}", "node", q->name, "role", "es",
			 "sessions", sessions, "drained", es_node_drained(q->node),
			 "certificate_days", (json_int_t)q->certificate_days, "access_points", aps,
			 "full", full);
}

static json_t *sessions(const struct es_inquiry *q)
{
	json_t *all = json_array();

	es_node_each(q->node, add_session, all);
	return json_pack("{s:s, s:s, s:o, s:o}", "node", q->name, "role", "es", "sessions", all,
			 "unclaimed", unclaimed(q));
}

/* --- checks take a while ---------------------------------------------------------------------- */

static void on_checked(void *ctx, const char *json, const char *reason)
{
	struct check *c = ctx;

	if (c->link) {
		link_set_data(c->link, NULL, NULL);
		if (json)
			reply(c->link, c->session, WIRE_OK, json);
		else
			reply(c->link, c->session, WIRE_E_FAILED, reason);
	}
	free(c);
}

/* The operator's link goes, whoever ended it: the answer has nowhere to go. */
static void link_gone(void *data)
{
	((struct check *)data)->link = NULL;
}

static void start_check(const struct es_inquiry *q, struct link *l, uint64_t session,
			const char *name, const struct migration_link *over)
{
	struct err err = { .text = "out of memory" };

	if (link_data(l)) {
		reply(l, session, WIRE_E_BUSY, "a check is running for you already");
		return;
	}
	struct check *c = calloc(1, sizeof(*c));
	if (c) {
		*c = (struct check){ l, session };
		link_set_data(l, c, link_gone);
		if (migration_controller_check(q->migrations, name, over, on_checked, c, &err) == 0)
			return;
		link_set_data(l, NULL, NULL);
		free(c);
	}
	reply(l, session, WIRE_E_FAILED, err.text);
}

static bool asks_for(const struct wire_text *t, const char *what)
{
	return t->len == strlen(what) && memcmp(t->bytes, what, t->len) == 0;
}

/* "check NAME [RATE RTT_US]" */
static void check_asked(const struct es_inquiry *q, struct link *l, const struct wire_message *m)
{
	char text[CHECK_TEXT_MAX];
	char name[MIGRATION_CHECK_NAME_SIZE] = "";
	struct migration_link over = { .rate = 0 };

	(void)snprintf(text, sizeof(text), "%.*s", (int)m->text.len, (const char *)m->text.bytes);
	if (m->text.len >= sizeof(text) ||
	    sscanf(text, "check %255s %" SCNu64 " %" SCNu64, name, &over.rate, &over.rtt_us) < 1 ||
	    over.rate > LINK_MAX || over.rtt_us > LINK_MAX)
		reply(l, m->session, WIRE_E_PROTOCOL, "check: want NAME, or NAME RATE RTT_US");
	else
		start_check(q, l, m->session, name, &over);
}

/* "fits JSON": another edge server describes its host */
static void fits_asked(const struct es_inquiry *q, struct link *l, const struct wire_message *m)
{
	size_t skip = strlen(FITS);
	char *answer = NULL;
	struct err err = { 0 };

	if (migration_controller_fits(q->migrations, (const char *)m->text.bytes + skip,
				      m->text.len - skip, &answer, &err) < 0)
		reply(l, m->session, WIRE_E_PROTOCOL, err.text);
	else
		reply(l, m->session, WIRE_OK, answer);
	free(answer);
}

static bool begins(const struct wire_message *m, const char *with)
{
	return m->text.len > strlen(with) && memcmp(m->text.bytes, with, strlen(with)) == 0;
}

/* "drain", "undrain": as es_node_drain() says */
static void drain_asked(const struct es_inquiry *q, struct link *l, uint64_t session, bool drained)
{
	struct err err = { 0 };

	if (q->drain(q->ctx, drained, link_peer_name(l), &err) < 0)
		reply(l, session, WIRE_E_FAILED, err.text);
	else
		reply_json(l, session, status(q));
}

/* "restore SESSION", "discard SESSION" */
static void decision_asked(const struct es_inquiry *q, struct link *l, const struct wire_message *m,
			   bool discard)
{
	size_t skip = strlen(discard ? DISCARD : RESTORE);
	char digits[17] = "";
	struct err err = { 0 };

	if (m->text.len == skip + 16)
		memcpy(digits, m->text.bytes + skip, 16);
	if (strspn(digits, "0123456789abcdef") != 16)
		reply(l, m->session, WIRE_E_PROTOCOL, "want the 16 digits of a session");
	else if (q->decide(q->ctx, strtoull(digits, NULL, 16), discard, link_peer_name(l), &err) <
		 0)
		reply(l, m->session, WIRE_E_FAILED, err.text);
	else
		reply_json(l, m->session, status(q));
}

void es_inquiry_answer(const struct es_inquiry *q, struct link *l, const struct wire_message *m)
{
	if (asks_for(&m->text, "status")) {
		reply_json(l, m->session, status(q));
	} else if (asks_for(&m->text, "sessions")) {
		reply_json(l, m->session, sessions(q));
	} else if (asks_for(&m->text, "drain")) {
		drain_asked(q, l, m->session, true);
	} else if (asks_for(&m->text, "undrain")) {
		drain_asked(q, l, m->session, false);
	} else if (begins(m, RESTORE)) {
		decision_asked(q, l, m, false);
	} else if (begins(m, DISCARD)) {
		decision_asked(q, l, m, true);
	} else if (begins(m, CHECK)) {
		check_asked(q, l, m);
	} else if (begins(m, FITS)) {
		fits_asked(q, l, m);
	} else {
		reply(l, m->session, WIRE_E_PROTOCOL,
		      "an edge server knows \"status\", \"sessions\", \"drain\", \"undrain\", "
		      "\"restore SESSION\", \"discard SESSION\", \"check NAME\" and "
		      "\"fits HOST\"");
	}
}
