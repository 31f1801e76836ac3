/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/access_point.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/inquiry.h"
#include "ap/links/edge_links.h"
#include "ap/links/handoff_links.h"
#include "ap/links/link_rules.h"
#include "ap/links/mud_links.h"
#include "ap/metrics.h"
#include "ap/users.h"
#include "ap/users_change.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "core/ap/node.h"
#include "net/crypto.h"
#include "net/link.h"
#include "net/tls.h"
#include "net/tls_watch.h"
#include "report/disks.h"
#include "report/log_reporter.h"
#include "report/monitor.h"

/*
 * DOC: one turn of the event loop
 *
 * Messages and timers call into the node; the node's operations only queue on links. @prepare runs once
 * a turn, before the loop waits again. It tells the node of MUD links that went meanwhile. It hands the
 * node's messages on to ordinary users (they are in this process, and may answer at once). It sets @timer
 * to the node's deadline. So the node is never entered from its own operations. The deadline is computed once
 * a turn, not once a message.
 */

struct access_point {
	struct tls_context *tls;
	struct uv_loop_s *loop;
	char name[NAME_SIZE];
	char home[NAME_SIZE];
	struct ap_node *node;
	struct mud_links *muds;
	struct edge_links *edges;
	struct handoff_links *aps;
	struct users *users;
	struct listener *listener;
	struct listener *station_listener;
	struct log_reporter *reporter;
	struct monitor *monitor;
	struct disks *disks;
	struct ap_metrics metrics;
	uv_timer_t timer;
	uv_prepare_t prepare;
	int handles; /* of the two handles, those that libuv has not closed yet */
};

/* ---- operations of the node ---- */

static void to_mud(void *ctx, uint64_t link, const struct wire_message *m)
{
	struct access_point *ap = ctx;

	if (link & USERS_LINK)
		users_deliver(ap->users, link, m);
	else
		mud_links_send(ap->muds, link, m);
}

static void to_es(void *ctx, const char *es, const struct wire_message *m)
{
	struct access_point *ap = ctx;

	edge_links_send(ap->edges, es, m);
}

static void to_ap(void *ctx, const char *name, const struct wire_message *m)
{
	struct access_point *ap = ctx;

	handoff_links_send(ap->aps, name, m);
}

static const struct users_ops users_ops = { .to_ap = to_ap };

static void fill_random(void *ctx, void *bytes, size_t len)
{
	(void)ctx;
	if (crypto_random(bytes, len) < 0) {
		/* a session's secret would be guessable: rather no access point than that one */
		log_error("no random numbers: stopping");
		abort();
	}
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		  const char *detail)
{
	struct access_point *ap = ctx;

	log_reporter_event(ap->reporter, kind, session, number, "%s", detail);
	if (strcmp(kind, "EDGE SERVER DRAINED") == 0)
		log_info("edge server %s is drained: its containers leave, new users go elsewhere",
			 detail);
	else if (strcmp(kind, "EDGE SERVER UNDRAINED") == 0)
		log_info("edge server %s is not drained any more", detail);
	log_debug("%s %llu %s", kind, (unsigned long long)number, detail);
}

/* Cost of a move for its users, as text for the log */
static void cost_of(char *to, size_t size, const struct ap_moved *m)
{
	char frozen[48] = "", lost[64] = "nothing lost";

	if (m->freeze_us)
		(void)snprintf(frozen, sizeof(frozen), "frozen %.0f ms, ",
			       (double)m->freeze_us / 1000);
	if (m->in_doubt)
		(void)snprintf(lost, sizeof(lost), "%" PRIu64 " requests answered \"in doubt\"",
			       m->in_doubt);
	(void)snprintf(to, size, "%s%s", frozen, lost);
}

