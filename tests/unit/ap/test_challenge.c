/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "half_open.h"
#include "net/acceptor.h"
#include "net/address.h"
#include "ap/clients/challenge.h"
#include "wait_until.h"

/*
 * A client that waits on a connection whose other end has vanished, at a listener on loopback. The client sends
 * nothing, so it would wait for ever.
 */

#define LIMIT_MS 20000

#define wait_until(condition) wait_until_in(&loop, LIMIT_MS, condition)

static uv_loop_t loop;

/**
 * struct pair - A client's connection, and ours
 * @client:	Its socket
 * @server:	Ours
 * @here, @there: The two ends
 */
struct pair {
	struct acceptor *acceptor;
	int client;
	int server;
	struct address here;
	struct address there;
};

struct result {
	int calls;
	int code;
};

static void on_accepted(void *ctx, int fd, const struct sockaddr_storage *from)
{
	(void)from;
	*(int *)ctx = fd;
}

static const struct acceptor_ops ops = { .accepted = on_accepted };

static bool has_ipv6(void)
{
	struct address a;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(address_parse(&a, "[::1]:0", NULL), 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a.any, a.len) == 0;
	if (fd >= 0)
		(void)close(fd);
	return has;
}

/* Listens at @listen and has a client connect to @to, a host */
static void connect_pair(struct pair *p, const char *listen, const char *to)
{
	const struct acceptor_setup setup = {
		.loop = &loop, .ops = &ops, .ctx = &p->server, .backlog = 4
	};
	struct err err = { 0 };
	struct address at;
	char text[64];

	*p = (struct pair){ .client = -EBADF, .server = -EBADF };
	assert_int_equal(address_parse(&at, listen, NULL), 0);
	if (acceptor_new(&p->acceptor, &setup, &at, &err) < 0)
		fail_msg("%s: %s", listen, err.text);
	(void)snprintf(text, sizeof(text), "%s:%u", to, acceptor_port(p->acceptor));
	assert_int_equal(address_parse(&p->here, text, NULL), 0);
	p->client = socket(p->here.any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->client >= 0);
	assert_int_equal(connect(p->client, (struct sockaddr *)&p->here.any, p->here.len), 0);
	wait_until(p->server >= 0);
	p->there.len = sizeof(p->there.any);
	assert_int_equal(getsockname(p->client, (struct sockaddr *)&p->there.any, &p->there.len),
			 0);
	assert_int_equal(fcntl(p->client, F_SETFL, O_NONBLOCK), 0);
}

static void end_pair(struct pair *p)
{
	if (p->client >= 0)
		(void)close(p->client);
	if (p->server >= 0)
		(void)close(p->server);
	acceptor_close(p->acceptor, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static void vanish(struct pair *p)
{
	if (half_open_vanish(TAKE_FD(p->server)))
		return;
	end_pair(p);
	print_message("SKIP: TCP_REPAIR needs CAP_NET_ADMIN\n");
	skip();
}

static void on_done(void *ctx, int result)
{
	struct result *r = ctx;

	r->calls++;
	r->code = result;
}

static int challenge(struct challenge **ret, const struct pair *p, struct result *result,
		     struct err *err)
{
	const struct challenge_setup setup = {
		.loop = &loop,
		.acceptor = p->acceptor,
		.local = (const struct sockaddr *)&p->here.any,
		.client = (const struct sockaddr *)&p->there.any,
		.done = on_done,
		.ctx = result,
	};

	*result = (struct result){ 0 };
	return challenge_new(ret, &setup, err);
}

static int read_of(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) < 0 ? -errno : 0;
}

static void reset_one(const char *listen, const char *to)
{
	struct challenge *c = NULL;
	struct result result;
	struct err err = { 0 };
	struct pair p;

	connect_pair(&p, listen, to);
	vanish(&p);
	assert_int_equal(read_of(p.client), -EAGAIN);
	if (challenge(&c, &p, &result, &err) < 0)
		fail_msg("%s", err.text);
	wait_until(result.calls);
	assert_int_equal(result.code, 0);
	assert_int_equal(read_of(p.client), -ECONNRESET);
	challenge_free(c);
	end_pair(&p);
}

static void test_reset(void **state)
{
	(void)state;
	reset_one("127.0.0.1:0", "127.0.0.1");
	reset_one("0.0.0.0:0", "127.0.0.2");
}

static void test_reset_ipv6(void **state)
{
	(void)state;
	if (!has_ipv6()) {
		print_message("SKIP: no IPv6\n");
		skip();
	}
	reset_one("[::1]:0", "[::1]");
	reset_one("[::]:0", "[::1]");
	reset_one("[::]:0", "127.0.0.1"); /* IPv4 at a listener of both */
}

/* Bytes that nobody takes are no reason to stay */
static void test_reset_with_bytes(void **state)
{
	struct challenge *c = NULL;
	struct result result;
	struct pair p;

	(void)state;
	connect_pair(&p, "127.0.0.1:0", "127.0.0.1");
	assert_int_equal(send(p.server, "unread", 6, 0), 6);
	assert_int_equal(send(p.client, "asked", 5, 0), 5);
	vanish(&p);
	assert_int_equal(challenge(&c, &p, &result, NULL), 0);
	wait_until(result.calls);
	assert_int_equal(result.code, 0);
	assert_int_equal(read_of(p.client), 0); /* what had come before is not lost */
	challenge_free(c);
	end_pair(&p);
}

/* The client is gone, too */
static void test_nobody(void **state)
{
	struct challenge *c = NULL;
	struct result result;
	struct pair p;

	(void)state;
	connect_pair(&p, "127.0.0.1:0", "127.0.0.1");
	vanish(&p);
	(void)half_open_vanish(TAKE_FD(p.client));
	assert_int_equal(challenge(&c, &p, &result, NULL), 0);
	wait_until(result.calls);
	assert_int_equal(result.code, 0);
	challenge_free(c);
	end_pair(&p);
}

/* A connection that is known here is not touched */
static void test_living(void **state)
{
	struct challenge *c = NULL;
	struct result result;
	struct err err = { 0 };
	struct pair p;

	(void)state;
	connect_pair(&p, "127.0.0.1:0", "127.0.0.1");
	assert_int_equal(challenge(&c, &p, &result, &err), -EEXIST);
	assert_int_equal(send(p.server, "x", 1, 0), 1);
	assert_int_equal(read_of(p.client), 0);
	end_pair(&p);
}

static void test_foreign_address(void **state)
{
	struct challenge *c = NULL;
	struct result result;
	struct err err = { 0 };
	struct pair p;

	(void)state;
	connect_pair(&p, "0.0.0.0:0", "127.0.0.1");
	((struct sockaddr_in *)&p.here.any)->sin_addr.s_addr = htonl(0xcb007101); /* 203.0.113.1 */
	assert_int_equal(challenge(&c, &p, &result, &err), -EADDRNOTAVAIL);
	end_pair(&p);
}

/* The client accepts, for it listens there: that is no connection of ours */
static void test_accepted(void **state)
{
	struct challenge *c = NULL;
	struct result result;
	struct pair p;

	(void)state;
	connect_pair(&p, "127.0.0.1:0", "127.0.0.1");
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000003) };
	assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listening, 1), 0);
	p.there.len = sizeof(p.there.any);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&p.there.any, &p.there.len), 0);
	assert_int_equal(challenge(&c, &p, &result, NULL), 0);
	wait_until(result.calls);
	assert_int_equal(result.code, 0);
	challenge_free(c);
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read_of(fd), -ECONNRESET);
	(void)close(fd);
	(void)close(listening);
	end_pair(&p);
}

