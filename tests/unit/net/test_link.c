/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "between.h"
#include "net/link.h"
#include "net/pki.h"
#include "net/tls_watch.h"
#include "net/tls_stream.h"
#include "test_pki.h"
#include "wire/codec.h"
#include "wait_until.h"

#define LIMIT_MS 20000 /* a test that has not seen its event by then has failed */

/* One end: what happened to it. Tests wait on these counts, never on time */
struct end {
	struct link *link;
	int up, down, writable, refused, clock;
	uint64_t messages;
	uint64_t last;
	int64_t offset;
	char reason[256];
	bool echo;
	bool close_on_message;
	bool pause_on_message;
};

static struct test_pki pki, foreign;
static struct tls_context *ap, *es, *mud, *stranger;
static uv_loop_t loop;

static void on_up(void *ctx, struct link *l)
{
	struct end *e = ctx;

	e->up++;
	e->link = l;
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct end *e = ctx;

	e->messages++;
	e->last = m->data.number;
	if (e->echo)
		assert_int_equal(link_send(l, m), 0);
	if (e->pause_on_message)
		link_pause(l);
	if (e->close_on_message) {
		e->link = NULL;
		link_close(l);
	}
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct end *e = ctx;

	e->down++;
	if (e->link == l)
		e->link = NULL;
	(void)snprintf(e->reason, sizeof(e->reason), "%s", reason);
}

static void on_writable(void *ctx, struct link *l)
{
	(void)l;
	((struct end *)ctx)->writable++;
}

static void on_clock(void *ctx, struct link *l, int64_t offset_us, uint64_t rtt_us)
{
	struct end *e = ctx;

	(void)l;
	(void)rtt_us;
	e->clock++;
	e->offset = offset_us;
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
	.writable = on_writable,
	.clock = on_clock,
	.refused = on_refused,
};

#define wait_until(condition) wait_until_in(&loop, LIMIT_MS, condition)

static struct link_setup setup_of(struct tls_context *tls, struct end *e)
{
	return (struct link_setup){
		.loop = &loop, .tls = tls, .ops = &ops, .ctx = e, .limits = { .retry_max_ms = 100 }
	};
}

static struct listener *listen_as(struct tls_context *tls, struct end *e, uint16_t port,
				  unsigned int roles)
{
	struct link_setup setup = setup_of(tls, e);
	struct listener *ls = NULL;
	struct err err = { 0 };
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	if (listener_new(&ls, &setup, address, roles, &err) < 0)
		fail_msg("%s", err.text);
	return ls;
}

static struct peer *peer_with(struct link_setup setup, uint16_t port)
{
	struct peer *p = NULL;
	struct err err = { 0 };
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	if (peer_new(&p, &setup, "EdgeServer-1", WIRE_ROLE_ES, address, &err) < 0)
		fail_msg("%s", err.text);
	return p;
}

static struct peer *peer_as(struct tls_context *tls, struct end *e, uint16_t port)
{
	return peer_with(setup_of(tls, e), port);
}

static struct wire_message request(uint64_t number, const void *bytes, size_t len)
{
	return (struct wire_message){
		.type = WIRE_REQUEST,
		.session = 1,
		.data = { .number = number, .bytes = bytes, .len = len },
	};
}

static int set_up(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	test_pki_new(&foreign);
	ap = test_pki_tls(&pki, "AP-1", WIRE_ROLE_AP);
	es = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	mud = test_pki_tls(&pki, "MUD-1", WIRE_ROLE_MUD);
	stranger = test_pki_tls(&foreign, "EdgeServer-1", WIRE_ROLE_ES);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_free(ap);
	tls_context_free(es);
	tls_context_free(mud);
	tls_context_free(stranger);
	test_pki_remove(&pki);
	test_pki_remove(&foreign);
	return 0;
}

static int loop_open(void **state)
{
	(void)state;
	return uv_loop_init(&loop);
}

