/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Connection - state that a user has set on its connection to a service
 *
 * A service may remember things for a connection: the database that was chosen, who the user is, the
 * commands of a transaction. The edge server's own connection into the container ends whenever the
 * container moves, while the user's stays. So each request that came by a user's own connection
 * carries a preamble: the requests that gave its connection the present state. A gateway that has to
 * open a connection sends these first, and drops their answers.
 *
 *	codec_connection_preamble()	preamble of request n
 *	codec_connection_sent()		request n goes out
 *	codec_connection_answered()	its answer is here: did it take effect?
 *	codec_connection_settling()	nothing may be sent before an answer is here
 *
 * Pure, like the codecs. Without effects (see enum codec_effect) a connection stays empty.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct codec_connection;
struct codec_exchange;
struct err;

/** codec_connection_new() - Create a fresh connection. Return: 0, or -ENOMEM */
int codec_connection_new(struct codec_connection **ret, struct err *err);

/** codec_connection_free() - Release it; @c may be NULL. Return: NULL, always */
struct codec_connection *codec_connection_free(struct codec_connection *c);

AUTO_DEFINE(codec_connection)

/**
 * codec_connection_preamble() - Requests that give a new connection the state of this one
 * @c:		Connection
 * @len:	Set to its length, at most WIRE_PREAMBLE_MAX
 *
 * Return: the bytes, whole requests of the codec; borrowed until the next call with @c
 */
const void *codec_connection_preamble(const struct codec_connection *c, size_t *len);

/**
 * codec_connection_sent() - A request goes out by this connection
 * @c:		Connection
 * @x:		Exchange that has read the request (CODEC_DONE), with @own set
 * @number:	Of the request; higher than those before
 * @bytes:	The request, copied if it is to be remembered
 * @len:	Its length
 * @err:	Filled in on failure
 *
 * Return: 0, -E2BIG if more would have to be remembered than WIRE_PREAMBLE_MAX: then it must not
 * go out, -EBUSY if an answer must come first (codec_connection_settling()), or -ENOMEM
 */
int codec_connection_sent(struct codec_connection *c, const struct codec_exchange *x,
			  uint64_t number, const void *bytes, size_t len, struct err *err);

/** codec_connection_answered() - The answer to request @number; one that failed has no effect */
void codec_connection_answered(struct codec_connection *c, uint64_t number, const void *bytes,
			       size_t len);

/**
 * codec_connection_settling() - Whether an answer must come before anything more may be sent
 *
 * A transaction that sets something has been closed. Its settings count for the next request only if it was
 * executed; a wrong guess might send that request to another database.
 *
 * Return: whether codec_connection_sent() would say -EBUSY
 */
bool codec_connection_settling(const struct codec_connection *c);

/** codec_connection_open() - Whether a transaction is open: the service queues commands on the connection */
bool codec_connection_open(const struct codec_connection *c);
