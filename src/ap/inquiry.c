/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/inquiry.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ap/links/edge_links.h"
#include "ap/links/handoff_links.h"
#include "ap/links/mud_links.h"
#include "ap/users.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "core/ap/node.h"
#include "net/link.h"
#include "report/disks.h"

#define INQUIRY_WORDS 160 /* of an inquiry with arguments */

static void count_session(void *ctx, const struct ap_session_view *s)
{
	(void)s;
	(*(json_int_t *)ctx)++;
}

static json_t *last_move(const struct ap_moved *m)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "result", ap_result_name(m->result),
			 "from", m->from, "to", m->to, "reason", m->reason, "total_ms",
			 (json_int_t)m->total_ms, "freeze_us", (json_int_t)m->freeze_us, "in_doubt",
			 (json_int_t)m->in_doubt);
}

static void add_session(void *ctx, const struct ap_session_view *s)
{
	char number[17];

	(void)snprintf(number, sizeof(number), "%016" PRIx64, s->session);
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:s?, s:b, s:I}",
			      "session", number, "mud", s->mud, "service", s->service, "state",
			      ap_state_name(s->state), "association", (json_int_t)s->association,
			      "source", s->source, "dest", s->dest, "floor", (json_int_t)s->floor,
			      "highest", (json_int_t)s->highest, "copies_bytes",
			      (json_int_t)s->copies_bytes, "place", s->place, "given_up",
			      s->given_up, "moves", (json_int_t)s->ended);

	if (j && s->ended)
		(void)json_object_set_new(j, "last_move", last_move(&s->last));
	(void)json_array_append_new(ctx, j);
}

static void add_neighbour(void *ctx, const char *name, bool up)
{
	(void)json_object_set_new(ctx, name, json_boolean(up));
}

static void add_full(void *ctx, const struct disks_view *v)
{
	(void)json_array_append_new(ctx,
				    json_pack("{s:s, s:s, s:I, s:I, s:s}", "what", v->what, "path",
					      v->path, "bytes", (json_int_t)v->bytes, "free",
					      (json_int_t)v->free, "trouble", v->trouble));
}

static json_t *status(const struct inquiry_view *v)
{
	json_t *full = json_array();
	json_t *edges = json_object();
	json_t *aps = json_object();
	json_int_t sessions = 0;

	ap_node_each(v->node, count_session, &sessions);
	if (v->disks)
		disks_each_bad(v->disks, add_full, full);
	edge_links_each(v->edges, add_neighbour, edges);
	handoff_links_each(v->aps, add_neighbour, aps);
	return json_pack(
		"{s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "node",
		v->name, "role", "ap", "home", v->home, "place", ap_node_place(v->node), "sessions",
		sessions, "muds", (json_int_t)mud_links_count(v->muds), "users",
		(json_int_t)users_count(v->users), "stations", (json_int_t)users_stations(v->users),
		"datagrams_dropped", (json_int_t)users_dropped(v->users), "certificate_days",
		(json_int_t)v->certificate_days, "edge_servers", edges, "access_points", aps,
		"full", full);
}

static json_t *sessions(const struct inquiry_view *v)
{
	json_t *all = json_array();

	ap_node_each(v->node, add_session, all);
	return json_pack("{s:s, s:s, s:o}", "node", v->name, "role", "ap", "sessions", all);
}

static void add_user(void *ctx, const struct users_view *u)
{
	char number[17];

	(void)snprintf(number, sizeof(number), "%016" PRIx64, u->session);
	(void)json_array_append_new(ctx, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "user",
						   u->user, "address", u->address, "service",
						   u->service, "session", number, "state", u->state,
						   "connections", (json_int_t)u->connections,
						   "unanswered", (json_int_t)u->unanswered));
}

static json_t *users(const struct inquiry_view *v)
{
	json_t *all = json_array();

	users_each(v->users, add_user, all);
	return json_pack("{s:s, s:s, s:o}", "node", v->name, "role", "ap", "users", all);
}

static const char associate_words[] = "associate ";
static const char disassociate_words[] = "disassociate ";
static const char migrate_words[] = "migrate ";

/* "associate ADDRESS [SERVICE]". Return: NULL with @err filled in */
static json_t *associate(const struct inquiry_view *v, const struct wire_text *t, struct err *err)
{
	char words[INQUIRY_WORDS];
	size_t skip = strlen(associate_words);

	if (t->len - skip >= sizeof(words)) {
		(void)err_set(err, -EINVAL, "want \"associate ADDRESS [SERVICE]\"");
		return NULL;
	}
	memcpy(words, t->bytes + skip, t->len - skip);
	words[t->len - skip] = '\0';
	char *service = strchr(words, ' ');
	if (service)
		*service++ = '\0';
	if (users_associate(v->users, words, service, err) < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:s}", "node", v->name, "role", "ap", "associated", words);
}

