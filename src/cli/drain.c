/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton drain, undrain - have all containers leave an edge server, and new users go elsewhere
 *
 * The edge server writes it down and tells access points, which move their sessions (core/ap/place.c).
 * This asks it until nothing is left there.
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
#include "cli/views.h"

#define POLL_MS   500
#define TIMEOUT_S 900

/** struct drain - Options */
struct drain {
	bool json;
	bool no_wait;
	long timeout_s;
	double began;
};

static const char *const drain_names[] = { "timeout=", "no-wait", "json", NULL };
static const char *const undrain_names[] = { "json", NULL };

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct drain *d = ctx;

	if (strcmp(name, "json") == 0)
		d->json = true;
	else if (strcmp(name, "no-wait") == 0)
		d->no_wait = true;
	else
		return command_seconds(&d->timeout_s, "drain", value, err);
	return 0;
}

/* Options, the edge server, and the word to it. Return: 0, or negative error code */
static int begin(struct drain *d, struct nodes **loaded, const struct node **es,
		 const char *const *names, const char *config, int argc, char **argv,
		 struct err *err)
{
	json_t *answer = NULL;
	int at = command_options(argc, argv, names, on_option, d, err);
	int r = at < 0 ? at : 0;

	if (at == argc)
		return err_set(err, -EINVAL, "%s: which edge server? (--help)", argv[0]);
	if (r == 0)
		r = command_no_more(argc, argv, at + 1, err);
	if (r == 0)
		r = nodes_load(loaded, config, err);
	if (r < 0)
		return r;
	*es = nodes_find(*loaded, argv[at]);
	if (!*es || (*es)->role != WIRE_ROLE_ES)
		return err_set(err, -EINVAL, "%s knows no edge server \"%.63s\"", config, argv[at]);
	d->began = command_clock();
	r = nodes_ask(*loaded, *es, argv[0], &answer, err);
	if (r < 0)
		return err_wrap(err, r, "%s", (*es)->name);
	json_decref(answer);
	return 0;
}

/* Traces of sessions that have left do not count, nor do lost sessions */
static bool is_here(const json_t *s)
{
	const char *state = view_text(s, "state");

	if (json_is_true(json_object_get(s, "removing")))
		return true; /* its session is elsewhere, but it is still there */
	return strcmp(state, "retired") != 0 && strcmp(state, "lost") != 0 &&
	       strcmp(state, "none") != 0;
}

static size_t count_here(const json_t *answer)
{
	json_t *s;
	size_t i, n = 0;

	json_array_foreach(json_object_get(answer, "sessions"), i, s)
	{
		n += is_here(s);
	}
	return n;
}

/* Why one is still here, in the words of its access point */
static void explain(const json_t *s, const struct round *aps)
{
	const char *ap = view_text(s, "ap"), *session = view_text(s, "session");
	json_t *t;
	size_t k;

	(void)printf("  %.*s  ", VIEWS_SESSION_DIGITS, session);
	command_print_safe(view_text(s, "mud"));
	(void)printf("  %s", view_text(s, "state"));
	for (size_t i = 0; i < aps->count; i++) {
		const struct round_answer *a = &aps->at[i];

		if (strcmp(a->node->name, ap) != 0)
			continue;
		if (!a->answer) {
			(void)printf("; %s: %s\n", ap, a->why.text);
			return;
		}
		json_array_foreach(json_object_get(a->answer, "sessions"), k, t)
		{
			const char *why = view_text(json_object_get(t, "last_move"), "reason");

			if (strcmp(view_text(t, "session"), session) != 0)
				continue;
			if (json_is_null(json_object_get(t, "place")))
				why = "it knows no other edge server that is not drained";
			(void)printf("; %s: %s%s", ap, view_text(t, "state"), *why ? ", " : "");
			command_print_safe(why);
			(void)putchar('\n');
			return;
		}
	}
	(void)printf(
		"; no access point takes care of it: its user is away, and it ends by itself\n");
}

static void explain_all(const struct nodes *n, const json_t *answer)
{
	struct err err = { 0 };
	struct round *asked = NULL;
	json_t *s;
	size_t i;

	if (round_ask(&asked, n, "sessions", round_role(WIRE_ROLE_AP), NULL, &err) < 0)
		return;
	AUTO(round) struct round *aps = asked;
	json_array_foreach(json_object_get(answer, "sessions"), i, s)
	{
		if (is_here(s))
			explain(s, aps);
	}
}

static void say_left(const struct drain *d, size_t here, size_t all)
{
	if (d->json)
		return;
	(void)printf("%7.1f s  %zu of %zu containers are left\n", command_clock() - d->began, here,
		     all);
	(void)fflush(stdout);
}

/* Return: exit status, or negative error code */
static int wait_until_empty(const struct drain *d, const struct nodes *n, const struct node *es,
			    struct err *err)
{
	size_t all = 0, before = SIZE_MAX;

	for (;;) {
		json_t *answer = NULL;
		int r = nodes_ask(n, es, "sessions", &answer, err);

		if (r < 0)
			return err_wrap(err, r, "%s", es->name);
		size_t here = count_here(answer);
		all = here > all ? here : all;
		bool late = command_clock() - d->began >= (double)d->timeout_s;
		if (here != before)
			say_left(d, here, all);
		if (here && late && !d->json)
			explain_all(n, answer);
		json_decref(answer);
		if (!here || late || d->no_wait) {
			if (d->json)
				(void)printf("{\"node\":\"%s\",\"drained\":true,\"left\":%zu}\n",
					     es->name, here);
			else if (!here)
				(void)printf("%s is drained, and empty\n", es->name);
			else
				(void)printf("%s is drained; what is left goes on leaving\n",
					     es->name);
			return here && !d->no_wait ? 1 : 0;
		}
		before = here;
		(void)poll(NULL, 0, POLL_MS);
	}
}

static int run_drain(const char *config, int argc, char **argv, struct err *err)
{
	struct drain d = { .timeout_s = TIMEOUT_S };
	struct nodes *loaded = NULL;
	const struct node *es = NULL;
	int r = begin(&d, &loaded, &es, drain_names, config, argc, argv, err);

	AUTO(nodes) struct nodes *n = loaded;
	return r < 0 ? r : wait_until_empty(&d, n, es, err);
}

static int run_undrain(const char *config, int argc, char **argv, struct err *err)
{
	struct drain d = { 0 };
	struct nodes *loaded = NULL;
	const struct node *es = NULL;
	int r = begin(&d, &loaded, &es, undrain_names, config, argc, argv, err);

	if (r == 0)
		(void)printf(
			"%s%s%s\n", d.json ? "{\"node\":\"" : "", es->name,
			d.json ? "\",\"drained\":false}"
			       : " takes sessions again; those of its access points come back");
	nodes_free(loaded);
	return r;
}

const struct command command_drain = {
	.name = "drain",
	.arguments = "EDGE-SERVER [--timeout S] [--no-wait] [--json]",
	.summary = "have all containers leave an edge server, and new users go elsewhere",
	.help = "They go to the first edge server in the configuration of their access point that "
		"is\n"
		"not drained. It stays drained, also over a restart, until `baton undrain`.\n"
		"  --timeout S    how long to wait until it is empty (900)\n"
		"  --no-wait      do not wait\n"
		"Exit status 1 if containers are left; then one line for each says why.\n",
	.run = run_drain,
};

const struct command command_undrain = {
	.name = "undrain",
	.arguments = "EDGE-SERVER [--json]",
	.summary = "let an edge server have sessions again",
	.help = "Containers of its own access points come back to it.\n",
	.run = run_undrain,
};
