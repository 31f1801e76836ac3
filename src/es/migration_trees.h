/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Migration trees - the file trees of a container that move with it: its layer, and its volumes
 *
 * All of them are copied ahead, brought up to date at the cut while the tasks are frozen, and sent in
 * one stream, each under the name of its root: "layer", "volume-0", "volume-1" ... The plan's
 * "volumes" says at which path in the container each volume is, in this order; so both sides number
 * them alike, whatever order their engines have.
 */

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "es/container_mounts.h"
#include "es/layer.h"
#include "es/layer_archive.h"
#include "es/transfer.h"

struct err;

#define MIGRATION_TREES_MAX (1 + CONTAINER_VOLUMES_MAX)

/**
 * struct migration_tree - One tree
 * @root:	its name in the streams
 * @at:		where the container has it; "" for the layer
 * @path:	where it lies on this host; "" at a destination without CT-y yet
 * @staging:	at the source, its copy
 * @stats:	of the copy
 */
struct migration_tree {
	char root[16];
	char at[CONTAINER_PATH_MAX];
	char path[PATH_MAX];
	struct layer_staging *staging;
	struct layer_stats stats;
};

/** struct migration_trees - All of a container, the layer first; empty if all is zero */
struct migration_trees {
	struct migration_tree *tree;
	size_t count;
};

/** migration_trees_deinit() - Release the list, and remove the copies */
void migration_trees_deinit(struct migration_trees *t);

/**
 * migration_trees_find() - At the source: find the layer and the volumes of a container
 * @t:		Empty; migration_trees_deinit() is owed, also after a failure
 * @inspect:	What the engine says about the container
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int migration_trees_find(struct migration_trees *t, const json_t *inspect, struct err *err);

/** migration_trees_volumes() - The plan's "volumes". Return: a new reference, or NULL without memory */
json_t *migration_trees_volumes(const struct migration_trees *t);

/** migration_trees_expect() - At the destination: make the list from the plan. Return: 0, or negative */
int migration_trees_expect(struct migration_trees *t, const json_t *plan, struct err *err);

/**
 * migration_trees_place() - At the destination: find out where CT-y's trees lie
 * @t:		From migration_trees_expect()
 * @inspect:	What the engine says about CT-y
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int migration_trees_place(struct migration_trees *t, const json_t *inspect, struct err *err);

/** migration_trees_stage() - Prepare copies in the directory @dir. Return: 0, or negative error code */
int migration_trees_stage(struct migration_trees *t, const char *dir, uint64_t max_bytes,
			  struct err *err);

/** migration_trees_dirty_mapped() - layer_staging_dirty_mapped() for all of them */
void migration_trees_dirty_mapped(struct migration_trees *t, pid_t pid);

/**
 * migration_trees_update() - layer_staging_update() for all of them
 * @t:		Staged
 * @frozen, @cancel_fd: as there
 * @stats:	Filled in on success, all trees together
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int migration_trees_update(struct migration_trees *t, bool frozen, int cancel_fd,
			   struct layer_stats *stats, struct err *err);

/** migration_trees_outgoing() - Describe the copies for transfer_send(). Return: how many */
size_t migration_trees_outgoing(const struct migration_trees *t,
				struct transfer_tree to[MIGRATION_TREES_MAX]);

/**
 * struct migration_roots - Directories that are open for archive_extract()
 * @root:	for the call
 * @count:	of them
 */
struct migration_roots {
	struct archive_root root[MIGRATION_TREES_MAX];
	size_t count;
};

/**
 * migration_trees_open() - Open where the trees go; migration_roots_close() is owed in any case
 * @t:		From migration_trees_expect(), and placed unless @into_ahead
 * @to:		Filled in
 * @ahead:	Directory with one directory for each tree
 * @into_ahead:	Make these, and fill them; else fill the trees from them
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int migration_trees_open(const struct migration_trees *t, struct migration_roots *to,
			 const char *ahead, bool into_ahead, struct err *err);

/** migration_roots_close() - Close them */
void migration_roots_close(struct migration_roots *roots);
