/* SPDX-License-Identifier: Apache-2.0 */
#include "users_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"

/*
 * Three access points: users that go on before they have arrived, claims that meet, one that is out of reach
 */

#define USER "127.0.0.11"

/* The next request of a user and the service, at access point @index; it is the @count-th */
static void use_as(const char *user, int index, int count)
{
	struct client c;
	char want[32];

	client_open(&c, user, index, "line");
	client_say(&c, "x\n");
	(void)snprintf(want, sizeof(want), "%d 0 2\n", count);
	expect(&c, want);
	client_close(&c);
}

static void use(int index, int count)
{
	use_as(USER, index, count);
}

static int set_up(void **state)
{
	(void)state;
	users_bed_prepare(3);
	users_bed_start_all();
	/* another user has been everywhere: the access points are linked */
	for (int i = 0; i < 4; i++)
		use_as("127.0.0.77", i % 3, i + 1);
	return 0;
}

/* AP-1 is not there */
static int set_up_without_first(void **state)
{
	(void)state;
	users_bed_prepare(3);
	users_bed.move_ms = 1000;
	users_bed.unreachable = USERS_BEGIN;
	users_bed_start(1, false);
	users_bed_start(2, false);
	return 0;
}

/* Nobody is at two places in the same millisecond. */
static void let_time_pass(void)
{
	uint64_t now = uv_now(&users_bed.loop);

	wait_until(uv_now(&users_bed.loop) > now + 1);
}

/* A turn at each, again and again, without waiting for what follows the user */
static void test_round(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++)
		use(i % 3, i + 1);
	for (int i = 30; i > 0; i--) /* and the other way round */
		use(i % 3, 61 - i);
}

struct count {
	const char *service;
	size_t sessions;
	size_t unanswered;
};

static void on_view(void *ctx, const struct users_view *view)
{
	struct count *c = ctx;

	if (strcmp(view->service, c->service) != 0)
		return;
	c->sessions++;
	c->unanswered += view->unanswered;
}

static bool is_known(int index, const char *service)
{
	struct count c = { .service = service };

	access_point_users(users_bed.ap[index], on_view, &c);
	return c.sessions > 0;
}

static size_t unanswered(int index, const char *service)
{
	struct count c = { .service = service };

	access_point_users(users_bed.ap[index], on_view, &c);
	return c.unanswered;
}

static void send_large(struct client *c, int count)
{
	static char piece[WIRE_PAYLOAD_MAX - 1000];
	char head[96];

	memset(piece, 'x', sizeof(piece));
	(void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
		       sizeof(piece));
	for (int i = 0; i < count; i++) {
		client_say(c, head);
		client_write(c, piece, sizeof(piece));
	}
}

/*
 * R8: the user goes on from AP-2 to AP-3 while AP-1 still keeps its session: more is unanswered than can
 * be given. Then all of it is executed once, and the user is at AP-3; and back at AP-1.
 */
static void test_on_before_it_arrived(void **state)
{
	enum { LARGE = 6 };
	struct client x, y, z;

	(void)state;
	use(0, 1);
	client_open(&x, USER, 0, "http");
	client_say(&x, "GET / HTTP/1.1\r\n\r\n");
	wait_until(x.len);
	fake_edge_pause(users_bed.edge[0], true);
	send_large(&x, LARGE);
	wait_until(unanswered(0, "http") == LARGE);
	client_open(&y, USER, 1, "line");
	client_say(&y, "x\n");
	wait_until(x.end); /* AP-1 was asked, and would give */
	let_time_pass();
	client_open(&z, USER, 2, "line");
	client_say(&z, "x\n");
	assert_int_equal(y.len + z.len, 0);
	fake_edge_pause(users_bed.edge[0], false);
	wait_until(z.len);
	/* the third if AP-2 had the session for a moment: its request had come whole */
	assert_true(strcmp(z.got, "2 0 2\n") == 0 || strcmp(z.got, "3 0 2\n") == 0);
	wait_until(y.end);
	client_close(&x);
	client_close(&y);
	client_open(&x, USER, 0, "http");
	client_say(&x, "GET / HTTP/1.1\r\n\r\n");
	wait_until(x.len);
	assert_non_null(strstr(x.got, "\r\n\r\n8 0 18"));
	wait_until(z.end);
	client_close(&x);
	client_close(&z);
}

/* All claim a user that nobody knows: the one that heard it last has it */
static void test_all_claim(void **state)
{
	struct client c[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		client_open(&c[i], USER, i, "line");
		let_time_pass();
	}
	client_say(&c[2], "x\n");
	expect(&c[2], "1 0 2\n");
	for (int i = 0; i < 2; i++) {
		wait_until(c[i].end);
		client_close(&c[i]);
	}
	client_close(&c[2]);
	use(0, 2);
}

