/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the sieve for image archives lets through, what it leaves out, and what it refuses: archives
 * as Docker 20.10 and 25 write them, changed in every way a hostile edge server could think of.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "es/docker_engine.h"
#include "es/image_archive.h"

#define HEX(c)  c c c c c c c c c c c c c c c c
#define CONFIG  HEX("abcd")
#define LAYER_A HEX("000a")
#define LAYER_B HEX("000b")
#define ID      "sha256:" CONFIG
#define LIMIT   (64u << 20)

#define MANIFEST(tags)                                                                             \
	"[{\"Config\":\"" CONFIG ".json\",\"RepoTags\":" tags ",\"Layers\":[\"" LAYER_A            \
	"/layer.tar\",\"" LAYER_B "/layer.tar\"]}]"

/** struct item - An entry to write: a file, a link if @link is set, a directory if @text is NULL */
struct item {
	const char *name;
	const char *text;
	const char *link;
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
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, items->name);
		archive_entry_set_perm(e, 0755);
		archive_entry_set_filetype(e, items->link   ? AE_IFLNK
					      : items->text ? AE_IFREG
							    : AE_IFDIR);
		if (items->link)
			archive_entry_set_symlink(e, items->link);
		else if (items->text)
			archive_entry_set_size(e, (int64_t)strlen(items->text));
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		if (items->text && !items->link)
			(void)archive_write_data(a, items->text, strlen(items->text));
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

/** sieve() - Put an archive through. Return: what copy or end returned */
static int sieve(struct input *in, const struct image_rules *rules, struct buf *out)
{
	struct image_archive *ia = NULL;
	struct err err = { 0 };
	int r;

	buf_init(out, LIMIT);
	assert_int_equal(image_archive_new(&ia, rules, take, out, &err), 0);
	r = image_archive_copy(ia, give, in, &err);
	if (r == 0)
		r = image_archive_end(ia, &err);
	if (r < 0)
		assert_true(*err.text);
	(void)image_archive_free(ia);
	buf_deinit(&in->bytes);
	return r;
}

static const struct image_rules plain = { .id = ID, .layers = 2, .max_bytes = LIMIT };

static void refused(const struct item *items, int code)
{
	struct input in;
	struct buf out;

	make(&in, items);
	assert_int_equal(sieve(&in, &plain, &out), code);
	buf_deinit(&out);
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
		if (items->link) {
			assert_string_equal(archive_entry_symlink(e), items->link);
			continue;
		}
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

static void test_passes(void **state)
{
	static const struct item passed[] = { { LAYER_A "/layer.tar", "lower", NULL },
					      { CONFIG ".json", "{\"config\":1}", NULL },
					      { LAYER_B "/layer.tar", "upper", NULL },
					      { "manifest.json", MANIFEST("null"), NULL },
					      { NULL, NULL, NULL } };
	struct input in;
	struct buf out;

	(void)state;
	make(&in, old);
	assert_int_equal(sieve(&in, &plain, &out), 0);
	expect(&out, passed);
}

static void test_blobs(void **state)
{
#define BLOB(c) "blobs/sha256/" HEX(c)
	static const char manifest[] = "[{\"Config\":\"blobs/sha256/" CONFIG "\",\"RepoTags\":[],"
				       "\"Layers\":[\"" BLOB("000a") "\",\"" BLOB("000b") "\"]}]";
	const struct item items[] = {
		{ "blobs/sha256/", NULL, NULL }, { BLOB("000a"), "lower", NULL },
		{ BLOB("000b"), "upper", NULL }, { "blobs/sha256/" CONFIG, "{}", NULL },
		{ "index.json", "{}", NULL },    { "manifest.json", manifest, NULL },
		{ "oci-layout", "{}", NULL },    { NULL, NULL, NULL }
	};
	const struct item passed[] = { { BLOB("000b"), "upper", NULL },
				       { "blobs/sha256/" CONFIG, "{}", NULL },
				       { "manifest.json", manifest, NULL },
				       { NULL, NULL, NULL } };
	json_t *left_out = json_pack("[s]", BLOB("000a"));
	const struct image_rules rules = {
		.id = ID, .layers = 2, .left_out = left_out, .max_bytes = LIMIT
	};
	struct input in;
	struct buf out;

	(void)state;
	make(&in, items);
	assert_int_equal(sieve(&in, &rules, &out), 0);
	expect(&out, passed);
	json_decref(left_out);
}

/** Two passes, as the source does it: names from the manifest, then the archive without the first */
static void test_left_out(void **state)
{
	static const struct item passed[] = { { CONFIG ".json", "{\"config\":1}", NULL },
					      { LAYER_B "/layer.tar", "upper", NULL },
					      { "manifest.json", MANIFEST("null"), NULL },
					      { NULL, NULL, NULL } };
	struct image_rules rules = plain;
	struct input in;
	struct buf out;
	struct err err;
	json_t *names = NULL;

	(void)state;
	make(&in, old);
	assert_int_equal(image_archive_manifest(&names, &plain, give, &in, &err), 0);
	assert_int_equal(json_array_size(names), 2);
	assert_string_equal(json_string_value(json_array_get(names, 0)), LAYER_A "/layer.tar");
	json_array_remove(names, 1);
	rules.left_out = names;
	in.at = 0;
	assert_int_equal(sieve(&in, &rules, &out), 0);
	expect(&out, passed);
	json_decref(names);
}

/** A layer that comes twice is a link the second time */
static void test_link(void **state)
{
	static const struct item items[] = { { LAYER_A "/layer.tar", "lower", NULL },
					     { LAYER_B "/layer.tar", NULL,
					       "../" LAYER_A "/layer.tar" },
					     { CONFIG ".json", "{}", NULL },
					     { "manifest.json", MANIFEST("null"), NULL },
					     { NULL, NULL, NULL } };
	struct input in;
	struct buf out;

	(void)state;
	make(&in, items);
	assert_int_equal(sieve(&in, &plain, &out), 0);
	expect(&out, items);
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
	struct buf out;

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
	assert_int_equal(sieve(&in, &rules, &out), -EFBIG);
	buf_deinit(&out);
}

/** Cut anywhere it is an error, or lacks its end: no engine takes it for a whole archive */
static void test_truncated(void **state)
{
	struct input whole;
	struct buf out;
	size_t size;

	(void)state;
	make(&whole, old);
	size = whole.bytes.len;
	buf_deinit(&whole.bytes);
	for (size_t len = 0; len < size - 4 * 512; len += 100) {
		struct input in;
		int r;

		make(&in, old);
		in.bytes.len = len;
		r = sieve(&in, &plain, &out);
		/* after the manifest only "repositories" is missing, which is dropped anyway */
		if (r == 0)
			assert_true(len >= size - 12 * 1024);
		buf_deinit(&out);
		make(&in, old);
		in.bytes.len = len;
		in.broken = true;
		r = sieve(&in, &plain, &out);
		assert_int_equal(r, -ECONNRESET);
		/* what went out has no end of an archive: two blocks of zeros */
		for (size_t i = 0; i + 1024 <= out.len; i += 512) {
			static const uint8_t zeros[1024];

			assert_true(memcmp(buf_bytes(&out) + i, zeros, sizeof(zeros)) != 0);
		}
		buf_deinit(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),           cmocka_unit_test(test_blobs),
		cmocka_unit_test(test_left_out),         cmocka_unit_test(test_link),
		cmocka_unit_test(test_manifest_refused), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),           cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
