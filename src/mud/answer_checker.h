/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Answer Checker - whether the answers tell of one history without loss, doubling or disorder
 *
 * An answer of service/offload.py carries the number of its request, how many requests the service
 * has executed, and a chain: SHA-256 over the chain before and the request, which begins with
 * SHA-256 of the service's seed. The checker computes the same chain from the requests as they
 * are sent, so that each answer shows whether all requests before it were executed once and in
 * order (R1).
 *
 * Answers may arrive in any order; they are judged in the order of their numbers. One whose number
 * comes before an answer that is already here is "late": that concerns the network, not the
 * execution.
 *
 *	lost		no answer, or outcome unknown, or its effect is gone from a later answer
 *	duplicated	executions there were too many
 *	reordered	executed after a request with a higher number
 *	wrong		answers of another kind: not for this request, an error, another chain
 *
 * A client that gives requests up (mud/direct_client.h) may leave gaps. The checker then follows the
 * service's state from answer to answer. The state in an answer is good if it follows from the state in
 * the answer before, by execution of some requests that were given up in between and then of this one,
 * each once and in order. On each connection these are the first ones, for a connection keeps their
 * order. If the state follows in the same way from the state at the beginning, the service has begun
 * anew.
 *
 *	lost		requests given up, or without an answer at the end
 *	restarted	times the service had lost its state and begun anew
 *	wrong		as above, and answers that show any other state
 *
 * chain_ok is false once anything was restarted or wrong; the service's state in that answer is the
 * basis for all later ones.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "wire/message.h"

struct answer_checker; /* opaque */
struct err;

/**
 * struct answer_verdict - One answer
 * @status:	As it came; WIRE_E_FAILED if there was none
 * @valid:	It is an answer of the service to this very request
 * @executed:	Requests executed, as it says; 0 if it does not
 * @in_order:	No answer to a later request came before it
 * @chain_ok:	Its chain is the one computed here
 * @restarted:	It shows that the service has begun anew
 * @state_ok:	false if it says that the service found its state damaged ("verify")
 */
struct answer_verdict {
	enum wire_status status;
	bool valid;
	uint64_t executed;
	bool in_order;
	bool chain_ok;
	bool restarted;
	bool state_ok;
};

/** struct answer_totals - All answers judged so far */
struct answer_totals {
	uint64_t requests;
	uint64_t answered;
	uint64_t lost;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t wrong;
	uint64_t restarted;
	uint64_t late;
	bool chain_ok;
	bool state_ok;
};

/**
 * answer_checker_new() - Begin with a service that has executed nothing
 * @ret:	Set on success only; owned by the caller
 * @seed:	Seed of the service ("baton" unless it is told otherwise)
 * @gaps:	The client may give requests up, see above; else answer_checker_given_up() is not
 *		to be called
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int answer_checker_new(struct answer_checker **ret, const char *seed, bool gaps, struct err *err);

/** answer_checker_free() - Release it; @ac may be NULL. Return: NULL, always */
struct answer_checker *answer_checker_free(struct answer_checker *ac);

AUTO_DEFINE(answer_checker)

/**
 * answer_checker_request() - A request was sent
 * @ac:		Checker
 * @number:	1, 2, 3 ...; at most WIRE_WINDOW above the last one judged
 * @bytes:	Payload, borrowed for the call
 * @len:	Its length
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for another number, or -EIO if no digest can be made
 */
int answer_checker_request(struct answer_checker *ac, uint64_t number, const void *bytes,
			   size_t len, struct err *err);

/**
 * answer_checker_answer() - An answer is here
 * @ac:		Checker
 * @answer:	Answer to a request that was sent; each number once
 * @verdict:	Verdict on it alone; answer_checker_totals() gives the totals
 */
void answer_checker_answer(struct answer_checker *ac, const struct wire_data *answer,
			   struct answer_verdict *verdict);

/**
 * answer_checker_given_up() - A request has no answer and will have none
 * @ac:		Checker
 * @number:	Number; outcomes, this and answers, come in the order of numbers
 * @connection:	Connection it was sent on, 0 if it was not sent: then it was not executed
 *
 * Of more than STATE_FOLLOWER_DOUBTS_MAX (mud/state_follower.h) sent and given up in a row, the
 * later ones are taken as not executed.
 */
void answer_checker_given_up(struct answer_checker *ac, uint64_t number, uint32_t connection);

/** answer_checker_end() - No more answers will come: those that are missing are lost */
void answer_checker_end(struct answer_checker *ac);

/** answer_checker_totals() - Outcome so far */
struct answer_totals answer_checker_totals(const struct answer_checker *ac);

/**
 * answer_totals_good() - Nothing lost, duplicated, reordered or wrong, state and chain as computed
 *
 * Return: whether all of that is so
 */
bool answer_totals_good(const struct answer_totals *t);
