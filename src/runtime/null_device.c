/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/null_device.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define HOSTS "/dev/null"

int null_device_own(const char *dir)
{
	char at[PATH_MAX];
	char device[PATH_MAX];

	if (snprintf(at, sizeof(at), "%s/null", dir) >= PATH_MAX ||
	    snprintf(device, sizeof(device), "%s/null/null", dir) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return -errno;
	if (mkdir(at, 0700) < 0 && errno != EEXIST)
		return -errno;
	/* Not in @dir itself: its file system may forbid devices. */
	if (mount("tmpfs", at, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=4k,nr_inodes=2") < 0)
		return -errno;
	/* The umask must not change the device's mode. */
	if (mknod(device, S_IFCHR | 0666, makedev(1, 3)) < 0 || chmod(device, 0666) < 0 ||
	    mount(device, HOSTS, NULL, MS_BIND, NULL) < 0 || umount2(at, MNT_DETACH) < 0)
		return -errno;
	return 0;
}