/* "disassociate ADDRESS". Return: NULL with @err filled in */
static json_t *disassociate(const struct inquiry_view *v, const struct wire_text *t,
			    const char *who, struct err *err)
{
	char address[INQUIRY_WORDS];
	size_t skip = strlen(disassociate_words);
	size_t ended = 0;

	if (t->len - skip >= sizeof(address)) {
		(void)err_set(err, -EINVAL, "want \"disassociate ADDRESS\"");
		return NULL;
	}
	memcpy(address, t->bytes + skip, t->len - skip);
	address[t->len - skip] = '\0';
	if (users_disassociate(v->users, address, who, &ended, err) < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:I}", "node", v->name, "role", "ap", "ended",
			 (json_int_t)ended);
}

/* --- "migrate WHAT ES": sessions by number (or its first 8 digits), device, user or address ---- */

#define MIGRATE_MAX 64 /* sessions at a time */

/* struct chosen - Sessions that WHAT names: those of an ordinary user are told by users_each() */
struct chosen {
	const char *what;
	uint64_t session[MIGRATE_MAX];
	size_t count;
};

static void choose(struct chosen *c, uint64_t session)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->session[i] == session)
			return;
	}
	if (c->count < MIGRATE_MAX)
		c->session[c->count++] = session;
}

static void choose_session(void *ctx, const struct ap_session_view *s)
{
	struct chosen *c = ctx;
	size_t len = strlen(c->what);
	char number[17];

	(void)snprintf(number, sizeof(number), "%016" PRIx64, s->session);
	if (strcmp(c->what, s->mud) == 0 || (len >= 8 && strncmp(c->what, number, len) == 0))
		choose(c, s->session);
}

static void choose_users_session(void *ctx, const struct users_view *u)
{
	struct chosen *c = ctx;

	if (u->session && (strcmp(c->what, u->user) == 0 || strcmp(c->what, u->address) == 0))
		choose(c, u->session);
}

static json_t *migrate(const struct inquiry_view *v, const struct wire_text *t, const char *who,
		       struct err *err)
{
	size_t skip = strlen(migrate_words);
	struct chosen c = { 0 };
	char words[INQUIRY_WORDS];

	(void)snprintf(words, sizeof(words), "%.*s", (int)(t->len - skip),
		       (const char *)t->bytes + skip);
	char *es = strchr(words, ' ');
	if (!es || t->len - skip >= sizeof(words)) {
		(void)err_set(err, -EINVAL, "want \"migrate SESSION|USER EDGE-SERVER\"");
		return NULL;
	}
	*es++ = '\0';
	c.what = words;
	ap_node_each(v->node, choose_session, &c);
	users_each(v->users, choose_users_session, &c);
	json_t *sessions = json_array();
	for (size_t i = 0; i < c.count && !err->code; i++) {
		char number[17];

		(void)snprintf(number, sizeof(number), "%016" PRIx64, c.session[i]);
		/* of a user's sessions some may not have begun */
		if (ap_node_wish(v->node, v->now, c.session[i], es, err) == 0)
			(void)json_array_append_new(sessions, json_string(number));
		else if (err->code == -ENOENT)
			err->code = 0;
	}
	if (json_array_size(sessions))
		log_info("operator %s wants %.64s at %.64s", who, words, es);
	return json_pack("{s:s, s:s, s:o}", "node", v->name, "role", "ap", "migrating", sessions);
}

static bool begins_with(const struct wire_text *t, const char *what)
{
	return t->len >= strlen(what) && memcmp(t->bytes, what, strlen(what)) == 0;
}

static bool asks_for(const struct wire_text *t, const char *what)
{
	return t->len == strlen(what) && memcmp(t->bytes, what, t->len) == 0;
}

static void reply(struct link *l, const struct wire_message *m, enum wire_status s,
		  const char *text)
{
	struct wire_message answer = {
		.type = WIRE_INQUIRY_ANSWER,
		.session = m->session,
		.text = { .status = s, .bytes = (const uint8_t *)text, .len = strlen(text) },
	};

	/* an operator who does not read the answers gets no more of them */
	(void)link_send(l, &answer);
}

void inquiry_answer(const struct inquiry_view *v, struct link *l, const struct wire_message *m)
{
	json_t *json = NULL;
	struct err err = { 0 };

	if (asks_for(&m->text, "status"))
		json = status(v);
	else if (asks_for(&m->text, "sessions"))
		json = sessions(v);
	else if (asks_for(&m->text, "users"))
		json = users(v);
	else if (begins_with(&m->text, associate_words))
		json = associate(v, &m->text, &err);
	else if (begins_with(&m->text, disassociate_words))
		json = disassociate(v, &m->text, link_peer_name(l), &err);
	else if (begins_with(&m->text, migrate_words))
		json = migrate(v, &m->text, link_peer_name(l), &err);
	else {
		reply(l, m, WIRE_E_PROTOCOL,
		      "an access point knows \"status\", \"sessions\", \"users\", "
		      "\"associate\", \"disassociate\" and \"migrate\"");
		return;
	}
	if (err.code) {
		json_decref(json);
		reply(l, m, WIRE_E_FAILED, err.text);
		return;
	}
	auto_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!text)
		reply(l, m, WIRE_E_FAILED, "out of memory");
	else if (strlen(text) > WIRE_TEXT_MAX)
		reply(l, m, WIRE_E_FAILED, "the answer is too long");
	else
		reply(l, m, WIRE_OK, text);
}
