/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/emulated_user.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "mud/answer_checker.h"
#include "mud/direct_client.h"
#include "mud/service_client.h"
#include "net/tls.h"
#include "report/log_reporter.h"

#define PROGRESS_TTY_MS   100
#define PROGRESS_PLAIN_MS 1000

#define TIMERS 3

struct emulated_user {
	uv_loop_t *loop;
	struct service_client client;
	struct log_reporter *reporter;
	struct generator *generator;
	struct answer_checker *checker;
	struct run_record *record;
	struct mobility_management plan;
	struct mobility_model *model;
	uint64_t seed;
	struct run_move move[MOBILITY_MOVES_MAX + 1];
	size_t moves;
	char node[NAME_SIZE];
	char service[NAME_SIZE];
	char lost_reason[WIRE_REASON_SIZE];
	uint64_t started;
	uint64_t deadline_ms;
	uv_timer_t deadline; /* also ends the run from the event loop, see end_soon() */
	uv_timer_t by_time;  /* moves that wait for a time */
	uv_timer_t progress;
	bool direct;
	uint64_t patience_ms;
	bool tty;
	bool show;
	bool ending;
	bool good;
	int open; /* timers and client: the run has ended when all are closed */
	void (*ended)(void *ctx, bool good);
	void *ctx;
};

static void end_run(struct emulated_user *u);

/* ---- progress ---- */

static void show_progress(struct emulated_user *u, const char *end)
{
	struct answer_totals t = answer_checker_totals(u->checker);
	bool good = t.chain_ok && t.state_ok && !t.wrong;

	(void)fprintf(stderr, "%ssent %" PRIu64 "  answered %" PRIu64 "  at %s  last %.1f ms%s%s%s",
		      u->tty ? "\r" : "", t.requests, t.answered, service_client_ap(&u->client),
		      run_record_last_ms(u->record), good ? "" : "  STATE DIFFERS",
		      u->tty ? "\033[K" : "", end);
}

static void on_progress(uv_timer_t *timer)
{
	struct emulated_user *u = timer->data;

	show_progress(u, u->tty ? "" : "\n");
}

/* A line of its own for the log, which must not be glued to the progress line */
static void leave_progress_line(const struct emulated_user *u)
{
	if (u->show && u->tty)
		(void)fputs("\r\033[K", stderr);
}

/* ---- the end ---- */

static void on_deadline(uv_timer_t *timer)
{
	end_run(timer->data);
}

/* Ends the run in the next turn, for callers that cannot have everything released under them */
static void end_soon(struct emulated_user *u)
{
	if (!u->ending)
		(void)uv_timer_start(&u->deadline, on_deadline, 0, 0);
}

static void one_closed(struct emulated_user *u)
{
	if (--u->open > 0)
		return;
	void (*ended)(void *ctx, bool good) = u->ended;
	void *ctx = u->ctx;
	bool good = u->good;

	answer_checker_free(u->checker);
	run_record_free(u->record);
	free(u);
	if (ended)
		ended(ctx, good);
}

static void on_timer_closed(uv_handle_t *handle)
{
	one_closed(handle->data);
}

static void on_client_closed(void *ctx)
{
	one_closed(ctx);
}

static void close_all(struct emulated_user *u)
{
	u->ending = true;
	u->open = TIMERS + 1;
	uv_close((uv_handle_t *)&u->deadline, on_timer_closed);
	uv_close((uv_handle_t *)&u->by_time, on_timer_closed);
	uv_close((uv_handle_t *)&u->progress, on_timer_closed);
	generator_close(u->generator);
	service_client_close(&u->client, on_client_closed, u);
}

static void report(struct emulated_user *u)
{
	struct run_summary s = {
		.node = u->node,
		.session = service_client_session(&u->client),
		.service = u->service,
		.totals = answer_checker_totals(u->checker),
		.waited = generator_waited(u->generator),
		.lost_reason = u->lost_reason,
		.move = u->move,
		.moves = u->moves,
		.seed = u->seed,
		.movement = u->model ? mobility_model_text(u->model) : "script",
		.direct = u->direct,
		.patience_ms = u->patience_ms,
	};
	struct run_times t;
	struct err err = { 0 };

	u->good = answer_totals_good(&s.totals) && generator_done(u->generator);
	if (run_record_finish(u->record, &s, &t, &err) < 0) {
		log_error("%s", err.text);
		u->good = false;
	}
	log_info("%" PRIu64 " requests: %" PRIu64 " answered, %" PRIu64 " lost, %" PRIu64
		 " duplicated, %" PRIu64 " reordered, %" PRIu64 " wrong, %" PRIu64
		 " restarts, chain %s; "
		 "response ms: mean %.1f p50 %.1f p99 %.1f max %.1f",
		 s.totals.requests, s.totals.answered, s.totals.lost, s.totals.duplicated,
		 s.totals.reordered, s.totals.wrong, s.totals.restarted,
		 s.totals.chain_ok ? "ok" : "BROKEN", t.mean, t.p50, t.p99, t.max);
}