/* All handles must be gone once everything is closed: nothing may keep the loop alive */
static int loop_shut(void **state)
{
	(void)state;
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static void test_both_ways(void **state)
{
	struct end server = { .echo = true }, client = { 0 };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &client, listener_port(ls));
	assert_null(peer_link(p));
	wait_until(client.up && server.up);
	assert_ptr_equal(peer_link(p), client.link);
	assert_string_equal(link_peer_name(client.link), "EdgeServer-1");
	assert_int_equal(link_peer_role(client.link), WIRE_ROLE_ES);
	assert_string_equal(link_peer_name(server.link), "AP-1");
	assert_null(link_data(client.link));
	link_set_data(client.link, &client, NULL);
	assert_ptr_equal(link_data(client.link), &client);

	void *big = calloc(1, WIRE_PAYLOAD_MAX);
	assert_non_null(big);
	for (uint64_t n = 1; n <= 100; n++) {
		struct wire_message m = request(n, "x", 1);

		assert_int_equal(link_send(client.link, &m), 0);
	}
	struct wire_message m = request(101, big, WIRE_PAYLOAD_MAX);
	assert_int_equal(link_send(client.link, &m), 0);
	wait_until(client.messages == 101);
	assert_int_equal(client.last, 101);
	assert_int_equal(server.messages, 101);
	free(big);

	m.session = 0; /* breaks a rule: told to the sender, the link stays */
	assert_int_equal(link_send(client.link, &m), -EINVAL);
	m.type = WIRE_TRANSFER_CHUNK;
	assert_int_equal(link_send(client.link, &m), -EINVAL);
	assert_int_equal(link_probe(client.link), 0);
	wait_until(client.clock);
	assert_true(between((uint64_t)(client.offset + 1000000), 900000, 1100000)); /* same clock */

	peer_close(p);
	wait_until(server.down);
	assert_string_equal(server.reason, "closed by the peer");
	assert_int_equal(client.down, 0);
	listener_close(ls);
}

static void test_wrong_authority(void **state)
{
	struct end server = { 0 }, client = { 0 };

	(void)state;
	struct listener *ls = listen_as(stranger, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &client, listener_port(ls));
	wait_until(client.refused && server.refused);
	assert_non_null(strstr(client.reason, "not signed by our authority"));
	assert_int_equal(client.up + server.up, 0);
	/* it is tried again for ever, but told once */
	wait_until(server.refused >= 3);
	assert_int_equal(client.refused, 1);
	peer_close(p);
	listener_close(ls);
}

static void test_wrong_role(void **state)
{
	struct end server = { 0 }, client = { 0 };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(mud, &client, listener_port(ls));
	wait_until(client.refused && server.refused);
	assert_non_null(strstr(server.reason, "MUD-1 has role \"mud\", which may not connect"));
	assert_non_null(strstr(client.reason, "the peer refused us: MUD-1 has role"));
	assert_int_equal(client.up + server.up, 0);
	peer_close(p);
	listener_close(ls);
}

static void test_wrong_name(void **state)
{
	struct end server = { 0 }, client = { 0 };

	(void)state;
	/* an access point answers where an edge server is expected */
	struct listener *ls = listen_as(ap, &server, 0, ~0u);
	struct peer *p = peer_as(mud, &client, listener_port(ls));
	wait_until(client.refused);
	assert_non_null(strstr(client.reason, "there is ap AP-1 by its certificate"));
	assert_int_equal(client.up + server.up, 0);
	peer_close(p);
	listener_close(ls);
}

static void test_full_queue(void **state)
{
	struct end server = { .pause_on_message = true }, client = { 0 };
	struct link_setup setup = setup_of(ap, &client);
	int r;

	(void)state;
	setup.limits.queue_bytes = 256u << 10;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_with(setup, listener_port(ls));
	wait_until(client.up && server.up);
	void *bytes = calloc(1, 60000);
	assert_non_null(bytes);
	uint64_t sent = 0;
	do {
		struct wire_message m = request(sent + 1, bytes, 60000);

		r = link_send(client.link, &m);
		if (r == 0)
			sent++;
		uv_run(&loop, UV_RUN_NOWAIT);
	} while (r == 0 && sent < 10000);
	assert_int_equal(r, LINK_E_FULL);
	assert_true(link_queued(client.link) <= 256u << 10);
	assert_int_equal(server.messages, 1);
	assert_int_equal(client.writable, 0);
	server.pause_on_message = false;
	link_resume(server.link);
	wait_until(server.messages == sent && client.writable == 1);
	assert_int_equal(server.last, sent);
	free(bytes);
	peer_close(p);
	listener_close(ls);
}

