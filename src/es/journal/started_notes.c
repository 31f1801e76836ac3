/* SPDX-License-Identifier: Apache-2.0 */
#include "es/journal/started_notes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/err.h"
#include "es/container/management.h"

#define SUFFIX    ".started"
#define NAME_ROOM (CONTAINER_ID_SIZE + sizeof(SUFFIX))

struct started_notes {
	int dir;
};

int started_notes_open(struct started_notes **ret, const char *dir, struct err *err)
{
	struct started_notes *sn = calloc(1, sizeof(*sn));

	if (!sn)
		return err_set(err, -ENOMEM, "notes of containers");
	sn->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sn->dir < 0) {
		int r = err_set(err, -errno, "open %s", dir);

		free(sn);
		return r;
	}
	*ret = sn;
	return 0;
}

struct started_notes *started_notes_free(struct started_notes *sn)
{
	if (!sn)
		return NULL;
	close(sn->dir);
	free(sn);
	return NULL;
}

/** name_of() - File of a container */
static void name_of(char to[NAME_ROOM], const char *id)
{
	(void)snprintf(to, NAME_ROOM, "%.*s" SUFFIX, CONTAINER_ID_SIZE - 1, id);
}

int started_notes_put(struct started_notes *sn, const struct container_address *where,
		      struct err *err)
{
	char name[NAME_ROOM];

	name_of(name, where->id);
	return atomic_file_write(sn->dir, name, where->started, strlen(where->started), 0600, err);
}

int started_notes_same(struct started_notes *sn, const struct container_address *where, char *noted)
{
	char name[NAME_ROOM];

	noted[0] = '\0';
	name_of(name, where->id);
	auto_close int fd = openat(sn->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 1 : -errno;
	ssize_t n = read(fd, noted, CONTAINER_TIME_SIZE - 1);
	if (n < 0)
		return -errno;
	noted[n] = '\0';
	return !*noted || !strcmp(noted, where->started);
}

void started_notes_drop(struct started_notes *sn, const char *id)
{
	char name[NAME_ROOM];

	name_of(name, id);
	(void)unlinkat(sn->dir, name, 0);
}

/** kept() - Whether a file is the note of one of these containers, or no note at all */
static bool kept(const char *file, const struct container_found *found, size_t count)
{
	const char *suffix = strstr(file, SUFFIX);
	size_t len = suffix ? (size_t)(suffix - file) : 0;

	for (size_t i = 0; suffix && i < count; i++)
		if (!strncmp(file, found[i].where.id, len) && !found[i].where.id[len] &&
		    !strcmp(suffix, SUFFIX))
			return true;
	return !suffix;
}

void started_notes_sweep(struct started_notes *sn, const struct container_found *found,
			 size_t count)
{
	const struct dirent *entry;
	int fd = openat(sn->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	while (dir && (entry = readdir(dir)))
		if (!kept(entry->d_name, found, count))
			(void)unlinkat(sn->dir, entry->d_name, 0);
	if (dir)
		(void)closedir(dir);
	else if (fd >= 0)
		close(fd);
}
