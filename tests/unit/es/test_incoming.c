/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/migration.h"
#include "es/migration/common/transfer.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/worker/line.h"
#include "net/link.h"
#include "net/tls_stream.h"
#include "controller_bed.h"
#include "test_pki.h"

#define LIMIT_MS 20000
#define IDLE     6 /* strangers, more than there are slots */
#define SLOTS    2

static struct test_pki pki;
static const char *worker; /* argv[1]: path of baton-file-worker */
static struct tls_context *here, *there, *elsewhere;
static const char *plan = "{}"; /* what they offer */

/* --- who connects to a controller ------------------------------------------------------------------ */

/* struct source - An edge server that offers a container, in its own thread */
struct source {
	pthread_t thread;
	struct controller_bed *bed;
	uv_async_t done;
	bool ended;
	struct tls_context *from;
	const char *name; /* of @from */
	bool silent;      /* it offers nothing and keeps its connection, @stream */
	struct tls_stream *stream;
	int result;
	struct err err;
	char answer[256];
	uint32_t status; /* of it */
};

static void *offer_run(void *arg)
{
	struct source *s = arg;
	struct tls_stream *made = NULL;
	struct wire_message m = {
		.type = WIRE_TRANSFER_OFFER,
		.session = 7,
		.association = 1,
		.epoch = 1,
		.offer = { .mud = "MUD-1", .service = "s", .ap = "AP-1" },
	};

	(void)snprintf(m.offer.from_es, sizeof(m.offer.from_es), "%s", s->name);
	m.offer.plan = (const uint8_t *)plan;
	m.offer.plan_len = strlen(plan);
	s->result = tls_stream_connect(&made, s->from, s->bed->address, "EdgeServer-1",
				       WIRE_ROLE_ES, -1, LIMIT_MS, &s->err);
	AUTO(tls_stream) struct tls_stream *stream = made;
	if (s->silent) {
		s->stream = TAKE_PTR(stream);
		(void)uv_async_send(&s->done);
		return NULL;
	}
	if (s->result == 0)
		s->result = tls_stream_send_message(stream, &m, &s->err);
	if (s->result == 0)
		s->result = tls_stream_receive_message(stream, &m, &s->err);
	if (s->result == 0 && m.type == WIRE_TRANSFER_RESULT) {
		s->status = m.text.status;
		(void)snprintf(s->answer, sizeof(s->answer), "%.*s", (int)m.text.len,
			       (const char *)m.text.bytes);
	}
	(void)uv_async_send(&s->done);
	return NULL;
}

static void on_done(uv_async_t *async)
{
	((struct source *)async->data)->ended = true;
}

static void on_closed(uv_handle_t *handle)
{
	((struct source *)handle->data)->ended = false;
}

static void source_start_as(struct source *s, struct controller_bed *b, struct tls_context *from,
			    bool silent)
{
	*s = (struct source){ .bed = b,
			      .from = from,
			      .name = from == there ? "EdgeServer-2" : "EdgeServer-3",
			      .silent = silent };
	assert_int_equal(uv_async_init(&b->loop, &s->done, on_done), 0);
	s->done.data = s;
	assert_int_equal(pthread_create(&s->thread, NULL, offer_run, s), 0);
}

static void source_start(struct source *s, struct controller_bed *b, bool silent)
{
	source_start_as(s, b, there, silent);
}

static void source_end(struct source *s)
{
	while (!s->ended)
		uv_run(&s->bed->loop, UV_RUN_ONCE);
	pthread_join(s->thread, NULL);
	uv_close((uv_handle_t *)&s->done, on_closed);
	while (s->ended)
		uv_run(&s->bed->loop, UV_RUN_ONCE);
}

static int stranger(const struct controller_bed *b)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons((uint16_t)strtoul(strrchr(b->address, ':') + 1, NULL, 10));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Strangers who say nothing take no slot of a migration: an edge server still brings its container (R9, R16) */
static void test_strangers(void **state)
{
	struct controller_bed b;
	struct source s;
	int fd[IDLE];

	(void)state;
	controller_bed_open(&b, pki.dir, here, SLOTS);
	for (size_t i = 0; i < IDLE; i++)
		fd[i] = stranger(&b);
	source_start(&s, &b, false);
	source_end(&s);
	if (s.result < 0)
		fail_msg("%s", s.err.text);
	assert_int_equal(b.offered, 1);
	assert_non_null(strstr(s.answer, "that will do"));
	assert_int_equal(s.status, WIRE_E_LASTING);
	for (size_t i = 0; i < IDLE; i++)
		close(fd[i]);
	controller_bed_shut(&b);
}

