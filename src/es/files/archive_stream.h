/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Archive stream - bytes between libarchive and a source or sink of ours
 *
 * For the files that read or write an archive. A failure of our side counts more than libarchive's complaint
 * about it, and nothing is asked of our side after one.
 */

#include <archive.h>

#include "es/files/layer_archive.h"

/**
 * struct archive_stream - One stream
 * @source, @sink: One of both, for reading or writing
 * @ctx:	Handed to it
 * @err:	Filled in by it; may be NULL
 * @failed:	Its error code, or 0
 */
struct archive_stream {
	archive_source source;
	archive_sink sink;
	void *ctx;
	struct err *err;
	int failed;
};

/** archive_stream_read() - For archive_read_open(), with a struct archive_stream */
la_ssize_t archive_stream_read(struct archive *a, void *ctx, const void **bytes);

/** archive_stream_write() - For archive_write_open(), with a struct archive_stream */
la_ssize_t archive_stream_write(struct archive *a, void *ctx, const void *bytes, size_t len);

/**
 * archive_stream_complain() - Turn libarchive's complaint into ours
 * @what:	begins the error, which goes to @stream->err
 *
 * Return: the stream's own failure if it had one, else -EPROTO
 */
int archive_stream_complain(const struct archive_stream *stream, struct archive *a,
			    const char *what);
