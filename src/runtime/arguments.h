/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Arguments - the command line that an engine gives its OCI runtime
 */

#include <stdbool.h>
#include <stddef.h>

/**
 * struct runtime_call - A runtime's command line, understood as far as we need
 * @command:	index in argv of "create", "start" ...; 0 if there is none
 * @id:		container id, or NULL; borrowed from argv
 * @bundle:	directory of the container's configuration; "." if none is given; borrowed from argv
 * @pid_file:	where the container's first process is to be written, or NULL; borrowed from argv
 * @root:	directory of runc's records of containers; borrowed from argv
 * @systemd:	its control group is a unit of systemd's
 */
struct runtime_call {
	int command;
	const char *id;
	const char *bundle;
	const char *pid_file;
	const char *root;
	bool systemd;
};

/** runtime_call_parse() - Find the command and the container id in a command line */
void runtime_call_parse(struct runtime_call *call, int argc, char **argv);

/** runtime_id_valid() - Whether a container id may be part of a path */
bool runtime_id_valid(const char *id);

/**
 * runtime_restore_argv() - Turn a command line for "create" into one for "restore"
 * @call:	Its parts
 * @argc, @argv:	It
 * @runc:	argv[0] of the result
 * @images:	Directory of the checkpoint
 * @work:	Directory for CRIU's log
 *
 * Global options and those that both commands know are kept; options of "create" alone are left out.
 *
 * Return: NULL-terminated array to be freed (its strings are borrowed), or NULL without memory
 */
const char **runtime_restore_argv(const struct runtime_call *call, int argc, char **argv,
				  const char *runc, const char *images, const char *work);
