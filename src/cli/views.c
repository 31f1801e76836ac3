/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/views.h"

#include <stdio.h>
#include <string.h>

#define ROLE(role)   (1u << (role))
#define DAYS_WARNING 30 /* as TLS_WATCH_WARNING_DAYS: nodes warn from here on, too */

const char *view_text(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

json_int_t view_number(const json_t *j, const char *key, json_int_t missing)
{
	const json_t *v = json_object_get(j, key);

	return json_is_integer(v) ? json_integer_value(v) : missing;
}

static void cell_number(struct table *t, const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);

	if (json_is_integer(v))
		table_cell(t, TABLE_PLAIN, "%lld", (long long)json_integer_value(v));
	else
		table_cell(t, TABLE_DIM, "%s", "");
}

static void cell_session(struct table *t, const json_t *s)
{
	table_cell(t, TABLE_PLAIN, "%.*s", VIEWS_SESSION_DIGITS, view_text(s, "session"));
}

/* ---- status ---- */

/* Neighbours that a node lists: how many are up, and the names of those that are not */
struct links {
	size_t up;
	size_t all;
	char down[256];
};

static void count_links(struct links *l, const json_t *neighbours)
{
	const char *name;
	json_t *up;

	json_object_foreach((json_t *)(uintptr_t)neighbours, name, up)
	{
		size_t used = strlen(l->down);

		l->all++;
		if (json_is_true(up))
			l->up++;
		else
			(void)snprintf(l->down + used, sizeof(l->down) - used, "%s%s",
				       used ? ", " : "", name);
	}
}

static void cell_links(struct table *t, const struct links *l)
{
	if (!l->all)
		table_cell(t, TABLE_DIM, "%s", "");
	else
		table_cell(t, l->up < l->all ? TABLE_WARN : TABLE_PLAIN, "%zu/%zu", l->up, l->all);
}

static void cell_days(struct table *t, const json_t *answer)
{
	json_int_t days = view_number(answer, "certificate_days", -1);

	if (days < 0)
		table_cell(t, TABLE_BAD, "%s", "");
	else
		table_cell(t, days < DAYS_WARNING ? TABLE_WARN : TABLE_PLAIN, "%lld d",
			   (long long)days);
}

/* Return: whether a disk is full */
static bool note_full(char *notes, size_t size, const json_t *answer)
{
	const json_t *full;
	size_t i;

	json_array_foreach(json_object_get(answer, "full"), i, full)
	{
		const char *trouble = view_text(full, "trouble");
		size_t used = strlen(notes);

		(void)snprintf(notes + used, size - used, "%s%s %s is full, %.1f MB free%s%s",
			       used ? "; " : "", view_text(full, "what"), view_text(full, "path"),
			       (double)view_number(full, "free", 0) / 1e6, *trouble ? ": " : "",
			       trouble);
	}
	return i > 0;
}

static void cell_notes(struct table *t, const json_t *answer, const struct links *l)
{
	bool drained = json_is_true(json_object_get(answer, "drained"));
	json_int_t lost = view_number(answer, "lost", 0);
	char notes[1024] = "";

	if (drained)
		(void)snprintf(notes, sizeof(notes), "drained: sessions go elsewhere");
	const json_t *place = json_object_get(answer, "place");
	size_t used = strlen(notes);
	if (json_is_null(place))
		(void)snprintf(notes + used, sizeof(notes) - used,
			       "all edge servers are drained: refuses new sessions");
	else if (place && strcmp(view_text(answer, "place"), view_text(answer, "home")) != 0)
		(void)snprintf(notes + used, sizeof(notes) - used, "sessions go to %.63s",
			       view_text(answer, "place"));
	used = strlen(notes);
	if (l->down[0])
		(void)snprintf(notes + used, sizeof(notes) - used, "%sno link to %s",
			       used ? "; " : "", l->down);
	used = strlen(notes);
	if (lost > 0)
		(void)snprintf(notes + used, sizeof(notes) - used, "%s%lld events lost",
			       used ? "; " : "", (long long)lost);
	bool full = note_full(notes, sizeof(notes), answer);
	table_cell(t, full ? TABLE_BAD : notes[0] ? TABLE_WARN : TABLE_DIM, "%s", notes);
}

static void status_rows(struct table *t, const struct round_answer *a)
{
	struct links links = { 0 };

	table_cell(t, TABLE_PLAIN, "%s", a->node->name);
	table_cell(t, TABLE_PLAIN, "%s", wire_role_name(a->node->role));
	if (!a->answer) {
		table_cell(t, TABLE_BAD, "down");
		for (int i = 0; i < 4; i++)
			table_cell(t, TABLE_DIM, "%s", "");
		table_cell(t, TABLE_BAD, "%s", a->why.text);
		return;
	}
	table_cell(t, TABLE_GOOD, "up");
	cell_number(t, a->answer, "sessions");
	cell_number(t, a->answer, "users");
	count_links(&links, json_object_get(a->answer, "edge_servers"));
	count_links(&links, json_object_get(a->answer, "access_points"));
	cell_links(t, &links);
	cell_days(t, a->answer);
	cell_notes(t, a->answer, &links);
}

static const char *const status_headings[] = { "NODE",  "ROLE",        "STATE", "SESSIONS", "USERS",
					       "LINKS", "CERTIFICATE", "NOTES", NULL };

