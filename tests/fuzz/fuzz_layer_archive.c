/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of layer archives - file trees as another host sends them, packed or not
 *
 * The first byte chooses: packed by zstd, plain trees, something that came ahead. Any bytes must be either
 * refused with a text, or leave files below the directories given, and nothing outside of them.
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
#include "es/files/inflate.h"
#include "es/layer_archive.h"
#include "es/layer_node.h"
#include "fuzz_input.h"

#define LIMIT 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_below(const char *home, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", home, name);
	require(mkdir(path, 0700) == 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(fd >= 0);
	return fd;
}

/** only_ours() - Is nothing in the directory but what was made for the archive? */
static void only_ours(const char *home, int count)
{
	DIR *dir = opendir(home);
	const struct dirent *entry;

	require(dir != NULL);
	while ((entry = readdir(dir)))
		count -= entry->d_name[0] != '.';
	(void)closedir(dir);
	require(count == 0);
}

static void extract_try(const char *home, uint8_t how, struct input *in)
{
	int layer = open_below(home, "layer");
	int memory = open_below(home, "memory");
	int ahead = how & 4 ? open_below(home, "ahead") : -1;
	struct archive_root roots[] = {
		{ .name = "layer", .dirfd = layer, .ahead = ahead },
		{ .name = "memory", .dirfd = memory, .plain = how & 2, .ahead = -1 },
	};
	struct err err = { 0 };
	AUTO(inflate) struct inflate *packed = NULL;
	int r = how & 1 ? inflate_new(&packed, input_give, in, 2 * LIMIT, &err) : 0;

	require(r == 0);
	r = packed ? archive_extract(inflate_give, packed, roots, 2, LIMIT, NULL, NULL, &err)
		   : archive_extract(input_give, in, roots, 2, LIMIT, NULL, NULL, &err);
	require(r == 0 || err.text[0]);
	only_ours(home, how & 4 ? 3 : 2);
	require(layer_tree_empty(layer, &err) == 0 && layer_tree_empty(memory, &err) == 0);
	close(layer);
	close(memory);
	if (ahead >= 0)
		close(ahead);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char home[] = "/dev/shm/baton-fuzz-XXXXXX";
	struct input in = { .at = data + 1, .left = size ? size - 1 : 0, .piece = 509 };

	if (!size)
		return 0;
	memcpy(home + strlen(home) - 6, "XXXXXX", 6);
	require(mkdtemp(home) != NULL);
	extract_try(home, data[0], &in);
	require(layer_path_remove(home, NULL) == 0);
	return 0;
}
