/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"
#include "es/system/process.h"

#define POLL_NS 100000

/** file_read() - First bytes of a file as text. Return: whether it could be read */
static bool file_read(const char *path, char *to, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);

	to[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

/** options_have() - Whether a comma separated list has the word */
static bool options_have(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

/**
 * mount_find() - Where a hierarchy is mounted
 * @to:		Set to the mount point
 * @controller:	Of a version 1 hierarchy; NULL: the version 2 hierarchy
 */
static int mount_find(char to[PATH_MAX], const char *controller)
{
	auto_fclose FILE *mounts = fopen("/proc/self/mountinfo", "re");
	auto_free char *line = NULL;
	size_t size = 0;

	while (mounts && getline(&line, &size, mounts) > 0) {
		char point[1024];
		char type[64];
		char options[512];
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*s %*s %*s %*s %1023s", point) != 1 ||
		    sscanf(rest, " - %63s %*s %511s", type, options) != 2)
			continue;
		if (controller ? !strcmp(type, "cgroup") && options_have(options, controller)
			       : !strcmp(type, "cgroup2")) {
			(void)snprintf(to, PATH_MAX, "%s", point);
			return 0;
		}
	}
	return -ENOENT;
}

bool cgroup_unified(void)
{
	char root[PATH_MAX];

	return mount_find(root, NULL) == 0 && mount_find(root, "freezer") < 0;
}

const char *cgroup_version_parse(char hierarchies[CGROUP_LIST_MAX], const char *text)
{
	bool one = false;
	bool two = false;
	size_t used = 0;

	*hierarchies = '\0';
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *list = line + strcspn(line, ":\n");
		size_t len = *list == ':' ? strcspn(++list, ":\n") : 0;

		two = two || (len == 0 && *list == ':');
		/* One with a name and no controllers is systemd's own. */
		one = one || (len && strncmp(list, "name=", strlen("name=")) != 0);
		if (len && used + len + 1 < CGROUP_LIST_MAX)
			used += (size_t)snprintf(hierarchies + used, CGROUP_LIST_MAX - used,
						 "%s%.*s", used ? " " : "", (int)len, list);
	}
	if (one || !two)
		return two ? "hybrid" : "v1";
	*hierarchies = '\0';
	return "v2";
}

const char *cgroup_version(char hierarchies[CGROUP_LIST_MAX])
{
	char text[8192];

	(void)file_read("/proc/self/cgroup", text, sizeof(text));
	return cgroup_version_parse(hierarchies, text);
}

