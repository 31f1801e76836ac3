/* SPDX-License-Identifier: Apache-2.0 */
#include "es/edge_server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/spool.h"
#include "core/es/node.h"
#include "es/ap_links.h"
#include "es/container/grant.h"
#include "es/edge_inner.h"
#include "es/gateway/gateway.h"
#include "es/inquiry.h"
#include "es/journal/journal_sync.h"
#include "es/metrics.h"
#include "es/protection/request_log.h"
#include "es/service_catalogue.h"
#include "es/journal/session_store.h"
#include "es/journal/started_notes.h"
#include "es/system/thaw_guard.h"
#include "net/crypto.h"
#include "net/tls.h"
#include "net/tls_watch.h"
#include "report/common_metrics.h"
#include "report/disks.h"
#include "report/log_reporter.h"
#include "report/monitor.h"

/*
 * DOC: one turn of the event loop
 *
 * Links, gateway, container management and migration controller call in from the loop; each call
 * enters the node once, and the node's operations only start things. An operation that fails at once
 * puts its failure on @later, and the node is told in a turn of its own. So the node is never entered
 * from its own operations. Nothing here waits for a container, a disk transfer or another host:
 * migrations have threads of their own, and container management asks Docker in pools of its own.
 * Libuv's workers run only the check for `baton check` and the search for old images.
 */

/* --- reports of the gateway ------------------------------------------------------------------- */

static void on_answered(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *answer)
{
	struct edge_server *es = ctx;

	es->metrics.executed++;
	es_node_executed(es->node, edge_now(es), session, epoch, answer);
}

static void on_stream(void *ctx, uint64_t session, uint32_t epoch, const struct wire_stream *stream)
{
	struct edge_server *es = ctx;

	es_node_stream(es->node, session, epoch, stream);
}

static void on_refused(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
		       const char *reason)
{
	struct edge_server *es = ctx;

	log_debug("session %016" PRIx64 ": request %" PRIu64 ": %s", session, number, reason);
	es_node_refused(es->node, edge_now(es), session, epoch, number, reason);
}

static void on_in_doubt(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
			const char *reason)
{
	struct edge_server *es = ctx;

	es->metrics.in_doubt++;
	log_error("session %016" PRIx64 ": the container had request %" PRIu64 ": %s", session,
		  number, reason);
	es_node_in_doubt(es->node, edge_now(es), session, epoch, number);
}

static void on_dead(void *ctx, uint64_t session, uint32_t epoch, const char *reason)
{
	struct edge_server *es = ctx;

	es->metrics.died++;
	edge_container_ended(es, session, epoch, -1, reason);
}

static const struct gateway_ops gateway_ops = {
	.answered = on_answered,
	.stream = on_stream,
	.refused = on_refused,
	.in_doubt = on_in_doubt,
	.dead = on_dead,
};

static void on_died(void *ctx, uint64_t session, const char *id, int exit_code)
{
	struct edge_server *es = ctx;
	uint32_t epoch = gateway_epoch_of(es->gateway, session, id);
	char reason[64];

	if (!epoch)
		return;
	es->metrics.died++;
	(void)snprintf(reason, sizeof(reason), "the container ended with status %d", exit_code);
	edge_container_ended(es, session, epoch, exit_code, reason);
}

/* --- reports of the migration controller ------------------------------------------------------ */

static void on_cut_wanted(void *ctx, uint64_t session)
{
	struct edge_server *es = ctx;

	es_node_cut_wanted(es->node, edge_now(es), session);
}

static void on_cut_taken(void *ctx, uint64_t session, bool taken, uint32_t freeze_us,
			 const char *reason)
{
	struct edge_server *es = ctx;

	if (taken)
		log_debug("session %016" PRIx64 ": cut taken, frozen for %.1f ms", session,
			  freeze_us / 1000.0);
	else
		log_debug("session %016" PRIx64 ": no cut: %s", session, reason);
	es_node_frozen(es->node, session, freeze_us);
	es_node_cut_taken(es->node, edge_now(es), session, taken);
}

static void on_source_finished(void *ctx, uint64_t session, bool restored, const char *reason,
			       bool lasting)
{
	struct edge_server *es = ctx;

	es_node_source_finished(es->node, edge_now(es), session, restored ? NULL : reason, lasting);
	/* a cut of a session that has ended meanwhile; or the cut before this one, which is doomed */
	if (!es_node_service(es->node, session)[0])
		edge_unprotect(es, session);
	else
		edge_protection_sweep(es);
}

