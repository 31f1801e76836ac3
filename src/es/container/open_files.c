/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/open_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/text.h"
#include "es/container/findings.h"
#include "es/files/beneath.h"

#define MQUEUE_MAGIC  0x19800202
#define CRIU_LINE     4096  /* bytes of a line of mountinfo that CRIU reads, its end included */
#define MOUNTINFO_MAX 65536 /* lines that are looked at */
#define MQUEUE_REMEDY "have it end the queue (mq_unlink) or talk by pipes or sockets"
#define MQUEUE_FOUND  "it has the POSIX message queue %s, which CRIU cannot dump"

/** of_thread() - Whether a path is one of a thread in /proc: "/proc/7/task/8/stat", but not of the first */
static bool of_thread(const char *link)
{
	int pid;
	int tid;

	return sscanf(link, "/proc/%d/task/%d", &pid, &tid) == 2 && pid != tid;
}

/** ghost_check() - Judge a file that may have no name any more */
static void ghost_check(json_t *findings, pid_t pid, const char *name, int dir, const char *number,
			const char *link)
{
	struct stat st;

	if (fstatat(dir, number, &st, 0) < 0 || !S_ISREG(st.st_mode) || st.st_nlink ||
	    (uint64_t)st.st_size <= CONTAINER_GHOST_MAX ||
	    (uint64_t)st.st_blocks * 512 <= CONTAINER_GHOST_MAX)
		return;
	finding_add_now(findings, "have it close the file, or keep its name",
			"process %d (%s) has the deleted file %.*s of %llu MB open, and at "
			"most %u MB of one can move",
			(int)pid, name, (int)strcspn(link, " "), link,
			(unsigned long long)st.st_size >> 20, CONTAINER_GHOST_MAX >> 20);
}

void container_file_check(json_t *findings, pid_t pid, const char *name, int dir,
			  const char *number, const char *link)
{
	char path[64];
	struct statfs fs;

	if (*link != '/')
		return;
	if (of_thread(link))
		finding_add_now(findings,
				"have it close the file, or use that of the whole process",
				"process %d (%s) has %s open, which is a thread's, and CRIU "
				"opens it before there are threads",
				(int)pid, name, link);
	ghost_check(findings, pid, name, dir, number, link);
	/* One with a name is found by its name. */
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", (int)pid, number);
	if (strstr(link, " (deleted)") && statfs(path, &fs) == 0 && fs.f_type == MQUEUE_MAGIC)
		finding_add_now(findings, MQUEUE_REMEDY, MQUEUE_FOUND, link);
}

void container_mqueues_check(json_t *findings, pid_t init)
{
	char path[64];
	char name[256] = "";
	const struct dirent *entry;
	struct statfs fs;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)init);
	auto_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int at = root < 0 ? -1 : beneath_mounted(root, "/dev/mqueue");
	DIR *dir = at >= 0 && fstatfs(at, &fs) == 0 && fs.f_type == MQUEUE_MAGIC ? beneath_list(at)
										 : NULL;
	while (dir && !*name && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)snprintf(name, sizeof(name), "/%.250s", entry->d_name);
	if (dir)
		(void)closedir(dir);
	if (*name)
		finding_add_now(findings, MQUEUE_REMEDY, MQUEUE_FOUND, name);
}

void container_mountinfo_check(json_t *findings, pid_t init)
{
	char path[64];
	char at[256];
	size_t size = 0;
	size_t lines = 0;
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)init);
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *line = NULL;
	while (f && lines++ < MOUNTINFO_MAX && (len = getline(&line, &size, f)) > 0) {
		if (len < CRIU_LINE)
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %255s", at) != 1)
			*at = '\0';
		finding_add(findings, "build the image with fewer layers",
			    "its image has so many layers that CRIU cannot read how they are "
			    "mounted at %s (%d bytes at most)",
			    at, CRIU_LINE - 1);
		return;
	}
}

/** struct ipc_look - Findings of a thread of ours in another IPC namespace */
struct ipc_look {
	int ns;
	size_t sets;
};

static void *ipc_look(void *ctx)
{
	struct ipc_look *l = ctx;
	char line[256];
	auto_fclose FILE *f =
		setns(l->ns, CLONE_NEWIPC) == 0 ? fopen("/proc/sysvipc/sem", "re") : NULL;

	while (f && l->sets < MOUNTINFO_MAX && fgets(line, sizeof(line), f))
		l->sets++;
	l->sets -= l->sets > 0; /* headings */
	return NULL;
}

size_t container_semaphores(pid_t init)
{
	char path[64];
	struct ipc_look l = { .sets = 0 };
	pthread_t thread;

	/* The file shows the namespace of who opens it; a thread may enter one for itself. */
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/ipc", (int)init);
	auto_close int ns = open(path, O_RDONLY | O_CLOEXEC);
	l.ns = ns;
	if (ns < 0 || pthread_create(&thread, NULL, ipc_look, &l) != 0)
		return 0;
	(void)pthread_join(thread, NULL);
	return l.sets;
}
