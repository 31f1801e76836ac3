/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The node's operations: they start things, or put them where the loop finds them, and never call the node
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "codec/codec.h"
#include "core/es/answer_cache.h"
#include "es/ap_links.h"
#include "es/container/measure.h"
#include "es/edge_inner.h"
#include "es/gateway/gateway.h"
#include "es/service_catalogue.h"
#include "es/journal/session_store.h"
#include "es/journal/started_notes.h"
#include "es/system/thaw_guard.h"
#include "net/crypto.h"
#include "report/log_reporter.h"

#define UNWRITTEN_MS 60000 /* the log says so often at most that records are not written */

static struct operation *operation_new(struct edge_server *es, uint64_t session, uint32_t epoch)
{
	struct operation *op = calloc(1, sizeof(*op));

	if (op)
		*op = (struct operation){ .es = es, .session = session, .epoch = epoch };
	return op;
}

/* --- operations of the node: containers ------------------------------------------------------- */

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct edge_server *es = ctx;

	ap_links_send(es->aps, ap, m);
}

const struct container_service *edge_service_of(const struct edge_server *es, const char *name)
{
	return service_catalogue_find(es->catalogue, name);
}

int edge_open_to_requests(struct edge_server *es, uint64_t session, uint32_t epoch,
			  const char *name, const struct container_address *where, struct err *err)
{
	const struct container_service *service = edge_service_of(es, name);
	int r = thaw_guard_watch(es->guard, where->id, where->pid, err);

	if (r < 0)
		return r;
	if (started_notes_put(es->started, where, err) < 0)
		log_error("session %016" PRIx64
			  ": a restart of its container would go unnoticed: %s",
			  session, err->text);
	/* an earlier one of this name may have been removed, see es/protect.c */
	char full[CONTAINER_ID_SIZE];
	container_name(full, session, epoch);
	container_management_expect(es->containers, full);

	struct container_address opened = *where;

	opened.opened_ms = edge_now(es);
	r = gateway_add(es->gateway, session, epoch, service ? service->codec : &codec_unknown,
			service ? &service->comparison : NULL, &opened, err);
	if (r < 0)
		thaw_guard_forget(es->guard, where->id);
	return r;
}

void edge_close_to_requests(struct edge_server *es, uint64_t session, uint32_t epoch)
{
	const struct container_address *where = gateway_find(es->gateway, session, epoch);

	if (where)
		thaw_guard_forget(es->guard, where->id);
	gateway_remove(es->gateway, session, epoch);
}

void edge_container_ended(struct edge_server *es, uint64_t session, uint32_t epoch, int exit_code,
			  const char *reason)
{
	log_error("session %016" PRIx64 ": %s", session, reason);
	edge_close_to_requests(es, session, epoch);
	es_node_container_died(es->node, edge_now(es), session, epoch, exit_code, reason);
}

static bool service_known(void *ctx, const char *service)
{
	const struct edge_server *es = ctx;

	return service_catalogue_offers(es->catalogue, service);
}

static void on_created(void *ctx, const struct container_address *where, const char *reason)
{
	struct operation *op = ctx;
	struct edge_server *es = op->es;
	struct err err = { 0 };

	if (where &&
	    edge_open_to_requests(es, op->session, op->epoch, op->service, where, &err) < 0)
		reason = err.text;
	if (reason)
		log_error("session %016" PRIx64 ": no container: %s", op->session, reason);
	es_node_created(es->node, edge_now(es), op->session, op->epoch, reason);
	free(op);
}

static void create_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	struct edge_server *es = ctx;
	struct operation *op = operation_new(es, session, epoch);
	struct err err = { .text = "out of memory" };

	if (op)
		(void)name_set(op->service, service, NULL);
	if (op &&
	    container_management_create(es->containers, session, epoch,
					edge_service_of(es, service), on_created, op, &err) == 0)
		return;
	free(op);
	edge_tell_later(es, LATER_NOT_CREATED, session, epoch, &err);
}

static bool may_start(void *ctx, const char *name, int exit_code, uint32_t tries)
{
	const struct container_service *service = edge_service_of(ctx, name);

	if (!service) /* it is in the catalogue no more, and its sessions go on */
		return true;
	switch (service->restart) {
	case RESTART_ALWAYS:
		return true;
	case RESTART_ON_FAILURE:
		return exit_code != 0 &&
		       (!service->restart_tries || tries < service->restart_tries);
	case RESTART_NO:
		break;
	}
	return false;
}

