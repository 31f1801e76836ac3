/* SPDX-License-Identifier: Apache-2.0 */
#include "report/monitor.h"

#include <errno.h>
#include <llhttp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "net/acceptor.h"
#include "net/address.h"
#include "report/exposition.h"

#define BACKLOG 16
#define URL_MAX 256

/*
 * struct visitor - One connection
 * @handles:	How many of the two libuv still knows
 * @answered:	The answer is on its way: further bytes are not read
 */
struct visitor {
	struct list link;
	struct monitor *monitor;
	uv_tcp_t tcp;
	uv_timer_t timer;
	int handles;
	llhttp_t parser;
	char path[URL_MAX];
	size_t path_len;
	size_t received;
	bool answered;
	uint8_t in[MONITOR_REQUEST_MAX];
	char head[256];
	struct exposition body;
	uv_write_t write;
};

struct monitor {
	struct uv_loop_s *loop;
	const struct monitor_ops *ops;
	void *ctx;
	struct acceptor *acceptor;
	uint16_t port;
	struct list visitors;
	size_t count;
	bool closing;
};

static void end_if_empty(struct monitor *m)
{
	if (m->closing && !m->acceptor && list_empty(&m->visitors))
		free(m);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct visitor *v = handle->data;
	struct monitor *m = v->monitor;

	if (--v->handles > 0)
		return;
	list_remove(&v->link);
	m->count--;
	exposition_deinit(&v->body);
	free(v);
	end_if_empty(m);
}

static void visitor_close(struct visitor *v)
{
	if (uv_is_closing((uv_handle_t *)&v->tcp))
		return;
	uv_close((uv_handle_t *)&v->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&v->timer, on_handle_closed);
}

/* --- answering --------------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
	(void)status;
	visitor_close(write->data);
}

static void answer(struct visitor *v, const char *status, const char *type)
{
	size_t len = v->body.text.len;
	bool head_only = v->parser.method == HTTP_HEAD;
	int n = snprintf(v->head, sizeof(v->head),
			 "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
			 "Connection: close\r\nCache-Control: no-store\r\n\r\n",
			 status, type, len, *status == '4' ? "Allow: GET, HEAD\r\n" : "");
	uv_buf_t out[2] = {
		uv_buf_init(v->head, (unsigned int)n),
		uv_buf_init((char *)buf_bytes(&v->body.text), (unsigned int)len),
	};

	v->answered = true;
	v->write.data = v;
	(void)uv_read_stop((uv_stream_t *)&v->tcp);
	if (uv_write(&v->write, (uv_stream_t *)&v->tcp, out, len && !head_only ? 2 : 1,
		     on_written) < 0)
		visitor_close(v);
}

static void answer_text(struct visitor *v, const char *status, const char *text)
{
	exposition_deinit(&v->body);
	exposition_init(&v->body);
	(void)buf_append(&v->body.text, text, strlen(text), NULL);
	(void)buf_append(&v->body.text, "\n", 1, NULL);
	answer(v, status, "text/plain; charset=utf-8");
}

static void answer_metrics(struct visitor *v)
{
	struct monitor *m = v->monitor;

	m->ops->metrics(m->ctx, &v->body);
	if (v->body.failed)
		answer_text(v, "500 Internal Server Error", "out of memory, or too many metrics");
	else
		answer(v, "200 OK", "text/plain; version=0.0.4; charset=utf-8");
}

static void answer_health(struct visitor *v)
{
	struct monitor *m = v->monitor;
	const char *wrong = m->ops->health(m->ctx);

	if (wrong)
		answer_text(v, "503 Service Unavailable", wrong);
	else
		answer_text(v, "200 OK", "ok");
}

static bool asks_for(const struct visitor *v, const char *path)
{
	size_t len = strlen(path);

	return v->path_len >= len && memcmp(v->path, path, len) == 0 &&
	       (v->path_len == len || v->path[len] == '?');
}

static void answer_request(struct visitor *v)
{
	if (v->parser.method != HTTP_GET && v->parser.method != HTTP_HEAD)
		answer_text(v, "405 Method Not Allowed", "only GET and HEAD");
	else if (asks_for(v, "/metrics"))
		answer_metrics(v);
	else if (asks_for(v, "/healthz"))
		answer_health(v);
	else
		answer_text(v, "404 Not Found", "there are /metrics and /healthz");
}

/* --- reading ----------------------------------------------------------------------------------- */

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct visitor *v = parser->data;

	if (len > sizeof(v->path) - v->path_len)
		return -1; /* no path of ours is that long */
	memcpy(v->path + v->path_len, at, len);
	v->path_len += len;
	return 0;
}

