/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton associate - tell an access point that an ordinary user is there now
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/inquiry.h"
#include "cli/nodes.h"

static const char *const names[] = { "ap=", "service=", "json", NULL };

/** struct associate - Options of baton associate */
struct associate {
	const char *ap;
	const char *service;
	bool json;
};

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct associate *a = ctx;

	(void)err;
	if (strcmp(name, "ap") == 0)
		a->ap = value;
	else if (strcmp(name, "service") == 0)
		a->service = value;
	else
		a->json = true;
	return 0;
}

static int run(const char *config, int argc, char **argv, struct err *err)
{
	struct nodes *loaded = NULL;
	struct associate a = { 0 };
	json_t *answer = NULL;
	char text[256];
	int at, r;

	at = command_options(argc, argv, names, on_option, &a, err);
	if (at < 0)
		return at;
	if (at == argc)
		return err_set(err, -EINVAL, "associate: the address of which user? (--help)");
	r = command_no_more(argc, argv, at + 1, err);
	if (r < 0)
		return r;
	if (strlen(argv[at]) > 64 || strpbrk(argv[at], " \t\n"))
		return err_set(err, -EINVAL, "associate: \"%.80s\" is no address", argv[at]);
	if (!a.ap)
		return err_set(err, -EINVAL, "associate: --ap NAME is missing");
	if (a.service && !name_valid(a.service))
		return err_set(err, -EINVAL, "associate: \"%.80s\" is no service", a.service);
	r = nodes_load(&loaded, config, err);
	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	const struct node *node = nodes_find(n, a.ap);
	if (!node || node->role != WIRE_ROLE_AP)
		return err_set(err, -EINVAL, "%s knows no access point \"%.63s\"", config, a.ap);
	(void)snprintf(text, sizeof(text), "associate %s%s%s", argv[at], a.service ? " " : "",
		       a.service ? a.service : "");
	r = nodes_ask(n, node, text, &answer, err);
	if (r < 0)
		return err_wrap(err, r, "%s", node->name);
	if (a.json)
		nodes_print_json(answer);
	else
		(void)printf("%s is at %s\n", argv[at], node->name);
	json_decref(answer);
	return 0;
}

const struct command command_associate = {
	.name = "associate",
	.arguments = "USER-ADDRESS --ap NAME [--service NAME] [--json]",
	.summary = "tell an access point that an ordinary user is there now",
	.help = "Its sessions come from the access point where it was, and its containers follow.\n"
		"--service: a session begins if there is none. A user that sends something\n"
		"elsewhere is there again.\n",
	.run = run,
};
