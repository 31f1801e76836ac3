/* SPDX-License-Identifier: Apache-2.0 */
#include "es/layer_node.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/auto.h"
#include "base/err.h"

/** by_path() - Name a file for calls that take only paths; its directory is an open descriptor */
static int by_path(char path[LAYER_PATH_MAX], int dirfd, const char *name)
{
	int n = snprintf(path, LAYER_PATH_MAX, "/proc/self/fd/%d/%s", dirfd, name);

	return n < LAYER_PATH_MAX ? 0 : -ENAMETOOLONG;
}

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
	char path[LAYER_PATH_MAX];
	char target[LAYER_PATH_MAX];
	ssize_t len;
	int r;

	memset(node, 0, sizeof(*node));
	if (fstatat(dirfd, name, &node->st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "stat %s", name);
	if (S_ISLNK(node->st.st_mode)) {
		len = readlinkat(dirfd, name, target, sizeof(target) - 1);
		if (len < 0)
			return err_set(err, -errno, "read link %s", name);
		node->target = strndup(target, (size_t)len);
		if (!node->target)
			return err_set(err, -ENOMEM, "read link %s", name);
	}
	r = by_path(path, dirfd, name);
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

int layer_node_make(const struct layer_node *node, int dirfd, const char *name, struct err *err)
{
	mode_t type = node->st.st_mode & S_IFMT;
	int r;

	switch (type) {
	case S_IFDIR:
		r = mkdirat(dirfd, name, 0700);
		if (r < 0 && errno == EEXIST) {
			struct stat st;

			r = fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
			if (r == 0 && !S_ISDIR(st.st_mode)) {
				errno = ENOTDIR;
				r = -1;
			}
		}
		break;
	case S_IFLNK:
		r = symlinkat(node->target, dirfd, name);
		break;
	case S_IFREG:
	case S_IFIFO:
		r = mknodat(dirfd, name, type | 0600, 0);
		break;
	case S_IFCHR:
	case S_IFBLK:
		r = mknodat(dirfd, name, type | 0600, node->st.st_rdev);
		break;
	default:
		errno = EOPNOTSUPP;
		r = -1;
	}
	return r < 0 ? err_set(err, -errno, "create %s", name) : 0;
}

int layer_node_dress(const struct layer_node *node, int dirfd, const char *name, struct err *err)
{
	char path[LAYER_PATH_MAX];

	if (by_path(path, dirfd, name) < 0)
		return err_set(err, -ENAMETOOLONG, "%s", name);
	if (fchownat(dirfd, name, node->st.st_uid, node->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "give %s its owner", name);
	if (!S_ISLNK(node->st.st_mode) && fchmodat(dirfd, name, node->st.st_mode & 07777, 0) < 0)
		return err_set(err, -errno, "give %s its mode", name);
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
	char path[LAYER_PATH_MAX];
	struct layer_node node = { 0 };

	if (by_path(path, dirfd, name) == 0 && xattrs_read(&node, path) == 0)
		for (size_t i = 0; i < node.xattr_count; i++)
			(void)lremovexattr(path, node.xattr[i].name);
	layer_node_deinit(&node);
}

int layer_node_times(const struct stat *st, int dirfd, const char *name, struct err *err)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "give %s its times", name);
	return 0;
}

/** tree_empty() - Remove everything in the directory @dirfd, which is consumed */
static int tree_empty(int dirfd, struct err *err)
{
	DIR *dir = fdopendir(dirfd);
	const struct dirent *entry;
	int r = 0;

	if (!dir) {
		close(dirfd);
		return err_set(err, -errno, "read a directory");
	}
	while (r == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = layer_tree_remove(dirfd, entry->d_name, err);
	(void)closedir(dir);
	return r;
}

int layer_tree_remove(int dirfd, const char *name, struct err *err)
{
	int fd;
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_set(err, -errno, "remove %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "remove %s", name);
	r = tree_empty(fd, err);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = err_set(err, -errno, "remove %s", name);
	return r;
}
