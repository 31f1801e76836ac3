/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-mud - emulated mobile user: read the configuration, build the objects, run the loop
 *
 * Exit status: 0 if every request was answered and the answers tell of one undamaged history, 1 if
 * not, 2 for mistakes in command line and configuration.
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "core/common/policy.h"
#include "daemon/daemon.h"
#include "mud/direct_client.h"
#include "mud/emulated_user.h"
#include "mud/mobility_model.h"
#include "mud/movement.h"
#include "net/address.h"
#include "net/tls.h"
#include "net/tls_watch.h"
#include "report/log_reporter.h"

#define EXIT_USAGE      2
#define TRACE_BYTES_MAX (8 << 20)

/* struct run - Values of the command line */
struct run {
	struct generator_plan requests;
	struct mobility_management plan;
	const char *service_seed;
	const char *out;
	uint64_t deadline_s;
	bool progress;
	const char *direct[CONF_LIST_MAX]; /* where the service is, for each access point */
	size_t directs;
	uint64_t patience_ms;
	const char *trace;
	bool random;
	struct movement_waypoints waypoints;
};

/* struct program - All that lives while the loop runs */
struct program {
	uv_loop_t loop;
	uv_signal_t term;
	uv_signal_t interrupt;
	struct tls_context *tls;
	struct tls_watch *watch;
	struct log_reporter *reporter;
	struct emulated_user *user;
	struct mobility_model *model;
	bool good;
};

/* ---- command line ---- */

static int number(uint64_t *to, const char *text, uint64_t min, uint64_t max, const char *option,
		  struct err *err)
{
	char *end;

	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || v < min || v > max)
		return err_set(err, -EINVAL, "--%s %.40s: want %llu to %llu", option, text,
			       (unsigned long long)min, (unsigned long long)max);
	*to = v;
	return 0;
}

static int set_requests(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return number(&run->requests.count, value, 1, GENERATOR_REQUESTS_MAX, "requests", err);
}

static int set_interval(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return number(&run->requests.interval_ms, value, 0, 3600000, "interval-ms", err);
}

static int set_work(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;
	uint64_t v = 0;
	int r = number(&v, value, 0, GENERATOR_WORK_MAX, "work-bytes", err);

	run->requests.work = (size_t)v;
	return r;
}

static int set_seed(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return number(&run->requests.seed, value, 0, UINT64_MAX, "seed", err);
}

static int set_verify(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	(void)value;
	(void)err;
	run->requests.verify = true;
	return 0;
}

static int set_move(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return mobility_management_add(&run->plan, value, err);
}

static int set_deadline(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return number(&run->deadline_s, value, 1, 86400, "deadline-s", err);
}

static int set_out(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	(void)err;
	run->out = value;
	return 0;
}

static int set_service_seed(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	(void)err;
	run->service_seed = value;
	return 0;
}

static int set_progress(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	(void)value;
	(void)err;
	run->progress = true;
	return 0;
}

static int set_direct(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;
	struct address a;
	int r = address_parse(&a, value, err);

	if (r < 0)
		return err_wrap(err, r, "--direct");
	if (run->directs == CONF_LIST_MAX)
		return err_set(err, -EINVAL, "--direct %.60s: at most %d", value, CONF_LIST_MAX);
	run->direct[run->directs++] = value;
	return 0;
}

static int set_patience(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return number(&run->patience_ms, value, 0, DIRECT_CLIENT_PATIENCE_MS_MAX, "patience-ms",
		      err);
}

static int set_trace(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	(void)err;
	run->trace = value;
	return 0;
}

/* Two numbers with @between between them, such as 200x50 */
static int two_numbers(double *a, double *b, const char *text, char between, const char *option,
		       struct err *err)
{
	char *end;

	*a = strtod(text, &end);
	if (end != text && *end == between) {
		text = end + 1;
		*b = strtod(text, &end);
		if (end != text && !*end)
			return 0;
	}
	return err_set(err, -EINVAL, "--%s %.40s: want two numbers with '%c' between them", option,
		       text, between);
}

static int set_random_waypoint(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	run->random = true;
	return two_numbers(&run->waypoints.width, &run->waypoints.height, value, 'x',
			   "random-waypoint", err);
}

static int set_speed(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return two_numbers(&run->waypoints.speed_min, &run->waypoints.speed_max, value, ':',
			   "speed", err);
}

static int set_pause(void *ctx, const char *value, struct err *err)
{
	struct run *run = ctx;

	return number(&run->waypoints.pause_ms, value, 0, 86400000, "pause-ms", err);
}

