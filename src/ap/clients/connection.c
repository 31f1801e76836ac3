/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/clients/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/clients/connection_inner.h"
#include "ap/users/session.h"
#include "ap/users/table.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "codec/codec.h"
#include "codec/connection.h"
#include "net/address.h"
#include "net/tcp.h"
#include "wire/message.h"

#define IN_MAX      (CODEC_PREFIX_MAX + WIRE_PAYLOAD_MAX + 2 * 65536)
#define KEEPALIVE_S 60
#define DISCARD_MAX (4u << 20) /* bytes of a client that still writes after its last answer */

/* ---- life ---- */

static void user_connection_pump(struct user_connection *c);
static void user_connection_flush(struct user_connection *c);

static void on_resume(void *ctx)
{
	user_connection_pump(ctx);
}

static void connection_free(struct user_connection *c)
{
	codec_exchange_free(c->exchange);
	codec_connection_free(c->state);
	buf_deinit(&c->in);
	buf_deinit(&c->out);
	buf_deinit(&c->writing);
	free(c);
}

static void on_closed(uv_handle_t *handle)
{
	connection_free(handle->data);
}

/* ---- places in the order of answers ---- */

static void drop_pending(struct user_connection *c, struct pending *p)
{
	if (p->number && !p->answered)
		user_session_forget(c->session, p->number);
	user_segments_end_download(c, p);
	list_remove(&p->link);
	c->pending_count--;
	buf_deinit(&p->answer);
	free(p);
}

static void drop_all_pending(struct user_connection *c)
{
	list_for_each_safe(at, next, &c->pending)
		drop_pending(c, list_entry(at, struct pending, link));
}

void user_connection_close(struct user_connection *c, bool reset)
{
	if (c->closing)
		return;
	if (c->opened && c->session) /* without room the service has to find out by itself */
		user_stream_reset(c);
	c->closing = true;
	if (c->session)
		user_segments_end_upload(c);
	drop_all_pending(c);
	list_remove(&c->hold.link);
	if (c->user) {
		list_remove(&c->link);
		c->user->connection_count--;
		users_connection_closed(c->user->users);
		c->user = NULL;
		c->session = NULL;
	}
	/* a reset is refused while an orderly end is under way; then that will do */
	if (!reset || uv_tcp_close_reset(&c->tcp, on_closed) < 0)
		uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void user_connection_next(struct user_connection *c)
{
	user_segments_end_upload(c);
	codec_exchange_reset(c->exchange);
	c->exchange->own = true;
	c->exchange->first = true;
	c->fed = 0;
	c->whole = false;
}

/* Now, for the kernel forgets the ends of a connection that breaks. Return: 0, or negative error code */
static int find_ends(struct user_connection *c, const struct user_connection_setup *setup,
		     struct err *err)
{
	struct sockaddr_storage ours = { 0 };
	socklen_t len = sizeof(ours);

	if (getsockname(setup->fd, (struct sockaddr *)&ours, &len) < 0)
		return err_set(err, -errno, "address of a user's connection");
	int r = user_address_normalise(&c->local, (struct sockaddr *)&ours);
	if (r < 0)
		return err_set(err, r, "address of a user's connection");
	address_set_port(&c->local, address_port((struct sockaddr *)&ours));
	c->port = address_port((const struct sockaddr *)setup->from);
	return 0;
}

/* It broke. One that only fell silent may be waiting, out of reach */
static void user_connection_broken(struct user_connection *c, int code)
{
	bool silent = code == UV_ETIMEDOUT || code == UV_EHOSTUNREACH || code == UV_ENETUNREACH;

	if (silent && c->user && c->lost)
		c->lost(c->user, &c->local, c->port);
	user_connection_close(c, false);
}

static const struct user_connection_life life;

int user_connection_accept(struct user_connection **ret, const struct user_connection_setup *setup,
			   struct err *err)
{
	struct user_connection *c = calloc(1, sizeof(*c));
	int r;

	auto_close int fd = setup->fd;
	if (!c)
		return err_set(err, -ENOMEM, "connection of a user");
	c->codec = setup->codec;
	c->life = &life;
	c->number = setup->number;
	c->lost = setup->lost;
	buf_init(&c->in, IN_MAX);
	list_init(&c->link);
	list_init(&c->pending);
	list_init(&c->hold.link);
	c->hold.resume = on_resume;
	c->hold.ctx = c;
	r = find_ends(c, setup, err);
	if (r == 0)
		r = codec_exchange_new(&c->exchange, setup->codec, NULL, err);
	if (r == 0)
		r = codec_connection_new(&c->state, err);
	if (r == 0)
		r = uv_tcp_init(setup->loop, &c->tcp);
	if (r < 0) {
		connection_free(c);
		return r;
	}
	c->tcp.data = c;
	user_connection_next(c);
	r = uv_tcp_open(&c->tcp, fd);
	if (r < 0) {
		user_connection_close(c, false);
		return err_set(err, r, "accept the connection of a user");
	}
	tcp_tune(TAKE_FD(fd), setup->dead_ms);
	(void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
	*ret = c;
	return 0;
}

struct user_connection *user_connection_of(struct list *link)
{
	return list_entry(link, struct user_connection, link);
}

struct user_session *user_connection_session(const struct user_connection *c)
{
	return c->session;
}

uint32_t user_connection_number(const struct user_connection *c)
{
	return c->number;
}

void user_connection_ends(const struct user_connection *c, struct sockaddr_storage *local,
			  uint16_t *port)
{
	*local = c->local;
	*port = c->port;
}

bool user_connection_idle(const struct user_connection *c)
{
	return list_empty(&c->pending) && !c->in.len && !c->upload.bytes && !c->is_writing;
}

/* ---- to the client ---- */

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
	struct user_connection *c = shutdown->data;

	if (c->closing)
		return;
	if (status < 0 || c->eof) {
		user_connection_close(c, false);
		return;
	}
	/* to close now would reset the connection, and take the last answer from a client that writes */
	c->lingering = true;
	c->linger_since = uv_now(c->tcp.loop);
	user_connection_pump(c);
}

/* All that is due has been written: end the connection, if it was to end. */
static void end_if_due(struct user_connection *c)
{
	bool nothing_left = !c->codec->stream && c->eof && !c->whole && c->fed == c->in.len &&
			    list_empty(&c->pending);

	if (c->closing || c->is_writing || c->shutdown.data || !(c->finished || nothing_left))
		return;
	c->shutdown.data = c;
	if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) < 0)
		user_connection_close(c, false);
}