/* Offers until the answer has @word: slots are taken and given back by threads of their own */
static void offer_until(struct controller_bed *b, const char *word)
{
	struct source s;
	int tries = 0;

	do {
		source_start(&s, b, false);
		source_end(&s);
		assert_int_equal(s.result, 0);
		assert_true(tries++ < 1000);
	} while (!strstr(s.answer, word));
}

/* An offer that comes too early cancels the older arrival, not itself, and its end is not that one's (R10) */
static void test_refused(void **state)
{
	struct controller_bed b;
	struct source s;

	(void)state;
	controller_bed_open(&b, pki.dir, here, 1);
	b.cancels = true;
	source_start(&s, &b, false);
	source_end(&s);
	assert_int_equal(s.result, 0);
	assert_non_null(strstr(s.answer, "that will do"));
	offer_until(&b, "that will do"); /* the place is free again: the first one has ended */
	assert_true(b.offered >= 2);
	assert_int_equal(b.failed, 0);
	controller_bed_shut(&b);
}

/* An offer without a plan is an offer like any other: whoever judges it refuses it */
static void test_no_plan(void **state)
{
	struct controller_bed b;

	(void)state;
	controller_bed_open(&b, pki.dir, here, SLOTS);
	plan = "";
	offer_until(&b, "that will do");
	plan = "{}";
	assert_true(b.offered > 0);
	controller_bed_shut(&b);
}

/* Edge servers that have proven themselves hold slots; one that finds none is told so */
static void test_slots(void **state)
{
	struct source held[SLOTS];
	struct controller_bed b;

	(void)state;
	controller_bed_open(&b, pki.dir, here, SLOTS);
	for (size_t i = 0; i < SLOTS; i++) {
		source_start_as(&held[i], &b, i ? there : elsewhere, true);
		source_end(&held[i]);
		assert_int_equal(held[i].result, 0);
	}
	offer_until(&b, "no more migrations at a time");
	for (size_t i = 0; i < SLOTS; i++)
		tls_stream_free(held[i].stream);
	offer_until(&b, "that will do");
	controller_bed_shut(&b);
}

/* One edge server that holds what is its share leaves a slot to the others (R16) */
static void test_share(void **state)
{
	struct source held;
	struct source other;
	struct controller_bed b;

	(void)state;
	controller_bed_open(&b, pki.dir, here, SLOTS);
	source_start(&held, &b, true);
	source_end(&held);
	offer_until(&b, "from EdgeServer-2, which has 1 of 2 places");
	source_start_as(&other, &b, elsewhere, false);
	source_end(&other);
	assert_int_equal(other.result, 0);
	assert_non_null(strstr(other.answer, "that will do"));
	tls_stream_free(held.stream);
	offer_until(&b, "that will do");
	controller_bed_shut(&b);
	assert_int_equal(incoming_share(1), 1);
	assert_int_equal(incoming_share(2), 1);
	assert_int_equal(incoming_share(3), 2);
	assert_int_equal(incoming_share(4), 3);
	assert_int_equal(incoming_share(64), 48);
}

/* --- a stream that does not end -------------------------------------------------------------------- */

/* struct pair - Two ends of one connection; the sending one has a thread */
struct pair {
	pthread_t thread;
	int listener;
	struct tls_stream *in;
	struct file_workers *workers;
	struct file_worker *files;
	size_t after;       /* bytes sent behind what the receiver takes */
	const char *accept; /* text of a TRANSFER ACCEPT that is sent instead, or NULL */
	int sent;
};

static int flood(void *ctx, archive_sink sink, void *sink_ctx, struct err *err)
{
	static const uint8_t zeros[1u << 16];
	const struct pair *p = ctx;
	int r = 0;

	for (size_t n = 0; n < p->after && r == 0; n += sizeof(zeros))
		r = sink(sink_ctx, zeros, sizeof(zeros), err);
	return r;
}

