/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inflate - decompresses a zstd stream
 *
 * It sits between a stream and its reader: both see an archive_source. Two files know zstd; this
 * one decompresses.
 */

#include <stdint.h>

#include "base/auto.h"
#include "es/files/layer_archive.h"

struct err;
struct inflate; /* opaque */

#ifndef INFLATE_WINDOW_LOG_MAX    /* the fuzzer has a smaller one */
#define INFLATE_WINDOW_LOG_MAX 27 /* memory that a sender can make us take: 128 MiB */
#endif

/**
 * inflate_new() - Begin to unpack one zstd frame
 * @ret:	Set on success only; the caller owns it, see inflate_free()
 * @source:	Gives the packed bytes
 * @ctx:	Handed to @source
 * @max_bytes:	Most bytes that may come out
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int inflate_new(struct inflate **ret, archive_source source, void *ctx, uint64_t max_bytes,
		struct err *err);

/** inflate_free() - Release it; @in may be NULL. Return: NULL, always */
struct inflate *inflate_free(struct inflate *in);

AUTO_DEFINE(inflate)

/**
 * inflate_give() - The next bytes, as an archive_source() with a struct inflate as its context
 *
 * Return: their number, 0 where frame and stream end together, -EPROTO if the stream is no frame,
 * continues after it, or ends within it, -EFBIG beyond the limit, or a negative error code of the
 * source
 */
ssize_t inflate_give(void *ctx, const void **bytes, struct err *err);