/* What was decrypted before the pause comes after it, with no new byte from the network */
static void test_pause_in_batch(void **state)
{
	struct end server = { .pause_on_message = true }, client = { 0 };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &client, listener_port(ls));
	wait_until(client.up && server.up);
	for (uint64_t n = 1; n <= 5; n++) {
		struct wire_message m = request(n, "x", 1);

		assert_int_equal(link_send(client.link, &m), 0);
	}
	for (uint64_t n = 1; n <= 5; n++) {
		wait_until(server.messages == n);
		link_resume(server.link);
	}
	peer_close(p);
	listener_close(ls);
}

static void test_reconnect(void **state)
{
	struct end server = { 0 }, client = { 0 };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	uint16_t port = listener_port(ls);
	struct peer *p = peer_as(ap, &client, port);
	wait_until(client.up == 1 && server.up == 1);
	struct wire_message m = request(1, NULL, 0);
	struct link *old = client.link;
	listener_close(ls);
	wait_until(client.down == 1);
	assert_null(peer_link(p));
	assert_ptr_not_equal(client.link, old);
	wait_until(client.refused); /* nobody listens now */
	ls = listen_as(es, &server, port, LINK_ROLE(WIRE_ROLE_AP));
	wait_until(client.up == 2 && server.up == 2);
	assert_int_equal(link_send(client.link, &m), 0);
	wait_until(server.messages == 1);
	assert_int_equal(server.down, 0); /* its own listener_close() gave no down() */
	peer_close(p);
	listener_close(ls);
}

static void test_close_in_callback(void **state)
{
	struct end server = { .close_on_message = true }, client = { 0 };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &client, listener_port(ls));
	wait_until(client.up);
	for (uint64_t n = 1; n <= 3; n++) {
		struct wire_message m = request(n, "x", 1);

		assert_int_equal(link_send(client.link, &m), 0);
	}
	wait_until(client.down && client.up == 2);
	assert_int_equal(server.messages, 1); /* those behind it are not handed on */
	peer_close(p);
	listener_close(ls);
}

static void count_gone(void *data)
{
	++*(int *)data;
}

/* Whoever keeps data for a link hears once that it has gone, also if the owner closed it */
static void test_data_gone(void **state)
{
	struct end server = { 0 }, client = { 0 };
	int gone[3] = { 0 };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &client, listener_port(ls));
	wait_until(client.up && server.up);
	link_set_data(client.link, &gone[0], count_gone);
	link_set_data(server.link, &gone[1], count_gone);
	link_close(server.link);
	wait_until(gone[0] && gone[1] && client.up == 2 && server.up == 2);
	assert_int_equal(client.down, 1);
	assert_int_equal(server.down, 0);
	link_set_data(server.link, &gone[2], count_gone);
	listener_close(ls);
	wait_until(gone[2]);
	peer_close(p);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(gone[i], 1);
}

static int watched[3];

static void on_word(void *ctx, enum tls_watch_word word, const char *text)
{
	(void)snprintf(((struct end *)ctx)->reason, sizeof(((struct end *)ctx)->reason), "%s",
		       text);
	watched[word]++;
}

/* Who is revoked loses its link at SIGHUP, and gets no other; everybody else keeps his (R16) */
static void test_revoked(void **state)
{
	struct end server = { 0 }, client = { 0 }, other = { 0 }, watch = { 0 };
	struct tls_context *out = test_pki_tls(&pki, "AP-2", WIRE_ROLE_AP);
	struct tls_context *own = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	struct tls_watch *w = NULL;
	struct err err = { 0 };
	size_t revoked;

	(void)state;
	memset(watched, 0, sizeof(watched));
	struct link_setup setup = setup_of(own, &server);
	setup.limits.probe_ms = 20;
	struct listener *ls = NULL;
	assert_int_equal(listener_new(&ls, &setup, "127.0.0.1:0", LINK_ROLE(WIRE_ROLE_AP), &err),
			 0);
	struct peer *p = peer_as(out, &client, listener_port(ls));
	struct peer *q = peer_as(ap, &other, listener_port(ls));
	assert_int_equal(tls_watch_new(&w, &loop, own, on_word, &watch, &err), 0);
	wait_until(client.up && other.up && server.up == 2);
	assert_int_equal(pki_revoke(pki.dir, "AP-2", &revoked, &err), 0);
	assert_int_equal(raise(SIGHUP), 0);
	wait_until(client.down && watched[TLS_WATCH_READ] && client.refused);
	assert_int_equal(watched[TLS_WATCH_ENDING], 0);
	assert_non_null(strstr(client.reason, "it is revoked, `baton pki issue AP-2 ap --force`"));
	assert_int_equal(client.up, 1);
	assert_int_equal(other.down, 0);
	assert_int_equal(server.down, 1);
	peer_close(p);
	peer_close(q);
	listener_close(ls);
	tls_watch_close(w);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	tls_context_free(out);
	tls_context_free(own);
}

