/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Offloading Request Generator - the requests of the emulated user (paper, Figure 2)
 *
 * It makes one request each interval, whether or not earlier ones were answered (open loop), so that a
 * slow service shows as long response times and not as a smaller load. A request that may not be sent
 * yet, because WIRE_WINDOW requests are unanswered, waits here and is sent as soon as it may.
 *
 * The payloads are those of service/offload.py. They follow from seed and number alone, so that a
 * reference execution can get the same ones.
 *
 *	{"seq":7,"work":"<hexadecimal text>"}		each request
 *	{"seq":8,"op":"verify"}				the last one, if wanted
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct generator; /* opaque */
struct uv_loop_s;

#define GENERATOR_REQUESTS_MAX 1000000
#define GENERATOR_WORK_MAX     4096 /* bytes of work in one request, as hexadecimal twice as many */
#define GENERATOR_PAYLOAD_MAX  (2 * GENERATOR_WORK_MAX + 64)

/**
 * struct generator_plan - Requests to send
 * @count:	Requests in all, 1 to GENERATOR_REQUESTS_MAX
 * @interval_ms: Time from one to the next; 0: as fast as answers allow
 * @work:	Bytes of work in each, at most GENERATOR_WORK_MAX
 * @seed:	Makes the work
 * @verify:	Whether the last request has the service verify its state
 */
struct generator_plan {
	uint64_t count;
	uint64_t interval_ms;
	size_t work;
	uint64_t seed;
	bool verify;
};

/**
 * generator_payload() - The payload of one request
 * @to:		GENERATOR_PAYLOAD_MAX bytes
 * @plan:	See struct generator_plan
 * @number:	1 to @plan->count
 *
 * Return: its length; a NUL follows
 */
size_t generator_payload(char *to, const struct generator_plan *plan, uint64_t number);

/**
 * generator_new() - Make a generator that does nothing yet
 * @ret:	Set on success only; the caller owns it, see generator_close()
 * @loop:	Event loop
 * @plan:	Requests to send; copied
 * @send:	Sends request @number: true if it went, false if it must wait
 * @ctx:	First argument of @send
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a plan outside the limits, or -ENOMEM
 */
int generator_new(struct generator **ret, struct uv_loop_s *loop, const struct generator_plan *plan,
		  bool (*send)(void *ctx, uint64_t number, const char *payload, size_t len),
		  void *ctx, struct err *err);

/** generator_start() - Send the first request now, then one each interval */
void generator_start(struct generator *g);

/** generator_resume() - An answer came: requests that wait may be sent */
void generator_resume(struct generator *g);

/** generator_sent() - Requests sent */
uint64_t generator_sent(const struct generator *g);

/** generator_waited() - Requests that were due and had to wait */
uint64_t generator_waited(const struct generator *g);

/** generator_done() - Whether all were sent */
bool generator_done(const struct generator *g);

/** generator_close() - Stop and release, when the event loop has closed its timer; @g may be NULL */
void generator_close(struct generator *g);
