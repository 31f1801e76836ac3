/* SPDX-License-Identifier: Apache-2.0 */
#include "es/criu/image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/images.h"
#include "es/files/beneath.h"

#define MAGIC_COMMON 0x54564319u /* then one of the kind of image */
#define INVENTORY    0x58313116u

int criu_image_malformed(const struct criu_image *in, struct err *err)
{
	return err_set(err, -EPROTO, "the checkpoint's %s is no image of CRIU's", in->name);
}

int criu_image_open(struct criu_image *in, int images, const char *name, struct err *err)
{
	struct stat st;
	uint32_t magic;
	ssize_t n;

	*in = (struct criu_image){ .name = name, .at = CRIU_IMAGE_MAGIC };
	auto_close int fd = beneath_regular(images, name, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, fd < 0 ? fd : -errno, "open %s", name);
	if (st.st_size < CRIU_IMAGE_MAGIC || (uint64_t)st.st_size > CHECKPOINT_IMAGE_MAX)
		return err_set(err, -EPROTO, "the checkpoint's %s has %lld bytes", name,
			       (long long)st.st_size);
	in->len = (size_t)st.st_size;
	in->bytes = malloc(in->len);
	if (!in->bytes)
		return err_set(err, -ENOMEM, "read %s", name);
	n = read(fd, in->bytes, in->len);
	if (n != (ssize_t)in->len)
		return err_set(err, n < 0 ? -errno : -EIO, "read %s", name);
	memcpy(&magic, in->bytes, sizeof(magic));
	/* The inventory tells how the others begin, so it begins otherwise itself. */
	if (!strcmp(name, "inventory.img")) {
		in->at = sizeof(magic);
		return magic == INVENTORY ? 0 : criu_image_malformed(in, err);
	}
	return magic == MAGIC_COMMON ? 0 : criu_image_malformed(in, err);
}

int criu_image_next(struct criu_image *in, const uint8_t **bytes, size_t *len, struct err *err)
{
	uint32_t size;

	if (in->at == in->len)
		return 0;
	if (in->len - in->at < sizeof(size) || ++in->entries > CHECKPOINT_ENTRIES_MAX)
		return criu_image_malformed(in, err);
	memcpy(&size, in->bytes + in->at, sizeof(size));
	in->at += sizeof(size);
	if (size > in->len - in->at)
		return criu_image_malformed(in, err);
	*bytes = in->bytes + in->at;
	*len = size;
	in->at += size;
	return 1;
}

int criu_image_denied(const struct criu_image *in, struct err *err, const char *what,
		      const char *which)
{
	(void)err_set(err, -EPROTO, "the checkpoint's %s has %s%.80s, which is not granted here",
		      in->name, what, which);
	if (err)
		err->code = -EPERM;
	return -EPERM;
}
