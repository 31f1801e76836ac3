/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/codec.h"

/*
 * Codec tcp - opaque bytes
 *
 * For services whose messages nobody but their clients can tell apart. At the access point whatever a
 * client has sent is one request; at the edge server requests say what happens to a connection (enum
 * codec_stream), and are dealt with by es/gateway/streams.c. Nothing can be compared, so such services move by
 * holding (R6), and their open connections end at the cut.
 */

static enum codec_result tcp_request(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	(void)bytes;
	x->end = x->seen + len;
	return CODEC_DONE;
}

static enum codec_result tcp_answer(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	return codec_refuse(x, CODEC_BROKEN, "answers of codec tcp have no bytes");
}

const struct codec codec_tcp = {
	.name = "tcp",
	.stream = true,
	.request = tcp_request,
	.answer = tcp_answer,
};