/* No more bytes follow. */
static void user_connection_finish(struct user_connection *c)
{
	c->ended = true;
	c->finished = true;
	c->whole = false;
	list_remove(&c->hold.link);
	user_segments_end_upload(c);
	drop_all_pending(c);
}

/* Sends the answers that are due, in order. */
static void user_connection_flush(struct user_connection *c)
{
	while (!c->closing && !list_empty(&c->pending)) {
		struct pending *p = list_first(&c->pending, struct pending, link);
		bool last = p->last;

		if (p->rest ? !user_segments_say(c, p) : !p->answered)
			break;
		if (!user_connection_say(c, buf_bytes(&p->answer), p->answer.len))
			return;
		drop_pending(c, p);
		if (last)
			user_connection_finish(c);
	}
	if (!c->closing && list_empty(&c->pending) && c->prompt && !c->ended) {
		const char *prompt = c->prompt;

		c->prompt = NULL;
		(void)user_connection_say(c, prompt, strlen(prompt));
	}
	user_connection_write(c);
}

/* ---- refusals ---- */

/* The request that is being read gets no further. @go_on: where it ends is known */
static void user_connection_refuse(struct user_connection *c, enum codec_refusal why,
				   const char *reason, bool go_on)
{
	struct pending *p = user_connection_pending(c);

	if (!p)
		return;
	go_on = user_connection_compose(c, p, why, reason) && go_on;
	p->last = !go_on;
	c->ended = !go_on;
	log_debug("%s: request refused: %s", c->user->name, reason);
	if (go_on) {
		buf_consume(&c->in, c->exchange->end - user_segments_gathered(c));
		user_connection_next(c);
	} else {
		user_segments_end_upload(c);
		buf_deinit(&c->in);
		c->fed = 0;
		c->whole = false;
	}
	user_connection_flush(c);
}

/* ---- answers ---- */

static struct pending *find_pending(struct user_connection *c, uint64_t number)
{
	list_for_each_safe(at, next, &c->pending)
	{
		struct pending *p = list_entry(at, struct pending, link);

		if (p->number == number)
			return p;
	}
	return NULL;
}

