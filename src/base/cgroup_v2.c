/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup_v2.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"

#define MOUNT       "/sys/fs/cgroup"
#define PROCS       "/cgroup.procs"
#define FIRST_INODE 0xeffffffbu /* of the kernel's first cgroup namespace, PROC_CGROUP_INIT_INO */

bool cgroup_v2_alone(void)
{
	struct statfs fs;

	return statfs(MOUNT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/** in_first_namespace() - Whether a mount of ours would be the host's */
static bool in_first_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/cgroup", &st) == 0 && st.st_ino == FIRST_INODE;
}

/** own_group() - Make "MOUNT/GROUP/cgroup.procs" of our own group. Return: 0, or negative error code */
static int own_group(char to[PATH_MAX])
{
	static const char key[] = "0::";
	char text[PATH_MAX - sizeof(MOUNT PROCS)];
	auto_close int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, key, strlen(key)) != 0)
		return -EPROTO;
	/* Nothing that allocates: this may be between fork() and exec. */
	(void)stpcpy(stpcpy(stpcpy(to, MOUNT), text + strlen(key)), PROCS);
	return 0;
}

/** move_to() - Move this process into a group. Return: 0, or negative error code */
static int move_to(const char *procs)
{
	auto_close int fd = open(procs, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) < 0 ? -errno : 0;
}

int cgroup_v2_step_aside(void)
{
	char own[PATH_MAX];
	int left;
	int r;

	if (!cgroup_v2_alone() || !in_first_namespace())
		return 0;
	r = own_group(own);
	if (r == 0)
		r = move_to(MOUNT PROCS);
	if (r < 0)
		return r;
	/* Where we are now becomes the namespace's root. */
	left = unshare(CLONE_NEWCGROUP) < 0 ? -errno : 0;
	r = move_to(own);
	return left < 0 ? left : r;
}
