/* SPDX-License-Identifier: Apache-2.0 */
#include "logrepo/file_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "logrepo/event_json.h"
#include "logrepo/storage_management.h"

#define NUMBER_DIGITS 6
#define MEND_STEP     4096

/**
 * struct file_writer - The store
 * @path:	File being written
 * @file_bytes, @files: As configured
 * @fd:		File being written, O_APPEND, locked against a second writer
 * @size:	Its length; always behind a whole line
 * @part:	Its number once it is finished; cursors name it by this already
 * @oldest:	Lowest number there is, or @part
 * @dirty:	Something was written since the last sync
 */
struct file_writer {
	char *path;
	uint64_t file_bytes;
	uint64_t files;
	int fd;
	uint64_t size;
	uint64_t part;
	uint64_t oldest;
	bool dirty;
};

static void part_path(const struct file_writer *fw, uint64_t part, char path[PATH_MAX])
{
	if (part == fw->part)
		(void)snprintf(path, PATH_MAX, "%s", fw->path);
	else
		(void)snprintf(path, PATH_MAX, "%s.%0*llu", fw->path, NUMBER_DIGITS,
			       (unsigned long long)part);
}

/* Finds the numbers of the finished files */
static int find_parts(struct file_writer *fw, struct err *err)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(fw->path, '/');
	const char *base = slash ? slash + 1 : fw->path;
	uint64_t highest = 0, lowest = UINT64_MAX;
	struct dirent *e;

	(void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - fw->path + 1) : 1,
		       slash ? fw->path : ".");
	DIR *d = opendir(dir);
	if (!d)
		return err_set(err, -errno, "open directory %s", dir);
	while ((e = readdir(d))) {
		size_t len = strlen(base);
		char *end;

		if (strncmp(e->d_name, base, len) != 0 || e->d_name[len] != '.')
			continue;
		unsigned long long n = strtoull(e->d_name + len + 1, &end, 10);
		if (*end || strlen(e->d_name + len + 1) < NUMBER_DIGITS || !n)
			continue;
		highest = n > highest ? n : highest;
		lowest = n < lowest ? n : lowest;
	}
	closedir(d);
	fw->part = highest + 1;
	fw->oldest = lowest < fw->part ? lowest : fw->part;
	return 0;
}

/* Cuts the file behind its last whole line */
static int mend(struct file_writer *fw, struct err *err)
{
	struct stat st;
	char bytes[MEND_STEP];

	if (fstat(fw->fd, &st) < 0)
		return err_set(err, -errno, "open %s", fw->path);
	off_t end = st.st_size;
	while (end > 0) {
		size_t step = end < MEND_STEP ? (size_t)end : MEND_STEP;

		ssize_t n = pread(fw->fd, bytes, step, end - (off_t)step);
		if (n != (ssize_t)step)
			return err_set(err, n < 0 ? -errno : -EIO, "read %s", fw->path);
		char *newline = memrchr(bytes, '\n', step);
		if (newline) {
			end -= (off_t)step - (newline + 1 - bytes);
			break;
		}
		end -= (off_t)step;
	}
	if (end < st.st_size && ftruncate(fw->fd, end) < 0)
		return err_set(err, -errno, "cut the torn last line of %s", fw->path);
	fw->size = (uint64_t)end;
	return 0;
}