static void test_stopped(void **state)
{
	struct challenge *c = NULL;
	struct result result;
	struct pair p;

	(void)state;
	connect_pair(&p, "127.0.0.1:0", "127.0.0.1");
	vanish(&p);
	assert_int_equal(challenge(&c, &p, &result, NULL), 0);
	c = challenge_free(c);
	end_pair(&p);
	assert_int_equal(result.calls, 0);
}

/* The port stays the listener's alone, and takes connections as before */
static void test_listener_unharmed(void **state)
{
	struct challenge *c = NULL;
	struct result result;
	struct pair p;
	int on = 1;

	(void)state;
	connect_pair(&p, "127.0.0.1:0", "127.0.0.1");
	vanish(&p);
	assert_int_equal(challenge(&c, &p, &result, NULL), 0);
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(other, (struct sockaddr *)&p.here.any, p.here.len), -1);
	assert_int_equal(errno, EADDRINUSE);
	wait_until(result.calls);
	challenge_free(c);
	assert_int_equal(bind(other, (struct sockaddr *)&p.here.any, p.here.len), -1);
	(void)close(other);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&p.here.any, p.here.len), 0);
	wait_until(p.server >= 0);
	(void)close(client);
	end_pair(&p);
}

static void expect_takes(const char *listen, const char *host, bool takes)
{
	int server = -EBADF;
	const struct acceptor_setup setup = {
		.loop = &loop, .ops = &ops, .ctx = &server, .backlog = 4
	};
	struct acceptor *a = NULL;
	struct address at;
	char text[64];

	assert_int_equal(address_parse(&at, listen, NULL), 0);
	assert_int_equal(acceptor_new(&a, &setup, &at, NULL), 0);
	uint16_t port = acceptor_port(a);
	(void)snprintf(text, sizeof(text), "%s:%u", host, port);
	assert_int_equal(address_parse(&at, text, NULL), 0);
	if (acceptor_takes(a, (struct sockaddr *)&at.any) != takes)
		fail_msg("%s at %s", host, listen);
	address_set_port(&at.any, port == UINT16_MAX ? 1 : (uint16_t)(port + 1));
	assert_false(acceptor_takes(a, (struct sockaddr *)&at.any));
	acceptor_close(a, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static void test_takes(void **state)
{
	(void)state;
	expect_takes("127.0.0.1:0", "127.0.0.1", true);
	expect_takes("127.0.0.1:0", "127.0.0.2", false);
	expect_takes("127.0.0.1:0", "[::1]", false);
	expect_takes("0.0.0.0:0", "127.0.0.2", true);
	expect_takes("0.0.0.0:0", "[::1]", false);
	if (!has_ipv6())
		return;
	expect_takes("[::1]:0", "[::1]", true);
	expect_takes("[::1]:0", "[fe80::1]", false);
	expect_takes("[::1]:0", "127.0.0.1", false);
	expect_takes("[::]:0", "[fe80::1]", true);
	expect_takes("[::]:0", "127.0.0.1", true);
}

static int set_up(void **state)
{
	(void)state;
	return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
	(void)state;
	return uv_loop_close(&loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reset),    TEST(test_reset_ipv6), TEST(test_reset_with_bytes),
		TEST(test_nobody),   TEST(test_living),     TEST(test_foreign_address),
		TEST(test_accepted), TEST(test_stopped),    TEST(test_listener_unharmed),
		TEST(test_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
