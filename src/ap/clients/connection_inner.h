/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inner header of the modules of one client connection, not for others
 *
 *	connection.c  its life, requests out of it and answers into it
 *	    |  calls those below             ^  struct user_connection_life
 *	segments.c    long ones of both      |
 *	stream.c      the same for codec tcp |
 *	output.c      bytes to the client, in order
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "ap/clients/connection.h"
#include "ap/users/session.h"
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
 * @answer:	Bytes for the client, unless the answer is long
 * @rest:	A long answer, as far as it is here; else NULL
 * @said:	Bytes of it that were sent to the client
 * @more:	The edge server has more of it
 * @rest_number: Of the request for the next segment; 0: none is under way
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

#define USER_CONNECTION_SMALL 4096 /* buffers beyond it are not kept while empty */
#define USER_SEGMENTS_WINDOW  4    /* segments of a request under way */

/**
 * struct upload - A long request
 * @bytes:	Its bytes, but those in @in of the connection; NULL: it is not long
 * @pending:	Its place, when it is whole and being sent; else NULL
 * @sent:	Bytes that were sent
 * @session:	Session of the segments
 * @segment:	Numbers of the segments under way, 0: free
 */
struct upload {
	struct spool *bytes;
	struct pending *pending;
	uint64_t sent;
	uint64_t session;
	uint64_t segment[USER_SEGMENTS_WINDOW];
};

/**
 * struct user_connection_life - Decisions on a connection, all made in connection.c
 * @close:	As user_connection_close()
 * @broken:	It broke, with this code of libuv: close it
 * @pump:	Do all that is possible now: read more, submit, end it
 * @flush:	Send the answers that are due, in order
 * @finish:	No more bytes follow; the connection ends when all have been sent
 * @written:	The bytes being written have been taken
 * @next:	The next request begins here in @in
 * @refuse:	The request that is being read gets no further; @go_on: where it ends is known
 * @answered:	The answer to a request, or its first segment; see struct user_waiter
 */
struct user_connection_life {
	void (*close)(struct user_connection *c, bool reset);
	void (*broken)(struct user_connection *c, int code);
	void (*pump)(struct user_connection *c);
	void (*flush)(struct user_connection *c);
	void (*finish)(struct user_connection *c);
	void (*written)(struct user_connection *c);
	void (*next)(struct user_connection *c);
	void (*refuse)(struct user_connection *c, enum codec_refusal why, const char *reason,
		       bool go_on);
	void (*answered)(void *ctx, struct user_session *us, uint16_t port,
			 const struct wire_data *answer);
};

/**
 * struct user_connection - One client's TCP connection
 * @link:	In its user's list
 * @local, @port: See user_connection_ends()
 * @lost:	See struct user_connection_setup
 * @in:		From where the present request begins, or continues after @upload
 * @fed:	Bytes of it that the codec has read
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
	struct sockaddr_storage local;
	uint16_t port;
	void (*lost)(struct user *user, const struct sockaddr_storage *local, uint16_t port);
	struct user *user;
	struct user_session *session;
	struct user_hold hold;
	const struct user_connection_life *life;
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

/* output.c */

/** user_connection_write() - Write the bytes of @out, unless a write is under way */
void user_connection_write(struct user_connection *c);

/** user_connection_say() - Write at once what the kernel takes. Return: false if it is closed now */
bool user_connection_say(struct user_connection *c, const void *bytes, size_t len);

/** user_connection_pending() - A new place in the order. Return: NULL, and the connection is closed */
struct pending *user_connection_pending(struct user_connection *c);

/**
 * user_connection_compose() - Write a refusal in place of the answer
 *
 * Return: false if the connection must end with it
 */
bool user_connection_compose(struct user_connection *c, struct pending *p, enum codec_refusal why,
			     const char *reason);

/* segments.c */

/** user_connection_wait() - There is no room now: continue when there is */
void user_connection_wait(struct user_connection *c);

/** user_segments_gathered() - Bytes of the present request that are in the spool */
size_t user_segments_gathered(const struct user_connection *c);

/** user_segments_gather() - Move @len bytes of @in to the spool. Return: 0, or negative error code */
int user_segments_gather(struct user_connection *c, size_t len, struct err *err);

/**
 * user_segments_submit() - Send the segments of a long request that is whole
 *
 * Return: false if it has to wait, or the connection is closed
 */
bool user_segments_submit(struct user_connection *c);

/** user_segments_end_upload() - Forget the long request, if there is one */
void user_segments_end_upload(struct user_connection *c);

/** user_segments_answer() - The first segment of a long answer is here */
void user_segments_answer(struct user_connection *c, struct pending *p, const struct wire_data *d);

/** user_segments_ask() - Ask for the missing segments of long answers, as far as there is room */
void user_segments_ask(struct user_connection *c);

/** user_segments_wanted() - Whether a message is under way whose next segment waits for room */
bool user_segments_wanted(const struct user_connection *c);

/** user_segments_say() - Send the received part of a long answer. Return: whether all of it was sent */
bool user_segments_say(struct user_connection *c, struct pending *p);

/** user_segments_end_download() - Forget the long answer, if it is one */
void user_segments_end_download(struct user_connection *c, struct pending *p);

/* stream.c */

/** user_stream_next() - Send the next piece. Return: false if nothing more can be done now */
bool user_stream_next(struct user_connection *c);

/** user_stream_confirm() - Tell the service how much the client has taken: it then sends more */
void user_stream_confirm(struct user_connection *c);

/** user_stream_reset() - The client is gone; without room the service has to find out by itself */
void user_stream_reset(struct user_connection *c);
