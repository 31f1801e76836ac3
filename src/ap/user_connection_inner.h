/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inner header of the modules of one client connection, not for others
 *
 *	user_connection.c  its life, requests out of it and answers into it
 *	user_parts.c       long ones of both
 *	user_stream.c      the same for codec tcp
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "ap/user_connection.h"
#include "ap/user_session.h"
#include "base/buf.h"
#include "base/list.h"
#include "codec/codec.h"
#include "codec/connection.h"

/**
 * struct pending - A request's place in the order of answers
 * @number:	In the session; 0: refused here, or not sent yet
 * @ordinal:	Of this connection
 * @note:	See struct codec_exchange
 * @last:	The connection ends with this answer
 * @answer:	What is to be said, unless it is long
 * @rest:	A long answer, as far as it is here; else NULL
 * @said:	So much of it was
 * @more:	The edge server has more of it
 * @rest_number: Of the request for the next part; 0: none is under way
 */
struct pending {
	struct list link;
	uint64_t number;
	uint64_t ordinal;
	int note;
	bool answered;
	bool last;
	struct buf answer;
	struct spool *rest;
	uint64_t said;
	bool more;
	uint64_t rest_number;
};

#define USER_PARTS_WINDOW 4 /* parts of a request under way */

/**
 * struct upload - A long request
 * @bytes:	So much of it as is not in @in of the connection; NULL: it is not long
 * @pending:	Its place, when it is whole and being sent; else NULL
 * @sent:	Bytes that were
 * @session:	In which
 * @part:	Numbers of the parts under way, 0: free
 */
struct upload {
	struct spool *bytes;
	struct pending *pending;
	uint64_t sent;
	uint64_t session;
	uint64_t part[USER_PARTS_WINDOW];
};

/**
 * struct user_connection - One client's TCP connection
 * @link:	In its user's list
 * @in:		From where the present request begins, or goes on after @upload
 * @fed:	So much of it the codec has read
 * @whole:	The request is complete, and waits for room
 * @downloads:	Of @pending, those of which the edge server has more
 * @writing:	Being written; stable until that is done
 * @prompt:	See struct codec_exchange
 * @ended:	No more requests are taken
 * @finished:	The last answer is in @out
 * @opened, @said_end: Codec tcp, as all that follow: the service has been told of it, and of its end
 * @sent:	Bytes of the client's, and @taken of them by the service
 * @offset:	Bytes of the service's, and @confirmed of them that it was told the client has
 */
struct user_connection {
	uv_tcp_t tcp;
	uv_write_t write;
	uv_shutdown_t shutdown;
	struct list link;
	struct user *user;
	struct user_session *session;
	struct user_hold hold;
	const struct codec *codec;
	uint32_t number;
	struct codec_exchange *exchange;
	struct codec_connection *state;
	uint64_t ordinal;
	struct buf in;
	size_t fed;
	bool whole;
	struct upload upload;
	struct list pending;
	size_t pending_count;
	size_t downloads;
	struct buf out;
	struct buf writing;
	bool is_writing;
	const char *prompt;
	bool reading;
	bool eof;
	bool ended;
	bool finished;
	bool lingering;
	uint64_t linger_since;
	size_t discarded;
	bool closing;
	bool opened;
	bool said_end;
	uint64_t sent;
	uint64_t taken;
	uint64_t offset;
	uint64_t confirmed;
};

/* user_connection.c */

/** user_connection_pump() - Go on with what can be done: read on, submit, end it */
void user_connection_pump(struct user_connection *c);

/** user_connection_flush() - Send the answers that are due, in order */
void user_connection_flush(struct user_connection *c);

/** user_connection_write() - Write what is in @out, unless it is writing */
void user_connection_write(struct user_connection *c);

/** user_connection_say() - Write at once what the kernel takes. Return: false if it is closed now */
bool user_connection_say(struct user_connection *c, const void *bytes, size_t len);

/** user_connection_finish() - Nothing comes after what was said */
void user_connection_finish(struct user_connection *c);

/** user_connection_pending() - A new place in the order. Return: NULL, and the connection is closed */
struct pending *user_connection_pending(struct user_connection *c);

/**
 * user_connection_compose() - What is said instead of an answer
 *
 * Return: false if the connection must end with it
 */
bool user_connection_compose(struct user_connection *c, struct pending *p, enum codec_refusal why,
			     const char *reason);

/**
 * user_connection_refuse() - The request that is being read gets no further
 * @c:		Connection
 * @why:	See enum codec_refusal
 * @reason:	One line
 * @go_on:	Where it ends is known
 */
void user_connection_refuse(struct user_connection *c, enum codec_refusal why, const char *reason,
			    bool go_on);

/** user_connection_wait() - There is no room now: go on when there is */
void user_connection_wait(struct user_connection *c);

/** user_connection_next() - What is in @in from here on is the next request */
void user_connection_next(struct user_connection *c);

/** user_connection_answered() - The answer to a request, or its first part; see struct user_waiter */
void user_connection_answered(void *ctx, struct user_session *us, uint16_t port,
			      const struct wire_data *answer);

/* user_parts.c */

/** user_parts_gathered() - Bytes of the present request that are in the spool */
size_t user_parts_gathered(const struct user_connection *c);

/** user_parts_gather() - Move @len bytes of @in to the spool. Return: 0, or negative error code */
int user_parts_gather(struct user_connection *c, size_t len, struct err *err);

/**
 * user_parts_submit() - Send the parts of a long request that is whole
 *
 * Return: false if it has to wait, or the connection is closed
 */
bool user_parts_submit(struct user_connection *c);

/** user_parts_end_upload() - Forget the long request, if there is one */
void user_parts_end_upload(struct user_connection *c);

/** user_parts_answer() - The first part of a long answer is here */
void user_parts_answer(struct user_connection *c, struct pending *p, const struct wire_data *d);

/** user_parts_ask() - Ask for what is missing of long answers, as far as there is room */
void user_parts_ask(struct user_connection *c);

/** user_parts_wanted() - Whether a message is under way whose next part waits for room */
bool user_parts_wanted(const struct user_connection *c);

/** user_parts_say() - Say what is here of a long answer. Return: whether all of it was said */
bool user_parts_say(struct user_connection *c, struct pending *p);

/** user_parts_end_download() - Forget the long answer, if it is one */
void user_parts_end_download(struct user_connection *c, struct pending *p);

/* user_stream.c */

/** user_stream_next() - Send the next piece. Return: false if nothing more can be done now */
bool user_stream_next(struct user_connection *c);

/** user_stream_confirm() - Tell the service what the client has taken: then it goes on to send */
void user_stream_confirm(struct user_connection *c);

/** user_stream_reset() - The client is gone; without room the service has to find out by itself */
void user_stream_reset(struct user_connection *c);
