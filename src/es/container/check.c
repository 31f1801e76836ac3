/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/check.h"
#include "es/container/findings.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/text.h"
#include "es/container/config.h"
#include "es/container/mounts.h"
#include "es/container/open_files.h"
#include "es/container/sockets.h"
#include "es/container/sqlite.h"
#include "es/engine/docker_engine.h"
#include "es/files/beneath.h"
#include "es/system/cgroup.h"
#include "es/system/task_state.h"

#define CAP_SYS_RESOURCE 24
#define TMPFS_LARGE      (64u << 20)

/** shared_mode() - Whether a namespace is shared with the host or another container */
static bool shared_mode(const char *mode)
{
	return !strcmp(mode, "host") || !strncmp(mode, "container:", 10);
}

/** check_host_things() - Look for settings that name something of one host or engine only */
static void check_host_things(json_t *findings, const json_t *host)
{
	static const char *const lists[][3] = {
		{ "DeviceCgroupRules", "devices of its host are allowed to it",
		  "start it without --device-cgroup-rule" },
		{ "Links", "it is linked to other containers",
		  "have it find them by name in a network of its own" },
		{ "BlkioWeightDevice", "it has a weight for a disk of its host",
		  "start it without --blkio-weight-device" },
		{ "BlkioDeviceReadBps", "it has a limit for a disk of its host",
		  "start it without --device-read-bps" },
		{ "BlkioDeviceWriteBps", "it has a limit for a disk of its host",
		  "start it without --device-write-bps" },
		{ "BlkioDeviceReadIOps", "it has a limit for a disk of its host",
		  "start it without --device-read-iops" },
		{ "BlkioDeviceWriteIOps", "it has a limit for a disk of its host",
		  "start it without --device-write-iops" },
	};
	static const char *const names[][3] = {
		{ "CgroupParent", "its control group is below one of its host",
		  "start it without --cgroup-parent" },
		{ "Cgroup", "it shares a control group", "give it one of its own" },
		{ "VolumeDriver", "its volumes are made by the driver",
		  "start it without --volume-driver" },
		{ "CpusetCpus", "it is bound to CPUs of its host", "limit it by --cpus" },
		{ "CpusetMems", "it is bound to memory nodes of its host",
		  "start it without --cpuset-mems" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (json_array_size(json_object_get(host, lists[i][0])))
			finding_add(findings, lists[i][2], "%s", lists[i][1]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *name = json_text(host, names[i][0], NULL);

		if (*name)
			finding_add(findings, names[i][2], "%s (%s)", names[i][1], name);
	}
}

void container_check_config(json_t *findings, const json_t *config, const json_t *host,
			    const char *const *shared)
{
	static const char *const modes[] = { "NetworkMode", "PidMode", "IpcMode", "UTSMode",
					     "UsernsMode" };

	if (json_is_true(json_object_get(config, "Tty")))
		finding_add(findings, "start it without -t", "it has a terminal (tty)");
	if (json_is_true(json_object_get(host, "Privileged")))
		finding_add(findings, "give it the capabilities that it needs one by one",
			    "it is privileged");
	if (json_is_true(json_object_get(host, "AutoRemove")))
		finding_add(findings, "start it without --rm",
			    "it removes itself when it ends, before its end can be looked at");
	if (json_array_size(json_object_get(host, "Devices")) ||
	    json_array_size(json_object_get(host, "DeviceRequests")))
		finding_add(findings, "start it without --device", "it uses devices of its host");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const char *mode = json_text(host, modes[i], NULL);

		if (shared_mode(mode))
			finding_add(findings, "give it namespaces of its own", "its %s is %s",
				    modes[i], mode);
	}
	/* With version 1 it is the engine's default for all, and shows nothing of the host. */
	if (!strcmp(json_text(host, "CgroupnsMode", NULL), "host") && cgroup_unified())
		finding_add(findings, "start it with --cgroupns private",
			    "it sees the control groups of its host");
	check_host_things(findings, host);
	container_mounts_check(findings, config, host, shared);
}

size_t container_pids(pid_t *pids, size_t max, pid_t init)
{
	char path[64];
	struct stat ours;
	struct stat st;
	const struct dirent *entry;
	size_t count = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)init);
	if (init <= 0 || stat(path, &ours) < 0)
		return 0;
	DIR *proc = opendir("/proc");
	while (proc && count < max && (entry = readdir(proc))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%.20s/ns/pid", entry->d_name);
		if (stat(path, &st) == 0 && st.st_ino == ours.st_ino)
			pids[count++] = atoi(entry->d_name);
	}
	if (proc)
		(void)closedir(proc);
	return count;
}

