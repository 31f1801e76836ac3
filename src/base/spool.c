/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"

#define FORGET_STEP (256u << 10)

struct spools {
	uint64_t used;
	uint64_t max;
	char dir[];
};

struct spool {
	struct spools *spools;
	uint64_t len;
	uint64_t forgotten;
	int fd;
};

int spools_new(struct spools **ret, const char *dir, uint64_t max, struct err *err)
{
	size_t size = strlen(dir) + 1;
	struct spools *s = calloc(1, sizeof(*s) + size);

	if (!s)
		return err_set(err, -ENOMEM, "spools in %s", dir);
	memcpy(s->dir, dir, size);
	s->max = max;
	*ret = s;
	return 0;
}

struct spools *spools_free(struct spools *s)
{
	free(s);
	return NULL;
}

/* For file systems without nameless files: the file loses its name at once */
static int open_named(const char *dir)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/spool-XXXXXX", dir) < 0)
		return -ENOMEM;
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	return fd;
}

int spool_new(struct spool **ret, struct spools *spools, struct err *err)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, -ENOMEM, "spool in %s", spools->dir);
	s->spools = spools;
	s->fd = open(spools->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		s->fd = open_named(spools->dir);
	else if (s->fd < 0)
		s->fd = -errno;
	if (s->fd < 0) {
		int r = s->fd;

		free(s);
		return err_set(err, r, "spool in %s", spools->dir);
	}
	*ret = s;
	return 0;
}

struct spool *spool_free(struct spool *s)
{
	if (s) {
		s->spools->used -= s->len - s->forgotten;
		(void)close(s->fd);
		free(s);
	}
	return NULL;
}

int spool_append(struct spool *s, const void *bytes, size_t len, struct err *err)
{
	struct spools *all = s->spools;
	size_t done = 0;

	if (len > spools_left(all))
		return err_set(err, -ENOSPC, "spools in %s: limit of %" PRIu64 " bytes", all->dir,
			       all->max);
	while (done < len) {
		ssize_t n = pwrite(s->fd, (const char *)bytes + done, len - done,
				   (off_t)(s->len + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "spool in %s", all->dir);
		done += (size_t)n;
	}
	s->len += len;
	all->used += len;
	return 0;
}

int spool_read(const struct spool *s, uint64_t offset, void *to, size_t len, struct err *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(s->fd, (char *)to + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "spool in %s", s->spools->dir);
		if (n == 0)
			return err_set(err, -EIO, "spool in %s: %" PRIu64 " bytes, not %" PRIu64,
				       s->spools->dir, s->len, offset + len);
		done += (size_t)n;
	}
	return 0;
}

void spool_forget(struct spool *s, uint64_t offset)
{
	uint64_t from = s->forgotten;

	/* in steps, for each is a call to the file system; a file gives back whole blocks only */
	if (offset < from + FORGET_STEP)
		return;
	uint64_t len = (offset - from) / FORGET_STEP * FORGET_STEP;
	if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)len) <
	    0)
		return;
	s->forgotten += len;
	s->spools->used -= len;
}

uint64_t spools_left(const struct spools *s)
{
	return s->max > s->used ? s->max - s->used : 0;
}

uint64_t spool_length(const struct spool *s)
{
	return s->len;
}

void spools_limit(struct spools *s, uint64_t max)
{
	s->max = max;
}
