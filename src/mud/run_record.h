/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Run record - files that a run of the emulated user writes, in a directory
 *
 *	requests.txt	payload of each request, one a line; service/offload.py --reference reads it
 *	answers.txt	answer to each request, one a line, in the order of the requests; a line is
 *			empty if there was none
 *	responses.csv	number, sent_us, answered_us (UTC), response_ms, ap (at sending), status
 *			("ok", "lost", or the name of a wire status), executed, in_order (0 or 1).
 *			A device that goes straight to the service: sent_us is when it was due
 *	mud.json	summary; see run_record_finish()
 *
 * Lines are written in the order of the requests, as soon as all before them are known.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "mud/answer_checker.h"
#include "wire/message.h"

struct err;
struct run_record; /* opaque */

/** struct run_move - A handoff; times are UTC microseconds, @associated_us 0 if it never was */
struct run_move {
	char ap[NAME_SIZE];
	uint64_t after_request;
	uint64_t moved_us;
	uint64_t associated_us;
};

/**
 * struct run_summary - Content of mud.json besides response times
 * @node:	Name of the device
 * @session:	Its session
 * @service:	Service asked for
 * @totals:	From the answer checker
 * @waited:	Requests that were held back because too many were unanswered
 * @lost_reason: Why the session was lost; empty if it was not
 * @move:	Handoffs, the first association being the first entry
 * @moves:	How many
 * @seed:	Seed of the requests, and of the way if it is a random one
 * @movement:	How the device moves, one line
 * @direct:	Whether the device went straight to the service
 * @patience_ms: Then: how long a request waited for a connection
 */
struct run_summary {
	const char *node;
	uint64_t session;
	const char *service;
	struct answer_totals totals;
	uint64_t waited;
	const char *lost_reason;
	const struct run_move *move;
	size_t moves;
	uint64_t seed;
	const char *movement;
	bool direct;
	uint64_t patience_ms;
};

/** struct run_times - Response times in milliseconds, of the answered requests */
struct run_times {
	double mean;
	double p50;
	double p99;
	double max;
};

/**
 * run_record_new() - Begin a record
 * @ret:	Set on success only; owned by the caller, see run_record_free()
 * @dir:	Directory, made if it is missing; files of an earlier run are replaced. NULL: nothing
 *		is written, response times are kept all the same
 * @requests_max: Requests there can be
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int run_record_new(struct run_record **ret, const char *dir, uint64_t requests_max,
		   struct err *err);

/** run_record_request() - Request @number, the next one, was sent at access point @ap */
void run_record_request(struct run_record *rr, uint64_t number, const char *payload, size_t len,
			const char *ap);

/** run_record_answer() - Request @answer->number was answered, with this verdict */
void run_record_answer(struct run_record *rr, const struct wire_data *answer,
		       const struct answer_verdict *v);

/** run_record_given_up() - Request @number will have no answer: it is lost */
void run_record_given_up(struct run_record *rr, uint64_t number);

/** run_record_last_ms() - Response time of the answer that came last */
double run_record_last_ms(const struct run_record *rr);

/**
 * run_record_finish() - Write the rest and mud.json
 * @rr:		Record
 * @s:		Summary; mud.json has its members by name ("way": "baton" or "direct"), "moves" as a
 *		list, and "response_ms" with mean, p50, p99 and max
 * @times:	Set to the response times
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code if anything could not be written since the beginning
 */
int run_record_finish(struct run_record *rr, const struct run_summary *s, struct run_times *times,
		      struct err *err);

/** run_record_free() - Close and release; @rr may be NULL. Return: NULL, always */
struct run_record *run_record_free(struct run_record *rr);

AUTO_DEFINE(run_record)