/**
 * watches() - Whether an inotify descriptor watches something on the device, in the first *@left
 * lines
 */
static bool watches(pid_t pid, const char *fd, dev_t device, size_t *left)
{
	char path[64];
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.20s", (int)pid, fd);
	auto_fclose FILE *info = fopen(path, "re");
	auto_free char *line = NULL;
	while (info && *left && getline(&line, &size, info) > 0) {
		const char *text = strstr(line, "sdev:");
		unsigned long dev = text ? strtoul(text + 5, NULL, 16) : 0;

		--*left;
		if (text && dev >> 20 == major(device) && (dev & 0xfffff) == minor(device))
			return true;
	}
	return false;
}

/** harmless_device() - Whether a path below /dev can be open in a container that moves */
static bool harmless_device(const char *path)
{
	static const char *const names[] = { "null",    "zero",    "full", "random",
					     "urandom", "console", "fd",   "tty" };
	const char *name = path + 5;

	/* A tmpfs, and terminals, which are judged by themselves. */
	if (!strncmp(name, "shm/", 4) || !strncmp(name, "pts/", 4) || !strncmp(name, "mqueue/", 7))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(name, names[i]))
			return true;
	}
	return false;
}

/**
 * check_descriptors() - Look for files that CRIU cannot dump among a process's open ones, *@left of
 * them at most
 */
static void check_descriptors(json_t *findings, pid_t pid, const char *name, size_t *left)
{
	char path[64];
	char link[256];
	struct stat root = { 0 };
	const struct dirent *entry;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	(void)stat(path, &root);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	while (dir && *left && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		--*left;
		if (n < 0)
			continue;
		link[n] = '\0';
		container_file_check(findings, pid, name, dirfd(dir), entry->d_name, link);
		if (!strncmp(link, "/dev/", 5) && !harmless_device(link))
			finding_add(findings, "have it work without that device",
				    "process %d (%s) has the device %s open", (int)pid, name, link);
		else if (!strcmp(link, "anon_inode:[io_uring]"))
			finding_add(
				findings,
				"switch io_uring off in it, or deny io_uring_setup by a seccomp "
				"profile",
				"process %d (%s) uses io_uring", (int)pid, name);
		else if ((!strcmp(link, "anon_inode:inotify") ||
			  !strcmp(link, "anon_inode:[fanotify]")) &&
			 watches(pid, entry->d_name, root.st_dev, left))
			finding_add(findings,
				    "switch off the watching of files, or watch only a tmpfs",
				    "process %d (%s) watches files of the container layer (%s)",
				    (int)pid, name, link + 11);
	}
	if (dir)
		(void)closedir(dir);
}

/** status_number() - Read a number behind a key of /proc/PID/status */
static bool status_number(const char *pid, const char *key, int base, unsigned long long *to)
{
	char path[64];
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
	auto_fclose FILE *status = fopen(path, "re");
	auto_free char *line = NULL;
	while (status && getline(&line, &size, status) > 0)
		if (!strncmp(line, key, strlen(key))) {
			*to = strtoull(line + strlen(key), NULL, base);
			return true;
		}
	return false;
}

/** may_set_limits() - Whether CRIU can give processes of other users their limits back here */
static bool may_set_limits(void)
{
	unsigned long long capabilities = ~0ULL;

	(void)status_number("self", "CapEff:", 16, &capabilities);
	return capabilities >> CAP_SYS_RESOURCE & 1;
}

