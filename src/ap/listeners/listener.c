/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/listeners/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/clients/connection.h"
#include "ap/listeners/datagrams.h"
#include "ap/roaming/admission.h"
#include "ap/roaming/half_open.h"
#include "ap/users/session.h"
#include "ap/users/table.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "codec/codec.h"
#include "net/acceptor.h"
#include "net/address.h"
#include "net/crypto.h"
#include "wire/message.h"

#define BACKLOG         256
#define PRIVILEGED_PORT 1024

struct user_listener {
	struct acceptor *acceptor; /* all codecs but udp */
	uv_udp_t udp;
	struct user_listener_setup setup;
	struct address at;
	const struct codec *codec;
	char service[NAME_SIZE];
	uint16_t port;
	uint32_t last_number;           /* of a connection */
	struct user_datagrams *waiting; /* codec udp */
	uint64_t dropped;
};

static void on_udp_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void user_listener_close(struct user_listener *ul)
{
	if (!ul)
		return;
	user_datagrams_close(ul->waiting);
	ul->waiting = NULL;
	if (ul->codec->datagram)
		uv_close((uv_handle_t *)&ul->udp, on_udp_closed);
	else
		acceptor_close(ul->acceptor, free, ul);
}

/* ---- connections ---- */

static void take(struct user_listener *ul, struct user_connection *c,
		 const struct sockaddr_storage *from)
{
	struct user_session *us;
	struct err err;
	int r = users_admit(ul->setup.users, (const struct sockaddr *)from, ul->service, true, &us,
			    &err);

	if (r < 0) {
		log_debug("connection for %s refused: %s", ul->service, err.text);
		user_connection_close(c, true);
		return;
	}
	user_connection_start(c, user_session_owner(us), us);
}

static void on_accepted(void *ctx, int fd, const struct sockaddr_storage *from)
{
	struct user_listener *ul = ctx;
	struct user_connection *c;
	struct err err;

	ul->last_number += ul->last_number == UINT32_MAX ? 2 : 1; /* 0 is none */
	const struct user_connection_setup setup = {
		.loop = ul->setup.loop,
		.fd = fd,
		.from = from,
		.codec = ul->codec,
		.number = ul->last_number,
		.dead_ms = ul->setup.dead_ms,
		.lost = user_half_open_lost,
	};
	if (user_connection_accept(&c, &setup, &err) < 0)
		log_error("%s", err.text);
	else
		take(ul, c, from);
}

static void on_not_accepted(void *ctx, const char *who, const char *reason)
{
	const struct user_listener *ul = ctx;

	log_error("listener for service %s: %s: %s", ul->service, who, reason);
}

/* Users are counted by users_admit(): a connection of theirs has no certificate to wait for */
static const struct acceptor_ops acceptor_ops = {
	.accepted = on_accepted,
	.refused = on_not_accepted,
};

/* ---- datagrams ---- */

static void on_answered(void *ctx, struct user_session *us, uint16_t port,
			const struct wire_data *answer)
{
	struct user_listener *ul = ctx;
	const struct user *user = user_session_owner(us);
	struct sockaddr_storage to = user->address; /* it was heard: the address is known */
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)answer->bytes, (unsigned int)answer->len);

	address_set_port(&to, port);
	if (answer->status != WIRE_OK || !to.ss_family ||
	    uv_udp_try_send(&ul->udp, &buf, 1, (struct sockaddr *)&to) < 0)
		ul->dropped++;
}

struct user_waiter user_listener_waiter(struct user_listener *ul, uint16_t port)
{
	return (struct user_waiter){ .answered = on_answered, .ctx = ul, .port = port };
}

/* Return: 0, -EAGAIN if it has to wait, or another negative error code: it is dropped */
static int take_datagram(struct user_listener *ul, struct user_session *us,
			 const struct sockaddr *from, const void *bytes, size_t len,
			 struct err *err)
{
	const struct user_waiter waiter = user_listener_waiter(ul, address_port(from));
	const struct wire_data d = { .bytes = bytes, .len = len };
	uint64_t number;
	int r = user_session_room(us, len, WIRE_SEGMENT_WHOLE);

	if (r != 0)
		return err_set(err, r == USER_SESSION_E_WAIT ? -EAGAIN : -EHOSTUNREACH,
			       "datagram of %s", ((struct user *)user_session_owner(us))->name);
	return user_session_request(us, &d, &waiter, &number, err);
}

static int take_waiting(void *ctx, const struct sockaddr *from, const void *bytes, size_t len)
{
	struct user_listener *ul = ctx;
	struct user_session *us;
	struct err err;
	int r = users_still(ul->setup.users, from, ul->service, &us, &err);

	return r < 0 ? r : take_datagram(ul, us, from, bytes, len, &err);
}

static void datagram(struct user_listener *ul, const struct sockaddr *from, const void *bytes,
		     size_t len)
{
	struct user_session *us;
	struct err err;
	int r = users_admit(ul->setup.users, from, ul->service, false, &us, &err);

	if (r == 0 && user_datagrams_waiting(ul->waiting, from))
		r = -EAGAIN; /* it must not overtake them */
	else if (r == 0)
		r = take_datagram(ul, us, from, bytes, len, &err);
	if (r == -EAGAIN ? !user_datagrams_add(ul->waiting, from, bytes, len) : r < 0)
		ul->dropped++;
}

