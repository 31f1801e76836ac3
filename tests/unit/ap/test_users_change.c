/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An access point whose configuration changes while users are there, and one whose edge servers are not there
 */

#include <stdio.h>

#include "base/err.h"
#include "users_bed.h"

#define NOWHERE "127.0.0.1:9" /* nobody listens */

static void change(int index, bool alone)
{
	struct err err = { 0 };

	if (users_bed_change(index, alone, &err) < 0)
		fail_msg("%s", err.text);
}

static int set_up_two(void **state)
{
	(void)state;
	users_bed_prepare(2);
	users_bed.move_ms = 300;
	return 0;
}

/* R10: a new user is served by another edge server while the home one is down; the container comes home later */
static void test_home_is_down(void **state)
{
	struct client c;

	(void)state;
	users_bed.edge_address[0] = NOWHERE;
	users_bed_start(0, true);
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	assert_int_equal(fake_edge_executed(users_bed.edge[1]), 1);
	/* it is there again, at another address */
	users_bed.edge_address[0] = NULL;
	change(0, true);
	wait_until(fake_edge_state(users_bed.edge[0]) == WIRE_ES_ACTIVE);
	client_say(&c, "x\n");
	expect(&c, "2 0 2\n");
	assert_int_equal(c.end, 0);
	client_close(&c);
}

/* R9: a user that no edge server can serve is told so soon, with the reason, and is served when one is there */
static void test_no_edge_server(void **state)
{
	struct client c;

	(void)state;
	users_bed.edge_address[0] = NOWHERE;
	users_bed.edge_address[1] = NOWHERE;
	users_bed_start(0, true);
	client_open(&c, "127.0.0.11", 0, "nonesuch");
	client_say(&c, "GET / HTTP/1.1\r\n\r\n");
	wait_until(c.got && strstr(c.got, "EdgeServer-1"));
	assert_non_null(strstr(c.got, "HTTP/1.1 503 Service Unavailable\r\n"));
	assert_non_null(strstr(c.got, "AP-1 has no link to edge server EdgeServer-1"));
	client_close(&c);
	client_open(&c, "127.0.0.12", 0, "resp");
	client_say(&c, "PING\r\n");
	wait_until(c.got && strstr(c.got, "EdgeServer-1"));
	assert_memory_equal(c.got, "-LOADING ", 9);
	client_forget(&c);
	users_bed.edge_address[1] = NULL;
	change(0, true);
	/* the session that could not begin is not tried for a moment */
	do {
		client_forget(&c);
		client_say(&c, "PING\r\n");
		wait_until(c.len > 0);
	} while (c.got[0] == '-');
	wait_until(fake_edge_executed(users_bed.edge[1]) == 1);
	assert_int_equal(c.end, 0);
	client_close(&c);
}

/* Listeners go, come and change, and no connection ends for it */
static void test_listeners(void **state)
{
	struct client line, gone, udp, c;

	(void)state;
	users_bed_start(0, true);
	client_open(&line, "127.0.0.11", 0, "line");
	client_say(&line, "x\n");
	expect(&line, "1 0 2\n");
	client_open(&udp, "127.0.0.11", 0, "udp");
	fake_edge_pause(users_bed.edge[0], true);
	client_open(&gone, "127.0.0.12", 0, "resp");
	client_say(&gone, "PING\r\n");
	client_send(&udp, "x");
	wait_until(fake_edge_sessions(users_bed.edge[0]) == 3);

	uint16_t port = access_point_service_port(users_bed.ap[0], "line");
	users_bed.without = "resp";
	change(0, true);
	assert_int_equal(access_point_service_port(users_bed.ap[0], "resp"), 0);
	assert_int_equal(access_point_service_port(users_bed.ap[0], "line"), port);
	/* nobody is there any more to take the answer to its datagram */
	users_bed.without = "udp";
	change(0, true);
	assert_int_equal(access_point_service_port(users_bed.ap[0], "udp"), 0);
	fake_edge_pause(users_bed.edge[0], false);
	wait_until(gone.len > 0); /* the connection outlives its listener */
	assert_int_equal(gone.end, 0);
	client_say(&line, "x\n");
	expect(&line, "2 0 2\n");
	client_open(&c, "127.0.0.12", 0, "resp");
	client_say(&c, "PING\r\n");
	wait_until(c.len > 0);
	users_bed.without = NULL;
	change(0, true);
	assert_true(access_point_service_port(users_bed.ap[0], "udp") > 0);
	client_close(&line);
	client_close(&gone);
	client_close(&udp);
	client_close(&c);
}

/* A configuration that cannot be had changes nothing */
static void test_mistake(void **state)
{
	struct err err = { 0 };
	struct client c;
	char taken[32];

	(void)state;
	users_bed_start(0, true);
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	(void)snprintf(taken, sizeof(taken), "127.0.0.1:%u",
		       access_point_service_port(users_bed.ap[0], "http"));
	users_bed.listen = taken;
	users_bed.without = "line";
	users_bed.edge_address[0] = NOWHERE;
	assert_true(users_bed_change(0, true, &err) < 0);
	assert_non_null(strstr(err.text, taken));
	assert_true(access_point_service_port(users_bed.ap[0], "line") > 0);
	assert_true(access_point_service_port(users_bed.ap[0], "nonesuch") > 0);
	client_say(&c, "x\n");
	expect(&c, "2 0 2\n");
	client_close(&c);
}

/* An access point that did not know the other one finds its users there, once it does */
static void test_access_point_joins(void **state)
{
	struct client a, b;

	(void)state;
	users_bed.move_ms = 60000;
	users_bed_start(0, true);
	users_bed_start(1, true);
	client_open(&a, "127.0.0.11", 0, "line");
	client_say(&a, "x\n");
	expect(&a, "1 0 2\n");
	change(1, false);
	change(0, false);
	client_open(&b, "127.0.0.11", 1, "line");
	client_say(&b, "x\n");
	expect(&b, "2 0 2\n");
	/* and goes again: its own users are all that it knows */
	change(0, true);
	client_say(&b, "x\n");
	expect(&b, "3 0 2\n");
	client_close(&a);
	client_close(&b);
}

int main(void)
{
#define with_two(f) cmocka_unit_test_setup_teardown(f, set_up_two, users_bed_tear_down)
	const struct CMUnitTest tests[] = {
		with_two(test_home_is_down),       with_two(test_no_edge_server),
		with_two(test_listeners),          with_two(test_mistake),
		with_two(test_access_point_joins),
	};

	return cmocka_run_group_tests_name("ap/users_change", tests, users_bed_certificates,
					   users_bed_remove_certificates);
}
