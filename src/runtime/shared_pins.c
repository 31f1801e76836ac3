/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shared_pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/shared_list.h"

/** source_open() - Open a path, if no link is on the way. Return: descriptor, or negative error code */
static int source_open(const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/** clone_attach() - Attach a clone of an open mount at a path that is made for it. Return: 0, or negative error code */
static int clone_attach(int source, bool recursive, const char *path)
{
	unsigned flags = AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
	struct stat st;

	if (fstat(source, &st) < 0)
		return -errno;
	auto_close int clone = open_tree(source, "", flags | (recursive ? AT_RECURSIVE : 0));
	if (clone < 0)
		return -errno;
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(path, 0700) < 0)
			return -errno;
	} else {
		auto_close int point = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		if (point < 0)
			return -errno;
	}
	/* As a peer of its original the clone would, when removed, also remove the host's own mounts below it. */
	struct mount_attr apart = { .propagation = MS_SLAVE };
	if (mount_setattr(clone, "", AT_EMPTY_PATH | AT_RECURSIVE, &apart, sizeof(apart)) < 0)
		return -errno;
	return move_mount(clone, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

/** pin_remove() - Take a clone away, and the empty name below it */
static void pin_remove(const char *path)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	/* Neither removes anything but an empty directory or a file that no mount covers. */
	if (errno == EINVAL && rmdir(path) < 0 && errno == ENOTDIR)
		(void)unlink(path);
}

/** pins_sweep() - Remove the pins of processes that have ended */
static void pins_sweep(const struct shared_pins *pins)
{
	char path[PATH_MAX + 260];
	const struct dirent *entry;
	DIR *dir = opendir(pins->dir);
	int pid;

	while (dir && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, "%d-", &pid) != 1 || pid <= 0)
			continue;
		if (pid != getpid() && (kill(pid, 0) == 0 || errno != ESRCH))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", pins->dir, entry->d_name);
		pin_remove(path);
	}
	if (dir)
		(void)closedir(dir);
}

int shared_pins_begin(struct shared_pins *pins, const char *staged)
{
	const char *end = strrchr(staged, '/');
	int parent = end ? (int)(end - staged) : 0;

	*pins = (struct shared_pins){ 0 };
	if (snprintf(pins->dir, sizeof(pins->dir), "%.*s/pins", parent, staged) >= PATH_MAX)
		return -ENAMETOOLONG;
	pins_sweep(pins);
	return shared_list_read(&pins->list, staged);
}

/** is_recursive() - Whether a mount includes the mounts below its source */
static bool is_recursive(const json_t *mount)
{
	const json_t *option;
	size_t i;

	json_array_foreach(json_object_get(mount, "options"), i, option)
	{
		if (json_is_string(option) && !strcmp(json_string_value(option), "rbind"))
			return true;
	}
	return false;
}

/** mount_pin() - Pin the source of one mount. Return: 0, or negative error code */
static int mount_pin(struct shared_pins *pins, json_t *mount, const char *source)
{
	char path[PATH_MAX + 32];
	struct stat st;

	if (pins->count == SHARED_PINS_MAX)
		return -E2BIG;
	auto_close int fd = source_open(source);
	if (fd < 0)
		return fd;
	if ((mkdir(pins->dir, 0700) < 0 && errno != EEXIST) || lstat(pins->dir, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return -EPERM;
	(void)snprintf(path, sizeof(path), "%s/%d-%u", pins->dir, (int)getpid(), pins->count);
	pins->count++;
	int r = clone_attach(fd, is_recursive(mount), path);
	if (r == 0 && json_object_set_new(mount, "source", json_string(path)) < 0)
		r = -ENOMEM;
	return r;
}

int shared_pins_config(struct shared_pins *pins, json_t *config)
{
	json_t *mount;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(config, "mounts"), i, mount)
	{
		const char *source = json_string_value(json_object_get(mount, "source"));

		if (!source || !shared_list_has(pins->list, source))
			continue;
		r = mount_pin(pins, mount, source);
		if (r < 0) {
			(void)snprintf(pins->failed, sizeof(pins->failed), "%s", source);
			return r;
		}
	}
	return 0;
}

void shared_pins_end(struct shared_pins *pins)
{
	char path[PATH_MAX + 32];

	for (unsigned i = 0; i < pins->count; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d-%u", pins->dir, (int)getpid(), i);
		pin_remove(path);
	}
	free(pins->list);
	*pins = (struct shared_pins){ 0 };
}
