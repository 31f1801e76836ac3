/* SPDX-License-Identifier: Apache-2.0 */
#include "es/image/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/files.h"
#include "es/files/archive_stream.h"
#include "es/files/beneath.h"
#include "es/image/layer.h"

#define PIECE      (256u << 10)
#define HEX_DIGITS 64

/** struct reading - An archive being read */
struct reading {
	struct archive *archive;
	struct archive_stream stream;
	size_t entries;
};

/** enum kind - Kinds of entries, by their names */
enum kind {
	KIND_OTHER,
	KIND_MANIFEST,
	KIND_CONFIG, /* or a blob, which may be a layer */
	KIND_LAYER,
};

/** is_digest() - Whether @text begins with a SHA-256 in hexadecimal */
static bool is_digest(const char *text)
{
	return strspn(text, "0123456789abcdef") == HEX_DIGITS;
}

/** kind_of() - Kind of an entry */
static enum kind kind_of(const char *name)
{
	static const char blobs[] = "blobs/sha256/";

	if (!name)
		return KIND_OTHER;
	if (!strcmp(name, "manifest.json"))
		return KIND_MANIFEST;
	if (is_digest(name) && !strcmp(name + HEX_DIGITS, ".json"))
		return KIND_CONFIG;
	if (is_digest(name) && !strcmp(name + HEX_DIGITS, "/layer.tar"))
		return KIND_LAYER;
	if (!strncmp(name, blobs, sizeof(blobs) - 1) && is_digest(name + sizeof(blobs) - 1) &&
	    !name[sizeof(blobs) - 1 + HEX_DIGITS])
		return KIND_CONFIG;
	return KIND_OTHER;
}

/** complain() - Turn libarchive's complaint into ours */
static int complain(const struct reading *in)
{
	return archive_stream_complain(&in->stream, in->archive, "image archive");
}

/** reading_begin() - Begin to read an archive; reading_end() is owed in any case */
static int reading_begin(struct reading *in)
{
	in->archive = archive_read_new();
	if (!in->archive)
		return err_set(in->stream.err, -ENOMEM, "image archive");
	if (archive_read_support_format_tar(in->archive) != ARCHIVE_OK ||
	    archive_read_open(in->archive, &in->stream, NULL, archive_stream_read, NULL) !=
		    ARCHIVE_OK)
		return complain(in);
	return 0;
}

static void reading_end(struct reading *in)
{
	if (in->archive)
		(void)archive_read_free(in->archive);
}

/** reading_next() - Go on to the next entry. Return: 1, 0 at the end, or negative error code */
static int reading_next(struct reading *in, struct archive_entry **e)
{
	int got = archive_read_next_header(in->archive, e);

	if (got == ARCHIVE_EOF)
		return 0;
	if (got < ARCHIVE_WARN)
		return complain(in);
	if (++in->entries > IMAGE_ENTRIES_MAX)
		return err_set(in->stream.err, -EFBIG, "image archive: more than %d entries",
			       IMAGE_ENTRIES_MAX);
	return 1;
}

/** layer_names_check() - Are they names of layers, one for each? */
static int layer_names_check(const json_t *names, size_t count, struct err *err)
{
	const json_t *name;
	size_t i;

	if (!json_is_array(names) || json_array_size(names) != count)
		return err_set(err, -EPROTO, "image archive: %zu layers, not %zu",
			       json_array_size(names), count);
	json_array_foreach(names, i, name)
	{
		enum kind kind = kind_of(json_string_value(name));

		if (kind != KIND_LAYER && kind != KIND_CONFIG)
			return err_set(err, -EPROTO, "image archive: layer %zu has no name of one",
				       i);
	}
	return 0;
}

/** manifest_check() - Is it the image, the only one, and without a name? */
static int manifest_check(const json_t *manifest, const struct image_rules *rules, struct err *err)
{
	const json_t *one = json_array_get(manifest, 0);
	const json_t *tags = json_object_get(one, "RepoTags");
	const char *config = json_string_value(json_object_get(one, "Config"));
	const char *digest = rules->id ? strchr(rules->id, ':') : NULL;

	if (json_array_size(manifest) != 1 || !json_is_object(one))
		return err_set(err, -EPROTO, "image archive: %zu images, not 1",
			       json_array_size(manifest));
	if (tags && !json_is_null(tags) && json_array_size(tags))
		return err_set(err, -EPROTO, "image archive: it names the image");
	if (kind_of(config) != KIND_CONFIG)
		return err_set(err, -EPROTO, "image archive: no name of a configuration");
	if (rules->id && (!digest || !strstr(config, digest + 1)))
		return err_set(err, -EPROTO, "image archive: not of image %.80s", rules->id);
	return layer_names_check(json_object_get(one, "Layers"), rules->layers, err);
}

