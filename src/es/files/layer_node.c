/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/layer_node.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/files/beneath.h"

/** stays_behind() - Attributes without a meaning elsewhere */
static bool stays_behind(const char *name)
{
	static const char *const local[] = {
		"security.selinux",      "trusted.overlay.origin", "trusted.overlay.impure",
		"trusted.overlay.nlink", "trusted.overlay.upper",  "trusted.overlay.uuid",
	};

	for (size_t i = 0; i < ARRAY_SIZE(local); i++)
		if (!strcmp(name, local[i]))
			return true;
	return false;
}

int layer_node_add_xattr(struct layer_node *node, const char *name, const void *value, size_t size)
{
	if (stays_behind(name))
		return 0;
	if (node->xattr_count >= LAYER_XATTRS_MAX || size > LAYER_XATTR_SIZE_MAX)
		return -E2BIG;
	struct layer_xattr *more =
		reallocarray(node->xattr, node->xattr_count + 1, sizeof(*node->xattr));
	if (!more)
		return -ENOMEM;
	node->xattr = more;
	struct layer_xattr *x = &more[node->xattr_count];
	x->name = strdup(name);
	x->value = malloc(size ? size : 1);
	x->size = size;
	node->xattr_count++;
	if (!x->name || !x->value)
		return -ENOMEM;
	if (size)
		memcpy(x->value, value, size);
	return 0;
}

/** xattrs_read() - Read all attributes of the file at @path */
static int xattrs_read(struct layer_node *node, const char *path)
{
	char fixed[1024];
	char *names = fixed;
	ssize_t len = llistxattr(path, fixed, sizeof(fixed));

	auto_free char *large = NULL;
	if (len < 0 && errno == ERANGE) {
		names = large = malloc(LAYER_XATTR_SIZE_MAX);
		len = large ? llistxattr(path, large, LAYER_XATTR_SIZE_MAX) : -1;
	}
	if (len <= 0)
		return len == 0 || errno == ENOTSUP ? 0 : -errno;
	auto_free char *value = malloc(LAYER_XATTR_SIZE_MAX);
	if (!value)
		return -ENOMEM;
	for (char *name = names; name < names + len; name += strlen(name) + 1) {
		ssize_t size = lgetxattr(path, name, value, LAYER_XATTR_SIZE_MAX);
		int r;

		if (size < 0 && errno == ENODATA)
			continue; /* gone since it was listed */
		if (size < 0)
			return -errno;
		r = layer_node_add_xattr(node, name, value, (size_t)size);
		if (r < 0)
			return r;
	}
	return 0;
}

int layer_node_read(struct layer_node *node, int dirfd, const char *name, struct err *err)
{
	char path[BENEATH_PATH_MAX];
	char target[LAYER_PATH_MAX];
	ssize_t len;
	int r;

	memset(node, 0, sizeof(*node));
	r = beneath_stat(dirfd, name, &node->st);
	if (r < 0)
		return err_set(err, r, "stat %s", name);
	if (S_ISLNK(node->st.st_mode)) {
		len = beneath_readlink(dirfd, name, target, sizeof(target) - 1);
		if (len < 0)
			return err_set(err, (int)len, "read link %s", name);
		node->target = strndup(target, (size_t)len);
		if (!node->target)
			return err_set(err, -ENOMEM, "read link %s", name);
	}
	r = beneath_name(path, dirfd, name);
	if (r == 0)
		r = xattrs_read(node, path);
	if (r < 0) {
		layer_node_deinit(node);
		return err_set(err, r, "read the attributes of %s", name);
	}
	return 0;
}

void layer_node_deinit(struct layer_node *node)
{
	for (size_t i = 0; i < node->xattr_count; i++) {
		free(node->xattr[i].name);
		free(node->xattr[i].value);
	}
	free(node->xattr);
	free(node->target);
	memset(node, 0, sizeof(*node));
}

/** directory_make() - Make a directory, unless there is one */
static int directory_make(int dirfd, const char *name)
{
	struct stat st;
	int r = beneath_mkdir(dirfd, name);

	if (r != -EEXIST)
		return r;
	r = beneath_stat(dirfd, name, &st);
	return r == 0 && !S_ISDIR(st.st_mode) ? -ENOTDIR : r;
}

int layer_node_make(const struct layer_node *node, int dirfd, const char *name, struct err *err)
{
	mode_t type = node->st.st_mode & S_IFMT;
	int r;

	switch (type) {
	case S_IFDIR:
		r = directory_make(dirfd, name);
		break;
	case S_IFLNK:
		r = beneath_symlink(node->target, dirfd, name);
		break;
	case S_IFREG:
	case S_IFIFO:
		r = beneath_mknod(dirfd, name, type | 0600, 0);
		break;
	case S_IFCHR:
	case S_IFBLK:
		r = beneath_mknod(dirfd, name, type | 0600, node->st.st_rdev);
		break;
	default:
		r = -EOPNOTSUPP;
	}
	return r < 0 ? err_set(err, r, "create %s", name) : 0;
}

