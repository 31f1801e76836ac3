/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/link.h"
#include "net/pki.h"
#include "net/tls.h"
#include "net/tls_stream.h"
#include "test_pki.h"
#include "wire/codec.h"

#define LIMIT_MS    20000
#define BULK_CHUNKS 64

static struct test_pki pki;
static struct tls_context *one, *two, *mud;

/* The accepting side, on its own thread */
struct server {
	pthread_t thread;
	int listen_fd;
	char address[32];
	struct tls_context *tls;
	void (*run)(struct tls_stream *s);
	int result;
	struct err err;
	int leave; /* readable when a server that only waits shall end */
};

static void *serve(void *arg)
{
	struct server *sv = arg;
	struct pollfd p = { .fd = sv->listen_fd, .events = POLLIN };
	struct tls_stream *made = NULL;

	(void)poll(&p, 1, LIMIT_MS);
	int fd = accept(sv->listen_fd, NULL, NULL);
	sv->result = tls_stream_accept(&made, sv->tls, fd, LINK_ROLE(WIRE_ROLE_ES), -1, LIMIT_MS,
				       &sv->err);
	AUTO(tls_stream) struct tls_stream *s = made;
	if (sv->result == 0)
		sv->run(s);
	if (sv->leave >= 0) {
		struct pollfd leave = { .fd = sv->leave, .events = POLLIN };

		(void)poll(&leave, 1, LIMIT_MS);
	}
	return NULL;
}

