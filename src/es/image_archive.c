/* SPDX-License-Identifier: Apache-2.0 */
#include "es/image_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <string.h>

#include "base/err.h"

#define PIECE      (256u << 10)
#define HEX_DIGITS 64

/** struct reading - An archive being read */
struct reading {
	struct archive *archive;
	archive_source source;
	void *ctx;
	struct err *err;
	int failed;
	size_t entries;
};

/**
 * struct image_archive - An archive being written
 * @err:	of the call under way, for the sink
 * @manifest:	has passed
 */
struct image_archive {
	const struct image_rules *rules;
	struct archive *archive;
	archive_sink sink;
	void *ctx;
	struct err *err;
	int failed;
	bool manifest;
	uint64_t bytes;
	uint8_t *piece;
};

/** enum kind - What an entry is, by its name */
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

/** kind_of() - What an entry is */
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
static int complain(struct archive *a, int failed, struct err *err)
{
	const char *text = archive_error_string(a);

	return failed ? failed
		      : err_set(err, -EPROTO, "image archive: %s", text ? text : "no reason given");
}

/* libarchive asks for the next bytes. */
static la_ssize_t source_read(struct archive *a, void *ctx, const void **bytes)
{
	struct reading *in = ctx;
	ssize_t n = in->failed ? in->failed : in->source(in->ctx, bytes, in->err);

	if (n < 0) {
		in->failed = (int)n;
		archive_set_error(a, (int)-n, "the stream is broken");
		return -1;
	}
	return n;
}