/* One line for each attempt: how it ended, and what it took */
static void moved(void *ctx, const struct ap_moved *m)
{
	struct access_point *ap = ctx;
	double seconds = (double)m->total_ms / 1000;
	char cost[160];

	ap_metrics_moved(&ap->metrics, m);
	cost_of(cost, sizeof(cost), m);
	if (m->result == AP_RESULT_MOVED) {
		log_info("moved %s from %s to %s in %.1f s, %s", m->mud, m->from, m->to, seconds,
			 cost);
	} else if (m->result == AP_RESULT_USER_MOVED || m->result == AP_RESULT_USER_LEFT ||
		   m->result == AP_RESULT_ELSEWHERE) {
		log_info("move of %s from %s to %s ended after %.1f s: %s", m->mud, m->from, m->to,
			 seconds, m->reason);
	} else {
		log_error("not moved: %s stays at %s and not %s, after %.1f s, %s: %s", m->mud,
			  m->from, m->to, seconds, cost, m->reason);
	}
	log_reporter_event(ap->reporter, "MOVE ENDED", m->session, 0,
			   "result=%s from=%s to=%s total_ms=%" PRIu64 " freeze_us=%" PRIu64
			   " replayed=%" PRIu64 " held=%" PRIu64 " in_doubt=%" PRIu64 "%s%.200s",
			   ap_result_name(m->result), m->from, m->to, m->total_ms, m->freeze_us,
			   m->replayed, m->held, m->in_doubt, *m->reason ? " reason=" : "",
			   m->reason);
}

static bool es_known(void *ctx, const char *es)
{
	const struct access_point *ap = ctx;

	return edge_links_known(ap->edges, es);
}

static const struct ap_node_ops node_ops = {
	.es_known = es_known,
	.moved = moved,
	.to_mud = to_mud,
	.to_es = to_es,
	.to_ap = to_ap,
	.random = fill_random,
	.event = event,
};

static void prove(uint8_t *proof, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	/* a failure must not give a valid proof: random bytes fit none */
	if (crypto_proof(proof, secret, session, association, ap) < 0)
		fill_random(NULL, proof, WIRE_PROOF_SIZE);
}

/* ---- accepted links: the certificate decides their role ---- */

/* One that is not in the configuration is told so; if it has no memory for its link, it is not there */
static void on_access_point(struct access_point *ap, struct link *l)
{
	char name[NAME_SIZE];

	(void)snprintf(name, sizeof(name), "%s", link_peer_name(l));
	handoff_links_accepted(ap->aps, l);
	users_neighbour(ap->users, name);
}

static void on_up(void *ctx, struct link *l)
{
	struct access_point *ap = ctx;

	if (link_peer_role(l) == WIRE_ROLE_MUD)
		mud_links_up(ap->muds, l);
	else if (link_peer_role(l) == WIRE_ROLE_AP)
		on_access_point(ap, l);
}

static struct inquiry_view view_of(struct access_point *ap)
{
	return (struct inquiry_view){
		.name = ap->name,
		.home = ap->home,
		.node = ap->node,
		.now = uv_now(ap->loop),
		.muds = ap->muds,
		.edges = ap->edges,
		.aps = ap->aps,
		.users = ap->users,
		.disks = ap->disks,
		.certificate_days = tls_watch_days(ap->tls),
	};
}

static void on_inquiry(struct access_point *ap, struct link *l, const struct wire_message *m)
{
	const struct inquiry_view view = view_of(ap);

	if (m->type == WIRE_INQUIRY)
		inquiry_answer(&view, l, m);
	else
		link_rules_refuse(l, m);
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct access_point *ap = ctx;

	if (link_peer_role(l) == WIRE_ROLE_MUD)
		mud_links_message(ap->muds, l, m);
	else if (link_peer_role(l) == WIRE_ROLE_AP)
		handoff_links_message(ap->aps, l, m);
	else
		on_inquiry(ap, l, m);
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct access_point *ap = ctx;

	if (link_broke_rules(l))
		log_error("%s broke the protocol, link ended: %s", link_peer_name(l), reason);
	else
		log_debug("link of %s is down: %s", link_peer_name(l), reason);
	if (link_peer_role(l) == WIRE_ROLE_MUD)
		mud_links_down(ap->muds, l);
	else if (link_peer_role(l) == WIRE_ROLE_AP)
		handoff_links_down(ap->aps, l);
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	log_info("connection from %s refused: %s", who, reason);
}

static const struct link_ops accepted_ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.refused = on_refused,
};

/* ---- metrics and health ---- */

static void on_metrics(void *ctx, struct exposition *x)
{
	struct access_point *ap = ctx;
	const struct inquiry_view view = view_of(ap);

	ap_metrics_write(&ap->metrics, &view, ap->reporter, x);
}

static void count_up(void *ctx, const char *name, bool up)
{
	(void)name;
	*(size_t *)ctx += up;
}

static const char *on_health(void *ctx)
{
	const struct access_point *ap = ctx;
	size_t up = 0;

	edge_links_each(ap->edges, count_up, &up);
	return up ? NULL : "no edge server can be reached";
}

static const struct monitor_ops monitor_ops = { .metrics = on_metrics, .health = on_health };

