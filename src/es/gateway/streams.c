/* SPDX-License-Identifier: Apache-2.0 */
#include "es/gateway/streams.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "codec/codec.h"
#include "wire/message.h"

#define READ_SIZE    65536
#define REPORT_BYTES (STREAMS_WINDOW / 4) /* so much more was taken: worth a message */

/*
 * One connection. It outlives its place in the list until libuv has closed the handle and the
 * writes;
 * @streams is NULL once nobody cares for it any more.
 */
struct stream {
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	struct list link;
	struct streams *streams;
	uint32_t number;
	bool up;
	bool reading;
	bool user_ended;    /* shut down when all is written */
	size_t writing;     /* writes under way ... */
	size_t queued;      /* ... and their bytes */
	uint64_t taken;     /* bytes of the user's that were written ... */
	uint64_t told;      /* ... as it has been told */
	uint64_t offset;    /* bytes that the service has sent ... */
	uint64_t confirmed; /* ... and the user has */
};

/* Bytes on their way to the service */
struct piece {
	uv_write_t write;
	struct stream *stream;
	size_t len;
	uint8_t bytes[];
};

/* Report of a connection that is gone, sent from the loop */
struct word {
	struct list link;
	uint32_t number;
};

struct streams {
	struct uv_loop_s *loop;
	struct sockaddr_storage to;
	streams_say_fn say;
	void *ctx;
	struct list all;
	size_t count;
	struct list gone; /* struct word */
	uv_timer_t timer; /* says them */
	uint8_t scratch[READ_SIZE];
};

static void say_gone(uv_timer_t *timer)
{
	struct streams *st = timer->data;

	while (!list_empty(&st->gone)) {
		struct word *w = list_first(&st->gone, struct word, link);
		const struct wire_stream end = { .connection = w->number,
						 .offset = UINT64_MAX,
						 .ended = true };

		list_remove(&w->link);
		free(w);
		st->say(st->ctx, &end);
	}
}

/* Not from inside the call that found it out. */
static void gone_later(struct streams *st, uint32_t number)
{
	struct word *w = calloc(1, sizeof(*w));

	if (!w)
		return; /* the user's own timeout will end it */
	w->number = number;
	list_append(&st->gone, &w->link);
	(void)uv_timer_start(&st->timer, say_gone, 0, 0);
}

int streams_new(struct streams **ret, struct uv_loop_s *loop, const struct sockaddr *to,
		streams_say_fn say, void *ctx, struct err *err)
{
	struct streams *st = calloc(1, sizeof(*st));

	if (!st)
		return err_set(err, -ENOMEM, "connections into a container");
	st->loop = loop;
	memcpy(&st->to, to,
	       to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					 : sizeof(struct sockaddr_in));
	st->say = say;
	st->ctx = ctx;
	list_init(&st->all);
	list_init(&st->gone);
	(void)uv_timer_init(loop, &st->timer); /* cannot fail */
	st->timer.data = st;
	*ret = st;
	return 0;
}

/* --- one connection --------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void stream_close(struct stream *s)
{
	struct streams *st = s->streams;

	list_remove(&s->link);
	st->count--;
	s->streams = NULL;
	/* a reset: the service must not take the bytes left to read for those of an orderly end */
	if (s->shutdown.data || uv_tcp_close_reset(&s->tcp, on_closed) < 0)
		uv_close((uv_handle_t *)&s->tcp, on_closed);
}

/* The service has sent all. Both directions end: few services read on after that. */
static void ended(struct stream *s)
{
	struct streams *st = s->streams;
	const struct wire_stream end = {
		.connection = s->number, .offset = s->offset, .taken = s->taken, .ended = true
	};

	stream_close(s);
	st->say(st->ctx, &end);
}

static void broke(struct stream *s)
{
	if (!s->streams)
		return;
	gone_later(s->streams, s->number);
	stream_close(s);
}

static void read_or_not(struct stream *s);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct stream *s = handle->data;

	(void)suggested;
	*buf = s->streams ? uv_buf_init((char *)s->streams->scratch, READ_SIZE)
			  : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *tcp, ssize_t nread, const uv_buf_t *buf)
{
	struct stream *s = tcp->data;
	struct streams *st = s->streams;

	if (!st || nread == 0)
		return;
	if (nread == UV_EOF) {
		ended(s);
		return;
	}
	if (nread < 0) {
		broke(s);
		return;
	}
	const struct wire_stream m = { .connection = s->number,
				       .offset = s->offset,
				       .taken = s->taken,
				       .bytes = (const uint8_t *)buf->base,
				       .len = (size_t)nread };
	s->offset += (size_t)nread;
	s->told = s->taken;
	st->say(st->ctx, &m);
	if (s->streams)
		read_or_not(s);
}

/* Backpressure: nothing is read from the service while the user has a window's bytes to take. */
static void read_or_not(struct stream *s)
{
	bool wanted = s->up && s->offset - s->confirmed < STREAMS_WINDOW;

	if (wanted == s->reading)
		return;
	s->reading = wanted;
	if (!wanted)
		(void)uv_read_stop((uv_stream_t *)&s->tcp);
	else if (uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read) < 0)
		broke(s);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
	(void)shutdown;
	(void)status; /* the end of the connection is seen by reading */
}

