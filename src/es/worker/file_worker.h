/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * File worker - a sandboxed process that handles the files of containers and peers (R16)
 *
 * Names, links, sizes and bytes in a container layer, a volume, an archive or an image come from
 * somebody whom root must not trust. So baton-es does not touch them; each migration has a process
 * of its own that does (worker_main.c, sandbox.h). The process sees only the directories that it
 * was given. Each is a mount of its own without devices and programs, read-only if it is only to be
 * read. The process sees nothing else of the host, and no secret: it is another program, not a fork
 * of this one.
 *
 * One thread uses a worker, one call at a time. A call that fails in the middle of a stream, or
 * takes too long, ends the worker; all further calls fail then.
 *
 * A worker may hang: its disk does not answer, or an attacker controls it and it is silent or slow.
 * So each call has a total time limit, which grows with the bytes on the line. A call ends at once
 * when the migration is cancelled. A worker that does not end even when it is killed is recorded,
 * and reaped when it has ended.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "es/files/layer.h"
#include "es/files/layer_archive.h"

struct checkpoint_grant;
struct err;
struct file_worker;  /* opaque */
struct file_workers; /* opaque */

#define FILE_WORKER_PROGRAM    "baton-file-worker"
#define FILE_WORKER_TREES_MAX  24
#define FILE_WORKERS_STUCK_MAX 16 /* that cannot be ended: no further one is started */

/**
 * struct file_patience - How long baton-es waits for its workers, in milliseconds
 * @frame:	for the next frame of a call, see line.h
 * @call:	for a call in all
 * @stream:	the same for a call with a stream, which gets 1 ms more for each 1000 bytes over the
 *		line ...
 * @more:	... but no more than that in all
 * @frozen:	for a call in all while tasks are frozen (R17)
 * @end:	for the end of a worker that was killed
 *
 * The work of baton-es itself for a call (waiting for a link, say) does not count: it has its own
 * limits.
 */
struct file_patience {
	uint32_t frame;
	uint32_t call;
	uint32_t stream;
	uint32_t more;
	uint32_t frozen;
	uint32_t end;
};

/**
 * struct file_place - A directory in one that the worker was given
 * @dir:	from file_worker_directory()
 * @path:	beneath it, borrowed; "" for itself; 63 bytes at most
 */
struct file_place {
	int dir;
	const char *path;
};

/**
 * struct file_tree - A tree of an archive
 * @name:	of the tree in the stream, 63 bytes at most
 * @place:	where it is, or goes
 * @ahead:	where an earlier stream put it; @ahead.dir -1: there was none
 * @plain:	take regular files only, as mode 0600 (checkpoint images)
 */
struct file_tree {
	const char *name;
	struct file_place place;
	struct file_place ahead;
	bool plain;
};

/**
 * file_workers_new() - Make the common state of all workers of a program
 * @ret:	Set on success only; the caller owns it, see file_workers_free()
 * @program:	Path of baton-file-worker, copied
 * @patience:	How long to wait, copied; NULL: 10 min for a frame and a call, 30 min and up to 2 h
 *		for one with a stream, 30 s while tasks are frozen, 5 s for an end
 * @err:	Filled in on failure
 *
 * Any thread may use it.
 *
 * Return: 0, or negative error code
 */
int file_workers_new(struct file_workers **ret, const char *program,
		     const struct file_patience *patience, struct err *err);

/** file_workers_free() - Forget them; none may be in use. @w may be NULL. Return: NULL, always */
struct file_workers *file_workers_free(struct file_workers *w);

AUTO_DEFINE(file_workers)

/** file_workers_stuck() - Reap the workers that have ended late. Return: how many still hang */
size_t file_workers_stuck(struct file_workers *w);

/**
 * file_worker_start() - Start a worker
 * @ret:	Set on success only; the caller owns it, see file_worker_free()
 * @workers:	Borrowed as long as the worker
 * @cancel_fd:	Ends calls when readable, but those while tasks are frozen; borrowed; -1: none
 * @err:	Filled in on failure
 *
 * It starts while the caller continues; if that fails, the first call fails.
 *
 * Return: 0, -EBUSY if FILE_WORKERS_STUCK_MAX of them hang, or another negative error code
 */
int file_worker_start(struct file_worker **ret, struct file_workers *workers, int cancel_fd,
		      struct err *err);

/**
 * file_worker_end() - End a worker, and wait for that
 * @fw:		Worker, gone afterwards; may be NULL
 * @err:	Filled in on failure
 *
 * Return: 0, or -ETIMEDOUT if it hangs in the kernel. It is reaped later, and does nothing more in
 * user space; its last system call may still take effect
 */
int file_worker_end(struct file_worker *fw, struct err *err);

/** file_worker_free() - file_worker_end(), and log if that fails. Return: NULL, always */
struct file_worker *file_worker_free(struct file_worker *fw);

AUTO_DEFINE(file_worker)

/**
 * file_worker_directory() - Give the worker a directory, without the mounts in it
 * @fw:		Worker
 * @path:	Directory; the path to it is trusted, a link in its place is not followed
 * @writable:	It may change something there
 * @err:	Filled in on failure
 *
 * Return: number for struct file_place, or negative error code
 */
int file_worker_directory(struct file_worker *fw, const char *path, bool writable, struct err *err);

/** file_worker_empty() - Remove all that is in a directory. Return: 0, or negative error code */
int file_worker_empty(struct file_worker *fw, struct file_place place, struct err *err);

