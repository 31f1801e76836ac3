/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Protection - the node's operations for cuts that are kept, and requests that are logged
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "es/edge_inner.h"
#include "es/gateway/gateway.h"
#include "es/protection/kept_cuts.h"
#include "es/protection/request_log.h"
#include "es/service_catalogue.h"
#include "net/address.h"
#include "net/crypto.h"

static bool inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* The other directories are emptied at each start. */
static int want_apart(const struct migration_config *c, struct err *err)
{
	const char *const others[] = { c->checkpoint_dir, c->staged_dir, c->image_dir };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (others[i] &&
		    (inside(c->protect_dir, others[i]) || inside(others[i], c->protect_dir)))
			return err_set(err, -EINVAL,
				       "protect_dir %s and %s: one is in the other, choose another "
				       "directory",
				       c->protect_dir, others[i]);
	}
	return 0;
}

int edge_protection_open(struct edge_server *es, struct err *err)
{
	const char *dir = es->setup.migration->protect_dir;
	int r = dir ? want_apart(es->setup.migration, err) : 0;

	if (r == 0 && dir)
		r = kept_cuts_prepare(dir, err);
	if (r == 0 && dir)
		r = request_log_open(&es->requests, dir, err);
	if (r == 0 && dir)
		request_log_sync_each(es->requests, !es->setup.sync_ms);
	return r < 0 ? err_wrap(err, r, "protection") : 0;
}

uint64_t edge_protection(void *ctx, const char *name)
{
	const struct edge_server *es = ctx;
	const struct container_service *service = service_catalogue_find(es->catalogue, name);

	/* the paper's way has no cut */
	if (!es->requests || !service || es->setup.migration->profile == PROFILE_PAPER)
		return 0;
	return service->protect_ms;
}

/* --- cuts -------------------------------------------------------------------------------------- */

static int keep(struct edge_server *es, const struct es_migration_order *order, struct err *err)
{
	const struct container_address *where =
		gateway_find(es->gateway, order->session, order->container_epoch);
	struct migration_source source = { .purpose = MIGRATION_KEEP };

	if (!where)
		return err_set(err, -EINVAL, "the container of the session is not known");
	memcpy(source.container, where->id, sizeof(source.container));
	memcpy(source.service, order->service, NAME_SIZE);
	source.port = where->port;
	return migration_controller_start(es->migrations, order->session, &source, err);
}

void edge_keep_cut(void *ctx, const struct es_migration_order *order)
{
	struct edge_server *es = ctx;
	struct err err = { 0 };
	int r = keep(es, order, &err);

	if (r < 0)
		edge_tell_later(
			es, r == -EBUSY || r == -EALREADY ? LATER_NOT_KEPT : LATER_SOURCE_FAILED,
			order->session, order->epoch, &err);
}

int edge_kept_cut(void *ctx, uint64_t session, uint64_t executed, uint64_t *number)
{
	struct edge_server *es = ctx;
	int r = es->requests ? kept_cuts_newest(es->setup.migration->protect_dir, session, number)
			     : -ENOENT;

	if (r == -ENOENT)
		return 0;
	if (r == 0 && *number <= executed)
		r = request_log_covers(es->requests, session, *number, executed);
	if (r < 0)
		log_error("session %016" PRIx64 ": its kept cut cannot be read now: %s", session,
			  strerror(-r));
	else if (r == 0)
		log_error("session %016" PRIx64 ": the cut that is kept, at request %" PRIu64
			  ", is of no use: the log lacks requests up to %" PRIu64,
			  session, *number, executed);
	return r;
}

/* --- requests ---------------------------------------------------------------------------------- */

int edge_log_request(void *ctx, uint64_t session, const struct wire_data *request, struct err *err)
{
	struct edge_server *es = ctx;

	return request_log_add(es->requests, session, request, err);
}

void edge_log_answer(void *ctx, uint64_t session, uint64_t number, struct es_logged how)
{
	struct edge_server *es = ctx;
	struct err err = { 0 };

	if (request_log_answer(es->requests, session, number, how, &err) < 0)
		log_debug("session %016" PRIx64 ": answer %" PRIu64 " is not compared later: %s",
			  session, number, err.text);
}

int edge_logged(void *ctx, uint64_t session, uint64_t number, struct wire_data *request,
		struct es_logged *how, struct err *err)
{
	struct edge_server *es = ctx;

	return request_log_read(es->requests, session, number, request, how, err);
}

void edge_log_trim(void *ctx, uint64_t session, uint64_t through)
{
	struct edge_server *es = ctx;
	struct err err = { 0 };

	if (request_log_trim(es->requests, session, through, &err) < 0)
		log_error("session %016" PRIx64 ": the request log keeps what it need not: %s",
			  session, err.text);
}

