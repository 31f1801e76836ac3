/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/address.h"
#include "net/link.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "wire/codec.h"

/*
 * The socket is non-blocking and every wait is one poll() over it and the cancel fd, so that no
 * call can be stuck in the kernel.
 */

#define READ_STEP 65536u
/* Longest wait between two looks at the peer's certificate */
#define PEER_CHECK_MS 1000

#define IN_LIMIT (WIRE_FRAME_PREFIX + WIRE_DATA_HEADER_SIZE + (size_t)WIRE_CUT_MAX + READ_STEP)

/**
 * struct tls_stream - One connection
 * @tls:	Session on @fd
 * @fd:		Non-blocking socket, owned
 * @cancel_fd:	Borrowed, or -1
 * @timeout_ms:	Longest wait without progress
 * @deadline:	End of the handshake, or of the time of tls_stream_set_deadline(), by the monotonic clock in ms;
 *		0: there is none
 * @bounded:	@deadline is of tls_stream_set_deadline()
 * @budget:	Bytes that the peer may send since @budget_begin, a time as @deadline; @received so far
 * @in:		Bytes read for a message and not used yet
 * @used:	Bytes of @in that the message handed out last occupies
 * @out:	Frame being sent
 * @scratch:	Memory of the message handed out last
 * @greeting_due: The peer's HELLO has not come yet; all that comes begins with it
 * @name, @role: From the peer's certificate
 */
struct tls_stream {
	struct tls_session *tls;
	int fd;
	int cancel_fd;
	int timeout_ms;
	int64_t deadline;
	bool bounded;
	struct tls_stream_budget budget;
	int64_t budget_begin;
	uint64_t received;
	struct buf in;
	size_t used;
	struct buf out;
	struct wire_scratch scratch;
	bool greeting_due;
	char name[NAME_SIZE];
	enum wire_role role;
};

static int64_t now_ms(void)
{
	return (int64_t)(monotonic_us() / 1000);
}

/* End of the budget's time, by the monotonic clock in ms; 0: there is none */
static int64_t budget_end(const struct tls_stream *s)
{
	const struct tls_stream_budget *b = &s->budget;
	uint64_t earned = b->rate ? s->received / b->rate * 1000 : 0;

	return b->ms ? s->budget_begin + (int64_t)(b->ms + earned) : 0;
}

/* Whether the peer may go on sending */
static int check_budget(const struct tls_stream *s, struct err *err)
{
	const struct tls_stream_budget *b = &s->budget;
	int64_t end = budget_end(s);

	if (b->bytes && s->received > b->bytes)
		return err_set(err, -EFBIG, "%s: the peer sent more than %" PRIu64 " KiB", b->name,
			       b->bytes >> 10);
	if (end && now_ms() >= end)
		return err_set(err, -ETIMEDOUT,
			       "%s: %" PRIu64 " KiB came in %" PRIi64
			       " s, which is less than the peer must send",
			       b->name, s->received >> 10, (now_ms() - s->budget_begin) / 1000);
	return 0;
}

/* Whether there is time left */
static int check_deadline(const struct tls_stream *s, struct err *err)
{
	return s->bounded && s->deadline && now_ms() >= s->deadline
		       ? err_set(err, -ETIMEDOUT, "the peer is not done in the time it has")
		       : 0;
}

/* Whether the peer's certificate is still good; before it is known, the handshake finds out */
static int check_peer(struct tls_stream *s, struct err *err)
{
	return s->name[0] && tls_session_valid(s->tls, err) < 0 ? -EACCES : 0;
}

/*
 * Waits until @fd is ready for @events. It does not wait for a peer whose certificate is revoked meanwhile, and the
 * bytes that this peer has sent by then do not count. Return: 0, -ECANCELED, -ETIMEDOUT, -EACCES
 */