/* A certificate that ends soon is told of, soon after the start and after each reading */
static void test_ending(void **state)
{
	struct end watch = { 0 };
	struct tls_context *own = test_pki_tls(&pki, "AP-3", WIRE_ROLE_AP);
	struct tls_watch *w = NULL;
	struct err err = { 0 };

	(void)state;
	memset(watched, 0, sizeof(watched));
	assert_int_equal(tls_watch_new(&w, &loop, own, on_word, &watch, &err), 0);
	assert_int_equal(pki_issue(pki.dir, "AP-3", WIRE_ROLE_AP, 12, true, &err), 0);
	assert_int_equal(raise(SIGHUP), 0);
	wait_until(watched[TLS_WATCH_ENDING]);
	assert_int_equal(watched[TLS_WATCH_READ], 1);
	assert_non_null(strstr(watch.reason, "the certificate of AP-3 ends in 1"));
	assert_non_null(strstr(watch.reason, "`baton pki renew AP-3`, copy it here, then SIGHUP"));
	assert_true(between((uint64_t)tls_watch_days(own), 11, 12));
	tls_watch_close(w);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	tls_context_free(own);
}

static void test_silence(void **state)
{
	struct end server = { 0 }, client = { 0 };
	struct link_setup setup = setup_of(ap, &client);

	(void)state;
	/* probes keep an idle link up well beyond the limit */
	setup.limits.probe_ms = 20;
	setup.limits.dead_ms = 200;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_with(setup, listener_port(ls));
	wait_until(client.clock >= 25);
	assert_int_equal(client.down, 0);
	/* the other side stops reading and, with its default of 1 s, says nothing for longer */
	link_pause(server.link);
	wait_until(client.down);
	assert_string_equal(client.reason, "no sign of life for 200 ms");
	peer_close(p);
	listener_close(ls);
}

/* A connection that says nothing is dropped, and so is one that speaks no TLS */
static void test_rubbish(void **state)
{
	struct end server = { 0 };
	struct link_setup setup = setup_of(es, &server);
	struct listener *ls = NULL;
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct err err = { 0 };

	(void)state;
	setup.limits.handshake_ms = 100;
	assert_int_equal(listener_new(&ls, &setup, "127.0.0.1:0", ~0u, &err), 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons(listener_port(ls));
	int fd[3];
	for (int i = 0; i < 3; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&a, sizeof(a)), 0);
	}
	assert_int_equal(write(fd[0], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	wait_until(server.refused == 3); /* rubbish, handshake time, handshake time */
	assert_string_equal(server.reason, "handshake not done within 100 ms");
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	assert_int_equal(listener_new(&ls, &setup, "127.0.0.1:x", ~0u, &err), -EINVAL);
	listener_close(ls);
}

/* Strangers take none of the places of those that prove who they are; these have a limit of their own */
static void test_strangers(void **state)
{
	struct end server = { 0 }, client = { 0 }, late = { 0 };
	struct link_setup setup = setup_of(es, &server);
	struct listener *ls = NULL;
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct err err = { 0 };
	int fd[8];

	(void)state;
	setup.limits.handshake_ms = 2 * LIMIT_MS; /* they stay */
	setup.limits.accepted_max = 1;
	setup.limits.handshakes_max = ARRAY_SIZE(fd);
	assert_int_equal(listener_new(&ls, &setup, "127.0.0.1:0", ~0u, &err), 0);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons(listener_port(ls));
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fd[i], (struct sockaddr *)&from, sizeof(from)), 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&a, sizeof(a)), 0);
	}
	struct peer *p = peer_with(setup_of(ap, &client), listener_port(ls));
	wait_until(client.link);
	int refused = server.refused;
	struct peer *q = peer_with(setup_of(mud, &late), listener_port(ls));
	wait_until(server.refused > refused);
	assert_non_null(strstr(server.reason, "all 1 connections are taken"));
	assert_int_equal(late.up, 0);
	peer_close(p); /* its place is free again */
	wait_until(late.link);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	peer_close(q);
	listener_close(ls);
}

