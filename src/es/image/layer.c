/* SPDX-License-Identifier: Apache-2.0 */
#include "es/image/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/files.h"

#define PIECE (256u << 10)

bool image_layer_packed(int fd)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b };
	static const uint8_t zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	uint8_t begin[4] = { 0 };

	if (pread(fd, begin, sizeof(begin), 0) != (ssize_t)sizeof(begin))
		return false;
	return memcmp(begin, gzip, sizeof(gzip)) == 0 || memcmp(begin, zstd, sizeof(zstd)) == 0;
}

static int complain(struct archive *a, struct err *err)
{
	const char *text = archive_error_string(a);

	return err_set(err, -EPROTO, "a layer of the image: %s", text ? text : "damaged");
}

/** blob_open() - Begin to read a compressed file as one stream of bytes */
static int blob_open(struct archive *a, int from, struct err *err)
{
	struct archive_entry *e;

	if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_support_format_raw(a) != ARCHIVE_OK ||
	    archive_read_open_fd(a, from, PIECE) != ARCHIVE_OK ||
	    archive_read_next_header(a, &e) != ARCHIVE_OK)
		return complain(a, err);
	return 0;
}

/** blob_copy() - Write its decompressed bytes */
static int blob_copy(struct archive *a, int to, uint64_t *room, struct err *err)
{
	const void *bytes;
	la_int64_t at;
	size_t len;
	int r;

	while ((r = archive_read_data_block(a, &bytes, &len, &at)) == ARCHIVE_OK) {
		if (len > *room)
			return err_set(err, -EFBIG, "a layer of the image is too large");
		*room -= len;
		r = files_write(to, bytes, len);
		if (r < 0)
			return err_set(err, r, "write a layer");
	}
	return r == ARCHIVE_EOF ? 0 : complain(a, err);
}

int image_layer_unpack(int from, int to, uint64_t *room, struct err *err)
{
	struct archive *a = archive_read_new();
	int r = a ? blob_open(a, from, err) : err_set(err, -ENOMEM, "a layer of the image");

	if (r == 0)
		r = blob_copy(a, to, room, err);
	if (a)
		(void)archive_read_free(a);
	return r;
}