static void end_run(struct emulated_user *u)
{
	if (u->ending)
		return;
	if (u->show)
		show_progress(u, "\n");
	if (!generator_done(u->generator) && !u->lost_reason[0])
		log_error("ended after %" PRIu64 " requests: %s", generator_sent(u->generator),
			  u->started  ? "stopped, or no answers for too long"
			  : u->direct ? "no connection to the service came about"
				      : "no access point has taken the device");
	answer_checker_end(u->checker);
	report(u);
	close_all(u);
}

void emulated_user_stop(struct emulated_user *u)
{
	end_soon(u);
}

/* ---- moving ---- */

static void move_to(struct emulated_user *u, const char *ap, uint64_t sent, const char *detail)
{
	struct run_move *m = &u->move[u->moves];
	struct err err = { 0 };

	if (name_equal(service_client_ap(&u->client), ap))
		return;
	if (u->moves == ARRAY_SIZE(u->move)) {
		leave_progress_line(u);
		log_error("move to %s: at most %d moves in a run", ap, MOBILITY_MOVES_MAX);
		end_soon(u);
		return;
	}
	if (service_client_move(&u->client, ap, &err) < 0) {
		leave_progress_line(u);
		log_error("%s", err.text);
		return;
	}
	*m = (struct run_move){ .after_request = sent, .moved_us = realtime_us() };
	(void)snprintf(m->ap, sizeof(m->ap), "%s", ap);
	log_reporter_event_at(u->reporter, m->moved_us, "MOVE", service_client_session(&u->client),
			      sent, "ap=%s old_ap=%s%s%s", ap, m[-1].ap, *detail ? " " : "",
			      detail);
	u->moves++;
}

static void on_by_time(uv_timer_t *timer);

/* Handles the signals that the device heard on its way until now */
static void listen_until(struct emulated_user *u, uint64_t sent, uint64_t elapsed)
{
	struct mobility_news news;

	while (!u->ending && mobility_model_step(u->model, elapsed, &news)) {
		bool heard = news.what == AP_CHOICE_REGAINED;

		if (news.what == AP_CHOICE_MOVE) {
			move_to(u, news.ap, sent, news.detail);
			continue;
		}
		/* the lab's cable remains: the emulated link is kept, and that it is no more said */
		leave_progress_line(u);
		log_info("%s is %s: %s", news.ap, heard ? "heard again" : "not heard any more",
			 news.detail);
		log_reporter_event(u->reporter, heard ? "SIGNAL REGAINED" : "SIGNAL LOST",
				   service_client_session(&u->client), sent, "ap=%s %s", news.ap,
				   news.detail);
	}
}

/* Makes the moves that are due, and waits for the next one that time brings */
static void move_if_due(struct emulated_user *u, uint64_t sent)
{
	uint64_t elapsed = uv_now(u->loop) - u->started;
	const struct mobility_move *m;

	while ((m = mobility_management_step(&u->plan, sent, elapsed)))
		move_to(u, m->ap, sent, "");
	if (u->model)
		listen_until(u, sent, elapsed);
	uint64_t due = u->model ? mobility_model_due(u->model) : mobility_management_due(&u->plan);
	if (due != UINT64_MAX && !u->ending)
		(void)uv_timer_start(&u->by_time, on_by_time, due - elapsed, 0);
}

static void on_by_time(uv_timer_t *timer)
{
	struct emulated_user *u = timer->data;

	move_if_due(u, generator_sent(u->generator));
}

/* ---- requests and answers ---- */

/* A request has its outcome: the next may go, or that was all */
static void go_on(struct emulated_user *u)
{
	generator_resume(u->generator);
	if (generator_done(u->generator) && !service_client_unanswered(&u->client))
		end_run(u);
}

static void on_done(void *ctx, const struct wire_data *answer)
{
	struct emulated_user *u = ctx;
	struct answer_verdict v;

	answer_checker_answer(u->checker, answer, &v);
	run_record_answer(u->record, answer, &v);
	go_on(u);
}

static void on_given_up(void *ctx, uint64_t number, uint32_t connection)
{
	struct emulated_user *u = ctx;

	answer_checker_given_up(u->checker, number, connection);
	run_record_given_up(u->record, number);
	go_on(u);
}

static bool send_request(void *ctx, uint64_t number, const char *payload, size_t len)
{
	struct emulated_user *u = ctx;
	struct err err = { 0 };
	uint64_t got = 0;

	int r = service_client_request(&u->client, payload, len, on_done, u, &got, &err);
	if (r == CLIENT_E_FULL || r == CLIENT_E_LOST)
		return false;
	run_record_request(u->record, number, payload, len, service_client_ap(&u->client));
	if (r == 0)
		r = answer_checker_request(u->checker, number, payload, len, &err);
	if (r < 0) {
		leave_progress_line(u);
		log_error("request %" PRIu64 ": %s", number, err.text);
		end_soon(u);
		return false;
	}
	(void)uv_timer_start(&u->deadline, on_deadline, u->deadline_ms, 0);
	move_if_due(u, number);
	return true;
}