static void shut_down_if_due(struct stream *s)
{
	if (!s->up || !s->user_ended || s->writing || s->shutdown.data)
		return;
	s->shutdown.data = s;
	if (uv_shutdown(&s->shutdown, (uv_stream_t *)&s->tcp, on_shutdown) < 0)
		broke(s);
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct stream *s = connect->data;

	if (!s->streams)
		return;
	if (status < 0) {
		broke(s);
		return;
	}
	s->up = true;
	(void)uv_tcp_nodelay(&s->tcp, 1);
	read_or_not(s);
	if (s->streams)
		shut_down_if_due(s);
}

static int stream_open(struct streams *st, uint32_t number)
{
	struct stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = uv_tcp_init(st->loop, &s->tcp);
	if (r < 0) {
		free(s);
		return r;
	}
	s->tcp.data = s;
	s->connect.data = s;
	s->streams = st;
	s->number = number;
	list_append(&st->all, &s->link);
	st->count++;
	r = uv_tcp_connect(&s->connect, &s->tcp, (const struct sockaddr *)&st->to, on_connected);
	if (r < 0)
		stream_close(s);
	return r;
}

static void on_written(uv_write_t *write, int status)
{
	struct piece *p = write->data;
	struct stream *s = p->stream;
	size_t len = p->len;

	free(p);
	s->writing--;
	s->queued -= len;
	if (!s->streams)
		return;
	if (status < 0) {
		broke(s);
		return;
	}
	s->taken += len;
	if (s->taken - s->told >= REPORT_BYTES) {
		const struct wire_stream m = { .connection = s->number,
					       .offset = s->offset,
					       .taken = s->taken };

		s->told = s->taken;
		s->streams->say(s->streams->ctx, &m);
	}
	if (s->streams)
		shut_down_if_due(s);
}

/*
 * libuv keeps what is written before the connection is up, and what the service does not take. An
 * access point that keeps to the window never has more under way than that.
 */
static int stream_write(struct stream *s, const uint8_t *bytes, size_t len)
{
	struct piece *p;
	int r;

	if (s->queued + len > STREAMS_QUEUE)
		return -ENOBUFS;
	p = malloc(sizeof(*p) + len);
	if (!p)
		return -ENOMEM;
	p->stream = s;
	p->len = len;
	p->write.data = p;
	memcpy(p->bytes, bytes, len);
	uv_buf_t buf = uv_buf_init((char *)p->bytes, (unsigned int)len);
	r = uv_write(&p->write, (uv_stream_t *)&s->tcp, &buf, 1, on_written);
	if (r < 0)
		free(p);
	else {
		s->writing++;
		s->queued += len;
	}
	return r;
}

/* --- requests --------------------------------------------------------------------------------- */

static struct stream *find(struct streams *st, uint32_t number)
{
	list_for_each_safe(at, next, &st->all)
	{
		struct stream *s = list_entry(at, struct stream, link);

		if (s->number == number)
			return s;
	}
	return NULL;
}

/* Return: 0, or -ENOBUFS if the user's side ignores the window */
static int take(struct stream *s, uint8_t kind, const uint8_t *bytes, size_t len)
{
	int r = 0;

	switch (kind) {
	case CODEC_STREAM_DATA:
		r = len ? stream_write(s, bytes, len) : 0;
		break;
	case CODEC_STREAM_END:
		s->user_ended = true;
		shut_down_if_due(s);
		break;
	case CODEC_STREAM_WINDOW:
		if (len == 8 && get_be64(bytes) <= s->offset && get_be64(bytes) > s->confirmed)
			s->confirmed = get_be64(bytes);
		read_or_not(s);
		break;
	default: /* RESET, and OPEN of one that is open: its user does not know it */
		stream_close(s);
		return 0;
	}
	if (r < 0)
		broke(s);
	return r == -ENOBUFS ? r : 0;
}

int streams_take(struct streams *st, uint32_t connection, const uint8_t *bytes, size_t len,
		 struct err *err)
{
	static const char kinds[] = { CODEC_STREAM_OPEN, CODEC_STREAM_DATA, CODEC_STREAM_END,
				      CODEC_STREAM_RESET, CODEC_STREAM_WINDOW };
	struct stream *s = find(st, connection);

	if (!connection || !len || !memchr(kinds, bytes[0], sizeof(kinds)))
		return err_set(err, -EPROTO, "no request of codec tcp");
	if (bytes[0] == CODEC_STREAM_OPEN && !s) {
		if (st->count >= STREAMS_MAX || stream_open(st, connection) < 0)
			gone_later(st, connection);
	} else if (s && take(s, bytes[0], bytes + 1, len - 1) < 0) {
		return err_set(
			err, -EPROTO,
			"connection %u ended: more than %u KiB wait for the service, which is "
			"beyond the window",
			connection, STREAMS_QUEUE >> 10);
	} else if (s) {
		return 0;
	} else if (bytes[0] != CODEC_STREAM_RESET) {
		gone_later(st, connection); /* it ended at a cut, and more was under way */
	}
	return 0;
}

void streams_end(struct streams *st)
{
	list_for_each_safe(at, next, &st->all) broke(list_entry(at, struct stream, link));
}

void streams_close(struct streams *st)
{
	if (!st)
		return;
	list_for_each_safe(at, next, &st->all) stream_close(list_entry(at, struct stream, link));
	while (!list_empty(&st->gone)) {
		struct word *w = list_first(&st->gone, struct word, link);

		list_remove(&w->link);
		free(w);
	}
	uv_close((uv_handle_t *)&st->timer, on_closed); /* frees st: the timer's data */
}
