/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image archive - unpacks an archive of `docker save`
 *
 *     manifest.json                    [{"Config": ..., "RepoTags": null, "Layers": [...]}]
 *     <digest>.json                    the image's configuration
 *     <id>/layer.tar                   a layer, or a symbolic link to one with the same contents
 *     blobs/sha256/<digest>            either, as Docker 25 and later write them; layers may be compressed then
 *
 * The source needs the layers one by one, the lowest first, and without those that the destination
 * has. Docker writes them in any order, and the manifest last. So an archive becomes a directory
 * with a file for each: "config", "layer-0", "layer-1" ... The destination keeps layers in such
 * files, too (es/image/arrival.h), and has its engine load them (es/image/pack.h).
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "es/files/layer_archive.h"

struct err;

#define IMAGE_MANIFEST_MAX (1u << 20) /* bytes of manifest.json */
#define IMAGE_ENTRIES_MAX  4096       /* entries of an archive, of any kind */

#define IMAGE_CONFIG     "config" /* file with the configuration */
#define IMAGE_LAYER_NAME 32       /* room for the name of a layer's file */

/**
 * struct image_rules - Conditions that an archive must meet
 * @id:		Id of the image, "sha256:...", the digest of its configuration; NULL if the engine
 *		defines ids otherwise, as with containerd's image store
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
 * image_archive_unpack() - Unpack an engine's archive
 * @rules: Conditions that it must meet
 * @source:	Gives the archive
 * @ctx:	Handed to @source
 * @dirfd:	Empty directory for configuration and layers
 * @err:	Filled in on failure; the caller removes the files made so far
 *
 * Contents are not verified here: the destination does that.
 *
 * Return: 0, -EPROTO if it is not the archive of the image, -EFBIG, or another negative error code
 */
int image_archive_unpack(const struct image_rules *rules, archive_source source, void *ctx,
			 int dirfd, struct err *err);
