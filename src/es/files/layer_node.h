/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Layer node - everything about one file of a container layer except its bytes
 *
 * The staging copy of a layer (files/layer.c) and its stream to another host
 * (files/archive_writer.c, files/archive_extract.c) share this, so that both keep the same attributes. These are type, mode,
 * owner, device number (a whiteout is the character device 0:0), link target, times to the
 * nanosecond, and all extended attributes, POSIX ACLs among them. Attributes that are valid on one
 * host only are left out: SELinux labels, and those of overlayfs that point to inodes below
 * (origin, impure, uuid, nlink, upper).
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct err;

#define LAYER_XATTRS_MAX     256
#define LAYER_XATTR_SIZE_MAX (64u << 10) /* the kernel's own limit */
#define LAYER_PATH_MAX       4096
#define LAYER_DEPTH_MAX                                                                            \
	260 /* directories in one another; a layer may have 256, and lies in some of ours */

/** struct layer_xattr - One extended attribute */
struct layer_xattr {
	char *name;
	void *value;
	size_t size;
};

/**
 * struct layer_node - One file
 * @st:		type, mode, owner, rdev, size, times
 * @target:	of a symbolic link, else NULL
 */
struct layer_node {
	struct stat st;
	char *target;
	struct layer_xattr *xattr;
	size_t xattr_count;
};

/**
 * layer_node_read() - Read a file's description; nothing is followed
 * @node:	Filled in on success, see layer_node_deinit()
 * @dirfd:	Directory
 * @name:	Name in it
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int layer_node_read(struct layer_node *node, int dirfd, const char *name, struct err *err);

/** layer_node_deinit() - Release the node's memory */
void layer_node_deinit(struct layer_node *node);

/**
 * layer_node_add_xattr() - Add a copy of an attribute, unless it stays behind
 *
 * Return: 0, -E2BIG, -ENOMEM
 */
int layer_node_add_xattr(struct layer_node *node, const char *name, const void *value, size_t size);

/**
 * layer_node_make() - Create the file: anything but a socket; a regular one is empty
 * @node:	Attributes of the file
 * @dirfd:	Directory
 * @name:	Name in it; must not exist, but a directory may
 * @err:	Filled in on failure
 *
 * It is accessible to root alone until layer_node_dress().
 *
 * Return: 0, or negative error code
 */
int layer_node_make(const struct layer_node *node, int dirfd, const char *name, struct err *err);

/**
 * layer_node_dress() - Give the file its owner, attributes, mode and times, in that order
 *
 * A file that is put into a directory later changes its times; layer_node_times() sets them again.
 *
 * Return: 0, or negative error code
 */
int layer_node_dress(const struct layer_node *node, int dirfd, const char *name, struct err *err);

/** layer_node_strip() - Take all extended attributes from a file that exists, as far as possible */
void layer_node_strip(int dirfd, const char *name);

/** layer_node_times() - Set access and modification time. Return: 0, or negative error code */
int layer_node_times(const struct stat *st, int dirfd, const char *name, struct err *err);

/**
 * layer_tree_remove() - Remove a file, or a directory with all that is in it
 * @dirfd:	Directory
 * @name:	Plain name in it; it need not exist
 * @err:	Filled in on failure
 *
 * Nothing is followed, and no mount is entered.
 *
 * Return: 0, -ELOOP beyond LAYER_DEPTH_MAX, or another negative error code
 */
int layer_tree_remove(int dirfd, const char *name, struct err *err);

/** layer_tree_empty() - The same for all that is in the directory @dirfd, which stays */
int layer_tree_empty(int dirfd, struct err *err);

/**
 * layer_path_remove() - The same for a path of our own: its parent directory is trusted, all below
 * it is not
 *
 * Return: as there
 */
int layer_path_remove(const char *path, struct err *err);
