/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-es - edge server: read the configuration, build the objects, run the loop
 */

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "codec/codec.h"
#include "conf/changes.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "core/common/policy.h"
#include "daemon/daemon.h"
#include "es/container/mounts.h"
#include "es/edge_host.h"
#include "es/edge_server.h"
#include "es/files/beneath.h"
#include "es/worker/file_worker.h"
#include "net/link.h"
#include "report/reloader.h"
#include "net/supervisor.h"
#include "net/tls.h"
#include "net/tls_watch.h"
#include "report/log_reporter.h"

#define HOOK_PROGRAM  "baton-cut-hook"
#define STORE_PROGRAM "baton-store"

static_assert(CONF_VOLUMES_MAX <= CONTAINER_VOLUMES_MAX, "what can be asked for can move");

/*
 * struct program - All that lives while the loop runs
 * @conf:	Configuration that it was started with
 * @last:	The one that was read last at SIGHUP, to which @edge points then; or NULL
 */
struct program {
	uv_loop_t loop;
	uv_signal_t term;
	uv_signal_t interrupt;
	struct tls_context *tls;
	struct tls_watch *watch;
	struct supervisor *supervisor;
	struct log_reporter *reporter;
	struct edge_server *es;
	struct reloader *reloader;
	const struct conf *conf;
	struct conf *last;
	char hook[PATH_MAX];
	char store[PATH_MAX];
	char file_worker[PATH_MAX];
	struct file_workers *workers;
	struct container_config containers;
	struct migration_config migration;
	struct container_service service[CONF_SERVICES_MAX];
	struct edge_neighbour edge[CONF_PEERS_MAX];
	bool failed;
};

static struct policy policy_of(const struct conf *c)
{
	struct policy p = policy_default();

	p.sessions_max = (uint32_t)c->limit[CONF_SESSIONS_MAX];
	p.drain_ms = (uint64_t)c->limit[CONF_DRAIN_MS];
	p.standby_ms = (uint64_t)c->limit[CONF_STANDBY_MS];
	p.idle_ms = (uint64_t)c->limit[CONF_IDLE_MS];
	p.keep_ms = (uint64_t)c->limit[CONF_KEEP_DAYS] * 24 * 3600 * 1000;
	return p;
}

/* Programs of ours are beside us in a build tree; installed, they have a directory of their own. */
static int find_program(char to[PATH_MAX], const char *name, struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return err_set(err, -errno, "find my own program file");
	self[n] = '\0';
	char *dir = dirname(self);
	const char *const places[][2] = { { dir, "" },
					  { dir, "/../runtime" },
					  { BATON_PROGRAM_DIR, "" } };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int len = snprintf(to, PATH_MAX, "%s%s/%s", places[i][0], places[i][1], name);

		if (len > 0 && len < PATH_MAX && access(to, X_OK) == 0)
			return 0;
	}
	return err_set(err, -ENOENT, "%s is neither beside baton-es in %s nor in %s", name, dir,
		       BATON_PROGRAM_DIR);
}

static void on_certificates(void *ctx, enum tls_watch_word word, const char *text)
{
	struct program *p = ctx;

	log_reporter_certificates(p->reporter, p->tls, word, text);
}

static void on_stopped(void *ctx)
{
	struct program *p = ctx;

	tls_watch_close(TAKE_PTR(p->watch));
	reloader_close(TAKE_PTR(p->reloader), daemon_drop);
	supervisor_close(TAKE_PTR(p->supervisor));
	log_reporter_close(TAKE_PTR(p->reporter), NULL, NULL);
	uv_close((uv_handle_t *)&p->term, NULL);
	uv_close((uv_handle_t *)&p->interrupt, NULL);
	(void)signal(SIGHUP, SIG_IGN); /* nothing is read again any more */
}

static void stop(struct program *p)
{
	if (!p->es)
		return;
	supervisor_stopping(p->supervisor);
	edge_server_close(TAKE_PTR(p->es), on_stopped, p);
}

static void on_signal(uv_signal_t *handle, int number)
{
	log_info("%s: stopping", strsignal(number));
	stop(handle->data);
}

static void on_serving(void *ctx)
{
	struct program *p = ctx;

	supervisor_ready(p->supervisor);
}

static void on_failed(void *ctx, const char *reason)
{
	struct program *p = ctx;

	log_error("%s", reason);
	p->failed = true;
	stop(p);
}

static enum migration_method method_of(enum conf_method method)
{
	return method == CONF_METHOD_COMPLETE  ? METHOD_COMPLETE
	       : method == CONF_METHOD_PARTIAL ? METHOD_PARTIAL
					       : METHOD_AUTO;
}

static struct codec_comparison comparison_of(const struct conf_service *from)
{
	struct codec_comparison c = codec_comparison_default();

