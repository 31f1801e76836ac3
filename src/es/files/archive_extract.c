/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Archive extract - file trees out of one stream, which trusts nothing (es/files/layer_archive.h)
 *
 * Each entry is judged before it touches a file: its tree, its depth, the room that it takes. The file is made
 * under a name below the tree's directory, then filled, then dressed with its attributes. Directories get their
 * times last, when nothing changes in them any more.
 */

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "es/files/archive_stream.h"
#include "es/files/beneath.h"
#include "es/files/file_copy.h"
#include "es/files/layer_node.h"

#define FILES_MAX   1000000
#define ENTRY_BYTES 512 /* a header; counts against the limit, as names and attributes do */

/** struct directory - A directory whose times are set when it is complete */
struct directory {
	struct list link;
	struct archive_root *root;
	struct stat st;
	char path[];
};

/** struct reader - A stream being read */
struct reader {
	struct archive *archive;
	struct archive_stream stream;
	struct archive_root *roots;
	size_t root_count;
	uint64_t files;
	uint64_t bytes;
	uint64_t max_bytes;
	struct list directories;
};

/** path_split() - Find the root of a name. Return: the rest ("" for the root itself), or NULL */
static const char *path_split(struct reader *in, const char *path, struct archive_root **root)
{
	for (size_t i = 0; path && i < in->root_count; i++) {
		size_t len = strlen(in->roots[i].name);

		if (!strncmp(path, in->roots[i].name, len) &&
		    (path[len] == '/' || path[len] == '\0')) {
			*root = &in->roots[i];
			path += len;
			while (*path == '/')
				path++;
			return path;
		}
	}
	return NULL;
}

/**
 * parent_open() - Open the directory in which a name of the archive lies, and find its last part
 *
 * Return: descriptor that the caller owns, or negative error code
 */
static int parent_open(int dirfd, const char *path, char last[NAME_MAX + 1], struct err *err)
{
	int fd = beneath_parent(dirfd, path, last);

	if (fd == -EINVAL)
		return err_set(err, -EPROTO, "the archive has the name '%s'", path);
	return fd < 0 ? err_set(err, fd, "the directory of '%s' in the archive", path) : fd;
}

/** room_take() - Count bytes that an entry takes here against the limit. Return: 0, or -EFBIG */
static int room_take(struct reader *in, uint64_t bytes)
{
	if (bytes > in->max_bytes - in->bytes)
		return err_set(in->stream.err, -EFBIG,
			       "the archive has more than %llu bytes (holes in files count)",
			       (unsigned long long)in->max_bytes);
	in->bytes += bytes;
	return 0;
}

/** entry_room() - Count all that an entry brings beside the bytes of its file */
static int entry_room(struct reader *in, struct archive_entry *e)
{
	const char *names[] = { archive_entry_pathname(e), archive_entry_symlink(e),
				archive_entry_hardlink(e) };
	uint64_t bytes = ENTRY_BYTES;
	const char *name;
	const void *value;
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		bytes += names[i] ? strlen(names[i]) : 0;
	(void)archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK)
		bytes += size + (name ? strlen(name) : 0);
	return room_take(in, bytes);
}

/** node_from() - Take the attributes of an entry from libarchive */
static int node_from(struct layer_node *node, struct archive_entry *e)
{
	const char *name;
	const void *value;
	size_t size;
	int r = 0;

	memset(node, 0, sizeof(*node));
	node->st = *archive_entry_stat(e);
	if (S_ISLNK(node->st.st_mode) && !archive_entry_symlink(e))
		return -EPROTO; /* libarchive takes a header with a link to nothing */
	if (archive_entry_symlink(e)) {
		node->target = strdup(archive_entry_symlink(e));
		if (!node->target)
			return -ENOMEM;
	}
	(void)archive_entry_xattr_reset(e);
	while (r == 0 && archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
		if (name && !strcmp(name, ARCHIVE_SAME_XATTR))
			continue; /* for us, not for the file */
		r = name ? layer_node_add_xattr(node, name, value, size) : -EPROTO;
	}
	return r;
}

/** data_read() - Write an entry's bytes into the new file of @size bytes */
static int data_read(struct reader *in, int fd, off_t size, struct err *err)
{
	const void *bytes;
	size_t len;
	la_int64_t at;
	int r = size < 0 ? err_set(err, -EPROTO, "the archive has a file of %lld bytes",
				   (long long)size)
			 : room_take(in, (uint64_t)size);

	if (r < 0)
		return r;
	while ((r = archive_read_data_block(in->archive, &bytes, &len, &at)) == ARCHIVE_OK) {
		size_t done = 0;

		if (at < 0 || at > size || len > (uint64_t)(size - at))
			return err_set(err, -EPROTO, "the archive has bytes beyond a file's end");
		while (done < len) {
			ssize_t n = pwrite(fd, (const char *)bytes + done, len - done,
					   (off_t)(at + (la_int64_t)done));

			if (n < 0)
				return err_set(err, -errno, "write a file of the archive");
			done += (size_t)n;
		}
	}
	if (r != ARCHIVE_EOF)
		return archive_stream_complain(&in->stream, in->archive, "read an archive");
	if (ftruncate(fd, size) < 0)
		return err_set(err, -errno, "write a file of the archive");
	return 0;
}

