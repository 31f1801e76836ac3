/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/engine_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/files/beneath.h"

/** struct names - Of the files of a directory, in order */
struct names {
	char name[ENGINE_FILES_MAX][NAME_MAX + 1];
	size_t count;
};

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/** names_read() - List a directory but for one name. Return: 0, or negative error code */
static int names_read(struct names *to, int dir, const char *ahead, struct err *err)
{
	const struct dirent *entry;
	DIR *list = beneath_list(dir);
	int r = 0;

	if (!list)
		return err_set(err, -errno, "list a directory of the engine");
	while (r == 0 && (entry = readdir(list))) {
		const char *name = entry->d_name;

		if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, ahead))
			continue;
		if (to->count == ENGINE_FILES_MAX)
			r = err_set(err, -E2BIG, "more than %d files beside a container's layer",
				    ENGINE_FILES_MAX);
		else
			(void)snprintf(to->name[to->count++], NAME_MAX + 1, "%s", name);
	}
	(void)closedir(list);
	qsort(to->name, to->count, sizeof(to->name[0]), name_compare);
	return r;
}

/** content_append() - Append the bytes of a regular file. Return: 0, or negative error code */
static int content_append(struct buf *to, int dir, const char *name, struct err *err)
{
	auto_close int fd = beneath_regular(dir, name, O_RDONLY);
	ssize_t n = fd;

	while (n >= 0) {
		int r = buf_reserve(to, 4096, err);

		if (r < 0)
			return r;
		n = read(fd, buf_tail(to), 4096);
		if (n == 0)
			return 0;
		to->len += n > 0 ? (size_t)n : 0;
	}
	return err_set(err, fd < 0 ? fd : -errno, "read %s of the engine", name);
}

/**
 * file_append() - Append the attributes of a file that are compared
 * @is_tree:	mode and owner are the container's
 *
 * A second name of a file, in the layer say, would let the container change it after the
 * comparison.
 */
static int file_append(struct buf *to, int dir, const char *name, bool is_tree, struct err *err)
{
	char line[NAME_MAX + 150];
	struct stat st;
	int r = beneath_stat(dir, name, &st);

	if (r < 0)
		return err_set(err, r, "look at %s of the engine", name);
	int len = snprintf(line, sizeof(line), "%s/%o %o %u:%u %llu %llu %lld\n", name,
			   st.st_mode & S_IFMT, is_tree ? 0 : st.st_mode, is_tree ? 0 : st.st_uid,
			   is_tree ? 0 : st.st_gid, (unsigned long long)st.st_ino,
			   S_ISREG(st.st_mode) ? (unsigned long long)st.st_nlink : 0,
			   S_ISREG(st.st_mode) ? (long long)st.st_size : 0);
	r = buf_append(to, line, (size_t)len, err);
	return r == 0 && S_ISREG(st.st_mode) ? content_append(to, dir, name, err) : r;
}

int engine_files_read(struct buf *to, const char *dir, const char *tree, const char *ahead,
		      struct err *err)
{
	int r;

	auto_free struct names *names = calloc(1, sizeof(*names));
	if (!names)
		return err_set(err, -ENOMEM, "look at %s", dir);
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open %s", dir);
	buf_init(to, ENGINE_FILES_BYTES_MAX);
	r = names_read(names, fd, ahead, err);
	for (size_t i = 0; r == 0 && i < names->count; i++)
		r = file_append(to, fd, names->name[i], !strcmp(names->name[i], tree), err);
	if (r == -ENOBUFS)
		r = err_set(err, -E2BIG, "files of the engine in %s: more than %u bytes", dir,
			    ENGINE_FILES_BYTES_MAX);
	return r;
}
