/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "between.h"
#include "net/link.h"
#include "report/log_reporter.h"
#include "test_pki.h"
#include "wait_until.h"

#define LIMIT_MS 20000

/* A repository that counts */
struct repository {
	struct listener *listener;
	struct link *link;
	uint64_t events;
	uint64_t dropped;
	uint64_t last;
	bool clock_offset;
	bool ordered;
	int down;
};

static struct test_pki pki;
static struct tls_context *node, *logrepo;
static uv_loop_t loop;
static bool closed;
static char told[256];

static void on_up(void *ctx, struct link *l)
{
	((struct repository *)ctx)->link = l;
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct repository *r = ctx;

	(void)l;
	assert_int_equal(m->type, WIRE_EVENTS);
	r->dropped += m->events.dropped;
	for (uint32_t i = 0; i < m->events.count; i++) {
		const struct wire_event *e = &m->events.event[i];

		assert_string_equal(e->node, "EdgeServer-1");
		assert_true(e->time_us > 1600000000000000u);
		if (strcmp(e->kind, "CLOCK OFFSET") == 0) {
			r->clock_offset = true;
			assert_non_null(strstr(e->detail, "offset_us="));
			continue;
		}
		assert_string_equal(e->kind, "SVCQ");
		if (e->number != r->last + 1)
			r->ordered = false;
		r->last = e->number;
		r->events++;
	}
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	(void)l;
	(void)reason;
	((struct repository *)ctx)->down++;
}

static const struct link_ops ops = { .up = on_up, .message = on_message, .down = on_down };

#define wait_until(condition) wait_until_in(&loop, LIMIT_MS, condition)

static void repository_open(struct repository *r, uint16_t port)
{
	struct link_setup setup = { .loop = &loop, .tls = logrepo, .ops = &ops, .ctx = r };
	struct err err = { 0 };
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	if (listener_new(&r->listener, &setup, address, ~0u, &err) < 0)
		fail_msg("%s", err.text);
}

static void on_told(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	assert_string_equal(who, "LogRepo");
	(void)snprintf(told, sizeof(told), "%s", reason);
}

static struct log_reporter *reporter_open(uint16_t port)
{
	struct log_reporter *r = NULL;
	struct err err = { 0 };
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	struct log_reporter_setup setup = {
		.loop = &loop,
		.tls = node,
		.node = "EdgeServer-1",
		.repository = "LogRepo",
		.address = port ? address : NULL,
		.refused = on_told,
	};
	if (log_reporter_new(&r, &setup, &err) < 0)
		fail_msg("%s", err.text);
	return r;
}

static void on_closed(void *ctx)
{
	*(bool *)ctx = true;
}

static void reporter_shut(struct log_reporter *r)
{
	closed = false;
	log_reporter_close(r, on_closed, &closed);
	wait_until(closed);
}

static void test_events_arrive(void **state)
{
	struct repository repo = { .ordered = true };

	(void)state;
	repository_open(&repo, 0);
	struct log_reporter *r = reporter_open(listener_port(repo.listener));
	/* some before the link is up, more than a batch after */
	for (uint64_t n = 1; n <= 10; n++)
		log_reporter_event(r, "SVCQ", 7, n, "%s", "");
	wait_until(repo.events == 10 && repo.clock_offset);
	for (uint64_t n = 11; n <= 3000; n++)
		log_reporter_event(r, "SVCQ", 7, n, "request %llu", (unsigned long long)n);
	/* closing sends what waits, and only then ends */
	reporter_shut(r);
	assert_int_equal(repo.events, 3000);
	assert_true(repo.ordered);
	assert_int_equal(repo.dropped, 0);
	listener_close(repo.listener);
}

static void test_ring_is_bounded(void **state)
{
	struct repository repo = { 0 };

	(void)state;
	/* find a port, and let nobody listen on it */
	repository_open(&repo, 0);
	uint16_t port = listener_port(repo.listener);
	listener_close(repo.listener);
	uv_run(&loop, UV_RUN_NOWAIT);
	struct log_reporter *r = reporter_open(port);
	for (uint64_t n = 1; n <= LOG_REPORTER_RING + 5; n++)
		log_reporter_event(r, "SVCQ", 7, n, "%s", "");
	assert_int_equal(log_reporter_dropped(r), 5);
	wait_until(told[0]);
	assert_non_null(strstr(told, "connection refused"));
	/* then it comes back: all that was kept arrives, and the count of the rest */
	repo.ordered = true;
	repository_open(&repo, port);
	wait_until(repo.events == LOG_REPORTER_RING && repo.dropped == 5);
	assert_true(repo.ordered);
	/* and goes again: a new link is found */
	link_close(repo.link);
	log_reporter_event(r, "SVCQ", 7, repo.last + 1, "%s", "");
	wait_until(repo.events + repo.dropped == LOG_REPORTER_RING + 5 + 1);
	reporter_shut(r);
	listener_close(repo.listener);
}

struct producer {
	struct log_reporter *r;
	uint64_t count;
};

static void produce(void *arg)
{
	struct producer *p = arg;

	for (uint64_t n = 0; n < p->count; n++)
		log_reporter_event(p->r, "SVCQ", 7, n, "%s", "from a thread");
}

static void test_threads(void **state)
{
	struct repository repo = { 0 };
	uv_thread_t thread[4];

	(void)state;
	repository_open(&repo, 0);
	struct log_reporter *r = reporter_open(listener_port(repo.listener));
	struct producer p = { .r = r, .count = 5000 };
	for (int i = 0; i < 4; i++)
		assert_int_equal(uv_thread_create(&thread[i], produce, &p), 0);
	wait_until(repo.events + repo.dropped == 4 * p.count);
	for (int i = 0; i < 4; i++)
		uv_thread_join(&thread[i]);
	reporter_shut(r);
	listener_close(repo.listener);
}

static void test_none(void **state)
{
	(void)state;
	struct log_reporter *r = reporter_open(0);
	log_reporter_event(r, "SVCQ", 7, 1, "%s", "");
	log_reporter_event(NULL, "SVCQ", 7, 1, "%s", "");
	assert_int_equal(log_reporter_dropped(r), 1);
	reporter_shut(r);
	closed = false;
	log_reporter_close(NULL, on_closed, &closed);
	assert_true(closed);
}

/* A LogRepo that is not there holds up the end only for the stated time */
static void test_close_is_bounded(void **state)
{
	struct repository repo = { 0 };

	(void)state;
	repository_open(&repo, 0);
	uint16_t port = listener_port(repo.listener);
	listener_close(repo.listener);
	struct log_reporter *r = reporter_open(port);
	log_reporter_event(r, "SVCQ", 7, 1, "%s", "");
	uint64_t began = uv_hrtime();
	reporter_shut(r);
	assert_true(
		between((uv_hrtime() - began) / 1000000, LOG_REPORTER_CLOSE_MS - 100, LIMIT_MS));
}

static int set_up(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	node = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	logrepo = test_pki_tls(&pki, "LogRepo", WIRE_ROLE_LOGREPO);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_free(node);
	tls_context_free(logrepo);
	test_pki_remove(&pki);
	return 0;
}

static int loop_open(void **state)
{
	(void)state;
	told[0] = '\0';
	return uv_loop_init(&loop);
}

static int loop_shut(void **state)
{
	(void)state;
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

int main(void)
{
#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_shut)
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_events_arrive),    LOOP_TEST(test_ring_is_bounded),
		LOOP_TEST(test_threads),          LOOP_TEST(test_none),
		LOOP_TEST(test_close_is_bounded),
	};

	return cmocka_run_group_tests_name("report/log_reporter", tests, set_up, tear_down);
}
