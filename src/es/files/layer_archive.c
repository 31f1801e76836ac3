/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/layer_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "es/files/beneath.h"
#include "es/files/file_copy.h"
#include "es/files/layer_node.h"
#include "es/system/process.h"

#define PIECE       (256u << 10)
#define FILES_MAX   1000000
#define DEPTH_MAX   256
#define ENTRY_BYTES 512 /* a header; counts against the limit, as names and attributes do */

/**
 * struct archive_writer - A stream being written
 * @links:	files of several names, so that the later ones refer to the first
 * @err:	of the call under way, for the sink
 * @after:	called for each file that is complete, or NULL
 */
struct archive_writer {
	struct archive *archive;
	struct archive_entry_linkresolver *links;
	archive_sink sink;
	void *ctx;
	struct err *err;
	int failed;
	int cancel_fd;
	uint8_t *piece;
	struct archive_sent *sent;
	archive_after after;
	void *after_ctx;
};

/** struct sent_file - A file that went out under @path */
struct sent_file {
	char *path;
	ino_t ino;
	struct timespec changed;
};

/** struct archive_sent - tsearch() tree of struct sent_file by path */
struct archive_sent {
	void *files;
};

static int sent_compare(const void *a, const void *b)
{
	return strcmp(((const struct sent_file *)a)->path, ((const struct sent_file *)b)->path);
}

static void sent_free(void *p)
{
	struct sent_file *f = p;

	free(f->path);
	free(f);
}

int archive_sent_new(struct archive_sent **ret, struct err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_set(err, -ENOMEM, "remember what is sent");
}

struct archive_sent *archive_sent_free(struct archive_sent *sent)
{
	if (sent) {
		tdestroy(sent->files, sent_free);
		free(sent);
	}
	return NULL;
}

/** sent_same() - Whether this very file went out under this name */
static bool sent_same(const struct archive_sent *sent, const char *path, const struct stat *st)
{
	struct sent_file key = { .path = (char *)(uintptr_t)path };
	struct sent_file **found = sent ? tfind(&key, &sent->files, sent_compare) : NULL;

	return found && (*found)->ino == st->st_ino &&
	       (*found)->changed.tv_sec == st->st_ctim.tv_sec &&
	       (*found)->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/** sent_note() - Remember a file. Return: 0, or -ENOMEM */
static int sent_note(struct archive_sent *sent, const char *path, const struct stat *st)
{
	struct sent_file key = { .path = (char *)(uintptr_t)path };
	struct sent_file **found = tfind(&key, &sent->files, sent_compare);
	struct sent_file *f = found ? *found : calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->ino = st->st_ino;
	f->changed = st->st_ctim;
	if (found)
		return 0;
	f->path = strdup(path);
	if (!f->path || !tsearch(f, &sent->files, sent_compare)) {
		sent_free(f);
		return -ENOMEM;
	}
	return 0;
}

void archive_writer_remember(struct archive_writer *w, struct archive_sent *sent)
{
	w->sent = sent;
}

/** archive_failed() - Turn libarchive's complaint into ours */
static int archive_failed(struct archive *a, const char *what, struct err *err)
{
	const char *text = archive_error_string(a);

	return err_set(err, -EPROTO, "%s: %s", what, text ? text : "no reason given");
}

/* libarchive hands us the next bytes. */
static la_ssize_t sink_write(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	struct archive_writer *w = ctx;

	if (!w->failed)
		w->failed = w->sink(w->ctx, bytes, len, w->err);
	if (w->failed) {
		archive_set_error(a, -w->failed, "the stream is broken");
		return -1;
	}
	return (la_ssize_t)len;
}

int archive_writer_new(struct archive_writer **ret, archive_sink sink, void *ctx, struct err *err)
{
	AUTO(archive_writer) struct archive_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, -ENOMEM, "archive");
	w->sink = sink;
	w->ctx = ctx;
	w->piece = malloc(PIECE);
	w->archive = archive_write_new();
	w->links = archive_entry_linkresolver_new();
	if (!w->piece || !w->archive || !w->links)
		return err_set(err, -ENOMEM, "archive");
	/*
	 * Bytes pass at once: their number at a tree's end is exact, and nothing waits. Names of
	 * attributes are encoded: as they are, one with '=' in it would come out as another one, too.
	 */
	if (archive_write_set_format_pax(w->archive) != ARCHIVE_OK ||
	    archive_write_set_format_option(w->archive, "pax", "xattrheader", "LIBARCHIVE") !=
		    ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(w->archive, 0) != ARCHIVE_OK ||
	    archive_write_open(w->archive, w, NULL, sink_write, NULL) != ARCHIVE_OK)
		return archive_failed(w->archive, "begin an archive", err);
	archive_entry_linkresolver_set_strategy(w->links, archive_format(w->archive));
	*ret = TAKE_PTR(w);
	return 0;
}

