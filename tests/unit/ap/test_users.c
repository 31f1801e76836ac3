/* SPDX-License-Identifier: Apache-2.0 */
#include "users_bed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "between.h"
#include "net/link.h"
#include "report/disks.h"
#include "wire/message.h"

/*
 * Ordinary clients at one access point, or two, each with an edge server: see users_bed.h. The linker has open()
 * go through here (meson.build).
 */

#define AP_COUNT 2

/* Files of users of AP-1 cannot be opened for reading: an error code, or 0 */
static int no_file;

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	va_list args;

	if (no_file && strncmp(path, users_bed.state_dir[0], strlen(users_bed.state_dir[0])) == 0 &&
	    strstr(path, ".json") && (flags & O_ACCMODE) == O_RDONLY) {
		errno = no_file;
		return -1;
	}
	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return __real_open64(path, flags, mode);
}

/* Files of users cannot be written */
static bool no_room;

int __real_openat64(int at, const char *name, int flags, ...);
int __wrap_openat64(int at, const char *name, int flags, ...);

int __wrap_openat64(int at, const char *name, int flags, ...)
{
	va_list args;

	if (no_room && strncmp(name, "user-", 5) == 0 && (flags & O_CREAT)) {
		errno = ENOSPC;
		return -1;
	}
	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return __real_openat64(at, name, flags, mode);
}

static int set_up(void **state)
{
	(void)state;
	users_bed_prepare(AP_COUNT);
	users_bed_start(0, true);
	return 0;
}

static int set_up_two(void **state)
{
	(void)state;
	users_bed_prepare(AP_COUNT);
	users_bed_start_all();
	return 0;
}

struct question {
	const char *service;
	size_t unanswered;
};

static void on_view(void *ctx, const struct users_view *view)
{
	struct question *q = ctx;

	if (strcmp(view->service, q->service) == 0)
		q->unanswered += view->unanswered;
}

/* Requests to a service without an answer, of all users at AP-1 */
static size_t unanswered(const char *service)
{
	struct question q = { .service = service };

	access_point_users(users_bed.ap[0], on_view, &q);
	return q.unanswered;
}

/* ---- tests: one access point ---- */

static void test_each_codec(void **state)
{
	struct client line, resp, http, frame, udp;

	(void)state;
	client_open(&line, "127.0.0.11", 0, "line");
	client_say(&line, "hello\n");
	expect(&line, "1 0 6\n");
	client_say(&line, "hello\nhello,");
	expect(&line, "2 0 6\n");
	client_say(&line, " world\n");
	expect(&line, "3 0 13\n");
	client_open(&resp, "127.0.0.11", 0, "resp");
	client_say(&resp, "PING\r\n*1\r\n$4\r\nPING\r\n");
	expect(&resp, "+1 0 6\r\n+2 0 14\r\n");
	client_open(&http, "127.0.0.11", 0, "http");
	client_say(&http, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&http, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n1 0 27");
	client_open(&frame, "127.0.0.11", 0, "frame");
	client_write(&frame, "\0\0\0\3abc\0\0\0\0", 11);
	wait_until(frame.len == 18);
	assert_memory_equal(frame.got,
			    "\0\0\0\005"
			    "1 0 3\0\0\0\005"
			    "2 0 0",
			    18);
	client_open(&udp, "127.0.0.11", 0, "udp");
	client_send(&udp, "hello");
	expect(&udp, "1 0 5");
	client_close(&line);
	client_close(&resp);
	client_close(&http);
	client_close(&frame);
	client_close(&udp);
}

/* Each address is a user of its own, with a container of its own; its connections share it */
static void test_users_are_addresses(void **state)
{
	struct client a, b, other;

	(void)state;
	client_open(&a, "127.0.0.11", 0, "line");
	client_open(&b, "127.0.0.11", 0, "line");
	client_open(&other, "127.0.0.12", 0, "line");
	client_say(&a, "x\n");
	expect(&a, "1 0 2\n");
	client_say(&b, "x\n");
	expect(&b, "2 0 2\n");
	client_say(&other, "x\n");
	expect(&other, "1 0 2\n");
	client_close(&a);
	client_close(&b);
	client_close(&other);
}

/* What a connection was told comes again with its next request, and not with another connection's */
static void test_state_of_connections(void **state)
{
	struct client a, b;

	(void)state;
	client_open(&a, "127.0.0.11", 0, "resp");
	client_open(&b, "127.0.0.11", 0, "resp");
	client_say(&a, "SELECT 1\r\n");
	expect(&a, "+1 0 10\r\n");
	client_say(&a, "PING\r\n");
	expect(&a, "+2 10 6\r\n");
	client_say(&b, "PING\r\n");
	expect(&b, "+3 0 6\r\n");
	client_say(&b, "MULTI\r\n");
	expect(&b, "+4 0 7\r\n");
	client_say(&b, "INCR a\r\n");
	expect(&b, "+5 7 8\r\n");
	client_say(&b, "EXEC\r\n");
	expect(&b, "+6 15 6\r\n");
	client_say(&b, "PING\r\n");
	expect(&b, "+7 0 6\r\n");
	client_close(&a);
	client_close(&b);
}

/* Refusals come in the client's own protocol, in their turn */
static void test_refusals(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "resp");
	client_say(&c, "PING\r\nSUBSCRIBE x\r\nPING\r\nHELLO 3\r\n");
	expect(&c, "+1 0 6\r\n"
		   "-ERR command SUBSCRIBE: its answers do not come one to a command\r\n"
		   "+2 0 6\r\n"
		   "+3 0 9\r\n");
	client_say(&c, "MULTI\r\nSUBSCRIBE x\r\nPING\r\n");
	wait_until(c.end);
	assert_int_equal(c.end, UV_EOF);
	assert_string_equal(c.got, "+4 9 7\r\n-ERR command SUBSCRIBE: its answers do not come one "
				   "to a command\r\n");
	client_close(&c);
	client_open(&c, "127.0.0.11", 0, "resp");
	client_say(&c, "QUIT\r\nPING\r\n");
	wait_until(c.end);
	assert_string_equal(c.got, "+5 0 6\r\n");
	client_close(&c);
	client_open(&c, "127.0.0.11", 0, "http");
	client_say(&c, "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n\n");
	wait_until(c.end);
	assert_int_equal(c.end, UV_EOF);
	assert_non_null(strstr(c.got, "1 0 18HTTP/1.1 400 Bad Request\r\n"));
	client_close(&c);
	client_open(&c, "127.0.0.11", 0, "frame");
	client_write(&c, "\1\0\0\0", 4);
	wait_until(c.end);
	assert_int_equal(c.len, 0);
	client_close(&c);
}

