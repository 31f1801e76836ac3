/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-logrepo - event log repository: receives events of all nodes, stores them, answers inquiries
 */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/checklist.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/changes.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "daemon/daemon.h"
#include "logrepo/file_writer.h"
#include "logrepo/storage_management.h"
#include "net/host_check.h"
#include "net/link.h"
#include "report/reloader.h"
#include "net/supervisor.h"
#include "net/tls.h"
#include "net/tls_watch.h"
#include "report/common_metrics.h"
#include "report/disks.h"
#include "report/exposition.h"
#include "report/monitor.h"

#define SYNC_MS     1000
#define EVENTS_ROOM (1ULL << 30) /* bytes */

/**
 * struct program - All that lives while the loop runs
 * @conf:	Configuration that it was started with
 * @failing:	The last batch could not be stored, and @why: said once, until one can be again. That its disk is
 *		full is said once a minute (report/disks.h)
 */
struct program {
	uv_loop_t loop;
	uv_signal_t term;
	uv_signal_t interrupt;
	uv_timer_t sync;
	struct tls_context *tls;
	struct tls_watch *watch;
	struct supervisor *supervisor;
	struct reloader *reloader;
	const struct conf *conf;
	struct listener *listener;
	struct storage *storage;
	struct monitor *monitor;
	struct disks *disks;
	const char *events;
	char events_dir[PATH_MAX];
	double since;
	bool failing;
	bool no_room; /* for want of room */
	char why[ERR_TEXT_MAX];
	size_t links;
};

static void report_storage(struct program *p, int r, const struct err *err)
{
	if (r < 0 && !p->failing)
		log_error("%s", err->text);
	else if (r == 0 && p->failing)
		log_info("events can be stored again");
	p->failing = r < 0;
	p->no_room = r == -ENOSPC || r == -EDQUOT;
	(void)snprintf(p->why, sizeof(p->why), "%s", r < 0 ? err->text : "");
}

static void on_looked(void *ctx)
{
	struct program *p = ctx;

	/* the next event shows it, but it may come much later than the room */
	if (p->no_room && !disks_view(p->disks, 0).low)
		p->why[0] = '\0';
	disks_trouble(p->disks, 0, p->why);
}

static int watch_disk(struct program *p, struct err *err)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s", p->events);
	(void)snprintf(p->events_dir, sizeof(p->events_dir), "%s", dirname(path));
	const struct disks_place place = { "events", p->events_dir,
					   "events are lost, and counted: make room" };

	return disks_new(&p->disks, &p->loop, &place, 1, on_looked, p, err);
}

static void add_full(void *ctx, const struct disks_view *v)
{
	(void)json_array_append_new(ctx,
				    json_pack("{s:s, s:s, s:I, s:I, s:s}", "what", v->what, "path",
					      v->path, "bytes", (json_int_t)v->bytes, "free",
					      (json_int_t)v->free, "trouble", v->trouble));
}

/* Return: owned; NULL without memory */
static char *status_of(const struct program *p)
{
	json_t *full = json_array();

	disks_each_bad(p->disks, add_full, full);
	json_t *j = json_pack("{s:s, s:s, s:I, s:I, s:I, s:o}", "node", tls_context_name(p->tls),
			      "role", "logrepo", "stored", (json_int_t)storage_stored(p->storage),
			      "lost", (json_int_t)storage_lost(p->storage), "certificate_days",
			      (json_int_t)tls_watch_days(p->tls), "full", full);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return text;
}

static void send_answer(struct link *l, enum wire_status status, const void *bytes, size_t len)
{
	struct wire_message m = {
		.type = WIRE_INQUIRY_ANSWER,
		.text = { .status = status, .bytes = bytes, .len = len },
	};

	if (link_send(l, &m) != 0)
		link_close(l); /* an operator who does not read does not wait either */
}

static void refuse(struct link *l, enum wire_status status, const char *why)
{
	send_answer(l, status, why, strlen(why));
}

/* "status", or "events" with a filter */
static void answer_inquiry(struct program *p, struct link *l, const struct wire_message *m)
{
	const char *text = (const char *)m->text.bytes;
	size_t len = m->text.len;
	struct err err = { 0 };
	struct buf answer;

	if (link_peer_role(l) != WIRE_ROLE_OPERATOR) {
		refuse(l, WIRE_E_NOT_ALLOWED, "only an operator may ask");
		return;
	}
	if (len == 6 && memcmp(text, "status", 6) == 0) {
		auto_free char *status = status_of(p);

		if (status)
			send_answer(l, WIRE_OK, status, strlen(status));
		else
			refuse(l, WIRE_E_FAILED, "out of memory");
		return;
	}
	if (len < 6 || memcmp(text, "events", 6) != 0) {
		refuse(l, WIRE_E_PROTOCOL, "inquiry: want \"status\" or \"events {filter}\"");
		return;
	}
	buf_init(&answer, WIRE_TEXT_MAX);
	if (storage_query(p->storage, text + 6, len - 6, &answer, &err) < 0)
		refuse(l, WIRE_E_FAILED, err.text);
	else
		send_answer(l, WIRE_OK, buf_bytes(&answer), answer.len);
	buf_deinit(&answer);
}

