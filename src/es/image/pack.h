/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image pack - packs the files of configuration and layers into an archive for `docker load`
 *
 * For Docker's own store, without the lowest layers that the engine has:
 *
 *     layer-<n>/layer.tar              the layers
 *     <digest>.json                    the image's configuration
 *     manifest.json                    [{"Config": ..., "RepoTags": null, "Layers": [...]}]
 *
 * For containerd's image store, with all layers, as an OCI layout:
 *
 *     blobs/sha256/<digest>            layers, configuration, manifest
 *     oci-layout, index.json           its version; the manifest's digest
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "es/files/layer_archive.h"

struct err;

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
 * @diff_ids:	For containerd's image store: an OCI layout is made, whose blobs are named by
 *		digests, and these are those of the layers. NULL: the format of Docker's own store
 */
struct image_pack {
	const char *config;
	size_t config_len;
	const char *digest;
	size_t layers;
	size_t first;
	int dirfd;
	const struct image_growing *growing;
	const json_t *diff_ids;
};

/**
 * image_oci_manifest() - The manifest of an image whose layers are not compressed
 * @what:	Image, with @diff_ids, and files of all its layers
 * @err:	Filled in on failure
 *
 * Its digest is the image's id in containerd's image store.
 *
 * Return: JSON, to be freed by the caller; or NULL
 */
char *image_oci_manifest(const struct image_pack *what, struct err *err);

/**
 * image_archive_pack() - Write an archive for an engine to load, of an image without a name
 * @what:	Image
 * @sink:	Takes the bytes; without an error they are a whole archive
 * @ctx:	Handed to @sink
 * @err:	Filled in on failure
 *
 * The engine computes all digests itself. It refuses an archive without its end, which is missing
 * after an error.
 *
 * Return: 0, or negative error code
 */
int image_archive_pack(const struct image_pack *what, archive_sink sink, void *ctx,
		       struct err *err);