/* A body beyond the limit is refused while its client still sends; it gets to see the refusal */
static void test_large_bodies(void **state)
{
	static char piece[1000];
	struct client c;
	char head[96];

	(void)state;
	memset(piece, 'x', sizeof(piece));
	client_open(&c, "127.0.0.11", 0, "http");
	for (int i = 0; i < 3; i++) {
		int n = snprintf(head, sizeof(head),
				 "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");

		client_say(&c, head);
		for (int k = 0; k < 1000; k++)
			client_write(&c, piece, sizeof(piece));
		(void)snprintf(head, sizeof(head),
			       "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n%d 0 10000%d", i + 1,
			       n);
		expect(&c, head);
	}
	client_close(&c);
}

/* The access point says "100 Continue", after the answers that come before */
static void test_continue(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "http");
	client_say(&c, "GET / HTTP/1.1\r\n\r\n"
		       "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	expect(&c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n1 0 18"
		   "HTTP/1.1 100 Continue\r\n\r\n");
	client_say(&c, "abc");
	expect(&c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n2 0 62");
	client_say(&c, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
	wait_until(c.end);
	assert_int_equal(c.end, UV_EOF);
	assert_non_null(strstr(c.got, "\r\n\r\n3 0 37"));
	client_close(&c);
}

/* More requests than may be unanswered, in one go, by a client that then says no more */
static void test_pipeline(void **state)
{
	enum { COUNT = 3000 };
	struct client c;
	char want[32];

	(void)state;
	client_open(&c, "127.0.0.11", 0, "line");
	for (int i = 0; i < COUNT; i++)
		client_say(&c, "x\n");
	client_say_no_more(&c);
	wait_until(c.end);
	assert_int_equal(c.end, UV_EOF);
	const char *at = c.got;
	for (int i = 1; i <= COUNT; i++) {
		int n = snprintf(want, sizeof(want), "%d 0 2\n", i);

		assert_memory_equal(at, want, (size_t)n);
		at += n;
	}
	assert_ptr_equal(at, c.got + c.len);
	client_close(&c);
}

/* A request that came whole is executed though its client is gone; half a one is not */
static void test_client_goes(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\nhalf");
	client_close(&c);
	wait_until(fake_edge_executed(users_bed.edge[0]) == 1);
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "2 0 2\n");
	client_close(&c);
}

static void test_service_unknown_to_the_edge(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "nonesuch");
	client_say(&c, "GET / HTTP/1.1\r\n\r\n");
	wait_until(c.end);
	assert_non_null(strstr(c.got, "HTTP/1.1 503 Service Unavailable\r\n"));
	assert_non_null(strstr(c.got, "\r\nRetry-After: 1\r\n"));
	client_close(&c);
}

static void test_limit_of_connections(void **state)
{
	struct client c[4];

	(void)state;
	client_open(&c[0], "127.0.0.11", 0, "line");
	client_open(&c[1], "127.0.0.11", 0, "line");
	client_say(&c[0], "x\n");
	expect(&c[0], "1 0 2\n");
	client_say(&c[1], "half");
	/* of the user's two the one that waits for nothing makes room */
	client_open(&c[2], "127.0.0.11", 0, "line");
	wait_until(c[0].end);
	client_say(&c[2], "x\n");
	expect(&c[2], "2 0 2\n");
	client_say(&c[1], "\n");
	expect(&c[1], "3 0 5\n");
	client_open(&c[3], "127.0.0.12", 0, "line");
	client_say(&c[3], "x\n");
	wait_until(c[3].end); /* the limit of all */
	for (int i = 0; i < 4; i++)
		client_close(&c[i]);
}

static int set_up_with_limits(void **state)
{
	users_bed.limits =
		(struct users_limits){ .user_connections_max = 2, .client_connections_max = 2 };
	return set_up(state);
}

/* One request of a user on a connection of its own; it is the @count-th of its container */
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
	use_as("127.0.0.11", index, count);
}

struct state_question {
	const char *user;
	const char *state;
	size_t found;
};

static void on_state(void *ctx, const struct users_view *view)
{
	struct state_question *q = ctx;

	q->found += (!q->user || strcmp(view->user, q->user) == 0) &&
		    (!q->state || strcmp(view->state, q->state) == 0);
}

/* Sessions in memory at an access point in that state; NULL: in any */
static size_t in_state(int index, const char *state)
{
	struct state_question q = { .state = state };

	access_point_users(users_bed.ap[index], on_state, &q);
	return q.found;
}

/* R15: its connections end, and its container stays: it finds it again */
static void test_silent_user_is_kept(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	wait_until(c.end);
	client_close(&c);
	assert_int_equal(in_state(0, "away"), 1);
	assert_int_equal(fake_edge_state(users_bed.edge[0]), WIRE_ES_ACTIVE);
	use(0, 2);
}

/* R15: and only after keep is it ended */
static void test_kept_for_so_long(void **state)
{
	(void)state;
	use(0, 1);
	wait_until(in_state(0, "away") == 1);
	assert_int_equal(fake_edge_state(users_bed.edge[0]), WIRE_ES_ACTIVE);
	wait_until(fake_edge_state(users_bed.edge[0]) == WIRE_ES_NONE);
	assert_int_equal(in_state(0, NULL), 0);
	use(0, 1);
}

