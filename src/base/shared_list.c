/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shared_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"

#define NAME "shared"

/** above_open() - Open the directory above a path. Return: descriptor, or negative error code */
static int above_open(const char *path)
{
	const char *end = strrchr(path, '/');

	if (!end)
		return -EINVAL;
	auto_free char *above = strndup(path, end == path ? 1 : (size_t)(end - path));
	if (!above)
		return -ENOMEM;
	int dir = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : dir;
}

/** list_text() - One path on each line. Return: 0, or negative error code */
static int list_text(struct buf *text, const char *const *shared, struct err *err)
{
	int r = 0;

	for (; r == 0 && shared && *shared; shared++) {
		if (strchr(*shared, '\n'))
			return err_set(err, -EINVAL,
				       "a shared directory has a newline in its name");
		r = buf_append(text, *shared, strlen(*shared), err);
		if (r == 0)
			r = buf_append(text, "\n", 1, err);
	}
	return r;
}

int shared_list_write(const char *staged, const char *const *shared, struct err *err)
{
	struct buf text;

	auto_close int dir = above_open(staged);
	if (dir < 0)
		return err_set(err, dir, "open the directory above %s", staged);
	buf_init(&text, SHARED_LIST_MAX);
	int r = list_text(&text, shared, err);
	if (r == 0)
		r = atomic_file_write(dir, NAME, buf_bytes(&text), text.len, 0600, err);
	buf_deinit(&text);
	return r < 0 ? err_wrap(err, r, "list of shared directories") : 0;
}

int shared_list_read(char **ret, const char *staged)
{
	struct stat st;

	*ret = NULL;
	auto_close int dir = above_open(staged);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	auto_close int fd = openat(dir, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	if (st.st_size > SHARED_LIST_MAX)
		return -EFBIG;
	auto_free char *text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	if (read(fd, text, (size_t)st.st_size) != st.st_size)
		return -EIO;
	*ret = TAKE_PTR(text);
	return 0;
}

bool shared_list_has(const char *list, const char *path)
{
	for (const char *line = list; line && *line;) {
		size_t len = strcspn(line, "\n");

		if (len > 0 && !strncmp(path, line, len) && (path[len] == '/' || !path[len]))
			return true;
		line += len + (line[len] == '\n');
	}
	return false;
}