static void on_up(void *ctx, struct link *l)
{
	struct program *p = ctx;

	p->links++;
	log_debug("%s is here", link_peer_name(l));
}

static void take_events(struct program *p, struct link *l, const struct wire_events *batch)
{
	struct err err = { 0 };
	int r = storage_store(p->storage, link_peer_name(l), batch, &err);

	if (r != -EPERM) {
		report_storage(p, r, &err);
		return;
	}
	log_error("%s: link ended", err.text);
	link_close(l);
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct program *p = ctx;

	switch (m->type) {
	case WIRE_EVENTS:
		take_events(p, l, &m->events);
		break;
	case WIRE_INQUIRY:
		answer_inquiry(p, l, m);
		break;
	default:
		log_error("%s sent %s, which is not for an event log repository: dropped",
			  link_peer_name(l), wire_type_name(m->type));
		link_close(l);
	}
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct program *p = ctx;

	p->links -= p->links > 0;
	if (link_broke_rules(l))
		log_error("%s broke the protocol, link ended: %s", link_peer_name(l), reason);
	else
		log_debug("%s is gone: %s", link_peer_name(l), reason);
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	log_error("connection from %s refused: %s", who, reason);
}

static const struct link_ops ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.refused = on_refused,
};

static void on_sync(uv_timer_t *timer)
{
	struct program *p = timer->data;
	struct err err = { 0 };

	int r = storage_sync(p->storage, &err);
	if (r < 0)
		report_storage(p, r, &err);
}

/* Other nodes report this event to the LogRepo; the LogRepo stores its own here */
static void store_ending(struct program *p)
{
	struct wire_event e = { .time_us = realtime_us() };
	const struct wire_events batch = { .count = 1, .event = &e };
	const char *name = tls_context_name(p->tls);
	struct err err = { 0 };

	(void)snprintf(e.node, sizeof(e.node), "%s", name);
	(void)snprintf(e.kind, sizeof(e.kind), "CERTIFICATE ENDS");
	(void)snprintf(e.detail, sizeof(e.detail), "days=%" PRId64, tls_watch_days(p->tls));
	report_storage(p, storage_store(p->storage, name, &batch, &err), &err);
}

static void on_certificates(void *ctx, enum tls_watch_word word, const char *text)
{
	if (word == TLS_WATCH_READ)
		log_info("%s", text);
	else
		log_error("%s", text);
	if (word == TLS_WATCH_ENDING)
		store_ending(ctx);
}

/* ---- who watches ---- */

static void on_metrics(void *ctx, struct exposition *x)
{
	struct program *p = ctx;
	char directory[PATH_MAX];

	(void)snprintf(directory, sizeof(directory), "%s", p->events);
	const struct common_directory of[] = { { "events", dirname(directory) } };

	common_metrics_write(x, p->since, tls_watch_days(p->tls));
	common_metrics_disks(x, of, 1);
	exposition_one(x, "baton_events_stored_total", "counter", "Events stored.",
		       (double)storage_stored(p->storage));
	exposition_one(x, "baton_events_lost_total", "counter",
		       "Events that could not be stored, or that their senders had dropped.",
		       (double)storage_lost(p->storage));
	exposition_one(x, "baton_links", "gauge", "Programs that are connected.", (double)p->links);
}

static const char *on_health(void *ctx)
{
	const struct program *p = ctx;

	return p->failing ? "events cannot be stored" : NULL;
}

static const struct monitor_ops monitor_ops = { .metrics = on_metrics, .health = on_health };

/* ---- SIGHUP ---- */

static int reload_read(void *ctx, void **ret, struct err *err)
{
	const struct program *p = ctx;

	return daemon_read_again(p->conf, ret, err);
}

static void reload_take(void *ctx, void *read)
{
	struct program *p = ctx;
	AUTO(conf) struct conf *c = read;
	const struct link_limits limits = daemon_link_limits(c);

	listener_limits(p->listener, &limits);
	conf_changes_fixed(p->conf, c, conf_changes_say_fixed, NULL);
	log_info("configuration read again");
}

static const struct reloader_ops reload_ops = {
	.read = reload_read,
	.take = reload_take,
	.kept = conf_changes_kept,
};

