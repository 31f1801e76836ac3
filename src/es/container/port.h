/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container port - waits until a new container's service listens, on the loop
 *
 * A service that never listens delays only its own user: no thread waits for it.
 */

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

struct container_address;
struct err;
struct port_wait;

/**
 * port_wait_start() - Begin to wait
 * @ret:	Set on success only; valid until @done is called or port_wait_cancel()
 * @loop:	Loop on whose thread all calls are made
 * @where:	Container, copied
 * @udp:	wait for a socket that is bound to the port, not for a connection: an earlier
 *		datagram may be lost silently
 * @timeout_ms:	Longest wait
 * @done:	Called once, on the loop; @reason is NULL if the service is there
 * @ctx:	Handed to @done
 * @err:	Filled in on failure
 *
 * Return: 0, -EAFNOSUPPORT if @where has no IPv4 address, or another negative error code
 */
int port_wait_start(struct port_wait **ret, uv_loop_t *loop, const struct container_address *where,
		    bool udp, uint32_t timeout_ms, void (*done)(void *ctx, const char *reason),
		    void *ctx, struct err *err);

/** port_wait_cancel() - Wait no more: @done is not called */
void port_wait_cancel(struct port_wait *w);
