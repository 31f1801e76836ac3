/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Layer archive - file trees as one stream (pax, a POSIX tar) and back
 *
 * One stream carries several trees, each under the name of its root ("memory", "layer"). The reader
 * trusts nothing. A name may not be absolute or contain "..". No file is ever reached through a
 * symbolic link or another mount. Names of one archive cannot touch files that it did not make. The
 * number of files and bytes is limited.
 *
 * libarchive is known to the archive_*.c behind this, and to image/ for images.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"

struct err;
struct archive_sent;
struct archive_writer;

#define ARCHIVE_DEPTH_MAX 256 /* directories in one another */

/* On an entry without bytes: the file is the one an earlier stream brought under this name. Only
 * root of the host can set attributes of this class, so no container can forge it. */
#define ARCHIVE_SAME_XATTR "trusted.baton.same"

/**
 * archive_sink() - Takes the next bytes of the stream
 *
 * Return: 0, or negative error code, which comes back from the call that produced the bytes
 */
typedef int (*archive_sink)(void *ctx, const void *bytes, size_t len, struct err *err);

/**
 * archive_source() - Gives the next bytes of the stream
 * @ctx:	Given at archive_extract()
 * @bytes:	Set to them, borrowed until the next call
 * @err:	Filled in on failure
 *
 * Return: their number, 0 at the end, or negative error code
 */
typedef ssize_t (*archive_source)(void *ctx, const void **bytes, struct err *err);

/**
 * archive_drain() - Read a stream to its end, after the last bytes that are needed
 * @source:	Gives the stream
 * @ctx:	First argument of @source
 * @most:	Bytes that may follow: padding
 * @err:	Filled in on failure
 *
 * Return: 0, -EFBIG if there are more, or what @source failed with
 */
int archive_drain(archive_source source, void *ctx, size_t most, struct err *err);

/** archive_writer_new() - Begin a stream that goes to @sink. Return: 0, or negative error code */
int archive_writer_new(struct archive_writer **ret, archive_sink sink, void *ctx, struct err *err);

/**
 * archive_sent_new() - Begin to record the files that streams carry
 *
 * A layer is pre-copied while the service runs, and sent again after the cut. The second stream
 * only names a file that is still the same. A file is the same if inode number and change time are.
 * This is exact for a copy that files/layer.c made: it never writes into a file, it replaces it.
 *
 * Return: 0, or -ENOMEM
 */
int archive_sent_new(struct archive_sent **ret, struct err *err);

/** archive_sent_free() - Forget it; @sent may be NULL. Return: NULL, always */
struct archive_sent *archive_sent_free(struct archive_sent *sent);

AUTO_DEFINE(archive_sent)

/**
 * archive_writer_remember() - Name what @sent knows, send the rest, and remember that
 * @w:		Stream, before its first archive_writer_add()
 * @sent:	Borrowed until the stream is released
 */
void archive_writer_remember(struct archive_writer *w, struct archive_sent *sent);

/**
 * archive_after() - Called when a file of a stream is complete, with all that belongs to it
 *
 * Return: 0, or negative error code, which ends the stream
 */
typedef int (*archive_after)(void *ctx, struct err *err);

/** archive_writer_after() - Have @after called for each file written from here on; NULL: no more */
void archive_writer_after(struct archive_writer *w, archive_after after, void *ctx);

/**
 * archive_writer_add() - Add all that is in a directory
 * @w:		Stream
 * @dirfd:	Directory; nothing may change in it meanwhile
 * @root:	Name of the tree in the stream
 * @cancel_fd:	Ends it when readable, or -1
 * @err:	Filled in on failure
 *
 * Return: 0, -ECANCELED, or another negative error code
 */
int archive_writer_add(struct archive_writer *w, int dirfd, const char *root, int cancel_fd,
		       struct err *err);

/** archive_writer_end() - Write the end of the stream. Return: 0, or negative error code */
int archive_writer_end(struct archive_writer *w, struct err *err);

/** archive_writer_free() - Release it; without _end() the stream is cut short. Return: NULL */
struct archive_writer *archive_writer_free(struct archive_writer *w);

AUTO_DEFINE(archive_writer)

/**
 * struct archive_root - Where a tree of the stream goes
 * @name:	of the tree
 * @dirfd:	its directory, empty
 * @plain:	take regular files only, as mode 0600 (checkpoint images)
 * @ahead:	directory of the same mount where an earlier stream put this tree; unchanged files
 *		are moved from there, or copied from another mount. Negative: there was none
 */
struct archive_root {
	const char *name;
	int dirfd;
	bool plain;
	int ahead;
};

/**
 * archive_extract() - Read an archive into directories
 * @source:	Gives the bytes; not all of those that follow the archive's end are read
 * @ctx:	Handed to @source
 * @roots:	Trees that may come; another one is an error
 * @count:	Number of @roots
 * @max_bytes:	Most bytes of all files together; holes, names, attributes and headers count
 * @after:	Called with @after_ctx for each file made; may be NULL
 * @err:	Filled in on failure; the caller removes the files made so far
 *
 * Return: 0, -EPROTO for an archive that we do not accept, -EFBIG at a limit, or another negative
 * error code
 */
int archive_extract(archive_source source, void *ctx, struct archive_root *roots, size_t count,
		    uint64_t max_bytes, archive_after after, void *after_ctx, struct err *err);