static void take_answer(struct user_connection *c, struct pending *p, const struct wire_data *d)
{
	uint8_t prefix[CODEC_PREFIX_MAX];
	size_t prefix_len = codec_prefix(c->codec, prefix, d->len);

	codec_connection_answered(c->state, p->ordinal, d->bytes, d->len);
	p->last = codec_answer_last(c->codec, p->note, d->bytes, d->len);
	if (d->status == WIRE_OK_MORE) {
		user_segments_answer(c, p, d);
		return;
	}
	p->answered = true;
	if (buf_append(&p->answer, prefix, prefix_len, NULL) < 0 ||
	    buf_append(&p->answer, d->bytes, d->len, NULL) < 0) {
		log_error("%s: connection ended: no memory for an answer", c->user->name);
		buf_deinit(&p->answer);
		p->last = true;
	}
}

static void take_failure(struct user_connection *c, struct pending *p, const struct wire_data *d)
{
	char reason[WIRE_REASON_SIZE];
	enum codec_refusal why = d->status == WIRE_E_PROTOCOL ? CODEC_REFUSAL_BROKEN
				 : d->status == WIRE_E_BUSY   ? CODEC_REFUSAL_AWAY
							      : CODEC_REFUSAL_DOUBT;

	(void)snprintf(reason, sizeof(reason), "%.*s", (int)d->len,
		       d->len ? (const char *)d->bytes : "");
	codec_connection_answered(c->state, p->ordinal, "", 0);
	p->last = !user_connection_compose(c, p, why,
					   reason[0] ? reason : wire_status_name(d->status));
}

static void user_connection_answered(void *ctx, struct user_session *us, uint16_t port,
				     const struct wire_data *answer)
{
	struct user_connection *c = ctx;
	struct pending *p = find_pending(c, answer->number);

	(void)us;
	(void)port;
	if (!p)
		return;
	if (answer->status == WIRE_OK || answer->status == WIRE_OK_MORE)
		take_answer(c, p, answer);
	else
		take_failure(c, p, answer);
	user_connection_flush(c);
	if (!c->closing)
		user_connection_pump(c);
}

/* ---- requests ---- */

/* A whole request is in @in. Return: false if it has to wait, or the connection is closed */
static bool submit(struct user_connection *c)
{
	const struct codec_exchange *x = c->exchange;
	const uint8_t *bytes = buf_bytes(&c->in) + x->from;
	size_t len = x->end - x->from;
	size_t preamble_len;
	struct err err;

	const void *preamble = codec_connection_preamble(c->state, &preamble_len);
	struct wire_data d = { .connection = c->number,
			       .preamble = (uint32_t)preamble_len,
			       .bytes = bytes,
			       .len = preamble_len + len };
	if (c->upload.bytes || d.len > WIRE_PAYLOAD_MAX)
		return user_segments_submit(c);
	switch (user_session_room(c->session, d.len, WIRE_SEGMENT_WHOLE)) {
	case USER_SESSION_E_WAIT:
		c->whole = true;
		user_connection_wait(c);
		return false;
	case USER_SESSION_E_AWAY:
		user_connection_refuse(c, CODEC_REFUSAL_AWAY, user_session_reason(c->session),
				       true);
		return true;
	default:
		break;
	}
	auto_free uint8_t *joined = preamble_len ? malloc(d.len) : NULL;
	if (joined) {
		memcpy(joined, preamble, preamble_len);
		memcpy(joined + preamble_len, bytes, len);
		d.bytes = joined;
	}
	int r = preamble_len && !joined
			? -ENOMEM
			: codec_connection_sent(c->state, x, ++c->ordinal, bytes, len, &err);
	if (r == -E2BIG) {
		user_connection_refuse(c, CODEC_REFUSAL_TOO_LONG, err.text, false);
		return true;
	}
	struct pending *p = r == 0 ? user_connection_pending(c) : NULL;
	if (!p) {
		user_connection_close(c, true);
		return false;
	}
	p->ordinal = c->ordinal;
	p->note = x->note;
	const struct user_waiter waiter = { .answered = user_connection_answered, .ctx = c };
	if (user_session_request(c->session, &d, &waiter, &p->number, &err) < 0) {
		log_error("%s: connection ended: %s", c->user->name, err.text);
		p->number = 0;
		user_connection_close(c, true);
		return false;
	}
	buf_consume(&c->in, x->end);
	user_connection_next(c);
	return true;
}

/* Keep at most a segment of a long request in memory. Return: true if it was refused */
static bool gather(struct user_connection *c)
{
	struct err err;

	if (!c->codec->segments || c->in.len <= WIRE_PAYLOAD_MAX ||
	    user_segments_gather(c, c->in.len, &err) == 0)
		return false;
	user_connection_refuse(c, CODEC_REFUSAL_AWAY, err.text, false);
	return true;
}

