/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/process_family.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "es/system/process.h"

#define ENVIRONMENT_MAX (64u << 10) /* of it is read; that of runc and hooks is far shorter */
#define LOOK_NS         2000000

/** is_candidate() - Whether a process is one of root's in our PID namespace, and no fork of ours */
static bool is_candidate(int proc, const char *pid, const struct stat *namespace,
			 const struct stat *self)
{
	char path[64];
	struct stat st;

	if (fstatat(proc, pid, &st, 0) < 0 || st.st_uid != 0)
		return false;
	(void)snprintf(path, sizeof(path), "%.20s/ns/pid", pid);
	if (fstatat(proc, path, &st, 0) < 0 || st.st_ino != namespace->st_ino)
		return false;
	/* A child of ours that has not become another program yet has all our files open. */
	(void)snprintf(path, sizeof(path), "%.20s/exe", pid);
	return fstatat(proc, path, &st, 0) == 0 &&
	       (st.st_ino != self->st_ino || st.st_dev != self->st_dev);
}

/** is_marked() - Whether a process has the mark in its environment */
static bool is_marked(int proc, const char *pid, const char *mark, char *room)
{
	char path[64];
	size_t len = 0;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%.20s/environ", pid);
	auto_close int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && len < ENVIRONMENT_MAX &&
	       (n = read(fd, room + len, ENVIRONMENT_MAX - len)) > 0)
		len += (size_t)n;
	room[len] = '\0';
	for (size_t at = 0; at < len; at += strlen(room + at) + 1)
		if (!strcmp(room + at, mark))
			return true;
	return false;
}

/** holds_open() - Whether a process has a file below @dir open */
static bool holds_open(int proc, const char *pid, const char *dir)
{
	char path[64];
	char target[PATH_MAX];
	const struct dirent *entry;
	bool holds = false;

	(void)snprintf(path, sizeof(path), "%.20s/fd", pid);
	int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *fds = fd < 0 ? NULL : fdopendir(fd);
	while (fds && !holds && (entry = readdir(fds))) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		holds = n > 0 && !strncmp(target, dir, strlen(dir)) &&
			(target[strlen(dir)] == '/' || target[strlen(dir)] == '\0');
	}
	if (fds)
		(void)closedir(fds);
	else if (fd >= 0)
		close(fd);
	return holds;
}

/** is_worker() - Whether a process runs one of the programs that a cut consists of */
static bool is_worker(int proc, const char *pid)
{
	static const char *const names[] = { "criu", "runc",           "tar",
					     "gzip", "baton-cut-hook", "baton-store" };
	char path[64];
	char exe[PATH_MAX];
	bool is = false;

	(void)snprintf(path, sizeof(path), "%.20s/exe", pid);
	ssize_t n = readlinkat(proc, path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	/* One that was replaced since is followed by " (deleted)". */
	const char *name = strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe;
	size_t len = strcspn(name, " ");
	for (size_t i = 0; i < ARRAY_SIZE(names) && !is; i++)
		is = strlen(names[i]) == len && !strncmp(name, names[i], len);
	return is;
}

/**
 * members() - Send a signal (0: none) to all members
 *
 * Return: their number; 1 if unknown
 */
static size_t members(const struct process_family *family, int sig)
{
	const struct dirent *entry;
	struct stat namespace;
	struct stat self;
	size_t count = 0;

	auto_free char *room = malloc(ENVIRONMENT_MAX + 1);
	if (!room || stat("/proc/self/ns/pid", &namespace) < 0 || stat("/proc/self/exe", &self) < 0)
		return 1;
	DIR *proc = opendir("/proc");
	if (!proc)
		return 1;
	while ((entry = readdir(proc))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !is_candidate(dirfd(proc), entry->d_name, &namespace, &self) ||
		    (!is_marked(dirfd(proc), entry->d_name, family->mark, room) &&
		     !(is_worker(dirfd(proc), entry->d_name) &&
		       holds_open(dirfd(proc), entry->d_name, family->dir))))
			continue;
		count++;
		if (sig)
			(void)kill(atoi(entry->d_name), sig);
	}
	(void)closedir(proc);
	return count;
}

bool process_family_lives(const struct process_family *family)
{
	return members(family, 0) > 0;
}

int process_family_end(const struct process_family *family, int timeout_ms)
{
	static const struct timespec nap = { .tv_nsec = LOOK_NS };
	uint64_t until = monotonic_us() + (uint64_t)timeout_ms * 1000;

	/* Again and again: one that is being forked is not there yet at the first look. */
	while (members(family, SIGKILL)) {
		if (monotonic_us() > until)
			return -ETIMEDOUT;
		(void)nanosleep(&nap, NULL);
	}
	return 0;
}