static void *send_run(void *arg)
{
	const struct wire_message header = { .session = 7, .association = 1, .epoch = 1 };
	struct pair *p = arg;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	char address[32];
	struct tls_stream *made = NULL;
	struct err err = { 0 };
	uint64_t bytes;

	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(a.sin_port));
	p->sent = tls_stream_connect(&made, there, address, "EdgeServer-1", WIRE_ROLE_ES, -1,
				     LIMIT_MS, &err);
	AUTO(tls_stream) struct tls_stream *out = made;
	if (p->sent == 0 && p->accept) {
		struct wire_message m = header;

		m.type = WIRE_TRANSFER_ACCEPT;
		m.text.bytes = (const uint8_t *)p->accept;
		m.text.len = strlen(p->accept);
		p->sent = tls_stream_send_message(out, &m, &err);
	} else if (p->sent == 0)
		p->sent = transfer_send_stream(out, &header, flood, p, 1, &bytes, &err);
	return NULL;
}

static void pair_open_with(struct pair *p, const char *program, size_t after, const char *text)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct err err = { 0 };

	*p = (struct pair){ .after = after, .accept = text };
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->listener >= 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(p->listener, 1), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, send_run, p), 0);
	int fd = accept(p->listener, NULL, NULL);
	assert_int_equal(
		tls_stream_accept(&p->in, here, fd, LINK_ROLE(WIRE_ROLE_ES), -1, LIMIT_MS, &err),
		0);
	assert_int_equal(file_workers_new(&p->workers, program, NULL, &err), 0);
	if (file_worker_start(&p->files, p->workers, -1, &err) < 0)
		fail_msg("%s", err.text);
}

static void pair_open(struct pair *p, const char *program, size_t after)
{
	pair_open_with(p, program, after, NULL);
}

static void pair_close(struct pair *p)
{
	tls_stream_free(p->in);
	file_worker_free(p->files);
	file_workers_free(p->workers);
	pthread_join(p->thread, NULL);
	close(p->listener);
}

/* The archive is over at once */
static int take_nothing(void *ctx, archive_source source, void *source_ctx, struct err *err)
{
	(void)ctx;
	(void)source;
	(void)source_ctx;
	(void)err;
	return 0;
}

static int take_all(void *ctx, archive_source source, void *source_ctx, struct err *err)
{
	const void *bytes;
	ssize_t n;

	(void)ctx;
	do
		n = source(source_ctx, &bytes, err);
	while (n > 0);
	return (int)n;
}

/* All bytes are counted, those after the end of the archive, too (R9) */
static void test_bytes(void **state)
{
	struct pair p;
	struct err err = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	/* padding is allowed */
	pair_open(&p, worker, TRANSFER_TAIL_MAX);
	assert_int_equal(
		transfer_receive_stream(p.in, 7, p.files, take_nothing, NULL, 1u << 20, &err), 0);
	pair_close(&p);
	/* 64 MiB that shrink to a few KiB on the wire are none */
	pair_open(&p, worker, 64u << 20);
	assert_int_equal(
		transfer_receive_stream(p.in, 7, p.files, take_nothing, NULL, 1u << 20, &err),
		-EFBIG);
	assert_non_null(strstr(err.text, "the stream goes on after its end"));
	pair_close(&p);
	/* nor may the archive itself have more than is allowed */
	pair_open(&p, worker, 2u << 20);
	assert_int_equal(transfer_receive_stream(p.in, 7, p.files, take_all, NULL, 1u << 20, &err),
			 -EFBIG);
	pair_close(&p);
	pair_open(&p, worker, 1u << 20);
	assert_int_equal(transfer_receive_stream(p.in, 7, p.files, take_all, NULL, 1u << 20, &err),
			 0);
	pair_close(&p);
}

#define GREEDY (3u << 20) /* bytes allowed to a lying worker that never stops asking */

