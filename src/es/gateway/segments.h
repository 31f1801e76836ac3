/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Parts - long requests and answers of one container, as far as they are here (enum wire_part)
 *
 *	BEGIN, MORE ... --> collected, read by the codec as they come
 *	LAST --> whole: the container gets it (the gateway), and its answer is kept if it is long
 *	REST, REST ...  --> the kept answer, WIRE_PAYLOAD_MAX bytes each
 *	DROP            --> collected or kept, it is forgotten
 *
 * Each step depends on the requests' numbers alone, so that both containers of a migration do the
 * same. While any is here a cut waits (R12). At a cut nothing is left: what comes later for one
 * that was cut off finds nothing, and is in doubt.
 *
 * Beyond PARTS_MAX the oldest is forgotten; bytes are limited by those of all spools (R9).
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
struct parts; /* opaque */
struct spool;
struct spools;

#define PARTS_MAX 64 /* long messages of one container */

/**
 * struct parts_request - A long request that is whole
 * @exchange:	Has read it
 * @bytes:	Its bytes
 */
struct parts_request {
	struct codec_exchange *exchange;
	struct spool *bytes;
};

/** parts_request_free() - Release it; @r may be NULL. Return: NULL, always */
struct parts_request *parts_request_free(struct parts_request *r);

/**
 * parts_new() - Create an empty one
 * @ret:	Set on success only; the caller owns it, see parts_free()
 * @spools:	Where bytes lie, borrowed
 * @codec:	Of the service, borrowed
 * @comparison:	What of its answers is compared, borrowed; NULL: the codec's default
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int parts_new(struct parts **ret, struct spools *spools, const struct codec *codec,
	      const struct codec_comparison *comparison, struct err *err);

/** parts_free() - Forget everything; @p may be NULL. Return: NULL, always */
struct parts *parts_free(struct parts *p);

/** parts_clear() - A cut: nothing is here any more */
void parts_clear(struct parts *p);

/** parts_any() - Whether something is here that is not whole, or not yet asked for whole */
bool parts_any(const struct parts *p);

/**
 * parts_collect() - BEGIN or MORE: take the next part of a request
 * @p:		Parts
 * @d:		The part, without its preamble
 * @err:	Filled in on failure; what was collected is forgotten
 *
 * BEGIN forgets what the connection began before.
 *
 * Return: 0, -EPROTO if this is no request of the codec, -ENOENT if MORE continues nothing, or
 * another negative error code if it cannot be kept
 */
int parts_collect(struct parts *p, const struct wire_data *d, struct err *err);

/**
 * parts_last() - LAST: take the end of a request
 * @p:		Parts
 * @ret:	Set on success only; the caller owns it, see parts_request_free()
 * @d, @err:	As for parts_collect()
 *
 * Return: as parts_collect(); -EPROTO also if it is not whole
 */
int parts_last(struct parts *p, struct parts_request **ret, const struct wire_data *d,
	       struct err *err);

/**
 * parts_keep() - Keep an answer to be asked for
 * @p:		Parts
 * @connection:	The user's
 * @number:	Of its request
 * @bytes:	Owned by @p from now on, also on failure
 * @from, @end:	What of them has not been given to the user yet
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int parts_keep(struct parts *p, uint32_t connection, uint64_t number, struct spool *bytes,
	       uint64_t from, uint64_t end, struct err *err);

/**
 * parts_rest() - REST: give the next part of an answer
 * @p:		Parts
 * @d:		The request for it
 * @to:		Gets the bytes; none if there is no such answer
 * @more:	Set to whether more of it is left
 * @err:	Filled in on failure; the answer is forgotten
 *
 * Return: 0, or negative error code
 */
int parts_rest(struct parts *p, const struct wire_data *d, struct buf *to, bool *more,
	       struct err *err);

/** parts_drop() - DROP: forget what the request says */
void parts_drop(struct parts *p, const struct wire_data *d);