	c.none = !from->compare;
	if (from->compare_ignore[0])
		(void)snprintf(c.ignored, sizeof(c.ignored), "%s", from->compare_ignore);
	return c;
}

static enum container_restart restart_of(enum conf_restart restart)
{
	return restart == CONF_RESTART_NO           ? RESTART_NO
	       : restart == CONF_RESTART_ON_FAILURE ? RESTART_ON_FAILURE
						    : RESTART_ALWAYS;
}

static enum container_sync sync_of(enum conf_sync sync)
{
	return sync == CONF_SYNC_HOLD     ? SYNC_HOLD
	       : sync == CONF_SYNC_REPLAY ? SYNC_REPLAY
					  : SYNC_AUTO;
}

static void fill_services(struct program *p, const struct conf *c)
{
	for (size_t i = 0; i < c->services; i++) {
		const struct conf_service *from = &c->service[i];
		struct container_service *to = &p->service[i];
		const struct codec *codec = codec_find(conf_codec_name(from->codec));

		*to = (struct container_service){
			.image = from->image,
			.command = (const char *const *)from->command,
			.env = (const char *const *)from->env,
			.port = from->port,
			.codec = codec,
			.comparison = comparison_of(from),
			.udp = codec->datagram,
			.memory_bytes = from->memory_bytes,
			.cpu_millis = from->cpu_millis,
			.pids = from->pids,
			.volumes = (const char *const *)from->volumes,
			.tmpfs = (const char *const *)from->tmpfs,
			.binds = (const char *const *)from->binds,
			.publish = (const char *const *)from->publish,
			.trusted_images = (const char *const *)from->trusted_images,
			.start_ms = from->start_ms,
			.sync = sync_of(from->sync),
			.restart = restart_of(from->restart),
			.restart_tries = from->restart_tries,
			.protect_ms = from->protect_ms,
			.method = method_of(from->method),
		};
		memcpy(to->name, from->name, NAME_SIZE);
	}
}

static size_t fill_edges(struct program *p, const struct conf *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->peers; i++) {
		if (c->peer[i].role == WIRE_ROLE_ES && c->peer[i].transfer)
			p->edge[n++] =
				(struct edge_neighbour){ c->peer[i].name, c->peer[i].transfer };
	}
	return n;
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
	struct err err = { 0 };
	int r;

	AUTO(conf) struct conf *c = read;
	if (!p->es) /* it stops */
		return;
	fill_services(p, c);
	r = edge_server_offer(p->es, p->service, c->services, &err);
	if (r == 0)
		r = log_reporter_repository(p->reporter, c->logrepo_name, c->logrepo_address, &err);
	if (r < 0) {
		conf_changes_kept(p, err.text);
		return;
	}
	const struct policy policy = policy_of(c);
	const struct edge_server_change change = {
		.policy = &policy,
		.limits = daemon_link_limits(c),
		.edge = p->edge,
		.edges = fill_edges(p, c),
		.spool_bytes = (uint64_t)c->limit[CONF_SPOOL_BYTES],
		.migrations_max = (uint32_t)c->limit[CONF_MIGRATIONS_MAX],
	};
	edge_server_change(p->es, &change);
	conf_changes_fixed(p->conf, c, conf_changes_say_fixed, NULL);
	log_info("configuration read again: %zu services are offered, %zu other edge servers",
		 c->services, change.edges);
	conf_free(p->last);
	p->last = TAKE_PTR(c);
}

static const struct reloader_ops reload_ops = {
	.read = reload_read,
	.take = reload_take,
	.kept = conf_changes_kept,
};

static void fill_configs(struct program *p)
{
	const struct conf *c = p->conf;
	const char *prefix = getenv("BATON_PREFIX");
	const char *staged = getenv("BATON_STAGED_DIR");

	p->containers = (struct container_config){
		.docker_socket = c->docker.socket,
		.docker_exec_root = c->docker.exec_root,
		.runtime = c->docker.runtime,
		.patience = (uint32_t)c->limit[CONF_PATIENCE],
	};
	p->migration = (struct migration_config){
		.name = c->name,
		.listen = c->transfer_listen,
		.docker_socket = c->docker.socket,
		.docker_exec_root = c->docker.exec_root,
		.runtime = c->docker.runtime,
		.checkpoint_dir = c->checkpoint_dir,
		.image_dir = c->image_dir,
		.protect_dir = c->protect_dir,
		.arrival_ms = (uint64_t)c->limit[CONF_ARRIVAL_MS],
		.staged_dir = staged ? staged : BATON_STAGED_DIR,
		.prefix = prefix ? prefix : BATON_PREFIX,
		.cut_hook = p->hook,
		.store = p->store,
		.workers = p->workers,
		.max_sources = (uint32_t)c->limit[CONF_MIGRATIONS_MAX],
		.max_destinations = (uint32_t)c->limit[CONF_MIGRATIONS_MAX],
		.idle_ms = (uint32_t)c->limit[CONF_STALL_MS],
		.restore_ms = (uint32_t)c->limit[CONF_RESTORE_MS],
		.patience = (uint32_t)c->limit[CONF_PATIENCE],
		.shared = (const char *const *)c->shared,
		.registries = (const char *const *)c->registries,
		.profile = c->profile == CONF_PROFILE_PAPER ? PROFILE_PAPER : PROFILE_BATON,
	};
}