/* ---- callbacks of the client ---- */

static void on_associated(void *ctx, const char *ap)
{
	struct emulated_user *u = ctx;

	if (u->moves && name_equal(u->move[u->moves - 1].ap, ap) &&
	    !u->move[u->moves - 1].associated_us)
		u->move[u->moves - 1].associated_us = realtime_us();
	leave_progress_line(u);
	log_info("associated with %s", ap);
	if (u->started)
		return;
	u->started = uv_now(u->loop);
	generator_start(u->generator);
	move_if_due(u, 0);
}

static void on_lost(void *ctx, enum wire_status status, const char *reason)
{
	struct emulated_user *u = ctx;

	(void)snprintf(u->lost_reason, sizeof(u->lost_reason), "%s: %s", wire_status_name(status),
		       reason);
	leave_progress_line(u);
	log_error("the session is lost: %s", u->lost_reason);
	end_run(u);
}

static void on_unreachable(void *ctx, const char *ap, const char *reason)
{
	leave_progress_line(ctx);
	log_info("%s: %s", ap, reason);
}

static const struct client_ops client_ops = {
	.associated = on_associated,
	.lost = on_lost,
	.unreachable = on_unreachable,
};

/* ---- the beginning ---- */

/* Makes the way to the service: through Baton, or straight there */
static int make_client(struct emulated_user *u, const struct emulated_user_setup *setup,
		       struct err *err)
{
	struct direct_client_setup direct = { .client = setup->client,
					      .patience_ms = setup->patience_ms,
					      .given_up = on_given_up };
	struct direct_client *straight;
	struct client *baton;
	int r;

	direct.client.ops = &client_ops;
	direct.client.ctx = u;
	if (setup->direct) {
		r = direct_client_new(&straight, &direct, err);
		if (r == 0)
			u->client = service_client_direct(straight);
	} else {
		r = client_new(&baton, &direct.client, err);
		if (r == 0)
			u->client = service_client_by_baton(baton);
	}
	return r;
}

static int start(struct emulated_user *u, const struct emulated_user_setup *setup, struct err *err)
{
	int r;

	r = answer_checker_new(&u->checker, setup->service_seed, setup->direct, err);
	if (r == 0)
		r = run_record_new(&u->record, setup->out, setup->requests.count, err);
	if (r == 0)
		r = generator_new(&u->generator, u->loop, &setup->requests, send_request, u, err);
	if (r == 0)
		r = make_client(u, setup, err);
	if (r == 0)
		r = service_client_move(&u->client, setup->start_ap, err);
	return r;
}

/* A device moves only between access points it knows: better said now than in the middle */
static int check_plan(const struct emulated_user_setup *setup, struct err *err)
{
	for (size_t i = 0; i < setup->plan->count; i++) {
		const struct mobility_move *m = &setup->plan->move[i];
		bool known = false;

		for (size_t k = 0; k < setup->client.ap_count; k++)
			known = known || name_equal(setup->client.aps[k].name, m->ap);
		if (!known)
			return err_set(err, -EINVAL, "move to %s: no such access point", m->ap);
	}
	return 0;
}

int emulated_user_new(struct emulated_user **ret, const struct emulated_user_setup *setup,
		      struct err *err)
{
	uint64_t every;
	int r;

	r = check_plan(setup, err);
	if (r < 0)
		return r;
	struct emulated_user *u = calloc(1, sizeof(*u));
	if (!u)
		return err_set(err, -ENOMEM, "emulated user");
	u->loop = setup->client.loop;
	u->reporter = setup->client.reporter;
	u->plan = *setup->plan;
	u->model = setup->model;
	u->seed = setup->requests.seed;
	u->deadline_ms = setup->deadline_ms;
	u->direct = setup->direct;
	u->patience_ms = setup->patience_ms;
	u->show = setup->progress;
	u->tty = isatty(STDERR_FILENO);
	(void)uv_timer_init(u->loop, &u->deadline); /* cannot fail */
	(void)uv_timer_init(u->loop, &u->by_time);
	(void)uv_timer_init(u->loop, &u->progress);
	u->deadline.data = u;
	u->by_time.data = u;
	u->progress.data = u;
	r = start(u, setup, err);
	if (r < 0) {
		close_all(u);
		return r;
	}
	u->ended = setup->ended;
	u->ctx = setup->ctx;
	(void)snprintf(u->node, sizeof(u->node), "%s", tls_context_name(setup->client.tls));
	(void)snprintf(u->service, sizeof(u->service), "%s", setup->client.service);
	u->move[0] = (struct run_move){ .moved_us = realtime_us() };
	(void)snprintf(u->move[0].ap, NAME_SIZE, "%s", setup->start_ap);
	u->moves = 1;
	(void)uv_timer_start(&u->deadline, on_deadline, u->deadline_ms, 0);
	if (u->show) {
		every = u->tty ? PROGRESS_TTY_MS : PROGRESS_PLAIN_MS;
		(void)uv_timer_start(&u->progress, on_progress, every, every);
	}
	*ret = u;
	return 0;
}
