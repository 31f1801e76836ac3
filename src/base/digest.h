/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Digest - 64 bits that tell whether two byte strings are equal
 *
 * It is FNV-1a: it finds accidents, not attacks.
 */

#include <stddef.h>
#include <stdint.h>

#define DIGEST_START 14695981039346656037ull

/** digest_add() - Extend @digest by @len further bytes. Return: the new digest */
static inline uint64_t digest_add(uint64_t digest, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		digest = (digest ^ at[i]) * 1099511628211ull;
	return digest;
}
