/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton status, sessions, users - ask nodes how things stand
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cli/command.h"
#include "cli/nodes.h"
#include "cli/rounds.h"
#include "cli/table.h"
#include "cli/views.h"

#define WATCH_MS 1000

/** struct ask - Options of these commands */
struct ask {
	bool json;
	bool watch;
	bool kept;
	const char *node;
};

static const char *const names[] = { "json", "watch", "node=", NULL };
static const char *const session_names[] = { "json", "watch", "node=", "kept", NULL };

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct ask *a = ctx;

	(void)err;
	if (strcmp(name, "json") == 0)
		a->json = true;
	else if (strcmp(name, "watch") == 0)
		a->watch = true;
	else if (strcmp(name, "kept") == 0)
		a->kept = true;
	else
		a->node = value;
	return 0;
}

static void print_json(const struct round *round)
{
	for (size_t i = 0; i < round->count; i++) {
		if (round->at[i].answer)
			nodes_print_json(round->at[i].answer);
	}
}

static int print_table(const struct view *v, const struct round *round, struct err *err)
{
	struct table *made = NULL;
	int r = table_new(&made, v->headings, err);

	if (r < 0)
		return r;
	AUTO(table) struct table *t = made;
	for (size_t i = 0; i < round->count; i++) {
		if (round->at[i].answer || v->silent)
			v->rows(t, &round->at[i]);
	}
	if (v->sorted)
		table_sort(t);
	return table_print(t, err);
}

/* Why a node does not answer, where the table does not say it; while the screen is redrawn, on that.
 * Return: 1 if one does not */
static int print_silent(const struct ask *a, const struct view *v, const struct round *round)
{
	FILE *to = a->watch && !a->json ? stdout : stderr;
	int silent = 0;

	(void)fflush(stdout);
	for (size_t i = 0; i < round->count; i++) {
		const struct round_answer *at = &round->at[i];

		if (at->answer)
			continue;
		silent = 1;
		if (a->json || !v->silent)
			(void)fprintf(to, "baton: %s: %s\n", at->node->name, at->why.text);
	}
	return silent;
}

static int show(const struct ask *a, const struct nodes *n, const struct view *v, bool first,
		struct err *err)
{
	struct round *asked = NULL;
	int r = round_ask(&asked, n, v->question, v->roles, a->node, err);

	if (r < 0)
		return r;
	AUTO(round) struct round *round = asked;
	if (a->json) {
		print_json(round);
	} else {
		if (a->watch)
			table_clear_screen(first);
		r = print_table(v, round, err);
	}
	return r < 0 ? r : print_silent(a, v, round);
}

/* Asks every node, or the one named; a node that does not answer makes the exit status 1 */
static int ask_all(const char *config, int argc, char **argv, const struct view *v, struct err *err)
{
	struct nodes *loaded = NULL;
	struct ask a = { 0 };
	int r;

	r = command_options(argc, argv, v == &view_sessions ? session_names : names, on_option, &a,
			    err);
	if (a.kept)
		v = &view_kept;
	if (r >= 0)
		r = command_no_more(argc, argv, r, err);
	if (r == 0)
		r = nodes_load(&loaded, config, err);
	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	if (a.node && !nodes_find(n, a.node))
		return err_set(err, -EINVAL, "%s knows no node \"%.63s\"", config, a.node);
	r = show(&a, n, v, true, err);
	while (a.watch && r >= 0) {
		if (fflush(stdout) != 0 || ferror(stdout))
			return err_set(err, -EPIPE, "output");
		(void)poll(NULL, 0, WATCH_MS);
		r = show(&a, n, v, false, err);
	}
	return r;
}

static int run_status(const char *config, int argc, char **argv, struct err *err)
{
	return ask_all(config, argc, argv, &view_status, err);
}

static int run_sessions(const char *config, int argc, char **argv, struct err *err)
{
	return ask_all(config, argc, argv, &view_sessions, err);
}

static int run_users(const char *config, int argc, char **argv, struct err *err)
{
	return ask_all(config, argc, argv, &view_users, err);
}

#define ARGUMENTS "[--node NAME] [--watch] [--json]"
#define OPTIONS                                                                                    \
	"  --node NAME    ask that node only\n"                                                    \
	"  --watch        again every second, until interrupted\n"                                 \
	"  --json         what each node answered, one JSON object a line\n\n"                     \
	"Exit status 1 if a node does not answer. NO_COLOR in the environment: no "                \
	"colours.\n"

const struct command command_status = {
	.name = "status",
	.arguments = ARGUMENTS,
	.summary = "which nodes are up, and how each stands",
	.help = OPTIONS "LINKS: neighbours with a link, of those that it counts on.\n",
	.run = run_status,
};

const struct command command_sessions = {
	.name = "sessions",
	.arguments = "[--kept] " ARGUMENTS,
	.summary = "all sessions, as access points and edge servers see them",
	.help = "  --kept         those that edge servers keep although no user is served by them: "
		"ended,\n"
		"                 silent, of unknown sessions (baton session --help)\n" OPTIONS
		"SESSION shows the first 8 digits, by which other commands know it, too.\n",
	.run = run_sessions,
};

const struct command command_users = {
	.name = "users",
	.arguments = ARGUMENTS,
	.summary = "ordinary users of access points, with their services and connections",
	.help = OPTIONS,
	.run = run_users,
};