struct archive_writer *archive_writer_free(struct archive_writer *w)
{
	if (!w)
		return NULL;
	/* Frees without writing more: after a failure the sink must not be called again. */
	w->failed = w->failed ? w->failed : -EPIPE;
	if (w->archive)
		(void)archive_write_free(w->archive);
	if (w->links)
		archive_entry_linkresolver_free(w->links);
	free(w->piece);
	free(w);
	return NULL;
}

/** entry_from() - Describe a file to libarchive */
static struct archive_entry *entry_from(const struct layer_node *node, const char *path)
{
	struct archive_entry *e = archive_entry_new();

	if (!e)
		return NULL;
	archive_entry_copy_stat(e, &node->st);
	archive_entry_copy_pathname(e, path);
	if (node->target)
		archive_entry_copy_symlink(e, node->target);
	if (!S_ISREG(node->st.st_mode))
		archive_entry_set_size(e, 0);
	for (size_t i = 0; i < node->xattr_count; i++) {
		if (!strcmp(node->xattr[i].name, ARCHIVE_SAME_XATTR))
			continue;
		archive_entry_xattr_add_entry(e, node->xattr[i].name, node->xattr[i].value,
					      node->xattr[i].size);
	}
	return e;
}

/** entry_add_data() - Tell libarchive where the file has data; the rest are holes */
static int entry_add_data(struct archive_entry *e, int fd, off_t size)
{
	off_t at = 0;
	bool holes = false;

	while (at < size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno != ENXIO)
			return -errno;
		holes = holes || data != at;
		if (data < 0) {
			/* Ends in a hole: an empty range at the end gives the length. */
			archive_entry_sparse_add_entry(e, size, 0);
			break;
		}
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		hole = hole > size ? size : hole;
		archive_entry_sparse_add_entry(e, data, hole - data);
		at = hole;
	}
	if (!holes)
		archive_entry_sparse_clear(e);
	return 0;
}

/**
 * piece_take() - The next bytes of a file into @w->piece, zeros where it has a hole
 * @w:		Writer
 * @fd:		File
 * @at:		Where they begin
 * @size:	Of the file
 * @data:	Where the data at or behind @at begin; looked up again when @at has passed them
 *
 * A hole is not read, however long it is.
 *
 * Return: how many, or negative error code
 */
static ssize_t piece_take(struct archive_writer *w, int fd, off_t at, off_t size, off_t *data)
{
	size_t want = size - at > (off_t)PIECE ? PIECE : (size_t)(size - at);
	ssize_t n;

	if (*data <= at) {
		*data = lseek(fd, at, SEEK_DATA);
		if (*data < 0 && errno == ENXIO)
			*data = size; /* a hole to the end */
		if (*data < 0)
			return -errno;
		if (*data > at)
			memset(w->piece, 0, PIECE);
	}
	if (*data > at)
		return *data - at < (off_t)want ? (ssize_t)(*data - at) : (ssize_t)want;
	n = pread(fd, w->piece, want, at);
	return n > 0 ? n : n < 0 ? -errno : -EIO;
}

/** data_write() - Write a file's bytes into the stream, holes as zeros, which libarchive drops */
static int data_write(struct archive_writer *w, int fd, off_t size, struct err *err)
{
	off_t done = 0;
	off_t data = 0;

	while (done < size) {
		ssize_t n = piece_take(w, fd, done, size, &data);

		if (n < 0)
			return err_set(err, (int)n, "read a file");
		if (cancelled(w->cancel_fd))
			return err_set(err, -ECANCELED, "send a file");
		if (archive_write_data(w->archive, w->piece, (size_t)n) < 0)
			return w->failed ? w->failed
					 : archive_failed(w->archive, "write an archive", err);
		done += n;
	}
	return 0;
}

/** entry_write() - Write one entry and its bytes; @e is consumed */
static int entry_write(struct archive_writer *w, struct archive_entry *e, int dirfd,
		       const char *name, struct err *err)
{
	bool regular = archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e);
	off_t size = regular ? archive_entry_size(e) : 0;
	int r = 0;

	auto_close int fd = regular && size > 0 ? beneath_regular(dirfd, name, O_RDONLY) : -EBADF;
	if (regular && size > 0 && fd < 0)
		r = err_set(err, fd, "open %s", name);
	if (r == 0 && fd >= 0)
		r = entry_add_data(e, fd, size);
	if (r == 0 && archive_write_header(w->archive, e) < ARCHIVE_WARN)
		r = w->failed ? w->failed : archive_failed(w->archive, name, err);
	archive_entry_free(e);
	if (r == 0 && fd >= 0)
		r = data_write(w, fd, size, err);
	if (r == 0 && w->after && archive_write_finish_entry(w->archive) < ARCHIVE_WARN)
		r = w->failed ? w->failed : archive_failed(w->archive, name, err);
	return r == 0 && w->after ? w->after(w->after_ctx, err) : r;
}

