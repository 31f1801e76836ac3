/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton check - can this container move, or those of this image, and about how long would it take?
 */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/auto.h"
#include "base/err.h"
#include "cli/command.h"
#include "cli/nodes.h"

#define NAME_MAX_BYTES 255
#define RATE_MAX       100000.0 /* MB/s */
#define RTT_MAX        60000.0  /* ms */

static const char *const names[] = { "json", "node=", "to=", "rate-mb-s=", "rtt-ms=", NULL };

/** struct check - Options */
struct check {
	bool json;
	const char *name;
	const char *node;
	const char *to;
	double rate; /* MB/s */
	double rtt;  /* ms */
};

/* A positive number of an option, or zero. Return: 0, or -EINVAL */
static int number(double *to, const char *option, const char *value, double max, struct err *err)
{
	char *end;

	*to = strtod(value, &end);
	if (end == value || *end || !isfinite(*to) || *to < 0 || *to > max)
		return err_set(err, -EINVAL, "check: --%s %.40s: want 0 to %g", option, value, max);
	return 0;
}

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct check *c = ctx;

	if (strcmp(name, "rate-mb-s") == 0)
		return number(&c->rate, name, value, RATE_MAX, err);
	if (strcmp(name, "rtt-ms") == 0)
		return number(&c->rtt, name, value, RTT_MAX, err);
	if (strcmp(name, "json") == 0)
		c->json = true;
	else if (strcmp(name, "to") == 0)
		c->to = value;
	else
		c->node = value;
	return 0;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "?";
}

static double number_of(const json_t *o, const char *key, double unit)
{
	return (double)json_integer_value(json_object_get(o, key)) / unit;
}

/* A line for each of a list, with its remedy */
static void print_list(const char *name, const char *kind, const json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		(void)printf("%s: %s", name, kind);
		command_print_safe(text_of(item, "what"));
		if (*text_of(item, "remedy")) {
			(void)printf(": ");
			command_print_safe(text_of(item, "remedy"));
		}
		(void)putchar('\n');
	}
}

/* A list of words, or a dash */
static void print_words(const json_t *words)
{
	json_t *word;
	size_t i;

	if (!json_array_size(words))
		(void)putchar('-');
	json_array_foreach(words, i, word)
	{
		(void)printf(i ? " " : "");
		command_print_safe(json_string_value(word) ? json_string_value(word) : "?");
	}
}

static void print_image(const char *name, const json_t *image)
{
	(void)printf("%s: image: user ", name);
	command_print_safe(text_of(image, "user"));
	(void)printf(", ports ");
	print_words(json_object_get(image, "ports"));
	(void)printf(", volumes ");
	print_words(json_object_get(image, "volumes"));
	(void)printf(", stop signal ");
	command_print_safe(text_of(image, "stop_signal"));
	(void)putchar('\n');
}

static void print_facts(const char *name, const json_t *answer)
{
	static const char *const versions[][2] = { { "kernel", "kernel" },
						   { "CRIU", "criu" },
						   { "runc", "runc" },
						   { "Docker", "docker" } };
	const json_t *host = json_object_get(answer, "host");
	const json_t *bytes = json_object_get(answer, "bytes");
	const json_t *time = json_object_get(answer, "predicted");

	print_image(name, json_object_get(answer, "image"));
	(void)printf("%s: host: ", name);
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		(void)printf("%s%s ", i ? ", " : "", versions[i][0]);
		command_print_safe(text_of(host, versions[i][1]));
	}
	(void)printf("\n%s: size: memory %.1f MB, tmpfs %.1f MB, layer %.1f MB, volumes %.1f MB, "
		     "image %.1f MB\n",
		     name, number_of(bytes, "memory", 1e6), number_of(bytes, "tmpfs", 1e6),
		     number_of(bytes, "layer", 1e6), number_of(bytes, "volumes", 1e6),
		     number_of(bytes, "image", 1e6));
	(void)printf(
		"%s: time: about %.1f s at %g MB/s and %g ms, %.1f s if the image goes, too; it "
		"stands still for about %.1f s of that\n",
		name, number_of(time, "total_us", 1e6), number_of(time, "rate", 1e6),
		number_of(time, "rtt_us", 1e3), number_of(time, "total_with_image_us", 1e6),
		number_of(time, "freeze_us", 1e6));
}

static const struct node *edge_server(const struct nodes *n, const char *name, const char *config,
				      struct err *err)
{
	const struct node *node = nodes_find(n, name);

