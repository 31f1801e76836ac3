/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Codec - where a service's request ends, and where its answer ends
 *
 * A codec reads bytes as they come and says of each piece: more is needed, the message is complete
 * at byte n, it is broken, or it is too long. It does no I/O, reads no clock, changes no byte and
 * keeps none: struct codec_exchange holds its state between two pieces. The same bytes give the same
 * verdict wherever they are cut into pieces, so both edge servers of a migration judge a request
 * alike.
 *
 * docs/codecs.md defines for each codec a message, and lists the requests that are refused.
 *
 *	codec_exchange_new()
 *	codec_request()...	pieces of a request: CODEC_DONE
 *	codec_answer()...	pieces of its answer: CODEC_DONE
 *	codec_exchange_reset()	before the next request
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct err;

#define CODEC_REASON_SIZE  160
#define CODEC_PREFIX_MAX   4
#define CODEC_DATAGRAM_MAX 65507       /* bytes of an UDP datagram over IPv4 */
#define CODEC_HTTP_HEAD    (64u << 10) /* bytes of an HTTP message before its body */
#define CODEC_HTTP_INTERIM 16          /* answers 1xx before the real one */
#define CODEC_STREAM_CHUNK (64u << 10) /* codec tcp: bytes of the user's in one request */
#define CODEC_RESP_DEPTH   32          /* arrays within arrays of a Redis answer */
#define CODEC_IGNORED_SIZE 256
#define CODEC_MESSAGE_MAX  (1ull << 30) /* bytes of a message that may go in segments */
#define CODEC_REFUSAL_SIZE 1024

/**
 * struct codec_comparison - Parts of a service's answers that must be equal in both containers (R5)
 * @none:	nothing
 * @ignored:	http: headers that may differ, in small letters, each with a space before and behind
 *		(" date age "); see also codec_comparison_default()
 */
struct codec_comparison {
	bool none;
	char ignored[CODEC_IGNORED_SIZE];
};

/** enum codec_result - Verdict after a piece */
enum codec_result {
	CODEC_MORE,     /* the message is incomplete */
	CODEC_DONE,     /* it is complete, see @from and @end of struct codec_exchange */
	CODEC_BROKEN,   /* this is no message; @reason says why */
	CODEC_TOO_LONG, /* a limit is passed, @reason says which */
};

/** enum codec_refusal - Reason why a user gets no answer of its service to a request */
enum codec_refusal {
	CODEC_REFUSAL_BROKEN,   /* it is not valid in the codec */
	CODEC_REFUSAL_TOO_LONG, /* it passes a limit */
	CODEC_REFUSAL_DOUBT,    /* it may or may not have been executed */
	CODEC_REFUSAL_AWAY,     /* the service is out of reach; nothing was executed */
};

/** enum codec_effect - Effect of a request on the state of its connection */
enum codec_effect {
	CODEC_EFFECT_NONE,
	CODEC_EFFECT_SETS, /* something that the same request sets again; the latest counts */
	CODEC_EFFECT_OPENS, /* a transaction: the service queues further commands on the connection */
	CODEC_EFFECT_CLOSES, /* it */
	CODEC_EFFECT_RESETS, /* all of it */
};

/**
 * struct codec_exchange - One request and its answer
 * @codec:	the codec
 * @answering:	the answer is being read, not the request
 * @result:	of the last piece
 * @seen:	bytes of the message in all earlier pieces
 * @from:	where the payload begins in the message, once it is complete; bytes before it (a
 *		length, an interim answer) are not for the user
 * @end:	where the message ends, once it is complete
 * @framing:	of the answer: digest of how the codec cut its body into pieces (http: chunks)
 * @keep:	the connection may carry another request after this answer
 * @own:	the request came by a connection of the user's own, and its effect there is repeated
 *		by the next one's preamble (codec_connection); set it after codec_exchange_reset()
 * @first:	a request ends with the first message (resp: one command, not a pipeline); likewise
 * @bounded:	a request that is refused ends at @end, too: the next one can be read
 * @note:	the codec's own, set by the request for codec_answer_last()
 * @prompt:	of an incomplete request: bytes that its user awaits before it sends the rest; or NULL
 * @effect:	of the request, if @own is set
 * @subject:	with CODEC_EFFECT_SETS: the setting, a number of the codec's own
 * @comparison:	copied
 * @digest:	of the compared bytes of the answer, once it is complete; codecs that do not compare
 *		all bytes add to it, for the others it is of all bytes if codec->segments
 * @reason:	why the message is refused; or, if the codec knows, the missing part that it awaits
 * @state:	the codec's own, @state_size bytes of it
 */
