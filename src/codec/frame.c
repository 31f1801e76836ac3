/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "codec/codec.h"
#include "wire/message.h"

/*
 * Codec frame - 4 bytes length, big-endian, then so many bytes of payload, both ways
 */

#define LENGTH_SIZE 4

static_assert(LENGTH_SIZE <= CODEC_PREFIX_MAX, "room for the length");

struct frame {
	uint8_t head[LENGTH_SIZE];
};

static void frame_start(struct codec_exchange *x)
{
	x->from = LENGTH_SIZE;
}

static enum codec_result frame_message(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	struct frame *f = (struct frame *)x->state;
	size_t have = x->seen + len;

	for (size_t i = 0; i < len && x->seen + i < LENGTH_SIZE; i++)
		f->head[x->seen + i] = bytes[i];
	if (have < LENGTH_SIZE)
		return CODEC_MORE;
	uint32_t length = get_be32(f->head);
	if (length > WIRE_PAYLOAD_MAX)
		return codec_refuse(x, CODEC_TOO_LONG, "a frame of %u bytes, the limit is %u",
				    length, WIRE_PAYLOAD_MAX);
	if (have < LENGTH_SIZE + (size_t)length)
		return CODEC_MORE;
	x->end = LENGTH_SIZE + (size_t)length;
	return CODEC_DONE;
}

const struct codec codec_frame = {
	.name = "frame",
	.prefix = LENGTH_SIZE,
	.state_size = sizeof(struct frame),
	.start = frame_start,
	.request = frame_message,
	.answer = frame_message,
};
