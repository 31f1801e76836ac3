/* SPDX-License-Identifier: Apache-2.0 */
#include "es/transfer.h"

#include <string.h>
#include <zstd.h>

#include "base/err.h"
#include "es/process.h"
#include "net/crypto.h"
#include "net/tls_stream.h"

#define WINDOW_LOG_MAX 27 /* memory a sender can make us take: 128 MiB */

/** struct sender - A stream on its way out */
struct sender {
	struct tls_stream *stream;
	const struct wire_message *header;
	struct crypto_sha256 *digest;
	ZSTD_CCtx *zstd;
	uint8_t *piece;
	size_t used;
	uint64_t bytes;
	int cancel_fd;
};

/** piece_send() - Send what is in the piece */
static int piece_send(struct sender *out, struct err *err)
{
	struct wire_message m = { .type = WIRE_TRANSFER_CHUNK,
				  .session = out->header->session,
				  .association = out->header->association,
				  .epoch = out->header->epoch };
	int r;

	if (!out->used)
		return 0;
	m.text.bytes = out->piece;
	m.text.len = out->used;
	r = crypto_sha256_update(out->digest, out->piece, out->used);
	if (r < 0)
		return err_set(err, r, "digest of the stream");
	r = tls_stream_send_message(out->stream, &m, err);
	out->bytes += out->used;
	out->used = 0;
	return r;
}

/** compress() - Put bytes through zstd, sending every piece that is full */
static int compress(struct sender *out, const void *bytes, size_t len, ZSTD_EndDirective end,
		    struct err *err)
{
	ZSTD_inBuffer in = { .src = bytes, .size = len };
	size_t left;

	do {
		ZSTD_outBuffer to = { .dst = out->piece, .size = TRANSFER_PIECE, .pos = out->used };

		left = ZSTD_compressStream2(out->zstd, &to, &in, end);
		if (ZSTD_isError(left))
			return err_set(err, -EIO, "compress: %s", ZSTD_getErrorName(left));
		out->used = to.pos;
		if (out->used == TRANSFER_PIECE) {
			int r = piece_send(out, err);

			if (r < 0)
				return r;
		}
	} while (in.pos < in.size || (end != ZSTD_e_continue && left));
	return 0;
}

/* The archive's next bytes. */
static int sender_take(void *ctx, const void *bytes, size_t len, struct err *err)
{
	return compress(ctx, bytes, len, ZSTD_e_continue, err);
}

/** sender_flush() - Bring out all that went in so far */
static int sender_flush(struct sender *out, ZSTD_EndDirective end, struct err *err)
{
	int r = compress(out, NULL, 0, end, err);

	return r < 0 ? r : piece_send(out, err);
}

/** trees_send() - The archive of all trees */
static int trees_send(struct sender *out, struct transfer_tree *trees, size_t count,
		      struct archive_sent *sent, struct err *err)
{
	AUTO(archive_writer) struct archive_writer *archive = NULL;
	int r = archive_writer_new(&archive, sender_take, out, err);

	if (r == 0 && sent)
		archive_writer_remember(archive, sent);
	for (size_t i = 0; i < count && r == 0; i++) {
		uint64_t before = out->bytes;

		r = archive_writer_add(archive, trees[i].dirfd, trees[i].root, out->cancel_fd, err);
		/* Flushed so that the bytes of each tree can be told apart; costs a few bytes. */
		if (r == 0)
			r = sender_flush(out, ZSTD_e_flush, err);
		trees[i].sent = out->bytes - before;
		if (r == 0 && trees[i].done)
			trees[i].done(trees[i].ctx, &trees[i]);
	}
	if (r == 0)
		r = archive_writer_end(archive, err);
	if (r == 0)
		r = sender_flush(out, ZSTD_e_end, err);
	return r;
}

/** end_send() - Say that this was all */
static int end_send(struct sender *out, struct err *err)
{
	struct wire_message m = { .type = WIRE_TRANSFER_END,
				  .session = out->header->session,
				  .association = out->header->association,
				  .epoch = out->header->epoch };
	int r = crypto_sha256_final(out->digest, m.transfer_end.sha256);

	if (r < 0)
		return err_set(err, r, "digest of the stream");
	m.transfer_end.stream_bytes = out->bytes;
	return tls_stream_send_message(out->stream, &m, err);
}

int transfer_send(struct tls_stream *stream, const struct wire_message *header,
		  struct transfer_tree *trees, size_t count, struct archive_sent *sent, int level,
		  int cancel_fd, struct err *err)
{
	struct sender out = { .stream = stream, .header = header, .cancel_fd = cancel_fd };
	AUTO(crypto_sha256) struct crypto_sha256 *digest = NULL;
	auto_free uint8_t *piece = malloc(TRANSFER_PIECE);
	int r = crypto_sha256_new(&digest, err);

	if (r < 0)
		return r;
	out.digest = digest;
	out.piece = piece;
	out.zstd = ZSTD_createCCtx();
	if (!piece || !out.zstd) {
		(void)ZSTD_freeCCtx(out.zstd);
		return err_set(err, -ENOMEM, "send a stream");
	}
	(void)ZSTD_CCtx_setParameter(out.zstd, ZSTD_c_compressionLevel,
				     level ? level : TRANSFER_LEVEL_DEFAULT);
	(void)ZSTD_CCtx_setParameter(out.zstd, ZSTD_c_checksumFlag, 1);
	/* A worker compresses while we wait for the link. Without threads in zstd this is ignored. */
	(void)ZSTD_CCtx_setParameter(out.zstd, ZSTD_c_nbWorkers, 1);
	r = trees_send(&out, trees, count, sent, err);
	(void)ZSTD_freeCCtx(out.zstd);
	return r < 0 ? r : end_send(&out, err);
}

