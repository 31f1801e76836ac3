/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton migrate - have a session's container, or all of a user, go to another edge server
 *
 * Access points do it (core/ap/place.c); this command tells the progress, and ends when all are there.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/nodes.h"
#include "cli/rounds.h"
#include "cli/views.h"

#define POLL_MS   300
#define SESSIONS  64
#define TIMEOUT_S 300

/**
 * struct moving - One session on its way
 * @ap:		Access point that has it
 * @moves:	Attempts that had ended when we began
 * @state:	As told last
 * @done, @there: Nothing more is to be told; it is where it was to go
 */
struct moving {
	const struct node *ap;
	char session[17];
	json_int_t moves;
	char state[32];
	bool done;
	bool there;
};

/** struct migrate - Options, and the sessions that move */
struct migrate {
	const char *what;
	const char *to;
	bool json;
	bool no_wait;
	long timeout_s;
	double began;
	struct moving moving[SESSIONS];
	size_t count;
};

static const char *const names[] = { "to=", "timeout=", "no-wait", "json", NULL };

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct migrate *m = ctx;

	if (strcmp(name, "to") == 0)
		m->to = value;
	else if (strcmp(name, "json") == 0)
		m->json = true;
	else if (strcmp(name, "no-wait") == 0)
		m->no_wait = true;
	else
		return command_seconds(&m->timeout_s, "migrate", value, err);
	return 0;
}

/* An access point's present answer about a session. Return: borrowed from @round, or NULL */
static const json_t *session_of(const struct round *round, const struct moving *v)
{
	json_t *s;
	size_t k;

	for (size_t i = 0; i < round->count; i++) {
		if (round->at[i].node != v->ap)
			continue;
		json_array_foreach(json_object_get(round->at[i].answer, "sessions"), k, s)
		{
			if (strcmp(view_text(s, "session"), v->session) == 0)
				return s;
		}
	}
	return NULL;
}

static bool answered(const struct round *round, const struct node *node)
{
	for (size_t i = 0; i < round->count; i++) {
		if (round->at[i].node == node)
			return round->at[i].answer;
	}
	return false;
}

static void say(const struct migrate *m, const struct moving *v, const char *text)
{
	if (m->json)
		return;
	(void)printf("%7.1f s  %.*s  ", command_clock() - m->began, VIEWS_SESSION_DIGITS,
		     v->session);
	command_print_safe(text);
	(void)putchar('\n');
	(void)fflush(stdout);
}

static void say_end(const struct migrate *m, const struct moving *v, const json_t *s)
{
	const json_t *last = json_object_get(s, "last_move");
	char text[640], frozen[48] = "", lost[64] = "nothing lost";
	json_int_t freeze_us = view_number(last, "freeze_us", 0);
	json_int_t in_doubt = view_number(last, "in_doubt", 0);

	if (freeze_us)
		(void)snprintf(frozen, sizeof(frozen), "frozen %.0f ms, ",
			       (double)freeze_us / 1000);
	if (in_doubt)
		(void)snprintf(lost, sizeof(lost), "%lld requests answered \"in doubt\"",
			       (long long)in_doubt);
	if (strcmp(view_text(last, "result"), "moved") == 0)
		(void)snprintf(text, sizeof(text), "moved from %.63s to %.63s in %.1f s, %s%s",
			       view_text(last, "from"), view_text(last, "to"),
			       (double)view_number(last, "total_ms", 0) / 1000, frozen, lost);
	else
		(void)snprintf(text, sizeof(text), "not moved: %.400s; %s",
			       view_text(last, "reason"),
			       json_is_true(json_object_get(s, "given_up")) ? "not tried again"
									    : "tried again");
	say(m, v, text);
}

/* Prints the news of one session */
static void look(const struct migrate *m, struct moving *v, const struct round *round)
{
	const json_t *s = session_of(round, v);
	const char *state = view_text(s, "state");

	if (!s) {
		if (!answered(round, v->ap))
			return; /* it may come back */
		v->done = true;
		say(m, v, "gone from this access point: its user has left or moved on");
		return;
	}
	if (view_number(s, "moves", 0) > v->moves) {
		v->moves = view_number(s, "moves", 0);
		say_end(m, v, s);
	}
	v->there = strcmp(view_text(s, "source"), m->to) == 0 && !*view_text(s, "dest");
	v->done = v->there || json_is_true(json_object_get(s, "given_up"));
	if (!v->done && strcmp(state, v->state) != 0)
		say(m, v, state);
	(void)snprintf(v->state, sizeof(v->state), "%s", state);
}

/* Return: 1 if all have ended, 0 if not, or negative error code */
static int look_at_all(struct migrate *m, const struct nodes *n, struct err *err)
{
	struct round *asked = NULL;
	size_t done = 0;
	int r = round_ask(&asked, n, "sessions", round_role(WIRE_ROLE_AP), NULL, err);

	if (r < 0)
		return r;
	AUTO(round) struct round *round = asked;
	for (size_t i = 0; i < m->count; i++) {
		if (!m->moving[i].done)
			look(m, &m->moving[i], round);
		done += m->moving[i].done;
	}
	return done == m->count;
}

