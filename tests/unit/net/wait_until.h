/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Waiting in tests - run an event loop until something is the case
 */

#include <stdbool.h>
#include <uv.h>

/** wait_until_late() - Timer of wait_until_in(): its data is a flag, which it sets */
static inline void wait_until_late(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/**
 * wait_until_in() - Run @loop until @condition holds; the test fails if that takes more than @limit_ms
 *
 * The condition is in the message of the failure, so this is a macro.
 */
#define wait_until_in(loop, limit_ms, condition)                                                   \
	do {                                                                                       \
		bool late_ = false;                                                                \
		uv_timer_t limit_;                                                                 \
		uv_timer_init((loop), &limit_);                                                    \
		limit_.data = &late_;                                                              \
		uv_timer_start(&limit_, wait_until_late, (limit_ms), 0);                           \
		while (!(condition) && !late_)                                                     \
			uv_run((loop), UV_RUN_ONCE);                                               \
		uv_close((uv_handle_t *)&limit_, NULL);                                            \
		uv_run((loop), UV_RUN_NOWAIT);                                                     \
		if (late_)                                                                         \
			fail_msg("never came: %s", #condition);                                    \
	} while (0)