static int open_current(struct file_writer *fw, struct err *err)
{
	auto_close int fd = open(fw->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_set(err, -errno, "open %s", fw->path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -errno, "lock %s: does another baton-logrepo run?", fw->path);
	fw->fd = TAKE_FD(fd);
	return mend(fw, err);
}

static int sync_file(void *self, struct err *err)
{
	struct file_writer *fw = self;

	if (!fw->dirty)
		return 0;
	if (fdatasync(fw->fd) < 0)
		return err_set(err, -errno, "sync %s", fw->path);
	fw->dirty = false;
	return 0;
}

/* Finishes the file being written and begins the next */
static int rotate(struct file_writer *fw, struct err *err)
{
	char finished[PATH_MAX], old[PATH_MAX];
	int r;

	r = sync_file(fw, err);
	if (r < 0)
		return r;
	(void)snprintf(finished, sizeof(finished), "%s.%0*llu", fw->path, NUMBER_DIGITS,
		       (unsigned long long)fw->part);
	if (rename(fw->path, finished) < 0)
		return err_set(err, -errno, "rename %s to %s", fw->path, finished);
	int before = fw->fd;
	r = open_current(fw, err);
	if (r < 0) {
		/* continue with the present file rather than lose events */
		(void)rename(finished, fw->path);
		fw->fd = before;
		return r;
	}
	close(before);
	fw->part++;
	while (fw->part - fw->oldest >= fw->files) {
		part_path(fw, fw->oldest, old);
		if (unlink(old) < 0 && errno != ENOENT)
			return err_set(err, -errno, "remove %s", old);
		fw->oldest++;
	}
	return 0;
}

static int write_lines(struct file_writer *fw, const struct buf *lines, struct err *err)
{
	size_t done = 0;

	while (done < lines->len) {
		ssize_t n = write(fw->fd, buf_bytes(lines) + done, lines->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = err_set(err, -errno, "write %s", fw->path);

			if (done && ftruncate(fw->fd, (off_t)fw->size) < 0)
				return err_wrap(err, r, "cannot be undone");
			return r;
		}
		done += (size_t)n;
	}
	fw->size += lines->len;
	fw->dirty = true;
	return 0;
}

static int append(void *self, const struct wire_event *events, size_t count, struct err *err)
{
	struct file_writer *fw = self;
	struct buf lines;
	int r = 0;

	if (fw->size >= fw->file_bytes) {
		r = rotate(fw, err);
		if (r < 0)
			return r;
	}
	buf_init(&lines, 0);
	for (size_t i = 0; r == 0 && i < count; i++) {
		json_t *j = event_json_pack(&events[i]);
		char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

		json_decref(j);
		if (!text)
			r = err_set(err, -ENOMEM, "write %zu events", count);
		if (r == 0)
			r = buf_append(&lines, text, strlen(text), err);
		if (r == 0)
			r = buf_append(&lines, "\n", 1, err);
		free(text);
	}
	if (r == 0)
		r = write_lines(fw, &lines, err);
	buf_deinit(&lines);
	return r;
}

/* Reads one file from @at on. Return: 1 if the reader wants no more, 0, or negative error code */
static int read_part(struct file_writer *fw, struct storage_cursor *at,
		     int (*event)(void *ctx, const struct wire_event *e), void *ctx,
		     struct err *err)
{
	char path[PATH_MAX];
	size_t room = 0;
	ssize_t len;

	part_path(fw, at->part, path);
	auto_fclose FILE *f = fopen(path, "re");
	if (!f && errno == ENOENT)
		return 0; /* removed by hand: nothing here */
	if (!f || fseeko(f, (off_t)at->offset, SEEK_SET) < 0)
		return err_set(err, -errno, "read %s", path);
	auto_free char *line = NULL;
	while ((len = getline(&line, &room, f)) > 0) {
		struct wire_event e;

		if (line[len - 1] != '\n')
			break; /* being written by nobody else: torn by hand */
		if (event_json_unpack(&e, line, (size_t)len, NULL) == 0 && event(ctx, &e) != 0)
			return 1;
		at->offset += (uint64_t)len;
	}
	return 0;
}

static int read_events(void *self, struct storage_cursor *at,
		       int (*event)(void *ctx, const struct wire_event *e), void *ctx,
		       struct err *err)
{
	struct file_writer *fw = self;
	int r;

	if (at->part < fw->oldest || at->part > fw->part)
		*at = (struct storage_cursor){ .part = fw->oldest };
	for (;;) {
		r = read_part(fw, at, event, ctx, err);
		if (r < 0)
			return r;
		if (r > 0 || at->part == fw->part)
			return 0;
		at->part++;
		at->offset = 0;
	}
}

static struct file_writer *file_writer_free(struct file_writer *fw)
{
	if (!fw)
		return NULL;
	if (fw->fd >= 0) {
		(void)sync_file(fw, NULL);
		close(fw->fd);
	}
	free(fw->path);
	free(fw);
	return NULL;
}

AUTO_DEFINE(file_writer)

static void close_file(void *self)
{
	(void)file_writer_free(self);
}

int file_writer_open(struct storage_backend *ret, const struct file_writer_config *config,
		     struct err *err)
{
	int r;

	if (strlen(config->path) + NUMBER_DIGITS + 16 > PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "event file %.80s...", config->path);
	AUTO(file_writer) struct file_writer *fw = calloc(1, sizeof(*fw));
	if (!fw)
		return err_set(err, -ENOMEM, "open %s", config->path);
	fw->fd = -EBADF;
	fw->file_bytes = config->file_bytes;
	fw->files = config->files ? config->files : 1;
	fw->path = strdup(config->path);
	if (!fw->path)
		return err_set(err, -ENOMEM, "open %s", config->path);
	r = find_parts(fw, err);
	if (r == 0)
		r = open_current(fw, err);
	if (r < 0)
		return r;
	*ret = (struct storage_backend){
		.append = append,
		.read = read_events,
		.sync = sync_file,
		.close = close_file,
		.self = TAKE_PTR(fw),
	};
	return 0;
}
