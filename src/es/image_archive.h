/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image archive - what `docker save` writes taken apart, and what `docker load` reads put together
 *
 *     manifest.json                    [{"Config": ..., "RepoTags": null, "Layers": [...]}]
 *     <digest>.json                    the image's configuration
 *     <id>/layer.tar                   a layer, or a symbolic link to one with the same contents
 *     blobs/sha256/<digest>            either, as Docker 25 and later write them
 *
 * The source needs the layers one by one, the lowest first, and without those that the destination
 * has; Docker writes them in any order, and which is which last of all. So an archive becomes a
 * directory with a file for each: "config", "layer-0", "layer-1" ... The destination keeps
 * layers in such files, too (es/image_arrival.h), and makes an archive of just those that its engine
 * lacks: "layer-<n>/layer.tar", then "<digest>.json" and "manifest.json".
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "es/layer_archive.h"

struct err;

#define IMAGE_MANIFEST_MAX (1u << 20) /* bytes of manifest.json */
#define IMAGE_ENTRIES_MAX  4096       /* entries of an archive, whatever they are */

#define IMAGE_CONFIG     "config" /* file with the configuration */
#define IMAGE_LAYER_NAME 32       /* room for the name of a layer's file */

/**
 * struct image_rules - What an archive must be
 * @id:		Id of the image, "sha256:..."
 * @layers:	Number of its layers
 * @max_bytes:	Most bytes of all files
 */
struct image_rules {
	const char *id;
	size_t layers;
	uint64_t max_bytes;
};

/** image_layer_name() - Name of a layer's file: "layer-0" is the lowest */
void image_layer_name(char to[IMAGE_LAYER_NAME], size_t layer);

/**
 * image_archive_unpack() - Take apart what an engine saves
 * @rules:	What it must be
 * @source:	Gives the archive
 * @ctx:	Handed to @source
 * @dirfd:	Empty directory for configuration and layers
 * @err:	Filled in on failure; what was made so far is the caller's to remove
 *
 * Contents are not verified here: the destination does that.
 *
 * Return: 0, -EPROTO if it is not the archive of the image, -EFBIG, or another negative error code
 */
int image_archive_unpack(const struct image_rules *rules, archive_source source, void *ctx,
			 int dirfd, struct err *err);

/**
 * struct image_growing - The highest layer of an archive is still coming
 * @length:	bytes it will have
 * @wait:	Waits until it has more than @have bytes, or if that is @length until it is complete and
 *		verified. Return: 0, or negative error code, when there will be no archive
 * @ctx:	Handed to @wait
 */
struct image_growing {
	uint64_t length;
	int (*wait)(void *ctx, uint64_t have, struct err *err);
	void *ctx;
};

/**
 * struct image_pack - An archive to be made
 * @config:	configuration of the image, JSON
 * @config_len:	Its length
 * @digest:	Its SHA-256, 64 digits
 * @layers:	Number of the image's layers
 * @first:	The lowest one that the engine lacks
 * @dirfd:	Directory with the files of the layers from @first on
 * @growing:	The highest layer is still coming; or NULL
 */
struct image_pack {
	const char *config;
	size_t config_len;
	const char *digest;
	size_t layers;
	size_t first;
	int dirfd;
	const struct image_growing *growing;
};

/**
 * image_archive_pack() - Write an archive for an engine to load, of an image without a name
 * @what:	Image
 * @sink:	Takes the bytes; without an error they are a whole archive
 * @ctx:	Handed to @sink
 * @err:	Filled in on failure
 *
 * The engine computes all digests itself, and makes nothing of an archive without its end, which is
 * missing after an error.
 *
 * Return: 0, or negative error code
 */
int image_archive_pack(const struct image_pack *what, archive_sink sink, void *ctx,
		       struct err *err);
