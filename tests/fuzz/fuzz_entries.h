/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

/**
 * fuzz_entries() - Make a file of entries (es/system/entry.h) of an input
 * @to:		Empty
 * @magic:	The 8 bytes before them
 * @data, @size:	The input. The first byte says how the rest is read. Even: the file as it is. Odd: entries, each
 *		a byte of kind, two of length and a body, to which the sums are made here: no fuzzer guesses those
 */
void fuzz_entries(struct buf *to, const char *magic, const uint8_t *data, size_t size);