struct codec_exchange {
	const struct codec *codec;
	bool answering;
	enum codec_result result;
	size_t seen;
	size_t from;
	size_t end;
	uint64_t framing;
	bool keep;
	bool own;
	bool first;
	bool bounded;
	int note;
	const char *prompt;
	enum codec_effect effect;
	int subject;
	struct codec_comparison comparison;
	uint64_t digest;
	char reason[CODEC_REASON_SIZE];
	max_align_t state[];
};

/**
 * enum codec_stream - First byte of a request of codec tcp: an event of the user's connection
 *
 * Such requests are numbered like any other, so none is lost or done twice; their answers are empty.
 * Bytes of the service travel separately (struct wire_stream).
 */
enum codec_stream {
	CODEC_STREAM_OPEN = 'O',   /* the user connects */
	CODEC_STREAM_DATA = 'D',   /* bytes follow */
	CODEC_STREAM_END = 'E',    /* nothing more comes from the user */
	CODEC_STREAM_RESET = 'R',  /* the user neither sends nor takes anything more */
	CODEC_STREAM_WINDOW = 'W', /* the user has taken so many bytes in all: u64, big-endian */
};

/**
 * struct codec - One way of telling where messages end; a constant in the file of its name
 * @name:	in the service catalogue
 * @datagram:	messages are UDP datagrams
 * @stream:	opaque bytes both ways, see enum codec_stream
 * @segments:	messages on a user's own connection may have up to CODEC_MESSAGE_MAX bytes, and go in
 *		segments (enum wire_segment) if they are longer than WIRE_PAYLOAD_MAX
 * @prefix:	bytes in front of a payload that the user does not see, see codec_prefix()
 * @idle_ms:	an idle connection is not used again after this; 0: always
 * @state_size:	bytes of state
 * @digests:	the codec computes @digest of an exchange; else it is of all bytes. Must, if @segments
 * @start:	a message begins; @answering says which. The state is all zero before a request
 * @request:	reads a piece of a request
 * @answer:	reads a piece of an answer
 * @closed:	the service closed the connection after @seen bytes; NULL: always too early
 * @last:	see codec_answer_last(); NULL: never
 * @refusal:	see codec_refusal(); NULL: the protocol has no words for it
 * @refusal_ends: nothing comes after a refusal
 *
 * The functions set @end (and @from) of the exchange if they return CODEC_DONE, and @reason if they
 * refuse. After CODEC_DONE, @request may be called again: a pipeline continues.
 */
struct codec {
	const char *name;
	bool datagram;
	bool stream;
	bool segments;
	size_t prefix;
	uint32_t idle_ms;
	size_t state_size;
	bool digests;
	void (*start)(struct codec_exchange *x);
	enum codec_result (*request)(struct codec_exchange *x, const uint8_t *bytes, size_t len);
	enum codec_result (*answer)(struct codec_exchange *x, const uint8_t *bytes, size_t len);
	enum codec_result (*closed)(struct codec_exchange *x);
	bool (*last)(int note, const uint8_t *bytes, size_t len);
	int (*refusal)(char *to, size_t size, enum codec_refusal why, const char *reason);
	bool refusal_ends;
};

extern const struct codec codec_frame;
extern const struct codec codec_line;
extern const struct codec codec_resp;
extern const struct codec codec_http;
extern const struct codec codec_tcp;
extern const struct codec codec_udp;

/* Of services that are not in the catalogue any more: refuses every request */
extern const struct codec codec_unknown;

/** codec_find() - Codec by its name in the catalogue. Return: NULL if there is none */
const struct codec *codec_find(const char *name);

/** codec_comparison_default() - All is compared, but headers that tell the time. Return: by value */
struct codec_comparison codec_comparison_default(void);

/**
 * codec_exchange_new() - Create an exchange, ready for a request
 * @ret:	Set on success only; the caller owns it, see codec_exchange_free()
 * @codec:	Codec, borrowed
 * @comparison:	Parts to compare, copied; NULL: the default
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int codec_exchange_new(struct codec_exchange **ret, const struct codec *codec,
		       const struct codec_comparison *comparison, struct err *err);

/** codec_exchange_free() - Release it; @x may be NULL. Return: NULL, always */
struct codec_exchange *codec_exchange_free(struct codec_exchange *x);

