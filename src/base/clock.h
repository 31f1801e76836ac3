/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/** realtime_us() - The clock that hosts have in common. Return: microseconds since 1970, UTC */
uint64_t realtime_us(void);

/** monotonic_us() - Time since some point in the past, for durations. Return: microseconds */
uint64_t monotonic_us(void);