static void on_not_recovered(void *ctx, uint64_t session, bool away, const char *reason)
{
	struct edge_server *es = ctx;

	es_node_not_recovered(es->node, edge_now(es), session,
			      away ? ES_RECOVERY_AWAY : ES_RECOVERY_FAILED, reason);
}

static void on_offered(void *ctx, uint64_t transfer_id, const struct wire_message *offer)
{
	struct edge_server *es = ctx;
	const struct container_service *service = edge_service_of(es, offer->offer.service);
	const char *reason = "this edge server's catalogue has no such service";
	bool offers = service_catalogue_offers(es->catalogue, offer->offer.service);
	json_t *grant = NULL;
	struct err err = { .lasting = !offers };

	if (offers && container_grant_new(&grant, service, es->runtime, &err) < 0)
		reason = err.text;
	if (grant &&
	    es_node_offered(es->node, edge_now(es), offer->offer.from_es, offer, &reason)) {
		migration_controller_accept(es->migrations, transfer_id, grant);
		return;
	}
	json_decref(grant);
	migration_controller_refuse(es->migrations, transfer_id, reason, err.lasting);
}

static void on_connection_failed(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	log_info("connection from %s to bring a container refused: %s", who, reason);
}

static void on_arrived(void *ctx, uint64_t transfer_id, uint64_t session,
		       const struct wire_cut *cut, const struct container_address *where)
{
	struct edge_server *es = ctx;
	uint32_t epoch = es_node_arriving_epoch(es->node, session);
	const char *service = es_node_service(es->node, session);
	struct err err = { 0 };
	struct err why = { 0 };

	(void)transfer_id;
	if (!epoch) { /* nobody waits for it any more */
		(void)container_management_remove(es->containers, session, where->id, NULL, NULL,
						  NULL);
		return;
	}
	bool deaf = epoch && edge_open_to_requests(es, session, epoch, service, where, &why) < 0;

	if (es_node_arrived(es->node, edge_now(es), session, cut, &err) < 0)
		log_error("session %016" PRIx64 ": arrival is of no use: %s", session, err.text);
	if (!deaf)
		return;
	/* a replica that nobody can speak to must not get authority (R4) */
	edge_container_ended(es, session, epoch, -1, why.text);
}

static void on_arrival_failed(void *ctx, uint64_t transfer_id, uint64_t session, const char *reason)
{
	struct edge_server *es = ctx;

	(void)transfer_id;
	es_node_arrival_failed(es->node, edge_now(es), session, reason);
}

static void on_stage(void *ctx, uint64_t session, const char *event_kind, uint64_t time_us,
		     uint64_t number, const char *detail)
{
	struct edge_server *es = ctx;

	/* start and failure are the node's to report: it knows what they mean for the session */
	if (strncmp(event_kind, "MIGRATION ", 10) == 0)
		return;
	log_reporter_event_at(es->setup.reporter, time_us, event_kind, session, number, "%s",
			      detail);
}

static const struct migration_controller_ops migration_ops = {
	.cut_wanted = on_cut_wanted,
	.cut_taken = on_cut_taken,
	.source_finished = on_source_finished,
	.not_recovered = on_not_recovered,
	.offered = on_offered,
	.connection_failed = on_connection_failed,
	.arrived = on_arrived,
	.arrival_failed = on_arrival_failed,
	.stage = on_stage,
};

/* --- links ------------------------------------------------------------------------------------ */

static void on_up(void *ctx, struct link *l)
{
	struct edge_server *es = ctx;

	if (link_peer_role(l) != WIRE_ROLE_AP)
		return;
	ap_links_up(es->aps, l);
	es_node_tell(es->node, link_peer_name(l));
}

static bool for_the_node(enum wire_type type)
{
	return (type >= WIRE_CREATE && type <= WIRE_ABORT) || type == WIRE_REQUEST ||
	       type == WIRE_DISASSOCIATION;
}

static void tell_one(void *ctx, const char *ap)
{
	es_node_tell(((const struct edge_server *)ctx)->node, ap);
}

