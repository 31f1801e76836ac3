/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Carry - state that CRIU loses, forgets or would restore wrongly elsewhere, carried all the same
 *
 * Nothing of this happens while the tasks are frozen. Before the cut we wait for unread bytes and note the
 * state that CRIU forgets. After the cut we correct its images.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "es/checkpoint/forgotten.h"
#include "es/container/check.h"
#include "es/container/sockets.h"
#include "es/criu/mend.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/notes.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/system/hurry.h"

#define UNREAD_MS      8000 /* for a service to read the bytes it has received, while it runs */
#define UNREAD_HELD_MS 100  /* the same, while its user waits */
#define UNREAD_IDLE_MS 500  /* without anything read: nobody reads it */
#define UNREAD_LOOK_MS 10

int source_unread(struct migration *m, bool held, pid_t *first, struct err *err)
{
	unsigned int most = held ? UNREAD_HELD_MS : UNREAD_MS;
	uint64_t begin = monotonic_us();
	uint64_t moved = begin;
	uint64_t least = UINT64_MAX;
	size_t count;
	/* Read once: it takes all of /proc, and the look when the user is held reads them anew. */
	auto_free pid_t *pids = container_processes(migration_init(m), &count);

	if (!pids)
		return err_set(err, -ENOMEM, "look at sockets");
	for (;;) {
		uint64_t bytes;
		size_t unread = container_sockets_unread(
			pids, count, held ? UNREAD_HELD_MS : HURRY_MS, first, &bytes);
		uint64_t now = monotonic_us();
		if (bytes < least)
			moved = now;
		least = bytes < least ? bytes : least;
		if (!unread || now - begin >= most * 1000ull ||
		    now - moved >= UNREAD_IDLE_MS * 1000)
			return (int)unread;
		int r = migration_rest(m, UNREAD_LOOK_MS, err);
		if (r < 0)
			return r;
	}
}

int source_forgotten(struct migration *m, struct err *err)
{
	size_t count;
	auto_free pid_t *pids =
		m->out->puts_back ? container_processes(migration_init(m), &count) : NULL;

	if (!m->out->puts_back)
		return 0;
	free(m->out->forgotten);
	m->out->forgotten = pids ? forgotten_note(pids, count) : NULL;
	return m->out->forgotten ? 0 : err_set(err, -ENOMEM, "note what CRIU forgets");
}

/** forgotten_write() - Put what was noted beside the images */
static int forgotten_write(const struct migration *m, int images, struct err *err)
{
	int r;

	if (!m->out->forgotten || !*m->out->forgotten)
		return 0;
	auto_close int fd = openat(images, FORGOTTEN_FILE,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "write " FORGOTTEN_FILE);
	r = files_write(fd, m->out->forgotten, strlen(m->out->forgotten));
	return r < 0 ? err_set(err, r, "write " FORGOTTEN_FILE) : 0;
}

int source_mend(struct migration *m, struct err *err)
{
	struct checkpoint_mended mended;
	struct in_addr own[CONTAINER_ADDRESSES_MAX];
	size_t count = container_own_addresses(
		own, ARRAY_SIZE(own), json_at(m->inspect, "NetworkSettings", "Networks", NULL));
	int r;

	auto_close int images =
		open(checkpoint_images(m->out->checkpoint), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(err, -errno, "open the checkpoint");
	r = checkpoint_mend(images, own, count, &mended, err);
	return r < 0 ? r : forgotten_write(m, images, err);
}
