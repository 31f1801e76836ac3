/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Beneath - the one way from a name to a file below a directory that somebody else fills (R16)
 *
 * Container layers, volumes, checkpoints, archives and images on their way have names, links and
 * devices of an attacker's choice. Root must not be led out of such a tree. So a path of several
 * parts goes through openat2, which refuses symbolic links, ".." above the root, and mounts; all
 * other calls take one plain name in a directory that is open already, and never follow it.
 * tools/check-layers.sh refuses every other call by name in src/es, but for the files it lists.
 *
 * All functions return 0 (or a descriptor, or a length) or a negative error code, and leave the
 * text to their callers. -EINVAL: the name is empty, "..", or has a slash.
 */

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct err;

#define BENEATH_PATH_MAX 4096 /* bytes of a path, its end included */

/**
 * beneath_check() - Whether this kernel can do it; baton-es refuses to start without
 *
 * Return: 0, or negative
 */
int beneath_check(struct err *err);

/**
 * beneath_open() - Open a file by a path of any number of parts
 * @root:	Directory
 * @path:	Relative to it
 * @flags:	of open(2) but O_CREAT; O_CLOEXEC is added
 *
 * A device or a named pipe may be opened by this; see beneath_regular().
 *
 * Return: descriptor that the caller owns, -ELOOP for a symbolic link on the way, -EXDEV for a way
 * out or a mount, or another negative error code
 */
int beneath_open(int root, const char *path, int flags);

/**
 * beneath_mounted() - Find a file in a container, mounts included, to ask which file system it is
 * on
 * @root:	Root directory of the container
 * @path:	As the container sees it
 *
 * Return: descriptor (O_PATH) that the caller owns, -ELOOP for a symbolic link on the way, or
 * another negative error code
 */
int beneath_mounted(int root, const char *path);

/**
 * beneath_parent() - Open the directory in which a path ends
 * @root:	Directory
 * @path:	Relative to it; slashes at its end are ignored
 * @last:	Set to the last part, which is plain
 *
 * Return: descriptor that the caller owns, good for the calls below, or as beneath_open()
 */
int beneath_parent(int root, const char *path, char last[NAME_MAX + 1]);

/**
 * beneath_regular() - Open a regular file
 * @dir:	Directory
 * @name:	Plain name in it
 * @flags:	O_RDONLY, O_WRONLY or O_RDWR, and O_NOATIME
 *
 * Opening a device, a named pipe or a terminal may have effects. So the file is looked at before it
 * is opened, and it cannot be exchanged in between.
 *
 * Return: descriptor that the caller owns, -EMEDIUMTYPE for anything but a regular file, or another
 * negative error code
 */
int beneath_regular(int dir, const char *name, int flags);

/**
 * beneath_opened() - Open the regular file that a process has open
 * @dir:	Its /proc/PID/fd
 * @name:	Number of the descriptor there
 * @flags:	As for beneath_regular()
 *
 * The process may put a device in the place of its descriptor at any time: this looks first, too.
 *
 * Return: as beneath_regular()
 */
int beneath_opened(int dir, const char *name, int flags);

/**
 * beneath_directory() - Open a directory by its plain name, "." for @dir itself
 *
 * Return: descriptor
 */
int beneath_directory(int dir, const char *name);

/**
 * beneath_create() - Make a regular file, which must not exist, 0600, for writing
 *
 * Return: descriptor
 */
int beneath_create(int dir, const char *name);

/**
 * beneath_own() - Open a regular file in a directory that only we fill, made 0600 if need be
 * @dir:	Directory of ours: its names are our own, the contents of its files need not be
 * @name:	Plain name in it
 * @flags:	of open(2), O_CREAT and O_TRUNC among them
 *
 * Return: descriptor that the caller owns, -EMEDIUMTYPE for anything but a regular file, or another
 * negative error code
 */
int beneath_own(int dir, const char *name, int flags);

/**
 * beneath_list() - Begin to read a directory; @dir stays the caller's
 *
 * Return: NULL with errno set
 */
DIR *beneath_list(int dir);

/** beneath_stat() - As lstat(2); "." is allowed */
int beneath_stat(int dir, const char *name, struct stat *st);

/**
 * beneath_readlink() - Read a symbolic link
 *
 * Return: length, without an end, of at most @size bytes
 */
ssize_t beneath_readlink(int dir, const char *name, char *to, size_t size);

/** beneath_mkdir() - Make a directory, 0700; -EEXIST if something of the name is there */
int beneath_mkdir(int dir, const char *name);

/** beneath_symlink() - Make a symbolic link */
int beneath_symlink(const char *target, int dir, const char *name);

/** beneath_mknod() - Make a regular file, named pipe or device */
int beneath_mknod(int dir, const char *name, mode_t mode, dev_t device);

/** beneath_link() - Give a file a further name; a symbolic link is not followed */
int beneath_link(int from, const char *name, int to, const char *as);

/** beneath_rename() - Move a file; -EXDEV between mounts */
int beneath_rename(int from, const char *name, int to, const char *as);

/** beneath_unlink() - Remove a name. @flags: 0, or AT_REMOVEDIR */
int beneath_unlink(int dir, const char *name, int flags);

/** beneath_chown() - As lchown(2); "." is allowed */
int beneath_chown(int dir, const char *name, uid_t uid, gid_t gid);

/** beneath_chmod() - Set the mode of anything but a symbolic link; "." is allowed */
int beneath_chmod(int dir, const char *name, mode_t mode);

/** beneath_times() - Set access and modification time of the file itself; "." is allowed */
int beneath_times(int dir, const char *name, const struct timespec times[2]);

/**
 * beneath_same_mount() - Whether two paths, both trusted, lie on one mount; false if unknown
 */
bool beneath_same_mount(const char *a, const char *b);

/**
 * beneath_name() - Make a path for the calls that take nothing else (extended attributes)
 * @to:		Set to it; its last part must not be followed: lgetxattr(2) and the like
 * @dir:	Directory, open as long as @to is used
 * @name:	Plain name in it; "." is allowed
 */
int beneath_name(char to[BENEATH_PATH_MAX], int dir, const char *name);