/* --- recovery ---------------------------------------------------------------------------------- */

/** own_address() - Where this edge server takes containers: it is its own source. Return: 0, or negative error code */
static int own_address(const struct edge_server *es, char to[MIGRATION_ADDRESS_SIZE],
		       struct err *err)
{
	const char *listen = es->setup.migration->listen;
	struct address at;
	int r = listen ? address_parse(&at, listen, err)
		       : err_set(err, -EINVAL, "transfer_listen is not set");

	if (r < 0)
		return r;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&at.any;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&at.any;
	if (at.any.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (at.any.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
	char text[ADDRESS_TEXT_SIZE];
	address_format(text, (const struct sockaddr *)&at.any);
	(void)snprintf(to, MIGRATION_ADDRESS_SIZE, "%s", text);
	return 0;
}

static int begin_recovery(struct edge_server *es, const struct es_migration_order *order,
			  struct err *err)
{
	struct migration_source source = {
		.purpose = MIGRATION_RECOVER,
		.association = order->association,
		.epoch = order->epoch,
	};
	int r = own_address(es, source.to_address, err);

	if (r == 0)
		r = kept_cuts_newest(es->setup.migration->protect_dir, order->session, &source.cut);
	if (r < 0)
		return err_wrap(err, r, "find the kept cut");
	memcpy(source.service, order->service, NAME_SIZE);
	memcpy(source.mud, order->mud, NAME_SIZE);
	memcpy(source.ap, order->ap, NAME_SIZE);
	memcpy(source.to_es, order->to_es, NAME_SIZE);
	memcpy(source.secret, order->secret, WIRE_SECRET_SIZE);
	r = migration_controller_start(es->migrations, order->session, &source, err);
	crypto_wipe(source.secret, sizeof(source.secret));
	return r;
}

void edge_recover(void *ctx, const struct es_migration_order *order)
{
	struct edge_server *es = ctx;
	struct err err = { 0 };

	if (begin_recovery(es, order, &err) < 0)
		edge_tell_later(es, LATER_NOT_RECOVERED, order->session, order->epoch, &err);
}

/* --- removal ----------------------------------------------------------------------------------- */

/** struct sweep - See kept_cuts_sweep() */
struct sweep {
	uv_work_t work;
	struct edge_server *es;
	char *dir;
	struct file_workers *workers;
};

static void sweep_run(uv_work_t *work)
{
	struct sweep *s = work->data;

	kept_cuts_sweep(s->dir, s->workers);
}

static void sweep_done(uv_work_t *work, int status)
{
	struct sweep *s = work->data;
	struct edge_server *es = s->es;

	(void)status;
	free(s->dir);
	free(s);
	es->sweeping = false;
	if (es->stopped)
		edge_part_closed(es);
	else if (es->sweep_again)
		edge_protection_sweep(es);
}

void edge_protection_sweep(struct edge_server *es)
{
	es->sweep_again = es->sweeping;
	if (es->sweeping || !es->requests)
		return;
	struct sweep *s = calloc(1, sizeof(*s));
	if (s)
		s->dir = strdup(es->setup.migration->protect_dir);
	if (!s || !s->dir) {
		free(s);
		return; /* with the next one */
	}
	s->work.data = s;
	s->es = es;
	s->workers = es->setup.migration->workers;
	es->sweeping = uv_queue_work(es->setup.loop, &s->work, sweep_run, sweep_done) == 0;
	if (es->sweeping) /* the edge server waits for its end */
		return;
	free(s->dir);
	free(s);
}

static void forget_unknown(void *ctx, uint64_t session)
{
	struct edge_server *es = ctx;
	bool known = es_node_service(es->node, session)[0] || es_node_withheld(es->node, session);

	for (size_t i = 0; i < es->unclaimed_count && !known; i++)
		known = es->unclaimed[i].session == session;
	if (!known)
		edge_unprotect(es, session);
}

void edge_protection_settle(struct edge_server *es)
{
	if (!es->requests)
		return;
	kept_cuts_each(es->setup.migration->protect_dir, forget_unknown, es);
	request_log_each(es->requests, forget_unknown, es);
	edge_protection_sweep(es);
}

void edge_unprotect(void *ctx, uint64_t session)
{
	struct edge_server *es = ctx;
	uint64_t number;

	if (!es->requests)
		return;
	request_log_forget(es->requests, session);
	if (kept_cuts_newest(es->setup.migration->protect_dir, session, &number) < 0)
		return;
	kept_cuts_doom(es->setup.migration->protect_dir, session);
	edge_protection_sweep(es);
}
