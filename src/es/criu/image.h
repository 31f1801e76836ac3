/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CRIU image - a file of a checkpoint: two magic numbers, then entries of a length and a message
 *
 * The messages are defined in criu_images.proto; criu/images.h and `criu/mend.h` read them.
 */

#include <stddef.h>
#include <stdint.h>

struct err;

#define CRIU_IMAGE_MAGIC 8 /* bytes in front of the first entry; of inventory.img 4 */

/**
 * struct criu_image - An image that is being read
 * @name:	of its file
 * @bytes:	of it, to be freed by the caller, also after a failure
 * @len:	how many
 * @at:		where the next entry begins
 * @entries:	read so far
 */
struct criu_image {
	const char *name;
	uint8_t *bytes;
	size_t len;
	size_t at;
	size_t entries;
};

/**
 * criu_image_open() - Read an image
 * @in:		Filled in; its bytes are to be freed, also after a failure
 * @images:	Directory
 * @name:	File there, borrowed
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO if it is no image or has more than CHECKPOINT_IMAGE_MAX bytes, or negative
 * error code
 */
int criu_image_open(struct criu_image *in, int images, const char *name, struct err *err);

/**
 * criu_image_next() - The next entry of an image
 * @in:		Image
 * @bytes, @len: Set to it
 * @err:	Filled in on failure
 *
 * Return: 1, 0 at the end, or -EPROTO
 */
int criu_image_next(struct criu_image *in, const uint8_t **bytes, size_t *len, struct err *err);

/** criu_image_malformed() - Say that a file is no image. Return: -EPROTO */
int criu_image_malformed(const struct criu_image *in, struct err *err);

/** criu_image_denied() - Refuse a checkpoint: its image has @what, and @which of it. Return: -EPERM */
int criu_image_denied(const struct criu_image *in, struct err *err, const char *what,
		      const char *which);
