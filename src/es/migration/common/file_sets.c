/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/file_sets.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/engine/docker_engine.h"
#include "es/engine/engine_files.h"
#include "es/engine/upper_dir.h"
#include "es/files/beneath.h"
#include "es/files/layer_node.h"

#define LAYER_ROOT "layer"

void file_sets_deinit(struct file_sets *t)
{
	for (size_t i = 0; i < t->count; i++)
		buf_deinit(&t->tree[i].engine);
	free(t->tree);
	memset(t, 0, sizeof(*t));
}

/** trees_begin() - Make the list, with the layer in it */
static int trees_begin(struct file_sets *t, struct err *err)
{
	t->tree = calloc(FILE_SETS_MAX, sizeof(*t->tree));
	if (!t->tree)
		return err_set(err, -ENOMEM, "trees of a container");
	(void)snprintf(t->tree[0].root, sizeof(t->tree[0].root), LAYER_ROOT);
	t->count = 1;
	return 0;
}

/** volume_add() - Add the volume that the container has at a path */
static int volume_add(struct file_sets *t, const char *at, struct err *err)
{
	struct file_set *tree = &t->tree[t->count];

	if (t->count >= FILE_SETS_MAX)
		return err_set(err, -E2BIG, "more than %d volumes", CONTAINER_VOLUMES_MAX);
	if (snprintf(tree->at, sizeof(tree->at), "%s", at) >= (int)sizeof(tree->at))
		return err_set(err, -ENAMETOOLONG, "the volume at %.100s...", at);
	(void)snprintf(tree->root, sizeof(tree->root), "volume-%zu", t->count - 1);
	t->count++;
	return 0;
}

/** volume_path() - Find where the volume that a container has at a path lies */
static int volume_path(struct file_set *tree, const json_t *inspect, struct err *err)
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

int file_sets_place(struct file_sets *t, const json_t *inspect, const char *exec_root,
		    struct err *err)
{
	int r = upper_dir_find(t->tree[0].path, inspect, exec_root, err);

	for (size_t i = 1; r == 0 && i < t->count; i++)
		r = volume_path(&t->tree[i], inspect, err);
	return r;
}

int file_sets_find(struct file_sets *t, const json_t *inspect, const char *exec_root,
		   struct err *err)
{
	const json_t *volume;
	int r = trees_begin(t, err);

	for (size_t i = 0; r == 0 && (volume = container_mounts_volume(inspect, &i));)
		r = volume_add(t, json_text(volume, "Destination", NULL), err);
	return r < 0 ? r : file_sets_place(t, inspect, exec_root, err);
}

json_t *file_sets_volumes(const struct file_sets *t)
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

int file_sets_expect(struct file_sets *t, const json_t *plan, struct err *err)
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

/**
 * directory_give() - Make a directory, and give it to the file worker
 *
 * Return: its number, or negative
 */
static int directory_give(struct file_worker *files, const char *path, struct err *err)
{
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	return file_worker_directory(files, path, true, err);
}

int file_sets_stage(struct file_sets *t, struct file_worker *files, const char *dir,
		    uint64_t max_bytes, struct err *err)
{
	for (size_t i = 0; i < t->count; i++) {
		struct file_set *tree = &t->tree[i];
		struct file_place upper = { .path = "" };

		auto_free char *copy = NULL;
		if (asprintf(&copy, "%s/%s", dir, tree->root) < 0)
			return err_set(err, -ENOMEM, "copy of a container's files");
		upper.dir = file_worker_directory(files, tree->path, false, err);
		if (upper.dir < 0)
			return upper.dir;
		tree->place = (struct file_place){ directory_give(files, copy, err), "" };
		if (tree->place.dir < 0)
			return tree->place.dir;
		tree->copy =
			file_worker_layer_new(files, upper, tree->place, tree->at, max_bytes, err);
		if (tree->copy < 0)
			return tree->copy;
	}
	return 0;
}

/** dirty_all() - Have the file at a path in the container copied again, in whatever tree it is */
static int dirty_all(struct file_sets *t, struct file_worker *files, const char *path,
		     struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < t->count && r == 0; i++)
		if (!strncmp(path, t->tree[i].at, strlen(t->tree[i].at)))
			r = file_worker_layer_dirty(files, t->tree[i].copy, path, err);
	return r;
}

int file_sets_dirty_mapped(struct file_sets *t, struct file_worker *files, pid_t pid,
			   struct err *err)
{
	char path[64];
	size_t size = 0;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	auto_fclose FILE *maps = fopen(path, "re");
	auto_free char *line = NULL;
	while (maps && r == 0 && getline(&line, &size, maps) > 0) {
		char mode[5] = "";
		int name = 0;

		if (sscanf(line, "%*s %4s %*s %*s %*s %n", mode, &name) < 1 || !name ||
		    mode[1] != 'w' || mode[3] != 's' || line[name] != '/' ||
		    strlen(line + name) >= LAYER_PATH_MAX)
			continue;
		line[strcspn(line, "\n")] = '\0';
		r = dirty_all(t, files, line + name, err);
	}
	return r;
}

int file_sets_update(struct file_sets *t, struct file_worker *files, bool frozen,
		     struct layer_stats *stats, struct err *err)
{
	struct layer_stats all = { 0 };

