/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Images on their way: archives as Docker 20.10 and 25 write them taken apart, and refused when they
 * are not what they should be; layers sent, broken off, gone on with, corrupted; and put together.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "es/engine/docker_engine.h"
#include "es/files/layer_node.h"
#include "es/image/archive.h"
#include "es/image/arrival.h"
#include "es/image/pack.h"
#include "net/crypto.h"

#define HEX(c)  c c c c c c c c c c c c c c c c
#define CONFIG  HEX("abcd")
#define LAYER_A HEX("000a")
#define LAYER_B HEX("000b")
#define ID      "sha256:" CONFIG
#define LIMIT   (64u << 20)

#define MANIFEST(tags)                                                                             \
	"[{\"Config\":\"" CONFIG ".json\",\"RepoTags\":" tags ",\"Layers\":[\"" LAYER_A            \
	"/layer.tar\",\"" LAYER_B "/layer.tar\"]}]"

#define BLOB(c) "blobs/sha256/" HEX(c)
#define BLOBS                                                                                      \
	"[{\"Config\":\"blobs/sha256/" CONFIG                                                      \
	"\",\"RepoTags\":[],\"Layers\":[\"" BLOB("000a") "\",\"" BLOB("000b") "\"]}]"

/**
 * struct item - An entry to write: a file, a link if @link is set, a directory if @text is NULL
 * @len:	of @text; 0: up to its NUL
 */
struct item {
	const char *name;
	const char *text;
	const char *link;
	size_t len;
};

/* --- archives ------------------------------------------------------------------------------- */

/** struct input - Bytes given in pieces, which need not be those of the archive's blocks */
struct input {
	struct buf bytes;
	size_t at;
	size_t piece;
	bool broken; /* an error at the end, not an end */
};

static la_ssize_t keep(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	(void)a;
	assert_int_equal(buf_append(ctx, bytes, len, NULL), 0);
	return (la_ssize_t)len;
}