/** reading_begin() - Begin to read an archive; reading_end() is owed in any case */
static int reading_begin(struct reading *in)
{
	in->archive = archive_read_new();
	if (!in->archive)
		return err_set(in->err, -ENOMEM, "image archive");
	if (archive_read_support_format_tar(in->archive) != ARCHIVE_OK ||
	    archive_read_open(in->archive, in, NULL, source_read, NULL) != ARCHIVE_OK)
		return complain(in->archive, in->failed, in->err);
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
		return complain(in->archive, in->failed, in->err);
	if (++in->entries > IMAGE_ENTRIES_MAX)
		return err_set(in->err, -EFBIG, "image archive: more than %d entries",
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
	const char *digest = strchr(rules->id, ':');

	if (json_array_size(manifest) != 1 || !json_is_object(one))
		return err_set(err, -EPROTO, "image archive: %zu images, not 1",
			       json_array_size(manifest));
	if (tags && !json_is_null(tags) && json_array_size(tags))
		return err_set(err, -EPROTO, "image archive: it names the image");
	if (!digest || kind_of(config) != KIND_CONFIG || !strstr(config, digest + 1))
		return err_set(err, -EPROTO, "image archive: not of image %.80s", rules->id);
	return layer_names_check(json_object_get(one, "Layers"), rules->layers, err);
}

/**
 * manifest_read() - Read and check the manifest
 * @in:		Archive, at its entry
 * @e:		The entry
 * @rules:	What it must say
 * @text:	Set to its bytes; to be freed by the caller
 * @len:	Set to their number
 *
 * Return: its JSON, a new reference, or NULL with the error set
 */
static json_t *manifest_read(struct reading *in, struct archive_entry *e,
			     const struct image_rules *rules, char **text, size_t *len, int *failed)
{
	int64_t size = archive_entry_size(e);
	json_t *manifest;

	*text = NULL;
	if (archive_entry_filetype(e) != AE_IFREG || size <= 0 || size > IMAGE_MANIFEST_MAX) {
		*failed = err_set(in->err, -EPROTO, "image archive: its manifest has %lld bytes",
				  (long long)size);
		return NULL;
	}
	*len = (size_t)size;
	*text = malloc(*len);
	if (!*text) {
		*failed = err_set(in->err, -ENOMEM, "image archive");
		return NULL;
	}
	if (archive_read_data(in->archive, *text, *len) != (la_ssize_t)*len) {
		*failed = complain(in->archive, in->failed, in->err);
		return NULL;
	}
	manifest = json_loadb(*text, *len, JSON_REJECT_DUPLICATES, NULL);
	if (!manifest)
		*failed = err_set(in->err, -EPROTO, "image archive: its manifest is no JSON");
	else
		*failed = manifest_check(manifest, rules, in->err);
	if (*failed < 0) {
		json_decref(manifest);
		return NULL;
	}
	return manifest;
}

/** manifest_find() - Read up to the manifest. Return: 0, or negative error code */
static int manifest_find(struct reading *in, const struct image_rules *rules, json_t **ret)
{
	struct archive_entry *e;
	int r;

	while ((r = reading_next(in, &e)) > 0) {
		auto_free char *text = NULL;
		size_t len;
		json_t *manifest;

		if (kind_of(archive_entry_pathname(e)) != KIND_MANIFEST)
			continue;
		manifest = manifest_read(in, e, rules, &text, &len, &r);
		if (manifest)
			*ret = json_incref(json_object_get(json_array_get(manifest, 0), "Layers"));
		json_decref(manifest);
		return r;
	}
	return r < 0 ? r : err_set(in->err, -EPROTO, "image archive: no manifest");
}

int image_archive_manifest(json_t **ret, const struct image_rules *rules, archive_source source,
			   void *ctx, struct err *err)
{
	struct reading in = { .source = source, .ctx = ctx, .err = err };
	int r = reading_begin(&in);

	if (r == 0)
		r = manifest_find(&in, rules, ret);
	reading_end(&in);
	return r;
}

/* libarchive hands us the next bytes. */
static la_ssize_t sink_write(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	struct image_archive *ia = ctx;

	if (!ia->failed)
		ia->failed = ia->sink(ia->ctx, bytes, len, ia->err);
	if (ia->failed) {
		archive_set_error(a, -ia->failed, "the stream is broken");
		return -1;
	}
	return (la_ssize_t)len;
}

int image_archive_new(struct image_archive **ret, const struct image_rules *rules,
		      archive_sink sink, void *ctx, struct err *err)
{
	AUTO(image_archive) struct image_archive *ia = calloc(1, sizeof(*ia));
	if (!ia)
		return err_set(err, -ENOMEM, "image archive");
	ia->rules = rules;
	ia->sink = sink;
	ia->ctx = ctx;
	ia->piece = malloc(PIECE);
	ia->archive = archive_write_new();
	if (!ia->piece || !ia->archive)
		return err_set(err, -ENOMEM, "image archive");
	if (archive_write_set_format_pax_restricted(ia->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(ia->archive, 0) != ARCHIVE_OK ||
	    archive_write_open(ia->archive, ia, NULL, sink_write, NULL) != ARCHIVE_OK)
		return complain(ia->archive, 0, err);
	*ret = TAKE_PTR(ia);
	return 0;
}

struct image_archive *image_archive_free(struct image_archive *ia)
{
	if (!ia)
		return NULL;
	/* libarchive writes an end on its own, which here would say that all was good. */
	ia->failed = ia->failed ? ia->failed : -EPIPE;
	if (ia->archive)
		(void)archive_write_free(ia->archive);
	free(ia->piece);
	free(ia);
	return NULL;
}

/** is_left_out() - Whether the rules leave a file out */
static bool is_left_out(const struct image_rules *rules, const char *name)
{
	const json_t *other;
	size_t i;

	json_array_foreach(rules->left_out, i, other)
	{
		if (!strcmp(json_string_value(other), name))
			return true;
	}
	return false;
}

/** header_write() - Begin a file of the result: of the old one its name, type and size only */
static int header_write(struct image_archive *ia, struct archive_entry *from)
{
	struct archive_entry *e = archive_entry_new();
	int r = 0;

	if (!e)
		return err_set(ia->err, -ENOMEM, "image archive");
	archive_entry_set_pathname(e, archive_entry_pathname(from));
	archive_entry_set_perm(e, 0644);
	archive_entry_set_filetype(e, archive_entry_filetype(from));
	if (archive_entry_filetype(from) == AE_IFLNK)
		archive_entry_set_symlink(e, archive_entry_symlink(from));
	else
		archive_entry_set_size(e, archive_entry_size(from));
	if (archive_write_header(ia->archive, e) != ARCHIVE_OK)
		r = complain(ia->archive, ia->failed, ia->err);
	archive_entry_free(e);
	return r;
}

static int bytes_write(struct image_archive *ia, const void *bytes, size_t len)
{
	if (archive_write_data(ia->archive, bytes, len) != (la_ssize_t)len)
		return complain(ia->archive, ia->failed, ia->err);
	ia->bytes += len;
	return 0;
}

/** file_copy() - Let a regular file pass */
static int file_copy(struct image_archive *ia, struct reading *in, struct archive_entry *e)
{
	int64_t left = archive_entry_size(e);
	la_ssize_t n;
	int r;

	if (left < 0 || ia->bytes > ia->rules->max_bytes ||
	    (uint64_t)left > ia->rules->max_bytes - ia->bytes)
		return err_set(in->err, -EFBIG, "image archive: more than %llu bytes",
			       (unsigned long long)ia->rules->max_bytes);
	r = header_write(ia, e);
	while (r == 0 && left > 0) {
		n = archive_read_data(in->archive, ia->piece, PIECE);
		if (n <= 0)
			return complain(in->archive, in->failed, in->err);
		left -= n;
		r = bytes_write(ia, ia->piece, (size_t)n);
	}
	return r;
}

/** link_copy() - Let a layer pass that is the same as another one */
static int link_copy(struct image_archive *ia, struct reading *in, struct archive_entry *e)
{
	const char *to = archive_entry_symlink(e);

	if (!to || strncmp(to, "../", 3) != 0 || kind_of(to + 3) != KIND_LAYER)
		return err_set(in->err, -EPROTO, "image archive: a link to no layer");
	return header_write(ia, e);
}

/** manifest_copy() - Let the manifest pass, if it says what the rules want */
static int manifest_copy(struct image_archive *ia, struct reading *in, struct archive_entry *e)
{
	auto_free char *text = NULL;
	size_t len = 0;
	json_t *manifest;
	int r = 0;

	if (ia->manifest)
		return err_set(in->err, -EPROTO, "image archive: two manifests");
	manifest = manifest_read(in, e, ia->rules, &text, &len, &r);
	json_decref(manifest);
	if (r == 0)
		r = header_write(ia, e);
	if (r == 0)
		r = bytes_write(ia, text, len);
	ia->manifest = r == 0;
	return r;
}

/** entry_copy() - Let an entry pass, or not */
static int entry_copy(struct image_archive *ia, struct reading *in, struct archive_entry *e)
{
	const char *name = archive_entry_pathname(e);
	enum kind kind = kind_of(name);

	if (kind == KIND_MANIFEST)
		return manifest_copy(ia, in, e);
	if (kind == KIND_OTHER || is_left_out(ia->rules, name))
		return 0;
	if (archive_entry_hardlink(e))
		return err_set(in->err, -EPROTO, "image archive: a link to no layer");
	if (archive_entry_filetype(e) == AE_IFREG)
		return file_copy(ia, in, e);
	if (archive_entry_filetype(e) == AE_IFLNK && kind == KIND_LAYER)
		return link_copy(ia, in, e);
	return err_set(in->err, -EPROTO, "image archive: %.80s is no file", name);
}

int image_archive_copy(struct image_archive *ia, archive_source source, void *ctx, struct err *err)
{
	struct reading in = { .source = source, .ctx = ctx, .err = err };
	struct archive_entry *e;
	int r = reading_begin(&in);

	ia->err = err;
	while (r == 0 && (r = reading_next(&in, &e)) > 0)
		r = entry_copy(ia, &in, e);
	/* Without a manifest an engine would look for what older ones wrote, names included. */
	if (r == 0 && !ia->manifest)
		r = err_set(err, -EPROTO, "image archive: no manifest");
	reading_end(&in);
	ia->err = NULL;
	return r;
}

int image_archive_end(struct image_archive *ia, struct err *err)
{
	int r = 0;

	ia->err = err;
	if (archive_write_close(ia->archive) != ARCHIVE_OK)
		r = complain(ia->archive, ia->failed, err);
	ia->err = NULL;
	return r;
}

uint64_t image_archive_bytes(const struct image_archive *ia)
{
	return ia->bytes;
}
