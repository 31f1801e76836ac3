/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of images on their way - layers from another host, and the archive of an engine
 *
 * The first byte chooses. Any bytes must be either refused with a text, or leave files that are what
 * their digests say (layers), or just the configuration and one file for each layer (archive); and
 * nothing outside the directory given.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "es/files/layer_node.h"
#include "es/image/archive.h"
#include "es/image/arrival.h"
#include "fuzz_home.h"
#include "fuzz_input.h"

#define DIGITS "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" /* of "{}" */
#define ID     "sha256:" DIGITS
#define LAYER  "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" /* of "x" */
#define LIMIT  4096

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where arrivals are, the only one of them, its directory; and one for archives */
static int arrivals = -1;
static struct image_arrival *arrival;
static int arrived = -1;
static int archive = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static json_t *layers;
	char path[HOME_PATH];

	(void)argc;
	(void)argv;
	archive = home_directory("archive");
	arrivals = home_directory("arrivals");
	home_path(path, "arrivals");
	layers = json_pack("[s, s]", LAYER, LAYER);
	require(image_arrival_new(&arrival, path, ID, layers, false, NULL) == 0);
	arrived = openat(arrivals, "arrival-" DIGITS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(arrived >= 0);
	return 0;
}

static void grown(void *ctx, size_t layer, uint64_t bytes, uint64_t length)
{
	(void)ctx;
	require(layer < 2 && bytes <= length && length <= LIMIT);
}

static void came(void *ctx, size_t layers)
{
	*(size_t *)ctx = layers;
}

static void layers_try(struct input *in)
{
	size_t complete = 0;
	const struct image_receipt receipt = {
		.max_bytes = LIMIT, .grown = grown, .came = came, .ctx = &complete
	};
	struct err err = { 0 };
	int r = image_arrival_receive(arrival, &receipt, input_give, in, &err);

	require(r < 0 ? err.text[0] : complete == 2);
	for (size_t i = 0; i < complete; i++)
		require(image_arrival_bytes(arrival, i) == 1);
	if (directory_entries(arrived) > 1) {
		(void)unlinkat(arrived, "layer-0", 0);
		(void)unlinkat(arrived, "layer-1", 0);
		require(directory_entries(arrived) == 1); /* the lock */
	}
}

static void archive_try(struct input *in)
{
	const struct image_rules rules = { .id = ID, .layers = 2, .max_bytes = LIMIT };
	struct err err = { 0 };
	int r = image_archive_unpack(&rules, input_give, in, archive, &err);
	size_t files = directory_entries(archive);

	require(r == 0 ? files == 3 : err.text[0] != '\0');
	if (files)
		require(layer_tree_empty(archive, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data + 1, .left = size ? size - 1 : 0, .piece = 61 };

	if (!size)
		return 0;
	if (data[0] & 1)
		archive_try(&in);
	else
		layers_try(&in);
	require(directory_entries(arrivals) == 1);
	return 0;
}
