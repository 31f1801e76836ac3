/* SPDX-License-Identifier: Apache-2.0 */
#include "es/criu/mend.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/files.h"
#include "es/criu/image.h"
#include "es/criu/images.h"
#include "es/files/beneath.h"
#include "criu_images.pb-c.h"

#define FILES    "files.img"
#define REPLACED "files.img.new"
#define V6_WORDS 4

/** struct mending - The image that is rewritten */
struct mending {
	const struct in_addr *own;
	size_t own_count;
	struct checkpoint_mended mended;
	uint8_t *bytes;
	size_t len;
	size_t room;
};

/** socket_mend() - Bind a socket of the container's own address to all. Return: whether it was */
static bool socket_mend(const struct mending *m, Criu__InetSocket *s)
{
	bool mapped = s->n_source == V6_WORDS && !s->source[0] && !s->source[1] &&
		      s->source[2] == htonl(0xffff);
	uint32_t *word;

	if (s->n_source != 1 && !mapped)
		return false;
	word = &s->source[s->n_source - 1];
	for (size_t i = 0; i < m->own_count; i++) {
		if (*word != m->own[i].s_addr)
			continue;
		*word = htonl(INADDR_ANY);
		return true;
	}
	return false;
}

/** timer_mend() - Set one that has gone off to its interval. Return: whether it had */
static bool timer_mend(Criu__Timer *t)
{
	if (!t->ticks || t->value_s || t->value_ns || (!t->interval_s && !t->interval_ns))
		return false;
	t->has_value_s = true;
	t->has_value_ns = true;
	t->value_s = t->interval_s;
	t->value_ns = t->interval_ns;
	return true;
}

/** append() - Add bytes to the new image. Return: where they are, or NULL without memory */
static uint8_t *append(struct mending *m, const void *bytes, size_t len)
{
	if (m->room - m->len < len) {
		size_t room = m->room + m->room / 2 + len;
		uint8_t *more = realloc(m->bytes, room);

		if (!more)
			return NULL;
		m->bytes = more;
		m->room = room;
	}
	uint8_t *at = m->bytes + m->len;
	if (bytes)
		memcpy(at, bytes, len);
	m->len += len;
	return at;
}

/** entry_mend() - Write an entry, set right. Fields that we do not know stay as they are */
static int entry_mend(struct mending *m, const struct criu_image *in, const uint8_t *bytes,
		      size_t len, struct err *err)
{
	Criu__File *file = criu__file__unpack(NULL, len, bytes);
	bool socket = file && file->inet && socket_mend(m, file->inet);
	bool timer = file && file->timer && timer_mend(file->timer);
	bool changed = socket || timer;
	uint32_t size = (uint32_t)(changed ? criu__file__get_packed_size(file) : len);
	int r = 0;

	if (!file)
		r = criu_image_malformed(in, err);
	else if (!append(m, &size, sizeof(size)))
		r = err_set(err, -ENOMEM, "write %s", in->name);
	uint8_t *to = r == 0 ? append(m, changed ? NULL : bytes, size) : NULL;
	if (r == 0 && !to)
		r = err_set(err, -ENOMEM, "write %s", in->name);
	if (r == 0 && changed)
		(void)criu__file__pack(file, to);
	m->mended.sockets += socket;
	m->mended.timers += timer;
	criu__file__free_unpacked(file, NULL);
	return r;
}

/** replace() - Put the new image in the place of the old one */
static int replace(int images, const struct mending *m, struct err *err)
{
	int r;

	auto_close int fd = openat(images, REPLACED,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "write " REPLACED);
	r = files_write(fd, m->bytes, m->len);
	if (r == 0 && renameat(images, REPLACED, images, FILES) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(images, REPLACED, 0);
	return r < 0 ? err_set(err, r, "write " FILES) : 0;
}

int checkpoint_mend(int images, const struct in_addr *own, size_t count,
		    struct checkpoint_mended *mended, struct err *err)
{
	struct mending m = { .own = own, .own_count = count };
	struct criu_image in = { .bytes = NULL };
	const uint8_t *bytes;
	struct stat st;
	size_t len;
	int r = 0;

	*mended = (struct checkpoint_mended){ 0 };
	if (beneath_stat(images, FILES, &st) < 0 || (uint64_t)st.st_size > CHECKPOINT_IMAGE_MAX)
		return 0;
	r = criu_image_open(&in, images, FILES, err);
	if (r == 0 && !append(&m, in.bytes, CRIU_IMAGE_MAGIC))
		r = err_set(err, -ENOMEM, "write " FILES);
	while (r == 0 && (r = criu_image_next(&in, &bytes, &len, err)) > 0) {
		in.entries = 0; /* the size is bound enough: a container may have many files open */
		r = entry_mend(&m, &in, bytes, len, err);
	}
	if (r == 0 && (m.mended.sockets || m.mended.timers))
		r = replace(images, &m, err);
	if (r == 0)
		*mended = m.mended;
	free(in.bytes);
	free(m.bytes);
	return r;
}