/**
 * file_worker_layer_new() - Prepare to copy a layer or a volume
 * @fw:		Worker
 * @upper:	The layer
 * @copy:	Empty directory of the copy
 * @at:		Where the container has the volume, an absolute path; "" for the layer itself
 * @max_bytes:	Most bytes the copy may have
 * @err:	Filled in on failure
 *
 * Return: number of the layer for the calls below, or negative error code
 */
int file_worker_layer_new(struct file_worker *fw, struct file_place upper, struct file_place copy,
			  const char *at, uint64_t max_bytes, struct err *err);

/** file_worker_layer_update() - layer_staging_update() for it; @frozen limits its time */
int file_worker_layer_update(struct file_worker *fw, int layer, bool frozen,
			     struct layer_stats *stats, struct err *err);

/** file_worker_layer_dirty() - layer_staging_dirty() for it. Return: 0, or negative error code */
int file_worker_layer_dirty(struct file_worker *fw, int layer, const char *path, struct err *err);

/**
 * struct file_packing - How an archive is to go out
 * @remember:	name what earlier streams of this worker carried, and remember the rest
 * @sink:	takes the bytes
 * @tree_done:	called at the end of each tree, with its index; may be NULL
 * @after:	called for each file that is complete; may be NULL
 * @ctx:	handed to all of them
 */
struct file_packing {
	bool remember;
	archive_sink sink;
	int (*tree_done)(void *ctx, size_t tree, struct err *err);
	archive_after after;
	void *ctx;
};

/**
 * file_worker_pack() - Write trees as one archive
 * @fw:		Worker
 * @tree:	Trees, in this order
 * @count:	At most FILE_WORKER_TREES_MAX
 * @how:	See there
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code, which may be one of the callbacks
 */
int file_worker_pack(struct file_worker *fw, const struct file_tree *tree, size_t count,
		     const struct file_packing *how, struct err *err);

/**
 * struct file_extracting - How an archive comes in
 * @packed:	by zstd
 * @max_bytes:	most bytes of all files together; holes, names, attributes and headers count
 * @source:	gives the bytes, to their end
 * @after:	called for each file that is complete; may be NULL
 * @ctx:	handed to both
 */
struct file_extracting {
	bool packed;
	uint64_t max_bytes;
	archive_source source;
	archive_after after;
	void *ctx;
};

/** file_worker_extract() - Read an archive into trees, see archive_extract(). Return: as there */
int file_worker_extract(struct file_worker *fw, const struct file_tree *tree, size_t count,
			const struct file_extracting *how, struct err *err);

/**
 * file_worker_image() - image_archive_unpack()
 * @fw:		Worker
 * @to:		Empty directory
 * @id:		Id of the image; "" for @id of struct image_rules NULL
 * @layers:	Number of its layers
 * @how:	@max_bytes, @source and @ctx are used
 * @err:	Filled in on failure
 *
 * Return: as image_archive_unpack()
 */
int file_worker_image(struct file_worker *fw, struct file_place to, const char *id, size_t layers,
		      const struct file_extracting *how, struct err *err);

/** file_worker_delta() - memory_delta_apply() to @images, with the earlier pages in @base */
int file_worker_delta(struct file_worker *fw, struct file_place images, struct file_place base,
		      uint64_t max_bytes, struct err *err);

/**
 * file_worker_checkpoint() - checkpoint_images_check() on the images in a place
 *
 * Return: as there
 */
int file_worker_checkpoint(struct file_worker *fw, struct file_place images,
			   const struct checkpoint_grant *grant, struct err *err);

/**
 * file_worker_json() - Have a foreign text read as JSON, and written again
 * @fw:		Worker
 * @text, @len:	The text, at most 1 MiB
 * @ours:	Set on success: the same, compact, with an end; to be freed by the caller
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO if it is no JSON, or another negative error code
 */
int file_worker_json(struct file_worker *fw, const void *text, size_t len, char **ours,
		     struct err *err);

/**
 * struct file_unpacking - A zstd frame that a worker unpacks during the transfer
 * @files:	Worker, which has no other call until file_unpacking_deinit()
 * @source:	Gives the packed bytes; called with @ctx
 * @left, @left_len: packed bytes that the worker has not asked for yet
 * @ends:	times that the worker was told of the frame's end
 * @ended:	the worker has said that this was all
 */
struct file_unpacking {
	struct file_worker *files;
	archive_source source;
	void *ctx;
	const uint8_t *left;
	size_t left_len;
	unsigned int ends;
	bool ended;
};

/**
 * file_unpacking_init() - Begin to unpack
 * @u:		Made; file_unpacking_deinit() is owed, also after a failure
 * @fw:		Worker
 * @source:	Gives the frame, and ends with it
 * @ctx:	Handed to @source
 * @max_bytes:	Most bytes that may come out
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int file_unpacking_init(struct file_unpacking *u, struct file_worker *fw, archive_source source,
			void *ctx, uint64_t max_bytes, struct err *err);

/**
 * file_unpacking_give() - The next bytes, as an archive_source() with a struct file_unpacking as
 * its context
 *
 * A compromised worker may give other bytes than were packed, or fewer. The caller checks that
 * @source came to its end.
 *
 * Return: as inflate_give(), or -EPROTO for a worker that violates the protocol
 */
ssize_t file_unpacking_give(void *ctx, const void **bytes, struct err *err);

/** file_unpacking_deinit() - End it; a worker that has not come to the end ends with it */
void file_unpacking_deinit(struct file_unpacking *u);

/**
 * file_worker_remove() - Remove a directory of ours and all in it, by a worker of its own
 * @workers:	See file_worker_start()
 * @path:	Directory; it need not exist
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int file_worker_remove(struct file_workers *workers, const char *path, struct err *err);
