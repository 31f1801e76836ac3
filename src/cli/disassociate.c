/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton disassociate - an ordinary user has left for good: its sessions end, with their data
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/inquiry.h"
#include "cli/nodes.h"

static const char *const names[] = { "ap=", "json", NULL };

/** struct disassociate - Options of baton disassociate */
struct disassociate {
	const char *ap;
	bool json;
};

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct disassociate *d = ctx;

	(void)err;
	if (strcmp(name, "ap") == 0)
		d->ap = value;
	else
		d->json = true;
	return 0;
}

static int tell(const char *config, const struct disassociate *d, const char *address,
		struct err *err)
{
	struct nodes *loaded = NULL;
	json_t *answer = NULL;
	char text[128];
	int r = nodes_load(&loaded, config, err);

	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	const struct node *node = nodes_find(n, d->ap);
	if (!node || node->role != WIRE_ROLE_AP)
		return err_set(err, -EINVAL, "%s knows no access point \"%.63s\"", config, d->ap);
	(void)snprintf(text, sizeof(text), "disassociate %s", address);
	r = nodes_ask(n, node, text, &answer, err);
	if (r < 0)
		return err_wrap(err, r, "%s", node->name);
	if (d->json)
		nodes_print_json(answer);
	else
		(void)printf("%s has left: %lld sessions are ended\n", address,
			     (long long)json_integer_value(json_object_get(answer, "ended")));
	json_decref(answer);
	return 0;
}

static int run(const char *config, int argc, char **argv, struct err *err)
{
	struct disassociate d = { 0 };
	int at = command_options(argc, argv, names, on_option, &d, err);

	if (at < 0)
		return at;
	if (at == argc)
		return err_set(err, -EINVAL, "disassociate: the address of which user? (--help)");
	int r = command_no_more(argc, argv, at + 1, err);
	if (r < 0)
		return r;
	if (strlen(argv[at]) > 64 || strpbrk(argv[at], " \t\n"))
		return err_set(err, -EINVAL, "disassociate: \"%.80s\" is no address", argv[at]);
	if (!d.ap)
		return err_set(err, -EINVAL, "disassociate: --ap NAME is missing");
	return tell(config, &d, argv[at], err);
}

const struct command command_disassociate = {
	.name = "disassociate",
	.arguments = "USER-ADDRESS --ap NAME [--json]",
	.summary = "tell an access point that an ordinary user has left for good",
	.help = "Its sessions end, and their containers and data are removed. The access point is "
		"the\n"
		"one where the user is, or was last.\n",
	.run = run,
};
