/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Frames for fuzz_wire, and frames that it found
 *
 *     seed_wire DIR            write samples of every message type to DIR, as a start
 *     seed_wire --show FILE    print the frames in a file: a seed, or what the fuzzer found
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "samples.h"
#include "wire/codec.h"

#define FILE_MAX  (4u << 20)
#define SHOWN_MAX 16384

static int write_file(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "we");
	int r = f && fwrite(buf_bytes(b), 1, b->len, f) == b->len ? 0 : -1;
	if (f && fclose(f) != 0)
		r = -1;
	if (r < 0)
		perror(path);
	return r;
}

static int write_seed(const char *dir, enum wire_type type, enum sample_size size)
{
	static const char *const suffix[] = { "-least", "", "-most" };
	struct wire_message m = sample_of(type, size);
	struct err err = { 0 };
	char path[4096];
	struct buf b;
	int r = 0;

	buf_init(&b, 0);
	(void)snprintf(path, sizeof(path), "%s/%03d%s", dir, type, suffix[size]);
	if (wire_encode(&m, &b, &err) == 0) {
		r = write_file(path, &b);
	} else if (size == SAMPLE_USUAL) { /* others may break a rule about several fields */
		(void)fprintf(stderr, "%s\n", err.text);
		r = -1;
	}
	buf_deinit(&b);
	return r;
}

static int write_seeds(const char *dir)
{
	for (uint32_t type = 0; type < SAMPLE_TYPES; type++) {
		for (enum sample_size size = 0; sample_type(type) && size < SAMPLE_SIZES; size++) {
			if (write_seed(dir, type, size) < 0)
				return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}

static void show_frames(const uint8_t *bytes, size_t len)
{
	struct wire_scratch scratch = { 0 };
	struct wire_message m;
	struct err err = { 0 };
	char text[SHOWN_MAX];
	size_t size;

	while (wire_frame_size(bytes, len, true, &size, &err) > 0 && size <= len) {
		if (wire_decode(bytes, size, &m, &scratch, &err) == 0) {
			wire_print(&m, text, sizeof(text));
			printf("%zu bytes: %s\n", size, text);
		} else {
			printf("%zu bytes: refused: %s\n", size, err.text);
		}
		bytes += size;
		len -= size;
	}
	if (len)
		printf("%zu bytes: %s\n", len, err.code ? err.text : "not a whole frame");
	wire_scratch_deinit(&scratch);
}

static int show(const char *path)
{
	auto_free uint8_t *bytes = malloc(FILE_MAX);
	FILE *f = fopen(path, "re");

	if (!f || !bytes) {
		perror(path);
		if (f)
			(void)fclose(f);
		return EXIT_FAILURE;
	}
	show_frames(bytes, fread(bytes, 1, FILE_MAX, f));
	(void)fclose(f);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--show") == 0)
		return show(argv[2]);
	if (argc != 2) {
		(void)fprintf(stderr, "usage: seed_wire DIR | --show FILE\n");
		return EXIT_FAILURE;
	}
	return write_seeds(argv[1]);
}
