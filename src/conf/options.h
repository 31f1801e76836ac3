/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Command line of a daemon - the options common to all, and those of one daemon
 *
 * Common: --config FILE, --check-config, --help, --version; --check-host with --json, if the program can.
 */

#include <stddef.h>
#include <stdio.h>

#include "wire/message.h"

struct checklist;
struct conf;
struct err;

#define OPTIONS_EXTRA_MAX 32

/** enum options_e - Positive results; the direct caller must handle each one */
enum options_e {
	OPTIONS_E_DONE = 1,  /* --help, --version or a check was served: exit with 0 */
	OPTIONS_E_LACKS = 2, /* --check-host was served, and something is lacking: exit with 1 */
};

/**
 * struct options_extra - An option of one program
 * @name:	Long name without dashes
 * @argument:	Name of its argument in --help, or NULL if it has none
 * @help:	One line
 * @set:	Takes the value (NULL without argument); fills in the error and returns negative
 */
struct options_extra {
	const char *name;
	const char *argument;
	const char *help;
	int (*set)(void *ctx, const char *value, struct err *err);
};

/**
 * struct options - A program's command line
 * @program:	Its name: "baton-ap"
 * @summary:	Its purpose, one line
 * @role:	Role: --help lists its settings, and conf_load() reads them
 * @extra:	Own options, ended by one without a name; or NULL
 * @ctx:	First argument of their @set
 * @check_host:	Checks the program's requirements on its host (--check-host); or NULL
 */
struct options {
	const char *program;
	const char *summary;
	enum wire_role role;
	const struct options_extra *extra;
	void *ctx;
	void (*check_host)(const struct conf *c, struct checklist *list);
};

/**
 * options_load() - Read the command line and the configuration it names
 * @o:		Options to understand
 * @argc, @argv: As main() got them
 * @ret:	Set if 0 is returned: the checked configuration, owned by the caller
 * @err:	Filled in on failure: one line that names the mistake
 *
 * Return: 0, enum options_e, -EINVAL, or what conf_load() returned
 */
int options_load(const struct options *o, int argc, char **argv, struct conf **ret,
		 struct err *err);

/** options_help() - Write the help of a program */
void options_help(const struct options *o, FILE *to);
