/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/transfer.h"

#include <inttypes.h>
#include <string.h>
#include <zstd.h>

#include "base/err.h"
#include "es/files/inflate.h"
#include "net/crypto.h"
#include "net/tls_stream.h"

#define WIDE_WORKERS 2
#define WIDE_JOB     (8 << 20) /* a new level counts from the next job on */

#define LEVEL_MAX    7           /* beyond it there is little to gain */
#define ADAPT_PIECES 4           /* how often the level is looked at */
#define PLENTY       (12u << 20) /* so much waits for the link: there is time to compress harder */
#define SCARCE       (9u << 20)  /* less waits: jobs already begun at a higher level take as long */

/**
 * struct pace - The level of compression, which follows the bytes that wait for the link
 * @level:	now; 0: it stays as it is
 * @pieces:	sent since we last looked
 */
struct pace {
	int level;
	unsigned int pieces;
};

/** struct sender - A stream on its way out; @zstd is NULL if it is not compressed */
struct sender {
	struct tls_stream *stream;
	const struct wire_message *header;
	struct crypto_sha256 *digest;
	ZSTD_CCtx *zstd;
	uint8_t *piece;
	size_t used;
	uint64_t bytes;
	struct pace pace;
};

/** pace_keep() - Compress harder while much waits for the link, and less before it has to wait */
static void pace_keep(struct sender *out)
{
	struct pace *p = &out->pace;
	size_t unsent;

	if (!p->level || ++p->pieces < ADAPT_PIECES)
		return;
	p->pieces = 0;
	unsent = tls_stream_unsent(out->stream);
	if (unsent > PLENTY && p->level < LEVEL_MAX)
		p->level++;
	else if (unsent < SCARCE && p->level > 1)
		p->level--;
	(void)ZSTD_CCtx_setParameter(out->zstd, ZSTD_c_compressionLevel, p->level);
}

/** piece_send() - Send the bytes of the piece */
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
	pace_keep(out);
	out->bytes += out->used;
	out->used = 0;
	return r;
}

/** gather() - Put bytes into pieces as they are, sending every piece that is full */
static int gather(struct sender *out, const uint8_t *bytes, size_t len, struct err *err)
{
	while (len) {
		size_t room = TRANSFER_PIECE - out->used;
		size_t n = len < room ? len : room;
		int r;

		memcpy(out->piece + out->used, bytes, n);
		out->used += n;
		bytes += n;
		len -= n;
		r = out->used == TRANSFER_PIECE ? piece_send(out, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
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
	struct sender *out = ctx;

	return out->zstd ? compress(out, bytes, len, ZSTD_e_continue, err)
			 : gather(out, bytes, len, err);
}

/** sender_flush() - Send all bytes taken so far */
static int sender_flush(struct sender *out, ZSTD_EndDirective end, struct err *err)
{
	int r = out->zstd ? compress(out, NULL, 0, end, err) : 0;

	return r < 0 ? r : piece_send(out, err);
}

/** acknowledge() - Say that a file has come whole, when they come one by one */
static int acknowledge(struct tls_stream *stream, const struct wire_message *header,
		       struct err *err)
{
	const struct wire_message m = { .type = WIRE_TRANSFER_ACCEPT,
					.session = header->session,
					.association = header->association,
					.epoch = header->epoch };

	return tls_stream_send_message(stream, &m, err);
}

/* A file is complete: the next one has to wait until the other side says so, too. */
static int file_sent(void *ctx, struct err *err)
{
	struct sender *out = ctx;
	struct wire_message m;
	int r = piece_send(out, err);

	if (r == 0)
		r = tls_stream_receive_message(out->stream, &m, err);
	if (r > 0)
		return err_set(err, -EPROTO, "the destination ended the stream in the middle");
	if (r == 0 && m.type == WIRE_TRANSFER_RESULT)
		return err_set(err, -EPROTO, "%.*s", m.text.len > 300 ? 300 : (int)m.text.len,
			       (const char *)m.text.bytes);
	if (r == 0 && m.type != WIRE_TRANSFER_ACCEPT)
		return err_set(err, -EPROTO, "the destination sends %s in the middle of a stream",
			       wire_type_name(m.type));
	return r;
}

/**
 * struct sending - The trees of a transfer_send()
 * @before:	bytes on the wire when the tree under way began
 */
struct sending {
	struct sender *out;
	struct file_worker *files;
	struct transfer_tree *trees;
	size_t count;
	bool remember;
	uint64_t before;
};

static int archive_take(void *ctx, const void *bytes, size_t len, struct err *err)
{
	struct sending *all = ctx;

	return sender_take(all->out, bytes, len, err);
}

static int archive_file_sent(void *ctx, struct err *err)
{
	struct sending *all = ctx;

	return file_sent(all->out, err);
}

/* A tree is complete. The flush shows how many bytes were its own, and costs a few bytes. */
static int tree_sent(void *ctx, size_t index, struct err *err)
{
	struct sending *all = ctx;
	struct transfer_tree *tree = &all->trees[index];
	int r = index < all->count ? sender_flush(all->out, ZSTD_e_flush, err)
				   : err_set(err, -EPROTO, "more trees than were to be sent");

	if (r < 0)
		return r;
	tree->sent = all->out->bytes - all->before;
	all->before = all->out->bytes;
	if (tree->done)
		tree->done(tree->ctx, tree);
	return 0;
}

static int count_refuse(size_t count, struct err *err)
{
	return err_set(err, -EINVAL, "a transfer of %zu trees, at most %d can go at once", count,
		       FILE_WORKER_TREES_MAX);
}

/* The archive of all trees. */
static int trees_send(struct sender *out, void *ctx, struct err *err)
{
	struct file_tree tree[FILE_WORKER_TREES_MAX];
	struct sending *all = ctx;
	const struct file_packing how = {
		.remember = all->remember,
		.sink = archive_take,
		.tree_done = tree_sent,
		.after = out->zstd ? NULL : archive_file_sent,
		.ctx = all,
	};

	if (all->count > ARRAY_SIZE(tree))
		return count_refuse(all->count, err);
	all->out = out;
	for (size_t i = 0; i < all->count; i++)
		tree[i] = all->trees[i].tree;
	return file_worker_pack(all->files, tree, all->count, &how, err);
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

/** zstd_new() - Make a compressor. Return: NULL if there is no memory */
static ZSTD_CCtx *zstd_new(int level, bool wide)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();

	if (!zstd)
		return NULL;
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel,
				     level ? level : TRANSFER_LEVEL_DEFAULT);
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	if (wide) {
		(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_enableLongDistanceMatching, 1);
		(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, INFLATE_WINDOW_LOG_MAX);
	}
	/* Workers compress while we wait for the link. Without threads in zstd this is ignored. */
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_nbWorkers, wide ? WIDE_WORKERS : 1);
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_jobSize, wide ? WIDE_JOB : 0);
	return zstd;
}

