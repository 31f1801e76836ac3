/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <string.h>

#include "base/auto.h"
#include "base/checklist.h"
#include "base/err.h"
#include "conf/conf.h"

/* getopt_long values of the common options; those of a program follow */
enum {
	OPTION_CONFIG = 256,
	OPTION_CHECK,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_CHECK_HOST,
	OPTION_JSON,
	OPTION_EXTRA,
};

static const struct option common[] = {
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "check-config", no_argument, NULL, OPTION_CHECK },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "check-host", no_argument, NULL, OPTION_CHECK_HOST },
	{ "json", no_argument, NULL, OPTION_JSON },
};

/** struct wanted - Values of the common options */
struct wanted {
	const char *config;
	bool check;
	bool check_host;
	bool json;
};

static void help_line(FILE *to, const char *name, const char *argument, const char *help)
{
	char left[64];

	(void)snprintf(left, sizeof(left), "--%s%s%s", name, argument ? " " : "",
		       argument ? argument : "");
	(void)fprintf(to, "  %-24s %s\n", left, help);
}

void options_help(const struct options *o, FILE *to)
{
	(void)fprintf(to, "%s - %s\n\nUsage: %s --config FILE [OPTION...]\n\nOptions:\n",
		      o->program, o->summary, o->program);
	help_line(to, "config", "FILE", "configuration to run with");
	help_line(to, "check-config", NULL, "check the configuration and exit");
	if (o->check_host)
		help_line(to, "check-host", NULL,
			  "say what this host has and lacks, with --json for programs, and exit");
	help_line(to, "help", NULL, "this text");
	help_line(to, "version", NULL, "version of program and protocol");
	for (const struct options_extra *e = o->extra; e && e->name; e++)
		help_line(to, e->name, e->argument, e->help);
	(void)fprintf(to, "\n");
	conf_help(to, o->role);
}

/** host_checked() - Serve --check-host. Return: enum options_e */
static int host_checked(const struct options *o, const struct conf *c, bool json)
{
	struct checklist list;

	checklist_begin(&list, stdout, json);
	o->check_host(c, &list);
	return checklist_end(&list) ? OPTIONS_E_DONE : OPTIONS_E_LACKS;
}

/** one_option() - Take one option in. Return: 0, OPTIONS_E_DONE, or negative error code */
static int one_option(const struct options *o, int option, const char *text, struct wanted *w,
		      struct err *err)
{
	switch (option) {
	case OPTION_CONFIG:
		w->config = optarg;
		return 0;
	case OPTION_CHECK:
		w->check = true;
		return 0;
	case OPTION_CHECK_HOST:
		w->check_host = true;
		break;
	case OPTION_JSON:
		w->json = true;
		break;
	case OPTION_HELP:
		options_help(o, stdout);
		return OPTIONS_E_DONE;
	case OPTION_VERSION:
		(void)printf("%s " BATON_VERSION " (protocol %d, oldest %d)\n", o->program,
			     WIRE_VERSION, WIRE_COMPAT);
		return OPTIONS_E_DONE;
	case '?':
		break;
	default:
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): only in a longer table */
		return o->extra[option - OPTION_EXTRA].set(o->ctx, optarg, err);
	}
	if (option != '?' && o->check_host)
		return 0;
	return err_set(err, -EINVAL,
		       "option \"%.80s\" is unknown or lacks its argument (--help lists all)",
		       text);
}

int options_load(const struct options *o, int argc, char **argv, struct conf **ret, struct err *err)
{
	struct option table[ARRAY_SIZE(common) + OPTIONS_EXTRA_MAX + 1] = { 0 };
	struct wanted w = { 0 };
	size_t n = ARRAY_SIZE(common);
	int option;
	int r;

	memcpy(table, common, sizeof(common));
	for (size_t i = 0; o->extra && o->extra[i].name && i < OPTIONS_EXTRA_MAX; i++, n++)
		table[n] = (struct option){ o->extra[i].name,
					    o->extra[i].argument ? required_argument : no_argument,
					    NULL, OPTION_EXTRA + (int)i };
	optind = 1;
	opterr = 0; /* the caller reports, once */
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		r = one_option(o, option, argv[optind - 1], &w, err);
		if (r != 0)
			return r;
	}
	if (optind < argc)
		return err_set(err, -EINVAL, "argument \"%.80s\" is not expected (--help)",
			       argv[optind]);
	if (!w.config)
		return err_set(err, -EINVAL, "--config FILE is missing (--help)");
	r = conf_load(w.config, o->role, ret, err);
	if (r < 0 || !(w.check || w.check_host))
		return r;
	r = OPTIONS_E_DONE;
	if (w.check_host)
		r = host_checked(o, *ret, w.json);
	else
		(void)printf("%s: the configuration is valid\n", w.config);
	*ret = conf_free(*ret);
	return r;
}