static void on_signal(uv_signal_t *handle, int number)
{
	struct program *p = handle->data;

	log_info("%s: stopping", strsignal(number));
	supervisor_stopping(p->supervisor);
	reloader_close(TAKE_PTR(p->reloader), daemon_drop);
	supervisor_close(TAKE_PTR(p->supervisor));
	disks_close(TAKE_PTR(p->disks));
	monitor_close(TAKE_PTR(p->monitor));
	listener_close(TAKE_PTR(p->listener));
	tls_watch_close(TAKE_PTR(p->watch));
	uv_close((uv_handle_t *)&p->term, NULL);
	uv_close((uv_handle_t *)&p->interrupt, NULL);
	uv_close((uv_handle_t *)&p->sync, NULL);
	(void)signal(SIGHUP, SIG_IGN); /* nothing is read again any more */
}

static int open_storage(struct program *p, const struct conf *c, struct err *err)
{
	struct storage_backend backend;
	struct file_writer_config file = {
		.path = c->events,
		.file_bytes = (uint64_t)c->limit[CONF_EVENT_FILE_BYTES],
		.files = (uint64_t)c->limit[CONF_EVENT_FILES],
	};
	int r;

	r = file_writer_open(&backend, &file, err);
	if (r < 0)
		return r;
	r = storage_new(&p->storage, &backend, err);
	if (r < 0)
		backend.close(backend.self);
	return r;
}

static int start(struct program *p, const struct conf *c, struct err *err)
{
	struct link_setup setup = {
		.loop = &p->loop,
		.ops = &ops,
		.ctx = p,
		.limits = daemon_link_limits(c),
	};
	int r;

	r = supervisor_new(&p->supervisor, &p->loop, err);
	if (r < 0)
		return r;
	r = daemon_identity(&p->tls, c, err);
	if (r < 0)
		return r;
	if (tls_context_role(p->tls) != WIRE_ROLE_LOGREPO)
		return err_set(err, -EINVAL, "%s belongs to %s %s, this is logrepo %s", c->pki.cert,
			       wire_role_name(tls_context_role(p->tls)), tls_context_name(p->tls),
			       c->name);
	r = open_storage(p, c, err);
	if (r < 0)
		return r;
	setup.tls = p->tls;
	r = listener_new(&p->listener, &setup, c->listen,
			 LINK_ROLE(WIRE_ROLE_MUD) | LINK_ROLE(WIRE_ROLE_AP) |
				 LINK_ROLE(WIRE_ROLE_ES) | LINK_ROLE(WIRE_ROLE_OPERATOR),
			 err);
	if (r < 0)
		return r;
	p->conf = c;
	p->events = c->events;
	p->since = common_metrics_now();
	r = monitor_new(&p->monitor, &p->loop, c->monitor_listen, &monitor_ops, p, err);
	if (r == 0)
		r = watch_disk(p, err);
	if (r == 0)
		r = tls_watch_new(&p->watch, &p->loop, p->tls, on_certificates, p, err);
	if (r == 0)
		r = reloader_new(&p->reloader, &p->loop, p->supervisor, &reload_ops, p, err);
	if (r < 0) {
		disks_close(TAKE_PTR(p->disks));
		monitor_close(TAKE_PTR(p->monitor));
		listener_close(TAKE_PTR(p->listener));
	}
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
		supervisor_close(TAKE_PTR(p.supervisor));
	} else {
		(void)uv_signal_init(&p.loop, &p.term);
		(void)uv_signal_init(&p.loop, &p.interrupt);
		(void)uv_timer_init(&p.loop, &p.sync);
		p.term.data = &p;
		p.interrupt.data = &p;
		p.sync.data = &p;
		(void)uv_signal_start(&p.term, on_signal, SIGTERM);
		(void)uv_signal_start(&p.interrupt, on_signal, SIGINT);
		(void)uv_timer_start(&p.sync, on_sync, SYNC_MS, SYNC_MS);
		log_info("serving at %s, events go to %s", c->listen, c->events);
		supervisor_ready(p.supervisor);
	}
	(void)uv_run(&p.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&p.loop);
	storage_free(p.storage);
	tls_context_free(p.tls);
	return r;
}

static void check_host(const struct conf *c, struct checklist *list)
{
	const struct tls_files files = daemon_tls_files(c);
	auto_free char *dir = strdup(c->events);

	host_check_certificate(list, &files, c->name, c->role);
	host_check_listen(list, "listen", c->listen);
	host_check_listen(list, "monitor_listen", c->monitor_listen);
	checklist_clock(list);
	if (dir)
		checklist_directory(list, "events", dirname(dir), EVENTS_ROOM);
}

int main(int argc, char **argv)
{
	const struct options options = {
		.program = "baton-logrepo",
		.summary = "event log repository of Baton",
		.role = WIRE_ROLE_LOGREPO,
		.check_host = check_host,
	};

	return daemon_main(&options, argc, argv, run);
}