/** directory_note() - Remember a directory, to set its times last */
static int directory_note(struct reader *in, struct archive_root *root, const char *path,
			  const struct stat *st)
{
	struct directory *d = malloc(sizeof(*d) + strlen(path) + 1);

	if (!d)
		return -ENOMEM;
	d->root = root;
	d->st = *st;
	strcpy(d->path, path);
	list_init(&d->link);
	list_append(&in->directories, &d->link);
	return 0;
}

/** hard_link() - Make a further name for a file that came before */
static int hard_link(struct reader *in, const char *target, struct archive_root *root, int dirfd,
		     const char *name, struct err *err)
{
	struct archive_root *other = NULL;
	const char *path = path_split(in, target, &other);
	char last[NAME_MAX + 1];
	struct stat st;
	int r;

	if (!path || other != root)
		return err_set(err, -EPROTO, "the archive links to '%s'", target);
	auto_close int from = parent_open(root->dirfd, path, last, err);
	if (from < 0)
		return from;
	r = beneath_stat(from, last, &st);
	if (r == 0 && S_ISDIR(st.st_mode))
		r = -EISDIR;
	if (r == 0)
		r = beneath_link(from, last, dirfd, name);
	return r < 0 ? err_set(err, r, "link %s to %s", name, target) : 0;
}

/** same_copy() - Copy a file from another file system, where volumes may lie */
static int same_copy(int from_dir, const char *from_name, off_t size, int dirfd, const char *name,
		     struct err *err)
{
	uint64_t copied = 0;

	auto_close int from = beneath_regular(from_dir, from_name, O_RDONLY);
	auto_close int to = from < 0 ? -EBADF : beneath_create(dirfd, name);
	int r = from < 0 ? from : to < 0 ? to : file_copy_data(from, to, size, -1, &copied);

	return r < 0 ? err_set(err, r, "put %s in its place", name) : 0;
}

/**
 * same_take() - Move a file here from where an earlier stream put it
 * @in:		Stream
 * @root:	Tree
 * @path:	Name in it, as in the archive
 * @size:	Its size, as the archive says
 * @dirfd, @name: Where it belongs
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
static int same_take(struct reader *in, const struct archive_root *root, const char *path,
		     uint64_t size, int dirfd, const char *name, struct err *err)
{
	char last[NAME_MAX + 1];
	struct stat st;
	int r;

	if (root->ahead < 0)
		return err_set(err, -EPROTO, "%s refers to a file that did not come before", path);
	auto_close int from = parent_open(root->ahead, path, last, err);
	if (from < 0)
		return from;
	r = beneath_stat(from, last, &st);
	if (r < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return err_set(err, -EPROTO, "%s is not the file that came before", path);
	r = room_take(in, size);
	if (r < 0)
		return r;
	r = beneath_rename(from, last, dirfd, name);
	if (r == -EXDEV)
		return same_copy(from, last, st.st_size, dirfd, name, err);
	return r < 0 ? err_set(err, r, "put %s in its place", path) : 0;
}

/** same_size() - Size of the file that an entry refers to. Return: false if it refers to none */
static bool same_size(struct archive_entry *e, uint64_t *size)
{
	const char *name;
	const void *value;
	size_t len;

	(void)archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &len) == ARCHIVE_OK) {
		if (name && !strcmp(name, ARCHIVE_SAME_XATTR) && len == 8) {
			*size = get_be64(value);
			return true;
		}
	}
	return false;
}

/** file_read() - Make one file from its entry */
static int file_read(struct reader *in, struct archive_entry *e, struct archive_root *root,
		     const char *path, int dirfd, const char *name, struct err *err)
{
	struct layer_node node;
	uint64_t size;
	int r = 0;

	if (archive_entry_hardlink(e) && !root->plain)
		return hard_link(in, archive_entry_hardlink(e), root, dirfd, name, err);
	if (node_from(&node, e) < 0)
		r = err_set(err, -EPROTO, "the description of %s", name);
	if (r == 0 && root->plain && (!S_ISREG(node.st.st_mode) || archive_entry_hardlink(e)))
		r = err_set(err, -EPROTO, "%s is no regular file", name);
	bool same = S_ISREG(node.st.st_mode) && same_size(e, &size);
	if (r == 0)
		r = same ? same_take(in, root, path, size, dirfd, name, err)
			 : layer_node_make(&node, dirfd, name, err);
	if (r == 0 && S_ISREG(node.st.st_mode) && !same) {
		auto_close int fd = beneath_regular(dirfd, name, O_WRONLY);
		r = fd < 0 ? err_set(err, fd, "open %s", name)
			   : data_read(in, fd, node.st.st_size, err);
	}
	if (r == 0 && !root->plain)
		r = layer_node_dress(&node, dirfd, name, err);
	layer_node_deinit(&node);
	return r;
}