/**
 * manifest_read() - Read and check the manifest
 * @in:		Archive, at its entry
 * @e:		The entry
 * @rules: Conditions that it must meet
 * @failed:	Set to the error code, if there is one
 *
 * Return: its JSON, a new reference, or NULL with the error set
 */
static json_t *manifest_read(struct reading *in, struct archive_entry *e,
			     const struct image_rules *rules, int *failed)
{
	int64_t size = archive_entry_size(e);
	json_t *manifest;

	if (archive_entry_filetype(e) != AE_IFREG || size <= 0 || size > IMAGE_MANIFEST_MAX) {
		*failed = err_set(in->stream.err, -EPROTO,
				  "image archive: its manifest has %lld bytes", (long long)size);
		return NULL;
	}
	auto_free char *text = malloc((size_t)size);
	if (!text) {
		*failed = err_set(in->stream.err, -ENOMEM, "image archive");
		return NULL;
	}
	if (archive_read_data(in->archive, text, (size_t)size) != (la_ssize_t)size) {
		*failed = complain(in);
		return NULL;
	}
	manifest = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
	if (!manifest)
		*failed =
			err_set(in->stream.err, -EPROTO, "image archive: its manifest is no JSON");
	else
		*failed = manifest_check(manifest, rules, in->stream.err);
	if (*failed < 0) {
		json_decref(manifest);
		return NULL;
	}
	return manifest;
}

/*
 * --- an engine's archive ------------------------------------------------------------------------
 */

/**
 * struct unpacking - An archive being taken apart
 * @dirfd:	for the files, each under the digits of its name until the manifest tells its kind
 * @links:	from a layer's name to that of the layer which is the same
 * @bytes:	of all files so far
 */
struct unpacking {
	struct reading in;
	const struct image_rules *rules;
	int dirfd;
	json_t *links;
	json_t *manifest;
	uint64_t bytes;
};

/** stored_name() - Name of a waiting file: the digits of its own name */
static void stored_name(char to[HEX_DIGITS + 1], const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *digits = is_digest(name) ? name : slash ? slash + 1 : name;

	(void)snprintf(to, HEX_DIGITS + 1, "%.*s", HEX_DIGITS, digits);
}

/** data_unpack() - Write an entry's bytes into its file; an engine's archive has no holes */
static int data_unpack(struct unpacking *up, int fd, int64_t size, const char *name)
{
	const void *bytes;
	int64_t done = 0;
	la_int64_t at;
	size_t len;
	int r;

	while ((r = archive_read_data_block(up->in.archive, &bytes, &len, &at)) == ARCHIVE_OK) {
		if (at != done || len > (uint64_t)(size - done))
			return err_set(up->in.stream.err, -EPROTO, "image archive: %s has holes",
				       name);
		r = files_write(fd, bytes, len);
		if (r < 0)
			return err_set(up->in.stream.err, r, "write %s", name);
		done += (int64_t)len;
	}
	if (r == ARCHIVE_EOF && done < size)
		return err_set(up->in.stream.err, -EPROTO, "image archive: %s has holes", name);
	return r == ARCHIVE_EOF ? 0 : complain(&up->in);
}

/** file_unpack() - Keep a regular file */
static int file_unpack(struct unpacking *up, struct archive_entry *e)
{
	int64_t size = archive_entry_size(e);
	char name[HEX_DIGITS + 1];

	if (size < 0 || up->bytes > up->rules->max_bytes ||
	    (uint64_t)size > up->rules->max_bytes - up->bytes)
		return err_set(up->in.stream.err, -EFBIG, "image archive: more than %llu bytes",
			       (unsigned long long)up->rules->max_bytes);
	up->bytes += (uint64_t)size;
	stored_name(name, archive_entry_pathname(e));
	auto_close int fd = beneath_create(up->dirfd, name);
	if (fd < 0)
		return err_set(up->in.stream.err, fd, "create %s", name);
	return data_unpack(up, fd, size, name);
}

/** link_unpack() - Remember that a layer is the same as another one */
static int link_unpack(struct unpacking *up, struct archive_entry *e)
{
	const char *to = archive_entry_symlink(e);

	if (!to || strncmp(to, "../", 3) != 0 || kind_of(to + 3) != KIND_LAYER)
		return err_set(up->in.stream.err, -EPROTO, "image archive: a link to no layer");
	if (json_object_set_new(up->links, archive_entry_pathname(e), json_string(to + 3)) < 0)
		return err_set(up->in.stream.err, -ENOMEM, "image archive");
	return 0;
}

