/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of memory deltas - any bytes must either be refused with a text, or make a file of as many
 * pages as they say, each of them from the bytes or from the checkpoint before
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "es/memory_delta.h"
#include "fuzz_input.h"

#define PAGES_BASE 3
#define PAGES_MAX  64

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int base = -1;
static int images = -1;

static void put(int dir, const char *name, const void *bytes, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

static int directory(void)
{
	char path[] = "/tmp/baton-fuzz-XXXXXX";

	require(mkdtemp(path) != NULL);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(fd >= 0);
	return fd;
}

static void remove_directory(int dir)
{
	char link[64];
	char path[64];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	(void)unlinkat(dir, "pages-1.img", 0);
	(void)unlinkat(dir, "pages-1.delta", 0);
	path[n > 0 ? n : 0] = '\0';
	(void)rmdir(path);
}

static void finish(void)
{
	remove_directory(base);
	remove_directory(images);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint8_t pages[PAGES_BASE * MEMORY_DELTA_PAGE];

	(void)argc;
	(void)argv;
	base = directory();
	images = directory();
	(void)atexit(finish);
	for (size_t i = 0; i < sizeof(pages); i++)
		pages[i] = (uint8_t)(i / MEMORY_DELTA_PAGE);
	put(base, "pages-1.img", pages, sizeof(pages));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct stat st;

	put(images, "pages-1.delta", data, size);
	int r = memory_delta_apply(base, images, (uint64_t)PAGES_MAX * MEMORY_DELTA_PAGE, &err);
	if (r < 0) {
		require(err.text[0] != '\0');
	} else {
		require(fstatat(images, "pages-1.img", &st, 0) == 0);
		require((uint64_t)st.st_size == get_be64(data + 8) * MEMORY_DELTA_PAGE);
	}
	(void)unlinkat(images, "pages-1.img", 0);
	return 0;
}