/** entry_refer() - Let the entry name the file that went out before instead of carrying it */
static void entry_refer(struct archive_entry *e, const struct stat *st)
{
	uint8_t size[8];

	put_be64(size, (uint64_t)st->st_size);
	archive_entry_xattr_add_entry(e, ARCHIVE_SAME_XATTR, size, sizeof(size));
	archive_entry_set_size(e, 0);
}

/** file_write() - Write the file @name, but not the files in it */
static int file_write(struct archive_writer *w, int dirfd, const char *name, const char *path,
		      bool *directory, struct err *err)
{
	struct layer_node node;
	struct archive_entry *spare = NULL;
	int r = layer_node_read(&node, dirfd, name, err);

	if (r < 0)
		return r;
	*directory = S_ISDIR(node.st.st_mode);
	struct archive_entry *e = entry_from(&node, path);
	const struct stat st = node.st;
	layer_node_deinit(&node);
	if (!e)
		return err_set(err, -ENOMEM, "archive");
	/* Only for regular files: a later name becomes a reference to the first. */
	if (archive_entry_filetype(e) == AE_IFREG)
		archive_entry_linkify(w->links, &e, &spare);
	archive_entry_free(spare);
	bool carries = w->sent && S_ISREG(st.st_mode) && !archive_entry_hardlink(e) && st.st_size;
	if (carries && sent_same(w->sent, path, &st))
		entry_refer(e, &st);
	else if (carries && sent_note(w->sent, path, &st) < 0)
		r = -ENOMEM;
	if (r < 0) {
		archive_entry_free(e);
		return err_set(err, -ENOMEM, "archive");
	}
	return entry_write(w, e, dirfd, name, err);
}

/** tree_write() - Write all that is in a directory */
static int tree_write(struct archive_writer *w, int dirfd, const char *path, unsigned int depth,
		      struct err *err)
{
	DIR *dir = beneath_list(dirfd);
	const struct dirent *entry;
	int r = 0;

	if (!dir)
		return err_set(err, -errno, "read the directory %s", path);
	while (r == 0 && (entry = readdir(dir))) {
		bool directory = false;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		auto_free char *below = NULL;
		if (asprintf(&below, "%s/%s", path, entry->d_name) < 0 || depth >= DEPTH_MAX)
			r = err_set(err, -ENAMETOOLONG, "%s", path);
		if (r == 0)
			r = file_write(w, dirfd, entry->d_name, below, &directory, err);
		if (r == 0 && directory) {
			auto_close int sub = beneath_directory(dirfd, entry->d_name);
			r = sub < 0 ? err_set(err, sub, "open %s", below)
				    : tree_write(w, sub, below, depth + 1, err);
		}
	}
	(void)closedir(dir);
	return r;
}

void archive_writer_after(struct archive_writer *w, archive_after after, void *ctx)
{
	w->after = after;
	w->after_ctx = ctx;
}

int archive_writer_add(struct archive_writer *w, int dirfd, const char *root, int cancel_fd,
		       struct err *err)
{
	bool directory = true;
	int r;

	w->err = err;
	w->cancel_fd = cancel_fd;
	r = file_write(w, dirfd, ".", root, &directory, err);
	if (r == 0)
		r = tree_write(w, dirfd, root, 0, err);
	w->err = NULL;
	return r;
}

int archive_writer_end(struct archive_writer *w, struct err *err)
{
	int r = 0;

	w->err = err;
	if (archive_write_close(w->archive) != ARCHIVE_OK)
		r = w->failed ? w->failed : archive_failed(w->archive, "end an archive", err);
	w->err = NULL;
	return r;
}

/* --- reading -------------------------------------------------------------------------------- */

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
	archive_source source;
	void *ctx;
	struct err *err;
	int failed;
	struct archive_root *roots;
	size_t root_count;
	uint64_t files;
	uint64_t bytes;
	uint64_t max_bytes;
	struct list directories;
};

/* libarchive asks for the next bytes. */
static la_ssize_t source_read(struct archive *a, void *ctx, const void **bytes)
{
	struct reader *in = ctx;
	ssize_t n = in->failed ? in->failed : in->source(in->ctx, bytes, in->err);

	if (n < 0) {
		in->failed = (int)n;
		archive_set_error(a, (int)-n, "the stream is broken");
		return -1;
	}
	return n;
}

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
		return err_set(in->err, -EFBIG,
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
		return in->failed ? in->failed
				  : archive_failed(in->archive, "read an archive", err);
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
	return parts > DEPTH_MAX;
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
			       DEPTH_MAX);
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
	struct reader in = { .source = source,
			     .ctx = ctx,
			     .err = err,
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
	    archive_read_open(in.archive, &in, NULL, source_read, NULL) != ARCHIVE_OK)
		r = in.failed ? in.failed : archive_failed(in.archive, "read an archive", err);
	while (r == 0) {
		int got = archive_read_next_header(in.archive, &e);

		if (got == ARCHIVE_EOF)
			break;
		if (got < ARCHIVE_WARN)
			r = in.failed ? in.failed
				      : archive_failed(in.archive, "read an archive", err);
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
