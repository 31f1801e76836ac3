/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/codec.h"

/*
 * Codec udp - a message is one datagram, both ways; an empty one is a message, too
 */

static enum codec_result udp_message(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	(void)bytes;
	if (len > CODEC_DATAGRAM_MAX)
		return codec_refuse(x, CODEC_TOO_LONG,
				    "%zu bytes do not fit into a datagram, the limit is %d", len,
				    CODEC_DATAGRAM_MAX);
	x->end = x->seen + len;
	return CODEC_DONE;
}

const struct codec codec_udp = {
	.name = "udp",
	.datagram = true,
	.request = udp_message,
	.answer = udp_message,
};
