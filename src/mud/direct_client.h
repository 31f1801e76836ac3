/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Direct client - straight to the service, as a client without Baton
 *
 * Other ways to move a container know no access points. The same device compares them with Baton: it then
 * has one TCP connection to the service (codec "frame": 4 bytes length, big-endian, then the payload). Its
 * address depends on the access point. The client can do as much as an ordinary one:
 *
 *	a move closes the connection and opens one to the next address
 *
 *	a connection that breaks or cannot be made is tried again every retry_ms
 *
 *	a request is sent once: one in flight when its connection broke is given up, for nobody can tell
 *	whether it was executed
 *
 *	a request that is due while there is no connection waits for patience_ms, then is given up
 *
 * Answers belong to requests in the order in which they were sent on a connection. The outcome of
 * requests, answered or given up, is told in the order of their numbers.
 *
 * Limits (R9): WIRE_WINDOW requests without outcome, WIRE_PAYLOAD_MAX bytes each; handshake_ms for a
 * connection to come up, dead_ms for bytes that nobody acknowledges. There is no limit for a service
 * that acknowledges and does not answer.
 */

#include <stddef.h>
#include <stdint.h>

#include "mud/client.h"

struct direct_client; /* opaque */
struct err;

#define DIRECT_CLIENT_PATIENCE_MS     1000
#define DIRECT_CLIENT_PATIENCE_MS_MAX 600000

/**
 * struct direct_client_setup - Settings of a direct client; copied, unless said otherwise
 * @client:	As for client_new(). The address of an access point is the service's address for users
 *		there. @tls is not used, and only retry_ms of the policy. associated() means connected,
 *		lost() never comes
 * @patience_ms: See above
 * @given_up:	Request @number has no answer and will have none. @connection counts the connections;
 *		0: it was not sent. Called from the event loop like client_ops, with its @ctx
 */
struct direct_client_setup {
	struct client_setup client;
	uint64_t patience_ms;
	void (*given_up)(void *ctx, uint64_t number, uint32_t connection);
};

/**
 * direct_client_new() - Create a client that is at no access point yet
 * @ret:	Set on success only; the caller owns it, see direct_client_close()
 * @setup:	See struct direct_client_setup
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for an address that is none, or another negative error code
 */
int direct_client_new(struct direct_client **ret, const struct direct_client_setup *setup,
		      struct err *err);

/** direct_client_move() - As client_move(); requests in flight are given up */
int direct_client_move(struct direct_client *c, const char *ap, struct err *err);

/** direct_client_request() - As client_request(); never CLIENT_E_LOST */
int direct_client_request(struct direct_client *c, const void *bytes, size_t len,
			  client_done_fn done, void *ctx, uint64_t *number, struct err *err);

/** direct_client_ap() - Access point the device is at. Return: borrowed; empty before a move */
const char *direct_client_ap(const struct direct_client *c);

/** direct_client_session() - Random number of this run, for the event log */
uint64_t direct_client_session(const struct direct_client *c);

/** direct_client_unanswered() - Requests whose outcome was not told yet */
size_t direct_client_unanswered(const struct direct_client *c);

/**
 * direct_client_close() - Close the connection, release
 * @c:		Client, may be NULL; not to be used again. No more callbacks but @done
 * @done:	Called from the event loop when it is gone, at once if @c is NULL; may be NULL
 * @ctx:	Argument of @done
 */
void direct_client_close(struct direct_client *c, void (*done)(void *ctx), void *ctx);