static int set_up_impatient(void **state)
{
	users_bed.limits = (struct users_limits){ .idle_ms = 200 };
	return set_up(state);
}

static int set_up_not_kept(void **state)
{
	users_bed.keep_ms = 1000;
	return set_up_impatient(state);
}

/* The link to the edge server breaks: requests wait, and nobody notices but by the time it takes */
static void test_edge_link_breaks(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "resp");
	client_say(&c, "PING\r\n");
	expect(&c, "+1 0 6\r\n");
	fake_edge_hang_up(users_bed.edge[0]);
	client_say(&c, "PING\r\nPING\r\n");
	expect(&c, "+2 0 6\r\n+3 0 6\r\n");
	client_close(&c);
}

/* ---- tests: two access points ---- */

/* The user turns up elsewhere: its connections here are reset, and it finds its container again */
static void test_user_moves(void **state)
{
	struct client here, there;

	(void)state;
	client_open(&here, "127.0.0.11", 0, "resp");
	client_say(&here, "PING\r\n");
	expect(&here, "+1 0 6\r\n");
	client_open(&there, "127.0.0.11", 1, "resp");
	client_say(&there, "PING\r\n");
	expect(&there, "+2 0 6\r\n");
	wait_until(here.end);
	assert_int_equal(here.end, UV_ECONNRESET);
	client_close(&here);
	wait_until(fake_edge_state(users_bed.edge[1]) == WIRE_ES_ACTIVE);
	client_say(&there, "PING\r\n");
	expect(&there, "+3 0 6\r\n");
	assert_int_equal(fake_edge_executed(users_bed.edge[1]), 3);
	/* and back, before the other has retired it */
	client_open(&here, "127.0.0.11", 0, "resp");
	client_say(&here, "PING\r\n");
	expect(&here, "+4 0 6\r\n");
	wait_until(there.end);
	client_close(&there);
	wait_until(fake_edge_state(users_bed.edge[0]) == WIRE_ES_ACTIVE);
	client_say(&here, "PING\r\n");
	expect(&here, "+5 0 6\r\n");
	client_close(&here);
}

/* Of many requests on their way each is executed once; the answers of those on a connection that ended
 * are dropped, those to datagrams arrive */
static void test_user_moves_with_requests(void **state)
{
	enum { COUNT = 50 };
	struct client here, udp, there, again;

	(void)state;
	client_open(&here, "127.0.0.11", 0, "line");
	client_say(&here, "x\n");
	expect(&here, "1 0 2\n");
	client_open(&udp, "127.0.0.11", 0, "udp");
	client_send(&udp, "x");
	expect(&udp, "1 0 1");
	udp.datagrams = 0;
	fake_edge_pause(users_bed.edge[0], true);
	for (int i = 0; i < COUNT; i++) {
		client_say(&here, "x\n");
		client_send(&udp, "x");
	}
	wait_until(unanswered("line") == COUNT && unanswered("udp") == COUNT);
	client_open(&there, "127.0.0.11", 1, "line");
	client_say(&there, "x\n");
	wait_until(here.end);
	assert_int_equal(here.len, 0);
	client_close(&here);
	fake_edge_pause(users_bed.edge[0], false);
	char want[32];
	(void)snprintf(want, sizeof(want), "%d 0 2\n", COUNT + 2);
	expect(&there, want);
	/* the port is another's business: at the other access point it cannot be this test's socket, whose
	 * datagrams were sent to the first; that the answers came there is told by the count */
	client_open(&again, "127.0.0.11", 1, "udp");
	client_send(&again, "x");
	(void)snprintf(want, sizeof(want), "%d 0 1", COUNT + 2);
	expect(&again, want);
	client_close(&udp);
	client_close(&again);
	client_close(&there);
}

/* A user that nobody knows begins anew at once */
static void test_new_user(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 1, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	client_close(&c);
}