/* ---- time ---- */

static void on_timer(uv_timer_t *timer)
{
	struct access_point *ap = timer->data;

	ap_node_tick(ap->node, uv_now(ap->loop));
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct access_point *ap = prepare->data;
	uint64_t now = uv_now(ap->loop);

	mud_links_settle(ap->muds);
	users_settle(ap->users);
	edge_links_settle(ap->edges, now);
	uint64_t deadline = ap_node_deadline(ap->node);
	if (deadline == UINT64_MAX)
		(void)uv_timer_stop(&ap->timer);
	else
		(void)uv_timer_start(&ap->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

/* ---- life ---- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct access_point *ap = handle->data;

	if (--ap->handles == 0)
		free(ap);
}

void access_point_close(struct access_point *ap)
{
	if (!ap)
		return;
	disks_close(ap->disks);
	monitor_close(ap->monitor);
	listener_close(ap->listener);
	listener_close(ap->station_listener);
	users_close(ap->users);
	ap->edges = edge_links_free(ap->edges);
	ap->aps = handoff_links_free(ap->aps);
	ap->muds = mud_links_free(ap->muds);
	ap->node = ap_node_free(ap->node);
	if (ap->handles == 0) {
		free(ap);
		return;
	}
	uv_close((uv_handle_t *)&ap->timer, on_handle_closed);
	uv_close((uv_handle_t *)&ap->prepare, on_handle_closed);
}

static int check_names(const struct access_point_setup *setup, struct err *err)
{
	const char *name = tls_context_name(setup->tls);
	enum wire_role role = tls_context_role(setup->tls);

	if (role != WIRE_ROLE_AP)
		return err_set(err, -EINVAL,
			       "the certificate of %s is for role \"%s\", not for an access point",
			       name, wire_role_name(role));
	for (size_t i = 0; i < setup->edges.count; i++) {
		if (name_equal(setup->edges.at[i].name, setup->home))
			return 0;
	}
	return err_set(err, -EINVAL, "the home edge server %s is not among the edge servers",
		       setup->home);
}

static struct users_setup users_of(struct access_point *ap, const struct access_point_setup *setup)
{
	return (struct users_setup){
		.loop = setup->loop,
		.ap = ap->name,
		.policy = setup->policy,
		.proof = prove,
		.node = ap->node,
		.reporter = setup->reporter,
		.ops = &users_ops,
		.ctx = ap,
		.aps = setup->aps,
		.service = setup->service,
		.services = setup->services,
		.limits = setup->users,
		.state_dir = setup->state_dir,
		.spool_dir = setup->spool_dir,
		.spool_bytes = setup->spool_bytes,
		.stations = setup->stations,
		.unreachable = setup->unreachable,
		.keep_ms = setup->keep_ms,
	};
}

static int start_users(struct access_point *ap, const struct access_point_setup *setup,
		       struct err *err)
{
	const struct users_setup users = users_of(ap, setup);
	int r = users_new(&ap->users, &users, err);

	handoff_links_users(ap->aps, users_message, ap->users);
	return r;
}

/* ---- full disks ---- */

enum { STATE_DIR, SPOOL_DIR, PLACES };

static void on_looked(void *ctx)
{
	struct access_point *ap = ctx;
	const struct users_files files = users_files(ap->users);
	char text[WIRE_REASON_SIZE] = "";

	if (files.behind)
		(void)snprintf(text, sizeof(text), "%zu users wait to be written: %.160s",
			       files.behind, files.why);
	disks_trouble(ap->disks, STATE_DIR, text);
	const struct disks_view v = disks_view(ap->disks, STATE_DIR);
	if (v.low || files.behind)
		(void)snprintf(
			text, sizeof(text),
			"%s takes no new users, for its state_dir is full: %.1f MB of %.1f MB "
			"are free",
			ap->name, (double)v.free / 1e6, (double)v.bytes / 1e6);
	users_full(ap->users, text[0] ? text : NULL);
}

static int watch_disks(struct access_point *ap, const struct access_point_setup *setup,
		       struct err *err)
{
	const struct disks_place place[PLACES] = {
		[STATE_DIR] = { "state_dir", setup->state_dir,
				"users that are not known here yet are refused: make room" },
		[SPOOL_DIR] = { "spool_dir", setup->spool_dir,
				"long requests and answers are refused: make room" },
	};

	return disks_new(&ap->disks, ap->loop, place, PLACES, on_looked, ap, err);
}

static struct link_setup links_of(struct access_point *ap, const struct access_point_setup *setup)
{
	return (struct link_setup){
		.loop = setup->loop,
		.tls = setup->tls,
		.ops = &accepted_ops,
		.ctx = ap,
		.limits = setup->limits,
	};
}

static int start(struct access_point *ap, const struct access_point_setup *setup, struct err *err)
{
	const struct link_setup links = links_of(ap, setup);
	int r;

	ap->tls = setup->tls;
	r = name_set(ap->name, tls_context_name(setup->tls), err);
	if (r == 0)
		r = name_set(ap->home, setup->home, err);
	if (r == 0)
		r = ap_node_new(&ap->node, ap->name, ap->home, setup->policy, prove, &node_ops, ap,
				err);
	if (r == 0)
		r = mud_links_new(&ap->muds, setup->loop, ap->node, err);
	if (r == 0)
		r = edge_links_new(&ap->edges, &links, ap->node, &setup->edges, err);
	if (r == 0)
		r = handoff_links_new(&ap->aps, &links, ap->node, &setup->aps, err);
	if (r == 0)
		r = listener_new(&ap->listener, &links, setup->listen,
				 LINK_ROLE(WIRE_ROLE_AP) | LINK_ROLE(WIRE_ROLE_OPERATOR), err);
	if (r == 0)
		r = listener_new(&ap->station_listener, &links, setup->station_listen,
				 LINK_ROLE(WIRE_ROLE_MUD), err);
	if (r == 0)
		r = start_users(ap, setup, err);
	if (r == 0)
		r = watch_disks(ap, setup, err);
	if (r == 0)
		r = monitor_new(&ap->monitor, setup->loop, setup->monitor_listen, &monitor_ops, ap,
				err);
	if (r < 0)
		return r;
	(void)uv_timer_init(setup->loop, &ap->timer); /* these two cannot fail */
	(void)uv_prepare_init(setup->loop, &ap->prepare);
	ap->timer.data = ap;
	ap->prepare.data = ap;
	ap->handles = 2;
	(void)uv_prepare_start(&ap->prepare, on_prepare);
	return 0;
}

int access_point_new(struct access_point **ret, const struct access_point_setup *setup,
		     struct err *err)
{
	int r;

	r = check_names(setup, err);
	if (r < 0)
		return r;
	struct access_point *ap = calloc(1, sizeof(*ap));
	if (!ap)
		return err_set(err, -ENOMEM, "access point");
	ap->loop = setup->loop;
	ap->reporter = setup->reporter;
	ap_metrics_init(&ap->metrics, setup->state_dir, setup->spool_dir);
	r = start(ap, setup, err);
	if (r < 0) {
		access_point_close(ap);
		return err_wrap(err, r, "access point %s", tls_context_name(setup->tls));
	}
	*ret = ap;
	return 0;
}

int access_point_change(struct access_point *ap, const struct access_point_setup *setup,
			struct err *err)
{
	const struct users_setup users = users_of(ap, setup);
	const struct link_setup links = links_of(ap, setup);
	/* first what may fail for a mistake: whether a listener can have its address */
	int r = users_change(ap->users, &users, err);

	if (r == 0)
		r = edge_links_change(ap->edges, &links, &setup->edges, uv_now(ap->loop), err);
	if (r == 0)
		r = handoff_links_change(ap->aps, &links, &setup->aps, err);
	if (r < 0)
		return r;
	ap_node_set_policy(ap->node, setup->policy);
	listener_limits(ap->listener, &setup->limits);
	listener_limits(ap->station_listener, &setup->limits);
	return 0;
}

uint16_t access_point_port(const struct access_point *ap)
{
	return listener_port(ap->listener);
}

uint16_t access_point_station_port(const struct access_point *ap)
{
	return listener_port(ap->station_listener);
}

uint16_t access_point_monitor_port(const struct access_point *ap)
{
	return ap->monitor ? monitor_port(ap->monitor) : 0;
}

uint16_t access_point_service_port(const struct access_point *ap, const char *service)
{
	return users_port(ap->users, service);
}

int access_point_associate(struct access_point *ap, const char *address, const char *service,
			   struct err *err)
{
	return users_associate(ap->users, address, service, err);
}

void access_point_users(const struct access_point *ap,
			void (*fn)(void *ctx, const struct users_view *view), void *ctx)
{
	users_each(ap->users, fn, ctx);
}