/* One that two others claim: it goes to the one that heard it last, with all that it has */
static void test_two_claim_from_third(void **state)
{
	struct client y, z;

	(void)state;
	use(0, 1);
	client_open(&y, USER, 1, "line");
	let_time_pass();
	client_open(&z, USER, 2, "line");
	client_say(&z, "x\n");
	expect(&z, "2 0 2\n");
	wait_until(y.end);
	client_close(&y);
	client_close(&z);
	use(1, 3);
}

/* Whoever has the user says so: nobody waits for an access point that is out of reach */
static void test_third_is_out_of_reach(void **state)
{
	(void)state;
	use(1, 1);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	use(2, 2); /* long before move_ms */
	use(1, 3);
}

/*
 * R15: the user began anew while the access point that had it could not be asked. That comes back, and one of the
 * two sessions goes on: the older one, which has acknowledged more; the other one is kept where it is.
 */
static void test_comes_back(void **state)
{
	char path[128];

	(void)state;
	users_bed_prepare(3);
	users_bed.move_ms = 300;
	users_bed.unreachable = USERS_BEGIN;
	(void)snprintf(users_bed.state_dir[0], sizeof(users_bed.state_dir[0]), "%s",
		       "/tmp/test_user_roaming.XXXXXX");
	assert_non_null(mkdtemp(users_bed.state_dir[0]));
	users_bed_start_all();
	use(0, 1);
	use(0, 2);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	use(1, 1); /* a session of its own: nobody could be asked for the other one */
	users_bed_start(0, false);
	use(0, 3);
	use(2, 4);
	(void)users_bed_tear_down(state);
	(void)snprintf(path, sizeof(path), "%s/user-" USER ".json", users_bed.state_dir[0]);
	(void)unlink(path); /* there, unless AP-3 had already said that all arrived */
	assert_int_equal(rmdir(users_bed.state_dir[0]), 0);
	users_bed.state_dir[0][0] = '\0';
}

/* The same; the user stays at the access point where it began anew, and finds its older session there by itself */
static void test_stays_where_it_began(void **state)
{
	char path[128];
	struct client c;

	(void)state;
	users_bed_prepare(3);
	users_bed.move_ms = 300;
	users_bed.unreachable = USERS_BEGIN;
	(void)snprintf(users_bed.state_dir[0], sizeof(users_bed.state_dir[0]), "%s",
		       "/tmp/test_user_roaming.XXXXXX");
	assert_non_null(mkdtemp(users_bed.state_dir[0]));
	users_bed_start_all();
	use(0, 1);
	use(0, 2);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	client_open(&c, USER, 1, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	users_bed_start(0, false);
	wait_until(c.end); /* reset: what it hears from now on is of the other session */
	client_close(&c);
	use(1, 3);
	wait_until(!is_known(0, "line"));
	assert_int_equal(fake_edge_sessions(users_bed.edge[1]), 2); /* none was ended */
	(void)users_bed_tear_down(state);
	(void)snprintf(path, sizeof(path), "%s/user-" USER ".json", users_bed.state_dir[0]);
	(void)unlink(path);
	assert_int_equal(rmdir(users_bed.state_dir[0]), 0);
	users_bed.state_dir[0][0] = '\0';
}

/* A datagram that still waits where its user was does not call the user back */
static void test_datagram_left_behind(void **state)
{
	struct client udp, line;

	(void)state;
	client_open(&udp, USER, 1, "udp");
	client_send(&udp, "x");
	wait_until(is_known(1, "udp")); /* and asks AP-1 for it */
	let_time_pass();
	client_open(&line, USER, 2, "line");
	client_say(&line, "x\n");
	expect(&line, "1 0 2\n");
	client_say(&line, "x\n");
	expect(&line, "2 0 2\n");
	assert_int_equal(line.end, 0);
	client_close(&udp);
	client_close(&line);
}

#define with_three(test) cmocka_unit_test_setup_teardown(test, set_up, users_bed_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_three(test_round),
		with_three(test_on_before_it_arrived),
		with_three(test_all_claim),
		with_three(test_two_claim_from_third),
		with_three(test_third_is_out_of_reach),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_stays_where_it_began),
		cmocka_unit_test_setup_teardown(test_datagram_left_behind, set_up_without_first,
						users_bed_tear_down),
	};

	return cmocka_run_group_tests_name("ap/user_roaming", tests, users_bed_certificates,
					   users_bed_remove_certificates);
}
