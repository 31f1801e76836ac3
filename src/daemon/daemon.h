/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Daemon - the parts that the programs have in common: the main() of those that serve, and their equipment
 * out of a configuration
 */

#include <uv.h>

#include "net/link.h"
#include "net/tls.h"

struct conf;
struct err;
struct log_reporter;
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

/** daemon_tls_files() - The files of a program's identity. Return: borrowed from @c */
struct tls_files daemon_tls_files(const struct conf *c);

/**
 * daemon_identity() - Read the program's certificate, which must be that of its name
 * @ret:	Set on success only, to be released by tls_context_free()
 *
 * Return: 0, -EINVAL if it belongs to another node, or negative error code
 */
int daemon_identity(struct tls_context **ret, const struct conf *c, struct err *err);

/** daemon_reporter() - Begin to report events to the configured repository. Return: 0, or negative error code */
int daemon_reporter(struct log_reporter **ret, uv_loop_t *loop, struct tls_context *tls,
		    const struct conf *c, struct err *err);

/** daemon_link_limits() - The configured limits of links */
struct link_limits daemon_link_limits(const struct conf *c);

/** daemon_read_again() - For a reloader: read the file of @running anew. Return: 0, or negative error code */
int daemon_read_again(const struct conf *running, void **ret, struct err *err);

/** daemon_drop() - For a reloader: release a configuration that was read */
void daemon_drop(void *read);

/**
 * daemon_signals() - Have @fn called on SIGTERM and SIGINT, which end the program
 * @term, @interrupt: To be closed by @fn; after a failed start by daemon_close_signals()
 * @data:	of both handles
 *
 * Return: 0, or negative error code
 */
int daemon_signals(uv_loop_t *loop, uv_signal_t *term, uv_signal_t *interrupt, uv_signal_cb fn,
		   void *data, struct err *err);

/** daemon_close_signals() - Close what a failed start has left open; after a stop there is nothing left to close */
void daemon_close_signals(uv_loop_t *loop);
