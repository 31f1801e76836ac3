/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "codec/codec.h"

/*
 * Codec line - a message is everything up to and with a newline, both ways
 */

static enum codec_result line_message(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	const uint8_t *newline = len ? memchr(bytes, '\n', len) : NULL;

	if (x->result == CODEC_DONE) /* of an earlier piece; this one is beyond it */
		return CODEC_DONE;
	if (!newline)
		return CODEC_MORE;
	x->end = x->seen + (size_t)(newline - bytes) + 1;
	return CODEC_DONE;
}

const struct codec codec_line = {
	.name = "line",
	.request = line_message,
	.answer = line_message,
};
