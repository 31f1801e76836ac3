/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/access_point.h"
#include "base/auto.h"
#include "base/err.h"
#include "core/common/policy.h"
#include "net/crypto.h"
#include "net/link.h"
#include "fake_edge.h"
#include "test_pki.h"
#include "wait_until.h"

#define LIMIT_MS 20000 /* a test that has not seen its event by then has failed */

/* A peer of the access point, and what it has heard. Tests wait on these, never on time */
struct end {
	struct peer *peer;
	int up, down, refused;
	uint64_t messages;
	int seen[256]; /* messages by type */
	enum wire_status status;
	uint64_t number; /* of the last answer */
	uint8_t secret[WIRE_SECRET_SIZE];
	char text[4096];
	char reason[256];
};

static struct test_pki pki;
static struct tls_context *ap_tls, *ap2_tls, *es_tls, *mud_tls, *operator_tls;
static uv_loop_t loop;

static void on_up(void *ctx, struct link *l)
{
	(void)l;
	((struct end *)ctx)->up++;
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct end *e = ctx;

	(void)l;
	e->messages++;
	e->seen[m->type]++;
	if (m->type == WIRE_ASSOCIATION_RESPONSE) {
		e->status = m->association_response.status;
		memcpy(e->secret, m->association_response.secret, WIRE_SECRET_SIZE);
	} else if (m->type == WIRE_MOVE_RESPONSE) {
		e->status = m->move_response.status;
	} else if (m->type == WIRE_ANSWER) {
		e->number = m->data.number;
	} else if (m->type == WIRE_REFUSAL) {
		e->status = m->refusal.status;
	} else if (m->type == WIRE_INQUIRY_ANSWER) {
		e->status = m->text.status;
		(void)snprintf(e->text, sizeof(e->text), "%.*s", (int)m->text.len,
			       (const char *)m->text.bytes);
	}
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct end *e = ctx;

	(void)l;
	e->down++;
	(void)snprintf(e->reason, sizeof(e->reason), "%s", reason);
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	struct end *e = ctx;

	(void)who;
	e->refused++;
	(void)snprintf(e->reason, sizeof(e->reason), "%s", reason);
}

static const struct link_ops ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.refused = on_refused,
};

#define wait_until(condition) wait_until_in(&loop, LIMIT_MS, condition)

/* ---- fixture: one edge server, one access point ---- */

static struct fake_edge *edge;
static struct access_point *ap;

static void connect_end(struct end *e, struct tls_context *tls, uint16_t port)
{
	const struct link_setup setup = {
		.loop = &loop, .tls = tls, .ops = &ops, .ctx = e, .limits = { .retry_max_ms = 50 }
	};
	char address[32];

	*e = (struct end){ 0 };
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(peer_new(&e->peer, &setup, "AP-1", WIRE_ROLE_AP, address, NULL), 0);
	wait_until(e->up || e->refused);
}

static void send_from(struct end *e, const struct wire_message *m)
{
	assert_non_null(peer_link(e->peer));
	assert_int_equal(link_send(peer_link(e->peer), m), 0);
}

static int set_up(void **state)
{
	const struct policy policy = policy_default();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	edge = fake_edge_new(&loop, es_tls);
	const struct ap_neighbour es = { "EdgeServer-1", fake_edge_address(edge) };
	const struct access_point_setup setup = {
		.loop = &loop,
		.tls = ap_tls,
		.home = "EdgeServer-1",
		.listen = "127.0.0.1:0",
		.station_listen = "127.0.0.1:0",
		.edges = { &es, 1 },
		.policy = &policy,
		.spool_dir = "/tmp",
		.spool_bytes = 1u << 20,
		.limits = { .retry_min_ms = 10, .retry_max_ms = 50 },
	};
	if (access_point_new(&ap, &setup, &err) < 0)
		fail_msg("%s", err.text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	access_point_close(ap);
	fake_edge_close(edge);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void associate(struct end *mud, uint64_t session, const char *service)
{
	struct wire_message m = { .type = WIRE_ASSOCIATION_REQUEST,
				  .session = session,
				  .association = 1 };

	strcpy(m.association_request.mud, "USER");
	strcpy(m.association_request.service, service);
	send_from(mud, &m);
}

static void request(struct end *mud, uint64_t session, uint64_t number)
{
	char payload[64];
	int n = snprintf(payload, sizeof(payload), "{\"seq\":%llu}", (unsigned long long)number);
	const struct wire_message m = { .type = WIRE_REQUEST,
					.session = session,
					.association = 1,
					.data = { .number = number,
						  .ack = mud->number,
						  .bytes = (const uint8_t *)payload,
						  .len = (size_t)n } };

	send_from(mud, &m);
}

/* ---- tests ---- */

static void test_requests_are_answered(void **state)
{
	struct end mud;

	(void)state;
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	associate(&mud, 7, "offload");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);
	assert_int_equal(mud.status, WIRE_OK);
	for (uint64_t n = 1; n <= 100; n++) {
		request(&mud, 7, n);
		if (n % 10 == 0)
			wait_until(mud.number == n);
	}
	assert_int_equal(fake_edge_executed(edge), 100);
	peer_close(mud.peer);
}

static void test_unknown_service(void **state)
{
	struct end mud;

	(void)state;
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	associate(&mud, 7, "nonesuch");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);
	assert_int_equal(mud.status, WIRE_E_UNKNOWN_SERVICE);
	assert_int_equal(fake_edge_state(edge), WIRE_ES_NONE);
	peer_close(mud.peer);
}

