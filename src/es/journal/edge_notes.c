/* SPDX-License-Identifier: Apache-2.0 */
#include "es/journal/edge_notes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/err.h"

#define BOOT_FILE    "boot"
#define BOOT_ID      "/proc/sys/kernel/random/boot_id"
#define DRAINED_FILE "drained"

bool edge_boot_id(char to[EDGE_BOOT_SIZE])
{
	auto_close int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, EDGE_BOOT_SIZE - 1);

	to[n > 0 ? n : 0] = '\0';
	to[strcspn(to, "\n")] = '\0';
	return to[0];
}

int edge_boot_note(int dir, const char *boot, const char *how, struct err *err)
{
	char text[EDGE_BOOT_SIZE + 16];
	int n = snprintf(text, sizeof(text), "%s %s\n", boot, how);

	return atomic_file_write(dir, BOOT_FILE, text, (size_t)n, 0600, err);
}

int edge_boot_lost(int dir, const char *boot, bool *lost, struct err *err)
{
	char text[EDGE_BOOT_SIZE + 16] = "", before[EDGE_BOOT_SIZE] = "", how[16] = "";

	*lost = false;
	auto_close int fd = openat(dir, BOOT_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return err_set(err, -errno, "open %s", BOOT_FILE);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		return err_set(err, -errno, "read %s", BOOT_FILE);
	bool known = sscanf(text, "%63s %15s", before, how) == 2;
	*lost = known && strcmp(how, "runs") == 0 && strcmp(before, boot) != 0;
	return 0;
}

int edge_drained_note(int dir, bool drained, struct err *err)
{
	static const char why[] = "an operator has drained this edge server: baton undrain\n";

	if (drained)
		return atomic_file_write(dir, DRAINED_FILE, why, sizeof(why) - 1, 0600, err);
	if (unlinkat(dir, DRAINED_FILE, 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s", DRAINED_FILE);
	return 0;
}

int edge_drained(int dir, bool *ret, struct err *err)
{
	auto_close int fd = openat(dir, DRAINED_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		return err_set(err, -errno, "open %s", DRAINED_FILE);
	*ret = fd >= 0;
	return 0;
}