/** check_process() - Judge one process */
static void check_process(json_t *findings, pid_t pid, bool limits, size_t *left)
{
	char name[64];
	char number[16];
	unsigned long long uid = 0;
	struct task_obstacle obstacle;

	task_name(name, pid);
	if (task_obstacle(pid, &obstacle))
		finding_add_now(findings, obstacle.remedy, "%s", obstacle.what);
	check_descriptors(findings, pid, name, left);
	(void)snprintf(number, sizeof(number), "%d", (int)pid);
	if (!limits && status_number(number, "Uid:", 10, &uid) && uid != 0)
		finding_add(findings,
			    "run the service as root in the container, or baton-es with "
			    "CAP_SYS_RESOURCE",
			    "process %d (%s) runs as user %llu, and this host's root lacks "
			    "CAP_SYS_RESOURCE, which CRIU then needs",
			    (int)pid, name, uid);
}

void container_check_processes(json_t *findings, const pid_t *pids, size_t count)
{
	size_t left = CONTAINER_OPEN_MAX;
	bool limits = may_set_limits();

	for (size_t i = 0; i < count; i++)
		check_process(findings, pids[i], limits, &left);
	if (left)
		container_sqlite_check(findings, pids, count);
	else
		finding_add_now(findings, "have it open fewer files, or watch fewer",
				"its processes have %d files open, or more", CONTAINER_OPEN_MAX);
}

/** check_own() - Judge the configuration that its replica would get, and the volumes here */
static int check_own(json_t *findings, struct docker_engine *engine, const json_t *inspect,
		     const char *const *shared, struct err *err)
{
	json_t *config = NULL;
	int r = container_config_clone(&config, inspect, err);

	if (r < 0)
		return r;
	container_check_config(findings, config, json_object_get(config, "HostConfig"), shared);
	json_decref(config);
	container_mounts_check_closed(findings, inspect);
	return container_mounts_check_volumes(findings, engine, inspect, err);
}

int container_check(json_t **findings, struct docker_engine *engine, const json_t *inspect,
		    const char *const *shared, struct err *err)
{
	pid_t pid = (pid_t)json_integer_value(json_at(inspect, "State", "Pid", NULL));
	int r;

	auto_free pid_t *pids = calloc(CONTAINER_PIDS_MAX, sizeof(*pids));
	json_t *list = json_array();
	if (!pids || !list) {
		json_decref(list);
		return err_set(err, -ENOMEM, "check a container");
	}
	r = check_own(list, engine, inspect, shared, err);
	if (r < 0) {
		json_decref(list);
		return r;
	}
	if (json_object_size(json_at(inspect, "NetworkSettings", "Networks", NULL)) > 1)
		finding_add(list, "leave it in one network", "it is in several networks");
	if (!json_is_true(json_at(inspect, "State", "Running", NULL)) ||
	    json_is_true(json_at(inspect, "State", "Paused", NULL)))
		finding_add_now(list, "start or unpause it", "it is not running (%s)",
				json_text(inspect, "State", "Status", NULL));
	size_t count = container_pids(pids, CONTAINER_PIDS_MAX, pid);
	container_check_processes(list, pids, count);
	if (pid > 0 && count) {
		container_mqueues_check(list, pid);
		container_mountinfo_check(list, pid);
	}
	container_sockets_check(list, pids, count,
				json_at(inspect, "NetworkSettings", "Networks", NULL));
	*findings = list;
	return 0;
}

/* --- notes ------------------------------------------------------------------------------------ */

/**
 * entered() - Whether a process came into the container from outside: its parent is no process
 * there
 */
static bool entered(const pid_t *pids, size_t count, pid_t pid, pid_t init)
{
	unsigned long long parent = 0;
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", (int)pid);
	if (pid == init || !status_number(number, "PPid:", 10, &parent))
		return false;
	for (size_t i = 0; i < count; i++) {
		if ((unsigned long long)pids[i] == parent)
			return false;
	}
	return true;
}

/** tmpfs_measure() - Bytes on the tmpfs mounts of a container that CRIU has to carry */
static uint64_t tmpfs_measure(pid_t init)
{
	char path[64];
	char at[PATH_MAX];
	char type[64];
	struct statvfs fs;
	uint64_t bytes = 0;
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)init);
	auto_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/%d/mounts", (int)init);
	auto_fclose FILE *mounts = fopen(path, "re");
	auto_free char *line = NULL;
	while (root >= 0 && mounts && getline(&line, &size, mounts) > 0) {
		if (sscanf(line, "%*s %4095s %63s", at, type) != 2 || strcmp(type, "tmpfs") != 0)
			continue;
		/* The container may have put a link in the way since. */
		auto_close int fd = beneath_mounted(root, at);
		if (fd >= 0 && fstatvfs(fd, &fs) == 0)
			bytes += (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
	}
	return bytes;
}

