/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "report/log_reporter.h"

#define EXIT_CONFIGURATION 2 /* nothing will be better the next time */

int daemon_main(const struct options *options, int argc, char **argv,
		int (*run)(const struct conf *c, struct err *err))
{
	struct conf *loaded = NULL;
	char name[2 * NAME_SIZE];
	struct err err = { 0 };
	int r;

	log_name(options->program);
	r = options_load(options, argc, argv, &loaded, &err);
	if (r > 0)
		return r == OPTIONS_E_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
	AUTO(conf) struct conf *c = loaded;
	if (r < 0) {
		log_error("%s", err.text);
		return r == -EHOSTUNREACH ? EXIT_FAILURE : EXIT_CONFIGURATION;
	}
	(void)snprintf(name, sizeof(name), "%s %s", options->program, c->name);
	log_name(name);
	(void)signal(SIGPIPE, SIG_IGN);
	/* before it serves there is nothing to read again, and it would be no reason to end */
	(void)signal(SIGHUP, SIG_IGN);
	files_raise_limit();
	r = run(c, &err);
	if (r < 0)
		log_error("%s", err.text);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct tls_files daemon_tls_files(const struct conf *c)
{
	return (struct tls_files){
		.ca = c->pki.ca, .cert = c->pki.cert, .key = c->pki.key, .crl = c->pki.crl
	};
}

int daemon_identity(struct tls_context **ret, const struct conf *c, struct err *err)
{
	const struct tls_files files = daemon_tls_files(c);
	struct tls_context *tls = NULL;
	int r = tls_context_new(&tls, &files, err);

	if (r == 0 && !name_equal(tls_context_name(tls), c->name))
		r = err_set(err, -EINVAL, "name = \"%s\", but the certificate is for \"%s\"",
			    c->name, tls_context_name(tls));
	if (r < 0)
		tls_context_free(tls);
	else
		*ret = tls;
	return r;
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	log_info("event log repository %s cannot be reached: %s", who, reason);
}

int daemon_reporter(struct log_reporter **ret, uv_loop_t *loop, struct tls_context *tls,
		    const struct conf *c, struct err *err)
{
	const struct log_reporter_setup setup = {
		.loop = loop,
		.tls = tls,
		.node = c->name,
		.repository = c->logrepo_name,
		.address = c->logrepo_address,
		.refused = on_refused,
	};

	return log_reporter_new(ret, &setup, err);
}

struct link_limits daemon_link_limits(const struct conf *c)
{
	return (struct link_limits){
		.queue_bytes = (size_t)c->limit[CONF_QUEUE_BYTES],
		.handshake_ms = (uint32_t)c->limit[CONF_HANDSHAKE_MS],
		.dead_ms = (uint32_t)c->limit[CONF_DEAD_MS],
		.accepted_max = (uint32_t)c->limit[CONF_CONNECTIONS_MAX],
	};
}

int daemon_read_again(const struct conf *running, void **ret, struct err *err)
{
	struct conf *c = NULL;
	int r = conf_load(running->path, running->role, &c, err);

	*ret = c;
	return r;
}

void daemon_drop(void *read)
{
	conf_free(read);
}

/** signal_open() - Watch for a signal; @handle->data is set when it must be closed */
static int signal_open(uv_loop_t *loop, uv_signal_t *handle, int number, uv_signal_cb fn,
		       void *data)
{
	int r = uv_signal_init(loop, handle);

	if (r < 0)
		return r;
	handle->data = data;
	return uv_signal_start(handle, fn, number);
}

int daemon_signals(uv_loop_t *loop, uv_signal_t *term, uv_signal_t *interrupt, uv_signal_cb fn,
		   void *data, struct err *err)
{
	int r = signal_open(loop, term, SIGTERM, fn, data);

	if (r == 0)
		r = signal_open(loop, interrupt, SIGINT, fn, data);
	return r < 0 ? err_set(err, r, "watch for signals") : 0;
}

static void close_signal(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (handle->type == UV_SIGNAL && !uv_is_closing(handle))
		uv_close(handle, NULL);
}

void daemon_close_signals(uv_loop_t *loop)
{
	uv_walk(loop, close_signal, NULL);
}
