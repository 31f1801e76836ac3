/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image layer - the blob of a layer as a registry or containerd keeps it, which may be compressed
 *
 * A layer's diff id is the digest of its decompressed bytes. The first bytes show the compression:
 * gzip or zstd.
 */

#include <stdbool.h>
#include <stdint.h>

struct err;

/** image_layer_packed() - Whether the file at @fd is compressed; its offset is 0 afterwards */
bool image_layer_packed(int fd);

/**
 * image_layer_unpack() - Decompress a layer
 * @from:	The blob, at its beginning
 * @to:		Where to write it
 * @room:	Most bytes that may be written; bytes written are subtracted
 * @err:	Filled in on failure
 *
 * Return: 0, -EFBIG, -EPROTO if it is damaged, or another negative error code
 */
int image_layer_unpack(int from, int to, uint64_t *room, struct err *err);
