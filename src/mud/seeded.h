/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Seeded numbers - the same everywhere for the same seed, so that runs repeat; nothing is secret
 */

#include <math.h>
#include <stdint.h>

/** seeded_next() - Next of a well mixed sequence (splitmix64: Steele, Lea, Flood 2014) */
static inline uint64_t seeded_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/** seeded_uniform() - Next number of [0, 1) */
static inline double seeded_uniform(uint64_t *state)
{
	return (double)(seeded_next(state) >> 11) * 0x1p-53;
}

/** seeded_normal() - Next number of the normal distribution, mean 0, variance 1 (Box, Muller 1958) */
static inline double seeded_normal(uint64_t *state)
{
	double u = 1.0 - seeded_uniform(state); /* of (0, 1]: its logarithm is finite */
	double v = seeded_uniform(state);

	return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}
