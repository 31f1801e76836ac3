/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton events - read the event log
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "cli/command.h"
#include "cli/inquiry.h"
#include "cli/nodes.h"

#define FOLLOW_MS 300

static const char *const names[] = {
	"session=", "node=", "kind=", "since=", "follow", "json", NULL
};

/** struct events - Options; @filter is sent to the LogRepo */
struct events {
	json_t *filter;
	bool follow;
	bool json;
};

/* "90", "90s", "15m", "2h": so long ago; or "@1700000000": since then */
static int parse_since(const char *text, json_int_t *us)
{
	char *end;
	bool absolute = text[0] == '@';

	if (text[absolute] < '0' || text[absolute] > '9')
		return -EINVAL;
	double n = strtod(text + absolute, &end);
	if (*end == 'm' && !absolute)
		n *= 60;
	else if (*end == 'h' && !absolute)
		n *= 3600;
	else if (*end && (*end != 's' || absolute))
		return -EINVAL;
	if ((*end && end[1]) || n > 1e10)
		return -EINVAL;
	double since = absolute ? n : (double)time(NULL) - n;
	*us = since > 0 ? (json_int_t)(since * 1e6) : 0;
	return 0;
}

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct events *e = ctx;
	json_int_t since;

	if (strcmp(name, "follow") == 0) {
		e->follow = true;
		return 0;
	}
	if (strcmp(name, "json") == 0) {
		e->json = true;
		return 0;
	}
	json_t *v;
	if (strcmp(name, "since") == 0) {
		if (parse_since(value, &since) < 0)
			return err_set(err, -EINVAL,
				       "events: --since %.40s: want 90s, 15m, 2h (ago) or "
				       "@SECONDS since 1970",
				       value);
		name = "since_us";
		v = json_integer(since);
	} else {
		v = json_string(value);
	}
	if (json_object_set_new(e->filter, name, v) < 0)
		return err_set(err, -EINVAL, "events: --%s: not UTF-8", name);
	return 0;
}

static const char *string_of(json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

/* As in Figure 5 of the paper: time, node, kind, number */
static void print_event(const struct events *e, json_t *event)
{
	if (e->json) {
		nodes_print_json(event);
		return;
	}
	json_t *number = json_object_get(event, "number");
	(void)printf("%-27s %-14s %-24s", string_of(event, "time"), string_of(event, "node"),
		     string_of(event, "kind"));
	if (number)
		(void)printf(" %lld", (long long)json_integer_value(number));
	if (*string_of(event, "session"))
		(void)printf(" [%s]", string_of(event, "session"));
	if (*string_of(event, "detail"))
		(void)printf(" %s", string_of(event, "detail"));
	(void)putchar('\n');
}

/* One page. Return: 1 if another is there at once, 0, or negative error code */
static int print_page(struct inquiry *q, struct events *e, struct err *err)
{
	json_t *answer = NULL, *event;
	char *filter = json_dumps(e->filter, JSON_COMPACT);
	char *text = NULL;
	size_t i;
	int r;

	if (!filter || asprintf(&text, "events %s", filter) < 0) {
		free(filter);
		return err_set(err, -ENOMEM, "events");
	}
	r = inquiry_ask(q, text, &answer, err);
	free(text);
	free(filter);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(answer, "events"), i, event)
	{
		print_event(e, event);
	}
	r = json_is_true(json_object_get(answer, "more"));
	if (json_object_set(e->filter, "cursor", json_object_get(answer, "cursor")) < 0)
		r = err_set(err, -EPROTO, "the answer has no cursor");
	json_decref(answer);
	return r;
}

static int print_all(const char *config, struct events *e, struct err *err)
{
	struct nodes *loaded = NULL;
	struct inquiry *opened = NULL;
	int r;

	r = nodes_load(&loaded, config, err);
	if (r < 0)
		return r;
	AUTO(nodes) struct nodes *n = loaded;
	const struct node *logrepo = nodes_logrepo(n);
	if (!logrepo)
		return err_set(err, -EINVAL, "%s names no event log repository: logrepo {}",
			       config);
	r = nodes_connect(n, logrepo, &opened, err);
	if (r < 0)
		return r;
	AUTO(inquiry) struct inquiry *q = opened;
	for (;;) {
		r = print_page(q, e, err);
		if (r < 0)
			return err_wrap(err, r, "%s", logrepo->name);
		if (fflush(stdout) != 0 || ferror(stdout))
			return err_set(err, -EPIPE, "output");
		if (r > 0)
			continue;
		if (!e->follow)
			return 0;
		(void)poll(NULL, 0, FOLLOW_MS);
	}
}

static int run_events(const char *config, int argc, char **argv, struct err *err)
{
	struct events e = { .filter = json_object() };
	int r;

	if (!e.filter)
		return err_set(err, -ENOMEM, "events");
	r = command_options(argc, argv, names, on_option, &e, err);
	if (r >= 0)
		r = command_no_more(argc, argv, r, err);
	if (r == 0)
		r = print_all(config, &e, err);
	json_decref(e.filter);
	return r;
}

const struct command command_events = {
	.name = "events",
	.arguments = "[--session ID] [--node NAME] [--kind KIND] [--since TIME] [--follow] "
		     "[--json]",
	.summary = "read the event log",
	.help = "  --session ID   its number, or the first 8 digits, as `baton sessions` shows "
		"them\n"
		"  --since TIME   90s, 15m or 2h ago, or @SECONDS since 1970\n"
		"  --follow       go on with what comes\n"
		"  --json         one JSON object a line\n",
	.run = run_events,
};