const struct view view_status = {
	.question = "status",
	.roles = ~0u,
	.headings = status_headings,
	.silent = true,
	.rows = status_rows,
};

/* ---- sessions ---- */

/* An access point tells where the container is and where it goes, an edge server tells its own containers */
static void session_row(struct table *t, const struct node *node, const json_t *s)
{
	bool at_ap = node->role == WIRE_ROLE_AP;
	const char *migration = view_text(s, "migration");
	bool moves = at_ap ? *view_text(s, "dest") : *migration && strcmp(migration, "none") != 0;
	const char *state = view_text(s, "state");

	cell_session(t, s);
	table_cell(t, TABLE_PLAIN, "%s", view_text(s, "mud"));
	table_cell(t, TABLE_PLAIN, "%s", view_text(s, "service"));
	table_cell(t, TABLE_DIM, "%s", node->name);
	table_cell(t,
		   strcmp(state, "lost") == 0 ? TABLE_BAD
		   : moves                    ? TABLE_WARN
					      : TABLE_PLAIN,
		   "%s%s%s", state, !at_ap && moves ? ", " : "", !at_ap && moves ? migration : "");
	table_cell(t, TABLE_PLAIN, "%s", at_ap ? view_text(s, "source") : node->name);
	table_cell(t, TABLE_PLAIN, "%s", !moves ? "" : view_text(s, at_ap ? "dest" : "peer"));
	cell_number(t, s, at_ap ? "highest" : "executed");
	cell_number(t, s, "queued");
}

static void session_rows(struct table *t, const struct round_answer *a)
{
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(a->answer, "sessions"), i, s)
	{
		session_row(t, a->node, s);
	}
}

static const char *const session_headings[] = { "SESSION", "USER", "SERVICE",  "SEEN BY", "STATE",
						"AT",      "TO",   "REQUESTS", "QUEUED",  NULL };

const struct view view_sessions = {
	.question = "sessions",
	.roles = ~ROLE(WIRE_ROLE_LOGREPO),
	.headings = session_headings,
	.sorted = true,
	.rows = session_rows,
};

/* ---- sessions that nobody is served by ---- */

#define SILENT_MS 60000 /* an access point that is there asks more often */

/* Whether an edge server keeps it although no user is served by it now */
static bool is_kept(const json_t *s)
{
	const char *state = view_text(s, "state");

	if (strcmp(state, "lost") == 0 || json_is_true(json_object_get(s, "starting")))
		return true;
	return (strcmp(state, "active") == 0 || strcmp(state, "fenced") == 0) &&
	       view_number(s, "silent_ms", 0) > SILENT_MS;
}

static void kept_row(struct table *t, const struct node *node, const json_t *s, const char *state,
		     const char *notes)
{
	cell_session(t, s);
	table_cell(t, TABLE_PLAIN, "%s", view_text(s, "mud"));
	table_cell(t, TABLE_PLAIN, "%s", view_text(s, "service"));
	table_cell(t, TABLE_PLAIN, "%s", node->name);
	table_cell(t, TABLE_WARN, "%s", state);
	table_cell(t, TABLE_PLAIN, "%lld s", (long long)view_number(s, "silent_ms", 0) / 1000);
	table_cell(t, TABLE_PLAIN, "%s", notes);
}

static void kept_rows(struct table *t, const struct round_answer *a)
{
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(a->answer, "sessions"), i, s)
	{
		bool gone = json_is_true(json_object_get(s, "gone"));
		bool starting = json_is_true(json_object_get(s, "starting"));
		const char *state = view_text(s, "state");

		if (is_kept(s))
			kept_row(t, a->node, s,
				 gone                         ? "data gone"
				 : starting                   ? "starting"
				 : strcmp(state, "lost") == 0 ? "ended"
							      : state,
				 view_text(s, "reason"));
	}
	json_array_foreach(json_object_get(a->answer, "unclaimed"), i, s)
	{
		kept_row(t, a->node, s, "unclaimed", view_text(s, "reason"));
	}
}

static const char *const kept_headings[] = { "SESSION", "USER",   "SERVICE", "AT",
					     "STATE",   "SILENT", "NOTES",   NULL };

const struct view view_kept = {
	.question = "sessions",
	.roles = ROLE(WIRE_ROLE_ES),
	.headings = kept_headings,
	.sorted = true,
	.rows = kept_rows,
};

/* ---- users ---- */

static void user_rows(struct table *t, const struct round_answer *a)
{
	json_t *u;
	size_t i;

	json_array_foreach(json_object_get(a->answer, "users"), i, u)
	{
		table_cell(t, TABLE_PLAIN, "%s", view_text(u, "address"));
		table_cell(t, TABLE_PLAIN, "%s", view_text(u, "user"));
		table_cell(t, TABLE_PLAIN, "%s", a->node->name);
		table_cell(t, TABLE_PLAIN, "%s", view_text(u, "service"));
		cell_session(t, u);
		table_cell(t, TABLE_PLAIN, "%s", view_text(u, "state"));
		cell_number(t, u, "connections");
		cell_number(t, u, "unanswered");
	}
}

static const char *const user_headings[] = { "ADDRESS",     "USER",       "AT",
					     "SERVICE",     "SESSION",    "STATE",
					     "CONNECTIONS", "UNANSWERED", NULL };

const struct view view_users = {
	.question = "users",
	.roles = ROLE(WIRE_ROLE_AP),
	.headings = user_headings,
	.rows = user_rows,
};
