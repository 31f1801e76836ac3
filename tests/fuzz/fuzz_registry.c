/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of what a registry answers, and of how an image there is called
 *
 * Input: a byte each for the number of layers and of those that are here; a line, the image's name; the
 * rest is the manifest. What is taken for a manifest has a sum that fits its layers, and a digest that can
 * be put into an address.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "es/engine/registry.h"
#include "fuzz_input.h"

#define LAYER_MOST (1ull << 40)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_digest(const char *digest)
{
	require(strlen(digest) == 71 && strncmp(digest, "sha256:", 7) == 0);
	require(strspn(digest + 7, "0123456789abcdef") == 64);
}

static void fuzz_name(const char *name)
{
	struct registry_image ri;

	if (registry_image_parse(&ri, name) < 0)
		return;
	require_digest(ri.digest);
	require(*ri.host && *ri.repository);
	/* they become part of an address: nothing may end the host, or climb out of the repository */
	require(!strpbrk(ri.host, "/@?# \\") && !strpbrk(ri.repository, "@?# \\"));
	require(!strstr(ri.repository, "/.") && !strchr("./", ri.repository[0]));
}

static void fuzz_manifest(const char *text, size_t len, size_t layers, size_t here)
{
	json_t *manifest = json_loadb(text, len, 0, NULL);
	struct err err = { .text = "" };
	char largest[72];
	uint64_t bytes;

	if (registry_manifest_read(manifest, layers, here, &bytes, largest, &err) == 0) {
		require(bytes <= layers * LAYER_MOST);
		require(here >= layers ? !*largest : *largest != '\0');
		if (*largest)
			require_digest(largest);
	} else {
		require(err.text[0] != '\0');
	}
	json_decref(manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[512] = "";

	if (size < 3)
		return 0;
	const char *text = (const char *)data + 2;
	const char *end = memchr(text, '\n', size - 2);
	size_t len = end ? (size_t)(end - text) : size - 2;
	if (len < sizeof(name)) {
		memcpy(name, text, len);
		fuzz_name(name);
	}
	if (end)
		fuzz_manifest(end + 1, size - 3 - len, data[0], data[1]);
	return 0;
}