static bool may_take(const struct user_connection *c)
{
	if (c->codec->stream)
		return !c->closing && !c->ended && c->in.len <= CODEC_STREAM_CHUNK;
	return !c->closing && !c->ended && c->pending_count < USER_CONNECTION_PIPELINE &&
	       c->out.len + c->writing.len < USER_CONNECTION_OUT &&
	       !codec_connection_settling(c->state);
}

/* Reads on in @in. Return: false if nothing more can be done now */
static bool next_request(struct user_connection *c)
{
	struct codec_exchange *x = c->exchange;

	if (c->codec->stream)
		return user_stream_next(c);
	if (c->whole)
		return submit(c);
	if (c->fed == c->in.len)
		return false;
	const uint8_t *bytes = buf_bytes(&c->in) + c->fed;
	size_t len = c->in.len - c->fed;
	c->fed = c->in.len;
	switch (codec_request(x, bytes, len)) {
	case CODEC_DONE:
		return submit(c);
	case CODEC_MORE:
		if (x->prompt) {
			c->prompt = x->prompt;
			x->prompt = NULL;
			user_connection_flush(c);
		}
		return gather(c);
	case CODEC_BROKEN:
		/* in a transaction the service would continue without the refused request */
		user_connection_refuse(c, CODEC_REFUSAL_BROKEN, x->reason,
				       x->bounded && !codec_connection_open(c->state));
		return true;
	case CODEC_TOO_LONG:
		user_connection_refuse(c, CODEC_REFUSAL_TOO_LONG, x->reason, false);
		return true;
	}
	return false;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct user_connection *c = handle->data;
	size_t size = 0;

	(void)suggested;
	*buf = uv_buf_init(NULL, 0);
	if (c->closing)
		return;
	buf->base = users_scratch(c->user->users, &size);
	buf->len = size;
}

static void on_end(struct user_connection *c, int code)
{
	if (code != UV_EOF) {
		user_connection_broken(c, code);
		return;
	}
	if (c->lingering) {
		user_connection_close(c, false);
		return;
	}
	c->eof = true;
	user_connection_pump(c);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct user_connection *c = stream->data;

	if (c->closing || nread == 0)
		return;
	if (nread < 0) {
		on_end(c, (int)nread);
		return;
	}
	users_heard(c->user);
	if (c->ended) {
		c->discarded += (size_t)nread;
		if (c->discarded > DISCARD_MAX)
			user_connection_close(c, true);
		return;
	}
	/* the one used latest is last, so the one idle longest is first */
	list_remove(&c->link);
	list_append(&c->user->connections, &c->link);
	if (buf_append(&c->in, buf->base, (size_t)nread, NULL) < 0) {
		log_error("%s: connection ended: no room for a request", c->user->name);
		user_connection_close(c, true);
		return;
	}
	user_connection_pump(c);
}

static void read_or_not(struct user_connection *c)
{
	bool wanted = !c->closing && !c->eof && (c->lingering || (may_take(c) && !c->whole));

	if (c->closing || wanted == c->reading)
		return;
	c->reading = wanted;
	if (!wanted)
		(void)uv_read_stop((uv_stream_t *)&c->tcp);
	else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0)
		user_connection_close(c, false);
}

static void user_connection_pump(struct user_connection *c)
{
	bool more = true;

	user_segments_ask(c);
	while (more && may_take(c))
		more = next_request(c);
	if (c->closing)
		return;
	if (!c->in.len && c->in.capacity > USER_CONNECTION_SMALL)
		buf_deinit(&c->in);
	end_if_due(c);
	read_or_not(c);
}

void user_connection_start(struct user_connection *c, struct user *user, struct user_session *us)
{
	c->user = user;
	c->session = us;
	list_append(&user->connections, &c->link);
	user->connection_count++;
	user_connection_pump(c);
}

void user_connection_tick(struct user_connection *c, uint64_t now)
{
	if (c->lingering && now >= c->linger_since + USER_CONNECTION_LINGER_MS)
		user_connection_close(c, false);
	else
		user_segments_ask(c); /* there may be room again for its segments */
}

static void on_written_out(struct user_connection *c)
{
	user_connection_flush(c);
	user_stream_confirm(c);
	if (!c->closing)
		user_connection_pump(c); /* it may have waited for the client to take this */
}

static const struct user_connection_life life = {
	.close = user_connection_close,
	.broken = user_connection_broken,
	.pump = user_connection_pump,
	.flush = user_connection_flush,
	.finish = user_connection_finish,
	.written = on_written_out,
	.next = user_connection_next,
	.refuse = user_connection_refuse,
	.answered = user_connection_answered,
};