/**
 * acl_strip() - Remove the ACL that the file got from the default ACL of its directory: rights that
 * nobody gave it
 */
static int acl_strip(const char *path)
{
	static const char *const inherited[] = { "system.posix_acl_access",
						 "system.posix_acl_default" };

	for (size_t i = 0; i < ARRAY_SIZE(inherited); i++)
		if (lremovexattr(path, inherited[i]) < 0 && errno != ENODATA && errno != ENOTSUP)
			return -errno;
	return 0;
}

int layer_node_dress(const struct layer_node *node, int dirfd, const char *name, struct err *err)
{
	char path[BENEATH_PATH_MAX];
	int r = beneath_name(path, dirfd, name);

	if (r < 0)
		return err_set(err, r, "%s", name);
	r = beneath_chown(dirfd, name, node->st.st_uid, node->st.st_gid);
	if (r < 0)
		return err_set(err, r, "give %s its owner", name);
	if (!S_ISLNK(node->st.st_mode)) {
		r = acl_strip(path);
		if (r == 0)
			r = beneath_chmod(dirfd, name, node->st.st_mode & 07777);
		if (r < 0)
			return err_set(err, r, "give %s its mode", name);
	}
	/* After the owner, whose change drops file capabilities, and the mode, which edits ACLs. */
	for (size_t i = 0; i < node->xattr_count; i++) {
		const struct layer_xattr *x = &node->xattr[i];

		if (lsetxattr(path, x->name, x->value, x->size, 0) < 0)
			return err_set(err, -errno, "give %s its attribute %s", name, x->name);
	}
	return layer_node_times(&node->st, dirfd, name, err);
}

void layer_node_strip(int dirfd, const char *name)
{
	char path[BENEATH_PATH_MAX];
	struct layer_node node = { 0 };

	if (beneath_name(path, dirfd, name) == 0 && xattrs_read(&node, path) == 0)
		for (size_t i = 0; i < node.xattr_count; i++)
			(void)lremovexattr(path, node.xattr[i].name);
	layer_node_deinit(&node);
}

int layer_node_times(const struct stat *st, int dirfd, const char *name, struct err *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int r = beneath_times(dirfd, name, times);

	return r < 0 ? err_set(err, r, "give %s its times", name) : 0;
}

static int entry_remove(int dirfd, const char *name, unsigned int depth, struct err *err);

/** directory_empty() - Remove everything in a directory */
static int directory_empty(int dirfd, unsigned int depth, struct err *err)
{
	DIR *list = beneath_list(dirfd);
	const struct dirent *entry;
	int r = 0;

	if (!list)
		return err_set(err, -errno, "read a directory");
	while (r == 0 && (entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = entry_remove(dirfd, entry->d_name, depth, err);
	(void)closedir(list);
	return r;
}

/** entry_remove() - Remove a file, or a directory with all that is in it */
static int entry_remove(int dirfd, const char *name, unsigned int depth, struct err *err)
{
	int r = beneath_unlink(dirfd, name, 0);

	if (r == 0 || r == -ENOENT)
		return 0;
	if (r != -EISDIR && r != -EPERM)
		return err_set(err, r, "remove %s", name);
	if (!depth)
		return err_set(err, -ELOOP, "remove %s, which lies too deep", name);
	auto_close int below = beneath_directory(dirfd, name);
	if (below < 0)
		return err_set(err, below, "remove %s", name);
	r = directory_empty(below, depth - 1, err);
	if (r == 0) {
		r = beneath_unlink(dirfd, name, AT_REMOVEDIR);
		r = r < 0 && r != -ENOENT ? err_set(err, r, "remove %s", name) : 0;
	}
	return r;
}

int layer_tree_empty(int dirfd, struct err *err)
{
	return directory_empty(dirfd, LAYER_DEPTH_MAX, err);
}

int layer_tree_remove(int dirfd, const char *name, struct err *err)
{
	return entry_remove(dirfd, name, LAYER_DEPTH_MAX, err);
}

int layer_path_remove(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');

	auto_free char *above = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!above)
		return err_set(err, -ENOMEM, "remove %s", path);
	auto_close int dirfd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : err_set(err, -errno, "open %s", above);
	return layer_tree_remove(dirfd, slash ? slash + 1 : path, err);
}
