/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton status, sessions, users, associate, check - ask nodes how things stand
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

/* Nodes print what they like; a terminal must not obey it */
static void print_safe(const char *s)
{
	for (; *s; s++)
		(void)putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
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
		print_safe(*json_string_value(v) ? json_string_value(v) : "-");
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
			print_safe(key);
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
		print_safe(key);
		(void)putchar('=');
		print_value(v);
	}
	(void)putchar('\n');
}

/* Connects, asks once, disconnects */
static int ask_node(const struct nodes *n, const struct node *node, const char *text, json_t **ret,
		    struct err *err)
{
	struct inquiry *opened = NULL;
	int r;

	r = nodes_connect(n, node, &opened, err);
	if (r < 0)
		return r;
	AUTO(inquiry) struct inquiry *q = opened;
	return inquiry_ask(q, text, ret, err);
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
		if (ask_node(n, node, q->text, &answer, &why) == 0) {
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

/* One line for each finding. Return: exit status */
static int print_findings(const char *container, json_t *answer)
{
	json_t *list = json_is_array(answer) ? answer : json_object_get(answer, "findings");
	json_t *finding;
	size_t i;

	json_array_foreach(list, i, finding)
	{
		const char *what = json_string_value(json_object_get(finding, "what"));
		const char *remedy = json_string_value(json_object_get(finding, "remedy"));

		(void)printf("%s: ", container);
		print_safe(what ? what : "?");
		if (remedy && *remedy) {
			(void)printf(": ");
			print_safe(remedy);
		}
		(void)putchar('\n');
	}
	if (json_array_size(list))
		return 1;
	(void)printf("%s: can be moved\n", container);
	return 0;
}

static int run_check(const char *config, int argc, char **argv, struct err *err)
{
	struct nodes *loaded = NULL;
	json_t *answer = NULL;
	struct ask a = { 0 };
	char text[256];
	int at, r;

	at = command_options(argc, argv, names, on_option, &a, err);
	if (at < 0)
		return at;
	if (at == argc)
		return err_set(err, -EINVAL, "check: which container? (--help)");
	r = command_no_more(argc, argv, at + 1, err);
	if (r < 0)
		return r;
	const char *container = argv[at];
	if (strlen(container) > 128 || container[0] == '-' || strpbrk(container, " \t\n"))
		return err_set(err, -EINVAL, "check: \"%.80s\" is no container", container);
	if (!a.node)
		return err_set(err, -EINVAL, "check: --node NAME of an edge server is missing");
	r = nodes_load(&loaded, config, err);
	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	const struct node *node = nodes_find(n, a.node);
	if (!node || node->role != WIRE_ROLE_ES)
		return err_set(err, -EINVAL, "%s knows no edge server \"%.63s\"", config, a.node);
	(void)snprintf(text, sizeof(text), "check %s", container);
	r = ask_node(n, node, text, &answer, err);
	if (r < 0)
		return err_wrap(err, r, "%s", node->name);
	if (a.json) {
		char *dump = json_dumps(answer, JSON_INDENT(2));

		(void)printf("%s\n", dump ? dump : "null");
		free(dump);
		json_t *list = json_is_array(answer) ? answer : json_object_get(answer, "findings");
		r = json_array_size(list) ? 1 : 0;
	} else {
		r = print_findings(container, answer);
	}
	json_decref(answer);
	return r;
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

const struct command command_check = {
	.name = "check",
	.arguments = "CONTAINER --node EDGE-SERVER [--json]",
	.summary = "whether a container can be moved, and what to do if not",
	.help = "One line for each obstacle, with its remedy. Exit status 1 if there is one.\n",
	.run = run_check,
};
