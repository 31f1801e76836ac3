/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/sqlite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/auto.h"
#include "es/container/check.h"
#include "es/container/findings.h"
#include "es/files/beneath.h"

#define OPEN_MAX_SEEN 64 /* databases looked at; who has more open does so in all of them */
#define LOOKS         5
#define LOOK_EVERY_NS 100000000

/* The format of SQLite's files: a text, and in byte 18 who may write to it */
#define HEADER_SIZE    20
#define HEADER_WRITER  18
#define WRITER_JOURNAL 1
static const uint8_t magic[] = "SQLite format 3"; /* with its NUL */

/* struct database - One that a process has open */
struct database {
	pid_t pid;
	int fd; /* of the process */
	dev_t device;
	ino_t inode;
};

/* struct look - Files that were open at one time */
struct look {
	size_t count;
	struct database at[OPEN_MAX_SEEN];
	size_t seen; /* open files */
};

static bool has_journal(int dir, const char *fd)
{
	uint8_t header[HEADER_SIZE];

	auto_close int file = beneath_opened(dir, fd, O_RDONLY);
	return file >= 0 && pread(file, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	       memcmp(header, magic, sizeof(magic)) == 0 && header[HEADER_WRITER] == WRITER_JOURNAL;
}

static void look_at_process(struct look *l, pid_t pid)
{
	char path[64];
	const struct dirent *entry;
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	while (dir && l->count < OPEN_MAX_SEEN && l->seen < CONTAINER_OPEN_MAX &&
	       (entry = readdir(dir))) {
		l->seen++;
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
		    !has_journal(dirfd(dir), entry->d_name))
			continue;
		l->at[l->count++] = (struct database){ .pid = pid,
						       .fd = atoi(entry->d_name),
						       .device = st.st_dev,
						       .inode = st.st_ino };
	}
	if (dir)
		(void)closedir(dir);
}

static void look(struct look *l, const pid_t *pids, size_t count)
{
	l->count = 0;
	l->seen = 0;
	for (size_t i = 0; i < count; i++)
		look_at_process(l, pids[i]);
}

static bool saw(const struct look *l, const struct database *d)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct database *at = &l->at[i];

		if (at->pid == d->pid && at->fd == d->fd && at->device == d->device &&
		    at->inode == d->inode)
			return true;
	}
	return false;
}

/* Keeps of @l what was seen in @later, too */
static void keep_seen(struct look *l, const struct look *later)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++) {
		if (saw(later, &l->at[i]))
			l->at[kept++] = l->at[i];
	}
	l->count = kept;
}

static void report(json_t *findings, const struct database *d)
{
	char path[64];
	char name[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)d->pid, d->fd);
	ssize_t n = readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	finding_add_now(findings,
			"give the database PRAGMA journal_mode = WAL, or each transaction a "
			"connection of its own",
			"process %d keeps the SQLite database %s open, and would not write to it "
			"elsewhere: its inode number differs there",
			(int)d->pid, name);
}

void container_sqlite_check(json_t *findings, const pid_t *pids, size_t count)
{
	const struct timespec pause = { .tv_nsec = LOOK_EVERY_NS };
	struct look first;
	struct look later;

	look(&first, pids, count);
	for (int i = 1; i < LOOKS && first.count; i++) {
		(void)nanosleep(&pause, NULL);
		look(&later, pids, count);
		keep_seen(&first, &later);
	}
	for (size_t i = 0; i < first.count; i++)
		report(findings, &first.at[i]);
}
