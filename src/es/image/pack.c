/* SPDX-License-Identifier: Apache-2.0 */
#include "es/image/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "es/files/archive_stream.h"
#include "es/files/beneath.h"
#include "es/image/archive.h"
#include "net/crypto.h"

#define PIECE      (256u << 10)
#define HEX_DIGITS 64
#define BLOB_NAME  96 /* room for the name of a blob in an archive */

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"

/** complain() - Turn libarchive's complaint into ours */
/** struct packing - An archive being written */
struct packing {
	struct archive *archive;
	struct archive_stream out;
	uint8_t *piece;
};

/** complain() - Turn libarchive's complaint into ours */
static int complain(const struct packing *pk)
{
	return archive_stream_complain(&pk->out, pk->archive, "image archive");
}

/** blob_name() - Where the blob of a digest, "sha256:..." or just its digits, is in an OCI layout */
static void blob_name(char to[BLOB_NAME], const char *digest)
{
	const char *digits = digest ? strchr(digest, ':') : NULL;

	(void)snprintf(to, BLOB_NAME, "blobs/sha256/%.64s",
		       digits   ? digits + 1
		       : digest ? digest
				: "");
}

static int header_pack(struct packing *pk, const char *name, int64_t size)
{
	struct archive_entry *e = archive_entry_new();
	int r = 0;

	if (!e)
		return err_set(pk->out.err, -ENOMEM, "image archive");
	archive_entry_set_pathname(e, name);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, size);
	if (archive_write_header(pk->archive, e) != ARCHIVE_OK)
		r = complain(pk);
	archive_entry_free(e);
	return r;
}

static int bytes_pack(struct packing *pk, const void *bytes, size_t len)
{
	if (archive_write_data(pk->archive, bytes, len) != (la_ssize_t)len)
		return complain(pk);
	return 0;
}

static int file_pack(struct packing *pk, const char *name, const char *text)
{
	int r = header_pack(pk, name, (int64_t)strlen(text));

	return r < 0 ? r : bytes_pack(pk, text, strlen(text));
}

/** layer_place() - Name of a layer in the archive */
static void layer_place(char to[BLOB_NAME], const struct image_pack *what, size_t layer)
{
	char name[IMAGE_LAYER_NAME];

	image_layer_name(name, layer);
	if (what->diff_ids)
		blob_name(to, json_string_value(json_array_get(what->diff_ids, layer)));
	else
		(void)snprintf(to, BLOB_NAME, "%s/layer.tar", name);
}

/** layer_pack() - Write a layer out of its file, which may be growing */
static int layer_pack(struct packing *pk, const struct image_pack *what, size_t layer)
{
	const struct image_growing *growing = layer + 1 == what->layers ? what->growing : NULL;
	char name[IMAGE_LAYER_NAME];
	char path[BLOB_NAME];
	uint64_t length;
	uint64_t done = 0;
	struct stat st;
	int r;

	image_layer_name(name, layer);
	layer_place(path, what, layer);
	auto_close int fd = beneath_regular(what->dirfd, name, O_RDONLY);
	if (fd < 0)
		return err_set(pk->out.err, fd, "open %s", name);
	if (fstat(fd, &st) < 0)
		return err_set(pk->out.err, -errno, "open %s", name);
	length = growing ? growing->length : (uint64_t)st.st_size;
	r = header_pack(pk, path, (int64_t)length);
	while (r == 0 && done < length) {
		ssize_t n = read(fd, pk->piece, length - done < PIECE ? length - done : PIECE);

		if (n < 0 || (n == 0 && !growing))
			return err_set(pk->out.err, n < 0 ? -errno : -EIO, "read %s", name);
		if (n == 0)
			r = growing->wait(growing->ctx, done, pk->out.err);
		else
			r = bytes_pack(pk, pk->piece, (size_t)n);
		done += (uint64_t)n;
	}
	return r == 0 && growing ? growing->wait(growing->ctx, length, pk->out.err) : r;
}

/** manifest_pack() - Write the manifest, which tells the engine the kind of each file */
static int manifest_pack(struct packing *pk, const struct image_pack *what)
{
	char config[HEX_DIGITS + 8];
	json_t *layers = json_array();
	json_t *manifest;
	int r;

	(void)snprintf(config, sizeof(config), "%.64s.json", what->digest);
	for (size_t i = 0; i < what->layers; i++)
		(void)json_array_append_new(layers, json_sprintf("layer-%zu/layer.tar", i));
	manifest = json_pack("[{s:s, s:n, s:o}]", "Config", config, "RepoTags", "Layers", layers);
	auto_free char *text = manifest ? json_dumps(manifest, JSON_COMPACT) : NULL;
	json_decref(manifest);
	if (!text)
		return err_set(pk->out.err, -ENOMEM, "image archive");
	r = header_pack(pk, config, (int64_t)what->config_len);
	if (r == 0)
		r = bytes_pack(pk, what->config, what->config_len);
	return r < 0 ? r : file_pack(pk, "manifest.json", text);
}

