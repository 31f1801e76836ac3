/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-ap - access point gateway: read the configuration, build the objects, run the loop
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "ap/access_point.h"
#include "base/auto.h"
#include "base/checklist.h"
#include "base/err.h"
#include "base/log.h"
#include "codec/codec.h"
#include "conf/changes.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "core/common/policy.h"
#include "daemon/daemon.h"
#include "net/host_check.h"
#include "net/link.h"
#include "report/reloader.h"
#include "net/supervisor.h"
#include "net/tls.h"
#include "net/tls_watch.h"
#include "report/log_reporter.h"

#define STATE_ROOM (256ULL << 20) /* bytes */
#define DAY_MS     86400000ULL

/* struct program - All that lives while the loop runs; @conf: the configuration that it was started with */
struct program {
	const struct conf *conf;
	uv_loop_t loop;
	uv_signal_t term;
	uv_signal_t interrupt;
	struct tls_context *tls;
	struct tls_watch *watch;
	struct supervisor *supervisor;
	struct log_reporter *reporter;
	struct access_point *ap;
	struct reloader *reloader;
};

static struct policy policy_of(const struct conf *c)
{
	const int64_t *limit = c->limit;

	return (struct policy){
		.sessions_max = (uint32_t)limit[CONF_SESSIONS_MAX],
		.copies_max = (uint32_t)limit[CONF_COPIES_MAX],
		.copies_bytes_max = (size_t)limit[CONF_COPIES_BYTES_MAX],
		.retry_ms = (uint64_t)limit[CONF_RETRY_MS],
		.associate_ms = (uint64_t)limit[CONF_ASSOCIATE_MS],
		.move_ms = (uint64_t)limit[CONF_MOVE_MS],
		.catch_up_ms = (uint64_t)limit[CONF_CATCH_UP_MS],
		.grace_ms = (uint64_t)limit[CONF_GRACE_MS],
		.backoff_ms = (uint64_t)limit[CONF_BACKOFF_MS],
		.backoff_max_ms = (uint64_t)limit[CONF_BACKOFF_MAX_MS],
		.drain_ms = (uint64_t)limit[CONF_DRAIN_MS],
		.standby_ms = (uint64_t)limit[CONF_STANDBY_MS],
		.idle_ms = (uint64_t)limit[CONF_IDLE_MS],
		.request_events = c->request_events,
		.compare = c->compare,
	};
}

/* The peers of one role. @to has room for all peers */
static struct ap_neighbours neighbours_of(const struct conf *c, enum wire_role role,
					  struct ap_neighbour *to)
{
	size_t n = 0;

	for (size_t i = 0; i < c->peers; i++) {
		if (c->peer[i].role == role)
			to[n++] = (struct ap_neighbour){ c->peer[i].name, c->peer[i].address };
	}
	return (struct ap_neighbours){ to, n };
}

/* Services for ordinary users. @to has room for all listeners */
static size_t services_of(const struct conf *c, struct users_service *to)
{
	for (size_t i = 0; i < c->listeners; i++)
		to[i] = (struct users_service){
			.listen = c->listener[i].listen,
			.service = c->listener[i].service,
			.codec = codec_find(conf_codec_name(c->listener[i].codec)),
		};
	return c->listeners;
}

static void on_certificates(void *ctx, enum tls_watch_word word, const char *text)
{
	struct program *p = ctx;

	log_reporter_certificates(p->reporter, p->tls, word, text);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct program *p = handle->data;

	log_info("%s: stopping", strsignal(number));
	supervisor_stopping(p->supervisor);
	reloader_close(TAKE_PTR(p->reloader), daemon_drop);
	supervisor_close(TAKE_PTR(p->supervisor));
	access_point_close(TAKE_PTR(p->ap));
	tls_watch_close(TAKE_PTR(p->watch));
	log_reporter_close(TAKE_PTR(p->reporter), NULL, NULL);
	uv_close((uv_handle_t *)&p->term, NULL);
	uv_close((uv_handle_t *)&p->interrupt, NULL);
	(void)signal(SIGHUP, SIG_IGN); /* nothing is read again any more */
}

/* struct room - Room for the lists that a setup borrows */
struct room {
	struct ap_neighbour edges[CONF_PEERS_MAX];
	struct ap_neighbour aps[CONF_PEERS_MAX];
	struct users_service services[CONF_LISTENERS_MAX];
	struct policy policy;
};