static int wait_fd(struct tls_stream *s, short events, struct err *err)
{
	int64_t until = now_ms() + s->timeout_ms;
	struct pollfd fds[2] = {
		{ .fd = s->fd, .events = events },
		{ .fd = s->cancel_fd, .events = POLLIN }, /* poll() skips -1 */
	};

	if (s->deadline && s->deadline < until)
		until = s->deadline;
	if (events == POLLIN && budget_end(s) && budget_end(s) < until)
		until = budget_end(s);
	for (;;) {
		int64_t left = until - now_ms();
		int step = left < PEER_CHECK_MS ? (int)left : PEER_CHECK_MS;

		int n = poll(fds, 2, step > 0 ? step : 0);
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "wait for the connection");
		if (n > 0 && fds[1].revents)
			return err_set(err, -ECANCELED, "transfer");
		int r = check_peer(s, err);
		if (r < 0 || n > 0)
			return r;
		r = check_deadline(s, err);
		if (r == 0 && left <= 0 && events == POLLIN)
			r = check_budget(s, err);
		if (r < 0)
			return r;
		if (left <= 0)
			return err_set(err, -ETIMEDOUT, "nothing moved for %d ms", s->timeout_ms);
	}
}

/* Whether to stop before more work is done: a busy connection would never get to wait_fd() */
static int check_cancel(struct tls_stream *s, struct err *err)
{
	struct pollfd cancel = { .fd = s->cancel_fd, .events = POLLIN };

	int r = check_deadline(s, err);

	if (r == 0 && s->cancel_fd >= 0 && poll(&cancel, 1, 0) > 0)
		r = err_set(err, -ECANCELED, "transfer");
	return r == 0 ? check_peer(s, err) : r;
}

/* After a session call returned @r: wait if it asks for it. Return: 0 = call again, or the end */
static int wait_for(struct tls_stream *s, int r, struct err *err)
{
	if (r == TLS_E_WANT_READ)
		return wait_fd(s, POLLIN, err);
	if (r == TLS_E_WANT_WRITE)
		return wait_fd(s, POLLOUT, err);
	if (r == TLS_E_CLOSED)
		return TLS_STREAM_E_END;
	return r;
}

/* ---- bytes ---- */

/* Releases the bytes of the message that was handed out last */
static void forget_message(struct tls_stream *s)
{
	buf_consume(&s->in, s->used);
	s->used = 0;
}

static int read_session(struct tls_stream *s, void *to, size_t len, size_t *got, struct err *err)
{
	int r = check_cancel(s, err);

	while (r == 0) {
		r = tls_session_read(s->tls, to, len, got, err);
		if (r == 0) {
			s->received += *got;
			return check_budget(s, err);
		}
		r = wait_for(s, r, err);
	}
	return r;
}

static int receive(struct tls_stream *s, struct wire_message *m, struct err *err)
{
	size_t size = 0;
	size_t got;
	int r;

	forget_message(s);
	for (;;) {
		r = wire_frame_size(buf_bytes(&s->in), s->in.len, true, &size, err);
		if (r < 0)
			return r;
		if (r > 0 && s->in.len >= size)
			break;
		r = buf_reserve(&s->in, READ_STEP, err);
		if (r < 0)
			return r;
		r = read_session(s, buf_tail(&s->in), READ_STEP, &got, err);
		if (r == TLS_STREAM_E_END && s->in.len)
			return err_set(err, -ECONNRESET, "the peer closed within a message");
		if (r != 0)
			return r;
		s->in.len += got;
	}
	r = wire_decode(buf_bytes(&s->in), size, m, &s->scratch, err);
	if (r == 0)
		s->used = size;
	return r;
}

/* The peer's first word, which nobody waits for before there is something else to receive */
static int take_greeting(struct tls_stream *s, struct err *err)
{
	struct wire_message m = { 0 };
	int r;

	if (!s->greeting_due)
		return 0;
	s->greeting_due = false;
	r = receive(s, &m, err);
	if (r == TLS_STREAM_E_END)
		return err_set(err, -ECONNRESET, "the peer closed instead of sending HELLO");
	if (r < 0)
		return r;
	if (m.type == WIRE_REFUSAL)
		return err_set(err, -EACCES, "the peer refused us: %s", m.refusal.reason);
	return wire_hello_check(&m, s->name, s->role, err);
}

