/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * File sets - the file trees of a container that move with it: its layer, and its volumes
 *
 * Each has a staging copy, which is brought up to date at the cut while the tasks are frozen. All are
 * sent in one stream, each under the name of its root: "layer", "volume-0", "volume-1" ... The plan's
 * "volumes" gives the path of each volume in the container, in this order. So both sides number them
 * alike, whatever order their engines have.
 */

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "base/buf.h"
#include "es/container/mounts.h"
#include "es/files/layer.h"
#include "es/migration/common/transfer.h"
#include "es/worker/file_worker.h"

struct err;

#define FILE_SETS_MAX (1 + CONTAINER_VOLUMES_MAX)

/**
 * struct file_set - One tree
 * @root:	its name in the streams
 * @at:		where the container has it; "" for the layer
 * @path:	where it lies on this host; "" at a destination without CT-y yet
 * @ahead:	at the destination, its pre-copy; "" if there is none
 * @place:	at the source, the directory of its copy
 * @copy:	at the source, its copy in the file worker
 * @stats:	of the copy
 * @engine:	at the destination, the engine's files beside @path, and that @path is a
 *		directory; empty if the worker has no more than @path
 */
struct file_set {
	char root[16];
	char at[CONTAINER_PATH_MAX];
	char path[PATH_MAX];
	char ahead[PATH_MAX];
	struct file_place place;
	int copy;
	struct layer_stats stats;
	struct buf engine;
};

/** struct file_sets - All of a container, the layer first; empty if all is zero */
struct file_sets {
	struct file_set *tree;
	size_t count;
};

/** file_sets_deinit() - Release the list */
void file_sets_deinit(struct file_sets *t);

/**
 * file_sets_find() - At the source: find the layer and the volumes of a container
 * @t:		Empty; file_sets_deinit() is owed, also after a failure
 * @inspect:	The engine's description of the container
 * @exec_root:	Of the engine
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int file_sets_find(struct file_sets *t, const json_t *inspect, const char *exec_root,
		   struct err *err);

/**
 * file_sets_volumes() - The plan's "volumes"
 *
 * Return: a new reference, or NULL without memory
 */
json_t *file_sets_volumes(const struct file_sets *t);

/**
 * file_sets_expect() - At the destination: make the list from the plan
 *
 * Return: 0, or negative
 */
int file_sets_expect(struct file_sets *t, const json_t *plan, struct err *err);

/**
 * file_sets_place() - At the destination: find out where CT-y's trees lie
 * @t:		From file_sets_expect()
 * @inspect:	The engine's description of CT-y
 * @exec_root:	Of the engine
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int file_sets_place(struct file_sets *t, const json_t *inspect, const char *exec_root,
		    struct err *err);

/**
 * file_sets_stage() - Prepare the staging copies
 * @t:		From file_sets_find()
 * @files:	Makes them
 * @dir:	Directory for them
 * @max_bytes:	Most bytes of each
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int file_sets_stage(struct file_sets *t, struct file_worker *files, const char *dir,
		    uint64_t max_bytes, struct err *err);

/**
 * file_sets_dirty_mapped() - Have the files copied again that a process has mapped shared and writable
 * @t:		Staged
 * @files:	As there
 * @pid:	Process of the container; one that is gone is no failure
 * @err:	Filled in on failure
 *
 * Call it for all of them after each update but the last: only then all files are known that may be
 * mapped.
 *
 * Return: 0, or negative error code
 */
int file_sets_dirty_mapped(struct file_sets *t, struct file_worker *files, pid_t pid,
			   struct err *err);

/**
 * file_sets_update() - layer_staging_update() for all of them
 * @t:		Staged
 * @files:	As there
 * @frozen:	As there
 * @stats:	Filled in on success, all trees together
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int file_sets_update(struct file_sets *t, struct file_worker *files, bool frozen,
		     struct layer_stats *stats, struct err *err);

/** file_sets_outgoing() - Describe the staging copies for transfer_send(). Return: how many */
size_t file_sets_outgoing(const struct file_sets *t, struct transfer_tree to[FILE_SETS_MAX]);

/**
 * file_sets_ahead() - At the destination: describe where the trees go before the cut
 * @t:		From file_sets_expect()
 * @files:	Will write them
 * @to:		Filled in
 * @dir:	Directory for those that have no place yet
 * @err:	Filled in on failure; file_sets_forget() is owed in any case
 *
 * Each lies beside the place where it will belong, so that a file that is still the same after the
 * cut is moved there, not copied.
 *
 * Return: 0, or negative error code
 */
int file_sets_ahead(struct file_sets *t, struct file_worker *files,
		    struct file_tree to[FILE_SETS_MAX], const char *dir, struct err *err);

/**
 * file_sets_into() - At the destination: describe where the trees belong, and where their
 * pre-copies are
 * @t:		After file_sets_ahead(), and placed
 * @files:	Will write them
 * @to:		Filled in
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int file_sets_into(struct file_sets *t, struct file_worker *files,
		   struct file_tree to[FILE_SETS_MAX], struct err *err);

/**
 * file_sets_unspoilt() - At the destination: check that the engine's files beside the trees
 * have not changed
 * @t:		After file_sets_into(); the worker that had the trees has ended
 * @err:	Filled in on failure
 *
 * Return: 0, -EPERM if one has, or another negative error code
 */
int file_sets_unspoilt(const struct file_sets *t, struct err *err);

/** file_sets_forget() - Remove the pre-copies. @workers: of the program */
void file_sets_forget(struct file_sets *t, struct file_workers *workers);
