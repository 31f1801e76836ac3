/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Request - a service request that is kept: by its user's session, a replay buffer, an edge server, a gateway
 *
 * All who keep it in one process hold the same object, so its bytes are copied once: when they come from a link, or
 * from an ordinary user's connection. Those who pass a request on as a struct wire_data name the object in @kept.
 * Each keeper takes a share with request_keep(). It never changes.
 *
 * One thread only: shares are counted without locks.
 */

#include <stddef.h>
#include <stdint.h>

#include "wire/message.h"

/**
 * struct request - One request
 * @shares:	Who keep it; the last one's request_free() releases it
 * @number, @preamble, @connection, @segment, @len: as in struct wire_data
 * @bytes:	payload
 */
struct request {
	uint32_t shares;
	uint64_t number;
	uint32_t preamble;
	uint32_t connection;
	enum wire_segment segment;
	size_t len;
	uint8_t bytes[];
};

/** request_new() - Copy @d as the request @number. Return: owned by the caller, NULL without memory */
struct request *request_new(const struct wire_data *d, uint64_t number);

/** request_keep() - Keep @d: a share of the object that it is part of, else a copy. Return: as request_new() */
struct request *request_keep(const struct wire_data *d);

/** request_share() - Another share. Return: @r */
struct request *request_share(struct request *r);

/** request_free() - Give a share up; @r may be NULL. Return: NULL, always */
struct request *request_free(struct request *r);

/** request_data() - To pass it on; @ack is the caller's to set. Return: bytes are borrowed from @r */
struct wire_data request_data(struct request *r);