static const struct options_extra extra[] = {
	{ "requests", "N", "requests to send (100)", set_requests },
	{ "interval-ms", "MS", "time from one to the next (100); 0: as fast as answers allow",
	  set_interval },
	{ "move", "N:AP", "after request N (or after TIMEms) move to AP; may be repeated",
	  set_move },
	{ "work-bytes", "N", "bytes of work in a request (32)", set_work },
	{ "seed", "N", "makes the work of the requests, a random way, shadowing (1)", set_seed },
	{ "verify", NULL, "have the service verify its state in the last request", set_verify },
	{ "service-seed", "TEXT", "BATON_SEED of the service (baton)", set_service_seed },
	{ "out", "DIR", "write responses.csv, requests.txt, answers.txt, mud.json there", set_out },
	{ "deadline-s", "S", "give up when answers are missing for this long (60)", set_deadline },
	{ "progress", NULL, "show how it goes", set_progress },
	{ "trace", "FILE", "move along positions, lines of time_s,x_m,y_m (docs/mobility.md)",
	  set_trace },
	{ "random-waypoint", "WxH", "move at random through W x H metres; --seed makes the way",
	  set_random_waypoint },
	{ "speed", "MIN:MAX", "--random-waypoint: metres a second (1:2)", set_speed },
	{ "pause-ms", "MS", "--random-waypoint: rest at each waypoint (2000)", set_pause },
	{ "direct", "IP:PORT",
	  "no Baton: the service as reached from the first AP; repeat for "
	  "each further one",
	  set_direct },
	{ "patience-ms", "MS", "--direct: a request waits so long for a connection (1000)",
	  set_patience },
	{ 0 },
};

/* ---- running ---- */

static struct policy policy_of(const struct conf *c)
{
	struct policy p = policy_default(); /* a device has no use for most of them */

	p.retry_ms = (uint64_t)c->limit[CONF_RETRY_MS];
	p.request_events = c->request_events;
	return p;
}

static void close_rest(struct program *p)
{
	tls_watch_close(TAKE_PTR(p->watch));
	log_reporter_close(TAKE_PTR(p->reporter), NULL, NULL);
	if (p->term.data)
		uv_close((uv_handle_t *)&p->term, NULL);
	p->model = mobility_model_free(p->model);
	if (p->interrupt.data)
		uv_close((uv_handle_t *)&p->interrupt, NULL);
}

static void on_certificates(void *ctx, enum tls_watch_word word, const char *text)
{
	struct program *p = ctx;

	log_reporter_certificates(p->reporter, p->tls, word, text);
}

static void on_ended(void *ctx, bool good)
{
	struct program *p = ctx;

	p->user = NULL;
	p->good = good;
	close_rest(p);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct program *p = handle->data;

	log_info("%s: stopping", strsignal(signum));
	if (p->user)
		emulated_user_stop(p->user);
}

static_assert(CONF_LIST_MAX <= CONF_PEERS_MAX, "start() has room for all");
static_assert(CONF_LIST_MAX <= MOBILITY_APS_MAX, "the model has room for all");

/* The access points; with --direct, the service as it is reached from there. Return: how many */
static size_t list_aps(struct client_ap *aps, const struct conf *c, const struct run *run)
{
	size_t count = 0;

	if (run->directs) {
		for (; count < run->directs; count++)
			aps[count] = (struct client_ap){ c->ap[count], run->direct[count] };
		return count;
	}
	for (size_t i = 0; i < c->peers; i++) {
		if (c->peer[i].role == WIRE_ROLE_AP)
			aps[count++] = (struct client_ap){ c->peer[i].name, c->peer[i].address };
	}
	return count;
}

/* Reads a whole file of positions. Return: 0, @text for the caller to free, or negative */
static int read_trace(char **text, const char *path, struct err *err)
{
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, -errno, "read trace %s", path);
	auto_free char *bytes = malloc(TRACE_BYTES_MAX + 1);
	if (!bytes)
		return err_set(err, -ENOMEM, "read trace %s", path);
	size_t len = fread(bytes, 1, TRACE_BYTES_MAX + 1, f);
	if (ferror(f))
		return err_set(err, -EIO, "read trace %s", path);
	if (len > TRACE_BYTES_MAX)
		return err_set(err, -EINVAL, "trace %s: more than %d bytes", path, TRACE_BYTES_MAX);
	if (memchr(bytes, '\0', len))
		return err_set(err, -EINVAL, "trace %s: is no text", path);
	bytes[len] = '\0';
	*text = TAKE_PTR(bytes);
	return 0;
}

static int make_movement(struct movement **ret, const struct run *run, struct err *err)
{
	struct movement_waypoints waypoints = run->waypoints;
	char *text = NULL;
	int r;

	waypoints.seed = run->requests.seed;
	if (run->random)
		return movement_random(ret, &waypoints, err);
	r = read_trace(&text, run->trace, err);
	if (r == 0)
		r = movement_trace(ret, run->trace, text, err);
	free(text);
	return r;
}

/* Where the access points stand that the device may move to */
static int place_aps(struct mobility_ap *aps, const struct conf *c, struct err *err)
{
	for (size_t i = 0; i < c->aps; i++) {
		const struct conf_peer *p = conf_peer_find(c, c->ap[i]);

		if (!p->placed)
			return err_set(err, -EINVAL,
				       "peer \"%s\": where does it stand? --trace and "
				       "--random-waypoint need its x and y, in metres",
				       p->name);
		aps[i] = (struct mobility_ap){ p->name, { p->x, p->y } };
	}
	return 0;
}

/* The model, if one was asked for */
static int make_model(struct program *p, const struct conf *c, const struct run *run,
		      struct err *err)
{
	const struct conf_radio *r = &c->radio;
	struct mobility_ap aps[CONF_LIST_MAX];
	struct movement *made = NULL;
	int result;

