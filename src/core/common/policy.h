/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Policy - every limit and every wait of the session protocol (R9), in one place
 *
 * Times are milliseconds. The daemons fill it from their configuration, the simulator with small
 * values. policy_default() gives the values that the documentation states.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct policy - Limits and waits
 * @sessions_max:	sessions a node keeps, ended ones it still remembers included
 * @copies_max:		requests in one replay buffer
 * @copies_bytes_max:	bytes of requests and withheld answers in one replay buffer
 * @retry_ms:		a command without its answer is sent again after this time
 * @associate_ms:	a container must have started within this time
 * @move_ms:		wait for the old access point's context before asking edge servers
 * @catch_up_ms:	replay that has not caught up by then ends in holding new requests (R9)
 * @grace_ms:		CT-x is kept this long after the switch (R3)
 * @backoff_ms:		pause before a failed migration, or start of a container, is tried again; doubles
 *			each time
 * @backoff_max_ms:	longest such pause
 * @drain_ms:		wait for the idle instant of a cut (R12)
 * @standby_ms:		a copy that no access point asks for is dropped after this time
 * @idle_ms:		the trace of a session that is elsewhere ends after this time without a question for it;
 *			likewise one that has executed nothing, and a session at an access point whose
 *			device is not connected
 * @keep_ms:		a session that no access point asks for is ended after this time, with its container
 *			and its data; 0: never
 * @write_ms:		a user whose request waits that long because an edge server cannot write is told so,
 *			and again each time
 * @request_events:	each request and each answer is an event (SVCQ, SVCR)
 * @compare:		the answers of both containers must agree before authority moves (R5); without
 *			it a copy counts as in sync when it has executed all
 */
struct policy {
	uint32_t sessions_max;
	uint32_t copies_max;
	size_t copies_bytes_max;
	uint64_t retry_ms;
	uint64_t associate_ms;
	uint64_t move_ms;
	uint64_t catch_up_ms;
	uint64_t grace_ms;
	uint64_t backoff_ms;
	uint64_t backoff_max_ms;
	uint64_t drain_ms;
	uint64_t standby_ms;
	uint64_t idle_ms;
	uint64_t keep_ms;
	uint64_t write_ms;
	bool request_events;
	bool compare;
};

/**
 * policy_device_share() - Most sessions of one device, or ordinary user, at a node
 * @p:		Policy
 *
 * Further ones are refused as busy, with the share in the reason, so that others find room (R9).
 *
 * Return: an eighth of @p->sessions_max, but at least 4, and never more than all
 */
uint32_t policy_device_share(const struct policy *p);

/**
 * policy_ap_share() - Most sessions at an edge server of which one access point is in charge
 * @p:		Policy
 *
 * Return: three quarters of @p->sessions_max; all, if there are fewer than 8
 */
uint32_t policy_ap_share(const struct policy *p);

/** policy_default() - The documented values. Return: the structure by value */
struct policy policy_default(void);

/**
 * proof_fn - Compute the proof that a MUD is at @ap with its association number @association
 * @proof:	WIRE_PROOF_SIZE bytes, written
 * @secret:	WIRE_SECRET_SIZE bytes, of the session
 *
 * The daemons give HMAC-SHA256, the simulator a small mixing function: the core itself needs no
 * outside library (R11).
 */
typedef void (*proof_fn)(uint8_t *proof, const uint8_t *secret, uint64_t session,
			 uint32_t association, const char *ap);

/**
 * proof_equal() - Whether two proofs, or two secrets, are the same
 * @a:	WIRE_PROOF_SIZE bytes; WIRE_SECRET_SIZE is as many
 * @b:	likewise
 *
 * The time that it takes tells nothing about how much of a guess was right.
 *
 * Return: true if all bytes are equal
 */
bool proof_equal(const uint8_t *a, const uint8_t *b);
