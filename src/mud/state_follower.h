/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * State follower - finds out which requests in doubt a service has executed
 *
 * The service keeps a chain, SHA-256 over the chain before and the request, and counts the requests that
 * it executes; each answer shows both. Between two answers there may be requests in doubt: sent, and
 * given up. On one connection the service executed the first ones of them, none or all, since a
 * connection keeps their order. The follower looks for the choice that leads from the state before to
 * the state in an answer; the count says how many it must be. See answer_checker.h.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "net/crypto.h"

struct err;
struct state_follower; /* opaque */

#define STATE_FOLLOWER_DOUBTS_MAX 4096  /* requests in doubt that are kept; the first ones */
#define STATE_FOLLOWER_STEPS_MAX  65536 /* digests made in the search for one answer */

/** enum state_follower_e - State in an answer */
enum state_follower_e {
	STATE_FOLLOWER_GOES_ON,   /* the state before, and requests sent since */
	STATE_FOLLOWER_RESTARTED, /* the state at the beginning, and requests sent since */
	STATE_FOLLOWER_OTHER,     /* none of these, or not found within the limits */
};

/** struct state_follower_request - A request; its bytes are borrowed for the call */
struct state_follower_request {
	const void *bytes;
	size_t len;
};

/**
 * state_follower_new() - Begin with a service that has executed nothing
 * @ret:	Set on success only; owned by the caller
 * @chain:	Its chain then
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int state_follower_new(struct state_follower **ret, const uint8_t chain[CRYPTO_SHA256_SIZE],
		       struct err *err);

/** state_follower_free() - Release it; @f may be NULL. Return: NULL, always */
struct state_follower *state_follower_free(struct state_follower *f);

AUTO_DEFINE(state_follower)

/** state_follower_doubt() - A request was sent on @connection and given up; not kept at the limit */
void state_follower_doubt(struct state_follower *f, const struct state_follower_request *request,
			  uint32_t connection);

/**
 * state_follower_answer() - A request was answered
 * @f:		Follower; continues from the state in the answer in every case
 * @request:	Request
 * @executed:	Requests executed, as the answer says
 * @chain:	Chain, as the answer says
 *
 * Return: relation of that state to the requests
 */
enum state_follower_e state_follower_answer(struct state_follower *f,
					    const struct state_follower_request *request,
					    uint64_t executed,
					    const uint8_t chain[CRYPTO_SHA256_SIZE]);
