/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/offloading_request_generator.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/text.h"
#include "mud/seeded.h"

/*
 * @due counts the requests whose time has come, by the clock and not by the number of timer calls:
 * a loop that was late makes up for it.
 */
struct generator {
	struct uv_loop_s *loop;
	struct generator_plan plan;
	bool (*send)(void *ctx, uint64_t number, const char *payload, size_t len);
	void *ctx;
	uv_timer_t timer;
	uint64_t started;
	uint64_t due;
	uint64_t sent;
	uint64_t waited;
	uint64_t blocked_through; /* requests up to this one were due when sending stopped */
	bool running;
};

size_t generator_payload(char *to, const struct generator_plan *plan, uint64_t number)
{
	uint64_t state = plan->seed ^ number * 0xd6e8feb86659fd93u;
	uint8_t bytes[8];
	int n;

	if (plan->verify && number == plan->count)
		return (size_t)sprintf(to, "{\"seq\":%" PRIu64 ",\"op\":\"verify\"}", number);
	n = sprintf(to, "{\"seq\":%" PRIu64 ",\"work\":\"", number);
	char *at = to + n;
	for (size_t left = plan->work; left; left -= left < 8 ? left : 8) {
		size_t take = left < 8 ? left : 8;

		put_be64(bytes, seeded_next(&state));
		hex_encode(at, bytes, take);
		at += 2 * take;
	}
	memcpy(at, "\"}", 3);
	return (size_t)(at + 2 - to);
}

int generator_new(struct generator **ret, struct uv_loop_s *loop, const struct generator_plan *plan,
		  bool (*send)(void *ctx, uint64_t number, const char *payload, size_t len),
		  void *ctx, struct err *err)
{
	if (plan->count < 1 || plan->count > GENERATOR_REQUESTS_MAX)
		return err_set(err, -EINVAL, "number of requests: want 1 to %d",
			       GENERATOR_REQUESTS_MAX);
	if (plan->work > GENERATOR_WORK_MAX)
		return err_set(err, -EINVAL, "work in a request: at most %d bytes",
			       GENERATOR_WORK_MAX);
	struct generator *g = calloc(1, sizeof(*g));
	if (!g)
		return err_set(err, -ENOMEM, "request generator");
	g->loop = loop;
	g->plan = *plan;
	g->send = send;
	g->ctx = ctx;
	(void)uv_timer_init(loop, &g->timer); /* cannot fail */
	g->timer.data = g;
	*ret = g;
	return 0;
}

/* Sends the requests that are due, as far as they are taken; @send must not close the generator */
static void send_due(struct generator *g)
{
	char payload[GENERATOR_PAYLOAD_MAX];

	while (g->sent < g->due) {
		size_t len = generator_payload(payload, &g->plan, g->sent + 1);

		if (!g->send(g->ctx, g->sent + 1, payload, len)) {
			g->blocked_through = g->due;
			return;
		}
		g->sent++;
		if (g->sent <= g->blocked_through)
			g->waited++;
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct generator *g = timer->data;
	uint64_t passed = uv_now(g->loop) - g->started;
	uint64_t interval = g->plan.interval_ms;

	g->due = interval ? passed / interval + 1 : g->plan.count;
	if (g->due >= g->plan.count)
		g->due = g->plan.count;
	else
		(void)uv_timer_start(&g->timer, on_timer, g->due * interval - passed, 0);
	send_due(g);
}

void generator_start(struct generator *g)
{
	if (g->running)
		return;
	g->running = true;
	g->started = uv_now(g->loop);
	(void)uv_timer_start(&g->timer, on_timer, 0, 0);
}

void generator_resume(struct generator *g)
{
	if (g->sent < g->due)
		send_due(g);
}

uint64_t generator_sent(const struct generator *g)
{
	return g->sent;
}

uint64_t generator_waited(const struct generator *g)
{
	return g->waited;
}

bool generator_done(const struct generator *g)
{
	return g->sent == g->plan.count;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void generator_close(struct generator *g)
{
	if (g)
		uv_close((uv_handle_t *)&g->timer, on_closed);
}