/** struct receiver - A stream on its way in */
struct receiver {
	struct tls_stream *stream;
	uint64_t session;
	struct crypto_sha256 *digest;
	ZSTD_DCtx *zstd;
	uint8_t *plain;
	size_t plain_size;
	struct wire_message chunk; /* borrowed from the stream */
	ZSTD_inBuffer in;
	uint64_t bytes;
	bool frame_ended;
	bool ended;
};

/** chunk_receive() - Wait for the next piece, or the end, which is verified */
static int chunk_receive(struct receiver *in, struct err *err)
{
	uint8_t sha256[CRYPTO_SHA256_SIZE];
	struct wire_message *m = &in->chunk;
	int r = tls_stream_receive_message(in->stream, m, err);

	if (r > 0)
		return err_set(err, -EPROTO, "the source ended the stream in the middle");
	if (r < 0)
		return r;
	if (m->session != in->session)
		return err_set(err, -EPROTO, "the stream has a message of another session");
	if (m->type == WIRE_TRANSFER_CHUNK) {
		in->bytes += m->text.len;
		in->in = (ZSTD_inBuffer){ .src = m->text.bytes, .size = m->text.len };
		r = crypto_sha256_update(in->digest, m->text.bytes, m->text.len);
		return r < 0 ? err_set(err, r, "digest of the stream") : 0;
	}
	if (m->type != WIRE_TRANSFER_END)
		return err_set(err, -EPROTO, "the stream has a %s", wire_type_name(m->type));
	r = crypto_sha256_final(in->digest, sha256);
	if (r < 0)
		return err_set(err, r, "digest of the stream");
	if (m->transfer_end.stream_bytes != in->bytes ||
	    !crypto_equal(sha256, m->transfer_end.sha256, sizeof(sha256)))
		return err_set(err, -EPROTO, "the stream is not what was sent");
	in->ended = true;
	return 0;
}

/* The archive wants more bytes. */
static ssize_t receiver_give(void *ctx, const void **bytes, struct err *err)
{
	struct receiver *in = ctx;

	for (;;) {
		ZSTD_outBuffer out = { .dst = in->plain, .size = in->plain_size };

		if (in->in.pos == in->in.size && !in->ended) {
			int r = chunk_receive(in, err);

			if (r < 0)
				return r;
		}
		if (in->ended)
			return in->frame_ended
				       ? 0
				       : err_set(err, -EPROTO, "the stream ends in the middle");
		if (in->frame_ended && in->in.pos < in->in.size)
			return err_set(err, -EPROTO, "the stream goes on after its end");
		size_t left = ZSTD_decompressStream(in->zstd, &out, &in->in);
		if (ZSTD_isError(left))
			return err_set(err, -EPROTO, "decompress: %s", ZSTD_getErrorName(left));
		in->frame_ended = left == 0;
		if (out.pos) {
			*bytes = in->plain;
			return (ssize_t)out.pos;
		}
	}
}

/** stream_receive() - The archive, then whatever is left up to the end */
static int stream_receive(struct receiver *in, struct archive_root *roots, size_t count,
			  uint64_t max_bytes, struct err *err)
{
	const void *bytes;
	ssize_t n;
	int r = archive_extract(receiver_give, in, roots, count, max_bytes, err);

	/* The archive ends before its padding does. */
	while (r == 0 && !in->ended) {
		n = receiver_give(in, &bytes, err);
		r = n < 0 ? (int)n : 0;
	}
	return r;
}

int transfer_receive(struct tls_stream *stream, uint64_t session, struct archive_root *roots,
		     size_t count, uint64_t max_bytes, struct err *err)
{
	struct receiver in = { .stream = stream,
			       .session = session,
			       .plain_size = ZSTD_DStreamOutSize() };
	AUTO(crypto_sha256) struct crypto_sha256 *digest = NULL;
	auto_free uint8_t *plain = malloc(in.plain_size);
	int r = crypto_sha256_new(&digest, err);

	if (r < 0)
		return r;
	in.digest = digest;
	in.plain = plain;
	in.zstd = ZSTD_createDCtx();
	if (!plain || !in.zstd) {
		(void)ZSTD_freeDCtx(in.zstd);
		return err_set(err, -ENOMEM, "receive a stream");
	}
	(void)ZSTD_DCtx_setParameter(in.zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	r = stream_receive(&in, roots, count, max_bytes, err);
	(void)ZSTD_freeDCtx(in.zstd);
	return r < 0 ? err_wrap(err, r, "receive memory and layer") : 0;
}
