/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Migration carry - what CRIU loses, forgets or would restore wrongly elsewhere, carried all the same
 *
 * At the source nothing of it happens while the tasks are frozen: what is unread is waited for and what
 * is forgotten is noted before, images are set right after.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "es/container/check.h"
#include "es/container/sockets.h"
#include "es/engine/docker_engine.h"
#include "es/files/beneath.h"
#include "es/criu/mend.h"
#include "es/checkpoint/forgotten.h"
#include "es/system/hurry.h"
#include "es/migration/migration.h"
#include "es/system/process.h"

#define UNREAD_MS      8000 /* for a service to read what has come, while it runs */
#define UNREAD_HELD_MS 100  /* the same, while its user waits */
#define UNREAD_IDLE_MS 500  /* without anything read: nobody reads it */
#define UNREAD_LOOK_MS 10

/** pids_of() - The processes of the container. Return: to be freed, NULL without memory */
static pid_t *pids_of(const struct migration *m, size_t *count)
{
	pid_t init = (pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL));
	pid_t *pids = calloc(CONTAINER_PIDS_MAX, sizeof(*pids));
	char path[64];
	struct stat theirs;
	struct stat ours;

	/* A number that is another process's by now must not lead to all of the host's. */
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)init);
	if (stat(path, &theirs) < 0 || stat("/proc/self/ns/pid", &ours) < 0 ||
	    theirs.st_ino == ours.st_ino)
		init = 0;
	*count = pids ? container_pids(pids, CONTAINER_PIDS_MAX, init) : 0;
	return pids;
}

int source_unread(struct migration *m, bool held, pid_t *first, struct err *err)
{
	unsigned int most = held ? UNREAD_HELD_MS : UNREAD_MS;
	uint64_t begin = monotonic_us();
	uint64_t moved = begin;
	uint64_t least = UINT64_MAX;
	size_t count;
	/* Read once: it takes all of /proc, and the look when the user is held reads them anew. */
	auto_free pid_t *pids = pids_of(m, &count);

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
	auto_free pid_t *pids = m->puts_back ? pids_of(m, &count) : NULL;

	if (!m->puts_back)
		return 0;
	free(m->forgotten);
	m->forgotten = pids ? forgotten_note(pids, count) : NULL;
	return m->forgotten ? 0 : err_set(err, -ENOMEM, "note what CRIU forgets");
}

/** forgotten_write() - Put what was noted beside the images */
static int forgotten_write(const struct migration *m, int images, struct err *err)
{
	int r;

	if (!m->forgotten || !*m->forgotten)
		return 0;
	auto_close int fd = openat(images, FORGOTTEN_FILE,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "write " FORGOTTEN_FILE);
	r = files_write(fd, m->forgotten, strlen(m->forgotten));
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
		open(checkpoint_images(m->checkpoint), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(err, -errno, "open the checkpoint");
	r = checkpoint_mend(images, own, count, &mended, err);
	return r < 0 ? r : forgotten_write(m, images, err);
}

int destination_put_back(struct migration *m, struct err *err)
{
	char path[PATH_MAX + 16];
	size_t count;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/images", m->work);
	auto_close int images = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = images < 0 ? -1 : beneath_regular(images, FORGOTTEN_FILE, O_RDONLY);
	if (fd < 0)
		return 0; /* nothing was forgotten */
	auto_free char *text = malloc(FORGOTTEN_MAX + 1);
	auto_free pid_t *pids = pids_of(m, &count);
	if (!text || !pids)
		return err_set(err, -ENOMEM, "put back what CRIU forgets");
	n = read(fd, text, FORGOTTEN_MAX);
	if (n < 0)
		return err_set(err, -errno, "read " FORGOTTEN_FILE);
	text[n] = '\0';
	size_t failed = forgotten_put_back(text, pids, count);
	if (failed)
		migration_stage_done(m, "NOT PUT BACK", "settings=%zu", failed);
	return 0;
}
