/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Replay Buffer - copies of one MUD's service requests, kept while its container moves
 *
 * AP-y copies each request in before it forwards it to CT-x (T6), and hands the copies to CT-y in order
 * (T7). It drops a copy when it can no longer be needed: those up to the cut once the cut is known, and
 * the rest once CT-x is retired (R3). Beside each copy stand the digests of the answers of CT-x and CT-y
 * (R5), and CT-y's answer itself while it is withheld (R4).
 *
 * Numbers are contiguous: every request above @floor that came in is held. Nothing here does I/O or
 * reads a clock, so the whole module runs in tests/sim.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "wire/message.h"

struct err;
struct replay_buffer;
struct request;

/** enum replay_buffer_e - Positive results; the direct caller must handle each one */
enum replay_buffer_e {
	REPLAY_BUFFER_E_FULL = 1, /* a limit is reached, nothing was stored */
	REPLAY_BUFFER_E_STALE,    /* this number was seen before; nothing was stored */
	REPLAY_BUFFER_E_GAP,      /* the number before it was never seen; nothing was stored */
};

/** enum replay_side - Origin of an answer: the container that moves, or its replica */
enum replay_side {
	REPLAY_SOURCE, /* CT-x */
	REPLAY_COPY,   /* CT-y */
	REPLAY_SIDES,
};

/**
 * struct replay_copy - One kept request
 * @request:	The request; the buffer has a share of it
 * @ack:	as the MUD sent it
 * @delivered:	an answer to it has gone to the MUD
 * @has_digest:	per side: its answer was seen
 * @digest:	per side: digest of that answer, 0 if it is not to be compared
 * @asked:	times that the answer of the container that serves was asked for, which has executed it
 * @asked_at:	when the last of these was counted, ms
 * @in_doubt:	CT-x could not say whether it executed the request
 * @answer:	answer withheld from the MUD, owned by the buffer; NULL if none is
 * @answer_len:	its length
 * @answer_status, @answer_digest: its status and digest
 */
struct replay_copy {
	struct request *request;
	uint64_t ack;
	bool delivered;
	bool has_digest[REPLAY_SIDES];
	uint64_t digest[REPLAY_SIDES];
	uint32_t asked;
	uint64_t asked_at;
	bool in_doubt;
	uint8_t *answer;
	size_t answer_len;
	enum wire_status answer_status;
	uint64_t answer_digest;
};

/**
 * replay_buffer_new() - Create an empty buffer
 * @ret:	Set on success only; the caller owns it, see replay_buffer_free()
 * @count_max:	Limit on copies, not zero
 * @bytes_max:	Limit on stored bytes of requests and withheld answers, not zero
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int replay_buffer_new(struct replay_buffer **ret, uint32_t count_max, size_t bytes_max,
		      struct err *err);

/** replay_buffer_free() - Release everything; @rb may be NULL. Return: NULL, always */
struct replay_buffer *replay_buffer_free(struct replay_buffer *rb);

AUTO_DEFINE(replay_buffer)

/**
 * replay_buffer_push() - Keep one request, see request_keep()
 * @rb:		Replay buffer; the first push into a fresh one decides where numbers begin
 * @d:		The request; its bytes are borrowed for the call
 * @err:	Filled in on failure
 *
 * Return: 0, REPLAY_BUFFER_E_FULL, REPLAY_BUFFER_E_STALE, REPLAY_BUFFER_E_GAP, or -ENOMEM
 */
int replay_buffer_push(struct replay_buffer *rb, const struct wire_data *d, struct err *err);

/** replay_buffer_find() - The copy numbered @number. Return: borrowed, or NULL if it is not held */
struct replay_copy *replay_buffer_find(struct replay_buffer *rb, uint64_t number);

/**
 * replay_buffer_withhold() - Keep an answer of CT-y beside its request until the switch
 * @rb:		Replay buffer
 * @copy:	Copy it belongs to
 * @answer:	Answer; its bytes are borrowed for the call
 * @err:	Filled in on failure
 *
 * An answer that does not fit under the limit is not kept: CT-y's own answer cache has it too.
 *
 * Return: 0, REPLAY_BUFFER_E_FULL, or -ENOMEM
 */
int replay_buffer_withhold(struct replay_buffer *rb, struct replay_copy *copy,
			   const struct wire_data *answer, struct err *err);

/** replay_buffer_release() - Drop the answer withheld beside @copy, if any */
void replay_buffer_release(struct replay_buffer *rb, struct replay_copy *copy);

/**
 * replay_buffer_drop_through() - Drop all copies up to and with @number
 *
 * @number becomes the floor if it is above it, also in a buffer that is still empty: numbers that
 * come later begin above it.
 */
void replay_buffer_drop_through(struct replay_buffer *rb, uint64_t number);

/** replay_buffer_floor() - Every request seen that is numbered above this is held */
uint64_t replay_buffer_floor(const struct replay_buffer *rb);

/** replay_buffer_highest() - Highest number ever pushed; the floor if none is held */
uint64_t replay_buffer_highest(const struct replay_buffer *rb);

/** replay_buffer_started() - Whether any request was ever pushed */
bool replay_buffer_started(const struct replay_buffer *rb);

/** replay_buffer_half_full() - Whether either limit is reached by half */
bool replay_buffer_half_full(const struct replay_buffer *rb);

/** replay_buffer_bytes() - Bytes held, requests and withheld answers */
size_t replay_buffer_bytes(const struct replay_buffer *rb);

/**
 * replay_digest() - Digest of an answer that is compared as it is (R5): status, bytes and length
 *
 * It finds accidents, not attacks: a service that answers two requests with a collision deceives
 * only its own user.
 *
 * Return: the digest, never 0
 */
uint64_t replay_digest(const struct wire_data *answer);