static void on_started(void *ctx, enum container_start how, const struct container_address *where,
		       const char *reason)
{
	static const enum es_start told[] = {
		[CONTAINER_START_DONE] = ES_START_DONE,
		[CONTAINER_START_FAILED] = ES_START_FAILED,
		[CONTAINER_START_AWAY] = ES_START_AWAY,
		[CONTAINER_START_GONE] = ES_START_GONE,
	};
	struct operation *op = ctx;
	struct edge_server *es = op->es;
	enum es_start outcome = told[how];
	struct err err = { 0 };

	if (where) {
		edge_close_to_requests(es, op->session, op->epoch);
		if (edge_open_to_requests(es, op->session, op->epoch, op->service, where, &err) <
		    0) {
			outcome = ES_START_FAILED;
			reason = err.text;
		}
	}
	if (reason)
		log_error("session %016" PRIx64 ": its container is not started: %s", op->session,
			  reason);
	if (!es_node_started(es->node, edge_now(es), op->session, op->epoch, outcome, reason) &&
	    where) {
		edge_close_to_requests(es, op->session, op->epoch);
		started_notes_drop(es->started, where->id);
	}
	free(op);
}

static void start_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	static const struct container_service unknown = { .port = 0 };
	struct edge_server *es = ctx;
	struct operation *op = operation_new(es, session, epoch);
	const struct container_service *known = edge_service_of(es, service);
	struct err err = { .text = "out of memory" };

	if (op)
		(void)name_set(op->service, service, NULL);
	if (op && container_management_start(es->containers, session, epoch,
					     known ? known : &unknown, on_started, op, &err) == 0)
		return;
	free(op);
	edge_tell_later(es, LATER_NOT_STARTED, session, epoch, &err);
}

/* ---- data that are removed are reported with their size ---- */

static struct discarded *find_discarded(struct edge_server *es, uint64_t session)
{
	list_for_each_safe(at, next, &es->discarded)
	{
		struct discarded *d = list_entry(at, struct discarded, link);

		if (d->session == session && !d->begun)
			return d;
	}
	return NULL;
}

static void report_removal(struct edge_server *es, uint64_t session, uint64_t number,
			   const char *detail, const char *size)
{
	log_reporter_event(es->setup.reporter, "DATA REMOVED", session, number, "%s (bytes%s)",
			   detail, size);
	log_info("session %016" PRIx64 ": DATA REMOVED: %s (bytes%s)", session, detail, size);
}

static void say_discarded(struct operation *op, const struct container_size *size)
{
	struct discarded *d = TAKE_PTR(op->discarded);
	char text[32] = "=unknown";

	if (size)
		(void)snprintf(text, sizeof(text), "%s%" PRIu64,
			       size->whole ? "=" : ">=", size->bytes);
	report_removal(op->es, d->session, d->number, d->detail, text);
	list_remove(&d->link);
	free(d);
}

static void on_sized(void *ctx, const struct container_size *size)
{
	say_discarded(ctx, size);
}

void edge_data_removed(struct edge_server *es, uint64_t session, uint64_t number,
		       const char *detail)
{
	struct discarded *d = calloc(1, sizeof(*d));

	if (!d) {
		report_removal(es, session, number, detail, "=unknown");
		return;
	}
	d->session = session;
	d->number = number;
	(void)snprintf(d->detail, sizeof(d->detail), "%s", detail);
	list_append(&es->discarded, &d->link);
}

static void on_removed(void *ctx, const struct container_address *where, const char *reason)
{
	struct operation *op = ctx;
	struct edge_server *es = op->es;

	(void)where;
	(void)reason; /* it is tried until it is done */
	if (op->discarded)
		say_discarded(op, NULL);
	es_node_removed(es->node, op->session, op->epoch);
	free(op);
}

int edge_remove_container(struct edge_server *es, uint64_t session, uint32_t epoch, const char *id,
			  struct err *err)
{
	struct operation *op = operation_new(es, session, epoch);
	int r;