	if (node && node->role == WIRE_ROLE_ES)
		return node;
	(void)err_set(err, -EINVAL, "%s knows no edge server \"%.63s\"", config, name);
	return NULL;
}

/* Asks the other edge server whether containers of this host could run there; adds its findings */
static int ask_other(const struct nodes *n, const struct node *other, json_t *answer,
		     struct err *err)
{
	json_t *found = NULL;
	int r;

	auto_free char *host = json_dumps(json_object_get(answer, "host"), JSON_COMPACT);
	auto_free char *text = NULL;
	if (!host || asprintf(&text, "fits %s", host) < 0)
		return err_set(err, -ENOMEM, "check");
	r = nodes_ask(n, other, text, &found, err);
	if (r < 0)
		return err_wrap(err, r, "%s", other->name);
	r = json_array_extend(json_object_get(answer, "findings"),
			      json_object_get(found, "findings"));
	if (json_array_size(json_object_get(found, "findings")))
		r |= json_object_set_new(answer, "ok", json_false());
	json_decref(found);
	return r ? err_set(err, -EPROTO, "%s tells no findings", other->name) : 0;
}

/* Prints it all. Return: exit status */
static int print_answer(const struct check *c, json_t *answer)
{
	const json_t *findings = json_object_get(answer, "findings");

	if (c->json) {
		auto_free char *dump = json_dumps(answer, JSON_INDENT(2));
		(void)printf("%s\n", dump ? dump : "null");
		return json_array_size(findings) ? 1 : 0;
	}
	print_list(c->name, "", findings);
	if (!json_array_size(findings))
		(void)printf("%s: can be moved\n", c->name);
	print_list(c->name, "note: ", json_object_get(answer, "notes"));
	print_facts(c->name, answer);
	return json_array_size(findings) ? 1 : 0;
}

/* Reads options and arguments. Return: 0, or -EINVAL */
static int read_arguments(struct check *c, int argc, char **argv, struct err *err)
{
	int at = command_options(argc, argv, names, on_option, c, err);
	int r;

	if (at < 0)
		return at;
	if (at == argc)
		return err_set(err, -EINVAL, "check: which container, or image? (--help)");
	r = command_no_more(argc, argv, at + 1, err);
	if (r < 0)
		return r;
	c->name = argv[at];
	if (strlen(c->name) > NAME_MAX_BYTES || c->name[0] == '-' || strpbrk(c->name, " \t\n"))
		return err_set(err, -EINVAL, "check: \"%.80s\" is no container and no image",
			       c->name);
	if (!c->node)
		return err_set(err, -EINVAL, "check: --node NAME of an edge server is missing");
	return 0;
}

static int run_check(const char *config, int argc, char **argv, struct err *err)
{
	struct nodes *loaded = NULL;
	json_t *answer = NULL;
	struct check c = { 0 };
	char text[NAME_MAX_BYTES + 64];
	int r = read_arguments(&c, argc, argv, err);

	if (r == 0)
		r = nodes_load(&loaded, config, err);
	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	const struct node *node = edge_server(n, c.node, config, err);
	const struct node *other = node && c.to ? edge_server(n, c.to, config, err) : NULL;
	if (!node || (c.to && !other))
		return -EINVAL;
	(void)snprintf(text, sizeof(text), "check %s %" PRIu64 " %" PRIu64, c.name,
		       (uint64_t)(c.rate * 1e6), (uint64_t)(c.rtt * 1e3));
	r = nodes_ask(n, node, text, &answer, err);
	if (r < 0)
		return err_wrap(err, r, "%s", node->name);
	r = other ? ask_other(n, other, answer, err) : 0;
	if (r == 0)
		r = print_answer(&c, answer);
	json_decref(answer);
	return r;
}

const struct command command_check = {
	.name = "check",
	.arguments = "CONTAINER|IMAGE --node EDGE-SERVER [--to EDGE-SERVER] [--rate-mb-s N] "
		     "[--rtt-ms N] [--json]",
	.summary = "whether a container can be moved, and what to do if not",
	.help = "One line for each obstacle, with its remedy; exit status 1 if there is one. Then "
		"what\n"
		"should be known, versions, sizes, and about how long the move would take over a "
		"link\n"
		"of that rate (10) and round-trip time (0). Of an image it says what can be told "
		"before\n"
		"it runs. With --to the other edge server is asked whether kernel, CRIU, runc and "
		"CPU fit.\n",
	.run = run_check,
};