/* An operator wants it: first it is written down, then access points hear of it */
static int drain(void *ctx, bool drained, const char *operator, struct err * err)
{
	struct edge_server *es = ctx;
	int r;

	if (es_node_drained(es->node) == drained)
		return 0;
	r = session_store_drain(es->store, drained, err);
	if (r < 0)
		return err_wrap(err, r, "nothing is changed");
	es_node_drain(es->node, drained);
	log_info("%s by operator %s",
		 drained ? "drained: containers leave, new users go elsewhere,"
			 : "not drained any more,",
		 operator);
	log_reporter_event(es->setup.reporter, drained ? "DRAINED" : "UNDRAINED", 0, 0,
			   "operator=%s", operator);
	ap_links_each(es->aps, tell_one, es);
	return 0;
}

/* An operator decides about a session that is kept */
static int decide(void *ctx, uint64_t session, bool discard, const char *operator, struct err * err)
{
	struct edge_server *es = ctx;
	int r = discard ? edge_discard(es, session, operator, err) : edge_restore(es, session, err);

	if (r == 0 && !discard)
		log_info("session %016" PRIx64 ": may start again, by operator %s",
			 session, operator);
	return r;
}

static struct es_inquiry inquiry_of(struct edge_server *es)
{
	return (struct es_inquiry){
		.name = es->setup.name,
		.node = es->node,
		.aps = es->aps,
		.migrations = es->migrations,
		.drain = drain,
		.decide = decide,
		.disks = es->disks,
		.unclaimed = es->unclaimed,
		.unclaimed_count = es->unclaimed_count,
		.ctx = es,
		.certificate_days = tls_watch_days(es->setup.tls),
	};
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct edge_server *es = ctx;
	const struct es_inquiry inquiry = inquiry_of(es);

	if (link_peer_role(l) == WIRE_ROLE_AP && for_the_node(m->type)) {
		es_node_message(es->node, edge_now(es), link_peer_name(l), m);
	} else if (link_peer_role(l) == WIRE_ROLE_OPERATOR && m->type == WIRE_INQUIRY) {
		es_inquiry_answer(&inquiry, l, m);
	} else {
		log_error("%s sent %s, which is not for an edge server: link closed",
			  link_peer_name(l), wire_type_name(m->type));
		ap_links_down(es->aps, l);
		link_close(l);
	}
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct edge_server *es = ctx;

	if (link_broke_rules(l))
		log_error("%s broke the protocol, link ended: %s", link_peer_name(l), reason);
	else
		log_debug("link of %s is down: %s", link_peer_name(l), reason);
	ap_links_down(es->aps, l);
}

static void on_link_refused(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	log_info("connection from %s refused: %s", who, reason);
}

static const struct link_ops link_ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.refused = on_link_refused,
};

/* --- metrics and health ----------------------------------------------------------------------- */

static void on_metrics(void *ctx, struct exposition *x)
{
	struct edge_server *es = ctx;
	const struct es_inquiry q = inquiry_of(es);

	es_metrics_write(&es->metrics, &es->setup, &q, x);
}

static const char *on_health(void *ctx)
{
	const struct edge_server *es = ctx;

	return es->listener ? NULL : "containers from before are being looked for";
}

static const struct monitor_ops monitor_ops = { .metrics = on_metrics, .health = on_health };

/* --- time ------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
	struct edge_server *es = timer->data;

	es_node_tick(es->node, edge_now(es));
}

static void close_all(struct edge_server *es);

static void on_prepare(uv_prepare_t *prepare)
{
	struct edge_server *es = prepare->data;
	uint64_t deadline = es_node_deadline(es->node);

	if (es->end_by && (!es_node_busy(es->node) || edge_now(es) >= es->end_by)) {
		close_all(es);
		return;
	}
	if (es->end_by && es->end_by < deadline)
		deadline = es->end_by;
	if (deadline == UINT64_MAX)
		(void)uv_timer_stop(&es->timer);
	else
		(void)uv_timer_start(&es->timer, on_timer,
				     deadline > edge_now(es) ? deadline - edge_now(es) : 0, 0);
}

/* --- starting: containers of before ----------------------------------------------------------- */

/* On the guard's thread. */
static void on_thawed(void *ctx, const char *id, const char *reason)
{
	(void)ctx;
	if (reason)
		log_error("container %s was found frozen although its user is served by it, and "
			  "stays so: "
			  "%s",
			  id, reason);
	else
		log_error("container %.12s was found frozen although its user is served by it: "
			  "thawed",
			  id);
}

static int listen_now(struct edge_server *es, struct err *err)
{
	const struct link_setup links = {
		.loop = es->setup.loop,
		.tls = es->setup.tls,
		.ops = &link_ops,
		.ctx = es,
		.limits = es->setup.limits,
	};

	return listener_new(&es->listener, &links, es->setup.listen,
			    LINK_ROLE(WIRE_ROLE_AP) | LINK_ROLE(WIRE_ROLE_OPERATOR), err);
}

