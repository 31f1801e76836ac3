/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole chain without containers: emulated user, two access points with their own edge servers,
 * real TLS links over loopback
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

#include "ap/access_point.h"
#include "base/auto.h"
#include "base/err.h"
#include "core/common/policy.h"
#include "fake_edge.h"
#include "mud/emulated_user.h"
#include "test_pki.h"
#include "wait_until.h"

#define LIMIT_MS 30000 /* a test that has not seen its event by then has failed */

static struct test_pki pki;
static struct tls_context *ap_tls[2], *es_tls[2], *mud_tls;
static uv_loop_t loop;
static struct fake_edge *edge[2];
static struct access_point *ap[2];
static struct client_ap places[2];
static char station[2][32];
static char out[64];

#define wait_until(condition) wait_until_in(&loop, LIMIT_MS, condition)

/* ---- fixture ---- */

static void start_ap(int i, const struct ap_neighbours *aps)
{
	struct policy policy = policy_default();
	struct err err = { 0 };

	policy.grace_ms = 50;
	policy.retry_ms = 100;
	const struct ap_neighbour edges[] = {
		{ "EdgeServer-1", fake_edge_address(edge[0]) },
		{ "EdgeServer-2", fake_edge_address(edge[1]) },
	};
	const struct access_point_setup setup = {
		.loop = &loop,
		.tls = ap_tls[i],
		.home = edges[i].name,
		.listen = "127.0.0.1:0",
		.station_listen = "127.0.0.1:0",
		.edges = { edges, 2 },
		.aps = *aps,
		.policy = &policy,
		.spool_dir = "/tmp",
		.spool_bytes = 1u << 20,
		.limits = { .retry_min_ms = 10, .retry_max_ms = 50 },
	};
	if (access_point_new(&ap[i], &setup, &err) < 0)
		fail_msg("%s", err.text);
	(void)snprintf(station[i], sizeof(station[i]), "127.0.0.1:%u",
		       access_point_station_port(ap[i]));
	places[i] = (struct client_ap){ i ? "AP-2" : "AP-1", station[i] };
}

