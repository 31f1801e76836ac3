/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of layer archives - file trees as another host sends them, packed or not
 *
 * The first byte chooses: packed by zstd, plain trees, something that came ahead. Any bytes must be either
 * refused with a text, or leave files below the directories given, and nothing outside of them.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/files/inflate.h"
#include "es/files/layer_archive.h"
#include "es/files/layer_node.h"
#include "fuzz_home.h"
#include "fuzz_input.h"

#define LIMIT 65536

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** struct tree - A directory of the home; layer and memory are empty at the beginning of each execution */
struct tree {
	const char *name;
	int dirfd;
	struct stat st;
};

static int home = -1;
static struct tree layer = { .name = "layer" };
static struct tree memory = { .name = "memory" };
static struct tree ahead = { .name = "ahead" };

static void tree_make(struct tree *t)
{
	t->dirfd = home_directory(t->name);
	require(fstat(t->dirfd, &t->st) == 0);
}

/** tree_reset() - Empty it, and take from it what attributes an archive gave it */
static void tree_reset(struct tree *t)
{
	struct stat st;

	if (directory_entries(t->dirfd))
		require(layer_tree_empty(t->dirfd, NULL) == 0);
	require(fstat(t->dirfd, &st) == 0);
	if (st.st_uid != t->st.st_uid || st.st_gid != t->st.st_gid)
		require(fchown(t->dirfd, t->st.st_uid, t->st.st_gid) == 0);
	if (st.st_mode != t->st.st_mode)
		require(fchmod(t->dirfd, t->st.st_mode & 07777) == 0);
	if (flistxattr(t->dirfd, NULL, 0) <= 0)
		return;
	(void)close(t->dirfd);
	require(unlinkat(home, t->name, AT_REMOVEDIR) == 0);
	tree_make(t);
}

/** ahead_fill() - Put there the file that the seeds refer to, unless an archive left it there */
static void ahead_fill(void)
{
	if (directory_entries(ahead.dirfd))
		return;
	int fd = openat(ahead.dirfd, "f", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	require(fd >= 0 && write(fd, "ahead", 5) == 5 && close(fd) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[HOME_PATH];

	(void)argc;
	(void)argv;
	home_path(path, "");
	home = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(home >= 0);
	tree_make(&layer);
	tree_make(&memory);
	tree_make(&ahead);
	return 0;
}

static void extract_try(uint8_t how, struct input *in)
{
	struct archive_root roots[] = {
		{ .name = "layer", .dirfd = layer.dirfd, .ahead = how & 4 ? ahead.dirfd : -1 },
		{ .name = "memory", .dirfd = memory.dirfd, .plain = how & 2, .ahead = -1 },
	};
	struct err err = { 0 };
	AUTO(inflate) struct inflate *packed = NULL;
	int r = how & 1 ? inflate_new(&packed, input_give, in, 2 * LIMIT, &err) : 0;

	require(r == 0);
	if (how & 4)
		ahead_fill();
	r = packed ? archive_extract(inflate_give, packed, roots, 2, LIMIT, NULL, NULL, &err)
		   : archive_extract(input_give, in, roots, 2, LIMIT, NULL, NULL, &err);
	require(r == 0 || err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data + 1, .left = size ? size - 1 : 0, .piece = 509 };

	if (!size)
		return 0;
	extract_try(data[0], &in);
	require(directory_entries(home) == 3); /* nothing but what was made for the archive */
	tree_reset(&layer);
	tree_reset(&memory);
	return 0;
}
