/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "net/acceptor.h"
#include "net/address.h"
#include "net/handshakes.h"
#include "wait_until.h"

#define LIMIT_MS 20000
#define CLIENTS  6

struct seen {
	int accepted;
	int refused;
	int fd[CLIENTS];
	char reason[256];
};

static uv_loop_t loop;

static void on_accepted(void *ctx, int fd, const struct sockaddr_storage *from)
{
	struct seen *seen = ctx;

	assert_int_equal(from->ss_family, AF_INET);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	seen->fd[seen->accepted++] = fd;
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	struct seen *seen = ctx;

	(void)who;
	seen->refused++;
	(void)snprintf(seen->reason, sizeof(seen->reason), "%s", reason);
}

static const struct acceptor_ops ops = { .accepted = on_accepted, .refused = on_refused };

#define wait_until(condition) wait_until_in(&loop, LIMIT_MS, condition)

static struct acceptor *listen_here(struct seen *seen, size_t handshakes)
{
	const struct acceptor_setup setup = {
		.loop = &loop, .ops = &ops, .ctx = seen, .backlog = 16, .handshakes = handshakes
	};
	struct acceptor *a = NULL;
	struct address at;
	struct err err = { 0 };

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(address_parse(&at, "127.0.0.1:0", &err), 0);
	assert_int_equal(acceptor_new(&a, &setup, &at, &err), 0);
	return a;
}

static int client(const struct acceptor *a)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(acceptor_port(a)),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void shut(struct acceptor *a, struct seen *seen, const int *clients, size_t count)
{
	acceptor_close(a, NULL, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	for (int i = 0; i < seen->accepted; i++)
		close(seen->fd[i]);
	for (size_t i = 0; i < count; i++)
		close(clients[i]);
}

static void on_turn(uv_prepare_t *prepare)
{
	++*(int *)prepare->data;
}

/* With no descriptor left it waits instead of asking again and again, and says so once (R9) */
static void test_no_descriptors(void **state)
{
	struct seen seen = { 0 };
	struct acceptor *a = listen_here(&seen, 0);
	struct rlimit before, low;
	uv_prepare_t turn;
	int clients[2] = { client(a), client(a) };
	int turns = 0;

	(void)state;
	uv_prepare_init(&loop, &turn);
	turn.data = &turns;
	uv_prepare_start(&turn, on_turn);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* the lowest free descriptor is above the limit then */
	int lowest = dup(clients[0]);
	assert_true(lowest >= 0);
	close(lowest);
	low = (struct rlimit){ (rlim_t)lowest, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	wait_until(seen.refused > 0);
	turns = 0;
	for (int i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_ONCE); /* each ends with its timer: a pause is over */
	assert_int_equal(seen.refused, 1);
	assert_int_equal(seen.accepted, 0);
	assert_non_null(strstr(seen.reason, "Too many open files"));
	assert_true(turns <= 8);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	wait_until(seen.accepted == 2);
	uv_close((uv_handle_t *)&turn, NULL);
	shut(a, &seen, clients, 2);
}

static void test_handshakes(void **state)
{
	struct seen seen = { 0 };
	struct acceptor *a = listen_here(&seen, 8);
	struct sockaddr_storage from = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&from;
	int clients[CLIENTS];

	(void)state;
	/* half of the places, then no more for this address */
	for (size_t i = 0; i < 5; i++)
		clients[i] = client(a);
	wait_until(seen.accepted == 4 && seen.refused == 1);
	assert_non_null(strstr(seen.reason, "without a proven certificate"));
	/* one is proven: its place is free */
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	acceptor_settled(a, &from);
	clients[5] = client(a);
	wait_until(seen.accepted == 5);
	shut(a, &seen, clients, CLIENTS);
}

static bool begins(struct handshakes *h, const char *text)
{
	struct address a;
	struct err err = { 0 };

	assert_int_equal(address_parse(&a, text, &err), 0);
	return handshakes_begin(h, (struct sockaddr *)&a.any);
}

/* No address holds all places; an IPv6 host does not get more by having more addresses */
static void test_fairness(void **state)
{
	struct handshakes h;

	(void)state;
	handshakes_init(&h, 8);
	assert_true(begins(&h, "[2001:db8::1]:1"));
	assert_true(begins(&h, "[2001:db8::2]:2"));
	assert_true(begins(&h, "[2001:db8::3]:3"));
	assert_true(begins(&h, "[2001:db8::4]:4"));
	assert_false(begins(&h, "[2001:db8::5]:5"));
	assert_true(begins(&h, "192.0.2.1:1"));
	assert_true(begins(&h, "[::ffff:192.0.2.1]:2"));
	assert_false(begins(&h, "192.0.2.1:3"));
	assert_true(begins(&h, "192.0.2.2:1"));
	assert_true(begins(&h, "[2001:db8:0:1::1]:1"));
	assert_int_equal(h.count, 8);
	assert_false(begins(&h, "192.0.2.3:1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_fairness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
