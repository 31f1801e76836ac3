/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Monitor - GET /metrics and GET /healthz over plain HTTP, for Prometheus and load balancers
 *
 * Anyone who reaches the address may read: the monitor checks no certificates and shows no secrets, so
 * it belongs on the loopback or on a network of the operator's. No request changes anything.
 *
 * Limits (R9): MONITOR_CONNECTIONS at a time, further ones are closed at once; MONITOR_REQUEST_MAX
 * bytes of request; MONITOR_MS for request and answer together, then the connection is closed, however
 * slowly its peer reads. Each connection carries one request.
 */

#include <stdint.h>

struct err;
struct exposition;
struct monitor; /* opaque */
struct uv_loop_s;

#define MONITOR_CONNECTIONS 8
#define MONITOR_REQUEST_MAX 4096
#define MONITOR_MS          5000

/**
 * struct monitor_ops - Sources of the answers
 * @metrics:	Write all metrics of the program
 * @health:	NULL if all is well, or one line that names the fault
 */
struct monitor_ops {
	void (*metrics)(void *ctx, struct exposition *x);
	const char *(*health)(void *ctx);
};

/**
 * monitor_new() - Listen
 * @ret:	Set on success only; the caller owns it, see monitor_close(). NULL if @listen is
 * @loop:	Event loop
 * @listen:	"IP:PORT", or NULL: nobody may ask
 * @ops:	Borrowed until monitor_close()
 * @ctx:	First argument of each
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int monitor_new(struct monitor **ret, struct uv_loop_s *loop, const char *listen,
		const struct monitor_ops *ops, void *ctx, struct err *err);

/** monitor_port() - Port it listens on, useful if @listen said 0 */
uint16_t monitor_port(const struct monitor *m);

/**
 * monitor_close() - Close all connections; @m may be NULL
 *
 * No callback comes any more; the memory goes when the event loop has closed its handles.
 */
void monitor_close(struct monitor *m);
