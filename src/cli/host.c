/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton host check - checks this host for the programs that are configured on it
 *
 * Each program knows its requirements: this command runs them with --check-host.
 */

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "cli/command.h"

#define ETC "/etc/baton"

static const char *const names[] = { "json", "etc=", NULL };
static const char *const programs[] = { "es", "ap", "logrepo" };

/** struct host - Options */
struct host {
	bool json;
	const char *etc;
};

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct host *h = ctx;

	(void)err;
	if (strcmp(name, "json") == 0)
		h->json = true;
	else
		h->etc = value;
	return 0;
}

/** program_find() - A program of ours: where it is installed, in a build tree, or in the PATH */
static void program_find(char to[PATH_MAX], const char *program)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	const char *dir = dirname(self);
	if (snprintf(to, PATH_MAX, "%s/../sbin/baton-%s", dir, program) < PATH_MAX &&
	    access(to, X_OK) == 0)
		return;
	if (snprintf(to, PATH_MAX, "%s/../%s/baton-%s", dir, program, program) < PATH_MAX &&
	    access(to, X_OK) == 0)
		return;
	(void)snprintf(to, PATH_MAX, "baton-%s", program);
}

/** program_check() - Run one with --check-host. Return: its exit status, or negative error code */
static int program_check(const struct host *h, const char *program, const char *config,
			 struct err *err)
{
	char path[PATH_MAX];
	const char *const argv[] = {
		path, "--config", config, "--check-host", h->json ? "--json" : NULL, NULL
	};
	int status = 0;
	pid_t child;

	program_find(path, program);
	(void)fflush(stdout);
	int r = posix_spawnp(&child, path, NULL, NULL, (char *const *)(uintptr_t)argv, environ);
	if (r != 0)
		return err_set(err, -r, "host check: start %s", path);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 127;
	return status <= 1 ? status
			   : err_set(err, -EIO, "host check: baton-%s did not look at this host",
				     program);
}

/** check() - All programs, or one. Return: exit status, or negative error code */
static int check(const struct host *h, const char *only, struct err *err)
{
	char config[PATH_MAX];
	unsigned found = 0;
	int worst = 0;

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (only && strcmp(only, programs[i]) != 0)
			continue;
		if (snprintf(config, sizeof(config), "%s/%s.conf", h->etc, programs[i]) >= PATH_MAX)
			return err_set(err, -ENAMETOOLONG, "host check: --etc");
		if (!only && access(config, F_OK) < 0)
			continue;
		if (h->json)
			(void)printf("%s\"%s\": ", found ? ", " : "{", programs[i]);
		else
			(void)printf("%sbaton-%s, %s\n\n", found ? "\n" : "", programs[i], config);
		found++;
		int r = program_check(h, programs[i], config, err);
		if (r < 0)
			return r;
		worst = r > worst ? r : worst;
	}
	if (!found && only)
		return err_set(err, -EINVAL, "host check: \"%.40s\" is not es, ap or logrepo",
			       only);
	if (!found)
		return err_set(err, -ENOENT,
			       "host check: there is no es.conf, ap.conf or logrepo.conf in %s "
			       "(--etc DIR)",
			       h->etc);
	if (h->json)
		(void)printf("}\n");
	return worst;
}

static int run_host(const char *unused, int argc, char **argv, struct err *err)
{
	struct host h = { .etc = ETC };
	int at = command_options(argc, argv, names, on_option, &h, err);

	(void)unused; /* that of the operator */
	if (at < 0)
		return at;
	if (at >= argc || strcmp(argv[at], "check") != 0)
		return err_set(err, -EINVAL, "host: want \"check\" (--help)");
	const char *only = at + 1 < argc ? argv[at + 1] : NULL;
	int r = command_no_more(argc, argv, at + 1 + !!only, err);
	return r < 0 ? r : check(&h, only, err);
}

const struct command command_host = {
	.name = "host",
	.arguments = "check [es | ap | logrepo]   [--etc DIR] [--json]",
	.summary = "say what this host has and lacks, and what to do about it",
	.help = "  check          look at what the programs that are configured on this host want "
		"of it:\n"
		"                 kernel, control groups, engine, runc, CRIU, certificates, "
		"addresses,\n"
		"                 clock, room. Nothing is changed\n"
		"  es ...         of one program only\n"
		"  --etc DIR      where es.conf, ap.conf and logrepo.conf are (" ETC ")\n"
		"  --json         an object with a list for each program\n\n"
		"\"ok\" is as it should be; \"note\": it runs, but could be better; \"LACKS\": it "
		"does not run, or\n"
		"moves nothing, until that is changed. Exit status 1 if anything is lacking.\n",
	.run = run_host,
};