	for (size_t i = 0; i < t->count; i++) {
		struct layer_stats *one = &t->tree[i].stats;
		int r = file_worker_layer_update(files, t->tree[i].copy, frozen, one, err);

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

size_t file_sets_outgoing(const struct file_sets *t, struct transfer_tree to[FILE_SETS_MAX])
{
	for (size_t i = 0; i < t->count; i++)
		to[i] = (struct transfer_tree){ .tree = { .name = t->tree[i].root,
							  .place = t->tree[i].place,
							  .ahead = { .dir = -1 } } };
	return t->count;
}

/* --- the destination -------------------------------------------------------------------------- */

#define BESIDE "baton-ahead"

/** above() - The directory in which a path ends, to be freed, or NULL without memory */
static char *above(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strndup(path, slash && slash != path ? (size_t)(slash - path) : 1);
}

/**
 * beside() - Path of the directory beside a tree, to be freed, or NULL if nothing can be moved from
 * there
 */
static char *beside(const struct file_set *tree)
{
	auto_free char *dir = *tree->path ? above(tree->path) : NULL;
	char *path = NULL;

	/* A volume may be a mount of its own. */
	if (!dir || !beneath_same_mount(dir, tree->path) || asprintf(&path, "%s/" BESIDE, dir) < 0)
		return NULL;
	return path;
}

int file_sets_ahead(struct file_sets *t, struct file_worker *files,
		    struct file_tree to[FILE_SETS_MAX], const char *dir, struct err *err)
{
	for (size_t i = 0; i < t->count; i++) {
		struct file_set *tree = &t->tree[i];

		auto_free char *place = beside(tree);
		int n = place ? snprintf(tree->ahead, sizeof(tree->ahead), "%s", place)
			      : snprintf(tree->ahead, sizeof(tree->ahead), "%s/%s", dir,
					 tree->root);
		if (n >= (int)sizeof(tree->ahead)) {
			tree->ahead[0] = '\0';
			return err_set(err, -ENAMETOOLONG, "%s", dir);
		}
		to[i] = (struct file_tree){ .name = tree->root,
					    .place = { directory_give(files, tree->ahead, err),
						       "" },
					    .ahead = { .dir = -1 } };
		if (to[i].place.dir < 0)
			return to[i].place.dir;
	}
	return 0;
}

/** engine_files() - Read the engine's files beside a tree. Return: 0, or negative error code */
static int engine_files(struct buf *to, const struct file_set *tree, struct err *err)
{
	auto_free char *dir = above(tree->path);

	return dir ? engine_files_read(to, dir, strrchr(tree->path, '/') + 1, BESIDE, err)
		   : err_set(err, -ENOMEM, "look beside a container's files");
}

/** tree_into() - Describe where one tree belongs */
static int tree_into(struct file_set *tree, struct file_worker *files, struct file_tree *to,
		     struct err *err)
{
	auto_free char *place = beside(tree);
	auto_free char *dir = place ? above(place) : NULL;

	*to = (struct file_tree){ .name = tree->root, .ahead = { .dir = -1 } };
	/* It may have come before there was a container to lie beside. */
	if (place && strcmp(place, tree->ahead) != 0 && rename(tree->ahead, place) == 0)
		(void)snprintf(tree->ahead, sizeof(tree->ahead), "%s", place);
	if (dir && !strcmp(place, tree->ahead)) {
		int r = engine_files(&tree->engine, tree, err);

		if (r < 0)
			return r;
		to->place = (struct file_place){ file_worker_directory(files, dir, true, err),
						 strrchr(tree->path, '/') + 1 };
		to->ahead = (struct file_place){ to->place.dir, BESIDE };
		return to->place.dir < 0 ? to->place.dir : 0;
	}
	to->place = (struct file_place){ file_worker_directory(files, tree->path, true, err), "" };
	if (to->place.dir < 0)
		return to->place.dir;
	to->ahead = (struct file_place){ file_worker_directory(files, tree->ahead, true, err), "" };
	return to->ahead.dir < 0 ? to->ahead.dir : 0;
}

int file_sets_into(struct file_sets *t, struct file_worker *files,
		   struct file_tree to[FILE_SETS_MAX], struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->count; i++)
		r = tree_into(&t->tree[i], files, &to[i], err);
	return r;
}

int file_sets_unspoilt(const struct file_sets *t, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->count; i++) {
		const struct file_set *tree = &t->tree[i];
		struct buf now = { .data = NULL };

		if (!tree->engine.len)
			continue;
		r = engine_files(&now, tree, err);
		if (r == 0 && (now.len != tree->engine.len ||
			       memcmp(buf_bytes(&now), buf_bytes(&tree->engine), now.len) != 0))
			r = err_set(err, -EPERM,
				    "the engine's files beside %s are not as they were",
				    tree->path);
		buf_deinit(&now);
	}
	return r;
}

void file_sets_forget(struct file_sets *t, struct file_workers *workers)
{
	for (size_t i = 0; i < t->count; i++) {
		struct file_set *tree = &t->tree[i];

		if (*tree->ahead)
			(void)file_worker_remove(workers, tree->ahead, NULL);
		tree->ahead[0] = '\0';
	}
}
