/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/port.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "es/container/config.h"
#include "es/container/management.h"

#define RETRY_MS     10 /* after the first tries; doubled up to RETRY_MS_MAX */
#define RETRY_MS_MAX 160

/**
 * struct port_wait - A wait
 * @end:	when it fails, in the loop's time
 * @retry_ms:	pause after the next try that fails
 * @trying:	@tcp is initialised, or being closed
 * @connected:	the try that is being closed was good
 * @over:	@done was called, or must not be
 * @handles:	that are not closed yet
 */
struct port_wait {
	uv_loop_t *loop;
	struct container_address where;
	struct sockaddr_in address;
	bool udp;
	uint32_t timeout_ms;
	uint64_t end;
	uint64_t retry_ms;
	uv_timer_t timer;
	uv_tcp_t tcp;
	uv_connect_t connect;
	bool trying;
	bool connected;
	bool over;
	unsigned int handles;
	void (*done)(void *ctx, const char *reason);
	void *ctx;
};

static void try(struct port_wait *w);

static void on_closed(uv_handle_t *handle)
{
	struct port_wait *w = handle->data;

	if (--w->handles == 0)
		free(w);
}

/** release() - Close all handles; the last one frees the memory */
static void release(struct port_wait *w)
{
	w->over = true;
	w->handles = w->trying ? 2 : 1;
	uv_close((uv_handle_t *)&w->timer, on_closed);
	if (w->trying && !uv_is_closing((uv_handle_t *)&w->tcp))
		uv_close((uv_handle_t *)&w->tcp, on_closed);
}

/** finish() - The wait is over; @reason is NULL if all is well */
static void finish(struct port_wait *w, const char *reason)
{
	void (*done)(void *ctx, const char *reason) = w->done;
	void *ctx = w->ctx;

	release(w);
	done(ctx, reason);
}

static void on_timer(uv_timer_t *timer)
{
	struct port_wait *w = timer->data;
	char reason[160];

	if (uv_now(w->loop) < w->end) {
		try(w);
		return;
	}
	(void)snprintf(reason, sizeof(reason),
		       "the service does not listen at %s port %u for %u ms",
		       w->udp ? "UDP" : "TCP", w->where.port, w->timeout_ms);
	finish(w, reason);
}

/** rest() - Try again later, or give up when the time has come */
static void rest(struct port_wait *w)
{
	uint64_t left = w->end > uv_now(w->loop) ? w->end - uv_now(w->loop) : 0;

	(void)uv_timer_start(&w->timer, on_timer, w->retry_ms < left ? w->retry_ms : left, 0);
	w->retry_ms = w->retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : w->retry_ms * 2;
}

/* A try to connect is over and its socket is gone. */
static void on_tried(uv_handle_t *handle)
{
	struct port_wait *w = handle->data;

	if (w->over) {
		on_closed(handle);
		return;
	}
	w->trying = false;
	if (w->connected)
		finish(w, NULL);
	else
		rest(w);
}

static void on_connect(uv_connect_t *connect, int status)
{
	struct port_wait *w = connect->data;

	if (w->over) /* its socket is being closed */
		return;
	w->connected = status == 0;
	uv_close((uv_handle_t *)&w->tcp, on_tried);
}

/** try() - See whether the service is there */
static void try(struct port_wait *w)
{
	if (w->udp) {
		if (container_udp_bound(w->where.pid, w->where.port))
			finish(w, NULL);
		else
			rest(w);
		return;
	}
	if (uv_tcp_init(w->loop, &w->tcp) < 0) {
		rest(w);
		return;
	}
	w->trying = true;
	w->tcp.data = w;
	w->connect.data = w;
	if (uv_tcp_connect(&w->connect, &w->tcp, (struct sockaddr *)&w->address, on_connect) < 0)
		uv_close((uv_handle_t *)&w->tcp, on_tried);
	else /* one that gets no answer ends with the wait */
		(void)uv_timer_start(&w->timer, on_timer, w->end - uv_now(w->loop), 0);
}

int port_wait_start(struct port_wait **ret, uv_loop_t *loop, const struct container_address *where,
		    bool udp, uint32_t timeout_ms, void (*done)(void *ctx, const char *reason),
		    void *ctx, struct err *err)
{
	struct port_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(err, -ENOMEM, "wait for a port");
	*w = (struct port_wait){ .loop = loop,
				 .where = *where,
				 .udp = udp,
				 .timeout_ms = timeout_ms,
				 .retry_ms = RETRY_MS,
				 .done = done,
				 .ctx = ctx };
	if (!udp && uv_ip4_addr(where->ip, where->port, &w->address) < 0) {
		free(w);
		return err_set(err, -EAFNOSUPPORT, "the container has no address, but '%s'",
			       where->ip);
	}
	uv_update_time(loop);
	w->end = uv_now(loop) + timeout_ms;
	(void)uv_timer_init(loop, &w->timer); /* cannot fail */
	w->timer.data = w;
	/* From the loop: @done never comes before this returns. */
	(void)uv_timer_start(&w->timer, on_timer, 0, 0);
	*ret = w;
	return 0;
}

void port_wait_cancel(struct port_wait *w)
{
	release(w);
}