/**
 * stream_send() - Send what @body writes, and the end
 * @out:	stream and header are set
 * @way:	compressed or not
 * @level:	of compression
 * @wide:	look for repetitions as far back as a receiver takes; costs memory on both sides
 * @body:	writes through sender_take(), is handed @ctx
 */
static int stream_send(struct sender *out, enum transfer_form way, int level, bool wide,
		       int (*body)(struct sender *out, void *ctx, struct err *err), void *ctx,
		       struct err *err)
{
	AUTO(crypto_sha256) struct crypto_sha256 *digest = NULL;
	auto_free uint8_t *piece = malloc(TRANSFER_PIECE);
	int r = crypto_sha256_new(&digest, err);

	if (r < 0)
		return r;
	out->digest = digest;
	out->piece = piece;
	out->zstd = way == TRANSFER_STREAM ? zstd_new(level, wide) : NULL;
	if (!piece || (way == TRANSFER_STREAM && !out->zstd)) {
		(void)ZSTD_freeCCtx(out->zstd);
		return err_set(err, -ENOMEM, "send a stream");
	}
	if (wide && !level)
		out->pace.level = TRANSFER_LEVEL_DEFAULT;
	r = body(out, ctx, err);
	if (r == 0)
		r = sender_flush(out, ZSTD_e_end, err);
	(void)ZSTD_freeCCtx(out->zstd);
	return r < 0 ? r : end_send(out, err);
}

int transfer_send(struct tls_stream *stream, enum transfer_form way,
		  const struct wire_message *header, struct file_worker *files,
		  struct transfer_tree *trees, size_t count, bool remember, int level,
		  struct err *err)
{
	struct sender out = { .stream = stream, .header = header };
	struct sending all = {
		.files = files, .trees = trees, .count = count, .remember = remember
	};

	return stream_send(&out, way, level, false, trees_send, &all, err);
}

/** struct making - An archive that somebody else makes */
struct making {
	int (*make)(void *ctx, archive_sink sink, void *sink_ctx, struct err *err);
	void *ctx;
};

static int made_send(struct sender *out, void *ctx, struct err *err)
{
	struct making *making = ctx;

	return making->make(making->ctx, sender_take, out, err);
}

