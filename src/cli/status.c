/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton status, sessions, users - ask nodes how things stand
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cli/command.h"
#include "cli/inquiry.h"
#include "cli/nodes.h"

/** struct ask - Options of these commands */
struct ask {
	bool json;
	const char *node;
};

static const char *const names[] = { "json", "node=", NULL };

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct ask *a = ctx;

	(void)err;
	if (strcmp(name, "json") == 0)
		a->json = true;
	else
		a->node = value;
	return 0;
}

/* One value, in the words of a person */
static void print_value(const json_t *v)
{
	const char *key;
	json_t *item;
	size_t i;
	bool first = true;

	switch (json_typeof(v)) {
	case JSON_STRING:
		command_print_safe(*json_string_value(v) ? json_string_value(v) : "-");
		break;
	case JSON_INTEGER:
		(void)printf("%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		(void)printf("%g", json_real_value(v));
		break;
	case JSON_TRUE:
		(void)printf("up");
		break;
	case JSON_FALSE:
		(void)printf("down");
		break;
	case JSON_NULL:
		(void)printf("-");
		break;
	case JSON_OBJECT:
		json_object_foreach((json_t *)(uintptr_t)v, key, item)
		{
			(void)printf(first ? "" : ",");
			first = false;
			command_print_safe(key);
			(void)putchar(':');
			print_value(item);
		}
		break;
	case JSON_ARRAY:
		json_array_foreach(v, i, item)
		{
			(void)printf(i ? "," : "");
			print_value(item);
		}
		break;
	}
}

/* key=value of an object, without the keys the line begins with */
static void print_fields(json_t *j)
{
	const char *key;
	json_t *v;

	json_object_foreach(j, key, v)
	{
		if (strcmp(key, "node") == 0 || strcmp(key, "role") == 0)
			continue;
		(void)putchar(' ');
		command_print_safe(key);
		(void)putchar('=');
		print_value(v);
	}
	(void)putchar('\n');
}

/* What to ask, whom, and whether the answer has a list of that name to be shown line by line */
struct question {
	const char *text;
	unsigned int roles;
	bool list;
};

#define ROLE(role) (1u << (role))

static const struct question status_question = { "status", ~0u, false };
static const struct question sessions_question = { "sessions", ~ROLE(WIRE_ROLE_LOGREPO), true };
static const struct question users_question = { "users", ROLE(WIRE_ROLE_AP), true };

static void print_list(const struct node *node, json_t *list)
{
	json_t *s;
	size_t i;

	json_array_foreach(list, i, s)
	{
		(void)printf("%-16s", node->name);
		print_fields(s);
	}
}

static void print_answer(const struct ask *a, const struct node *node, json_t *answer,
			 const struct question *q)
{
	if (a->json) {
		char *text = json_dumps(answer, JSON_COMPACT);

		(void)printf("%s\n", text ? text : "null");
		free(text);
	} else if (q->list) {
		print_list(node, json_object_get(answer, q->text));
	} else {
		(void)printf("%-16s %-8s up  ", node->name, wire_role_name(node->role));
		print_fields(answer);
	}
}

/* Asks every node, or the one named; a node that does not answer makes the exit status 1 */
static int ask_all(const char *config, int argc, char **argv, const struct question *q,
		   struct err *err)
{
	struct nodes *loaded = NULL;
	struct ask a = { 0 };
	int status = 0;
	int r;

	r = command_options(argc, argv, names, on_option, &a, err);
	if (r >= 0)
		r = command_no_more(argc, argv, r, err);
	if (r == 0)
		r = nodes_load(&loaded, config, err);
	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	if (a.node && !nodes_find(n, a.node))
		return err_set(err, -EINVAL, "%s knows no node \"%.63s\"", config, a.node);
	for (size_t i = 0; i < nodes_count(n); i++) {
		const struct node *node = nodes_get(n, i);
		struct err why = { 0 };
		json_t *answer = NULL;

		if (a.node && strcmp(a.node, node->name) != 0)
			continue;
		if (!(q->roles & ROLE(node->role)))
			continue;
		if (nodes_ask(n, node, q->text, &answer, &why) == 0) {
			print_answer(&a, node, answer, q);
			json_decref(answer);
			continue;
		}
		status = 1;
		if (!q->list && !a.json)
			(void)printf("%-16s %-8s down\n", node->name, wire_role_name(node->role));
		(void)fflush(stdout);
		(void)fprintf(stderr, "baton: %s: %s\n", node->name, why.text);
	}
	return status;
}

static int run_status(const char *config, int argc, char **argv, struct err *err)
{
	return ask_all(config, argc, argv, &status_question, err);
}

static int run_sessions(const char *config, int argc, char **argv, struct err *err)
{
	return ask_all(config, argc, argv, &sessions_question, err);
}

static int run_users(const char *config, int argc, char **argv, struct err *err)
{
	return ask_all(config, argc, argv, &users_question, err);
}

const struct command command_status = {
	.name = "status",
	.arguments = "[--node NAME] [--json]",
	.summary = "which nodes are up, and how each stands",
	.help = "Exit status 1 if a node does not answer.\n",
	.run = run_status,
};

const struct command command_sessions = {
	.name = "sessions",
	.arguments = "[--node NAME] [--json]",
	.summary = "all sessions, as access points and edge servers see them",
	.help = "Exit status 1 if a node does not answer.\n",
	.run = run_sessions,
};

const struct command command_users = {
	.name = "users",
	.arguments = "[--node NAME] [--json]",
	.summary = "ordinary users of access points, with their services and connections",
	.help = "Exit status 1 if a node does not answer.\n",
	.run = run_users,
};
