/* SPDX-License-Identifier: Apache-2.0 */
#include "es/journal/journal_reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/files.h"

#define FILE_NAME 32
#define FILES_MAX 8192 /* 1 GiB */

/**
 * struct journal_reserve - See journal_reserve.h
 * @there:	Whether file i is there, with its blocks
 * @count:	How many files are to be there
 * @left:	How many are
 */
struct journal_reserve {
	int dir;
	size_t count;
	size_t left;
	bool there[];
};

static void file_name(char to[FILE_NAME], size_t i)
{
	(void)snprintf(to, FILE_NAME, "reserve.%03zu", i);
}

/* Whether it is empty, and has its blocks */
static bool is_good(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == 0 && (uint64_t)st.st_blocks * 512 >= JOURNAL_RESERVE_FILE;
}

static int allocate(int dir, const char *name, struct err *err)
{
	(void)unlinkat(dir, name, 0); /* of a crash in its middle */
	auto_close int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, -errno, "create %s", name);
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, JOURNAL_RESERVE_FILE) == 0)
		return 0;
	int r = err_set(err, -errno, "reserve room in %s", name);
	(void)unlinkat(dir, name, 0);
	return r;
}

/* Those of before count, also while there is no room for more. Return: 0 if all is there, or negative */
static int fill(struct journal_reserve *jr, struct err *err)
{
	char name[FILE_NAME];
	int r = 0;

	for (size_t i = 0; i < jr->count; i++) {
		if (jr->there[i])
			continue;
		file_name(name, i);
		if (!is_good(jr->dir, name) && r == 0)
			r = allocate(jr->dir, name, err);
		jr->there[i] = is_good(jr->dir, name);
		jr->left += jr->there[i];
	}
	return r;
}

int journal_reserve_new(struct journal_reserve **ret, int dir, uint64_t bytes, struct err *err)
{
	size_t count = (size_t)(bytes / JOURNAL_RESERVE_FILE);
	struct statvfs fs;

	if (fstatvfs(dir, &fs) < 0)
		return err_set(err, -errno, "measure the file system");
	uint64_t share = (uint64_t)fs.f_blocks * fs.f_frsize / JOURNAL_RESERVE_SHARE;
	if (count > share / JOURNAL_RESERVE_FILE)
		count = (size_t)(share / JOURNAL_RESERVE_FILE);
	if (count > FILES_MAX)
		count = FILES_MAX;
	AUTO(journal_reserve)
	struct journal_reserve *jr = calloc(1, sizeof(*jr) + count * sizeof(*jr->there));
	if (!jr)
		return err_set(err, -ENOMEM, "reserve room for journals");
	jr->dir = dir;
	jr->count = count;
	int r = fill(jr, err);
	if (r < 0 && r != -ENOSPC && r != -EDQUOT)
		return r;
	*ret = TAKE_PTR(jr);
	return 0;
}

struct journal_reserve *journal_reserve_free(struct journal_reserve *jr)
{
	free(jr);
	return NULL;
}

void journal_reserve_fill(struct journal_reserve *jr)
{
	struct err err;

	(void)fill(jr, &err);
}

static int write_in_place(int dir, const char *from, const char *name, const void *bytes,
			  size_t len, struct err *err)
{
	auto_close int fd = openat(dir, from, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return err_set(err, -errno, "open %s", from);
	r = files_write(fd, bytes, len);
	if (r < 0)
		return err_set(err, r, "write %zu bytes in place of %s", len, name);
	if (fsync(fd) < 0)
		return err_set(err, -errno, "sync %s", from);
	if (renameat(dir, from, dir, name) < 0)
		return err_set(err, -errno, "rename %s to %s", from, name);
	return fsync(dir) < 0 ? err_set(err, -errno, "sync the directory of %s", name) : 0;
}

int journal_reserve_use(struct journal_reserve *jr, const char *name, const void *bytes, size_t len,
			struct err *err)
{
	char from[FILE_NAME];
	size_t i = 0;

	if (len > JOURNAL_RESERVE_FILE)
		return err_set(err, -ENOSPC, "%zu bytes of %s: more than a file of the reserve has",
			       len, name);
	while (i < jr->count && !jr->there[i])
		i++;
	if (i == jr->count)
		return err_set(err, -ENOSPC, "the reserve for journals is used up");
	jr->there[i] = false; /* also if it fails: it is made anew */
	jr->left--;
	file_name(from, i);
	int r = write_in_place(jr->dir, from, name, bytes, len, err);
	journal_reserve_fill(jr);
	return r;
}

uint64_t journal_reserve_left(const struct journal_reserve *jr)
{
	return (uint64_t)jr->left * JOURNAL_RESERVE_FILE;
}

uint64_t journal_reserve_wanted(const struct journal_reserve *jr)
{
	return (uint64_t)jr->count * JOURNAL_RESERVE_FILE;
}