/* With when_unreachable = "begin" an access point that does not answer is waited for, but not for ever */
static void test_other_access_point_is_gone(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	client_close(&c);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	client_open(&c, "127.0.0.11", 1, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	client_close(&c);
}

static int set_up_two_hasty(void **state)
{
	(void)state;
	users_bed_prepare(AP_COUNT);
	users_bed.move_ms = 300;
	users_bed.unreachable = USERS_BEGIN;
	users_bed_start_all();
	return 0;
}

/* Both claim a user that neither knows; the one that heard it last has it, the other finds it there */
static void test_both_claim(void **state)
{
	struct client a, b;

	(void)state;
	client_open(&a, "127.0.0.11", 0, "line");
	client_open(&b, "127.0.0.11", 1, "line");
	client_say(&b, "x\n");
	expect(&b, "1 0 2\n");
	wait_until(a.end);
	client_close(&a);
	client_close(&b);
}

/* The operator says where the user is, before it has sent anything there */
static void test_associate(void **state)
{
	struct client c;
	struct err err = { 0 };

	(void)state;
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	client_close(&c);
	assert_int_equal(access_point_associate(users_bed.ap[1], "127.0.0.11", NULL, &err), 0);
	wait_until(fake_edge_state(users_bed.edge[1]) == WIRE_ES_ACTIVE);
	client_open(&c, "127.0.0.11", 1, "line");
	client_say(&c, "x\n");
	expect(&c, "2 0 2\n");
	client_close(&c);
	/* a service it did not use yet: its container is made */
	assert_int_equal(access_point_associate(users_bed.ap[1], "127.0.0.12", "line", &err), 0);
	wait_until(fake_edge_sessions(users_bed.edge[1]) == 2);
	assert_int_equal(access_point_associate(users_bed.ap[1], "nobody", NULL, &err), -EINVAL);
	assert_int_equal(access_point_associate(users_bed.ap[1], "127.0.0.12", "no", &err),
			 -EINVAL);
}

/* ---- tests: IPv6 ---- */

static int set_up_all_addresses(void **state)
{
	(void)state;
	if (!users_bed_can_bind("::1"))
		return 0;
	users_bed_prepare(AP_COUNT);
	users_bed.listen_ip = "[::]";
	users_bed_start_all();
	return 0;
}

static int tear_down_all_addresses(void **state)
{
	return users_bed_can_bind("::1") ? users_bed_tear_down(state) : 0;
}

static void need_ipv6(void)
{
	if (users_bed_can_bind("::1"))
		return;
	print_message("SKIP: this machine has no IPv6: ::1 is not there\n");
	skip();
}

struct names {
	const char *name, *address;
	bool found;
};

static void on_name(void *ctx, const struct users_view *view)
{
	struct names *n = ctx;

	n->found = n->found ||
		   (strcmp(view->user, n->name) == 0 && strcmp(view->address, n->address) == 0);
}

static bool is_known(int index, const char *name, const char *address)
{
	struct names n = { .name = name, .address = address };

	access_point_users(users_bed.ap[index], on_name, &n);
	return n.found;
}

/* One listener for both families: who comes by IPv4 is known by that address. */
static void test_both_families(void **state)
{
	struct client six, four, udp_six, udp_four;

	(void)state;
	need_ipv6();
	client_open(&six, "::1", 0, "line");
	client_open(&four, "127.0.0.11", 0, "line");
	client_open(&udp_six, "::1", 0, "udp");
	client_open(&udp_four, "127.0.0.11", 0, "udp");
	client_say(&six, "x\nx\n");
	expect(&six, "1 0 2\n2 0 2\n");
	client_say(&four, "x\n");
	expect(&four, "1 0 2\n");
	client_send(&udp_six, "x");
	expect(&udp_six, "1 0 1");
	client_send(&udp_four, "xx");
	expect(&udp_four, "1 0 2");
	assert_true(is_known(0, "user---1", "::1"));
	assert_true(is_known(0, "user-127.0.0.11", "127.0.0.11"));
	client_close(&six);
	client_close(&four);
	client_close(&udp_six);
	client_close(&udp_four);
}

/* Users of either family move alike, by themselves or by an operator's word */
static void test_both_families_move(void **state)
{
	static const char *const ip[] = { "::1", "127.0.0.11" };
	static const char *const word[] = { "0:0::1", "::ffff:127.0.0.11" };
	struct client here, there, udp;
	struct err err;

	(void)state;
	need_ipv6();
	for (size_t i = 0; i < ARRAY_SIZE(ip); i++) {
		client_open(&here, ip[i], 0, "line");
		client_say(&here, "x\n");
		expect(&here, "1 0 2\n");
		client_open(&there, ip[i], 1, "line");
		client_say(&there, "x\n");
		expect(&there, "2 0 2\n");
		wait_until(here.end);
		assert_int_equal(here.end, UV_ECONNRESET);
		client_close(&here);
		client_open(&udp, ip[i], 1, "udp");
		client_send(&udp, "x");
		expect(&udp, "1 0 1");
		client_close(&udp);
		assert_int_equal(access_point_associate(users_bed.ap[0], word[i], NULL, &err), 0);
		wait_until(there.end);
		client_close(&there);
		client_open(&udp, ip[i], 0, "udp");
		client_send(&udp, "x");
		expect(&udp, "2 0 1");
		client_close(&udp);
	}
	assert_int_equal(access_point_associate(users_bed.ap[0], "::1%lo", NULL, &err), -EINVAL);
	assert_int_equal(access_point_associate(users_bed.ap[0], "[::1]", NULL, &err), -EINVAL);
}

/* ---- tests: rogues ---- */

/* One that speaks the protocol by itself */
#define USERS_ELSEWHERE 8 /* sessions of services that no listener here offers */

struct speaker {
	struct peer *peer;
	int up, down, ended;
	uint64_t claim;          /* that came */
	enum wire_status status; /* of the last USER END */
	size_t services;         /* in the last answer to an inquiry */
	int answers;
};

static void on_speaker_up(void *ctx, struct link *l)
{
	(void)l;
	((struct speaker *)ctx)->up++;
}

static size_t count_services(const struct wire_text *t)
{
	static const char word[] = "\"service\":";
	size_t n = 0;

	for (const uint8_t *at = t->bytes;
	     (at = memmem(at, t->len - (size_t)(at - t->bytes), word, sizeof(word) - 1)); at++)
		n++;
	return n;
}

static void on_speaker_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct speaker *s = ctx;

	(void)l;
	if (m->type == WIRE_USER_CLAIM)
		s->claim = m->user_claim.claim;
	if (m->type == WIRE_INQUIRY_ANSWER) {
		s->answers++;
		s->services = count_services(&m->text);
	}
	if (m->type != WIRE_USER_END)
		return;
	s->ended++;
	s->status = m->user_end.status;
}

static void on_speaker_down(void *ctx, struct link *l, const char *reason)
{
	(void)l;
	(void)reason;
	((struct speaker *)ctx)->down++;
}

static const struct link_ops speaker_ops = {
	.up = on_speaker_up,
	.message = on_speaker_message,
	.down = on_speaker_down,
};

static void speak(struct speaker *s, struct tls_context *tls, uint16_t port)
{
	const struct link_setup setup = { .loop = &users_bed.loop,
					  .tls = tls,
					  .ops = &speaker_ops,
					  .ctx = s,
					  .limits = { .retry_max_ms = 50 } };
	char address[32];

	*s = (struct speaker){ 0 };
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(peer_new(&s->peer, &setup, "AP-1", WIRE_ROLE_AP, address, NULL), 0);
	wait_until(s->up);
}

static struct wire_message claim(enum wire_type type, uint64_t silent_ms)
{
	struct wire_message m = { .type = type,
				  .user_claim = { .claim = 7, .silent_ms = silent_ms } };

	strcpy(m.user_claim.user, "user-127.0.0.11");
	return m;
}