	if (!op)
		return err_set(err, -ENOMEM, "remove a container");
	op->discarded = find_discarded(es, session);
	if (op->discarded)
		op->discarded->begun = true;
	r = op->discarded
		    ? container_management_discard(es->containers, session, id, on_sized,
						   on_removed, op, err)
		    : container_management_remove(es->containers, session, id, on_removed, op, err);
	if (r == 0)
		return 0;
	if (op->discarded)
		op->discarded->begun = false;
	free(op);
	return r;
}

static void remove_container(void *ctx, uint64_t session, uint32_t epoch)
{
	struct edge_server *es = ctx;
	char name[CONTAINER_ID_SIZE];

	const struct container_address *where = gateway_find(es->gateway, session, epoch);
	struct err err = { .text = "out of memory" };

	if (where) {
		thaw_guard_forget(es->guard, where->id);
		started_notes_drop(es->started, where->id);
	}
	gateway_remove(es->gateway, session, epoch);
	container_name(name, session, epoch);
	if (edge_remove_container(es, session, epoch, name, &err) < 0)
		edge_tell_later(es, LATER_NOT_REMOVED, session, epoch, &err);
}

static bool hold(void *ctx, const char *name, bool diverged)
{
	const struct edge_server *es = ctx;
	const struct container_service *service = edge_service_of(es, name);

	/* the paper's way has no cut, so no stop-and-copy */
	if (!service || es->setup.migration->profile == PROFILE_PAPER)
		return false;
	/* opaque bytes can be neither replayed nor compared */
	return service->codec->stream || service->sync == SYNC_HOLD ||
	       (service->sync == SYNC_AUTO && diverged);
}

static void resume_container(void *ctx, uint64_t session, uint32_t epoch)
{
	struct edge_server *es = ctx;
	const struct container_address *where = gateway_find(es->gateway, session, epoch);
	int r;

	if (!where) /* it has ended, and is removed */
		return;
	r = thaw_guard_must_run(es->guard, where->id);
	if (r < 0)
		log_error("session %016" PRIx64 ": container %.12s not thawed: %s", session,
			  where->id, strerror(-r));
}

static void execute(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *request)
{
	struct edge_server *es = ctx;

	gateway_execute(es->gateway, session, epoch, request);
}

static bool under_way(void *ctx, uint64_t session, uint32_t epoch)
{
	struct edge_server *es = ctx;

	return gateway_under_way(es->gateway, session, epoch);
}

/* --- operations of the node: migrations ------------------------------------------------------- */

static const char *transfer_address(const struct edge_server *es, const char *name)
{
	for (size_t i = 0; i < es->setup.edges; i++) {
		if (name_equal(es->setup.edge[i].name, name))
			return es->setup.edge[i].transfer;
	}
	return NULL;
}

static int start_migration(struct edge_server *es, const struct es_migration_order *order,
			   struct err *err)
{
	const struct container_service *service = edge_service_of(es, order->service);
	const char *address = transfer_address(es, order->to_es);
	const struct container_address *where =
		gateway_find(es->gateway, order->session, order->container_epoch);
	struct migration_source source = {
		.association = order->association,
		.epoch = order->epoch,
	};

	if (!address)
		/* not lasting: an operator who adds a host tells one edge server after the other */
		return err_set(err, -EINVAL, "edge server %s is not in our configuration",
			       order->to_es);
	if (!where || !service)
		return err_set(err, -EINVAL, "the container of the session is not known");
	memcpy(source.container, where->id, sizeof(source.container));
	memcpy(source.service, order->service, NAME_SIZE);
	memcpy(source.mud, order->mud, NAME_SIZE);
	memcpy(source.ap, order->ap, NAME_SIZE);
	memcpy(source.secret, order->secret, WIRE_SECRET_SIZE);
	memcpy(source.to_es, order->to_es, NAME_SIZE);
	/* The container's own: a port that the service changed to since is for new containers. */
	source.port = where->port;
	source.method = service->method;
	source.hold = order->hold;
	(void)snprintf(source.to_address, sizeof(source.to_address), "%s", address);
	int r = migration_controller_start(es->migrations, order->session, &source, err);
	crypto_wipe(source.secret, sizeof(source.secret));
	return r;
}

static void migrate(void *ctx, const struct es_migration_order *order)
{
	struct edge_server *es = ctx;
	struct err err = { 0 };

	if (start_migration(es, order, &err) < 0)
		edge_tell_later(es, LATER_SOURCE_FAILED, order->session, order->epoch, &err);
}