static struct access_point_setup setup_of(struct program *p, const struct conf *c,
					  struct room *room)
{
	room->policy = policy_of(c);
	return (struct access_point_setup){
		.loop = &p->loop,
		.tls = p->tls,
		.home = c->es,
		.listen = c->listen,
		.station_listen = c->station_listen,
		.monitor_listen = c->monitor_listen,
		.edges = neighbours_of(c, WIRE_ROLE_ES, room->edges),
		.aps = neighbours_of(c, WIRE_ROLE_AP, room->aps),
		.policy = &room->policy,
		.limits = daemon_link_limits(c),
		.service = room->services,
		.services = services_of(c, room->services),
		.users = { .users_max = (uint32_t)c->limit[CONF_USERS_MAX],
			   .user_connections_max = (uint32_t)c->limit[CONF_USER_CONNECTIONS_MAX],
			   .client_connections_max =
				   (uint32_t)c->limit[CONF_CLIENT_CONNECTIONS_MAX],
			   .idle_ms = (uint64_t)c->limit[CONF_USER_IDLE_MS],
			   .gone_ms = (uint64_t)c->limit[CONF_USER_GONE_MS],
			   .dead_ms = (uint32_t)c->limit[CONF_DEAD_MS] },
		.state_dir = c->state_dir,
		.spool_dir = c->spool_dir,
		.spool_bytes = (uint64_t)c->limit[CONF_SPOOL_BYTES],
		.stations = c->stations,
		.unreachable = c->begins_anew ? USERS_BEGIN : USERS_REFUSE,
		.keep_ms = (uint64_t)c->limit[CONF_KEEP_DAYS] * DAY_MS,
		.reporter = p->reporter,
	};
}

/* ---- SIGHUP ---- */

static int reload_read(void *ctx, void **ret, struct err *err)
{
	const struct program *p = ctx;

	return daemon_read_again(p->conf, ret, err);
}

static void reload_take(void *ctx, void *read)
{
	struct program *p = ctx;
	struct room room;
	struct err err = { 0 };

	AUTO(conf) struct conf *c = read;
	const struct access_point_setup setup = setup_of(p, c, &room);
	int r = access_point_change(p->ap, &setup, &err);
	if (r == 0)
		r = log_reporter_repository(p->reporter, c->logrepo_name, c->logrepo_address, &err);
	if (r < 0) {
		conf_changes_kept(p, err.text);
		return;
	}
	conf_changes_fixed(p->conf, c, conf_changes_say_fixed, NULL);
	log_info("configuration read again: %zu edge servers, %zu access points, %zu listeners",
		 setup.edges.count, setup.aps.count, setup.services);
}

static const struct reloader_ops reload_ops = {
	.read = reload_read,
	.take = reload_take,
	.kept = conf_changes_kept,
};

static int start(struct program *p, const struct conf *c, struct err *err)
{
	struct room room;
	int r;

	p->conf = c;
	r = supervisor_new(&p->supervisor, &p->loop, err);
	if (r < 0)
		return r;
	r = daemon_identity(&p->tls, c, err);
	if (r < 0)
		return r;
	r = daemon_reporter(&p->reporter, &p->loop, p->tls, c, err);
	if (r < 0)
		return r;
	const struct access_point_setup setup = setup_of(p, c, &room);
	r = access_point_new(&p->ap, &setup, err);
	if (r < 0)
		return r;
	r = daemon_signals(&p->loop, &p->term, &p->interrupt, on_signal, p, err);
	if (r < 0)
		return r;
	r = tls_watch_new(&p->watch, &p->loop, p->tls, on_certificates, p, err);
	if (r == 0)
		r = reloader_new(&p->reloader, &p->loop, p->supervisor, &reload_ops, p, err);
	if (r == 0)
		supervisor_ready(p->supervisor);
	return r;
}

static int run(const struct conf *c, struct err *err)
{
	struct program p = { 0 };
	int r;

	r = uv_loop_init(&p.loop);
	if (r < 0)
		return err_set(err, r, "event loop");
	r = start(&p, c, err);
	if (r < 0) {
		access_point_close(p.ap);
		log_reporter_close(p.reporter, NULL, NULL);
		supervisor_close(TAKE_PTR(p.supervisor));
		daemon_close_signals(&p.loop);
	} else {
		log_info("serving MUDs at %s, access points at %s", c->station_listen, c->listen);
	}
	(void)uv_run(&p.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&p.loop);
	tls_context_free(p.tls);
	return r;
}

static void check_host(const struct conf *c, struct checklist *list)
{
	const struct tls_files files = daemon_tls_files(c);

	host_check_certificate(list, &files, c->name, c->role);
	host_check_listen(list, "listen", c->listen);
	host_check_listen(list, "monitor_listen", c->monitor_listen);
	host_check_listen(list, "station_listen", c->station_listen);
	for (size_t i = 0; i < c->listeners; i++)
		if (c->listener[i].codec != CONF_CODEC_UDP)
			host_check_listen(list, c->listener[i].name, c->listener[i].listen);
	if (c->stations && access(c->stations, W_OK) < 0)
		checklist_lacks(list, "stations", "start hostapd, or set its control socket",
				"%s: %s", c->stations, strerror(errno));
	checklist_clock(list);
	checklist_directory(list, "state_dir", c->state_dir, STATE_ROOM);
	checklist_directory(list, "spool_dir", c->spool_dir, STATE_ROOM);
}

int main(int argc, char **argv)
{
	const struct options options = {
		.program = "baton-ap",
		.summary = "access point gateway: MUD management, packet forwarder, replay buffer",
		.role = WIRE_ROLE_AP,
		.check_host = check_host,
	};

	return daemon_main(&options, argc, argv, run);
}
