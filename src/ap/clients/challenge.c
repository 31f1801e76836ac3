/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/clients/challenge.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#include "base/err.h"
#include "net/acceptor.h"

struct challenge {
	uv_tcp_t tcp;
	uv_connect_t connect;
	void (*done)(void *ctx, int result);
	void *ctx;
	bool closing;
};

static void on_connected(uv_connect_t *connect, int status)
{
	struct challenge *c = connect->data;

	if (c->closing)
		return;
	/* it may even accept: somebody listens at that port, and a connection is not what we want */
	c->done(c->ctx, status == UV_ECONNREFUSED || status == UV_ECONNRESET ? 0 : status);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

struct challenge *challenge_free(struct challenge *c)
{
	if (!c || c->closing)
		return NULL;
	c->closing = true;
	if (uv_tcp_close_reset(&c->tcp, on_closed) < 0)
		uv_close((uv_handle_t *)&c->tcp, on_closed);
	return NULL;
}

static int begin(struct challenge *c, const struct challenge_setup *setup, struct err *err)
{
	uv_os_fd_t fd;
	int r = uv_fileno((uv_handle_t *)&c->tcp, &fd);

	if (r < 0)
		return err_set(err, r, "challenge");
	r = acceptor_bind_beside(setup->acceptor, fd, setup->local, err);
	if (r < 0)
		return r;
	r = uv_tcp_connect(&c->connect, &c->tcp, setup->client, on_connected);
	/* it is bound, so it can only be that the pair of ends is taken */
	return r < 0 ? err_set(err, r == UV_EADDRNOTAVAIL ? -EEXIST : r, "challenge") : 0;
}

int challenge_new(struct challenge **ret, const struct challenge_setup *setup, struct err *err)
{
	struct challenge *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, -ENOMEM, "challenge");
	int r = uv_tcp_init_ex(setup->loop, &c->tcp, setup->local->sa_family);
	if (r < 0) {
		free(c);
		return err_set(err, r, "challenge");
	}
	c->tcp.data = c;
	c->connect.data = c;
	c->done = setup->done;
	c->ctx = setup->ctx;
	r = begin(c, setup, err);
	if (r < 0) {
		challenge_free(c);
		return r;
	}
	*ret = c;
	return 0;
}
