/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of images on their way - layers from another host, and the archive of an engine
 *
 * The first byte chooses. Any bytes must be either refused with a text, or leave files that are what
 * their digests say (layers), or just the configuration and one file for each layer (archive); and
 * nothing outside the directory given.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/image_archive.h"
#include "es/image_arrival.h"
#include "es/layer_node.h"
#include "fuzz_input.h"

#define ID    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" /* of "{}" */
#define LAYER "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" /* of "x" */
#define LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void grown(void *ctx, size_t layer, uint64_t bytes, uint64_t length)
{
	(void)ctx;
	require(layer < 2 && bytes <= length && length <= LIMIT);
}

static void came(void *ctx, size_t layers)
{
	*(size_t *)ctx = layers;
}

static void layers_try(const char *home, struct input *in)
{
	struct image_arrival *ia = NULL;
	json_t *layers = json_pack("[s, s]", LAYER, LAYER);
	size_t complete = 0;
	const struct image_receipt receipt = {
		.max_bytes = LIMIT, .grown = grown, .came = came, .ctx = &complete
	};
	struct err err = { 0 };

	require(image_arrival_new(&ia, home, ID, layers, &err) == 0);
	int r = image_arrival_receive(ia, &receipt, input_give, in, &err);
	require(r < 0 ? err.text[0] : complete == 2);
	for (size_t i = 0; i < complete; i++)
		require(image_arrival_bytes(ia, i) == 1);
	image_arrival_remove(ia, NULL);
	(void)image_arrival_free(ia);
	json_decref(layers);
}

static void archive_try(const char *home, struct input *in)
{
	const struct image_rules rules = { .id = ID, .layers = 2, .max_bytes = LIMIT };
	struct err err = { 0 };
	unsigned int files = 0;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/archive", home);
	require(mkdir(path, 0700) == 0);
	int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(dirfd >= 0);
	int r = image_archive_unpack(&rules, input_give, in, dirfd, &err);
	require(r == 0 || err.text[0]);
	DIR *dir = fdopendir(dirfd);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)))
		files += entry->d_name[0] != '.';
	require(r < 0 || files == 3);
	(void)closedir(dir);
	require(layer_path_remove(path, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char home[] = "/dev/shm/baton-fuzz-XXXXXX";
	struct input in = { .at = data + 1, .left = size ? size - 1 : 0, .piece = 61 };

	if (!size)
		return 0;
	memcpy(home + strlen(home) - 6, "XXXXXX", 6);
	require(mkdtemp(home) != NULL);
	if (data[0] & 1)
		archive_try(home, &in);
	else
		layers_try(home, &in);
	require(rmdir(home) == 0); /* nothing is left in it */
	return 0;
}