/* R11: only access points may claim, only what was asked for is taken, and who is here stays here */
static void test_rogue_claim(void **state)
{
	struct wire_message m = claim(WIRE_USER_CLAIM, 0);
	struct speaker device, other;
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	speak(&device, users_bed.mud_tls, access_point_station_port(users_bed.ap[0]));
	assert_int_equal(link_send(peer_link(device.peer), &m), 0);
	wait_until(device.down);
	peer_close(device.peer);

	speak(&other, users_bed.ap_tls[1], access_point_port(users_bed.ap[0]));
	m = claim(WIRE_USER_TAKEN, 0); /* nothing was given */
	assert_int_equal(link_send(peer_link(other.peer), &m), 0);
	m = (struct wire_message){ .type = WIRE_USER_CONTEXT, .session = 9, .association = 1 };
	strcpy(m.user_context.user, "user-127.0.0.11");
	strcpy(m.user_context.service, "line");
	m.user_context.claim = 7;
	m.user_context.next = 1;
	assert_int_equal(link_send(peer_link(other.peer), &m), 0);
	m = claim(WIRE_USER_CLAIM, 60000); /* heard there a minute ago, here just now */
	assert_int_equal(link_send(peer_link(other.peer), &m), 0);
	wait_until(other.ended == 1);
	assert_int_equal(other.status, WIRE_E_NOT_ALLOWED);
	client_say(&c, "x\n");
	expect(&c, "2 0 2\n");
	peer_close(other.peer);
	client_close(&c);
}

/* The other access point begins to give a user, and falls silent: half of a session is none */
static void test_half_a_context(void **state)
{
	struct wire_message m = { .type = WIRE_USER_CONTEXT, .session = 9, .association = 1 };
	struct speaker other;
	struct client c;

	(void)state;
	speak(&other, users_bed.ap_tls[1], access_point_port(users_bed.ap[0]));
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	wait_until(other.claim);
	strcpy(m.user_context.user, "user-127.0.0.11");
	strcpy(m.user_context.service, "line");
	m.user_context.claim = other.claim;
	m.user_context.ack = 3;
	m.user_context.next = 6;
	assert_int_equal(link_send(peer_link(other.peer), &m), 0);
	expect(&c, "1 0 2\n");
	peer_close(other.peer);
	client_close(&c);
}

/* R9: an access point that gives a user has no way to make sessions without bound */
static void test_context_flood(void **state)
{
	struct wire_message m = { .type = WIRE_USER_CONTEXT, .association = 1 };
	struct wire_message inquiry = { .type = WIRE_INQUIRY, .session = 1 };
	struct speaker other, asking;
	struct client c;

	(void)state;
	speak(&other, users_bed.ap_tls[1], access_point_port(users_bed.ap[0]));
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	wait_until(other.claim);
	strcpy(m.user_context.user, "user-127.0.0.11");
	m.user_context.claim = other.claim;
	m.user_context.next = 1;
	for (unsigned int i = 0; i < 300; i++) {
		m.session = 100 + i;
		(void)snprintf(m.user_context.service, NAME_SIZE, "elsewhere-%u", i);
		assert_int_equal(link_send(peer_link(other.peer), &m), 0);
	}
	/* the claim comes to its end when nothing comes of it */
	expect(&c, "1 0 2\n");
	speak(&asking, users_bed.operator_tls, access_point_port(users_bed.ap[0]));
	inquiry.text.bytes = (const uint8_t *)"users";
	inquiry.text.len = 5;
	assert_int_equal(link_send(peer_link(asking.peer), &inquiry), 0);
	wait_until(asking.answers);
	assert_true(between(asking.services, 1, 1 + USERS_ELSEWHERE));
	peer_close(asking.peer);
	peer_close(other.peer);
	client_close(&c);
}

static int set_up_one_hasty(void **state)
{
	(void)state;
	users_bed_prepare(AP_COUNT);
	users_bed.move_ms = 300;
	users_bed.unreachable = USERS_BEGIN;
	users_bed_start(0, false);
	return 0;
}

/* ---- tests: restarts ---- */

static int set_up_remembering(void **state)
{
	(void)state;
	users_bed_prepare(AP_COUNT);
	for (int i = 0; i < AP_COUNT; i++) {
		(void)snprintf(users_bed.state_dir[i], sizeof(users_bed.state_dir[i]), "%s",
			       "/tmp/test_users.XXXXXX");
		assert_non_null(mkdtemp(users_bed.state_dir[i]));
		users_bed_start(i, false);
	}
	return 0;
}

/* A file that a test expects to be there when all access points have ended, or "" */
static char left_behind[128], also_left_behind[128];

static void expect_file(int index, const char *name)
{
	(void)snprintf(left_behind, sizeof(left_behind), "%s/%s", users_bed.state_dir[index], name);
}

/* Whether access points have only the files that are expected: one that has given a user away waits for the receipt */
static bool only_expected_files(void)
{
	char path[128];
	bool only = true;

	for (int i = 0; i < AP_COUNT; i++) {
		(void)snprintf(path, sizeof(path), "%s/user-127.0.0.11.json",
			       users_bed.state_dir[i]);
		if (strcmp(path, left_behind) != 0 && strcmp(path, also_left_behind) != 0)
			only = only && access(path, F_OK) < 0;
	}
	return only;
}

static int tear_down_remembering(void **state)
{
	if (left_behind[0])
		wait_until(only_expected_files());
	int r = users_bed_tear_down(state);

	if (left_behind[0])
		assert_int_equal(unlink(left_behind), 0);
	if (also_left_behind[0])
		assert_int_equal(unlink(also_left_behind), 0);
	left_behind[0] = '\0';
	also_left_behind[0] = '\0';
	for (int i = 0; i < AP_COUNT; i++) {
		assert_int_equal(rmdir(users_bed.state_dir[i]),
				 0); /* nobody is remembered for ever */
		users_bed.state_dir[i][0] = '\0';
	}
	return r;
}