/** entry_unpack() - Keep an entry, or not */
static int entry_unpack(struct unpacking *up, struct archive_entry *e)
{
	const char *name = archive_entry_pathname(e);
	enum kind kind = kind_of(name);
	int r = 0;

	if (kind == KIND_OTHER)
		return 0;
	if (kind == KIND_MANIFEST && up->manifest)
		return err_set(up->in.stream.err, -EPROTO, "image archive: two manifests");
	if (kind == KIND_MANIFEST) {
		up->manifest = manifest_read(&up->in, e, up->rules, &r);
		return r;
	}
	if (archive_entry_hardlink(e))
		return err_set(up->in.stream.err, -EPROTO, "image archive: a link to no layer");
	if (archive_entry_filetype(e) == AE_IFREG)
		return file_unpack(up, e);
	if (archive_entry_filetype(e) == AE_IFLNK && kind == KIND_LAYER)
		return link_unpack(up, e);
	return err_set(up->in.stream.err, -EPROTO, "image archive: %.80s is no file", name);
}

/** layer_inflate() - Write a layer as it is without its compression */
static int layer_inflate(struct unpacking *up, int from, const char *as)
{
	uint64_t room = up->rules->max_bytes - up->bytes;
	auto_close int to = beneath_create(up->dirfd, as);
	if (to < 0)
		return err_set(up->in.stream.err, to, "create %s", as);
	int r = image_layer_unpack(from, to, &room, up->in.stream.err);
	up->bytes = up->rules->max_bytes - room;
	return r;
}

/** stored_take() - Give a file the name it is to have */
static int stored_take(struct unpacking *up, const char *name, const char *as)
{
	const char *same = json_string_value(json_object_get(up->links, name));
	char stored[HEX_DIGITS + 1];
	int r;

	stored_name(stored, same ? same : name);
	auto_close int fd = beneath_regular(up->dirfd, stored, O_RDONLY);
	if (fd >= 0 && image_layer_packed(fd))
		return layer_inflate(up, fd, as);
	r = beneath_link(up->dirfd, stored, up->dirfd, as);
	return r < 0 ? err_set(up->in.stream.err, r == -ENOENT ? -EPROTO : r,
			       "image archive: %.80s is missing", name)
		     : 0;
}

/** all_take() - Name configuration and layers, and forget the rest */
static int all_take(struct unpacking *up)
{
	const json_t *one = json_array_get(up->manifest, 0);
	const json_t *layers = json_object_get(one, "Layers");
	char as[IMAGE_LAYER_NAME];
	DIR *dir = beneath_list(up->dirfd);
	const struct dirent *entry;
	int r;

	if (!dir)
		return err_set(up->in.stream.err, -errno, "image archive");
	r = stored_take(up, json_string_value(json_object_get(one, "Config")), IMAGE_CONFIG);
	for (size_t i = 0; i < json_array_size(layers) && r == 0; i++) {
		image_layer_name(as, i);
		r = stored_take(up, json_string_value(json_array_get(layers, i)), as);
	}
	while ((entry = readdir(dir)))
		if (is_digest(entry->d_name))
			(void)beneath_unlink(up->dirfd, entry->d_name, 0);
	(void)closedir(dir);
	return r;
}

int image_archive_unpack(const struct image_rules *rules, archive_source source, void *ctx,
			 int dirfd, struct err *err)
{
	struct unpacking up = { .in.stream = { .source = source, .ctx = ctx, .err = err },
				.rules = rules,
				.dirfd = dirfd,
				.links = json_object() };
	struct archive_entry *e;
	int r;

	r = up.links ? reading_begin(&up.in) : err_set(err, -ENOMEM, "image archive");
	while (r == 0 && (r = reading_next(&up.in, &e)) > 0)
		r = entry_unpack(&up, e);
	if (r == 0 && !up.manifest)
		r = err_set(err, -EPROTO, "image archive: no manifest");
	if (r == 0)
		r = all_take(&up);
	reading_end(&up.in);
	json_decref(up.links);
	json_decref(up.manifest);
	return r;
}

void image_layer_name(char to[IMAGE_LAYER_NAME], size_t layer)
{
	(void)snprintf(to, IMAGE_LAYER_NAME, "layer-%zu", layer);
}
