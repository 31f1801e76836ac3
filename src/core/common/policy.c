/* SPDX-License-Identifier: Apache-2.0 */
#include "core/common/policy.h"

#include <assert.h>

#include "wire/message.h"

static_assert(WIRE_PROOF_SIZE == WIRE_SECRET_SIZE, "proof_equal() compares both");

bool proof_equal(const uint8_t *a, const uint8_t *b)
{
	unsigned int difference = 0;

	for (size_t i = 0; i < WIRE_PROOF_SIZE; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

uint32_t policy_device_share(const struct policy *p)
{
	uint32_t share = p->sessions_max / 8;
	uint32_t least = p->sessions_max < 4 ? p->sessions_max : 4;

	return share > least ? share : least;
}

uint32_t policy_ap_share(const struct policy *p)
{
	return p->sessions_max < 8 ? p->sessions_max : p->sessions_max - p->sessions_max / 4;
}

struct policy policy_default(void)
{
	return (struct policy){
		.sessions_max = 1024,
		.copies_max = 16384,
		.copies_bytes_max = 64u << 20,
		.retry_ms = 500,
		.associate_ms = 60000,
		.move_ms = 3000,
		.catch_up_ms = 5000,
		.grace_ms = 2000,
		.backoff_ms = 1000,
		.backoff_max_ms = 30000,
		.drain_ms = 2000,
		.standby_ms = 60000,
		.idle_ms = 600000,
		.keep_ms = 7ull * 24 * 3600 * 1000,
		.write_ms = 10000,
		.compare = true,
	};
}
