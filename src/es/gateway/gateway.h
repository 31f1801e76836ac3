/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Gateway - delivers requests into containers and reads their answers
 *
 * One request at a time to each container: the order of execution is the order of replay. The
 * service's codec (codec/codec.h) says where messages end. Each of a user's connections has one of
 * its own into the container. A new one first gets the request's preamble, which gives it the state
 * of the user's connection. At a cut the gateway closes all of them (design, section 4); the next
 * requests open others. Beyond GATEWAY_CONNECTIONS the one that was idle longest is closed.
 *
 *	a request is not valid in its codec	refused, the container does not see it
 *	a connection cannot be made		tried again, the request is still ours
 *	it breaks before a byte was written	likewise
 *	it breaks after that			in doubt: the container may have executed it. That
 *						is told after GATEWAY_DOUBT_MS, unless the container
 *						turns out to be dead: then another may answer
 *	an answer is not valid in its codec	likewise in doubt; the connection is closed
 *	no connection for GATEWAY_CONNECT_MS	the container is reported as dead
 *
 * Long requests come, and long answers go, in segments (es/gateway/segments.h). With codec tcp nothing of
 * this applies: es/gateway/streams.h.
 *
 * With codec udp a datagram takes the place of the connection. It is sent once: within a host none
 * is lost. An ICMP error (nothing listens) counts as a connection that cannot be made. A request
 * without an answer for GATEWAY_SILENCE_MS is in doubt; a later answer goes to a closed port.
 */

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "es/container/management.h"

struct codec;
struct codec_comparison;
struct wire_data;
struct wire_stream;
struct err;
struct gateway; /* opaque */
struct spools;

#define GATEWAY_CONNECTIONS 64 /* into one container */
#define GATEWAY_CONNECT_MS  10000
#define GATEWAY_RETRY_MS    50
#define GATEWAY_DOUBT_MS    1500 /* an engine tells of a death sooner */
#define GATEWAY_SILENCE_MS  5000 /* codec udp: from the request to its answer */

/**
 * struct gateway_ops - Reports of the gateway, always from the event loop
 * @answered:	the container answered: number, status WIRE_OK or WIRE_OK_MORE, bytes, borrowed for
 *		the call, and their digest (R5)
 * @stream:	the container sends by itself (codec tcp); bytes are borrowed
 * @refused:	it was no request for this service, and never reached the container
 * @in_doubt:	the connection broke while the container had it, @reason says how
 * @dead:	the container cannot be reached any more, @reason says why
 */
struct gateway_ops {
	void (*answered)(void *ctx, uint64_t session, uint32_t epoch,
			 const struct wire_data *answer);
	void (*stream)(void *ctx, uint64_t session, uint32_t epoch,
		       const struct wire_stream *stream);
	void (*refused)(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
			const char *reason);
	void (*in_doubt)(void *ctx, uint64_t session, uint32_t epoch, uint64_t number,
			 const char *reason);
	void (*dead)(void *ctx, uint64_t session, uint32_t epoch, const char *reason);
};

/**
 * gateway_new() - Create a gateway to no container
 * @ret:	Set on success only; the caller owns it, see gateway_close()
 * @loop:	Event loop
 * @spools:	Where long messages lie, borrowed until gateway_close()
 * @ops, @ctx:	See struct gateway_ops; borrowed
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int gateway_new(struct gateway **ret, uv_loop_t *loop, struct spools *spools,
		const struct gateway_ops *ops, void *ctx, struct err *err);

/** gateway_close() - Close all connections; memory goes as the loop closes them. May be NULL */
void gateway_close(struct gateway *g);

/**
 * gateway_add() - Make a container known
 * @g:		Gateway
 * @session:	Session
 * @epoch:	Epoch in which its container was made
 * @codec:	How its service speaks, borrowed
 * @comparison:	Parts of its answers that are compared, copied; NULL: the codec's default
 * @where:	Address, copied
 * @err:	Filled in on failure
 *
 * Return: 0, -EEXIST, -EINVAL for an address, or -ENOMEM
 */
int gateway_add(struct gateway *g, uint64_t session, uint32_t epoch, const struct codec *codec,
		const struct codec_comparison *comparison, const struct container_address *where,
		struct err *err);

/** gateway_remove() - Forget a container; a request it has is dropped without a word */
void gateway_remove(struct gateway *g, uint64_t session, uint32_t epoch);

/** gateway_find() - Address of a container. Return: borrowed, or NULL */
const struct container_address *gateway_find(const struct gateway *g, uint64_t session,
					     uint32_t epoch);

/** gateway_epoch_of() - Epoch of the container with id @id. Return: 0 if it is not known */
uint32_t gateway_epoch_of(const struct gateway *g, uint64_t session, const char *id);

/**
 * gateway_execute() - Hand a request to a container
 * @g:		Gateway
 * @session, @epoch: The container; it has no other request now
 * @request:	Its number comes back with the answer; bytes, preamble and connection; copied
 *
 * Failure is told by the operations, later: never from inside this call.
 */
void gateway_execute(struct gateway *g, uint64_t session, uint32_t epoch,
		     const struct wire_data *request);

/** gateway_under_way() - Whether a long request or answer of a container is here in part only */
bool gateway_under_way(const struct gateway *g, uint64_t session, uint32_t epoch);

/** gateway_hang_up() - Close connections into containers of a session that have no request now */
void gateway_hang_up(struct gateway *g, uint64_t session);