static void test_request_before_association(void **state)
{
	struct end mud;

	(void)state;
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	request(&mud, 7, 1);
	wait_until(mud.seen[WIRE_REFUSAL]);
	assert_int_equal(mud.status, WIRE_E_UNKNOWN_SESSION);
	assert_int_equal(mud.down, 0);
	peer_close(mud.peer);
}

/* What the certificate's role may not say ends the link, and the next one starts anew */
static void test_mud_speaks_as_access_point(void **state)
{
	struct wire_message m = { .type = WIRE_MOVE_NOTIFY, .session = 7, .association = 2 };
	struct end mud;

	(void)state;
	strcpy(m.move_notify.mud, "USER");
	strcpy(m.move_notify.new_ap, "AP-2");
	strcpy(m.move_notify.new_es, "EdgeServer-1");
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	send_from(&mud, &m);
	wait_until(mud.down == 1);
	assert_non_null(strstr(mud.reason, "may not send MOVE NOTIFY"));
	wait_until(mud.up == 2);
	associate(&mud, 7, "offload");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);
	peer_close(mud.peer);
}

static void test_access_point_speaks_as_mud(void **state)
{
	struct end other;

	(void)state;
	connect_end(&other, ap2_tls, access_point_port(ap));
	associate(&other, 7, "offload");
	wait_until(other.down == 1);
	assert_non_null(strstr(other.reason, "may not send ASSOCIATION REQUEST"));
	peer_close(other.peer);
}

static void test_edge_server_speaks_as_access_point(void **state)
{
	struct wire_message m = { .type = WIRE_RETIRE, .session = 7, .association = 1 };
	struct end mud;

	(void)state;
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	associate(&mud, 7, "offload");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);
	fake_edge_say(edge, &m);
	request(&mud, 7, 1);
	wait_until(mud.number == 1); /* over the next link */
	peer_close(mud.peer);
}

static void test_wrong_port_for_role(void **state)
{
	struct end mud, other;

	(void)state;
	connect_end(&mud, mud_tls, access_point_port(ap));
	assert_int_equal(mud.up, 0);
	assert_non_null(strstr(mud.reason, "may not connect here"));
	connect_end(&other, ap2_tls, access_point_station_port(ap));
	assert_int_equal(other.up, 0);
	peer_close(mud.peer);
	peer_close(other.peer);
}

/* A MOVE NOTIFY without the user's proof moves nothing (R11); the answer goes by the accepted link */
static void test_move_needs_proof(void **state)
{
	struct wire_message m = { .type = WIRE_MOVE_NOTIFY, .session = 7, .association = 2 };
	struct end mud, other;

	(void)state;
	strcpy(m.move_notify.mud, "USER");
	strcpy(m.move_notify.new_ap, "AP-2");
	strcpy(m.move_notify.new_es, "EdgeServer-1");
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	connect_end(&other, ap2_tls, access_point_port(ap));
	associate(&mud, 7, "offload");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);
	send_from(&other, &m);
	wait_until(other.seen[WIRE_MOVE_RESPONSE]);
	assert_int_equal(other.status, WIRE_E_NOT_ALLOWED);
	request(&mud, 7, 1);
	wait_until(mud.number == 1);
	assert_int_equal(crypto_proof(m.move_notify.proof, mud.secret, 7, 2, "AP-2"), 0);
	send_from(&other, &m);
	wait_until(other.seen[WIRE_MOVE_RESPONSE] == 2);
	assert_int_equal(other.status, WIRE_OK);
	peer_close(mud.peer);
	peer_close(other.peer);
}

static void test_edge_link_breaks(void **state)
{
	struct end mud;

	(void)state;
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	associate(&mud, 7, "offload");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);
	for (uint64_t n = 1; n <= 30; n++) {
		request(&mud, 7, n);
		if (n % 10 == 5)
			fake_edge_hang_up(edge);
	}
	wait_until(mud.number == 30);
	assert_int_equal(fake_edge_executed(edge), 30);
	peer_close(mud.peer);
}

static void test_disassociation(void **state)
{
	const struct wire_message m = { .type = WIRE_DISASSOCIATION,
					.session = 7,
					.association = 1 };
	struct end mud;

	(void)state;
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	associate(&mud, 7, "offload");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);
	assert_int_equal(fake_edge_state(edge), WIRE_ES_ACTIVE);
	send_from(&mud, &m);
	wait_until(fake_edge_state(edge) != WIRE_ES_ACTIVE);
	peer_close(mud.peer);
}