static int listen_here(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void server_begin(struct server *sv, void *(*thread)(void *),
			 void (*run)(struct tls_stream *), bool stay)
{
	struct sockaddr_in a = { 0 };
	socklen_t len = sizeof(a);

	*sv = (struct server){ .tls = two, .run = run, .leave = stay ? eventfd(0, 0) : -1 };
	sv->listen_fd = listen_here();
	assert_int_equal(getsockname(sv->listen_fd, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(sv->address, sizeof(sv->address), "127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(pthread_create(&sv->thread, NULL, thread, sv), 0);
}

static void server_start(struct server *sv, void (*run)(struct tls_stream *), bool stay)
{
	server_begin(sv, serve, run, stay);
}

static void server_end(struct server *sv)
{
	if (sv->leave >= 0)
		assert_int_equal(eventfd_write(sv->leave, 1), 0);
	pthread_join(sv->thread, NULL);
	if (sv->leave >= 0)
		close(sv->leave);
	close(sv->listen_fd);
}

static void idle(struct tls_stream *s)
{
	(void)s;
}

/* Says something as soon as it is told to */
static int told = -1;

static void say_when_told(struct tls_stream *s)
{
	const struct wire_message m = { .type = WIRE_TRANSFER_END };
	struct pollfd p = { .fd = told, .events = POLLIN };

	(void)poll(&p, 1, LIMIT_MS);
	(void)tls_stream_send_message(s, &m, NULL);
}

/* Takes chunks until the end, then says how many bytes there were and whether they were right */
static void take_bulk(struct tls_stream *s)
{
	struct wire_message m;
	struct err err = { 0 };
	uint64_t total = 0;
	bool good = true;

	while (tls_stream_receive_message(s, &m, &err) == 0 && m.type == WIRE_TRANSFER_CHUNK) {
		for (size_t i = 0; i < m.text.len; i += 4096)
			good = good && m.text.bytes[i] == (uint8_t)(total >> 20);
		total += m.text.len;
	}
	good = good && m.type == WIRE_TRANSFER_END && m.transfer_end.stream_bytes == total;
	m = (struct wire_message){ .type = WIRE_TRANSFER_RESULT };
	m.text.status = good ? WIRE_OK : WIRE_E_FAILED;
	(void)tls_stream_send_message(s, &m, &err);
	/* bare bytes beside messages */
	(void)tls_stream_write_all(s, "bye", 3, &err);
}

static int connect_to(struct tls_stream **s, const struct server *sv, int cancel_fd, int timeout_ms,
		      struct err *err)
{
	return tls_stream_connect(s, one, sv->address, "EdgeServer-2", WIRE_ROLE_ES, cancel_fd,
				  timeout_ms, err);
}

static void test_transfer(void **state)
{
	struct server sv;
	struct tls_stream *s = NULL;
	struct wire_message m;
	struct err err = { 0 };
	char text[8] = "";
	size_t got, have = 0;

	(void)state;
	server_start(&sv, take_bulk, false);
	if (connect_to(&s, &sv, -1, LIMIT_MS, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(tls_stream_peer_name(s), "EdgeServer-2");
	assert_int_equal(tls_stream_peer_role(s), WIRE_ROLE_ES);
	uint8_t *chunk = malloc(WIRE_PAYLOAD_MAX);
	assert_non_null(chunk);
	for (int i = 0; i < BULK_CHUNKS; i++) {
		memset(chunk, i, WIRE_PAYLOAD_MAX);
		m = (struct wire_message){ .type = WIRE_TRANSFER_CHUNK };
		m.text.bytes = chunk;
		m.text.len = WIRE_PAYLOAD_MAX;
		assert_int_equal(tls_stream_send_message(s, &m, &err), 0);
	}
	free(chunk);
	m = (struct wire_message){ .type = WIRE_TRANSFER_END };
	m.transfer_end.stream_bytes = (uint64_t)BULK_CHUNKS * WIRE_PAYLOAD_MAX;
	assert_int_equal(tls_stream_send_message(s, &m, &err), 0);
	assert_true(tls_stream_bytes_sent(s) > (uint64_t)BULK_CHUNKS * WIRE_PAYLOAD_MAX);
	assert_int_equal(tls_stream_receive_message(s, &m, &err), 0);
	assert_int_equal(m.type, WIRE_TRANSFER_RESULT);
	assert_int_equal(m.text.status, WIRE_OK);
	while (have < 3) {
		assert_int_equal(tls_stream_read(s, text + have, 3 - have, &got, &err), 0);
		have += got;
	}
	assert_string_equal(text, "bye");
	assert_int_equal(tls_stream_receive_message(s, &m, &err), TLS_STREAM_E_END);
	tls_stream_free(s);
	server_end(&sv);
	assert_int_equal(sv.result, 0);
}

static void test_timeout(void **state)
{
	struct server sv;
	struct tls_stream *s = NULL;
	struct wire_message m;
	struct err err = { 0 };
	char byte;
	size_t got;

	(void)state;
	server_start(&sv, idle, true);
	assert_int_equal(connect_to(&s, &sv, -1, LIMIT_MS, &err), 0);
	tls_stream_set_timeout(s, 50);
	assert_int_equal(tls_stream_read(s, &byte, 1, &got, &err), -ETIMEDOUT);
	assert_int_equal(tls_stream_receive_message(s, &m, &err), -ETIMEDOUT);
	/* the other side does not read: once all buffers are full, writing stops too */
	void *bytes = calloc(1, 1u << 20);
	assert_non_null(bytes);
	int r = 0;
	for (int i = 0; r == 0 && i < 1000; i++)
		r = tls_stream_write_all(s, bytes, 1u << 20, &err);
	assert_int_equal(r, -ETIMEDOUT);
	free(bytes);
	tls_stream_free(s);
	server_end(&sv);
}

/* Says three chunks of 100000 bytes, then nothing */
static void chatter(struct tls_stream *s)
{
	static const uint8_t bytes[100000];
	struct wire_message m = { .type = WIRE_TRANSFER_CHUNK,
				  .text = { .bytes = bytes, .len = sizeof(bytes) } };
	struct err err = { 0 };

	for (int i = 0; i < 3; i++)
		(void)tls_stream_send_message(s, &m, &err);
}

/* A peer that goes on sending, or sends too little for the time, is given up (R9) */
static void test_budget(void **state)
{
	const struct tls_stream_budget small = { .name = "image", .bytes = 250000 };
	const struct tls_stream_budget enough = { .name = "image", .bytes = 1000000 };
	const struct tls_stream_budget brief = { .name = "offer", .ms = 20, .rate = 1u << 30 };
	struct server sv;
	struct tls_stream *s = NULL;
	struct wire_message m;
	struct err err = { 0 };
	int r = 0;

	(void)state;
	server_start(&sv, chatter, true);
	assert_int_equal(connect_to(&s, &sv, -1, LIMIT_MS, &err), 0);
	tls_stream_set_budget(s, &small);
	for (int i = 0; i < 3 && r == 0; i++)
		r = tls_stream_receive_message(s, &m, &err);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(err.text, "image: the peer sent more than 244 KiB"));
	tls_stream_free(s);
	server_end(&sv);

	server_start(&sv, chatter, true);
	assert_int_equal(connect_to(&s, &sv, -1, LIMIT_MS, &err), 0);
	tls_stream_set_budget(s, &enough);
	for (int i = 0; i < 3; i++)
		assert_int_equal(tls_stream_receive_message(s, &m, &err), 0);
	/* the longest wait without progress is far away, the time for all of it is not */
	tls_stream_set_budget(s, &brief);
	assert_int_equal(tls_stream_receive_message(s, &m, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "offer: 0 KiB came in"));
	tls_stream_free(s);
	server_end(&sv);
}

struct canceller {
	pthread_t thread;
	struct tls_stream *s;
	int result;
	bool writes;
};

static void *block(void *arg)
{
	struct canceller *c = arg;
	struct err err = { 0 };
	static const uint8_t bytes[65536];
	char byte;
	size_t got;

	do {
		c->result = c->writes ? tls_stream_write_all(c->s, bytes, sizeof(bytes), &err)
				      : tls_stream_read(c->s, &byte, 1, &got, &err);
	} while (c->result == 0);
	return NULL;
}

static void test_cancel(void **state)
{
	(void)state;
	for (int writes = 0; writes < 2; writes++) {
		struct canceller c = { .writes = writes };
		struct server sv;
		struct err err = { 0 };
		int cancel = eventfd(0, EFD_CLOEXEC);

		server_start(&sv, idle, true);
		assert_int_equal(connect_to(&c.s, &sv, cancel, LIMIT_MS, &err), 0);
		assert_int_equal(pthread_create(&c.thread, NULL, block, &c), 0);
		assert_int_equal(eventfd_write(cancel, 1), 0);
		pthread_join(c.thread, NULL);
		assert_int_equal(c.result, -ECANCELED);
		/* and stays so */
		assert_int_equal(tls_stream_write_all(c.s, "x", 1, &err), -ECANCELED);
		tls_stream_free(c.s);
		close(cancel);
		server_end(&sv);
	}
}

static void test_refusals(void **state)
{
	struct server sv;
	struct tls_stream *s = NULL;
	struct wire_message m;
	struct err err = { 0 };

	(void)state;
	/* another name than expected: refused by us, and the other side is told */
	server_start(&sv, idle, false);
	assert_int_equal(tls_stream_connect(&s, one, sv.address, "EdgeServer-3", WIRE_ROLE_ES, -1,
					    LIMIT_MS, &err),
			 -EACCES);
	assert_non_null(strstr(err.text, "there is EdgeServer-2 by its certificate"));
	server_end(&sv);
	assert_int_equal(sv.result, -EACCES);
	/* a role that may not connect: refused by the other side */
	server_start(&sv, idle, false);
	assert_int_equal(tls_stream_connect(&s, mud, sv.address, "EdgeServer-2", WIRE_ROLE_ES, -1,
					    LIMIT_MS, &err),
			 0);
	assert_int_equal(tls_stream_receive_message(s, &m, &err), -EACCES);
	assert_non_null(strstr(err.text, "the peer refused us"));
	s = tls_stream_free(s);
	server_end(&sv);
	assert_non_null(strstr(sv.err.text, "MUD-1 has role \"mud\""));
	/* nobody there: the port is free again */
	assert_int_equal(connect_to(&s, &sv, -1, LIMIT_MS, &err), -ECONNREFUSED);
	/* somebody there who says nothing */
	int fd = listen_here();
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(sv.address, sizeof(sv.address), "127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(connect_to(&s, &sv, -1, 50, &err), -ETIMEDOUT);
	close(fd);
	assert_null(s);
}

/* The peer has closed before we could send all: its reason is told, not the broken pipe */
static void test_refused_while_sending(void **state)
{
	static const uint8_t bytes[1 << 16];
	struct server sv;
	struct tls_stream *made = NULL;
	struct err err = { 0 };
	int r = 0;

	(void)state;
	server_start(&sv, idle, false);
	assert_int_equal(tls_stream_connect(&made, mud, sv.address, "EdgeServer-2", WIRE_ROLE_ES,
					    -1, LIMIT_MS, &err),
			 0);
	AUTO(tls_stream) struct tls_stream *s = made;
	while (r == 0)
		r = tls_stream_write_all(s, bytes, sizeof(bytes), &err);
	assert_int_equal(r, -EACCES);
	assert_non_null(strstr(err.text, "MUD-1 has role \"mud\""));
	server_end(&sv);
}

/* Appends the HELLO of somebody and another message */
static void encode_two(struct buf *to, struct tls_context *from)
{
	struct wire_message m;
	struct err err = { 0 };

	wire_hello_set(&m, tls_context_name(from), tls_context_role(from));
	assert_int_equal(wire_encode(&m, to, &err), 0);
	m = (struct wire_message){ .type = WIRE_TRANSFER_END };
	assert_int_equal(wire_encode(&m, to, &err), 0);
}

/* A peer that says nothing before it has our HELLO and our first message */
static void *listen_first(void *arg)
{
	struct server *sv = arg;
	struct pollfd p = { .fd = sv->listen_fd, .events = POLLIN };
	struct tls_session *tls = NULL;
	struct buf ours = { 0 };
	struct buf theirs = { 0 };
	uint8_t bytes[512];
	size_t got;

	(void)poll(&p, 1, LIMIT_MS);
	int fd = accept(sv->listen_fd, NULL, NULL); /* a blocking one */
	encode_two(&theirs, one);
	encode_two(&ours, sv->tls);
	sv->result = tls_session_new(&tls, sv->tls, true, fd, &sv->err);
	if (sv->result == 0)
		sv->result = tls_session_handshake(tls, &sv->err);
	for (size_t len = 0; sv->result == 0 && len < theirs.len; len += got)
		sv->result = tls_session_read(tls, bytes, sizeof(bytes), &got, &sv->err);
	if (sv->result == 0)
		sv->result = tls_session_write(tls, buf_bytes(&ours), ours.len, &got, &sv->err);
	tls_session_free(tls);
	buf_deinit(&ours);
	buf_deinit(&theirs);
	close(fd);
	return NULL;
}

/* The offer of a container goes without waiting for the peer's HELLO: a round trip less */
static void test_hello_is_not_waited_for(void **state)
{
	struct server sv;
	struct tls_stream *made = NULL;
	struct wire_message m = { .type = WIRE_TRANSFER_END };
	struct err err = { 0 };

	(void)state;
	server_begin(&sv, listen_first, idle, false);
	assert_int_equal(connect_to(&made, &sv, -1, LIMIT_MS, &err), 0);
	AUTO(tls_stream) struct tls_stream *s = made;
	assert_int_equal(tls_stream_send_message(s, &m, &err), 0);
	assert_int_equal(tls_stream_receive_message(s, &m, &err), 0);
	assert_int_equal(m.type, WIRE_TRANSFER_END);
	server_end(&sv);
	assert_int_equal(sv.result, 0);
}

/* What moves all the time ends all the same */
static void test_deadline(void **state)
{
	static const uint8_t bytes[65536];
	const struct wire_message m = { .type = WIRE_TRANSFER_CHUNK,
					.text = { .bytes = bytes, .len = sizeof(bytes) } };
	struct wire_message came;
	struct server sv;
	struct tls_stream *s = NULL;
	struct err err = { 0 };
	int r = 0;

	(void)state;
	/* one that takes whatever it gets */
	server_start(&sv, take_bulk, false);
	assert_int_equal(connect_to(&s, &sv, -1, LIMIT_MS, &err), 0);
	tls_stream_set_deadline(s, 50);
	while (r == 0)
		r = tls_stream_send_message(s, &m, &err);
	assert_int_equal(r, -ETIMEDOUT);
	assert_non_null(strstr(err.text, "the peer is not done in the time it has"));
	tls_stream_free(s);
	server_end(&sv);
	/* one that takes nothing, and one that says nothing */
	server_start(&sv, idle, true);
	assert_int_equal(connect_to(&s, &sv, -1, LIMIT_MS, &err), 0);
	tls_stream_set_deadline(s, 50);
	assert_int_equal(tls_stream_receive_message(s, &came, &err), -ETIMEDOUT);
	assert_int_equal(tls_stream_send_message(s, &m, &err), -ETIMEDOUT);
	tls_stream_set_deadline(s, 0);
	assert_int_equal(tls_stream_send_message(s, &m, &err), 0);
	tls_stream_free(s);
	server_end(&sv);
}

/* Waits for a message; its result is the thread's. @tid: set before */
struct waiter {
	pthread_t thread;
	struct tls_stream *s;
	_Atomic pid_t tid;
	int result;
	struct err err;
};

static void *wait_message(void *arg)
{
	struct waiter *w = arg;
	struct wire_message m;

	w->tid = gettid();
	w->result = tls_stream_receive_message(w->s, &m, &w->err);
	return NULL;
}

/** sleeps() - Whether a thread of ours waits in the kernel */
static bool sleeps(pid_t tid)
{
	char path[64], line[200] = "";

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	FILE *f = tid ? fopen(path, "re") : NULL;
	bool yes = f && fgets(line, sizeof(line), f) && strstr(line, ") S ");
	if (f)
		(void)fclose(f);
	return yes;
}

/* Who is revoked while we wait for it is neither waited for nor heard */
static void test_revoked(void **state)
{
	struct test_pki p;
	struct err err = { 0 };
	size_t revoked;

	(void)state;
	for (int speaks = 0; speaks < 2; speaks++) {
		struct waiter w = { .thread = 0 };
		struct server sv;

		test_pki_new(&p);
		struct tls_context *here = test_pki_tls(&p, "EdgeServer-1", WIRE_ROLE_ES);
		struct tls_context *there = test_pki_tls(&p, "EdgeServer-2", WIRE_ROLE_ES);
		struct tls_context *usual = two;
		two = there;
		server_start(&sv, speaks ? say_when_told : idle, true);
		two = usual;
		assert_int_equal(tls_stream_connect(&w.s, here, sv.address, "EdgeServer-2",
						    WIRE_ROLE_ES, -1, LIMIT_MS, &err),
				 0);
		assert_int_equal(pthread_create(&w.thread, NULL, wait_message, &w), 0);
		while (!sleeps(w.tid))
			(void)sched_yield();
		assert_int_equal(pki_revoke(p.dir, "EdgeServer-2", &revoked, &err), 0);
		assert_int_equal(tls_context_reload(here, &err), 0);
		if (speaks)
			assert_int_equal(eventfd_write(told, 1), 0);
		pthread_join(w.thread, NULL);
		assert_int_equal(w.result, -EACCES);
		assert_non_null(strstr(w.err.text, "the certificate of EdgeServer-2 is revoked"));
		server_end(&sv);
		tls_stream_free(w.s);
		tls_context_free(here);
		tls_context_free(there);
		test_pki_remove(&p);
	}
}

static int set_up(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	one = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	told = eventfd(0, EFD_CLOEXEC);
	two = test_pki_tls(&pki, "EdgeServer-2", WIRE_ROLE_ES);
	mud = test_pki_tls(&pki, "MUD-1", WIRE_ROLE_MUD);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_free(one);
	tls_context_free(two);
	tls_context_free(mud);
	test_pki_remove(&pki);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_revoked),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_refused_while_sending),
		cmocka_unit_test(test_hello_is_not_waited_for),
	};

	return cmocka_run_group_tests_name("net/tls_stream", tests, set_up, tear_down);
}