static void make(struct input *in, const struct item *items)
{
	struct archive *a = archive_write_new();

	*in = (struct input){ .piece = 700 };
	buf_init(&in->bytes, LIMIT);
	assert_int_equal(archive_write_set_format_ustar(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open(a, &in->bytes, NULL, keep, NULL), ARCHIVE_OK);
	for (; items->name; items++) {
		size_t len = items->len ? items->len : items->text ? strlen(items->text) : 0;
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, items->name);
		archive_entry_set_perm(e, 0755);
		archive_entry_set_filetype(e, items->link   ? AE_IFLNK
					      : items->text ? AE_IFREG
							    : AE_IFDIR);
		if (items->link)
			archive_entry_set_symlink(e, items->link);
		else if (items->text)
			archive_entry_set_size(e, (int64_t)len);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		if (items->text && !items->link)
			(void)archive_write_data(a, items->text, len);
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	(void)archive_write_free(a);
}

static ssize_t give(void *ctx, const void **bytes, struct err *err)
{
	struct input *in = ctx;
	size_t len = in->bytes.len - in->at < in->piece ? in->bytes.len - in->at : in->piece;

	if (!len && in->broken)
		return err_set(err, -ECONNRESET, "broken");
	*bytes = buf_bytes(&in->bytes) + in->at;
	in->at += len;
	return (ssize_t)len;
}

static int take(void *ctx, const void *bytes, size_t len, struct err *err)
{
	return buf_append(ctx, bytes, len, err);
}

static char home[] = "/tmp/baton-test-image-XXXXXX";

/** folder() - A new, empty directory. Return: its descriptor, the caller's */
static int folder(const char *name)
{
	char path[sizeof(home) + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", home, name);
	(void)layer_path_remove(path, NULL);
	assert_int_equal(mkdir(path, 0700), 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/** unpack() - Take an archive apart into a new directory. Return: what came back */
static int unpack(struct input *in, const struct image_rules *rules, int *dirfd)
{
	struct err err = { 0 };
	int r;

	*dirfd = folder("unpacked");
	r = image_archive_unpack(rules, give, in, *dirfd, &err);
	if (r < 0)
		assert_true(*err.text);
	buf_deinit(&in->bytes);
	return r;
}

static const struct image_rules plain = { .id = ID, .layers = 2, .max_bytes = LIMIT };

static void refused(const struct item *items, int code)
{
	struct input in;
	int dirfd;

	make(&in, items);
	assert_int_equal(unpack(&in, &plain, &dirfd), code);
	close(dirfd);
}

/** file_is() - A file of a directory has this text; NULL: there is none */
static void file_is(int dirfd, const char *name, const char *text)
{
	char bytes[1024];
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (!text) {
		assert_int_equal(fd, -1);
		return;
	}
	assert_true(fd >= 0);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	assert_int_equal(n, strlen(text));
	assert_memory_equal(bytes, text, (size_t)n);
}

/** expect() - @out is an archive of just these entries, in this order; released */
static void expect(struct buf *out, const struct item *items)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	char text[1024];

	(void)archive_read_support_format_tar(a);
	assert_int_equal(archive_read_open_memory(a, buf_bytes(out), out->len), ARCHIVE_OK);
	for (; items->name; items++) {
		assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
		assert_string_equal(archive_entry_pathname(e), items->name);
		assert_int_equal(archive_entry_perm(e), 0644);
		la_ssize_t n = archive_read_data(a, text, sizeof(text));
		assert_int_equal(n, strlen(items->text));
		assert_memory_equal(text, items->text, (size_t)n);
	}
	assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_EOF);
	(void)archive_read_free(a);
	buf_deinit(out);
}

/* --- what passes -------------------------------------------------------------------------------- */

/* as Docker 20.10 writes it: the manifest last */
static const struct item old[] = { { LAYER_A "/", NULL, NULL },
				   { LAYER_A "/VERSION", "1.0", NULL },
				   { LAYER_A "/json", "{}", NULL },
				   { LAYER_A "/layer.tar", "lower", NULL },
				   { CONFIG ".json", "{\"config\":1}", NULL },
				   { LAYER_B "/layer.tar", "upper", NULL },
				   { "manifest.json", MANIFEST("null"), NULL },
				   { "repositories", "{\"evil\":{}}", NULL },
				   { NULL, NULL, NULL } };

static void test_unpacked(void **state)
{
	struct input in;
	int dirfd;

	(void)state;
	make(&in, old);
	assert_int_equal(unpack(&in, &plain, &dirfd), 0);
	file_is(dirfd, "config", "{\"config\":1}");
	file_is(dirfd, "layer-0", "lower");
	file_is(dirfd, "layer-1", "upper");
	/* what waited for the manifest under another name is gone */
	file_is(dirfd, LAYER_A, NULL);
	file_is(dirfd, "repositories", NULL);
	close(dirfd);
}

static void test_blobs(void **state)
{
	const struct item items[] = {
		{ "blobs/sha256/", NULL, NULL }, { BLOB("000a"), "lower", NULL },
		{ BLOB("000b"), "upper", NULL }, { "blobs/sha256/" CONFIG, "{}", NULL },
		{ "index.json", "{}", NULL },    { "manifest.json", BLOBS, NULL },
		{ "oci-layout", "{}", NULL },    { NULL, NULL, NULL }
	};
	struct input in;
	int dirfd;

	(void)state;
	make(&in, items);
	assert_int_equal(unpack(&in, &plain, &dirfd), 0);
	file_is(dirfd, "config", "{}");
	file_is(dirfd, "layer-0", "lower");
	file_is(dirfd, "layer-1", "upper");
	close(dirfd);
}

/** containerd keeps layers as they came from a registry, and calls an image by another digest */
static void test_compressed(void **state)
{
	/* "lower" by gzip, "upper" by zstd */
	static const char gzip[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xc9\x2f\x4f\x2d"
				   "\x02\x00\x23\x7b\x9a\x0e\x05\x00\x00\x00";
	static const char zstd[] = "\x28\xb5\x2f\xfd\x00\x58\x29\x00\x00\x75\x70\x70\x65\x72";
	struct item items[] = { { BLOB("000a"), gzip, NULL, sizeof(gzip) - 1 },
				{ BLOB("000b"), zstd, NULL, sizeof(zstd) - 1 },
				{ "blobs/sha256/" CONFIG, "{}", NULL, 0 },
				{ "manifest.json", BLOBS, NULL, 0 },
				{ NULL, NULL, NULL, 0 } };
	struct image_rules rules = { .layers = 2, .max_bytes = LIMIT };
	struct input in;
	int dirfd;

	(void)state;
	make(&in, items);
	assert_int_equal(unpack(&in, &rules, &dirfd), 0);
	file_is(dirfd, "layer-0", "lower");
	file_is(dirfd, "layer-1", "upper");
	close(dirfd);
	/* what comes out is counted, too */
	rules.max_bytes = sizeof(gzip) + sizeof(zstd) + 2;
	make(&in, items);
	assert_int_equal(unpack(&in, &rules, &dirfd), -EFBIG);
	close(dirfd);
	rules.max_bytes = LIMIT;
	items[0].len -= 6;
	make(&in, items);
	assert_int_equal(unpack(&in, &rules, &dirfd), -EPROTO);
	close(dirfd);
}

/** A layer that comes twice is a link the second time */
static void test_link(void **state)
{
	static const struct item items[] = { { LAYER_B "/layer.tar", NULL,
					       "../" LAYER_A "/layer.tar" },
					     { LAYER_A "/layer.tar", "lower", NULL },
					     { CONFIG ".json", "{}", NULL },
					     { "manifest.json", MANIFEST("null"), NULL },
					     { NULL, NULL, NULL } };
	struct input in;
	int dirfd;

	(void)state;
	make(&in, items);
	assert_int_equal(unpack(&in, &plain, &dirfd), 0);
	file_is(dirfd, "layer-0", "lower");
	file_is(dirfd, "layer-1", "lower");
	close(dirfd);
}

/** Only the layers that an engine lacks are in what it loads */
static void test_packed(void **state)
{
	static const char manifest[] = "[{\"Config\":\"" CONFIG ".json\",\"RepoTags\":null,"
				       "\"Layers\":[\"layer-0/layer.tar\",\"layer-1/layer.tar\"]}]";
	static const struct item passed[] = { { "layer-1/layer.tar", "upper", NULL },
					      { CONFIG ".json", "{\"config\":1}", NULL },
					      { "manifest.json", manifest, NULL },
					      { NULL, NULL, NULL } };
	struct image_pack what = { .config = "{\"config\":1}",
				   .config_len = strlen("{\"config\":1}"),
				   .digest = CONFIG,
				   .layers = 2,
				   .first = 1 };
	struct input in;
	struct buf out;
	struct err err;

	(void)state;
	make(&in, old);
	assert_int_equal(unpack(&in, &plain, &what.dirfd), 0);
	buf_init(&out, LIMIT);
	assert_int_equal(image_archive_pack(&what, take, &out, &err), 0);
	expect(&out, passed);
	/* a layer that is not there: no whole archive comes of it */
	what.layers = 3;
	buf_init(&out, LIMIT);
	assert_int_equal(image_archive_pack(&what, take, &out, &err), -ENOENT);
	for (size_t i = 0; i + 1024 <= out.len; i += 512) {
		static const uint8_t zeros[1024];

		assert_true(memcmp(buf_bytes(&out) + i, zeros, sizeof(zeros)) != 0);
	}
	buf_deinit(&out);
	close(what.dirfd);
}

/** With containerd's image store: all layers, as an OCI layout */
static void test_oci(void **state)
{
	json_t *diff_ids = json_pack("[s, s]", "sha256:" LAYER_A, "sha256:" LAYER_B);
	struct image_pack what = { .config = "{\"config\":1}",
				   .config_len = strlen("{\"config\":1}"),
				   .digest = CONFIG,
				   .layers = 2,
				   .diff_ids = diff_ids };
	char digest[65];
	char index[512];
	char blob[96];
	struct input in;
	struct buf out;
	struct err err;

	(void)state;
	make(&in, old);
	assert_int_equal(unpack(&in, &plain, &what.dirfd), 0);
	auto_free char *manifest = image_oci_manifest(&what, &err);
	assert_non_null(strstr(manifest, "\"digest\":\"sha256:" LAYER_B "\",\"size\":5}"));
	assert_int_equal(crypto_sha256_hex(digest, manifest, strlen(manifest), NULL), 0);
	(void)snprintf(blob, sizeof(blob), "blobs/sha256/%s", digest);
	(void)snprintf(index, sizeof(index),
		       "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/"
		       "vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\",\"size\":%zu}]}",
		       digest, strlen(manifest));
	const struct item passed[] = { { BLOB("000a"), "lower", NULL, 0 },
				       { BLOB("000b"), "upper", NULL, 0 },
				       { "blobs/sha256/" CONFIG, "{\"config\":1}", NULL, 0 },
				       { blob, manifest, NULL, 0 },
				       { "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", NULL,
					 0 },
				       { "index.json", index, NULL, 0 },
				       { NULL, NULL, NULL, 0 } };
	buf_init(&out, LIMIT);
	assert_int_equal(image_archive_pack(&what, take, &out, &err), 0);
	expect(&out, passed);
	json_decref(diff_ids);
	close(what.dirfd);
}

/** struct growth - A layer that grows while it is packed */
struct growth {
	int dirfd;
	const char *rest;
	bool verified;
};

static int grow(void *ctx, uint64_t have, struct err *err)
{
	struct growth *g = ctx;
	auto_close int fd = openat(g->dirfd, "layer-1", O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_true(have == strlen("upp") || have == strlen("upper"));
	if (have == strlen("upper"))
		return g->verified ? 0 : err_set(err, -ECANCELED, "not verified");
	assert_int_equal(write(fd, g->rest, strlen(g->rest)), (ssize_t)strlen(g->rest));
	return 0;
}

/** A layer may be packed while it comes; without its verification there is no whole archive */
static void test_growing(void **state)
{
	struct growth g = { .rest = "er", .verified = true };
	struct image_growing growing = { .length = strlen("upper"), .wait = grow, .ctx = &g };
	struct image_pack what = { .config = "{}",
				   .config_len = 2,
				   .digest = CONFIG,
				   .layers = 2,
				   .first = 1,
				   .growing = &growing };
	struct input in;
	struct buf out;
	struct err err;

	(void)state;
	for (int i = 0; i < 2; i++) {
		g.verified = i == 0;
		make(&in, old);
		assert_int_equal(unpack(&in, &plain, &what.dirfd), 0);
		g.dirfd = what.dirfd;
		assert_int_equal(unlinkat(g.dirfd, "layer-1", 0), 0);
		int fd = openat(g.dirfd, "layer-1", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(write(fd, "upp", 3), 3);
		close(fd);
		buf_init(&out, LIMIT);
		assert_int_equal(image_archive_pack(&what, take, &out, &err),
				 g.verified ? 0 : -ECANCELED);
		if (g.verified)
			file_is(g.dirfd, "layer-1", "upper");
		buf_deinit(&out);
		close(g.dirfd);
	}
}

/* --- what does not ------------------------------------------------------------------------------ */

static void manifest_refused(const char *text)
{
	const struct item items[] = { { LAYER_A "/layer.tar", "lower", NULL },
				      { "manifest.json", text, NULL },
				      { NULL, NULL, NULL } };

	refused(items, -EPROTO);
}

static void test_manifest_refused(void **state)
{
	(void)state;
	manifest_refused(MANIFEST("[\"evil:1\"]"));
	manifest_refused("");
	manifest_refused("{}");
	manifest_refused("[]");
	manifest_refused("[1]");
	manifest_refused("[{}]");
	manifest_refused("[{},{}]");
	manifest_refused("no JSON");
	/* another image, too few layers, layers out of anywhere */
	manifest_refused("[{\"Config\":\"" LAYER_A ".json\",\"Layers\":[\"" LAYER_A
			 "/layer.tar\",\"" LAYER_B "/layer.tar\"]}]");
	manifest_refused("[{\"Config\":\"" CONFIG ".json\",\"Layers\":[\"" LAYER_A
			 "/layer.tar\"]}]");
	manifest_refused("[{\"Config\":\"" CONFIG ".json\",\"Layers\":[\"" LAYER_A
			 "/layer.tar\",\"../../etc/shadow\"]}]");
	manifest_refused("[{\"Config\":\"" CONFIG ".json\",\"Layers\":[1,2]}]");
	manifest_refused("[{\"Config\":\"../" CONFIG ".json\",\"Layers\":[\"" LAYER_A
			 "/layer.tar\",\"" LAYER_B "/layer.tar\"]}]");
}

static void test_refused(void **state)
{
	static const struct item none[] = { { LAYER_A "/layer.tar", "lower", NULL },
					    { "repositories", "{\"evil\":{}}", NULL },
					    { NULL, NULL, NULL } };
	static const struct item two[] = { { "manifest.json", MANIFEST("null"), NULL },
					   { "manifest.json", MANIFEST("null"), NULL },
					   { NULL, NULL, NULL } };
	static const struct item linked[] = { { "manifest.json", NULL, "/etc/shadow" },
					      { NULL, NULL, NULL } };
	static const struct item config[] = { { CONFIG ".json", NULL, "../" LAYER_A "/layer.tar" },
					      { NULL, NULL, NULL } };
	static const struct item away[] = { { LAYER_A "/layer.tar", NULL, "/etc/shadow" },
					    { NULL, NULL, NULL } };
	static const struct item up[] = { { LAYER_A "/layer.tar", NULL, "../../etc/layer.tar" },
					  { NULL, NULL, NULL } };
	static const struct item directory[] = { { LAYER_A "/layer.tar", NULL, NULL },
						 { NULL, NULL, NULL } };

	(void)state;
	refused(none, -EPROTO);
	refused(two, -EPROTO);
	refused(linked, -EPROTO);
	refused(config, -EPROTO);
	refused(away, -EPROTO);
	refused(up, -EPROTO);
	refused(directory, -EPROTO);
}

static void test_limits(void **state)
{
	struct image_rules rules = plain;
	struct input in;
	int dirfd;

	(void)state;
	auto_free char *big = malloc(IMAGE_MANIFEST_MAX + 2);
	assert_non_null(big);
	memset(big, ' ', IMAGE_MANIFEST_MAX + 1);
	big[IMAGE_MANIFEST_MAX + 1] = '\0';
	const struct item manifest[] = { { "manifest.json", big, NULL }, { NULL, NULL, NULL } };
	refused(manifest, -EPROTO);

	auto_free struct item *many = calloc(IMAGE_ENTRIES_MAX + 2, sizeof(*many));
	assert_non_null(many);
	for (int i = 0; i <= IMAGE_ENTRIES_MAX; i++)
		many[i] = (struct item){ .name = "x", .text = "" };
	refused(many, -EFBIG);

	rules.max_bytes = 8;
	make(&in, old);
	assert_int_equal(unpack(&in, &rules, &dirfd), -EFBIG);
	close(dirfd);
}

/** No engine saves a file with holes */
static void test_holes(void **state)
{
	static const char bytes[8192];
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	struct input in = { .piece = 700 };
	struct err err = { 0 };

	(void)state;
	buf_init(&in.bytes, LIMIT);
	assert_int_equal(archive_write_set_format_pax(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open(a, &in.bytes, NULL, keep, NULL), ARCHIVE_OK);
	archive_entry_set_pathname(e, LAYER_A "/layer.tar");
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, sizeof(bytes));
	archive_entry_sparse_add_entry(e, 4096, 512);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	(void)archive_write_data(a, bytes, sizeof(bytes));
	archive_entry_free(e);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	(void)archive_write_free(a);
	int dirfd = folder("unpacked");
	assert_int_equal(image_archive_unpack(&plain, give, &in, dirfd, &err), -EPROTO);
	assert_non_null(strstr(err.text, "has holes"));
	buf_deinit(&in.bytes);
	close(dirfd);
}

/** Cut anywhere it is an error */
static void test_truncated(void **state)
{
	struct input whole;
	size_t size;

	(void)state;
	make(&whole, old);
	size = whole.bytes.len;
	buf_deinit(&whole.bytes);
	for (size_t len = 0; len < size - 4 * 512; len += 100) {
		struct input in;
		int dirfd;
		int r;

		make(&in, old);
		in.bytes.len = len;
		r = unpack(&in, &plain, &dirfd);
		close(dirfd);
		/* after the manifest only "repositories" is missing, which is dropped anyway */
		if (r == 0)
			assert_true(len >= size - 12 * 1024);
		make(&in, old);
		in.bytes.len = len;
		in.broken = true;
		assert_int_equal(unpack(&in, &plain, &dirfd), -ECONNRESET);
		close(dirfd);
	}
}

/* --- on the way ----------------------------------------------------------------------------------- */

#define LAYERS 3

/** struct journey - An image at the source, and where it goes */
struct journey {
	int from;
	char id[80];
	json_t *layers;
	char *text[LAYERS];
	size_t came;
	struct image_receipt receipt;
	struct err err;
};

static void file_make(int dirfd, const char *name, const char *text)
{
	auto_close int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void digest_of(char to[80], const char *text)
{
	AUTO(crypto_sha256) struct crypto_sha256 *digest = NULL;
	uint8_t sha256[CRYPTO_SHA256_SIZE];

	assert_int_equal(crypto_sha256_new(&digest, NULL), 0);
	assert_int_equal(crypto_sha256_update(digest, text, strlen(text)), 0);
	assert_int_equal(crypto_sha256_final(digest, sha256), 0);
	memcpy(to, "sha256:", 7);
	hex_encode(to + 7, sha256, sizeof(sha256));
}

static void layers_came(void *ctx, size_t layers)
{
	struct journey *j = ctx;

	assert_true(layers > j->came);
	j->came = layers;
}

static void layer_grown(void *ctx, size_t layer, uint64_t bytes, uint64_t length)
{
	struct journey *j = ctx;

	assert_int_equal(layer, j->came);
	assert_int_equal(length, strlen(j->text[layer]));
	assert_true(bytes <= length);
}

/** config_make() - Write a configuration of an image of these layers */
static void config_make(struct journey *j, json_t *layers)
{
	json_t *config = json_pack("{s:{s:O}}", "rootfs", "diff_ids", layers);
	auto_free char *text = json_dumps(config, JSON_COMPACT);

	json_decref(config);
	file_make(j->from, "config", text);
	digest_of(j->id, text);
}

static void journey_begin(struct journey *j)
{
	static char texts[LAYERS][64] = { "the lowest layer", "one in the middle", "the highest" };
	char name[IMAGE_LAYER_NAME];
	char digest[80];

	*j = (struct journey){ .from = folder("from"), .layers = json_array() };
	close(folder("to"));
	for (size_t i = 0; i < LAYERS; i++) {
		j->text[i] = texts[i];
		image_layer_name(name, i);
		file_make(j->from, name, texts[i]);
		digest_of(digest, texts[i]);
		json_array_append_new(j->layers, json_string(digest));
	}
	config_make(j, j->layers);
	j->receipt = (struct image_receipt){
		.max_bytes = 1000, .grown = layer_grown, .came = layers_came, .ctx = j
	};
}

static void journey_end(struct journey *j)
{
	close(j->from);
	json_decref(j->layers);
}

static void arrive(struct journey *j, struct image_arrival **ia)
{
	char to[sizeof(home) + 8];

	(void)snprintf(to, sizeof(to), "%s/to", home);
	assert_int_equal(image_arrival_new(ia, to, j->id, j->layers, false, &j->err), 0);
}

/** travel() - Send what is missing, and break off after @cut bytes; 0: do not. Return: what came back */
static int travel(struct journey *j, struct image_arrival *ia, size_t cut)
{
	struct input in = { .piece = 7 };
	uint64_t sent = 0;
	int r;

	buf_init(&in.bytes, LIMIT);
	assert_int_equal(image_departure_send(j->from, j->receipt.first,
					      image_arrival_bytes(ia, j->receipt.first), LAYERS,
					      take, &in.bytes, &sent, &j->err),
			 0);
	if (cut && cut < in.bytes.len) {
		in.bytes.len = cut;
		in.broken = true;
	}
	r = image_arrival_receive(ia, &j->receipt, give, &in, &j->err);
	buf_deinit(&in.bytes);
	return r;
}

/** Broken off anywhere, the next transfer brings the rest, and only that (R8) */
static void test_goes_on(void **state)
{
	struct journey j;

	(void)state;
	for (size_t cut = 1; cut < 420; cut++) {
		AUTO(image_arrival) struct image_arrival *ia = NULL;
		uint64_t here;

		journey_begin(&j);
		arrive(&j, &ia);
		int r = travel(&j, ia, cut);
		ia = image_arrival_free(ia);
		arrive(&j, &ia);
		if (r < 0) {
			assert_int_equal(r, -ECONNRESET);
			j.receipt.first = j.came;
			here = image_arrival_bytes(ia, j.came);
			assert_true(here <= strlen(j.text[j.came]));
			assert_int_equal(travel(&j, ia, 0), 0);
		}
		assert_int_equal(j.came, LAYERS);
		for (size_t i = 0; i < LAYERS; i++)
			assert_int_equal(image_arrival_bytes(ia, i), strlen(j.text[i]));
		journey_end(&j);
	}
}

/** More than one layer may have come and not been loaded: only of the first is it known at the source */
static void test_begins_again(void **state)
{
	struct journey j;

	(void)state;
	for (size_t cut = 280; cut < 420; cut++) {
		AUTO(image_arrival) struct image_arrival *ia = NULL;

		journey_begin(&j);
		arrive(&j, &ia);
		(void)travel(&j, ia, cut);
		j.came = 0;
		if (travel(&j, ia, 0) < 0)
			fail_msg("broken off after %zu: %s", cut, j.err.text);
		assert_int_equal(j.came, LAYERS);
		journey_end(&j);
	}
}

/** What is not what its digest says is refused, removed, and comes anew */
static void test_corrupted(void **state)
{
	AUTO(image_arrival) struct image_arrival *ia = NULL;
	struct journey j;

	(void)state;
	journey_begin(&j);
	arrive(&j, &ia);
	file_make(j.from, "layer-1", "one in the mIddle");
	assert_int_equal(travel(&j, ia, 0), -EPROTO);
	assert_non_null(strstr(j.err.text, "layer 1 of the image arrived corrupted"));
	assert_int_equal(j.came, 1);
	assert_int_equal(image_arrival_bytes(ia, 1), 0);
	json_t *others = json_pack("[s]", "sha256:" LAYER_A);
	config_make(&j, others);
	json_decref(others);
	assert_int_equal(travel(&j, ia, 0), -EPROTO);
	assert_non_null(strstr(j.err.text, "configuration is of other layers"));
	journey_end(&j);
}

/** More than was allowed, or a layer that is shorter than what we have of it */
static void test_lengths(void **state)
{
	AUTO(image_arrival) struct image_arrival *ia = NULL;
	struct input in = { .piece = 64 };
	uint64_t sent = 0;
	struct journey j;

	(void)state;
	journey_begin(&j);
	arrive(&j, &ia);
	j.receipt.max_bytes = strlen(j.text[0]) + 1;
	assert_int_equal(travel(&j, ia, 0), -EFBIG);
	assert_int_equal(
		image_departure_send(j.from, 0, 1000, LAYERS, take, &in.bytes, &sent, &j.err),
		-EPROTO);
	buf_deinit(&in.bytes);
	journey_end(&j);
}

/** Two users with the same image at a time have a directory each; what is old goes, what is used stays */
static void test_directories(void **state)
{
	AUTO(image_arrival) struct image_arrival *first = NULL;
	AUTO(image_arrival) struct image_arrival *second = NULL;
	struct journey j;
	char to[sizeof(home) + 8];

	(void)state;
	(void)snprintf(to, sizeof(to), "%s/to", home);
	journey_begin(&j);
	arrive(&j, &first);
	arrive(&j, &second);
	assert_int_equal(travel(&j, first, 0), 0);
	assert_int_equal(image_arrival_bytes(second, 0), 0);
	j.came = 0;
	assert_int_equal(travel(&j, second, 0), 0);
	second = image_arrival_free(second);
	assert_int_equal(image_arrival_expire(to, 0, NULL), 1);
	assert_int_equal(image_arrival_bytes(first, 2), strlen(j.text[2]));
	first = image_arrival_free(first);
	assert_int_equal(image_arrival_expire(to, 3600000, NULL), 1);
	assert_int_equal(image_arrival_expire(to, 0, NULL), 0);
	journey_end(&j);
}

static int home_make(void **state)
{
	(void)state;
	return mkdtemp(home) ? 0 : -1;
}

static int home_remove(void **state)
{
	(void)state;
	return layer_path_remove(home, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpacked),         cmocka_unit_test(test_blobs),
		cmocka_unit_test(test_compressed),       cmocka_unit_test(test_link),
		cmocka_unit_test(test_packed),           cmocka_unit_test(test_oci),
		cmocka_unit_test(test_manifest_refused), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),           cmocka_unit_test(test_holes),
		cmocka_unit_test(test_truncated),        cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_begins_again),     cmocka_unit_test(test_corrupted),
		cmocka_unit_test(test_lengths),          cmocka_unit_test(test_growing),
		cmocka_unit_test(test_directories),
	};

	return cmocka_run_group_tests(tests, home_make, home_remove);
}
