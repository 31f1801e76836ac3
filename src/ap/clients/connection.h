/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User connection - one TCP connection of an ordinary client
 *
 * The service's codec cuts the client's bytes into requests. Each goes into the user's session with the
 * number of this connection and with its preamble: the requests that give a new connection into the
 * container the same state (codec/connection.h). Answers go back in the order of the requests, also if
 * they come in another order.
 *
 *	bytes --> in --codec--> request --> user_session     pending: a place in the order of answers
 *	bytes <-- out <------------------- answer
 *
 * Limits (R9): nothing more is read at USER_CONNECTION_PIPELINE requests without an answer, at
 * USER_CONNECTION_OUT bytes of answers that the client does not take, or while the session has no room.
 * A client that takes nothing for dead_ms, or a request of which nothing more comes, ends with the
 * kernel's timeout or the user's.
 *
 * With codec tcp there are no answers: the client's bytes go to the service in pieces, each a request
 * (enum codec_stream), and the service's bytes come by themselves (struct wire_stream). Each side has
 * 512 KiB under way at most (clients/stream.c). If any of it is lost, the connection ends.
 *
 * A request that the service does not answer is refused in the client's own protocol (codec_refusal()).
 * If the protocol has no refusal, the connection ends.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct codec;
struct err;
struct sockaddr_storage;
struct user;
struct user_connection; /* opaque */
struct user_session;
struct wire_stream;
struct uv_loop_s;

#define USER_CONNECTION_PIPELINE  128
#define USER_CONNECTION_OUT       (1u << 20)
#define USER_CONNECTION_LINGER_MS 2000 /* for the client to take the last answer */

/**
 * struct user_connection_setup - Where a connection belongs
 * @loop:	Event loop
 * @fd:		Its socket, which user_connection_accept() consumes, also on failure
 * @from:	Its client's address, borrowed for the call
 * @codec:	Of the service
 * @number:	Of the connection, see struct wire_data; not 0
 * @dead_ms:	Bytes that the client does not take for so long end the connection
 * @lost:	The client did not answer any more, so it may still believe in the connection, which ends now. Its ends
 *		are those of user_connection_ends()
 */
struct user_connection_setup {
	struct uv_loop_s *loop;
	int fd;
	const struct sockaddr_storage *from;
	const struct codec *codec;
	uint32_t number;
	uint32_t dead_ms;
	void (*lost)(struct user *user, const struct sockaddr_storage *local, uint16_t port);
};

/**
 * user_connection_accept() - Take a connection; nothing is read yet
 * @ret:	Set on success only; then user_connection_start() or user_connection_close()
 * @setup:	See struct user_connection_setup
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int user_connection_accept(struct user_connection **ret, const struct user_connection_setup *setup,
			   struct err *err);

/** user_connection_start() - It belongs to @user, whose session is @us: begin to read */
void user_connection_start(struct user_connection *c, struct user *user, struct user_session *us);

/** user_connection_of() - Connection from its link in struct user */
struct user_connection *user_connection_of(struct list *link);

/** user_connection_session() - Its session. Return: NULL if it is closing */
struct user_session *user_connection_session(const struct user_connection *c);

/** user_connection_number() - As given to user_connection_accept() */
uint32_t user_connection_number(const struct user_connection *c);

/** user_connection_stream() - Codec tcp: the service sends by itself, or has ended the connection */
void user_connection_stream(struct user_connection *c, const struct wire_stream *stream);

/**
 * user_connection_ends() - The two ends of a connection
 * @c:		Connection
 * @local:	Set to ours; IPv4 as such
 * @port:	Set to the client's, at its user's address
 */
void user_connection_ends(const struct user_connection *c, struct sockaddr_storage *local,
			  uint16_t *port);

/** user_connection_idle() - Whether it waits for nothing */
bool user_connection_idle(const struct user_connection *c);

/** user_connection_tick() - Close it if it has lingered long enough */
void user_connection_tick(struct user_connection *c, uint64_t now);

/** user_connection_close() - End it at once, with a reset if @reset; answers still due are dropped */
void user_connection_close(struct user_connection *c, bool reset);