static void take_chosen(struct migrate *m, const struct round_answer *a)
{
	json_t *number;
	size_t k;

	json_array_foreach(json_object_get(a->answer, "migrating"), k, number)
	{
		const char *s = json_string_value(number);

		if (!s || strlen(s) != 16 || m->count >= SESSIONS)
			continue;
		m->moving[m->count] = (struct moving){ .ap = a->node };
		(void)snprintf(m->moving[m->count++].session, 17, "%s", s);
	}
}

/* Puts it to all access points: who has such a session begins. Return: 0, or negative error code */
static int begin(struct migrate *m, const struct nodes *n, struct err *err)
{
	struct round *asked = NULL, *first = NULL;
	const struct round_answer *refused = NULL;
	char text[256];
	int r;

	(void)snprintf(text, sizeof(text), "migrate %s %s", m->what, m->to);
	r = round_ask(&first, n, "sessions", round_role(WIRE_ROLE_AP), NULL, err);
	AUTO(round) struct round *before = first;
	if (r == 0)
		r = round_ask(&asked, n, text, round_role(WIRE_ROLE_AP), NULL, err);
	AUTO(round) struct round *round = asked;
	if (r < 0)
		return r;
	for (size_t i = 0; i < round->count; i++) {
		if (round->at[i].answer)
			take_chosen(m, &round->at[i]);
		else
			refused = &round->at[i];
	}
	if (!m->count && refused)
		return err_set(err, -EINVAL, "%s: %s", refused->node->name, refused->why.text);
	if (!m->count)
		return err_set(err, -EINVAL,
			       "no access point has a session, device or user \"%.64s\" (baton "
			       "sessions, baton users)",
			       m->what);
	/* attempts that were over before we asked for another */
	for (size_t i = 0; i < m->count; i++)
		m->moving[i].moves = view_number(session_of(before, &m->moving[i]), "moves", 0);
	return 0;
}

static int report(const struct migrate *m)
{
	size_t there = 0;

	for (size_t i = 0; i < m->count; i++) {
		const struct moving *v = &m->moving[i];

		there += v->there;
		if (m->json)
			(void)printf("{\"session\":\"%s\",\"access_point\":\"%s\",\"to\":\"%s\","
				     "\"moved\":%s}\n",
				     v->session, v->ap->name, m->to, v->there ? "true" : "false");
		else if (!v->done && !m->no_wait)
			(void)printf("%.*s is not at %s yet; %s goes on trying\n",
				     VIEWS_SESSION_DIGITS, v->session, m->to, v->ap->name);
	}
	if (!m->json && !m->no_wait)
		(void)printf("%zu of %zu %s at %s\n", there, m->count,
			     m->count == 1 ? "session is" : "sessions are", m->to);
	return there == m->count || m->no_wait ? 0 : 1;
}

static int run_nodes(struct migrate *m, const char *config, struct err *err)
{
	struct nodes *loaded = NULL;
	int r = nodes_load(&loaded, config, err);

	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	const struct node *to = nodes_find(n, m->to);
	if (!to || to->role != WIRE_ROLE_ES)
		return err_set(err, -EINVAL, "%s knows no edge server \"%.63s\"", config, m->to);
	m->began = command_clock();
	r = begin(m, n, err);
	while (r == 0 && !m->no_wait && command_clock() - m->began < (double)m->timeout_s) {
		r = look_at_all(m, n, err);
		if (r == 0)
			(void)poll(NULL, 0, POLL_MS);
	}
	return r < 0 ? r : report(m);
}

static int run(const char *config, int argc, char **argv, struct err *err)
{
	struct migrate m = { .timeout_s = TIMEOUT_S };
	int at = command_options(argc, argv, names, on_option, &m, err);

	if (at < 0)
		return at;
	if (at == argc)
		return err_set(err, -EINVAL, "migrate: which session, device or user? (--help)");
	int r = command_no_more(argc, argv, at + 1, err);
	if (r < 0)
		return r;
	m.what = argv[at];
	if (strlen(m.what) > 64 || strpbrk(m.what, " \t\n"))
		return err_set(err, -EINVAL, "migrate: \"%.80s\" is no session, device or user",
			       m.what);
	if (!m.to)
		return err_set(err, -EINVAL, "migrate: --to EDGE-SERVER is missing");
	if (!name_valid(m.to))
		return err_set(err, -EINVAL, "migrate: \"%.80s\" is no edge server", m.to);
	return run_nodes(&m, config, err);
}

const struct command command_migrate = {
	.name = "migrate",
	.arguments = "SESSION|DEVICE|USER --to EDGE-SERVER [--timeout S] [--no-wait] [--json]",
	.summary = "have the container of a session, or all of a user, go to an edge server",
	.help = "SESSION may be the first 8 digits of its number; USER a name or an address.\n"
		"It stays there until its user moves on, that edge server is drained, or the\n"
		"access point's program starts again. To end that: --to the access point's own.\n"
		"  --timeout S    how long to wait (300); the access point goes on trying\n"
		"  --no-wait      do not wait\n"
		"Exit status 1 if not all are there in the end.\n",
	.run = run,
};
