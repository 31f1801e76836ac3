/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton - the operator's command
 *
 * Exit status: 0 all is well, 1 the answer is "no" (a node is down, a container cannot be moved),
 * 2 the command could not be carried out; then one line on stderr says why.
 */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/command.h"
#include "conf/conf.h"

static const struct command *const commands[] = {
	&command_status,    &command_sessions,     &command_session, &command_users,
	&command_associate, &command_disassociate, &command_migrate, &command_drain,
	&command_undrain,   &command_events,       &command_check,   &command_host,
	&command_pki,       &command_setup,
};

#define EXIT_FAILED 2

static void help(FILE *to)
{
	(void)fprintf(to, "baton - look at and look after a Baton deployment\n\n"
			  "Usage: baton [--config FILE] COMMAND [ARGUMENT...]\n\n"
			  "Without --config the file is $BATON_CONFIG, else baton.conf.\n\n"
			  "Commands (each has its own --help):\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)fprintf(to, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	(void)fprintf(to, "\n");
	conf_help(to, WIRE_ROLE_OPERATOR);
}

static void command_help(const struct command *c)
{
	(void)printf("baton %s - %s\n\nUsage: baton [--config FILE] %s %s\n", c->name, c->summary,
		     c->name, c->arguments);
	if (c->help)
		(void)printf("\n%s", c->help);
}

int command_options(int argc, char **argv, const char *const *names,
		    int (*flag)(void *ctx, const char *name, const char *value, struct err *err),
		    void *ctx, struct err *err)
{
	struct option table[16] = { 0 };
	char name[15][32];
	int option;
	int r;

	for (int i = 0; i < 15 && names[i]; i++) {
		size_t len = strcspn(names[i], "=");

		(void)snprintf(name[i], sizeof(name[i]), "%.*s", (int)len, names[i]);
		table[i].name = name[i];
		table[i].has_arg = names[i][len] ? required_argument : no_argument;
		table[i].val = i;
	}
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == '?')
			return err_set(err, -EINVAL,
				       "%s: option \"%.80s\" is unknown or lacks its argument "
				       "(--help)",
				       argv[0], argv[optind - 1]);
		r = flag(ctx, name[option], optarg, err);
		if (r < 0)
			return r;
	}
	return optind;
}

void command_print_safe(const char *text)
{
	for (; *text; text++)
		(void)putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

int command_seconds(long *to, const char *command, const char *text, struct err *err)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 0 || n > COMMAND_SECONDS_MAX)
		return err_set(err, -EINVAL, "%s: --timeout %.40s: want 0 to %d seconds", command,
			       text, COMMAND_SECONDS_MAX);
	*to = n;
	return 0;
}

double command_clock(void)
{
	return (double)monotonic_us() / 1e6;
}

int command_no_more(int argc, char **argv, int at, struct err *err)
{
	if (at >= argc)
		return 0;
	return err_set(err, -EINVAL, "%s: argument \"%.80s\" is not expected (--help)", argv[0],
		       argv[at]);
}

static int run(int argc, char **argv, struct err *err)
{
	const char *config = getenv("BATON_CONFIG");
	int at = 1;

	if (!config)
		config = "baton.conf";
	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--help") == 0) {
			help(stdout);
			return 0;
		}
		if (strcmp(argv[at], "--config") != 0 || at + 1 == argc)
			return err_set(err, -EINVAL,
				       "option \"%.80s\" is unknown or lacks its argument (--help)",
				       argv[at]);
		config = argv[++at];
	}
	if (at == argc)
		return err_set(err, -EINVAL, "which command? (--help)");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[at], commands[i]->name) != 0)
			continue;
		for (int a = at + 1; a < argc; a++) {
			if (strcmp(argv[a], "--help") == 0) {
				command_help(commands[i]);
				return 0;
			}
		}
		return commands[i]->run(config, argc - at, argv + at, err);
	}
	return err_set(err, -EINVAL, "command \"%.80s\" is unknown (--help)", argv[at]);
}

int main(int argc, char **argv)
{
	struct err err = { 0 };

	(void)signal(SIGPIPE, SIG_IGN);
	int r = run(argc, argv, &err);
	if (r < 0)
		(void)fprintf(stderr, "baton: %s\n", err.text);
	if (fflush(stdout) != 0)
		r = -EIO;
	return r < 0 ? EXIT_FAILED : r;
}
