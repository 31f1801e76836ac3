/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the fuzzers share: rules that must hold, and an input that comes piece by piece
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

struct err;

/** require() - A rule: the fuzzer ends with a report if it does not hold */
static inline void require(int holds)
{
	if (!holds)
		abort();
}

/** struct input - What is left of an input; @piece: most bytes of it at once */
struct input {
	const uint8_t *at;
	size_t left;
	size_t piece;
};

/** input_give() - The next piece, as archive_source wants it */
static inline ssize_t input_give(void *ctx, const void **bytes, struct err *err)
{
	struct input *in = ctx;
	size_t n = in->left < in->piece ? in->left : in->piece;

	(void)err;
	*bytes = in->at;
	in->at += n;
	in->left -= n;
	return (ssize_t)n;
}
