/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/beneath.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/auto.h"
#include "base/err.h"

#ifdef BENEATH_TEST_HOLE
/* For one test alone (test_file_worker.c): no checks, to test the protection behind them. */
#define plain(name)         true
#define plain_or_self(name) true
#else
/** plain() - Whether a name has one part, and stays in its directory */
static bool plain(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

/** plain_or_self() - The same, or the directory itself */
static bool plain_or_self(const char *name)
{
	return plain(name) || !strcmp(name, ".");
}
#endif

/** result() - Turn the result of a system call into ours */
static int result(int r)
{
	return r < 0 ? -errno : r;
}

#ifdef BENEATH_TEST_HOLE
int beneath_open(int root, const char *path, int flags)
{
	return result(openat(root, path, flags | O_CLOEXEC));
}
#else
int beneath_open(int root, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};

	return result((int)syscall(SYS_openat2, root, path, &how, sizeof(how)));
}
#endif

int beneath_mounted(int root, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
	};

	return result((int)syscall(SYS_openat2, root, path, &how, sizeof(how)));
}

int beneath_check(struct err *err)
{
	auto_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_set(err, -errno, "open /");
	auto_close int fd = beneath_open(root, ".", O_PATH | O_DIRECTORY);
	if (fd < 0)
		return err_set(err, fd,
			       "openat2(), which keeps containers' files apart from the host's "
			       "(Linux 5.6 or later has it)");
	return 0;
}

int beneath_parent(int root, const char *path, char last[NAME_MAX + 1])
{
	char above[BENEATH_PATH_MAX];
	size_t len = strlen(path);
	size_t begin;

	while (len && path[len - 1] == '/')
		len--;
	for (begin = len; begin && path[begin - 1] != '/';)
		begin--;
	if (len >= sizeof(above) || len - begin > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(last, path + begin, len - begin);
	last[len - begin] = '\0';
	if (!plain(last))
		return -EINVAL;
	memcpy(above, path, begin);
	above[begin] = '\0';
	return beneath_open(root, begin ? above : ".", O_PATH | O_DIRECTORY);
}

/** regular_reopen() - Open the file of an O_PATH descriptor, if it is a regular file */
static int regular_reopen(int found, int flags)
{
	char path[64];
	struct stat st;

	if (fstat(found, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	return result(open(path, flags | O_CLOEXEC));
}

int beneath_regular(int dir, const char *name, int flags)
{
	if (!plain(name))
		return -EINVAL;
	auto_close int found = beneath_open(dir, name, O_PATH | O_NOFOLLOW);
	return found < 0 ? found : regular_reopen(found, flags);
}

int beneath_opened(int dir, const char *name, int flags)
{
	if (!plain(name))
		return -EINVAL;
	auto_close int found = openat(dir, name, O_PATH | O_CLOEXEC);
	return found < 0 ? -errno : regular_reopen(found, flags);
}

int beneath_directory(int dir, const char *name)
{
	return plain_or_self(name) ? beneath_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
				   : -EINVAL;
}

int beneath_create(int dir, const char *name)
{
	if (!plain(name))
		return -EINVAL;
	return result(
		openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
}

int beneath_own(int dir, const char *name, int flags)
{
	struct stat st;

	if (!plain(name))
		return -EINVAL;
	auto_close int fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EMEDIUMTYPE;
}

DIR *beneath_list(int dir)
{
	auto_close int fd = beneath_directory(dir, ".");
	DIR *list;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	list = fdopendir(fd);
	if (list)
		(void)TAKE_FD(fd);
	return list;
}

int beneath_stat(int dir, const char *name, struct stat *st)
{
	return plain_or_self(name) ? result(fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW)) : -EINVAL;
}

ssize_t beneath_readlink(int dir, const char *name, char *to, size_t size)
{
	ssize_t n = plain(name) ? readlinkat(dir, name, to, size) : (errno = EINVAL, -1);

	return n < 0 ? -errno : n;
}

int beneath_mkdir(int dir, const char *name)
{
	return plain(name) ? result(mkdirat(dir, name, 0700)) : -EINVAL;
}

int beneath_symlink(const char *target, int dir, const char *name)
{
	return plain(name) ? result(symlinkat(target, dir, name)) : -EINVAL;
}

int beneath_mknod(int dir, const char *name, mode_t mode, dev_t device)
{
	return plain(name) ? result(mknodat(dir, name, mode, device)) : -EINVAL;
}

int beneath_link(int from, const char *name, int to, const char *as)
{
	return plain(name) && plain(as) ? result(linkat(from, name, to, as, 0)) : -EINVAL;
}

int beneath_rename(int from, const char *name, int to, const char *as)
{
	return plain(name) && plain(as) ? result(renameat(from, name, to, as)) : -EINVAL;
}

int beneath_unlink(int dir, const char *name, int flags)
{
	return plain(name) ? result(unlinkat(dir, name, flags)) : -EINVAL;
}

int beneath_chown(int dir, const char *name, uid_t uid, gid_t gid)
{
	return plain_or_self(name) ? result(fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW))
				   : -EINVAL;
}

int beneath_chmod(int dir, const char *name, mode_t mode)
{
	char path[64];

	if (!plain_or_self(name))
		return -EINVAL;
	/* fchmodat() follows a symbolic link that took the file's place; a descriptor does not. */
	auto_close int fd = beneath_open(dir, name, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return result(chmod(path, mode));
}

int beneath_times(int dir, const char *name, const struct timespec times[2])
{
	return plain_or_self(name) ? result(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW))
				   : -EINVAL;
}

/** mount_id() - Number of the mount on which a file lies. Return: 0 if unknown */
static uint64_t mount_id(const char *path)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st) < 0 ||
	    !(st.stx_mask & STATX_MNT_ID))
		return 0;
	return st.stx_mnt_id;
}

bool beneath_same_mount(const char *a, const char *b)
{
	uint64_t mount = mount_id(a);

	return mount && mount == mount_id(b);
}

int beneath_name(char to[BENEATH_PATH_MAX], int dir, const char *name)
{
	if (!plain_or_self(name))
		return -EINVAL;
	int n = snprintf(to, BENEATH_PATH_MAX, "/proc/self/fd/%d/%s", dir, name);
	return n < BENEATH_PATH_MAX ? 0 : -ENAMETOOLONG;
}