/** root_read() - Take the attributes of a tree's root, which exists already */
static int root_read(struct reader *in, struct archive_entry *e, struct archive_root *root,
		     struct err *err)
{
	struct layer_node node;
	int r = 0;

	if (root->plain)
		return 0;
	if (node_from(&node, e) < 0 || !S_ISDIR(node.st.st_mode))
		r = err_set(err, -EPROTO, "the description of the tree %s", root->name);
	if (r == 0)
		r = layer_node_dress(&node, root->dirfd, ".", err);
	if (r == 0)
		r = directory_note(in, root, ".", &node.st);
	layer_node_deinit(&node);
	return r;
}

/**
 * too_deep() - Whether a path has more parts than a tree of ours, which must be removed again one
 * day
 */
static bool too_deep(const char *path)
{
	unsigned int parts = 0;

	for (const char *at = path; *at; at += strspn(at, "/")) {
		at += strcspn(at, "/");
		parts++;
	}
	return parts > ARCHIVE_DEPTH_MAX;
}

/** entry_read() - Make what one entry describes */
static int entry_read(struct reader *in, struct archive_entry *e, struct err *err)
{
	struct archive_root *root = NULL;
	const char *path = path_split(in, archive_entry_pathname(e), &root);
	char last[NAME_MAX + 1];
	int r;

	if (!path)
		return err_set(err, -EPROTO, "the archive has the name '%s'",
			       archive_entry_pathname(e) ? archive_entry_pathname(e) : "");
	if (++in->files > FILES_MAX)
		return err_set(err, -EFBIG, "the archive has more than %d files", FILES_MAX);
	if (too_deep(path))
		return err_set(err, -EFBIG, "the archive has directories deeper than %d",
			       ARCHIVE_DEPTH_MAX);
	r = entry_room(in, e);
	if (r < 0)
		return r;
	if (!*path)
		return root_read(in, e, root, err);
	auto_close int dirfd = parent_open(root->dirfd, path, last, err);
	if (dirfd < 0)
		return dirfd;
	r = file_read(in, e, root, path, dirfd, last, err);
	if (r == 0 && archive_entry_filetype(e) == AE_IFDIR)
		r = directory_note(in, root, path, archive_entry_stat(e));
	return r;
}

/** directories_finish() - Set the directories' times, the last noted first; forget them */
static int directories_finish(struct reader *in, bool set, struct err *err)
{
	struct directory *d;
	int r = 0;

	while ((d = list_last(&in->directories, struct directory, link))) {
		char last[NAME_MAX + 1];

		if (set && r == 0 && !strcmp(d->path, ".")) {
			r = layer_node_times(&d->st, d->root->dirfd, ".", err);
		} else if (set && r == 0) {
			auto_close int dirfd = parent_open(d->root->dirfd, d->path, last, err);
			r = dirfd < 0 ? dirfd : layer_node_times(&d->st, dirfd, last, err);
		}
		list_remove(&d->link);
		free(d);
	}
	return r;
}

int archive_extract(archive_source source, void *ctx, struct archive_root *roots, size_t count,
		    uint64_t max_bytes, archive_after after, void *after_ctx, struct err *err)
{
	struct reader in = { .stream = { .source = source, .ctx = ctx, .err = err },
			     .roots = roots,
			     .root_count = count,
			     .max_bytes = max_bytes };
	struct archive_entry *e;
	int r = 0;

	list_init(&in.directories);
	in.archive = archive_read_new();
	if (!in.archive)
		return err_set(err, -ENOMEM, "archive");
	if (archive_read_support_format_tar(in.archive) != ARCHIVE_OK ||
	    archive_read_open(in.archive, &in.stream, NULL, archive_stream_read, NULL) !=
		    ARCHIVE_OK)
		r = archive_stream_complain(&in.stream, in.archive, "read an archive");
	while (r == 0) {
		int got = archive_read_next_header(in.archive, &e);

		if (got == ARCHIVE_EOF)
			break;
		if (got < ARCHIVE_WARN)
			r = archive_stream_complain(&in.stream, in.archive, "read an archive");
		else
			r = entry_read(&in, e, err);
		if (r == 0 && after)
			r = after(after_ctx, err);
	}
	int finished = directories_finish(&in, r == 0, err);
	(void)archive_read_free(in.archive);
	return r < 0 ? r : finished;
}

int archive_drain(archive_source source, void *ctx, size_t most, struct err *err)
{
	const void *bytes;
	size_t more = 0;
	ssize_t n;

	while ((n = source(ctx, &bytes, err)) > 0) {
		more += (size_t)n;
		if (more > most)
			return err_set(err, -EFBIG, "the stream goes on after its end");
	}
	return (int)n;
}
