/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration_trees.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/docker_engine.h"
#include "es/migration.h"

#define LAYER_ROOT "layer"

void migration_trees_deinit(struct migration_trees *t)
{
	for (size_t i = 0; i < t->count; i++)
		(void)layer_staging_free(t->tree[i].staging);
	free(t->tree);
	memset(t, 0, sizeof(*t));
}

/** trees_begin() - Make the list, with the layer in it */
static int trees_begin(struct migration_trees *t, struct err *err)
{
	t->tree = calloc(MIGRATION_TREES_MAX, sizeof(*t->tree));
	if (!t->tree)
		return err_set(err, -ENOMEM, "trees of a container");
	(void)snprintf(t->tree[0].root, sizeof(t->tree[0].root), LAYER_ROOT);
	t->count = 1;
	return 0;
}

/** volume_add() - Add the volume that the container has at a path */
static int volume_add(struct migration_trees *t, const char *at, struct err *err)
{
	struct migration_tree *tree = &t->tree[t->count];

	if (t->count >= MIGRATION_TREES_MAX)
		return err_set(err, -E2BIG, "more than %d volumes", CONTAINER_VOLUMES_MAX);
	if (snprintf(tree->at, sizeof(tree->at), "%s", at) >= (int)sizeof(tree->at))
		return err_set(err, -ENAMETOOLONG, "the volume at %.100s...", at);
	(void)snprintf(tree->root, sizeof(tree->root), "volume-%zu", t->count - 1);
	t->count++;
	return 0;
}

/** volume_path() - Find where the volume that a container has at a path lies */
static int volume_path(struct migration_tree *tree, const json_t *inspect, struct err *err)
{
	const json_t *volume;

	for (size_t i = 0; (volume = container_mounts_volume(inspect, &i));) {
		const char *path = json_text(volume, "Source", NULL);

		if (strcmp(json_text(volume, "Destination", NULL), tree->at) != 0)
			continue;
		if (*path != '/' ||
		    snprintf(tree->path, sizeof(tree->path), "%s", path) >= (int)sizeof(tree->path))
			return err_set(err, -EPROTO, "docker tells no path of the volume at %s",
				       tree->at);
		return 0;
	}
	return err_set(err, -ENOENT, "the volume at %s of the container", tree->at);
}

int migration_trees_place(struct migration_trees *t, const json_t *inspect, struct err *err)
{
	int r = migration_upper(t->tree[0].path, inspect, err);

	for (size_t i = 1; r == 0 && i < t->count; i++)
		r = volume_path(&t->tree[i], inspect, err);
	return r;
}

int migration_trees_find(struct migration_trees *t, const json_t *inspect, struct err *err)
{
	const json_t *volume;
	int r = trees_begin(t, err);

	for (size_t i = 0; r == 0 && (volume = container_mounts_volume(inspect, &i));)
		r = volume_add(t, json_text(volume, "Destination", NULL), err);
	return r < 0 ? r : migration_trees_place(t, inspect, err);
}

json_t *migration_trees_volumes(const struct migration_trees *t)
{
	json_t *list = json_array();

	for (size_t i = 1; list && i < t->count; i++) {
		if (json_array_append_new(list, json_string(t->tree[i].at)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int migration_trees_expect(struct migration_trees *t, const json_t *plan, struct err *err)
{
	json_t *item;
	size_t i;
	int r = trees_begin(t, err);

	json_array_foreach(json_object_get(plan, "volumes"), i, item)
	{
		if (r == 0)
			r = volume_add(t, json_string_value(item), err);
	}
	return r;
}

int migration_trees_stage(struct migration_trees *t, const char *dir, uint64_t max_bytes,
			  struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->count; i++) {
		struct migration_tree *tree = &t->tree[i];

		auto_free char *copy = NULL;
		if (asprintf(&copy, "%s/%s", dir, tree->root) < 0)
			return err_set(err, -ENOMEM, "copy of a container's files");
		r = layer_staging_new(&tree->staging, tree->path, copy, tree->at, max_bytes, err);
	}
	return r;
}

void migration_trees_dirty_mapped(struct migration_trees *t, pid_t pid)
{
	for (size_t i = 0; i < t->count; i++)
		layer_staging_dirty_mapped(t->tree[i].staging, pid);
}

int migration_trees_update(struct migration_trees *t, bool frozen, int cancel_fd,
			   struct layer_stats *stats, struct err *err)
{
	struct layer_stats all = { 0 };

	for (size_t i = 0; i < t->count; i++) {
		struct layer_stats *one = &t->tree[i].stats;
		int r = layer_staging_update(t->tree[i].staging, frozen, cancel_fd, one, err);

		if (r < 0)
			return r;
		all.files += one->files;
		all.bytes += one->bytes;
		all.copied_files += one->copied_files;
		all.copied_bytes += one->copied_bytes;
		all.removed_files += one->removed_files;
	}
	*stats = all;
	return 0;
}

size_t migration_trees_outgoing(const struct migration_trees *t,
				struct transfer_tree to[MIGRATION_TREES_MAX])
{
	for (size_t i = 0; i < t->count; i++)
		to[i] = (struct transfer_tree){ .root = t->tree[i].root,
						.dirfd = layer_staging_fd(t->tree[i].staging) };
	return t->count;
}

/** directory_open() - Open a directory of ours. Return: descriptor, or negative error code */
static int directory_open(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_set(err, -errno, "open %s", path) : fd;
}

/** tree_open() - Open where one tree goes, and where it comes from */
static int tree_open(const struct migration_tree *tree, struct archive_root *root,
		     const char *ahead, bool into_ahead, struct err *err)
{
	auto_free char *path = NULL;
	if (asprintf(&path, "%s/%s", ahead, tree->root) < 0)
		return err_set(err, -ENOMEM, "trees of a container");
	if (into_ahead && mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	root->dirfd = directory_open(into_ahead ? path : tree->path, err);
	if (root->dirfd < 0 || into_ahead)
		return root->dirfd < 0 ? root->dirfd : 0;
	root->ahead = directory_open(path, err);
	return root->ahead < 0 ? root->ahead : 0;
}

int migration_trees_open(const struct migration_trees *t, struct migration_roots *to,
			 const char *ahead, bool into_ahead, struct err *err)
{
	int r = 0;

	to->count = 0;
	for (size_t i = 0; r == 0 && i < t->count; i++) {
		struct archive_root *root = &to->root[to->count++];

		*root = (struct archive_root){ .name = t->tree[i].root,
					       .dirfd = -EBADF,
					       .ahead = -1 };
		r = tree_open(&t->tree[i], root, ahead, into_ahead, err);
	}
	return r;
}

void migration_roots_close(struct migration_roots *roots)
{
	for (size_t i = 0; i < roots->count; i++) {
		if (roots->root[i].dirfd >= 0)
			close(roots->root[i].dirfd);
		if (roots->root[i].ahead >= 0)
			close(roots->root[i].ahead);
	}
	roots->count = 0;
}
