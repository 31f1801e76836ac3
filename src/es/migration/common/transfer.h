/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Transfer - file trees and images from one edge server to another in one stream (T2, T4)
 *
 *     trees -> pax archive -\
 *     layers of an image ----+-> zstd -> pieces of at most TRANSFER_PIECE bytes, a CHUNK each
 *                                     -> TRANSFER END with their length and SHA-256
 *
 * No round trip until the end: with 200 ms each, one for every file would cost more than the bytes.
 * The receiver writes files while the stream comes, and uses none before the end was right; layers
 * of an image have digests of their own, and may be used when these were right. The paper's way is
 * here, too: uncompressed, with a round trip for each file (migration/paper.c).
 *
 * Two files know zstd: this one packs, es/files/inflate.h unpacks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "es/files/layer_archive.h"
#include "es/worker/file_worker.h"
#include "wire/message.h"

struct err;
struct file_worker;
struct tls_stream;

#define TRANSFER_PIECE         (256u << 10)
#define TRANSFER_TAIL_MAX      (64u << 10) /* bytes after the wanted part of a stream */
#define TRANSFER_LEVEL_DEFAULT 3

/** enum transfer_form - How trees go over a link */
enum transfer_form {
	TRANSFER_STREAM,       /* compressed, no round trip until the end */
	TRANSFER_FILE_BY_FILE, /* as scp does it, and so the paper: uncompressed, and the next file
				  begins when the receiver has acknowledged the one before */
};

/**
 * struct transfer_tree - A directory to send
 * @tree:	Its name in the stream, and where it is
 * @sent:	Set: bytes on the wire for it, compressed
 * @done:	Called when its last byte was given to the link; may be NULL
 * @ctx:	Handed to @done
 */
struct transfer_tree {
	struct file_tree tree;
	uint64_t sent;
	void (*done)(void *ctx, const struct transfer_tree *tree);
	void *ctx;
};

/**
 * transfer_send() - Send trees, and the end
 * @stream:	Connection
 * @way:	How; the receiver must do it the same way
 * @header:	session, association and epoch of its messages are used
 * @files:	Reads the trees
 * @trees:	Trees to send, in this order
 * @count:	At most FILE_WORKER_TREES_MAX
 * @remember:	Only name the files that @files has sent before, and remember the others
 * @level:	of zstd; 0: TRANSFER_LEVEL_DEFAULT, meant to keep a link of 10 MB/s full
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code; the stream is invalid after an error
 */
int transfer_send(struct tls_stream *stream, enum transfer_form way,
		  const struct wire_message *header, struct file_worker *files,
		  struct transfer_tree *trees, size_t count, bool remember, int level,
		  struct err *err);

/**
 * transfer_receive() - Receive trees up to the end, and verify that they came whole
 * @stream:	Connection
 * @way:	How
 * @header:	session of the transfer; association and epoch of its messages are used
 * @files:	Writes the trees
 * @trees:	Where they go
 * @count:	Number of @trees
 * @max_bytes:	Most bytes of all files
 * @err:	Filled in on failure; the caller removes the files written
 *
 * Return: 0, -EPROTO, -EFBIG, or another negative error code
 */
int transfer_receive(struct tls_stream *stream, enum transfer_form way,
		     const struct wire_message *header, struct file_worker *files,
		     const struct file_tree *trees, size_t count, uint64_t max_bytes,
		     struct err *err);

/**
 * transfer_send_stream() - Send the bytes that @make writes, and the end
 * @stream, @header, @level:	as for transfer_send()
 * @make:	Called once: writes into @sink with @sink_ctx
 * @ctx:	Handed to @make
 * @sent:	Set to the bytes on the wire, compressed
 * @err:	Filled in on failure
 *
 * Compression looks 128 MiB back, which saves 15 % of an image of 1 GB and takes that much memory
 * on both sides for as long. With level 0 it begins at TRANSFER_LEVEL_DEFAULT and follows the
 * link: stronger while much waits to go out, weaker before the link would have to wait.
 *
 * Return: 0, or negative error code; the stream is invalid after an error
 */
int transfer_send_stream(struct tls_stream *stream, const struct wire_message *header,
			 int (*make)(void *ctx, archive_sink sink, void *sink_ctx, struct err *err),
			 void *ctx, int level, uint64_t *sent, struct err *err);

/** transfer_send_nothing() - Report that we still work, while there is nothing to send yet */
int transfer_send_nothing(struct tls_stream *stream, const struct wire_message *header,
			  struct err *err);

/**
 * transfer_receive_stream() - Receive the stream of transfer_send_stream(), and verify that it
 * came whole
 * @stream:	Connection
 * @session:	Session whose transfer it must be
 * @files:	Unpacks it
 * @take:	Called once: reads from @source with @source_ctx. Bytes that it has not verified
 *		itself must not be used before transfer_receive_stream() has returned 0
 * @ctx:	Handed to @take
 * @max_bytes:	Most bytes of the stream, uncompressed; after @take has ended, TRANSFER_TAIL_MAX
 *		more
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO, -EFBIG, or another negative error code
 */
int transfer_receive_stream(struct tls_stream *stream, uint64_t session, struct file_worker *files,
			    int (*take)(void *ctx, archive_source source, void *source_ctx,
					struct err *err),
			    void *ctx, uint64_t max_bytes, struct err *err);
