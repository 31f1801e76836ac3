/* SPDX-License-Identifier: Apache-2.0 */

/*
 * User stream - a client's connection to a service of codec tcp
 *
 * The client's bytes go to the service in pieces, each a request (enum codec_stream). The service's bytes
 * come by themselves. Each side has WINDOW bytes under way at most.
 */

#include <stdlib.h>
#include <string.h>

#include "ap/clients/connection_inner.h"
#include "base/auto.h"
#include "base/bytes.h"
#include "base/err.h"
#include "wire/message.h"

#define WINDOW (512u << 10) /* bytes under way, each way */

/* Return: false if there is no room for it now */
static bool stream_request(struct user_connection *c, uint8_t kind, const uint8_t *bytes,
			   size_t len)
{
	const struct user_waiter nobody = { 0 };
	uint64_t number;
	struct err err;

	if (user_session_room(c->session, 1 + len, WIRE_SEGMENT_WHOLE) != 0)
		return false;
	auto_free uint8_t *all = malloc(1 + len);
	if (!all)
		return false;
	all[0] = kind;
	if (len)
		memcpy(all + 1, bytes, len);
	const struct wire_data d = { .connection = c->number, .bytes = all, .len = 1 + len };
	return user_session_request(c->session, &d, &nobody, &number, &err) == 0;
}

/* The service continues to send when it knows that the client has taken the earlier bytes. */
void user_stream_confirm(struct user_connection *c)
{
	uint64_t has = c->offset - c->out.len - c->writing.len;
	uint8_t bytes[8];

	if (!c->opened || has - c->confirmed < WINDOW / 4)
		return;
	put_be64(bytes, has);
	if (stream_request(c, CODEC_STREAM_WINDOW, bytes, sizeof(bytes)))
		c->confirmed = has;
}

/* The next piece of the client's bytes. Return: false if nothing more can be done now */
bool user_stream_next(struct user_connection *c)
{
	size_t len = c->in.len < CODEC_STREAM_CHUNK ? c->in.len : CODEC_STREAM_CHUNK;
	bool sent;

	if (!c->opened) {
		len = 0;
		sent = stream_request(c, CODEC_STREAM_OPEN, NULL, 0);
		c->opened = sent;
	} else if (len && c->sent - c->taken < WINDOW) {
		sent = stream_request(c, CODEC_STREAM_DATA, buf_bytes(&c->in), len);
	} else if (!c->in.len && c->eof && !c->said_end) {
		sent = stream_request(c, CODEC_STREAM_END, NULL, 0);
		c->said_end = sent;
	} else {
		return false; /* user_connection_stream(), or the client, continues */
	}
	if (!sent &&
	    user_session_room(c->session, len + 1, WIRE_SEGMENT_WHOLE) == USER_SESSION_E_WAIT) {
		user_session_wait(c->session, &c->hold);
		return false;
	}
	if (!sent) { /* the service is out of reach, and codec tcp has no refusal */
		c->life->close(c, true);
		return false;
	}
	c->sent += len;
	buf_consume(&c->in, len);
	return true;
}

void user_stream_reset(struct user_connection *c)
{
	(void)stream_request(c, CODEC_STREAM_RESET, NULL, 0);
}

void user_connection_stream(struct user_connection *c, const struct wire_stream *stream)
{
	bool whole = stream->offset == c->offset && stream->connection;

	if (c->closing || c->finished || !c->codec->stream)
		return;
	if (!whole || (stream->ended && stream->len)) {
		/* the container moved, or a link broke: the missing bytes do not come any more */
		c->opened = c->opened && !stream->ended;
		c->life->close(c, true);
		return;
	}
	if (stream->taken > c->taken && stream->taken <= c->sent)
		c->taken = stream->taken;
	c->offset += stream->len;
	if (!user_connection_say(c, stream->bytes, stream->len))
		return;
	if (stream->ended) {
		c->opened = false;
		c->life->finish(c);
	}
	user_connection_write(c);
	user_stream_confirm(c);
	if (!c->closing)
		c->life->pump(c);
}