static void restart(int index)
{
	access_point_close(TAKE_PTR(users_bed.ap[index]));
	uv_run(&users_bed.loop, UV_RUN_NOWAIT);
	users_bed_start(index, false);
}

/* R7: the user finds its session, and the numbers go on; requests on their way are executed once */
static void test_restart(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	fake_edge_pause(users_bed.edge[0], true);
	client_say(&c, "x\nx\nx\n");
	wait_until(unanswered("line") == 3);
	wait_until(fake_edge_received(users_bed.edge[0]) == 4);
	restart(0);
	client_close(&c);
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	fake_edge_pause(users_bed.edge[0], false);
	expect(&c, "5 0 2\n");
	/* again, and now the user turns up elsewhere */
	restart(0);
	client_close(&c);
	client_open(&c, "127.0.0.11", 1, "line");
	client_say(&c, "x\n");
	expect(&c, "6 0 2\n");
	wait_until(fake_edge_state(users_bed.edge[1]) == WIRE_ES_ACTIVE);
	client_say(&c, "x\n");
	expect(&c, "7 0 2\n");
	client_close(&c);
	expect_file(1, "user-127.0.0.11.json");
}

/* R15: the user came, and nothing of it is on the disk yet: the access point that it came from keeps its copy */
static void test_taken_when_written(void **state)
{
	(void)state;
	use(0, 1);
	assert_int_equal(rmdir(users_bed.state_dir[1]), 0); /* nothing can be written */
	use(1, 2);
	access_point_close(TAKE_PTR(users_bed.ap[1]));
	uv_run(&users_bed.loop, UV_RUN_NOWAIT);
	assert_int_equal(mkdir(users_bed.state_dir[1], 0700), 0);
	users_bed_start(1, false);
	use(1, 3);
	expect_file(1, "user-127.0.0.11.json");
}

/* ---- tests: users that are away, and access points that cannot be asked ---- */

/* What the access point itself answers a client that speaks HTTP, until its connection ends */
static void be_refused_as(const char *user, int index, const char *why)
{
	struct client c;

	client_open(&c, user, index, "http");
	client_say(&c, "GET / HTTP/1.1\r\n\r\n");
	wait_until(c.end);
	assert_non_null(c.got);
	assert_non_null(strstr(c.got, "HTTP/1.1 503 Service Unavailable\r\n"));
	if (!strstr(c.got, why))
		fail_msg("got \"%s\", want \"%s\" in it", c.got, why);
	client_close(&c);
}

static void be_refused(int index, const char *why)
{
	be_refused_as("127.0.0.11", index, why);
}

static int set_up_remembering_hasty(void **state)
{
	(void)set_up_remembering(state);
	for (int i = 0; i < AP_COUNT; i++) {
		access_point_close(TAKE_PTR(users_bed.ap[i]));
		uv_run(&users_bed.loop, UV_RUN_NOWAIT);
	}
	users_bed.move_ms = 1500;
	for (int i = 0; i < AP_COUNT; i++)
		users_bed_start(i, false);
	return 0;
}

/* R15: the access point that has its sessions is down. The user is refused, with the reason, until it is back */
static void test_refused(void **state)
{
	(void)state;
	use(0, 1);
	use(0, 2);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	be_refused(1, "AP-1 cannot be asked for the sessions of user-127.0.0.11");
	be_refused(1, "AP-1 cannot be asked");
	assert_int_equal(fake_edge_sessions(users_bed.edge[1]), 0);
	users_bed_start(0, false);
	wait_until(in_state(1, "associated") == 1);
	use(1, 3);
	expect_file(1, "user-127.0.0.11.json");
}

/* The operator removes an access point that is gone for good: nobody waits for it any more */
static void test_refused_until_removed(void **state)
{
	struct err err = { 0 };

	(void)state;
	use(0, 1);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	be_refused(1, "AP-1 cannot be asked");
	assert_int_equal(users_bed_change(1, true, &err), 0);
	wait_until(in_state(1, "refused") == 0);
	use(1, 1);
	expect_file(1, "user-127.0.0.11.json");
	(void)snprintf(also_left_behind, sizeof(also_left_behind), "%s/user-127.0.0.11.json",
		       users_bed.state_dir[0]);
}

/* ... and does not keep the user from a third place: here back to where it was */
static void test_refused_and_back(void **state)
{
	(void)state;
	use(0, 1);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	be_refused(1, "AP-1 cannot be asked");
	users_bed_start(0, false);
	use(0, 2);
	expect_file(0, "user-127.0.0.11.json");
}

/* One whose sessions were here last continues though another access point is down */
static void test_own_sessions_go_on(void **state)
{
	(void)state;
	use(0, 1);
	access_point_close(TAKE_PTR(users_bed.ap[1]));
	restart(0);
	use(0, 2);
	expect_file(0, "user-127.0.0.11.json");
}

/* R15: the edge server that has the session cannot be asked: no client waits for ever, and none is served anew */
static void test_edge_server_out_of_reach(void **state)
{
	static char address[32];
	struct client c;

	(void)state;
	client_open(&c, "127.0.0.11", 0, "http");
	client_say(&c, "GET / HTTP/1.1\r\n\r\n");
	wait_until(c.len);
	client_close(&c);
	(void)snprintf(address, sizeof(address), "%s", fake_edge_address(users_bed.edge[0]));
	users_bed.edge_address[0] = address;
	fake_edge_close(TAKE_PTR(users_bed.edge[0]));
	restart(0);
	be_refused(0, "EdgeServer-1 may have the session, and does not answer");
	be_refused(0, "EdgeServer-1 may have the session, and does not answer");
	assert_int_equal(fake_edge_sessions(users_bed.edge[1]), 0);
	expect_file(0, "user-127.0.0.11.json");
}