static void inquire(struct end *admin, const char *what)
{
	const struct wire_message m = {
		.type = WIRE_INQUIRY,
		.text = { .bytes = (const uint8_t *)what, .len = strlen(what) },
	};

	int before = admin->seen[WIRE_INQUIRY_ANSWER];

	send_from(admin, &m);
	wait_until(admin->seen[WIRE_INQUIRY_ANSWER] > before);
}

static void test_inquiries(void **state)
{
	struct end mud, admin;

	(void)state;
	connect_end(&mud, mud_tls, access_point_station_port(ap));
	connect_end(&admin, operator_tls, access_point_port(ap));
	associate(&mud, 0x1234, "offload");
	wait_until(mud.seen[WIRE_ASSOCIATION_RESPONSE]);

	inquire(&admin, "sessions");
	assert_int_equal(admin.status, WIRE_OK);
	json_t *json = json_loads(admin.text, 0, NULL);
	const char *node, *role, *session, *user, *session_state, *source;
	assert_int_equal(json_unpack(json, "{s:s, s:s, s:[{s:s, s:s, s:s, s:s}]}", "node", &node,
				     "role", &role, "sessions", "session", &session, "mud", &user,
				     "state", &session_state, "source", &source),
			 0);
	assert_string_equal(node, "AP-1");
	assert_string_equal(role, "ap");
	assert_string_equal(session, "0000000000001234");
	assert_string_equal(user, "USER");
	assert_string_equal(session_state, "serving");
	assert_string_equal(source, "EdgeServer-1");
	json_decref(json);

	inquire(&admin, "status");
	json = json_loads(admin.text, 0, NULL);
	int sessions = 0, muds = 0, connected = 0;
	assert_int_equal(json_unpack(json, "{s:i, s:i, s:{s:b}}", "sessions", &sessions, "muds",
				     &muds, "edge_servers", "EdgeServer-1", &connected),
			 0);
	assert_int_equal(sessions, 1);
	assert_int_equal(muds, 1);
	assert_true(connected);
	json_decref(json);

	inquire(&admin, "weather");
	assert_int_equal(admin.status, WIRE_E_PROTOCOL);
	peer_close(mud.peer);
	peer_close(admin.peer);
}

static void test_bad_setup(void **state)
{
	const struct policy policy = policy_default();
	const struct ap_neighbour es = { "EdgeServer-1", "127.0.0.1:1" };
	struct access_point_setup setup = {
		.loop = &loop,
		.tls = mud_tls,
		.home = "EdgeServer-1",
		.listen = "127.0.0.1:0",
		.station_listen = "127.0.0.1:0",
		.edges = { &es, 1 },
		.policy = &policy,
		.spool_dir = "/tmp",
		.spool_bytes = 1u << 20,
	};
	struct access_point *none = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(access_point_new(&none, &setup, &err), -EINVAL);
	setup.tls = ap_tls;
	setup.home = "EdgeServer-9";
	assert_int_equal(access_point_new(&none, &setup, &err), -EINVAL);
	setup.home = "EdgeServer-1";
	setup.station_listen = "nowhere";
	assert_int_equal(access_point_new(&none, &setup, &err), -EINVAL);
	assert_null(none);
}

static int make_certificates(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	ap_tls = test_pki_tls(&pki, "AP-1", WIRE_ROLE_AP);
	ap2_tls = test_pki_tls(&pki, "AP-2", WIRE_ROLE_AP);
	es_tls = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	mud_tls = test_pki_tls(&pki, "USER", WIRE_ROLE_MUD);
	operator_tls = test_pki_tls(&pki, "admin", WIRE_ROLE_OPERATOR);
	return 0;
}

static int remove_certificates(void **state)
{
	(void)state;
	tls_context_free(ap_tls);
	tls_context_free(ap2_tls);
	tls_context_free(es_tls);
	tls_context_free(mud_tls);
	tls_context_free(operator_tls);
	test_pki_remove(&pki);
	return 0;
}

#define with_access_point(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_access_point(test_requests_are_answered),
		with_access_point(test_unknown_service),
		with_access_point(test_request_before_association),
		with_access_point(test_mud_speaks_as_access_point),
		with_access_point(test_access_point_speaks_as_mud),
		with_access_point(test_edge_server_speaks_as_access_point),
		with_access_point(test_wrong_port_for_role),
		with_access_point(test_move_needs_proof),
		with_access_point(test_edge_link_breaks),
		with_access_point(test_disassociation),
		with_access_point(test_inquiries),
		with_access_point(test_bad_setup),
	};

	return cmocka_run_group_tests_name("ap/access_point", tests, make_certificates,
					   remove_certificates);
}
