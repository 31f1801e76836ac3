/* SPDX-License-Identifier: Apache-2.0 */
#include "net/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "net/address.h"
#include "net/handshakes.h"

/**
 * struct acceptor - A listening socket
 * @fd:		Owned
 * @poll, @pause: Its handles: either it is polled, or it waits
 * @handles:	How many of them libuv still knows
 * @counted:	Handshakes are counted
 * @failing:	The failure that it waits for has been told
 * @closing:	acceptor_close() was called
 */
struct acceptor {
	struct acceptor_setup setup;
	int fd;
	uv_poll_t poll;
	uv_timer_t pause;
	int handles;
	bool counted;
	bool failing;
	bool closing;
	struct handshakes handshakes;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void tell(const struct acceptor *a, const char *who, const char *reason)
{
	if (a->setup.ops->refused)
		a->setup.ops->refused(a->setup.ctx, who, reason);
}

static void on_pause_over(uv_timer_t *timer)
{
	struct acceptor *a = timer->data;

	(void)uv_poll_start(&a->poll, UV_READABLE, on_readable);
}

/* Stops asking for a while */
static void acceptor_pause(struct acceptor *a, int code)
{
	struct err err = { 0 };

	(void)uv_poll_stop(&a->poll);
	(void)uv_timer_start(&a->pause, on_pause_over, ACCEPTOR_PAUSE_MS, 0);
	if (a->failing)
		return;
	a->failing = true;
	(void)err_set(
		&err, -code,
		"accept: connections wait until there is room (is the limit of open files too "
		"low?)");
	tell(a, "a connection", err.text);
}

/* Errors of one connection, or of none: the next accept() may succeed */
static bool passes(int code)
{
	switch (code) {
	case EINTR:
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

static void take(struct acceptor *a, int fd, const struct sockaddr_storage *from)
{
	char who[ADDRESS_TEXT_SIZE];

	if (a->counted && !handshakes_begin(&a->handshakes, (const struct sockaddr *)from)) {
		(void)close(fd);
		address_format(who, (const struct sockaddr *)from);
		tell(a, who, "too many connections without a proven certificate");
		return;
	}
	a->setup.ops->accepted(a->setup.ctx, fd, from);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct acceptor *a = poll->data;

	(void)events;
	if (status < 0) {
		acceptor_pause(a, -status);
		return;
	}
	for (int i = 0; i < ACCEPTOR_BATCH && !a->closing; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof(from);
		int fd = accept4(a->fd, (struct sockaddr *)&from, &len,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take(a, fd, &from);
		} else if (errno == EAGAIN) {
			a->failing = false;
			return;
		} else if (!passes(errno)) {
			acceptor_pause(a, errno);
			return;
		}
	}
}

static int socket_listen(const struct address *at, int backlog, struct err *err)
{
	int on = 1;

	auto_close int fd =
		socket(at->any.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&at->any, at->len) < 0)
		return err_set(err, -errno, "bind");
	if (listen(fd, backlog) < 0)
		return err_set(err, -errno, "listen");
	return TAKE_FD(fd);
}

int acceptor_new(struct acceptor **ret, const struct acceptor_setup *setup,
		 const struct address *at, struct err *err)
{
	int r;

	auto_close int fd = socket_listen(at, setup->backlog, err);
	if (fd < 0)
		return fd;
	auto_free struct acceptor *a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(err, -ENOMEM, "listen");
	a->setup = *setup;
	a->counted = setup->handshakes > 0;
	handshakes_init(&a->handshakes, setup->handshakes);
	r = uv_poll_init(setup->loop, &a->poll, fd);
	if (r < 0)
		return err_set(err, r, "listen");
	(void)uv_timer_init(setup->loop, &a->pause); /* cannot fail */
	a->poll.data = a;
	a->pause.data = a;
	a->handles = 2;
	a->fd = TAKE_FD(fd);
	r = uv_poll_start(&a->poll, UV_READABLE, on_readable);
	if (r < 0) {
		acceptor_close(TAKE_PTR(a), NULL, NULL);
		return err_set(err, r, "listen");
	}
	*ret = TAKE_PTR(a);
	return 0;
}

/* Family 0 on failure */
static struct sockaddr_storage own_address(const struct acceptor *a)
{
	struct sockaddr_storage at = { 0 };
	socklen_t len = sizeof(at);

	if (getsockname(a->fd, (struct sockaddr *)&at, &len) < 0)
		at.ss_family = AF_UNSPEC;
	return at;
}

uint16_t acceptor_port(const struct acceptor *a)
{
	const struct sockaddr_storage at = own_address(a);

	return address_port((const struct sockaddr *)&at);
}

bool acceptor_takes(const struct acceptor *a, const struct sockaddr *at)
{
	const struct sockaddr_storage own = own_address(a);

	if (address_port(at) == 0 ||
	    address_port(at) != address_port((const struct sockaddr *)&own))
		return false;
	if (own.ss_family == AF_INET6) {
		const struct in6_addr *host = &((const struct sockaddr_in6 *)&own)->sin6_addr;

		return IN6_IS_ADDR_UNSPECIFIED(host) ||
		       (at->sa_family == AF_INET6 &&
			IN6_ARE_ADDR_EQUAL(
				host, &((const struct sockaddr_in6 *)(const void *)at)->sin6_addr));
	}
	in_addr_t host = ((const struct sockaddr_in *)&own)->sin_addr.s_addr;
	return at->sa_family == AF_INET &&
	       (host == htonl(INADDR_ANY) ||
		host == ((const struct sockaddr_in *)(const void *)at)->sin_addr.s_addr);
}

static void share(int fd, int on)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

int acceptor_bind_beside(const struct acceptor *a, int fd, const struct sockaddr *at,
			 struct err *err)
{
	socklen_t len = at->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						  : sizeof(struct sockaddr_in);
	int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	share(fd, 1);
	share(a->fd, 1);
	int r = bind(fd, at, len) < 0 ? -errno : 0;
	share(a->fd, 0);
	share(fd, 0);
	return r < 0 ? err_set(err, r, "bind beside a listener") : 0;
}

void acceptor_settled(struct acceptor *a, const struct sockaddr_storage *from)
{
	if (a->counted)
		handshakes_end(&a->handshakes, (const struct sockaddr *)from);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct acceptor *a = handle->data;

	if (--a->handles > 0)
		return;
	(void)close(a->fd);
	if (a->closed)
		a->closed(a->closed_ctx);
	free(a);
}

void acceptor_close(struct acceptor *a, void (*closed)(void *ctx), void *ctx)
{
	a->closing = true;
	a->closed = closed;
	a->closed_ctx = ctx;
	uv_close((uv_handle_t *)&a->poll, on_handle_closed);
	uv_close((uv_handle_t *)&a->pause, on_handle_closed);
}