/** lying_worker() - What this program is when test_lies() starts it as a worker */
static int lying_worker(void)
{
	static uint8_t bytes[WORKER_BYTES_MAX];
	const struct worker_end end = { .result = 0 };
	struct worker_call call = { .op = 0 };
	enum worker_kind kind;
	size_t len;

	if (worker_line_receive(3, NULL, &kind, bytes, &len, NULL, NULL) < 0)
		return 1;
	memcpy(&call, bytes, len < sizeof(call) ? len : sizeof(call));
	while (call.max_bytes == GREEDY + TRANSFER_TAIL_MAX)
		if (worker_line_send(3, WORKER_WANT, NULL, 0, -1, NULL, NULL) < 0 ||
		    worker_line_receive(3, NULL, &kind, bytes, &len, NULL, NULL) < 0)
			return 1;
	return worker_line_send(3, WORKER_END, &end, sizeof(end), -1, NULL, NULL) < 0;
}

/* A worker that has fallen cannot say that a stream was good which nobody has read, nor ask for ever */
static void test_lies(void **state)
{
	static const struct {
		uint64_t max_bytes;
		const char *reason;
	} rows[] = {
		{ 1u << 20, "the stream was not read to its end" },
		{ GREEDY, "the file worker goes on asking after the end" },
	};

	(void)state;
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pair p;
		struct err err = { 0 };

		pair_open(&p, "/proc/self/exe", 1u << 20);
		assert_int_equal(transfer_receive_stream(p.in, 7, p.files, take_all, NULL,
							 rows[i].max_bytes, &err),
				 -EPROTO);
		assert_non_null(strstr(err.text, rows[i].reason));
		pair_close(&p);
	}
}

/* What a destination answers is read by the worker, and by nobody else */
static void test_accept(void **state)
{
	static const char text[] = "{\"image\":{\"wanted\":true,\"from\":\"source\",\"layers_"
				   "here\":1,\"bytes_here\":5}}";
	struct migration_controller mc = { .config.idle_ms = LIMIT_MS };
	struct outgoing out = { .probed = false };
	struct migration m = { .mc = &mc, .out = &out, .order.to_es = "EdgeServer-2" };
	struct pair p;
	struct err err = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	m.plan = json_pack("{s:{s:[s, s]}}", "image", "layers", "a", "b");
	pair_open_with(&p, worker, 0, text);
	m.stream = p.in;
	m.files = p.files;
	if (source_accepted(&m, LIMIT_MS, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(m.image_wanted && m.layers_here == 1 && m.bytes_here == 5);
	pair_close(&p);
	pair_open_with(&p, worker, 0, "{\"image\":{},\"image\":{}}");
	m.stream = p.in;
	m.files = p.files;
	assert_int_equal(source_accepted(&m, LIMIT_MS, &err), -EPROTO);
	assert_non_null(strstr(err.text, "EdgeServer-2 says nonsense"));
	pair_close(&p);
	/* one that has fallen can say nothing else than its peer could, or nothing at all */
	pair_open_with(&p, "/proc/self/exe", 0, text);
	m.stream = p.in;
	m.files = p.files;
	assert_int_equal(source_accepted(&m, LIMIT_MS, &err), -EPROTO);
	assert_non_null(strstr(err.text, "the file worker writes no JSON"));
	pair_close(&p);
	json_decref(m.plan);
}

static void test_trees(void **state)
{
	struct file_tree roots[FILE_WORKER_TREES_MAX + 1] = { { .name = "x" } };
	struct transfer_tree trees[FILE_WORKER_TREES_MAX + 1] = { { .sent = 0 } };
	const struct wire_message header = { .session = 7 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(transfer_receive(NULL, TRANSFER_STREAM, &header, NULL, roots,
					  FILE_WORKER_TREES_MAX + 1, 1, &err),
			 -EINVAL);
	assert_int_equal(transfer_send(NULL, TRANSFER_STREAM, &header, NULL, trees,
				       FILE_WORKER_TREES_MAX + 1, false, 0, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "a transfer of 25 trees, at most 24"));
}

static int set_up(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	here = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	there = test_pki_tls(&pki, "EdgeServer-2", WIRE_ROLE_ES);
	elsewhere = test_pki_tls(&pki, "EdgeServer-3", WIRE_ROLE_ES);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_free(here);
	tls_context_free(there);
	tls_context_free(elsewhere);
	test_pki_remove(&pki);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_no_plan), cmocka_unit_test(test_slots),
		cmocka_unit_test(test_share),   cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_lies),    cmocka_unit_test(test_accept),
		cmocka_unit_test(test_trees),
	};

	if (argc == 1)
		return lying_worker();
	worker = argv[1];

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