/* AP-2 connects to AP-1, which knows no address of AP-2: answers go by the link that was accepted */
static int set_up(void **state)
{
	const struct ap_neighbours none = { 0 };
	char address[32];

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	for (int i = 0; i < 2; i++)
		edge[i] = fake_edge_new(&loop, es_tls[i]);
	start_ap(0, &none);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", access_point_port(ap[0]));
	const struct ap_neighbour first = { "AP-1", address };
	const struct ap_neighbours one = { &first, 1 };
	start_ap(1, &one);
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
	for (int i = 0; i < 2; i++) {
		access_point_close(ap[i]);
		fake_edge_close(edge[i]);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", out, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(out);
	return 0;
}

struct outcome {
	bool ended;
	bool good;
};

static void on_ended(void *ctx, bool good)
{
	*(struct outcome *)ctx = (struct outcome){ true, good };
}

static struct emulated_user *start_user(struct outcome *o, const char *service, uint64_t requests,
					const struct mobility_management *plan)
{
	const struct policy policy = policy_default();
	const struct emulated_user_setup setup = {
		.client = { .loop = &loop,
			    .tls = mud_tls,
			    .service = service,
			    .policy = &policy,
			    .limits = { .retry_min_ms = 10, .retry_max_ms = 50 },
			    .aps = places,
			    .ap_count = 2 },
		.start_ap = "AP-1",
		.requests = { .count = requests, .interval_ms = 2, .work = 8, .seed = 3 },
		.plan = plan,
		.service_seed = "baton",
		.out = out,
		.deadline_ms = 10000,
		.ended = on_ended,
		.ctx = o,
	};
	struct emulated_user *u = NULL;
	struct err err = { 0 };

	if (emulated_user_new(&u, &setup, &err) < 0)
		fail_msg("%s", err.text);
	return u;
}

/* Reads a file of the record. Return: its lines */
static unsigned int read_file(const char *name, char *to, size_t size)
{
	char path[128];
	unsigned int lines = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", out, name);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	size_t n = fread(to, 1, size - 1, f);
	(void)fclose(f);
	to[n] = '\0';
	for (size_t i = 0; i < n; i++)
		lines += to[i] == '\n';
	return lines;
}

/* ---- tests ---- */

static char text[1 << 20];

static void test_stays(void **state)
{
	const struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	(void)start_user(&o, "offload", 50, &plan);
	wait_until(o.ended);
	assert_true(o.good);
	assert_int_equal(read_file("requests.txt", text, sizeof(text)), 50);
	assert_memory_equal(text, "{\"seq\":1,\"work\":\"", 17);
	assert_int_equal(read_file("answers.txt", text, sizeof(text)), 50);
	assert_int_equal(read_file("responses.csv", text, sizeof(text)), 51);
	assert_non_null(strstr(text, ",AP-1,ok,50,1\n"));
	(void)read_file("mud.json", text, sizeof(text));
	assert_non_null(strstr(text, "\"answered\": 50,"));
	assert_non_null(strstr(text, "\"good\": true"));
	/* the user has left: so does its container */
	wait_until(fake_edge_state(edge[0]) == WIRE_ES_NONE);
}

/* The container follows the user, and nothing of it shows in the answers */
static void test_moves(void **state)
{
	struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	assert_int_equal(mobility_management_add(&plan, "50:AP-2", NULL), 0);
	(void)start_user(&o, "offload", 300, &plan);
	wait_until(fake_edge_state(edge[1]) == WIRE_ES_ACTIVE);
	wait_until(o.ended);
	assert_true(o.good);
	(void)read_file("responses.csv", text, sizeof(text));
	assert_non_null(strstr(text, ",AP-2,ok,300,"));
	(void)read_file("mud.json", text, sizeof(text));
	assert_non_null(strstr(text, "\"ap\": \"AP-2\", \"after_request\": 50"));
	assert_non_null(strstr(text, "\"good\": true"));
}

/* Away and back, twice, much faster than migrations end (R8) */
static void test_moves_to_and_fro(void **state)
{
	struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	assert_int_equal(mobility_management_add(&plan, "50:AP-2", NULL), 0);
	assert_int_equal(mobility_management_add(&plan, "60:AP-1", NULL), 0);
	assert_int_equal(mobility_management_add(&plan, "70:AP-2", NULL), 0);
	assert_int_equal(mobility_management_add(&plan, "72:AP-1", NULL), 0);
	(void)start_user(&o, "offload", 400, &plan);
	wait_until(o.ended);
	assert_true(o.good);
}

static void test_edge_link_breaks(void **state)
{
	const struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	(void)start_user(&o, "offload", 200, &plan);
	wait_until(fake_edge_executed(edge[0]) > 50);
	fake_edge_hang_up(edge[0]);
	wait_until(fake_edge_executed(edge[0]) > 100);
	fake_edge_hang_up(edge[0]);
	wait_until(o.ended);
	assert_true(o.good);
}

static void test_unknown_service(void **state)
{
	const struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	(void)start_user(&o, "nonesuch", 10, &plan);
	wait_until(o.ended);
	assert_false(o.good);
	(void)read_file("mud.json", text, sizeof(text));
	assert_non_null(strstr(text, "\"session_lost\": \"unknown service"));
}

static void test_stopped(void **state)
{
	const struct mobility_management plan = { 0 };
	struct outcome o = { 0 };

	(void)state;
	struct emulated_user *u = start_user(&o, "offload", 1000, &plan);
	wait_until(fake_edge_executed(edge[0]) > 20);
	emulated_user_stop(u);
	wait_until(o.ended);
	assert_false(o.good);
}

static void test_bad_setup(void **state)
{
	const struct policy policy = policy_default();
	struct mobility_management plan = { 0 };
	struct emulated_user_setup setup = {
		.client = { .loop = &loop,
			    .tls = ap_tls[0],
			    .service = "offload",
			    .policy = &policy,
			    .aps = places,
			    .ap_count = 2 },
		.start_ap = "AP-1",
		.requests = { .count = 1 },
		.plan = &plan,
		.service_seed = "baton",
	};
	struct emulated_user *none = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(emulated_user_new(&none, &setup, &err), -EINVAL);
	setup.client.tls = mud_tls;
	setup.start_ap = "AP-9";
	assert_int_equal(emulated_user_new(&none, &setup, &err), -ENOENT);
	setup.start_ap = "AP-1";
	assert_int_equal(mobility_management_add(&plan, "1:AP-9", NULL), 0);
	assert_int_equal(emulated_user_new(&none, &setup, &err), -EINVAL);
	plan.count = 0;
	setup.out = "/nonexistent/directory";
	assert_int_equal(emulated_user_new(&none, &setup, &err), -ENOENT);
	setup.out = NULL;
	setup.requests.count = 0;
	assert_int_equal(emulated_user_new(&none, &setup, &err), -EINVAL);
	assert_null(none);
}

static int make_certificates(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	ap_tls[0] = test_pki_tls(&pki, "AP-1", WIRE_ROLE_AP);
	ap_tls[1] = test_pki_tls(&pki, "AP-2", WIRE_ROLE_AP);
	es_tls[0] = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	es_tls[1] = test_pki_tls(&pki, "EdgeServer-2", WIRE_ROLE_ES);
	mud_tls = test_pki_tls(&pki, "USER", WIRE_ROLE_MUD);
	return 0;
}

static int remove_certificates(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		tls_context_free(ap_tls[i]);
		tls_context_free(es_tls[i]);
	}
	tls_context_free(mud_tls);
	test_pki_remove(&pki);
	return 0;
}

#define with_network(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_network(test_stays),
		with_network(test_moves),
		with_network(test_moves_to_and_fro),
		with_network(test_edge_link_breaks),
		with_network(test_unknown_service),
		with_network(test_stopped),
		with_network(test_bad_setup),
	};

	return cmocka_run_group_tests_name("mud/emulated_user", tests, make_certificates,
					   remove_certificates);
}