/* R15: its claim is refused, for the user went on; that does not cost the user the sessions that were here */
static void test_refused_claimant_keeps_sessions(void **state)
{
	struct client here, there;

	(void)state;
	use(0, 1);
	restart(0);
	client_open(&here, "127.0.0.11", 0, "line"); /* the links are not up yet: both claim */
	uint64_t now = uv_now(&users_bed.loop);
	wait_until(uv_now(&users_bed.loop) > now + 1);
	client_open(&there, "127.0.0.11", 1, "line");
	client_say(&there, "x\n");
	expect(&there, "2 0 2\n");
	wait_until(here.end);
	client_close(&here);
	client_close(&there);
	expect_file(1, "user-127.0.0.11.json");
}

/* R15: a user that is away is in its file, in no table, and is found: here, and by another access point */
static void test_away_in_a_file(void **state)
{
	(void)state;
	use(0, 1);
	wait_until(in_state(0, NULL) == 0);
	assert_int_equal(fake_edge_state(users_bed.edge[0]), WIRE_ES_ACTIVE);
	use(0, 2);
	wait_until(in_state(0, NULL) == 0);
	restart(0);
	use(0, 3);
	wait_until(in_state(0, NULL) == 0);
	use(1, 4);
	wait_until(fake_edge_state(users_bed.edge[1]) == WIRE_ES_ACTIVE);
	use(1, 5);
	expect_file(1, "user-127.0.0.11.json");
}

/* R9: those that are away take up no places */
static void test_away_beyond_the_limit(void **state)
{
	char user[16], name[32];

	(void)state;
	for (int k = 11; k < 16; k++) {
		(void)snprintf(user, sizeof(user), "127.0.0.%d", k);
		use_as(user, 0, 1);
		wait_until(in_state(0, NULL) == 0);
	}
	for (int k = 11; k < 16; k++) {
		(void)snprintf(user, sizeof(user), "127.0.0.%d", k);
		use_as(user, 0, 2);
		wait_until(in_state(0, NULL) == 0);
		(void)snprintf(name, sizeof(name), "user-127.0.0.%d.json", k);
		expect_file(0, name);
		if (k < 15)
			assert_int_equal(unlink(left_behind), 0);
	}
}

static int set_up_away(void **state)
{
	users_bed.limits = (struct users_limits){ .idle_ms = 200, .users_max = 2 };
	return set_up_remembering(state);
}

/* The operator's word that a user has left, to AP-1 */
static void disassociate(const char *user)
{
	struct wire_message inquiry = { .type = WIRE_INQUIRY, .session = 1 };
	struct speaker asking;
	char text[64];

	(void)snprintf(text, sizeof(text), "disassociate %s", user);
	speak(&asking, users_bed.operator_tls, access_point_port(users_bed.ap[0]));
	inquiry.text.bytes = (const uint8_t *)text;
	inquiry.text.len = strlen(text);
	assert_int_equal(link_send(peer_link(asking.peer), &inquiry), 0);
	wait_until(asking.answers);
	peer_close(asking.peer);
}

/* R15: a session ends by an operator's word: of a user that is here, and of one that is in a file only */
static void test_disassociate(void **state)
{
	(void)state;
	use(0, 1);
	disassociate("127.0.0.11");
	wait_until(fake_edge_state(users_bed.edge[0]) == WIRE_ES_NONE);
	use(0, 1);
	wait_until(in_state(0, NULL) == 0);
	disassociate("127.0.0.12"); /* nobody */
	assert_int_equal(fake_edge_state(users_bed.edge[0]), WIRE_ES_ACTIVE);
	disassociate("127.0.0.11");
	wait_until(fake_edge_state(users_bed.edge[0]) == WIRE_ES_NONE);
	use(0, 1);
	expect_file(0, "user-127.0.0.11.json");
}

/* After keep the file is gone, and so is the session */
static void test_file_is_kept_for_so_long(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/user-127.0.0.11.json", users_bed.state_dir[0]);
	use(0, 1);
	expect_file(0, "user-127.0.0.11.json");
	wait_until(in_state(0, NULL) == 0);
	wait_until(fake_edge_state(users_bed.edge[0]) == WIRE_ES_NONE);
	wait_until(access(path, F_OK) < 0);
	use(0, 1);
	expect_file(0, "user-127.0.0.11.json");
}

static int set_up_away_not_kept(void **state)
{
	users_bed.keep_ms = 1500;
	return set_up_away(state);
}

/* AP-2 knows AP-1, which does not know it: no user is handed over, and its user is told so */
static void test_unknown_access_point(void **state)
{
	struct client c;

	(void)state;
	users_bed_start(0, true);
	users_bed_start(1, false);
	client_open(&c, "127.0.0.11", 0, "line");
	client_say(&c, "x\n");
	expect(&c, "1 0 2\n");
	be_refused(1, "AP-1 (which does not know this one) cannot be asked");
	client_say(&c, "x\n"); /* it was not claimed */
	expect(&c, "2 0 2\n");
	client_close(&c);
	access_point_close(TAKE_PTR(users_bed.ap[0]));
}

static int set_up_two_unequal(void **state)
{
	(void)state;
	users_bed_prepare(AP_COUNT);
	users_bed.move_ms = 1500;
	return 0;
}

/* Path of the user's file at an access point */
static const char *users_file(int index)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/user-127.0.0.11.json", users_bed.state_dir[index]);
	return path;
}

/* R15: what stands there and is no record is not taken for "there is none": the operator decides */
static void test_bad_records(void **state)
{
	static const char short_secret[] =
		"{\"version\": 1, \"user\": \"user-127.0.0.11\", \"sessions\": [{\"service\": "
		"\"line\","
		" \"session\": \"12\", \"secret\": \"00\", \"association\": 1, \"edges\": []}]}";
	const char *const records[] = {
		"",
		"{",
		"[]",
		"{\"version\": 2, \"user\": \"user-127.0.0.11\", \"sessions\": []}",
		"{\"version\": 1, \"user\": \"user-127.0.0.12\", \"sessions\": []}",
		"{\"version\": 1, \"user\": \"user-127.0.0.11\", \"sessions\": {}}",
		"{\"version\": 1, \"user\": \"user-127.0.0.11\", \"sessions\": [{}, 1, null]}",
		short_secret,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		auto_fclose FILE *f = fopen(users_file(0), "we");

		assert_non_null(f);
		assert_true(fputs(records[i], f) >= 0);
		assert_int_equal(fflush(f), 0);
		restart(0);
		be_refused(0, "AP-1 cannot read what it knows of user-127.0.0.11");
	}
	assert_int_equal(fake_edge_sessions(users_bed.edge[0]), 0);
	assert_int_equal(unlink(users_file(0)), 0);
	wait_until(in_state(0, "refused") == 0);
	use(0, 1);
	expect_file(0, "user-127.0.0.11.json");
}

