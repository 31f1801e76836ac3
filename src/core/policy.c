/* SPDX-License-Identifier: Apache-2.0 */
#include "core/policy.h"

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
		.compare = true,
	};
}