static int find_programs(struct program *p, struct err *err)
{
	int r = find_program(p->hook, HOOK_PROGRAM, err);

	if (r == 0)
		r = find_program(p->store, STORE_PROGRAM, err);
	if (r == 0)
		r = find_program(p->file_worker, FILE_WORKER_PROGRAM, err);
	if (r == 0)
		r = file_workers_new(&p->workers, p->file_worker, NULL, err);
	return r;
}

static int start(struct program *p, struct err *err)
{
	const struct conf *c = p->conf;
	const struct policy policy = policy_of(c);
	int r = supervisor_new(&p->supervisor, &p->loop, err);

	if (r == 0)
		r = beneath_check(err);
	if (r < 0)
		return r;
	r = daemon_identity(&p->tls, c, err);
	if (r < 0)
		return r;
	r = find_programs(p, err);
	if (r < 0)
		return r;
	r = daemon_reporter(&p->reporter, &p->loop, p->tls, c, err);
	if (r < 0)
		return r;
	fill_services(p, c);
	fill_configs(p);
	const struct edge_server_setup setup = {
		.loop = &p->loop,
		.tls = p->tls,
		.reporter = p->reporter,
		.name = c->name,
		.listen = c->listen,
		.monitor_listen = c->monitor_listen,
		.state_dir = c->state_dir,
		.spool_dir = c->spool_dir,
		.spool_bytes = (uint64_t)c->limit[CONF_SPOOL_BYTES],
		.reserve_bytes = (uint64_t)c->limit[CONF_RESERVE_BYTES],
		.sync_ms = (uint64_t)c->limit[CONF_SYNC_MS],
		.policy = &policy,
		.limits = daemon_link_limits(c),
		.containers = &p->containers,
		.migration = &p->migration,
		.service = p->service,
		.services = c->services,
		.edge = p->edge,
		.edges = fill_edges(p, c),
		.serving = on_serving,
		.failed = on_failed,
		.ctx = p,
	};
	r = edge_server_new(&p->es, &setup, err);
	if (r < 0)
		return r;
	r = daemon_signals(&p->loop, &p->term, &p->interrupt, on_signal, p, err);
	if (r < 0)
		return r;
	r = tls_watch_new(&p->watch, &p->loop, p->tls, on_certificates, p, err);
	if (r < 0)
		return r;
	return reloader_new(&p->reloader, &p->loop, p->supervisor, &reload_ops, p, err);
}

static int run(const struct conf *c, struct err *err)
{
	int r;

	auto_free struct program *p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "edge server");
	p->conf = c;
	r = uv_loop_init(&p->loop);
	if (r < 0)
		return err_set(err, r, "event loop");
	r = start(p, err);
	if (r < 0) {
		edge_server_close(p->es, NULL, NULL);
		log_reporter_close(p->reporter, NULL, NULL);
		supervisor_close(TAKE_PTR(p->supervisor));
		daemon_close_signals(&p->loop);
	}
	(void)uv_run(&p->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&p->loop);
	tls_context_free(p->tls);
	conf_free(p->last);
	(void)file_workers_free(p->workers);
	return r == 0 && p->failed ? DAEMON_E_FAILED : r;
}

static void check_host(const struct conf *c, struct checklist *list)
{
	const char *prefix = getenv("BATON_PREFIX");
	const char *staged = getenv("BATON_STAGED_DIR");
	const struct edge_host host = {
		.conf = c,
		.staged = staged ? staged : BATON_STAGED_DIR,
		.prefix = prefix ? prefix : BATON_PREFIX,
	};

	edge_host_check(&host, list);
}

int main(int argc, char **argv)
{
	const struct options options = {
		.program = "baton-es",
		.summary = "edge server: container management, gateway, migration controller",
		.role = WIRE_ROLE_ES,
		.check_host = check_host,
	};

	/* each migration is a thread: with an arena for each, memory that all of them have given back stays with us */
	(void)mallopt(M_ARENA_MAX, 2);
	return daemon_main(&options, argc, argv, run);
}