int container_check_notes(json_t *notes, const json_t *inspect, uint64_t *tmpfs)
{
	pid_t init = (pid_t)json_integer_value(json_at(inspect, "State", "Pid", NULL));
	auto_free pid_t *pids = calloc(CONTAINER_PIDS_MAX, sizeof(*pids));

	if (!pids)
		return -ENOMEM;
	size_t count = container_pids(pids, CONTAINER_PIDS_MAX, init);
	for (size_t i = 0; i < count; i++) {
		char name[64];

		if (!entered(pids, count, pids[i], init))
			continue;
		task_name(name, pids[i]);
		finding_add(notes, "have the service start what it needs",
			    "process %d (%s) was started by docker exec and stays behind",
			    (int)pids[i], name);
	}
	container_sockets_notes(notes, pids, count);
	size_t semaphores = count ? container_semaphores(init) : 0;
	if (semaphores)
		finding_add(notes, "have it release them itself, or use locks of files",
			    "is lost: what the kernel would undo of its %zu sets of "
			    "semaphores when a process ends (SEM_UNDO)",
			    semaphores);
	*tmpfs = count ? tmpfs_measure(init) : 0;
	if (*tmpfs > TMPFS_LARGE)
		finding_add(notes, "put what is large on a volume",
			    "it stands still while its tmpfs mounts, %llu MB, are packed",
			    (unsigned long long)*tmpfs >> 20);
	return 0;
}

void container_check_image(json_t *findings, json_t *notes, const json_t *image,
			   const char *machine)
{
	const char *architecture = json_text(image, "Architecture", NULL);
	const char *user = json_text(image, "Config", "User", NULL);
	const json_t *volumes = json_at(image, "Config", "Volumes", NULL);
	const char *path;
	json_t *value;

	if (*architecture && strcmp(architecture, machine) != 0)
		finding_add(findings, "use an image made for this machine",
			    "it is for %s, and this host is %s", architecture, machine);
	if (*user && strcmp(user, "0") != 0 && strcmp(user, "root") != 0 &&
	    strncmp(user, "0:", 2) != 0 && strncmp(user, "root:", 5) != 0 && !may_set_limits())
		finding_add(findings,
			    "run the service as root in the container, or baton-es with "
			    "CAP_SYS_RESOURCE",
			    "it runs as user %s, and this host's root lacks "
			    "CAP_SYS_RESOURCE, which CRIU then needs",
			    user);
	if (json_object_size(volumes) > CONTAINER_VOLUMES_MAX)
		finding_add(findings, "put several into one",
			    "it declares %zu volumes, and at most %d can move",
			    json_object_size(volumes), CONTAINER_VOLUMES_MAX);
	json_object_foreach((json_t *)(uintptr_t)volumes, path, value)
	{
		finding_add(notes, "none needed: each container gets its own, and it moves",
			    "it declares a volume at %s", path);
	}
	if (!json_object_size(json_at(image, "Config", "ExposedPorts", NULL)))
		finding_add(notes, "tell the service's port in the catalogue",
			    "it says of no port that it listens there");
	if (json_at(image, "Config", "Healthcheck", NULL) &&
	    !json_is_null(json_at(image, "Config", "Healthcheck", NULL)))
		finding_add(notes, "none needed",
			    "its health check is not part of the service: one that runs at "
			    "the cut stays behind");
}

pid_t *container_processes(pid_t init, size_t *count)
{
	pid_t *pids = calloc(CONTAINER_PIDS_MAX, sizeof(*pids));
	char path[64];
	struct stat theirs;
	struct stat ours;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)init);
	if (stat(path, &theirs) < 0 || stat("/proc/self/ns/pid", &ours) < 0 ||
	    theirs.st_ino == ours.st_ino)
		init = 0;
	*count = pids ? container_pids(pids, CONTAINER_PIDS_MAX, init) : 0;
	return pids;
}
