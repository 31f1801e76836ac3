/* SPDX-License-Identifier: Apache-2.0 */

/*
 * seed_wire DIR - write one frame of every message type to DIR, as a start for fuzz_wire
 */

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "samples.h"
#include "wire/codec.h"

static int write_seed(const char *dir, enum wire_type type)
{
	struct wire_message m = sample_message(type);
	struct err err = { 0 };
	char path[4096];
	struct buf b;

	buf_init(&b, 0);
	if (wire_encode(&m, &b, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	(void)snprintf(path, sizeof(path), "%s/%03d", dir, type);
	FILE *f = fopen(path, "we");
	int r = f && fwrite(buf_bytes(&b), 1, b.len, f) == b.len ? 0 : -1;
	if (f && fclose(f) != 0)
		r = -1;
	if (r < 0)
		perror(path);
	buf_deinit(&b);
	return r;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: seed_wire DIR\n");
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sample_types); i++) {
		if (write_seed(argv[1], sample_types[i]) < 0)
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
