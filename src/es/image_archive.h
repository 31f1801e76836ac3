/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image archive - what `docker save` writes and `docker load` reads, sifted while it streams by
 *
 * The source leaves out the layers that the destination has; the destination lets nothing through
 * to its engine but one image without a name: an edge server must not be able to give another one's
 * images new meanings. Both use the same sieve:
 *
 *     manifest.json                    [{"Config": ..., "RepoTags": null, "Layers": [...]}]
 *     <digest>.json                    the image's configuration
 *     <id>/layer.tar                   a layer, or a symbolic link to one with the same contents
 *     blobs/sha256/<digest>            either, as Docker 25 and later write them
 *
 * pass, everything else (names, what older Dockers want) is dropped. Contents are not verified here:
 * the engine computes all digests, and what it made is then compared with the plan. The end of the
 * archive is written on its own, so that an engine never sees a whole archive of a broken stream.
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/auto.h"
#include "es/layer_archive.h"

struct err;
struct image_archive;

#define IMAGE_MANIFEST_MAX (1u << 20) /* bytes of manifest.json */
#define IMAGE_ENTRIES_MAX  4096       /* entries of an archive, whatever they are */

/**
 * struct image_rules - What an archive must be, and what is left out of it
 * @id:		Id of the image, "sha256:..."
 * @layers:	Number of its layers
 * @left_out:	Array with the names of files to leave out, borrowed; may be NULL
 * @max_bytes:	Most bytes of all files that pass
 */
struct image_rules {
	const char *id;
	size_t layers;
	const json_t *left_out;
	uint64_t max_bytes;
};

/**
 * image_archive_manifest() - Read an archive as far as its manifest
 * @ret:	Set on success only, a new reference: the names of the layers' files, lowest first
 * @rules:	id and layers are used
 * @source:	Gives the archive
 * @ctx:	Handed to @source
 * @err:	Filled in on failure
 *
 * Docker writes the manifest after the layers, so to leave some out takes a look before.
 *
 * Return: 0, -EPROTO, or another negative error code
 */
int image_archive_manifest(json_t **ret, const struct image_rules *rules, archive_source source,
			   void *ctx, struct err *err);

/**
 * image_archive_new() - Begin to write an archive
 * @ret:	Set on success only; the caller owns it, see image_archive_free()
 * @rules:	Borrowed as long as the object
 * @sink:	Takes the bytes
 * @ctx:	Handed to @sink
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int image_archive_new(struct image_archive **ret, const struct image_rules *rules,
		      archive_sink sink, void *ctx, struct err *err);

/**
 * image_archive_copy() - Read a whole archive and write what may pass
 * @ia:		Where to
 * @source:	Gives the archive
 * @ctx:	Handed to @source
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO if it is not the archive of the image, -EFBIG, or another negative error code
 */
int image_archive_copy(struct image_archive *ia, archive_source source, void *ctx, struct err *err);

/** image_archive_end() - Write the end: what came was good. Return: 0, or negative error code */
int image_archive_end(struct image_archive *ia, struct err *err);

/** image_archive_bytes() - Bytes of the files that passed */
uint64_t image_archive_bytes(const struct image_archive *ia);

/** image_archive_free() - Release it; without _end() what was written is cut short. Return: NULL */
struct image_archive *image_archive_free(struct image_archive *ia);

AUTO_DEFINE(image_archive)