static void take_cut(void *ctx, uint64_t session, uint64_t number, const struct answer_cache *cache)
{
	struct edge_server *es = ctx;
	struct err err = { 0 };
	struct buf bytes;
	int r;

	buf_init(&bytes, 0);
	gateway_hang_up(es->gateway, session);
	r = answer_cache_encode(cache, &bytes, &err);
	if (r == 0)
		r = migration_controller_cut(es->migrations, session, number, buf_bytes(&bytes),
					     bytes.len, &err);
	buf_deinit(&bytes);
	if (r < 0)
		edge_tell_later(es, LATER_NO_CUT, session, 0, &err);
}

static void cut_delayed(void *ctx, uint64_t session, const char *reason)
{
	struct edge_server *es = ctx;

	migration_controller_cut_delayed(es->migrations, session, reason);
}

static void cancel_migration(void *ctx, uint64_t session, const char *reason)
{
	struct edge_server *es = ctx;

	migration_controller_cancel(es->migrations, session, reason);
}

/* --- operations of the node: memory and report ------------------------------------------------ */

static int persist(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		   enum es_persist what, struct err *err)
{
	struct edge_server *es = ctx;

	return session_store_persist(es->store, record, cache, what, err);
}

void edge_say_discarded(struct edge_server *es, uint64_t session)
{
	list_for_each_safe(at, next, &es->discarded)
	{
		struct discarded *d = list_entry(at, struct discarded, link);

		if (d->session != session || d->begun)
			continue;
		report_removal(es, session, d->number, d->detail, "=unknown");
		list_remove(&d->link);
		free(d);
	}
}

static void forget(void *ctx, uint64_t session)
{
	struct edge_server *es = ctx;

	edge_say_discarded(es, session);
	session_store_forget(es->store, session);
}

/* Events that an operator is to see in the log, too */
static const char *const errors[] = {
	"MIGRATION FAILED",        "ARRIVAL FAILED",  "NOT WRITTEN",  "CONTAINER NOT REMOVED",
	"CONTAINER NOT RECOVERED", "PROTECTION LOST", "CUT NOT KEPT", NULL
};
static const char *const notices[] = { "CONTAINER RESTARTED", "CONTAINER RECOVERED", NULL };

static bool among(const char *kind, const char *const *kinds)
{
	while (*kinds && strcmp(kind, *kinds) != 0)
		kinds++;
	return *kinds;
}

/* One line a minute says that a disk is full (report/disks.h), not one for each session. */
static bool first_in_a_while(struct edge_server *es)
{
	uint64_t now = edge_now(es);

	if (es->unwritten_said_at && now < es->unwritten_said_at + UNWRITTEN_MS)
		return false;
	es->unwritten_said_at = now;
	return true;
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		  const char *detail)
{
	struct edge_server *es = ctx;

	if (strcmp(kind, "DATA REMOVED") == 0) {
		edge_data_removed(es, session, number, detail);
		return;
	}
	log_reporter_event(es->setup.reporter, kind, session, number, "%s", detail);
	if (strcmp(kind, "NOT WRITTEN") == 0 && !first_in_a_while(es))
		return;
	if (among(kind, errors))
		log_error("session %016" PRIx64 ": %s: %s", session, kind, detail);
	else if (among(kind, notices))
		log_info("session %016" PRIx64 ": %s: %s", session, kind, detail);
	else
		log_debug("session %016" PRIx64 ": %s %" PRIu64 " %s", session, kind, number,
			  detail);
}

const struct es_node_ops edge_node_ops = {
	.to_ap = to_ap,
	.service_known = service_known,
	.hold = hold,
	.resume_container = resume_container,
	.create_container = create_container,
	.remove_container = remove_container,
	.may_start = may_start,
	.start_container = start_container,
	.execute = execute,
	.under_way = under_way,
	.protection = edge_protection,
	.keep_cut = edge_keep_cut,
	.kept_cut = edge_kept_cut,
	.log_request = edge_log_request,
	.log_answer = edge_log_answer,
	.logged = edge_logged,
	.log_trim = edge_log_trim,
	.recover = edge_recover,
	.unprotect = edge_unprotect,
	.migrate = migrate,
	.take_cut = take_cut,
	.cut_delayed = cut_delayed,
	.cancel_migration = cancel_migration,
	.persist = persist,
	.forget = forget,
	.event = event,
};