/* One name gets its share of a listener's places, and others find room */
static void test_share(void **state)
{
	struct end server = { 0 }, client[5] = { 0 }, other = { 0 };
	struct link_setup setup = setup_of(es, &server);
	struct peer *p[5];
	struct listener *ls = NULL;
	struct err err = { 0 };

	(void)state;
	setup.limits.accepted_max = 8;
	assert_int_equal(listener_new(&ls, &setup, "127.0.0.1:0", ~0u, &err), 0);
	for (size_t i = 0; i < 4; i++) {
		p[i] = peer_with(setup_of(mud, &client[i]), listener_port(ls));
		wait_until(client[i].link);
	}
	p[4] = peer_with(setup_of(mud, &client[4]), listener_port(ls));
	wait_until(server.refused);
	assert_non_null(
		strstr(server.reason,
		       "has 4 connections, its share of connections_max (8): close some, or "
		       "raise connections_max"));
	wait_until(client[4].refused);
	assert_non_null(strstr(client[4].reason, "its share of connections_max"));
	struct peer *q = peer_with(setup_of(ap, &other), listener_port(ls));
	wait_until(other.link);
	peer_close(p[0]); /* a place of its own is free again */
	wait_until(client[4].link);
	for (size_t i = 1; i < 5; i++)
		peer_close(p[i]);
	peer_close(q);
	listener_close(ls);
}

/* Two programs with one name do not take it from each other: the later one is refused, and told by whom */
static void test_twin(void **state)
{
	struct end server = { 0 }, first = { 0 }, second = { 0 };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &first, listener_port(ls));
	wait_until(first.link && server.link);
	struct peer *q = peer_as(ap, &second, listener_port(ls));
	wait_until(second.refused && server.refused);
	/* both sides know who has the name */
	assert_non_null(strstr(second.reason,
			       "the peer refused us: the name AP-1 is held by the program at "
			       "127.0.0.1:"));
	assert_non_null(
		strstr(server.reason, "the name AP-1 is held by the program at 127.0.0.1:"));
	/* it tries again, is refused again, and the first one's link stays the same */
	int clocks = first.clock;
	assert_int_equal(link_probe(first.link), 0);
	wait_until(first.clock > clocks);
	assert_int_equal(server.up, 1);
	assert_int_equal(server.down + first.down, 0);
	assert_int_equal(server.refused, 1);
	/* the first one ends: the name is free */
	peer_close(p);
	wait_until(second.link);
	assert_int_equal(server.down, 1);
	assert_int_equal(server.up, 2);
	peer_close(q);
	listener_close(ls);
}

/* A program whose old link is half dead gets another one soon */
static void test_half_dead(void **state)
{
	struct end server = { 0 }, first = { 0 }, second = { 0 };
	struct link_setup setup = setup_of(es, &server);
	struct listener *ls = NULL;
	struct err err = { 0 };

	(void)state;
	setup.limits.handshake_ms = 400;
	assert_int_equal(listener_new(&ls, &setup, "127.0.0.1:0", ~0u, &err), 0);
	struct peer *p = peer_as(ap, &first, listener_port(ls));
	wait_until(first.link && server.link);
	link_pause(first.link); /* nothing is read there any more, so nothing is answered */
	struct peer *q = peer_as(ap, &second, listener_port(ls));
	wait_until(second.link);
	assert_int_equal(server.up, 2);
	assert_int_equal(server.down, 1);
	assert_non_null(strstr(server.reason, "silent when its program connected again from 127"));
	peer_close(p);
	peer_close(q);
	listener_close(ls);
}

/* Two that come at once: one gets the name, the other is told */
static void test_twins_at_once(void **state)
{
	struct end server = { 0 }, client[2] = { { 0 }, { 0 } };

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &client[0], listener_port(ls));
	struct peer *q = peer_as(ap, &client[1], listener_port(ls));
	wait_until((client[0].link && client[1].refused) || (client[1].link && client[0].refused));
	assert_int_equal(server.up, 1);
	assert_int_equal(server.down, 0);
	peer_close(p);
	peer_close(q);
	listener_close(ls);
}