	if (!run->trace && !run->random)
		return 0;
	if (run->plan.count || (run->trace && run->random))
		return err_set(err, -EINVAL,
			       "--move, --trace, --random-waypoint: one of them at a time");
	result = place_aps(aps, c, err);
	if (result == 0)
		result = make_movement(&made, run, err);
	if (result < 0)
		return result;
	AUTO(movement) struct movement *movement = made;
	const struct mobility_setup setup = {
		.ap = aps,
		.aps = c->aps,
		.radio = { r->transmit_dbm, r->reference_loss_db, r->exponent, r->shadowing_db,
			   r->decorrelation_m, run->requests.seed },
		.rules = { r->hysteresis_db, r->sensitivity_dbm, (uint64_t)r->dwell_ms },
		.movement = movement,
	};
	result = mobility_model_new(&p->model, &setup, err);
	if (result == 0)
		(void)TAKE_PTR(movement);
	return result;
}

static int check_directs(const struct conf *c, const struct run *run, struct err *err)
{
	if (run->directs > c->aps)
		return err_set(err, -EINVAL,
			       "--direct was given %zu times, but there are %zu access points: see "
			       "ap in the configuration",
			       run->directs, c->aps);
	if (run->directs && run->directs < c->aps && (run->trace || run->random))
		return err_set(err, -EINVAL,
			       "--direct was given %zu times, but the device can come to each of "
			       "%zu access points",
			       run->directs, c->aps);
	return 0;
}

static int start(struct program *p, const struct conf *c, const struct run *run, struct err *err)
{
	const struct policy policy = policy_of(c);
	struct client_ap aps[CONF_PEERS_MAX];
	int r;

	r = check_directs(c, run, err);
	if (r == 0)
		r = make_model(p, c, run, err);
	if (r < 0)
		return r;
	r = daemon_identity(&p->tls, c, err);
	if (r < 0)
		return r;
	r = daemon_reporter(&p->reporter, &p->loop, p->tls, c, err);
	if (r < 0)
		return r;
	const struct emulated_user_setup setup = {
		.client = { .loop = &p->loop,
			    .tls = p->tls,
			    .service = c->uses,
			    .policy = &policy,
			    .limits = { .queue_bytes = (size_t)c->limit[CONF_QUEUE_BYTES],
					.handshake_ms = (uint32_t)c->limit[CONF_HANDSHAKE_MS],
					.dead_ms = (uint32_t)c->limit[CONF_DEAD_MS] },
			    .aps = aps,
			    .ap_count = list_aps(aps, c, run),
			    .reporter = p->reporter },
		.direct = run->directs > 0,
		.patience_ms = run->patience_ms,
		.start_ap = p->model ? mobility_model_ap(p->model) : c->ap[0],
		.requests = run->requests,
		.plan = &run->plan,
		.model = p->model,
		.service_seed = run->service_seed,
		.out = run->out,
		.deadline_ms = run->deadline_s * 1000,
		.progress = run->progress,
		.ended = on_ended,
		.ctx = p,
	};
	r = daemon_signals(&p->loop, &p->term, &p->interrupt, on_signal, p, err);
	if (r < 0)
		return r;
	r = tls_watch_new(&p->watch, &p->loop, p->tls, on_certificates, p, err);
	if (r < 0)
		return r;
	return emulated_user_new(&p->user, &setup, err);
}

static int run_loop(const struct conf *c, const struct run *run, bool *good, struct err *err)
{
	struct program p = { 0 };
	int r;

	r = uv_loop_init(&p.loop);
	if (r < 0)
		return err_set(err, r, "event loop");
	r = start(&p, c, run, err);
	if (r < 0)
		close_rest(&p);
	(void)uv_run(&p.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&p.loop);
	tls_context_free(p.tls);
	*good = p.good;
	return r;
}

int main(int argc, char **argv)
{
	struct run run = {
		.requests = { .count = 100, .interval_ms = 100, .work = 32, .seed = 1 },
		.service_seed = "baton",
		.deadline_s = 60,
		.patience_ms = DIRECT_CLIENT_PATIENCE_MS,
		.waypoints = { .speed_min = 1, .speed_max = 2, .pause_ms = 2000 },
	};
	const struct options options = {
		.program = "baton-mud",
		.summary = "emulated mobile user: moves, sends requests, checks the answers",
		.role = WIRE_ROLE_MUD,
		.extra = extra,
		.ctx = &run,
	};
	struct conf *loaded = NULL;
	struct err err = { 0 };
	bool good = false;
	int r;

	log_name("baton-mud");
	r = options_load(&options, argc, argv, &loaded, &err);
	if (r > 0)
		return r == OPTIONS_E_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
	AUTO(conf) struct conf *c = loaded;
	if (r == 0) {
		char name[2 * NAME_SIZE];

		(void)snprintf(name, sizeof(name), "baton-mud %s", c->name);
		log_name(name);
		(void)signal(SIGPIPE, SIG_IGN);
		r = run_loop(c, &run, &good, &err);
	}
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