/* R15: its file cannot be read at the moment. The user is refused, and continues when it can */
static void test_file_cannot_be_read(void **state)
{
	const int codes[] = { EMFILE, ENOMEM, EIO };
	int n = 1;

	(void)state;
	use(0, n);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		restart(0);
		no_file = codes[i];
		be_refused(0, strerror(codes[i]));
		no_file = 0;
		wait_until(in_state(0, "refused") == 0);
		use(0, ++n);
	}
	assert_int_equal(fake_edge_sessions(users_bed.edge[0]), 1);
	expect_file(0, "user-127.0.0.11.json");
}

/* R15: another access point that claims the user waits for what is in the file, too */
static void test_claimed_file_cannot_be_read(void **state)
{
	(void)state;
	use(0, 1);
	restart(0);
	no_file = EIO;
	be_refused(1, "AP-1 cannot be asked for the sessions of user-127.0.0.11");
	assert_int_equal(fake_edge_sessions(users_bed.edge[1]), 0);
	no_file = 0;
	wait_until(in_state(1, "associated") == 1);
	use(1, 2);
	expect_file(1, "user-127.0.0.11.json");
}

/* The disk is full: users that are here go on, others are refused; when there is room, all are written down */
static void test_no_room_for_files(void **state)
{
	static const char *const users[] = { "127.0.0.11", "127.0.0.12", "127.0.0.13" };
	char path[128];

	(void)state;
	use_as(users[0], 0, 1);
	no_room = true;
	use_as(users[1], 0, 1); /* nobody has noticed yet */
	uint64_t now = uv_now(&users_bed.loop);
	wait_until(uv_now(&users_bed.loop) > now + 2 * DISKS_MS);
	be_refused_as(users[2], 0, "AP-1 takes no new users, for its state_dir is full");
	assert_int_equal(fake_edge_sessions(users_bed.edge[0]), 2);
	use_as(users[0], 0, 2);
	use_as(users[1], 0, 2);
	no_room = false;
	wait_until(in_state(0, "refused") == 0);
	use_as(users[2], 0, 1);
	restart(0);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		use_as(users[i], 0, i == 2 ? 2 : 3);
		(void)snprintf(path, sizeof(path), "%s/user-%s.json", users_bed.state_dir[0],
			       users[i]);
		wait_until(access(path, F_OK) == 0);
	}
	access_point_close(TAKE_PTR(users_bed.ap[0]));
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		(void)snprintf(path, sizeof(path), "%s/user-%s.json", users_bed.state_dir[0],
			       users[i]);
		assert_int_equal(unlink(path), 0);
	}
}

#define with_two(test)          cmocka_unit_test_setup_teardown(test, set_up_two, users_bed_tear_down)
#define with_access_point(test) cmocka_unit_test_setup_teardown(test, set_up, users_bed_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_access_point(test_each_codec),
		with_access_point(test_users_are_addresses),
		with_access_point(test_state_of_connections),
		with_access_point(test_refusals),
		with_access_point(test_large_bodies),
		with_access_point(test_continue),
		with_access_point(test_pipeline),
		with_access_point(test_client_goes),
		with_access_point(test_service_unknown_to_the_edge),
		cmocka_unit_test_setup_teardown(test_limit_of_connections, set_up_with_limits,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_silent_user_is_kept, set_up_impatient,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_kept_for_so_long, set_up_not_kept,
						users_bed_tear_down),
		with_access_point(test_edge_link_breaks),
		with_two(test_user_moves),
		with_two(test_user_moves_with_requests),
		with_two(test_new_user),
		with_two(test_both_claim),
		with_two(test_associate),
		cmocka_unit_test_setup_teardown(test_both_families, set_up_all_addresses,
						tear_down_all_addresses),
		cmocka_unit_test_setup_teardown(test_both_families_move, set_up_all_addresses,
						tear_down_all_addresses),
		cmocka_unit_test_setup_teardown(test_rogue_claim, set_up_one_hasty,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_half_a_context, set_up_one_hasty,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_context_flood, set_up_one_hasty,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_restart, set_up_remembering,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_taken_when_written, set_up_remembering,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_refused, set_up_remembering_hasty,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_refused_until_removed,
						set_up_remembering_hasty, tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_refused_and_back, set_up_remembering_hasty,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_edge_server_out_of_reach,
						set_up_remembering_hasty, tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_refused_claimant_keeps_sessions,
						set_up_remembering_hasty, tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_own_sessions_go_on, set_up_remembering_hasty,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_away_in_a_file, set_up_away,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_disassociate, set_up_away,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_away_beyond_the_limit, set_up_away,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_file_is_kept_for_so_long, set_up_away_not_kept,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_unknown_access_point, set_up_two_unequal,
						users_bed_tear_down),
		cmocka_unit_test_setup_teardown(test_file_cannot_be_read, set_up_remembering,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_claimed_file_cannot_be_read,
						set_up_remembering_hasty, tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_no_room_for_files, set_up_remembering,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_bad_records, set_up_remembering,
						tear_down_remembering),
		cmocka_unit_test_setup_teardown(test_other_access_point_is_gone, set_up_two_hasty,
						users_bed_tear_down),
	};

	return cmocka_run_group_tests_name("ap/users", tests, users_bed_certificates,
					   users_bed_remove_certificates);
}