int cgroup_find(char to[PATH_MAX], pid_t pid, const char *controller, bool *v2)
{
	char path[64];
	char root[PATH_MAX];
	char one[1024] = "";
	char unified[1024] = "";
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	auto_fclose FILE *groups = fopen(path, "re");
	auto_free char *line = NULL;
	while (groups && getline(&line, &size, groups) > 0) {
		char *list = strchr(line, ':');
		char *group = list ? strchr(list + 1, ':') : NULL;

		if (!group)
			continue;
		*list++ = '\0';
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (options_have(list, controller))
			(void)snprintf(one, sizeof(one), "%s", group);
		else if (!*list)
			(void)snprintf(unified, sizeof(unified), "%s", group);
	}
	*v2 = !*one;
	if (!*one && !*unified)
		return -ENOENT;
	if (mount_find(root, *v2 ? NULL : controller) < 0)
		return -ENOENT;
	if (snprintf(to, PATH_MAX, "%s%s", root, *v2 ? unified : one) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

/** file_write() - Write text to a file in one go. Return: 0, or negative error code */
static int file_write(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

bool cgroup_read(pid_t pid, const char *controller, const char *const files[2], char *to,
		 size_t size)
{
	char group[PATH_MAX];
	char path[PATH_MAX + 64];
	bool v2;

	if (cgroup_find(group, pid, controller, &v2) < 0 || !files[v2])
		return false;
	(void)snprintf(path, sizeof(path), "%s/%s", group, files[v2]);
	return file_read(path, to, size);
}

int cgroup_freezer_find(struct cgroup_freezer *to, pid_t pid, struct err *err)
{
	char group[PATH_MAX];
	char state[64];
	int r = cgroup_find(group, pid, "freezer", &to->v2);

	if (r == 0 && snprintf(to->file, sizeof(to->file), "%s/%s", group,
			       to->v2 ? "cgroup.freeze" : "freezer.state") >= PATH_MAX)
		r = -ENAMETOOLONG;
	if (r == 0 && !file_read(to->file, state, sizeof(state)))
		r = -errno;
	return r < 0 ? err_set(err, r, "find the freezer of process %d", (int)pid) : 0;
}

bool cgroup_frozen(const struct cgroup_freezer *f)
{
	char text[512];

	if (!f->v2)
		return file_read(f->file, text, sizeof(text)) && !strncmp(text, "FROZEN", 6);
	/* cgroup.freeze only has the request; cgroup.events has the state. */
	char events[PATH_MAX];
	int dir = (int)(strrchr(f->file, '/') - f->file);
	if (snprintf(events, sizeof(events), "%.*s/cgroup.events", dir, f->file) >= PATH_MAX)
		return false;
	return file_read(events, text, sizeof(text)) && strstr(text, "frozen 1");
}

bool cgroup_freezing(const struct cgroup_freezer *f)
{
	char text[64];

	return file_read(f->file, text, sizeof(text)) &&
	       (f->v2 ? text[0] == '1' : !strncmp(text, "FR", 2)); /* FREEZING or FROZEN */
}

int cgroup_each_process(const struct cgroup_freezer *f, int (*each)(void *ctx, pid_t pid),
			void *ctx, struct err *err)
{
	char path[PATH_MAX + 16];
	int dir = (int)(strrchr(f->file, '/') - f->file);
	int pid;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%.*s/cgroup.procs", dir, f->file);
	auto_fclose FILE *list = fopen(path, "re");
	if (!list)
		return err_set(err, -errno, "open %s", path);
	while (r == 0 && fscanf(list, "%d", &pid) == 1)
		r = each(ctx, pid);
	return r;
}

int cgroup_thaw(const struct cgroup_freezer *f, struct err *err)
{
	int r = file_write(f->file, f->v2 ? "0" : "THAWED");

	return r < 0 ? err_set(err, r, "thaw by %s", f->file) : 0;
}

int cgroup_freeze(const struct cgroup_freezer *f, int timeout_ms, struct err *err)
{
	static const struct timespec nap = { .tv_nsec = POLL_NS };
	uint64_t end = monotonic_us() + (uint64_t)timeout_ms * 1000;
	int r = file_write(f->file, f->v2 ? "1" : "FROZEN");

	if (r < 0)
		return err_set(err, r, "freeze by %s", f->file);
	while (!cgroup_frozen(f)) {
		if (monotonic_us() > end) {
			(void)cgroup_thaw(f, NULL);
			return err_set(err, -ETIMEDOUT, "freeze the container for %d ms",
				       timeout_ms);
		}
		(void)nanosleep(&nap, NULL);
	}
	return 0;
}

uint64_t cgroup_memory(pid_t pid)
{
	/* The page cache of files is not included: it is not sent. */
	static const char *const wanted[][2] = { { "total_rss", "total_shmem" },
						 { "anon", "shmem" } };
	char group[PATH_MAX];
	char file[PATH_MAX + 32];
	char key[64];
	unsigned long long value;
	uint64_t bytes = 0;
	size_t size = 0;
	bool v2;

	if (cgroup_find(group, pid, "memory", &v2) < 0)
		return 0;
	(void)snprintf(file, sizeof(file), "%s/memory.stat", group);
	auto_fclose FILE *stat = fopen(file, "re");
	auto_free char *line = NULL;
	while (stat && getline(&line, &size, stat) > 0) {
		if (sscanf(line, "%63s %llu", key, &value) == 2 &&
		    (!strcmp(key, wanted[v2][0]) || !strcmp(key, wanted[v2][1])))
			bytes += value;
	}
	return bytes;
}
