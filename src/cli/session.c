/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton session - a person decides about a session that an edge server keeps
 *
 * The edge server does it (core/es/restart.c): a container that may not start by itself starts, or a session ends
 * with its data. Nothing else removes the data of a user who has not left.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/command.h"
#include "cli/nodes.h"
#include "cli/rounds.h"
#include "cli/views.h"

#define DIGITS 16

/** struct chosen - The edge server that keeps the session */
struct chosen {
	const struct node *es;
	char session[DIGITS + 1];
};

/** struct options - Of the command */
struct options {
	const char *node;
	bool json;
};

static const char *const names[] = { "node=", "json", NULL };

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct options *o = ctx;

	(void)err;
	if (strcmp(name, "json") == 0)
		o->json = true;
	else
		o->node = value;
	return 0;
}

/* The session of an answer, if it is the one; a trace of one that has moved on is not. Return: 0, or -EINVAL */
static int choose(struct chosen *to, const struct node *es, const json_t *s, const char *digits,
		  struct err *err)
{
	const char *number = view_text(s, "session");
	const char *state = view_text(s, "state");

	if (strlen(number) != DIGITS || strncmp(number, digits, strlen(digits)) != 0 ||
	    strcmp(state, "retired") == 0 || strcmp(state, "none") == 0)
		return 0;
	if (to->es && to->es != es)
		return err_set(err, -EINVAL, "session %s is at %s and at %s: --node", digits,
			       to->es->name, es->name);
	if (to->es && strcmp(to->session, number) != 0)
		return err_set(err, -EINVAL, "two sessions begin with %s: more digits", digits);
	to->es = es;
	memcpy(to->session, number, sizeof(to->session));
	return 0;
}

static int find(struct chosen *to, const struct nodes *n, const char *only, const char *digits,
		struct err *err)
{
	static const char *const lists[] = { "sessions", "unclaimed" };
	const struct round_answer *silent = NULL;
	struct round *asked = NULL;
	json_t *s;
	size_t k;
	int r = round_ask(&asked, n, "sessions", round_role(WIRE_ROLE_ES), only, err);

	if (r < 0)
		return r;
	AUTO(round) struct round *round = asked;
	for (size_t i = 0; i < round->count; i++) {
		const struct round_answer *a = &round->at[i];

		silent = a->answer ? silent : a;
		for (size_t l = 0; r == 0 && l < ARRAY_SIZE(lists); l++) {
			json_array_foreach(json_object_get(a->answer, lists[l]), k, s)
			{
				r = r == 0 ? choose(to, a->node, s, digits, err) : r;
			}
		}
	}
	if (r < 0 || to->es)
		return r;
	if (silent)
		return err_set(err, -EINVAL, "%s: %s", silent->node->name, silent->why.text);
	return err_set(err, -ENOENT, "no edge server has a session %s (baton sessions --kept)",
		       digits);
}

static int tell(const char *what, const struct options *o, const char *digits, const char *config,
		struct err *err)
{
	struct nodes *loaded = NULL;
	struct chosen to = { 0 };
	json_t *answer = NULL;
	char text[64];
	int r = nodes_load(&loaded, config, err);

	AUTO(nodes) struct nodes *n = loaded;
	if (r == 0 && o->node && !nodes_find(n, o->node))
		r = err_set(err, -EINVAL, "%s knows no node \"%.63s\"", config, o->node);
	if (r == 0)
		r = find(&to, n, o->node, digits, err);
	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "%s %s", what, to.session);
	r = nodes_ask(n, to.es, text, &answer, err);
	if (r < 0)
		return err_wrap(err, r, "%s", to.es->name);
	json_decref(answer);
	if (o->json)
		(void)printf("{\"node\":\"%s\",\"session\":\"%s\",\"done\":\"%s\"}\n", to.es->name,
			     to.session, what);
	else if (strcmp(what, "discard") == 0)
		(void)printf("%s at %s has ended, and its data are removed\n", to.session,
			     to.es->name);
	else
		(void)printf("%s at %s starts again when its user is there\n", to.session,
			     to.es->name);
	return 0;
}

static int run(const char *config, int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	int at = command_options(argc, argv, names, on_option, &o, err);

	if (at < 0)
		return at;
	if (argc - at < 2)
		return err_set(err, -EINVAL,
			       "session: want restore or discard, and a session (--help)");
	int r = command_no_more(argc, argv, at + 2, err);
	if (r < 0)
		return r;
	const char *what = argv[at], *digits = argv[at + 1];
	size_t len = strlen(digits);
	if (strcmp(what, "restore") != 0 && strcmp(what, "discard") != 0)
		return err_set(err, -EINVAL, "session: \"%.40s\" is neither restore nor discard",
			       what);
	if (len < VIEWS_SESSION_DIGITS || len > DIGITS || strspn(digits, "0123456789abcdef") != len)
		return err_set(err, -EINVAL,
			       "session: \"%.40s\": want the first %d digits of a session, or more",
			       digits, VIEWS_SESSION_DIGITS);
	return tell(what, &o, digits, config, err);
}

const struct command command_session = {
	.name = "session",
	.arguments = "restore|discard SESSION [--node EDGE-SERVER] [--json]",
	.summary = "start a kept session's container again, or end the session with its data",
	.help = "SESSION is its number, or the first 8 digits, as `baton sessions --kept` shows "
		"it.\n"
		"  restore        start the container on its layer and volumes, although it may "
		"not start\n"
		"                 by itself (restart = \"no\", or too often in a row)\n"
		"  discard        end the session; its container, layer and volumes are removed\n"
		"  --node NAME    at this edge server, if several have the session\n",
	.run = run,
};
