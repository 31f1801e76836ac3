/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Commands - subcommands of `baton`; each gets its own arguments and returns the exit status
 */

#include <stdbool.h>

struct conf;
struct err;

#define COMMAND_SECONDS_MAX 86400

/**
 * struct command - One row of `baton --help`
 * @name:	"status"
 * @arguments:	Arguments that may follow it
 * @summary:	One line
 * @help:	The rest of its --help, or NULL
 * @run:	Does it. Return: exit status, or negative error code with @err filled in
 */
struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *help;
	int (*run)(const char *config, int argc, char **argv, struct err *err);
};

extern const struct command command_status;
extern const struct command command_sessions;
extern const struct command command_session;
extern const struct command command_users;
extern const struct command command_associate;
extern const struct command command_disassociate;
extern const struct command command_migrate;
extern const struct command command_drain;
extern const struct command command_undrain;
extern const struct command command_events;
extern const struct command command_check;
extern const struct command command_host;
extern const struct command command_pki;
extern const struct command command_setup;

/**
 * command_options() - Read long options of a command
 * @argc, @argv: Arguments, the command's name first
 * @flag:	Called for each option; @value is NULL for one without argument. Return: 0, or negative
 * @ctx:	First argument of @flag
 * @names:	"json", "node=" (with argument) ..., ended by NULL; at most 15
 * @err:	Filled in on failure
 *
 * Return: index of the first argument that is no option, or -EINVAL
 */
int command_options(int argc, char **argv, const char *const *names,
		    int (*flag)(void *ctx, const char *name, const char *value, struct err *err),
		    void *ctx, struct err *err);

/** command_print_safe() - Print text from a node. Its control characters must not reach the terminal */
void command_print_safe(const char *text);

/**
 * command_seconds() - Read a number of seconds, 0 to COMMAND_SECONDS_MAX
 * @to:		Set on success only
 * @command:	Name of the command, for the error
 * @text:	The argument
 * @err:	Filled in on failure
 *
 * Return: 0, or -EINVAL
 */
int command_seconds(long *to, const char *command, const char *text, struct err *err);

/** command_clock() - Time that only grows. Return: seconds */
double command_clock(void);

/** command_no_more() - Complain if arguments are left. Return: 0, or -EINVAL */
int command_no_more(int argc, char **argv, int at, struct err *err);
