/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/inflate.h"

#include <stdbool.h>
#include <zstd.h>

#include "base/err.h"

/**
 * struct inflate - A frame being unpacked
 * @in:		borrowed from the source until it is called again
 * @room:	bytes that may still come out
 * @frame_ended, @ended: the frame, the source
 */
struct inflate {
	archive_source source;
	void *ctx;
	ZSTD_DCtx *zstd;
	ZSTD_inBuffer in;
	uint8_t *plain;
	size_t plain_size;
	uint64_t room;
	bool frame_ended;
	bool ended;
};

int inflate_new(struct inflate **ret, archive_source source, void *ctx, uint64_t max_bytes,
		struct err *err)
{
	AUTO(inflate) struct inflate *in = calloc(1, sizeof(*in));
	if (!in)
		return err_set(err, -ENOMEM, "unpack a stream");
	in->source = source;
	in->ctx = ctx;
	in->room = max_bytes;
	in->plain_size = ZSTD_DStreamOutSize();
	in->plain = malloc(in->plain_size);
	in->zstd = ZSTD_createDCtx();
	if (!in->plain || !in->zstd)
		return err_set(err, -ENOMEM, "unpack a stream");
	(void)ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG_MAX);
	*ret = TAKE_PTR(in);
	return 0;
}

struct inflate *inflate_free(struct inflate *in)
{
	if (in) {
		(void)ZSTD_freeDCtx(in->zstd);
		free(in->plain);
		free(in);
	}
	return NULL;
}

/**
 * packed_read() - Have packed bytes, unless the source has ended
 *
 * Return: 0, or negative error code
 */
static int packed_read(struct inflate *in, struct err *err)
{
	const void *bytes;
	ssize_t n;

	if (in->in.pos < in->in.size || in->ended)
		return 0;
	n = in->source(in->ctx, &bytes, err);
	if (n < 0)
		return (int)n;
	in->ended = n == 0;
	in->in = (ZSTD_inBuffer){ .src = bytes, .size = (size_t)n };
	return 0;
}

ssize_t inflate_give(void *ctx, const void **bytes, struct err *err)
{
	struct inflate *in = ctx;

	for (;;) {
		ZSTD_outBuffer out = { .dst = in->plain, .size = in->plain_size };
		int r = packed_read(in, err);

		if (r < 0)
			return r;
		if (in->ended)
			return in->frame_ended
				       ? 0
				       : err_set(err, -EPROTO, "the stream ends in the middle");
		if (in->frame_ended)
			return err_set(err, -EPROTO, "the stream goes on after its end");
		size_t left = ZSTD_decompressStream(in->zstd, &out, &in->in);
		if (ZSTD_isError(left))
			return err_set(err, -EPROTO, "decompress: %s", ZSTD_getErrorName(left));
		in->frame_ended = left == 0;
		if (out.pos > in->room)
			return err_set(err, -EFBIG, "the stream has more bytes than it may");
		in->room -= out.pos;
		if (out.pos) {
			*bytes = in->plain;
			return (ssize_t)out.pos;
		}
	}
}