int tls_stream_read(struct tls_stream *s, void *to, size_t len, size_t *got, struct err *err)
{
	int r = take_greeting(s, err);

	if (r < 0)
		return r;
	forget_message(s);
	if (s->in.len) {
		*got = len < s->in.len ? len : s->in.len;
		memcpy(to, buf_bytes(&s->in), *got);
		buf_consume(&s->in, *got);
		return 0;
	}
	return read_session(s, to, len, got, err);
}

int tls_stream_receive_message(struct tls_stream *s, struct wire_message *m, struct err *err)
{
	int r = take_greeting(s, err);

	return r < 0 ? r : receive(s, m, err);
}

/* A peer that refuses us closes before it has read all, so that we cannot send: its reason is there all the same. */
static int write_failed(struct tls_stream *s, int r, struct err *err)
{
	struct err reason = { 0 };

	if ((r != -EPIPE && r != -ECONNRESET) || !s->greeting_due ||
	    take_greeting(s, &reason) != -EACCES)
		return r;
	if (err)
		*err = reason;
	return -EACCES;
}

int tls_stream_write_all(struct tls_stream *s, const void *from, size_t len, struct err *err)
{
	const uint8_t *at = from;
	int r = check_cancel(s, err);

	while (r == 0 && len) {
		size_t put;

		r = tls_session_write(s->tls, at, len, &put, err);
		if (r == 0) {
			at += put;
			len -= put;
			continue;
		}
		r = wait_for(s, r, err);
	}
	if (r == TLS_STREAM_E_END)
		r = err_set(err, -EPIPE, "send");
	return r < 0 ? write_failed(s, r, err) : 0;
}

int tls_stream_send_message(struct tls_stream *s, const struct wire_message *m, struct err *err)
{
	int r;

	buf_consume(&s->out, s->out.len);
	r = wire_encode(m, &s->out, err);
	if (r < 0)
		return r;
	return tls_stream_write_all(s, buf_bytes(&s->out), s->out.len, err);
}

/* ---- opening ---- */

/* Makes a stream of a socket, which it owns from then on */
static int stream_new(struct tls_stream **ret, struct tls_context *tls, bool server, int fd,
		      int cancel_fd, int timeout_ms, struct err *err)
{
	int r;

	AUTO(tls_stream) struct tls_stream *s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return err_set(err, -ENOMEM, "open a connection");
	}
	s->fd = fd;
	s->cancel_fd = cancel_fd;
	s->timeout_ms = timeout_ms;
	s->deadline = now_ms() + timeout_ms;
	buf_init(&s->in, IN_LIMIT);
	buf_init(&s->out, 0);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(err, -errno, "open a connection");
	tcp_tune(fd, 0);
	tcp_tune_bulk(fd);
	r = tls_session_new(&s->tls, tls, server, fd, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

/* Sends our HELLO, or the reason why the peer cannot stay */
static int greet(struct tls_stream *s, struct tls_context *tls, const struct err *refusal,
		 struct err *err)
{
	struct wire_message m;

	if (!refusal) {
		wire_hello_set(&m, tls_context_name(tls), tls_context_role(tls));
		return tls_stream_send_message(s, &m, err);
	}
	m = (struct wire_message){ .type = WIRE_REFUSAL };
	m.refusal.status = WIRE_E_NOT_ALLOWED;
	(void)snprintf(m.refusal.reason, sizeof(m.refusal.reason), "%.250s", refusal->text);
	return tls_stream_send_message(s, &m, err);
}

/* TLS handshake, check of the peer, our HELLO */
static int shake_hands(struct tls_stream *s, struct tls_context *tls, const char *name,
		       unsigned int roles, struct err *err)
{
	struct err bad = { 0 };
	int r;

	do {
		r = tls_session_handshake(s->tls, err);
		if (r == 0)
			break;
		r = wait_for(s, r, err);
	} while (r == 0);
	if (r == TLS_STREAM_E_END)
		return err_set(err, -ECONNRESET, "the peer closed during the handshake");
	if (r < 0)
		return r;
	r = tls_session_peer(s->tls, s->name, &s->role, &bad);
	if (r == 0 && name && !name_equal(name, s->name))
		r = err_set(&bad, -EACCES, "there is %s by its certificate, not %s", s->name, name);
	if (r == 0 && !(roles & LINK_ROLE(s->role)))
		r = err_set(&bad, -EACCES, "%s has role \"%s\", which may not connect here",
			    s->name, wire_role_name(s->role));
	if (r < 0) {
		(void)greet(s, tls, &bad, NULL);
		if (err)
			*err = bad;
		return r;
	}
	s->greeting_due = true;
	return greet(s, tls, NULL, err);
}

int tls_stream_connect(struct tls_stream **ret, struct tls_context *tls, const char *address,
		       const char *name, enum wire_role role, int cancel_fd, int timeout_ms,
		       struct err *err)
{
	struct tls_stream *made = NULL;
	struct address a;
	int failure = 0;
	socklen_t len = sizeof(failure);
	int r;

	r = address_parse(&a, address, err);
	if (r < 0)
		return err_wrap(err, r, "connect to %s", name);
	int fd = socket(a.any.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "connect to %s at %s", name, address);
	r = stream_new(&made, tls, false, fd, cancel_fd, timeout_ms, err);
	if (r < 0)
		return err_wrap(err, r, "connect to %s at %s", name, address);
	AUTO(tls_stream) struct tls_stream *s = made;
	if (connect(fd, (struct sockaddr *)&a.any, a.len) < 0 && errno != EINPROGRESS)
		return err_set(err, -errno, "connect to %s at %s", name, address);
	r = wait_fd(s, POLLOUT, err);
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) == 0 && failure)
		return err_set(err, -failure, "connect to %s at %s", name, address);
	if (r == 0)
		r = shake_hands(s, tls, name, LINK_ROLE(role), err);
	if (r < 0)
		return err_wrap(err, r, "connect to %s at %s", name, address);
	s->deadline = 0;
	*ret = TAKE_PTR(s);
	return 0;
}

