/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image arrival - the layers of an image on their way here, also after a failed transfer
 *
 * Each image has a directory, "arrival-<digits of its id>", with the complete layers and the
 * beginning of the next one. If the transfer breaks, the next one continues from there. It may come
 * from another edge server, as contents are named by digests, and each layer is verified when it is
 * complete (R8). An arrival that no transfer continues in time is removed.
 *
 *     layer-<n>    layer n, or the beginning of it, uncompressed.
 *     loaded       id of an image without a name, made of the lowest layers, which holds them in
 *                  the engine until the whole image is there
 *     lock         held while a transfer writes here
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/auto.h"
#include "es/files/layer_archive.h"

struct docker_engine;
struct err;
struct image_arrival;
struct image_growing; /* es/image/pack.h */

#define IMAGE_DEPARTURE "departure-" /* names of directories with images about to be sent */

/**
 * image_arrival_new() - Open the directory of an image, made if need be
 * @ret:	Set on success only; the caller owns it, see image_arrival_free()
 * @dir:	Where arrivals are
 * @id:		Id of the image at the source's engine, "sha256:..."
 * @layers:	Digests of its layers, lowest first; borrowed as long as the object
 * @containerd:	Our engine keeps images in containerd's store: it wants all layers of an image at once
 * @err:	Filled in on failure
 *
 * If another transfer brings the same image at this time, this one gets another directory, which
 * does not stay.
 *
 * Return: 0, or negative error code
 */
int image_arrival_new(struct image_arrival **ret, const char *dir, const char *id,
		      const json_t *layers, bool containerd, struct err *err);

/**
 * image_arrival_free() - Close it, keeping layers that have come. @ia may be NULL.
 *
 * Return: NULL, always
 */
struct image_arrival *image_arrival_free(struct image_arrival *ia);

AUTO_DEFINE(image_arrival)

/** image_arrival_bytes() - How much of a layer is here already */
uint64_t image_arrival_bytes(const struct image_arrival *ia, size_t layer);

/**
 * struct image_receipt - A transfer of layers, as its receiver sees it
 * @first:	The lowest layer to come; of it the image_arrival_bytes() first bytes are here
 * @max_bytes:	Most bytes of all layers
 * @grown:	Called when there is more of a layer: @bytes of @length
 * @came:	Called when layers up to, but not including, @layers are here and verified
 * @ctx:	Handed to them
 */
struct image_receipt {
	size_t first;
	uint64_t max_bytes;
	void (*grown)(void *ctx, size_t layer, uint64_t bytes, uint64_t length);
	void (*came)(void *ctx, size_t layers);
	void *ctx;
};

/**
 * image_arrival_receive() - Receive the layers that image_departure_send() sends
 * @ia:		Arrival
 * @receipt: The transfer
 * @source:	Gives the bytes
 * @source_ctx:	Handed to @source
 * @err:	Filled in on failure
 *
 * A layer with another digest is removed.
 *
 * Return: 0, -EPROTO, -EFBIG, or another negative error code
 */
int image_arrival_receive(struct image_arrival *ia, const struct image_receipt *receipt,
			  archive_source source, void *source_ctx, struct err *err);

/**
 * image_arrival_load() - Have the engine make an image of the layers that are here
 * @ia:		Arrival; one thread may receive while another loads
 * @engine:	Client
 * @first:	The lowest layer that the engine lacks
 * @layers:	How many layers: all, and it is the image; or fewer, and it is one without a name
 *		that holds them
 * @growing:	The highest of them is still coming; or NULL
 * @err:	Filled in on failure
 *
 * Layers must be verified, or @growing waits until they are. Their files are removed then, and the
 * engine keeps them for the image that is loaded next.
 *
 * Return: 0, or negative error code
 */
int image_arrival_load(struct image_arrival *ia, struct docker_engine *engine, size_t first,
		       size_t layers, const struct image_growing *growing, struct err *err);

/**
 * image_arrival_loaded() - The engine's id of the image, once all of it was loaded
 *
 * The digest of its configuration; with containerd's image store, of its manifest.
 *
 * Return: "sha256:...", borrowed; "" before
 */
const char *image_arrival_loaded(const struct image_arrival *ia);

/** image_arrival_digest() - 64 digits of the configuration's digest, borrowed; "" before it has come */
const char *image_arrival_digest(const struct image_arrival *ia);

/**
 * image_arrival_remove() - Remove the directory, and from the engine the image that held layers for
 * it
 */
void image_arrival_remove(struct image_arrival *ia, struct docker_engine *engine);

/**
 * image_arrival_expire() - Remove arrivals that no transfer has continued
 * @dir:	Where arrivals are
 * @age_ms:	if they were last written to before that; 0: all that no transfer writes to
 * @engine:	Client
 *
 * Return: number of arrivals that stay
 */
size_t image_arrival_expire(const char *dir, uint64_t age_ms, struct docker_engine *engine);

/**
 * image_departure_send() - Send configuration and layers
 * @dirfd:	Directory that image_archive_unpack() filled
 * @first:	The lowest layer to send
 * @offset:	that many bytes of it are there already
 * @layers:	Number of the image's layers
 * @sink:	Takes the bytes: length and bytes of the configuration, then for each layer its
 *		whole length and the bytes that are not there
 * @ctx:	Handed to @sink
 * @sent:	Bytes of layers that went, added to
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO if there cannot be so much of the layer, or another negative error code
 */
int image_departure_send(int dirfd, size_t first, uint64_t offset, size_t layers, archive_sink sink,
			 void *ctx, uint64_t *sent, struct err *err);
