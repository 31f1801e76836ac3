/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Process - run another program from a migration's thread, with a time limit and a way to stop it
 *
 * Cancellation throughout src/es is one descriptor per migration, an eventfd: once it is readable
 * every wait ends. It stays readable, so no later call waits either.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"

struct err;
struct process;

/** cancelled() - Whether @cancel_fd is readable; -1 never is */
bool cancelled(int cancel_fd);

/**
 * process_start() - Start a program in a process group of its own
 * @ret:	Set on success only; the caller owns it, see process_free()
 * @argv:	NULL-terminated; argv[0] is looked up in the PATH that @env gives
 * @env:	NULL-terminated list of NAME=VALUE that replace or join our environment; may be NULL
 * @output:	File that stdout and stderr go to, created 0600 and emptied; NULL: /dev/null
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int process_start(struct process **ret, const char *const *argv, const char *const *env,
		  const char *output, struct err *err);

/**
 * process_start_aside() - The same for a program that mounts control groups, see
 * cgroup_v2_step_aside()
 */
int process_start_aside(struct process **ret, const char *const *argv, const char *const *env,
			const char *output, struct err *err);

/** process_fd() - Descriptor that is readable when the program has ended; borrowed */
int process_fd(const struct process *p);

/** process_kill() - Send @sig to the program and all it started in its group */
void process_kill(struct process *p, int sig);

/**
 * process_wait() - Wait for the end
 * @p:		Process
 * @cancel_fd:	Ends the wait when readable; -1: none
 * @timeout_ms:	Ends the wait
 * @status:	Set to the exit status, 128 + signal if it was killed
 * @err:	Filled in on failure
 *
 * The program is left alone when the wait ends early: the caller decides.
 *
 * Return: 0, -ECANCELED, -ETIMEDOUT, or another negative error code
 */
int process_wait(struct process *p, int cancel_fd, int timeout_ms, int *status, struct err *err);

/** process_free() - Kill the group if it has not ended, reap. @p may be NULL. Return: NULL */
struct process *process_free(struct process *p);

AUTO_DEFINE(process)

/**
 * process_run() - Run a program to its end
 * @argv, @env, @output:	as for process_start()
 * @cancel_fd, @timeout_ms:	as for process_wait(), but the program is killed
 * @err:	Filled in on failure, a bad exit status included
 *
 * Return: 0 if it ended with status 0, -EIO if with another one, or as process_wait()
 */
int process_run(const char *const *argv, const char *const *env, const char *output, int cancel_fd,
		int timeout_ms, struct err *err);

/** path_in_prefix() - Make "PATH=<prefix>/bin:<PATH>", to be freed by the caller, or NULL */
char *path_in_prefix(const char *prefix);