int tls_stream_accept(struct tls_stream **ret, struct tls_context *tls, int fd, unsigned int roles,
		      int cancel_fd, int timeout_ms, struct err *err)
{
	struct tls_stream *made = NULL;
	int r;

	r = stream_new(&made, tls, true, fd, cancel_fd, timeout_ms, err);
	if (r < 0)
		return r;
	AUTO(tls_stream) struct tls_stream *s = made;
	r = shake_hands(s, tls, NULL, roles, err);
	if (r == 0)
		r = take_greeting(s, err);
	if (r < 0)
		return err_wrap(err, r, "accept");
	s->deadline = 0;
	*ret = TAKE_PTR(s);
	return 0;
}

struct tls_stream *tls_stream_free(struct tls_stream *s)
{
	if (!s)
		return NULL;
	if (s->tls)
		tls_session_close(s->tls); /* on a non-blocking socket: tried once */
	tls_session_free(s->tls);
	close(s->fd);
	buf_deinit(&s->in);
	buf_deinit(&s->out);
	wire_scratch_deinit(&s->scratch);
	free(s);
	return NULL;
}

size_t tls_stream_unsent(const struct tls_stream *s)
{
	int bytes = 0;

	return ioctl(s->fd, SIOCOUTQNSD, &bytes) < 0 || bytes < 0 ? 0 : (size_t)bytes;
}

const char *tls_stream_peer_name(const struct tls_stream *s)
{
	return s->name;
}

enum wire_role tls_stream_peer_role(const struct tls_stream *s)
{
	return s->role;
}

void tls_stream_set_deadline(struct tls_stream *s, uint64_t ms)
{
	s->deadline = ms ? now_ms() + (int64_t)ms : 0;
	s->bounded = true;
}

void tls_stream_set_timeout(struct tls_stream *s, int timeout_ms)
{
	s->timeout_ms = timeout_ms;
}

void tls_stream_set_budget(struct tls_stream *s, const struct tls_stream_budget *budget)
{
	s->budget = *budget;
	s->budget_begin = now_ms();
	s->received = s->in.len - s->used;
}

uint64_t tls_stream_bytes_sent(const struct tls_stream *s)
{
	return tls_session_sent(s->tls);
}