static int on_complete(llhttp_t *parser)
{
	answer_request(parser->data);
	return HPE_PAUSED; /* further bytes are ignored */
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_message_complete = on_complete,
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct visitor *v = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)v->in, sizeof(v->in));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct visitor *v = stream->data;

	if (n < 0) {
		visitor_close(v);
		return;
	}
	v->received += (size_t)n;
	if (v->received > MONITOR_REQUEST_MAX) {
		answer_text(v, "431 Request Header Fields Too Large", "the request is too long");
		return;
	}
	if (llhttp_execute(&v->parser, buf->base, (size_t)n) != HPE_OK && !v->answered)
		answer_text(v, "400 Bad Request", "this is no HTTP request");
}

static void on_late(uv_timer_t *timer)
{
	visitor_close(timer->data);
}

static void on_accepted(void *ctx, int fd, const struct sockaddr_storage *from)
{
	struct monitor *m = ctx;
	struct visitor *v = m->count < MONITOR_CONNECTIONS ? calloc(1, sizeof(*v)) : NULL;

	(void)from;
	if (!v) {
		(void)close(fd);
		return;
	}
	v->monitor = m;
	v->handles = 2;
	v->tcp.data = v;
	v->timer.data = v;
	exposition_init(&v->body);
	llhttp_init(&v->parser, HTTP_REQUEST, &settings);
	v->parser.data = v;
	(void)uv_tcp_init(m->loop, &v->tcp); /* this and the timer cannot fail */
	(void)uv_timer_init(m->loop, &v->timer);
	list_append(&m->visitors, &v->link);
	m->count++;
	if (uv_tcp_open(&v->tcp, fd) < 0) {
		(void)close(fd);
		visitor_close(v);
		return;
	}
	(void)uv_timer_start(&v->timer, on_late, MONITOR_MS, 0);
	if (uv_read_start((uv_stream_t *)&v->tcp, on_alloc, on_read) < 0)
		visitor_close(v);
}

static const struct acceptor_ops acceptor_ops = { .accepted = on_accepted };

/* --- life -------------------------------------------------------------------------------------- */

int monitor_new(struct monitor **ret, struct uv_loop_s *loop, const char *listen,
		const struct monitor_ops *ops, void *ctx, struct err *err)
{
	struct address at;
	int r;

	if (!listen) {
		*ret = NULL;
		return 0;
	}
	struct monitor *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(err, -ENOMEM, "monitor");
	m->loop = loop;
	m->ops = ops;
	m->ctx = ctx;
	list_init(&m->visitors);
	const struct acceptor_setup setup = {
		.loop = loop, .ops = &acceptor_ops, .ctx = m, .backlog = BACKLOG
	};
	r = address_parse(&at, listen, err);
	if (r == 0)
		r = acceptor_new(&m->acceptor, &setup, &at, err);
	if (r < 0) {
		free(m);
		return err_wrap(err, r, "monitor_listen = \"%s\"", listen);
	}
	m->port = acceptor_port(m->acceptor);
	*ret = m;
	return 0;
}

uint16_t monitor_port(const struct monitor *m)
{
	return m->port;
}

static void on_acceptor_closed(void *ctx)
{
	struct monitor *m = ctx;

	m->acceptor = NULL;
	end_if_empty(m);
}

void monitor_close(struct monitor *m)
{
	if (!m)
		return;
	m->closing = true;
	acceptor_close(m->acceptor, on_acceptor_closed, m);
	list_for_each_safe(at, next, &m->visitors)
		visitor_close(list_entry(at, struct visitor, link));
}
