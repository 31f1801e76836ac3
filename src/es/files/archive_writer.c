/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Archive writer - file trees into one stream
 *
 * An entry is written with its attributes, the ranges that hold data, and its bytes; holes are neither read nor
 * sent. A further name of a file refers to the first one. A file that an earlier stream brought is only named
 * (ARCHIVE_SAME_XATTR).
 */

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "es/files/archive_sent.h"
#include "es/files/archive_stream.h"
#include "es/files/beneath.h"
#include "es/files/layer_node.h"
#include "es/system/process.h"

#define PIECE (256u << 10)

/**
 * struct archive_writer - A stream being written
 * @links:	files of several names, so that the later ones refer to the first
 * @out:	its @err is that of the call under way
 * @after:	called for each file that is complete, or NULL
 */
struct archive_writer {
	struct archive *archive;
	struct archive_entry_linkresolver *links;
	struct archive_stream out;
	int cancel_fd;
	uint8_t *piece;
	struct archive_sent *sent;
	archive_after after;
	void *after_ctx;
};

int archive_writer_new(struct archive_writer **ret, archive_sink sink, void *ctx, struct err *err)
{
	AUTO(archive_writer) struct archive_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, -ENOMEM, "archive");
	w->out.sink = sink;
	w->out.ctx = ctx;
	w->out.err = err;
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
	    archive_write_open(w->archive, &w->out, NULL, archive_stream_write, NULL) != ARCHIVE_OK)
		return archive_stream_complain(&w->out, w->archive, "begin an archive");
	archive_entry_linkresolver_set_strategy(w->links, archive_format(w->archive));
	w->out.err = NULL;
	*ret = TAKE_PTR(w);
	return 0;
}

struct archive_writer *archive_writer_free(struct archive_writer *w)
{
	if (!w)
		return NULL;
	/* Frees without writing more: after a failure the sink must not be called again. */
	w->out.failed = w->out.failed ? w->out.failed : -EPIPE;
	if (w->archive)
		(void)archive_write_free(w->archive);
	if (w->links)
		archive_entry_linkresolver_free(w->links);
	free(w->piece);
	free(w);
	return NULL;
}

void archive_writer_remember(struct archive_writer *w, struct archive_sent *sent)
{
	w->sent = sent;
}

void archive_writer_after(struct archive_writer *w, archive_after after, void *ctx)
{
	w->after = after;
	w->after_ctx = ctx;
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
			return archive_stream_complain(&w->out, w->archive, "write an archive");
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
		r = archive_stream_complain(&w->out, w->archive, name);
	archive_entry_free(e);
	if (r == 0 && fd >= 0)
		r = data_write(w, fd, size, err);
	if (r == 0 && w->after && archive_write_finish_entry(w->archive) < ARCHIVE_WARN)
		r = archive_stream_complain(&w->out, w->archive, name);
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
	if (carries && archive_sent_same(w->sent, path, &st))
		entry_refer(e, &st);
	else if (carries && archive_sent_note(w->sent, path, &st) < 0)
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
		if (asprintf(&below, "%s/%s", path, entry->d_name) < 0 ||
		    depth >= ARCHIVE_DEPTH_MAX)
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

int archive_writer_add(struct archive_writer *w, int dirfd, const char *root, int cancel_fd,
		       struct err *err)
{
	bool directory = true;
	int r;

	w->out.err = err;
	w->cancel_fd = cancel_fd;
	r = file_write(w, dirfd, ".", root, &directory, err);
	if (r == 0)
		r = tree_write(w, dirfd, root, 0, err);
	w->out.err = NULL;
	return r;
}

int archive_writer_end(struct archive_writer *w, struct err *err)
{
	int r = 0;

	w->out.err = err;
	if (archive_write_close(w->archive) != ARCHIVE_OK)
		r = archive_stream_complain(&w->out, w->archive, "end an archive");
	w->out.err = NULL;
	return r;
}
