/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Answer cache - answers a MUD may still ask for again (R1)
 *
 * A request that was executed is never executed again; a retransmission is answered from here. A
 * MUD has at most WIRE_WINDOW requests unanswered and says in each request up to where it has all
 * answers, so WIRE_WINDOW answers are enough and none that is needed is ever evicted. The cache
 * travels with the session (R2), in this form, all numbers big-endian:
 *
 *   for each answer, lowest number first:
 *   u64 number, u64 digest, u32 status, u32 length, then length bytes
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "wire/message.h"

struct answer_cache;
struct buf;
struct err;

/** enum answer_cache_e - Positive results */
enum answer_cache_e {
	ANSWER_CACHE_E_ABSENT = 1, /* no answer with this number is held */
};

/** answer_cache_new() - Create an empty cache, owned by the caller. Return: 0, or -ENOMEM */
int answer_cache_new(struct answer_cache **ret, struct err *err);

/** answer_cache_free() - Release everything; @cache may be NULL. Return: NULL, always */
struct answer_cache *answer_cache_free(struct answer_cache *cache);

AUTO_DEFINE(answer_cache)

/**
 * answer_cache_put() - Store the answer of the request executed last
 * @cache:	Cache
 * @answer:	Number, higher than every one stored before, status (WIRE_OK, WIRE_OK_MORE,
 *		WIRE_E_IN_DOUBT or WIRE_E_PROTOCOL), digest, and bytes, which are copied
 * @err:	Filled in on failure
 *
 * Answers that are WIRE_WINDOW numbers older are forgotten: their MUD has them, or it could not have
 * sent this request.
 *
 * Return: 0, -EINVAL for an invalid answer or a number that is not higher, or -ENOMEM. An answer without bytes needs no
 * memory
 */
int answer_cache_put(struct answer_cache *cache, const struct wire_data *answer, struct err *err);

/**
 * answer_cache_get() - Look an answer up
 * @cache:	Cache
 * @number:	Number of the request
 * @ret:	Number, status, digest and bytes (borrowed until the cache is changed), set on success only
 *
 * Return: 0, or ANSWER_CACHE_E_ABSENT
 */
int answer_cache_get(const struct answer_cache *cache, uint64_t number, struct wire_data *ret);

/** answer_cache_trim() - Forget the answers up to and with number @ack */
void answer_cache_trim(struct answer_cache *cache, uint64_t ack);

/** answer_cache_count() - Answers held, at most WIRE_WINDOW */
size_t answer_cache_count(const struct answer_cache *cache);

/** answer_cache_bytes() - Bytes of the answers held */
size_t answer_cache_bytes(const struct answer_cache *cache);

/** answer_cache_highest() - Number of the newest answer held, 0 if none is */
uint64_t answer_cache_highest(const struct answer_cache *cache);

/** answer_cache_encode() - Append all answers to @out in the form above. Return: 0, or negative */
int answer_cache_encode(const struct answer_cache *cache, struct buf *out, struct err *err);

/**
 * answer_cache_decode() - Read a cache that came with a session
 * @ret:	Set on success only; owned by the caller
 * @bytes:	The form above, from another host: not trusted
 * @len:	Length of @bytes
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO if the bytes are not that form or break a limit, or -ENOMEM
 */
int answer_cache_decode(struct answer_cache **ret, const void *bytes, size_t len, struct err *err);
