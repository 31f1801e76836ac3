/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Daemon - the main() of the programs that serve: command line, configuration, name in the log, exit status
 */

struct conf;
struct err;
struct options;

/** enum daemon_e - Positive results of a daemon's run */
enum daemon_e {
	DAEMON_E_FAILED = 1, /* it is logged already */
};

/**
 * daemon_main() - Read the command line, then run
 * @options:	Options to understand
 * @argc, @argv: As main() got them
 * @run:	Serves until it is told to stop. Return: 0, DAEMON_E_FAILED, or negative error code
 *
 * Return: exit status: 0; 1, a later attempt may succeed; 2, the configuration is wrong
 */
int daemon_main(const struct options *options, int argc, char **argv,
		int (*run)(const struct conf *c, struct err *err));
