/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bytes of every message stay as they are
 *
 *     test_vectors vectors.txt              compare
 *     test_vectors --write > vectors.txt    write the file again, after vectors were added
 *
 * The file has an entry for each message of vectors.c, in that order: its name, and indented its frame as
 * hexadecimal digits, 48 bytes a line. "[N]" stands for N bytes of zero. A line of the file that changes means
 * that other versions of Baton do not understand this one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "compare.h"
#include "vectors.h"
#include "wire/codec.h"

#define LINE_BYTES  48
#define ZEROS_LEAST 64 /* fewer are written out */

static size_t zeros(const uint8_t *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && bytes[n] == 0)
		n++;
	return n;
}

static void write_frame(FILE *to, const uint8_t *bytes, size_t len)
{
	size_t in_line = 0;

	for (size_t i = 0; i < len; in_line++) {
		size_t n = zeros(bytes + i, len - i);

		if (in_line % LINE_BYTES == 0)
			(void)fprintf(to, "%s\t", in_line ? "\n" : "");
		if (n >= ZEROS_LEAST)
			(void)fprintf(to, "[%zu]", n);
		else
			(void)fprintf(to, "%02x", bytes[i]);
		i += n >= ZEROS_LEAST ? n : 1;
	}
	(void)fprintf(to, "\n");
}

/* Returns false with the reason on stderr if the message cannot be encoded */
static bool write_vector(FILE *to, const struct vector *v)
{
	struct err err = { 0 };
	struct buf b;

	buf_init(&b, 0);
	bool encoded = wire_encode(&v->message, &b, &err) == 0;
	if (encoded) {
		(void)fprintf(to, "%s\n", v->name);
		write_frame(to, buf_bytes(&b), b.len);
	} else {
		(void)fprintf(stderr, "%s: %s\n", v->name, err.text);
	}
	buf_deinit(&b);
	return encoded;
}

static int write_all(void)
{
	size_t count;
	const struct vector *v = vectors(&count);

	printf("# Frames of the messages in vectors.c; see test_vectors.c\n");
	for (size_t i = 0; i < count; i++) {
		if (!write_vector(stdout, &v[i]))
			return EXIT_FAILURE;
	}
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The whole file; the caller frees it */
static char *read_file(const char *path)
{
	char *text = NULL;
	size_t size = 0;

	FILE *f = fopen(path, "re");
	if (f) {
		if (getdelim(&text, &size, '\0', f) < 0)
			free(TAKE_PTR(text));
		(void)fclose(f);
	}
	if (!text)
		fail_msg("cannot read %s", path);
	return text;
}

static void test_bytes(void **state)
{
	auto_free char *text = read_file(*state);
	size_t count;
	const struct vector *v = vectors(&count);
	const char *at = strchrnul(text, '\n'); /* of the comment */

	at += strspn(at, "\n");
	for (size_t i = 0; i < count; i++) {
		auto_free char *entry = NULL;
		size_t size = 0;

		FILE *to = open_memstream(&entry, &size);
		assert_non_null(to);
		assert_true(write_vector(to, &v[i]));
		(void)fclose(to);
		if (strncmp(at, entry, size) != 0)
			fail_msg("%s is encoded otherwise than in %s:\n%s", v[i].name,
				 (const char *)*state, entry);
		at += size;
	}
	assert_string_equal(at, "");
}

static void test_decodes_to_the_same(void **state)
{
	struct wire_scratch scratch = { 0 };
	size_t count;
	const struct vector *v = vectors(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct wire_message got = { 0 };
		struct err err = { 0 };
		struct buf b;

		buf_init(&b, 0);
		assert_int_equal(wire_encode(&v[i].message, &b, &err), 0);
		if (wire_decode(buf_bytes(&b), b.len, &got, &scratch, &err) < 0)
			fail_msg("%s: %s", v[i].name, err.text);
		if (!v[i].lossy)
			assert_message_equal(&v[i].message, &got);
		buf_deinit(&b);
	}
	wire_scratch_deinit(&scratch);
}

/* A new type needs a vector: its bytes are a promise from then on */
static void test_every_type(void **state)
{
	size_t count;
	const struct vector *v = vectors(&count);

	(void)state;
	for (unsigned int type = 0; type < 256; type++) {
		size_t i = 0;

		if (strcmp(wire_type_name(type), "unknown message") == 0)
			continue;
		while (i < count && v[i].message.type != type)
			i++;
		if (i == count)
			fail_msg("%s has no vector", wire_type_name(type));
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--write") == 0)
		return write_all();
	if (argc != 2) {
		(void)fprintf(stderr, "usage: test_vectors vectors.txt | --write\n");
		return EXIT_FAILURE;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_bytes, argv[1]),
		cmocka_unit_test(test_decodes_to_the_same),
		cmocka_unit_test(test_every_type),
	};

	return cmocka_run_group_tests_name("wire/vectors", tests, NULL, NULL);
}
