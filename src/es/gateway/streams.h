/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Streams - the connections into one container whose service speaks codec tcp
 *
 * Requests report the events of a user's connection (enum codec_stream), one after the other. The
 * service's bytes go out by themselves. Neither side may have more than STREAMS_WINDOW bytes under
 * way on a connection: the user's side waits for @taken in struct wire_stream, ours for
 * CODEC_STREAM_WINDOW.
 *
 * At a cut all connections end (streams_end()): both the user and the service see that, as if a
 * network had failed, and the user opens another. A request for a connection that is gone is told
 * so again.
 */

#include <stddef.h>
#include <stdint.h>

#include "wire/message.h"

struct err;
struct sockaddr;
struct streams; /* opaque */
struct uv_loop_s;
struct wire_stream;

#define STREAMS_MAX    256          /* connections into one container */
#define STREAMS_WINDOW (512u << 10) /* bytes under way on a connection, each way */
#define STREAMS_QUEUE                                                                              \
	(STREAMS_WINDOW + WIRE_PAYLOAD_MAX) /* more that waits for the service ends it */

/**
 * streams_say_fn - Report on a connection; bytes are borrowed. Not from inside streams_take()
 */
typedef void (*streams_say_fn)(void *ctx, const struct wire_stream *stream);

/**
 * streams_new() - Create connections into a container: none yet
 * @ret:	Set on success only; the caller owns it, see streams_close()
 * @loop:	Event loop
 * @to:		Where the service listens, copied
 * @say:	See streams_say_fn
 * @ctx:	Its first argument
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int streams_new(struct streams **ret, struct uv_loop_s *loop, const struct sockaddr *to,
		streams_say_fn say, void *ctx, struct err *err);

/**
 * streams_take() - One request of codec tcp
 * @st:		Streams
 * @connection:	Number of the user's connection
 * @bytes:	Request, copied
 * @len:	Its length
 * @err:	Filled in on failure: it is no such request, or the user's side ignores the window:
 *		then the connection ends
 *
 * Return: 0, or -EPROTO
 */
int streams_take(struct streams *st, uint32_t connection, const uint8_t *bytes, size_t len,
		 struct err *err);

/** streams_end() - End all connections, and say so, but not from inside this call */
void streams_end(struct streams *st);

/** streams_close() - End all connections without a word, release; may be NULL */
void streams_close(struct streams *st);
