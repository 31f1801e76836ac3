/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_home.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_input.h"

static char home[] = "/dev/shm/baton-fuzz-XXXXXX";
static int made;

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	(void)remove(path);
	return 0;
}

static void home_remove(void)
{
	(void)nftw(home, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

void home_path(char to[HOME_PATH], const char *name)
{
	if (!made)
		require(mkdtemp(home) != NULL && atexit(home_remove) == 0);
	made = 1;
	require(snprintf(to, HOME_PATH, *name ? "%s/%s" : "%s", home, name) < HOME_PATH);
}

int home_directory(const char *name)
{
	char path[HOME_PATH];

	home_path(path, name);
	require(mkdir(path, 0700) == 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(fd >= 0);
	return fd;
}

size_t directory_entries(int dir)
{
	_Alignas(struct dirent64) char list[8192];
	size_t count = 0;

	require(lseek(dir, 0, SEEK_SET) == 0);
	ssize_t len = getdents64(dir, list, sizeof(list));
	require(len >= 0);
	for (ssize_t at = 0; at < len;) {
		const struct dirent64 *entry = (const struct dirent64 *)(list + at);

		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
		at += entry->d_reclen;
	}
	return count;
}
