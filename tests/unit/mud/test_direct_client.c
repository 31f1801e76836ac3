/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The device without Baton: direct client and emulated user against services on loopback
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "core/common/policy.h"
#include "loopback_service.h"
#include "mud/direct_client.h"
#include "mud/emulated_user.h"
#include "test_pki.h"

#define LIMIT_MS 30000 /* a test that has not seen its event by then has failed */
#define TURN_MS  20

static struct test_pki pki;
static struct tls_context *mud_tls;
static uv_loop_t loop;
static bool late;
static struct loopback_service *service[2];
static struct client_ap places[2];
static char out[64];
static char text[1 << 20];

static void on_limit(uv_timer_t *t)
{
	(void)t;
	late = true;
}

static void on_turn(uv_timer_t *t)
{
	(void)t;
}

/*
 * Runs the loop until @condition; fails the test if that takes too long. What only a timer brings
 * wakes nobody who waits for the network, so the loop turns now and then.
 */
#define wait_until(condition)                                                                      \
	do {                                                                                       \
		uv_timer_t limit_, turn_;                                                          \
		late = false;                                                                      \
		uv_timer_init(&loop, &limit_);                                                     \
		uv_timer_init(&loop, &turn_);                                                      \
		uv_timer_start(&limit_, on_limit, LIMIT_MS, 0);                                    \
		uv_timer_start(&turn_, on_turn, TURN_MS, TURN_MS);                                 \
		while (!(condition) && !late)                                                      \
			uv_run(&loop, UV_RUN_ONCE);                                                \
		uv_close((uv_handle_t *)&limit_, NULL);                                            \
		uv_close((uv_handle_t *)&turn_, NULL);                                             \
		uv_run(&loop, UV_RUN_NOWAIT);                                                      \
		if (late)                                                                          \
			fail_msg("never came: %s", #condition);                                    \
	} while (0)

static int set_up(void **state)
{
	static const char *const names[] = { "AP-1", "AP-2" };

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	for (int i = 0; i < 2; i++) {
		service[i] = loopback_service_new(&loop);
		places[i] = (struct client_ap){ names[i], loopback_service_address(service[i]) };
	}
	strcpy(out, "/tmp/baton-test-run-XXXXXX");
	assert_non_null(mkdtemp(out));
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = { "requests.txt", "answers.txt", "responses.csv",
					     "mud.json" };
	char path[128];

	(void)state;
	for (int i = 0; i < 2; i++)
		loopback_service_close(service[i]);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", out, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(out);
	return 0;
}

/* ---- the client alone ---- */

struct told {
	struct direct_client *client;
	bool close_then; /* in the next callback */
	unsigned int associated;
	unsigned int unreachable;
	uint64_t answered; /* number of the last one */
	uint64_t given_up;
	unsigned int outcomes;
	uint32_t connection; /* of the last one given up */
	char ap[NAME_SIZE];
	bool closed;
};

static void on_closed(void *ctx)
{
	((struct told *)ctx)->closed = true;
}

static void heard(struct told *t)
{
	if (!t->close_then)
		return;
	t->close_then = false;
	direct_client_close(TAKE_PTR(t->client), on_closed, t);
}

static void on_associated(void *ctx, const char *ap)
{
	struct told *t = ctx;

	t->associated++;
	(void)snprintf(t->ap, sizeof(t->ap), "%s", ap);
	heard(t);
}

static void on_unreachable(void *ctx, const char *ap, const char *reason)
{
	struct told *t = ctx;

	(void)ap;
	assert_true(reason[0]);
	t->unreachable++;
	heard(t);
}

static void on_answer(void *ctx, const struct wire_data *answer)
{
	struct told *t = ctx;

	assert_int_equal(answer->number, ++t->outcomes); /* in the order of numbers */
	t->answered = answer->number;
	heard(t);
}

static void on_given_up(void *ctx, uint64_t number, uint32_t connection)
{
	struct told *t = ctx;

	assert_int_equal(number, ++t->outcomes);
	t->given_up = number;
	t->connection = connection;
	heard(t);
}

static const struct client_ops ops = { .associated = on_associated, .unreachable = on_unreachable };

static struct direct_client *make(struct told *t, uint64_t patience_ms)
{
	struct policy policy = policy_default();
	struct err err = { 0 };

	policy.retry_ms = 20;
	const struct direct_client_setup setup = {
		.client = { .loop = &loop,
			    .policy = &policy,
			    .aps = places,
			    .ap_count = 2,
			    .ops = &ops,
			    .ctx = t },
		.patience_ms = patience_ms,
		.given_up = on_given_up,
	};
	if (direct_client_new(&t->client, &setup, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(direct_client_session(t->client) != 0);
	assert_string_equal(direct_client_ap(t->client), "");
	return t->client;
}

static uint64_t ask(struct told *t)
{
	char payload[64];
	uint64_t number = 0;

	int n = snprintf(payload, sizeof(payload), "{\"seq\":%d}", 1);
	assert_int_equal(
		direct_client_request(t->client, payload, (size_t)n, on_answer, t, &number, NULL),
		0);
	return number;
}

static void finish(struct told *t)
{
	direct_client_close(TAKE_PTR(t->client), on_closed, t);
	wait_until(t->closed);
}

static void test_answers(void **state)
{
	struct told t = { 0 };
	struct direct_client *c = make(&t, 10000);

	(void)state;
	/* before there is a connection, and before the device is anywhere */
	assert_int_equal(ask(&t), 1);
	assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
	assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
	assert_int_equal(ask(&t), 2);
	assert_int_equal(direct_client_unanswered(c), 2);
	wait_until(t.answered == 2);
	assert_int_equal(direct_client_unanswered(c), 0);
	assert_int_equal(t.associated, 1);
	assert_string_equal(t.ap, "AP-1");
	assert_int_equal(loopback_service_connections(service[0]), 1);
	assert_int_equal(direct_client_move(c, "AP-9", NULL), -ENOENT);
	finish(&t);
}

static void test_in_flight_is_lost(void **state)
{
	struct told t = { 0 };
	struct direct_client *c = make(&t, 10000);

	(void)state;
	assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
	(void)ask(&t);
	wait_until(t.answered == 1);
	loopback_service_mute(service[0], true);
	(void)ask(&t);
	(void)ask(&t);
	wait_until(loopback_service_executed(service[0]) == 3);
	loopback_service_mute(service[0], false);
	loopback_service_hang_up(service[0]);
	wait_until(t.given_up == 3);
	assert_int_equal(t.connection, 1);
	assert_int_equal(t.unreachable, 1);
	(void)ask(&t); /* waits for the next connection; nothing is sent twice */
	wait_until(t.answered == 4);
	assert_int_equal(loopback_service_executed(service[0]), 4);
	assert_int_equal(t.associated, 2);
	finish(&t);
}

static void test_move_loses_what_is_in_flight(void **state)
{
	struct told t = { 0 };
	struct direct_client *c = make(&t, 10000);

	(void)state;
	assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
	loopback_service_mute(service[0], true);
	(void)ask(&t);
	wait_until(loopback_service_executed(service[0]) == 1);
	assert_int_equal(direct_client_move(c, "AP-2", NULL), 0);
	assert_int_equal(t.given_up, 0); /* not from inside a call */
	(void)ask(&t);
	wait_until(t.answered == 2);
	assert_int_equal(t.given_up, 1);
	assert_string_equal(t.ap, "AP-2");
	assert_int_equal(loopback_service_executed(service[1]), 1);
	finish(&t);
}

static void test_patience_ends(void **state)
{
	struct told t = { 0 };
	struct direct_client *c = make(&t, 30);

	(void)state;
	loopback_service_stop(service[0]);
	assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
	(void)ask(&t);
	(void)ask(&t);
	wait_until(t.given_up == 2);
	assert_int_equal(t.connection, 0);
	wait_until(t.unreachable == 1); /* told once, tried for ever */
	loopback_service_listen(service[0]);
	wait_until(t.associated == 1);
	assert_int_equal(t.unreachable, 1);
	(void)ask(&t);
	wait_until(t.answered == 3);
	assert_int_equal(loopback_service_executed(service[0]), 1);
	finish(&t);
}

static void test_no_patience(void **state)
{
	struct told t = { 0 };

	(void)state;
	(void)make(&t, 0);
	(void)ask(&t);
	wait_until(t.given_up == 1);
	finish(&t);
}

static void test_window(void **state)
{
	struct told t = { 0 };
	struct direct_client *c = make(&t, 10000);
	uint64_t number = 0;

	(void)state;
	for (unsigned int i = 0; i < WIRE_WINDOW; i++)
		(void)ask(&t);
	assert_int_equal(direct_client_request(c, "", 0, on_answer, &t, &number, NULL),
			 CLIENT_E_FULL);
	assert_int_equal(
		direct_client_request(c, text, WIRE_PAYLOAD_MAX + 1, on_answer, &t, &number, NULL),
		-EINVAL);
	assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
	wait_until(t.answered == WIRE_WINDOW);
	finish(&t);
}

static void test_nonsense_from_the_service(void **state)
{
	static const uint8_t unasked[] = { 0, 0, 0, 2, '{', '}' };
	static const uint8_t endless[] = { 0xff, 0xff, 0xff, 0xff };
	struct told t = { 0 };
	struct direct_client *c = make(&t, 10000);

	(void)state;
	assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
	(void)ask(&t);
	wait_until(t.answered == 1);
	loopback_service_say(service[0], unasked, sizeof(unasked));
	wait_until(t.unreachable == 1);
	wait_until(loopback_service_connections(service[0]) == 2);
	loopback_service_deaf(service[0], true);
	(void)ask(&t);
	wait_until(t.associated == 2);
	loopback_service_say(service[0], endless, sizeof(endless));
	wait_until(t.given_up == 2);
	finish(&t);
}

/* In each kind of callback the application may close the client */
static void test_close_in_callbacks(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct told t = { 0 };
		struct direct_client *c = make(&t, kind == 3 ? 0 : 10000);

		if (kind == 2)
			loopback_service_stop(service[0]);
		t.close_then = kind != 1;
		if (kind == 3)
			(void)ask(&t);
		assert_int_equal(direct_client_move(c, "AP-1", NULL), 0);
		if (kind == 1) {
			wait_until(t.associated == 1);
			t.close_then = true;
			(void)ask(&t);
			(void)ask(&t);
		}
		wait_until(t.closed);
		assert_int_equal(t.associated, kind < 2);
		assert_int_equal(t.answered, kind == 1);
		assert_int_equal(t.unreachable, kind == 2);
		assert_int_equal(t.given_up, kind == 3);
	}
}

static void test_bad_setup(void **state)
{
	const struct policy policy = policy_default();
	struct direct_client_setup setup = {
		.client = { .loop = &loop, .policy = &policy, .aps = places, .ap_count = 2 },
	};
	struct direct_client *none = NULL;
	struct err err = { 0 };

	(void)state;
	places[1].address = "somewhere";
	assert_int_equal(direct_client_new(&none, &setup, &err), -EINVAL);
	assert_non_null(strstr(err.text, "service at AP-2: address \"somewhere\""));
	places[1] = (struct client_ap){ "no name", places[0].address };
	assert_int_equal(direct_client_new(&none, &setup, &err), -EINVAL);
	assert_null(none);
	direct_client_close(NULL, NULL, NULL);
}

/* ---- whole runs ---- */

struct outcome {
	bool ended;
	bool good;
};

static void on_ended(void *ctx, bool good)
{
	*(struct outcome *)ctx = (struct outcome){ true, good };
}

static struct emulated_user *start_user(struct outcome *o, uint64_t requests, uint64_t patience_ms,
					const struct mobility_management *plan)
{
	struct policy policy = policy_default();
	struct emulated_user *u = NULL;
	struct err err = { 0 };

	policy.retry_ms = 20;
	const struct emulated_user_setup setup = {
		.client = { .loop = &loop,
			    .tls = mud_tls,
			    .service = "offload",
			    .policy = &policy,
			    .aps = places,
			    .ap_count = 2 },
		.direct = true,
		.patience_ms = patience_ms,
		.start_ap = "AP-1",
		.requests = { .count = requests, .interval_ms = 2, .work = 8, .seed = 3 },
		.plan = plan,
		.service_seed = "baton",
		.out = out,
		.deadline_ms = 10000,
		.ended = on_ended,
		.ctx = o,
	};
	if (emulated_user_new(&u, &setup, &err) < 0)
		fail_msg("%s", err.text);
	return u;
}

/* Reads a file of the record into @text. Return: its lines */
static unsigned int read_file(const char *name)
{
	char path[128];
	unsigned int lines = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", out, name);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	(void)fclose(f);
	text[n] = '\0';
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static unsigned int count(const char *what)
{
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

static uint64_t member(const char *name)
{
	char key[64];

	(void)snprintf(key, sizeof(key), "\"%s\": ", name);
	const char *at = strstr(text, key);
	if (!at) {
		fail_msg("mud.json has no %s", name);
		return 0;
	}
	return strtoull(at + strlen(key), NULL, 10);
}

static void test_run(void **state)
{
	const struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	(void)start_user(&o, 50, 1000, &plan);
	wait_until(o.ended);
	assert_true(o.good);
	assert_int_equal(read_file("requests.txt"), 50);
	assert_int_equal(read_file("responses.csv"), 51);
	assert_non_null(strstr(text, ",AP-1,ok,50,1\n"));
	(void)read_file("mud.json");
	assert_non_null(strstr(text, "\"way\": \"direct\""));
	assert_int_equal(member("answered"), 50);
	assert_int_equal(member("patience_ms"), 1000);
}

/* As Podman moves: the state goes on elsewhere, what came in between is lost, and nothing else */
static void test_run_stop_and_copy(void **state)
{
	struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	loopback_service_slam(service[1], true); /* as a port whose container is not there yet */
	assert_int_equal(mobility_management_add(&plan, "50:AP-2", NULL), 0);
	(void)start_user(&o, 200, 20, &plan);
	wait_until(loopback_service_executed(service[0]) >= 20);
	loopback_service_mute(service[0], true); /* executed, but nobody is told */
	wait_until(loopback_service_executed(service[0]) >= 30);
	loopback_service_deaf(service[0], true); /* in flight, not executed */
	wait_until(loopback_service_ignored(service[0]) >= 5);
	loopback_service_stop(service[0]);
	loopback_service_become(service[1], service[0]);
	/* the device moves by itself once 50 requests are due, and finds nobody for a while */
	wait_until(loopback_service_connections(service[1]) >= 5);
	loopback_service_slam(service[1], false);
	wait_until(o.ended);
	assert_false(o.good);
	assert_int_equal(read_file("responses.csv"), 201);
	unsigned int lost = count(",lost,,\n");
	assert_true(lost > 10);
	assert_int_equal(count(",ok,"), 200 - lost);
	(void)read_file("mud.json");
	assert_int_equal(member("lost"), lost);
	assert_int_equal(member("answered"), 200 - lost);
	assert_int_equal(member("restarted"), 0);
	assert_int_equal(member("wrong"), 0);
	assert_int_equal(member("duplicated"), 0);
	assert_non_null(strstr(text, "\"chain_ok\": true"));
	assert_non_null(strstr(text, "\"good\": false"));
	assert_non_null(strstr(text, "\"ap\": \"AP-2\", \"after_request\": 50"));
	assert_int_equal(read_file("answers.txt"), 200);
}

/* As a cold migration moves: the state is gone */
static void test_run_restarted(void **state)
{
	struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	assert_int_equal(mobility_management_add(&plan, "50:AP-2", NULL), 0);
	(void)start_user(&o, 100, 1000, &plan);
	wait_until(o.ended);
	assert_false(o.good);
	(void)read_file("mud.json");
	assert_int_equal(member("restarted"), 1);
	assert_int_equal(member("wrong"), 0);
	assert_non_null(strstr(text, "\"chain_ok\": false"));
	(void)read_file("responses.csv");
	assert_non_null(strstr(text, ",AP-2,ok,1,1\n"));
	assert_non_null(strstr(text, "\n100,"));
}

static void test_run_ends_by_itself(void **state)
{
	const struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	struct emulated_user *u = start_user(&o, 50, 5, &plan);
	wait_until(loopback_service_executed(service[0]) >= 10);
	loopback_service_stop(service[0]);
	wait_until(o.ended); /* nobody answers any more, and yet each request has its outcome */
	(void)u;
	assert_false(o.good);
	(void)read_file("mud.json");
	assert_int_equal(member("requests"), 50);
	assert_int_equal(member("answered") + member("lost"), 50);
	assert_true(member("lost") >= 30);
}

static int make_certificates(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	mud_tls = test_pki_tls(&pki, "USER", WIRE_ROLE_MUD);
	return 0;
}

static int remove_certificates(void **state)
{
	(void)state;
	tls_context_free(mud_tls);
	test_pki_remove(&pki);
	return 0;
}

#define with_services(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_services(test_answers),
		with_services(test_in_flight_is_lost),
		with_services(test_move_loses_what_is_in_flight),
		with_services(test_patience_ends),
		with_services(test_no_patience),
		with_services(test_window),
		with_services(test_nonsense_from_the_service),
		with_services(test_close_in_callbacks),
		with_services(test_bad_setup),
		with_services(test_run),
		with_services(test_run_stop_and_copy),
		with_services(test_run_restarted),
		with_services(test_run_ends_by_itself),
	};

	return cmocka_run_group_tests_name("mud/direct_client", tests, make_certificates,
					   remove_certificates);
}
