/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Codec - messages to frames and back; baton.proto describes the bytes
 *
 * Requests, answers, streams, chunks and cuts have a fixed binary header, read without parsing; all other
 * messages are protobuf. Decoding trusts nothing: it refuses all that is not in baton.proto, and bounds the
 * memory it takes for any input. Encoding follows the same rules, so that a bug of ours shows at
 * the sender.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/message.h"

struct buf;
struct err;

#define WIRE_FRAME_PREFIX     5 /* length and kind */
#define WIRE_DATA_HEADER_SIZE 40
#define WIRE_CONTROL_MAX      (2u << 20)                              /* bytes of an envelope */
#define WIRE_CUT_MAX          (WIRE_WINDOW_BYTES + WIRE_WINDOW * 64u) /* bytes of an answer cache */
#define WIRE_LINK_FRAME_MAX   (WIRE_FRAME_PREFIX + WIRE_CONTROL_MAX)  /* largest one on a link */
#define WIRE_SCRATCH_MAX      (6u << 20) /* memory that decoding one message may take */

/** enum wire_kind - Second field of a frame; the values are on the wire and never change */
enum wire_kind {
	WIRE_KIND_CONTROL = 1,
	WIRE_KIND_REQUEST,
	WIRE_KIND_ANSWER,
	WIRE_KIND_CHUNK, /* this one and CUT: migration connections only */
	WIRE_KIND_CUT,
	WIRE_KIND_STREAM,
};

/**
 * struct wire_scratch - Memory behind a decoded message
 * @first:	Newest block; older ones hang on it
 * @used:	Bytes in all blocks
 *
 * All zero is a valid, empty scratch.
 */
struct wire_scratch {
	struct wire_block *first;
	size_t used;
};

/** wire_scratch_deinit() - Release the memory; messages decoded with it are gone */
void wire_scratch_deinit(struct wire_scratch *s);

/**
 * wire_encode() - Append the frame of a message
 * @m:		Message, borrowed for the call
 * @out:	Buffer to append to; unchanged on failure
 * @err:	Filled in on failure
 *
 * Control characters in free text (reasons, event kinds and details) become '?'.
 *
 * Return: 0, -EINVAL if a field breaks the rules of baton.proto, -ENOBUFS if @out is at its limit,
 * or -ENOMEM
 */
int wire_encode(const struct wire_message *m, struct buf *out, struct err *err);

/**
 * wire_frame_size() - How long the frame at the start of some bytes is
 * @bytes:	Received bytes
 * @len:	Their number
 * @bulk:	Whether this connection may carry chunks and cuts
 * @size:	Set to the size of the whole frame, prefix included, if 1 is returned. If it is
 *		more than @len, wait for the rest
 * @err:	Filled in on failure
 *
 * Return: 1, 0 if @len is too short to tell, or -EPROTO if this cannot be a frame
 */
int wire_frame_size(const uint8_t *bytes, size_t len, bool bulk, size_t *size, struct err *err);

/**
 * wire_decode() - Read one whole frame
 * @frame:	Frame, prefix included
 * @len:	Its size, as wire_frame_size() said
 * @m:		Filled in; its pointers lead into @frame or @scratch and are valid until the next call
 *		with @scratch. Bytes of the union that the body does not have may stay as they were
 * @scratch:	Memory for the message
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO, or -ENOMEM
 */
int wire_decode(const uint8_t *frame, size_t len, struct wire_message *m,
		struct wire_scratch *scratch, struct err *err);

/**
 * wire_hello_check() - Whether we can talk to the sender of a HELLO
 * @m:		First message of a connection
 * @name:	Name in its certificate
 * @role:	Role in its certificate
 * @err:	Filled in on failure
 *
 * Return: 0, or -EPROTO: no HELLO, incompatible versions, or not what the certificate says
 */
int wire_hello_check(const struct wire_message *m, const char *name, enum wire_role role,
		     struct err *err);

/** wire_hello_set() - Make @m the HELLO of @name in @role (a valid name) */
void wire_hello_set(struct wire_message *m, const char *name, enum wire_role role);
