/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * between() - Whether a number lies in a range
 *
 * cmocka has renamed its own assertion of this, and calls the old name deprecated.
 */

#include <stdbool.h>
#include <stdint.h>

static inline bool between(uint64_t number, uint64_t lowest, uint64_t highest)
{
	return lowest <= number && number <= highest;
}