AUTO_DEFINE(codec_exchange)

/** codec_exchange_reset() - Forget request and answer; the next piece is of a request */
void codec_exchange_reset(struct codec_exchange *x);

/**
 * codec_prefix() - Bytes that the service gets in front of a request's payload
 * @c:		Codec
 * @to:		Filled with @prefix bytes of the codec
 * @len:	Bytes of the payload, at most WIRE_PAYLOAD_MAX
 *
 * Return: bytes written
 */
size_t codec_prefix(const struct codec *c, uint8_t to[CODEC_PREFIX_MAX], size_t len);

/**
 * codec_request() - Read the next piece of a request
 * @x:		Exchange
 * @bytes:	Piece, prefix included
 * @len:	Its length, not 0 unless the codec is one of datagrams
 *
 * Return: the verdict so far. After CODEC_DONE with @end at the end of the piece more may follow
 * (resp: the next command of a pipeline); after a refusal every piece is refused
 */
enum codec_result codec_request(struct codec_exchange *x, const void *bytes, size_t len);

/**
 * codec_request_whole() - Check that bytes are one request, whole, and nothing else
 * @x:		Exchange, just reset; ready for the answer afterwards
 * @bytes:	Request, prefix included
 * @len:	Its length
 * @err:	Filled in on failure
 *
 * Return: 0, -EMSGSIZE beyond a limit, or -EPROTO
 */
int codec_request_whole(struct codec_exchange *x, const void *bytes, size_t len, struct err *err);

/**
 * codec_answer() - Read the next piece of the answer to the request read before
 * @x:		Exchange
 * @bytes:	Piece
 * @len:	Its length, not 0 unless the codec is one of datagrams
 *
 * Return: the verdict so far. Bytes after @end belong to no request
 */
enum codec_result codec_answer(struct codec_exchange *x, const void *bytes, size_t len);

/** codec_answer_closed() - The service closed the connection. Return: CODEC_DONE or CODEC_BROKEN */
enum codec_result codec_answer_closed(struct codec_exchange *x);

/**
 * codec_answer_digest() - Digest of the compared parts of an answer that is complete
 * @x:		Exchange
 * @bytes:	The answer as the user gets it: from @from to @end
 * @len:	Its length
 *
 * Return: the digest; 0 if nothing is to be compared
 */
uint64_t codec_answer_digest(const struct codec_exchange *x, const void *bytes, size_t len);

/**
 * codec_answer_digest_segments() - Digest of an answer that goes in segments
 * @x:		Exchange, its answer complete
 *
 * The user may get some of the segments from one container and the rest from the other. So their bytes must
 * lie at the same places, besides the equality that codec_answer_digest() shows.
 *
 * Return: the digest; 0 if nothing is to be compared
 */
uint64_t codec_answer_digest_segments(const struct codec_exchange *x);

/** codec_limit() - Bytes that the message being read may have, its prefix not counted */
size_t codec_limit(const struct codec_exchange *x);

/**
 * codec_answer_last() - Whether the user's connection ends after an answer, as its service wants it
 * @c:		Codec
 * @note:	Left by the request, see struct codec_exchange
 * @bytes, @len: The answer, whole
 *
 * Return: whether it does
 */
bool codec_answer_last(const struct codec *c, int note, const void *bytes, size_t len);

/**
 * codec_refusal() - Say in the user's own protocol that a request gets no answer of the service
 * @c:		Codec
 * @to:		Filled with the bytes for the user, without a NUL
 * @size:	Room there, at least CODEC_REFUSAL_SIZE
 * @why:	See enum codec_refusal
 * @reason:	One line for a person, cut if need be
 *
 * Return: bytes written; 0: the protocol has no words for it, and the connection must end
 */
size_t codec_refusal(const struct codec *c, char *to, size_t size, enum codec_refusal why,
		     const char *reason);

/** codec_refuse() - For codecs: say why a message is refused. Return: @result */
enum codec_result codec_refuse(struct codec_exchange *x, enum codec_result result, const char *fmt,
			       ...) __attribute__((format(printf, 3, 4)));