static void on_listed(void *ctx, const struct container_found *found, size_t count,
		      const char *reason)
{
	struct edge_server *es = ctx;
	struct err err = { 0 };
	size_t sessions = 0;
	int r;

	if (es->stopped)
		return;
	if (reason)
		r = err_set(&err, -EIO, "list containers: %s", reason);
	else
		r = edge_adopt(es, found, count, edge_withhold, &sessions, &err);
	if (r == 0)
		edge_protection_settle(es);
	if (r == 0)
		r = listen_now(es, &err);
	if (r == 0)
		edge_withheld_read(es);
	if (r < 0) {
		es->setup.failed(es->setup.ctx, err.text);
		return;
	}
	log_info("serving access points at %s, %zu sessions from before%s", es->setup.listen,
		 sessions,
		 es_node_drained(es->node) ? "; drained: access points bring no new ones" : "");
	if (es->setup.serving)
		es->setup.serving(es->setup.ctx);
}

static void prove(uint8_t *proof, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	/* a proof that cannot be computed must not be guessed: random bytes fit no proof */
	if (crypto_proof(proof, secret, session, association, ap) < 0 &&
	    crypto_random(proof, WIRE_PROOF_SIZE) < 0)
		abort();
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_part_closed(void *ctx)
{
	edge_part_closed(ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
	edge_part_closed(handle->data);
}

static void note_end(struct edge_server *es)
{
	struct err err;

	if (es->store && session_store_end(es->store, &err) < 0)
		log_info("journals may not be on the disk: state_dir %s: %s", es->setup.state_dir,
			 err.text);
}

static void close_all(struct edge_server *es)
{
	es->stopped = true;
	es->closing = 4 + es->sweeping;
	disks_close(TAKE_PTR(es->disks));
	monitor_close(TAKE_PTR(es->monitor));
	listener_close(es->listener);
	es->aps = ap_links_free(es->aps);
	gateway_close(es->gateway);
	es->spools = spools_free(es->spools);
	if (es->migrations) {
		es->closing++;
		migration_controller_close(es->migrations, on_part_closed, es);
	}
	if (es->containers) {
		es->closing++;
		container_management_close(es->containers, on_part_closed, es);
	}
	es->node = es_node_free(es->node);
	journal_sync_close(TAKE_PTR(es->sync));
	es->requests = request_log_free(es->requests);
	note_end(es);
	es->store = session_store_free(es->store);
	es->started = started_notes_free(es->started);
	es->catalogue = service_catalogue_free(es->catalogue);
	free(TAKE_PTR(es->unclaimed));
	uv_close((uv_handle_t *)&es->timer, on_handle_closed);
	uv_close((uv_handle_t *)&es->again, on_handle_closed);
	uv_close((uv_handle_t *)&es->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&es->wake, on_handle_closed);
}

void edge_server_close(struct edge_server *es, void (*closed)(void *ctx), void *ctx)
{
	if (!es)
		return;
	es->closed = closed;
	es->closed_ctx = ctx;
	if (!es->node || !es_node_busy(es->node)) {
		close_all(es);
		return;
	}
	/*
	 * Wait for the requests that containers have now, or they would be in doubt (R1).
	 */
	es_node_stop(es->node);
	es->end_by = edge_now(es) + es->drain_ms;
}

int edge_server_offer(struct edge_server *es, const struct container_service *service,
		      size_t services, struct err *err)
{
	return service_catalogue_offer(es->catalogue, service, services, err);
}

void edge_server_change(struct edge_server *es, const struct edge_server_change *change)
{
	es->setup.limits = change->limits;
	es->setup.edge = change->edge;
	es->setup.edges = change->edges;
	es->drain_ms = change->policy->drain_ms;
	es_node_set_policy(es->node, change->policy);
	migration_controller_limit(es->migrations, change->migrations_max);
	spools_limit(es->spools, change->spool_bytes);
	if (es->listener)
		listener_limits(es->listener, &change->limits);
}

/* Without one the program works all the same, until the disk is full. */
static void reserve_room(struct edge_server *es)
{
	struct err err;

	if (session_store_reserve(es->store, es->setup.reserve_bytes, &err) < 0)
		log_info("no room is reserved for session journals: state_dir %s: %s",
			 es->setup.state_dir, err.text);
}

/* Whether the host lost its power since, so that journals may lack their last entries */
static int note_boot(struct edge_server *es, struct err *err)
{
	bool lost = false;
	int r = session_store_boot(es->store, NULL, &lost, err);
	int bad = r == -ENOSPC || r == -EDQUOT ? 0 : r;
	if (!lost)
		return bad;
	if (es->setup.sync_ms)
		log_error(
			"the host went down without warning: session journals may lack their last "
			"entries, of %" PRIu64 " ms at most (sync_ms)",
			es->setup.sync_ms);
	log_reporter_event(es->setup.reporter, "HOST WENT DOWN", 0, 0, "sync_ms=%" PRIu64,
			   es->setup.sync_ms);
	return bad;
}

static int start(struct edge_server *es, struct err *err)
{
	const struct edge_server_setup *setup = &es->setup;
	struct migration_config migration = *setup->migration;
	bool drained = false;
	int r;

	es->runtime = setup->containers->runtime;
	r = service_catalogue_new(&es->catalogue, err);
	if (r == 0)
		r = edge_server_offer(es, setup->service, setup->services, err);
	if (r == 0)
		r = es_node_new(&es->node, setup->name, setup->policy, prove, &edge_node_ops, es,
				err);
	if (r == 0)
		r = ap_links_new(&es->aps, err);
	if (r == 0)
		r = spools_new(&es->spools, setup->spool_dir, setup->spool_bytes, err);
	if (r == 0)
		r = gateway_new(&es->gateway, setup->loop, es->spools, &gateway_ops, es, err);
	if (r == 0)
		r = session_store_open(&es->store, setup->state_dir, err);
	if (r == 0)
		reserve_room(es);
	if (r == 0)
		r = note_boot(es, err);
	if (r == 0)
		r = edge_protection_open(es, err);
	if (r == 0)
		session_store_sync_each(es->store, !setup->sync_ms);
	if (r == 0)
		r = journal_sync_new(&es->sync, setup->loop, es->store, es->requests,
				     setup->sync_ms, err);
	if (r == 0)
		r = session_store_drained(es->store, &drained, err);
	if (r == 0)
		es_node_drain(es->node, drained);
	if (r == 0)
		r = started_notes_open(&es->started, setup->state_dir, err);
	if (r == 0)
		r = container_management_new(&es->containers, setup->loop, setup->containers,
					     on_died, edge_compare, es, err);
	if (r == 0)
		r = edge_disks_new(es, err);
	if (r == 0)
		r = thaw_guard_new(&es->guard, on_thawed, NULL, err);
	migration.guard = es->guard;
	if (r == 0)
		r = migration_controller_new(&es->migrations, setup->loop, &migration, setup->tls,
					     &migration_ops, es, err);
	if (r == 0)
		r = monitor_new(&es->monitor, setup->loop, setup->monitor_listen, &monitor_ops, es,
				err);
	if (r == 0)
		r = container_management_list(es->containers, on_listed, es, err);
	if (r < 0)
		return r;
	return uv_prepare_start(&es->prepare, on_prepare);
}

int edge_server_new(struct edge_server **ret, const struct edge_server_setup *setup,
		    struct err *err)
{
	struct edge_server *es;
	int r;

	if (tls_context_role(setup->tls) != WIRE_ROLE_ES)
		return err_set(err, -EINVAL,
			       "the certificate of %s is for role \"%s\", not for an edge server",
			       setup->name, wire_role_name(tls_context_role(setup->tls)));
	es = calloc(1, sizeof(*es));
	if (!es)
		return err_set(err, -ENOMEM, "edge server");
	es->setup = *setup;
	es->metrics.since = common_metrics_now();
	es->drain_ms = setup->policy->drain_ms;
	list_init(&es->later);
	list_init(&es->discarded);
	(void)uv_timer_init(setup->loop, &es->timer); /* these cannot fail */
	(void)uv_timer_init(setup->loop, &es->again);
	(void)uv_prepare_init(setup->loop, &es->prepare);
	r = uv_async_init(setup->loop, &es->wake, edge_later_wake);
	if (r < 0) {
		free(es);
		return err_set(err, r, "edge server");
	}
	es->timer.data = es;
	es->again.data = es;
	es->prepare.data = es;
	es->wake.data = es;
	r = start(es, err);
	if (r < 0) {
		edge_server_close(es, NULL, NULL);
		return err_wrap(err, r, "edge server %s", setup->name);
	}
	*ret = es;
	return 0;
}