/** descriptor() - Make an OCI manifest's descriptor of a blob. Return: a new reference, or NULL */
static json_t *descriptor(const char *type, const char *digest, uint64_t size)
{
	const char *digits = strchr(digest, ':');

	return json_pack("{s:s, s:o, s:I}", "mediaType", type, "digest",
			 json_sprintf("sha256:%s", digits ? digits + 1 : digest), "size",
			 (json_int_t)size);
}

/** layer_descriptors() - Of all layers, whose files are there. Return: a new reference, or NULL */
static json_t *layer_descriptors(const struct image_pack *what, struct err *err)
{
	json_t *list = json_array();
	char name[IMAGE_LAYER_NAME];

	for (size_t i = 0; i < what->layers; i++) {
		struct stat st;

		image_layer_name(name, i);
		int r = beneath_stat(what->dirfd, name, &st);
		if (r < 0) {
			(void)err_set(err, r, "look at %s", name);
			json_decref(list);
			return NULL;
		}
		(void)json_array_append_new(
			list, descriptor("application/vnd.oci.image.layer.v1.tar",
					 json_string_value(json_array_get(what->diff_ids, i)),
					 (uint64_t)st.st_size));
	}
	return list;
}

char *image_oci_manifest(const struct image_pack *what, struct err *err)
{
	json_t *layers = layer_descriptors(what, err);

	if (!layers)
		return NULL;
	json_t *manifest = json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType",
				     OCI_MANIFEST, "config",
				     descriptor("application/vnd.oci.image.config.v1+json",
						what->digest, what->config_len),
				     "layers", layers);
	char *text = manifest ? json_dumps(manifest, JSON_COMPACT) : NULL;
	json_decref(manifest);
	if (!text)
		(void)err_set(err, -ENOMEM, "image archive");
	return text;
}

/** oci_pack() - Write the files of an OCI layout, which tell the engine the kind of each blob */
static int oci_pack(struct packing *pk, const struct image_pack *what)
{
	char digest[HEX_DIGITS + 1];
	char name[BLOB_NAME];
	auto_free char *manifest = image_oci_manifest(what, pk->out.err);
	if (!manifest)
		return -ENOMEM;
	int r = crypto_sha256_hex(digest, manifest, strlen(manifest), pk->out.err);
	if (r < 0)
		return r;
	json_t *index = json_pack("{s:i, s:[o]}", "schemaVersion", 2, "manifests",
				  descriptor(OCI_MANIFEST, digest, strlen(manifest)));
	auto_free char *text = index ? json_dumps(index, JSON_COMPACT) : NULL;
	json_decref(index);
	if (!text)
		return err_set(pk->out.err, -ENOMEM, "image archive");
	blob_name(name, what->digest);
	r = header_pack(pk, name, (int64_t)what->config_len);
	if (r == 0)
		r = bytes_pack(pk, what->config, what->config_len);
	blob_name(name, digest);
	if (r == 0)
		r = file_pack(pk, name, manifest);
	if (r == 0)
		r = file_pack(pk, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	return r < 0 ? r : file_pack(pk, "index.json", text);
}

int image_archive_pack(const struct image_pack *what, archive_sink sink, void *ctx, struct err *err)
{
	auto_free uint8_t *piece = malloc(PIECE);
	struct packing pk = { .out = { .sink = sink, .ctx = ctx, .err = err }, .piece = piece };
	int r = 0;

	pk.archive = archive_write_new();
	if (!piece || !pk.archive)
		r = err_set(err, -ENOMEM, "image archive");
	else if (archive_write_set_format_pax_restricted(pk.archive) != ARCHIVE_OK ||
		 archive_write_set_bytes_per_block(pk.archive, 0) != ARCHIVE_OK ||
		 archive_write_open(pk.archive, &pk.out, NULL, archive_stream_write, NULL) !=
			 ARCHIVE_OK)
		r = complain(&pk);
	for (size_t i = what->first; i < what->layers && r == 0; i++)
		r = layer_pack(&pk, what, i);
	if (r == 0)
		r = what->diff_ids ? oci_pack(&pk, what) : manifest_pack(&pk, what);
	if (r == 0 && archive_write_close(pk.archive) != ARCHIVE_OK)
		r = complain(&pk);
	/* libarchive writes an end on its own, which here would say that all was good. */
	pk.out.failed = pk.out.failed ? pk.out.failed : -EPIPE;
	if (pk.archive)
		(void)archive_write_free(pk.archive);
	return r;
}