static void on_datagram(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf,
			const struct sockaddr *from, unsigned int flags)
{
	struct user_listener *ul = udp->data;

	if (!from || nread < 0)
		return;
	if (flags & UV_UDP_PARTIAL)
		ul->dropped++;
	else
		datagram(ul, from, buf->base, (size_t)nread);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct user_listener *ul = handle->data;
	size_t size;

	(void)suggested;
	buf->base = users_scratch(ul->setup.users, &size);
	buf->len = size;
}

/* ---- listening ---- */

static int datagrams_start(struct user_listener *ul, const struct address *at)
{
	struct sockaddr_storage bound;
	int len = sizeof(bound);
	int r = uv_udp_bind(&ul->udp, (const struct sockaddr *)&at->any, 0);

	if (r == 0)
		r = uv_udp_recv_start(&ul->udp, on_alloc, on_datagram);
	if (r == 0)
		r = uv_udp_getsockname(&ul->udp, (struct sockaddr *)&bound, &len);
	if (r == 0)
		ul->port = address_port((const struct sockaddr *)&bound);
	return r;
}

static int connections_start(struct user_listener *ul, const struct address *at)
{
	const struct acceptor_setup setup = {
		.loop = ul->setup.loop,
		.ops = &acceptor_ops,
		.ctx = ul,
		.backlog = BACKLOG,
	};
	int r = acceptor_new(&ul->acceptor, &setup, at, NULL);

	if (r == 0)
		ul->port = acceptor_port(ul->acceptor);
	return r;
}

static int cannot_listen(const struct users_service *service, const struct address *at, int code,
			 struct err *err)
{
	uint16_t port = address_port((const struct sockaddr *)&at->any);

	if (code == UV_EACCES && port && port < PRIVILEGED_PORT)
		return err_set(
			err, -EACCES,
			"listener at %s: a port below %d needs CAP_NET_BIND_SERVICE (or a lower "
			"net.ipv4.ip_unprivileged_port_start)",
			service->listen, PRIVILEGED_PORT);
	return err_set(err, code, "listener at %s for service %s", service->listen,
		       service->service);
}

int user_listener_new(struct user_listener **ret, const struct user_listener_setup *setup,
		      const struct users_service *service, struct err *err)
{
	struct address at;
	int r = address_parse(&at, service->listen, err);

	if (r < 0)
		return err_wrap(err, r, "listener for service %s", service->service);
	struct user_listener *ul = calloc(1, sizeof(*ul));
	if (!ul)
		return err_set(err, -ENOMEM, "listener at %s", service->listen);
	ul->setup = *setup;
	ul->at = at;
	ul->codec = service->codec;
	(void)snprintf(ul->service, sizeof(ul->service), "%s", service->service);
	/* containers may know connections of before a restart: rather other numbers */
	(void)crypto_random(&ul->last_number, sizeof(ul->last_number));
	if (!ul->codec->datagram) {
		r = connections_start(ul, &at);
		if (r < 0) {
			free(ul);
			return cannot_listen(service, &at, r, err);
		}
		*ret = ul;
		return 0;
	}
	r = uv_udp_init(setup->loop, &ul->udp);
	if (r < 0) {
		free(ul);
		return err_set(err, r, "listener at %s", service->listen);
	}
	ul->udp.data = ul;
	if (user_datagrams_new(&ul->waiting, setup->loop, take_waiting, ul, err) < 0) {
		user_listener_close(ul);
		return -ENOMEM;
	}
	r = datagrams_start(ul, &at);
	if (r < 0) {
		user_listener_close(ul);
		return cannot_listen(service, &at, r, err);
	}
	*ret = ul;
	return 0;
}

bool user_listener_at(const struct user_listener *ul, const struct users_service *service)
{
	struct address at;

	if (address_parse(&at, service->listen, NULL) < 0 || at.len != ul->at.len ||
	    memcmp(&at.any, &ul->at.any, at.len) != 0 ||
	    service->codec->datagram != ul->codec->datagram)
		return false;
	/* with any free port, each listener has one of its own */
	return address_port((const struct sockaddr *)&at.any) ||
	       strcmp(ul->service, service->service) == 0;
}

void user_listener_change(struct user_listener *ul, const struct users_service *service)
{
	ul->codec = service->codec;
	(void)snprintf(ul->service, sizeof(ul->service), "%s", service->service);
}

uint16_t user_listener_port(const struct user_listener *ul)
{
	return ul->port;
}

const struct acceptor *user_listener_acceptor(const struct user_listener *ul)
{
	return ul->acceptor;
}

const char *user_listener_service(const struct user_listener *ul)
{
	return ul->service;
}

uint64_t user_listener_dropped(const struct user_listener *ul)
{
	return ul->dropped + (ul->waiting ? user_datagrams_dropped(ul->waiting) : 0);
}