/* A peer that goes to another address, while its link is up and while it is not */
static void test_peer_changes(void **state)
{
	struct end server[2] = { { 0 }, { 0 } }, client = { 0 };
	struct link_limits limits = { .retry_max_ms = 100 };
	struct err err = { 0 };
	char address[32];

	(void)state;
	struct listener *ls = listen_as(es, &server[0], 0, LINK_ROLE(WIRE_ROLE_AP));
	struct listener *next = listen_as(es, &server[1], 0, LINK_ROLE(WIRE_ROLE_AP));
	struct peer *p = peer_as(ap, &client, listener_port(ls));
	wait_until(client.link && server[0].link);
	assert_int_equal(peer_change(p, "nowhere", &limits, &err), -EINVAL);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(next));
	assert_int_equal(peer_change(p, address, &limits, &err), 0);
	assert_non_null(peer_link(p)); /* no link ends for it */
	listener_close(ls);
	wait_until(server[1].link);
	assert_int_equal(client.down, 1);
	/* and one that cannot connect at all */
	link_close(server[1].link);
	listener_close(next);
	wait_until(client.refused);
	next = listen_as(es, &server[0], 0, LINK_ROLE(WIRE_ROLE_AP));
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(next));
	assert_int_equal(peer_change(p, address, &limits, &err), 0);
	wait_until(server[0].up == 2);
	peer_close(p);
	listener_close(next);
}

/* A peer with a good certificate that then sends what no frame may be */
struct liar {
	uint16_t port;
	uint8_t frame[WIRE_FRAME_PREFIX];
};

static void liar_thread(void *arg)
{
	struct liar *liar = arg;
	struct tls_stream *made = NULL;
	struct err err = { 0 };
	char address[32];
	char byte;
	size_t got;

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", liar->port);
	int r = tls_stream_connect(&made, ap, address, "EdgeServer-1", WIRE_ROLE_ES, -1, LIMIT_MS,
				   &err);
	AUTO(tls_stream) struct tls_stream *s = made;
	if (r == 0)
		r = tls_stream_write_all(s, liar->frame, sizeof(liar->frame), &err);
	while (r == 0) /* until the other side has had enough */
		r = tls_stream_read(s, &byte, 1, &got, &err);
}

static void test_oversized_frame(void **state)
{
	struct end server = { 0 };
	uv_thread_t thread;

	(void)state;
	struct listener *ls = listen_as(es, &server, 0, LINK_ROLE(WIRE_ROLE_AP));
	struct liar liar = { .port = listener_port(ls), .frame = { 0x7f, 0xff, 0xff, 0xff, 2 } };
	assert_int_equal(uv_thread_create(&thread, liar_thread, &liar), 0);
	wait_until(server.down == 1);
	uv_thread_join(&thread);
	assert_non_null(strstr(server.reason, "the limit for kind 2 is"));
	/* a bulk frame on a link */
	liar = (struct liar){ .port = listener_port(ls), .frame = { 0, 0, 0, 50, 4 } };
	assert_int_equal(uv_thread_create(&thread, liar_thread, &liar), 0);
	wait_until(server.down == 2);
	uv_thread_join(&thread);
	assert_non_null(strstr(server.reason, "for migration connections only"));
	listener_close(ls);
}

int main(void)
{
#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_shut)
	const struct CMUnitTest tests[] = {
		LINK_TEST(test_strangers),     LINK_TEST(test_share),
		LINK_TEST(test_both_ways),     LINK_TEST(test_wrong_authority),
		LINK_TEST(test_wrong_role),    LINK_TEST(test_wrong_name),
		LINK_TEST(test_full_queue),    LINK_TEST(test_pause_in_batch),
		LINK_TEST(test_reconnect),     LINK_TEST(test_close_in_callback),
		LINK_TEST(test_data_gone),     LINK_TEST(test_ending),
		LINK_TEST(test_revoked),       LINK_TEST(test_silence),
		LINK_TEST(test_rubbish),       LINK_TEST(test_oversized_frame),
		LINK_TEST(test_twin),          LINK_TEST(test_half_dead),
		LINK_TEST(test_twins_at_once), LINK_TEST(test_peer_changes),
	};

	return cmocka_run_group_tests_name("net/link", tests, set_up, tear_down);
}
