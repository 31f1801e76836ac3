/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of memory deltas - any bytes must either be refused with a text, or make a file of as many
 * pages as they say, each of them from the bytes or from the checkpoint before
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "es/criu/memory_delta.h"
#include "fuzz_home.h"
#include "fuzz_input.h"

#define PAGES_BASE 3
#define PAGES_MAX  8

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int base = -1;
static int images = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint8_t pages[PAGES_BASE * MEMORY_DELTA_PAGE];

	(void)argc;
	(void)argv;
	base = home_directory("base");
	images = home_directory("images");
	for (size_t i = 0; i < sizeof(pages); i++)
		pages[i] = (uint8_t)(i / MEMORY_DELTA_PAGE);
	int fd = openat(base, "pages-1.img", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	require(fd >= 0 && write(fd, pages, sizeof(pages)) == (ssize_t)sizeof(pages));
	(void)close(fd);
	return 0;
}

/** delta_put() - Write the delta, which is gone if the last one was good */
static void delta_put(const uint8_t *bytes, size_t len)
{
	static int fd = -1;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0) {
		(void)close(fd);
		fd = -1;
	}
	if (fd < 0)
		fd = openat(images, "pages-1.delta", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	require(fd >= 0 && pwrite(fd, bytes, len, 0) == (ssize_t)len);
	require(ftruncate(fd, (off_t)len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct stat st;

	delta_put(data, size);
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