int transfer_send_stream(struct tls_stream *stream, const struct wire_message *header,
			 int (*make)(void *ctx, archive_sink sink, void *sink_ctx, struct err *err),
			 void *ctx, int level, uint64_t *sent, struct err *err)
{
	struct sender out = { .stream = stream, .header = header };
	struct making making = { .make = make, .ctx = ctx };
	int r = stream_send(&out, TRANSFER_STREAM, level, true, made_send, &making, err);

	*sent = out.bytes;
	return r;
}

int transfer_send_nothing(struct tls_stream *stream, const struct wire_message *header,
			  struct err *err)
{
	const struct wire_message m = { .type = WIRE_TRANSFER_CHUNK,
					.session = header->session,
					.association = header->association,
					.epoch = header->epoch };

	return tls_stream_send_message(stream, &m, err);
}

/** struct receiver - A stream on its way in */
struct receiver {
	struct tls_stream *stream;
	const struct wire_message *header; /* of acknowledgements */
	uint64_t session;
	struct crypto_sha256 *digest;
	uint64_t bytes;
	bool ended;
};

/** end_verify() - Is this all that was sent? */
static int end_verify(struct receiver *in, const struct wire_message *m, struct err *err)
{
	uint8_t sha256[CRYPTO_SHA256_SIZE];
	int r;

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

/* The next bytes as they come over the link, to the end, which is verified. */
static ssize_t chunk_give(void *ctx, const void **bytes, struct err *err)
{
	struct receiver *in = ctx;
	struct wire_message m; /* borrowed from the stream */
	int r;

	do {
		if (in->ended)
			return 0;
		r = tls_stream_receive_message(in->stream, &m, err);
		if (r > 0)
			return err_set(err, -EPROTO, "the source ended the stream in the middle");
		if (r < 0)
			return r;
		if (m.session != in->session)
			return err_set(err, -EPROTO, "the stream has a message of another session");
		if (m.type != WIRE_TRANSFER_CHUNK)
			return end_verify(in, &m, err);
	} while (!m.text.len); /* it only reports that it still works */
	in->bytes += m.text.len;
	r = crypto_sha256_update(in->digest, m.text.bytes, m.text.len);
	if (r < 0)
		return err_set(err, r, "digest of the stream");
	*bytes = m.text.bytes;
	return (ssize_t)m.text.len;
}

/** end_check() - See that the stream was read to its end, which was verified */
static int end_check(const struct receiver *in, struct err *err)
{
	return in->ended ? 0 : err_set(err, -EPROTO, "the stream was not read to its end");
}

int transfer_receive_stream(struct tls_stream *stream, uint64_t session, struct file_worker *files,
			    int (*take)(void *ctx, archive_source source, void *source_ctx,
					struct err *err),
			    void *ctx, uint64_t max_bytes, struct err *err)
{
	AUTO(crypto_sha256) struct crypto_sha256 *digest = NULL;
	struct file_unpacking packed = { .files = NULL };
	struct receiver in = { .stream = stream, .session = session };
	int r = crypto_sha256_new(&digest, err);

	in.digest = digest;
	if (r == 0)
		r = file_unpacking_init(&packed, files, chunk_give, &in,
					max_bytes + TRANSFER_TAIL_MAX, err);
	if (r == 0)
		r = take(ctx, file_unpacking_give, &packed, err);
	if (r == 0)
		r = archive_drain(file_unpacking_give, &packed, TRANSFER_TAIL_MAX, err);
	file_unpacking_deinit(&packed);
	return r == 0 ? end_check(&in, err) : r;
}

static int file_received(void *ctx, struct err *err)
{
	struct receiver *in = ctx;

	return acknowledge(in->stream, in->header, err);
}

int transfer_receive(struct tls_stream *stream, enum transfer_form way,
		     const struct wire_message *header, struct file_worker *files,
		     const struct file_tree *trees, size_t count, uint64_t max_bytes,
		     struct err *err)
{
	AUTO(crypto_sha256) struct crypto_sha256 *digest = NULL;
	struct receiver in = { .stream = stream, .session = header->session, .header = header };
	const struct file_extracting how = {
		.packed = way == TRANSFER_STREAM,
		.max_bytes = max_bytes,
		.source = chunk_give,
		.after = way == TRANSFER_STREAM ? NULL : file_received,
		.ctx = &in,
	};
	int r = count <= FILE_WORKER_TREES_MAX ? crypto_sha256_new(&digest, err)
					       : count_refuse(count, err);

	in.digest = digest;
	if (r == 0)
		r = file_worker_extract(files, trees, count, &how, err);
	if (r == 0)
		r = end_check(&in, err);
	return r < 0 ? err_wrap(err, r, "receive memory and layer") : 0;
}
