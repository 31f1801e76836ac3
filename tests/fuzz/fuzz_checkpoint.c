/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of checkpoints as far as they are read - images of CRIU, and filters of system calls
 *
 * The first byte says which image the bytes are. They must be either judged or refused with a text.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/files/checkpoint_images.h"
#include "es/files/seccomp_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char home[] = "/dev/shm/baton-fuzz-XXXXXX";

static void home_remove(void)
{
	(void)rmdir(home);
}

/** home_open() - A directory for all runs. Return: descriptor, which stays open */
static int home_open(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	if (!mkdtemp(home) || atexit(home_remove) != 0)
		abort();
	fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

static void put(int dir, const char *name, const uint8_t *bytes, size_t len)
{
	auto_close int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
}

static void filter_try(const uint8_t *bytes, size_t len)
{
	auto_free struct sock_filter *program = malloc(len + 1);

	if (!program)
		abort();
	memcpy(program, bytes, len);
	(void)seccomp_filter_passes(program, len / sizeof(*program));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "core-1.img", "seccomp.img", "mountpoints-1.img",
					     "cgroup.img", "pstree.img" };
	const struct checkpoint_grant grant = { .capabilities = 0xa80425fb, .filtered = true };
	struct err err = { 0 };

	if (!size)
		return 0;
	if ((data[0] & 7) == 5) {
		filter_try(data + 1, size - 1);
		return 0;
	}
	static const uint8_t one[] = { 0x19, 0x43, 0x56, 0x54, 1, 0, 0, 0, 2, 0, 0, 0, 0x08, 1 };
	int dir = home_open();
	if (data[0] & 0x80) /* else the bytes' own tree, or none */
		put(dir, "pstree.img", one, sizeof(one));
	put(dir, names[(data[0] & 7) % 5], data + 1, size - 1);
	int r = checkpoint_images_check(dir, &grant, &err);
	if (r != 0 && !err.text[0])
		abort();
	(void)unlinkat(dir, names[(data[0] & 7) % 5], 0);
	(void)unlinkat(dir, "pstree.img", 0);
	return 0;
}
