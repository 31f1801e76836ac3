/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/incoming_budget.h"

#include "net/tls_stream.h"
#include "wire/codec.h"

#define MINUTE_MS 60000u
#define MESSAGE   (WIRE_CUT_MAX + (64u << 10)) /* any one message, and what frames it */
#define OFFER     (1u << 20)                   /* a plan has half of that at most */
#define PROBE     (4u << 20)

/**
 * struct allowance - Budget of a state
 * @name:	for messages
 * @ms:		time, see struct tls_stream_budget
 * @bytes:	most bytes; 0: those of a transfer
 */
struct allowance {
	const char *name;
	uint64_t ms;
	uint64_t bytes;
};

static const struct allowance allowances[] = {
	[INCOMING_OFFER] = { "offer", INCOMING_HELLO_MS, OFFER },
	[INCOMING_PROBE] = { "measuring the link", MINUTE_MS / 2, PROBE },
	[INCOMING_AHEAD] = { "layer ahead", 10 * MINUTE_MS, 0 },
	[INCOMING_IMAGE] = { "image", 30 * MINUTE_MS, 0 },
	[INCOMING_MEMORY] = { "memory ahead", 10 * MINUTE_MS, 0 },
	[INCOMING_CUT] = { "cut", 5 * MINUTE_MS, MESSAGE },
	[INCOMING_CHUNKS] = { "memory and layer", 30 * MINUTE_MS, 0 },
	[INCOMING_REST] = { "rest", MINUTE_MS / 10, 0 },
};

size_t incoming_share(size_t slots)
{
	size_t share = (3 * slots + 3) / 4;

	return slots > 1 && share == slots ? slots - 1 : share;
}

void incoming_enter(struct tls_stream *stream, enum incoming_state state, uint64_t max_bytes)
{
	const struct allowance *a = &allowances[state];
	struct tls_stream_budget budget = {
		.name = a->name,
		.ms = a->ms,
		.rate = INCOMING_RATE,
		.bytes = a->bytes,
	};

	/* Incompressible bytes grow a little, and so do bytes cut into frames. */
	if (!a->bytes && (__builtin_add_overflow(max_bytes, max_bytes / 8, &budget.bytes) ||
			  __builtin_add_overflow(budget.bytes, MESSAGE, &budget.bytes)))
		budget.bytes = UINT64_MAX;
	tls_stream_set_budget(stream, &budget);
}
