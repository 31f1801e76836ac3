/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/codec.h"

/*
 * Codec tcp - opaque bytes
 *
 * For services whose messages only their clients can distinguish. At the access point all bytes that a client
 * has sent so far are one request. At the edge server a request tells an event of a connection (enum
 * codec_stream), and es/gateway/streams.c handles it. Nothing can be compared, so such services move by
 * stop-and-copy (R6), and their open connections end at the cut.
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
