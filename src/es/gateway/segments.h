/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Segments - long requests and answers of one container, as far as they are here (enum wire_segment)
 *
 *	BEGIN, MORE ... --> collected, read by the codec as they come
 *	LAST --> whole: the container gets it (the gateway), and its answer is kept if it is long
 *	REST, REST ...  --> the kept answer, WIRE_PAYLOAD_MAX bytes each
 *	DROP            --> collected or kept, it is forgotten
 *
 * Each step depends on the requests' numbers alone, so that both containers of a migration do the
 * same. While any is here a cut waits (R12). At a cut nothing is left: a later segment of a message
 * that was cut off finds nothing, and is in doubt.
 *
 * Beyond SEGMENTS_MAX the oldest is forgotten; bytes are limited by those of all spools (R9).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "wire/message.h"

struct buf;
struct codec;
struct codec_comparison;
struct codec_exchange;
struct err;
struct segments; /* opaque */
struct spool;
struct spools;

#define SEGMENTS_MAX 64 /* long messages of one container */

/**
 * struct segments_request - A long request that is whole
 * @exchange:	Has read it
 * @bytes:	Its bytes
 */
struct segments_request {
	struct codec_exchange *exchange;
	struct spool *bytes;
};

/** parts_request_free() - Release it; @r may be NULL. Return: NULL, always */
struct segments_request *parts_request_free(struct segments_request *r);

/**
 * segments_new() - Create an empty one
 * @ret:	Set on success only; the caller owns it, see segments_free()
 * @spools:	Where bytes lie, borrowed
 * @codec:	Of the service, borrowed
 * @comparison:	Parts of its answers that are compared, borrowed; NULL: the codec's default
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int segments_new(struct segments **ret, struct spools *spools, const struct codec *codec,
		 const struct codec_comparison *comparison, struct err *err);

/** segments_free() - Forget everything; @p may be NULL. Return: NULL, always */
struct segments *segments_free(struct segments *p);

/** segments_clear() - A cut: nothing is here any more */
void segments_clear(struct segments *p);

/** segments_any() - Whether something is here that is not whole, or not yet asked for whole */
bool segments_any(const struct segments *p);

/**
 * segments_collect() - BEGIN or MORE: take the next segment of a request
 * @p:		Segments
 * @d:		The segment, without its preamble
 * @err:	Filled in on failure; the collected segments are forgotten
 *
 * BEGIN forgets what the connection began before.
 *
 * Return: 0, -EPROTO if this is no request of the codec, -ENOENT if MORE continues nothing, or
 * another negative error code if it cannot be kept
 */
int segments_collect(struct segments *p, const struct wire_data *d, struct err *err);

/**
 * segments_last() - LAST: take the end of a request
 * @p:		Segments
 * @ret:	Set on success only; the caller owns it, see parts_request_free()
 * @d, @err:	As for segments_collect()
 *
 * Return: as segments_collect(); -EPROTO also if it is not whole
 */
int segments_last(struct segments *p, struct segments_request **ret, const struct wire_data *d,
		  struct err *err);

/**
 * segments_keep() - Keep an answer to be asked for
 * @p:		Segments
 * @connection:	The user's
 * @number:	Of its request
 * @bytes:	Owned by @p from now on, also on failure
 * @from, @end:	The part of them that the user has not got yet
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int segments_keep(struct segments *p, uint32_t connection, uint64_t number, struct spool *bytes,
		  uint64_t from, uint64_t end, struct err *err);

/**
 * segments_rest() - REST: give the next segment of an answer
 * @p:		Segments
 * @d:		The request for it
 * @to:		Gets the bytes; none if there is no such answer
 * @more:	Set to whether more of it is left
 * @err:	Filled in on failure; the answer is forgotten
 *
 * Return: 0, or negative error code
 */
int segments_rest(struct segments *p, const struct wire_data *d, struct buf *to, bool *more,
		  struct err *err);

/** segments_forget() - Forget the request that a connection has begun, for one of its segments cannot be kept */
void segments_forget(struct segments *p, uint32_t connection);

/** segments_drop() - DROP: forget the message that the request names */
void segments_drop(struct segments *p, const struct wire_data *d);
