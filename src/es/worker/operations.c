/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operations - the calls that a file worker knows
 *
 * Each function fills in a call (line.h), runs it, and takes its results. Places in a call are names below a
 * directory that the worker was given; the worker itself checks them (es/files/beneath.h).
 */

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/buf.h"
#include "base/err.h"
#include "es/criu/images.h"
#include "es/worker/call.h"

#define TEXT_MAX (1u << 20)

/** place_put() - Write a place into a call */
static int place_put(uint32_t *dir, char path[WORKER_NAME_MAX], struct file_place place,
		     struct err *err)
{
	*dir = (uint32_t)place.dir;
	if (snprintf(path, WORKER_NAME_MAX, "%s", place.path) >= WORKER_NAME_MAX)
		return err_set(err, -ENAMETOOLONG, "%s", place.path);
	return 0;
}

/** root_add() - Add a directory to a call */
static int root_add(struct worker_call *call, const struct file_tree *tree, struct err *err)
{
	struct worker_root *root = &call->root[call->count];
	int r;

	if (call->count >= WORKER_ROOTS_MAX)
		return err_set(err, -E2BIG, "more than %d directories", WORKER_ROOTS_MAX);
	call->count++;
	root->plain = tree->plain;
	if (tree->name &&
	    snprintf(root->name, sizeof(root->name), "%s", tree->name) >= (int)sizeof(root->name))
		return err_set(err, -ENAMETOOLONG, "%s", tree->name);
	root->ahead = WORKER_DIRS_MAX;
	r = place_put(&root->dir, root->path, tree->place, err);
	if (r == 0 && tree->ahead.path && tree->ahead.dir >= 0)
		r = place_put(&root->ahead, root->ahead_path, tree->ahead, err);
	return r;
}

/** place_add() - Add a place to a call */
static int place_add(struct worker_call *call, struct file_place place, struct err *err)
{
	const struct file_tree tree = { .place = place };

	return root_add(call, &tree, err);
}

/** mount_of() - Make a mount of a directory alone. Return: descriptor, or negative error code */
static int mount_of(int dirfd, bool writable)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID |
			    (writable ? 0 : MOUNT_ATTR_RDONLY),
	};
	auto_close int fd = (int)syscall(SYS_open_tree, dirfd, "",
					 AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 ||
	    syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int file_worker_directory(struct file_worker *fw, const char *path, bool writable, struct err *err)
{
	struct worker_call *call;
	int r;

	if (fw->dirs >= WORKER_DIRS_MAX)
		return err_set(err, -E2BIG, "more than %d directories for a file worker",
			       WORKER_DIRS_MAX);
	auto_close int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0)
		return err_set(err, -errno, "open %s", path);
	auto_close int mounted = mount_of(dirfd, writable);
	if (mounted < 0)
		return err_set(err, mounted, "make a mount of %s", path);
	call = worker_call_begin(fw, WORKER_OP_DIRECTORY);
	call->id = fw->dirs;
	r = worker_call_post(fw, call, mounted, err);
	return r < 0 ? r : (int)fw->dirs++;
}

int file_worker_empty(struct file_worker *fw, struct file_place place, struct err *err)
{
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_EMPTY);
	int r = place_add(call, place, err);

	return r < 0 ? r : worker_call_run(fw, call, NULL, err);
}

int file_worker_remove(struct file_workers *workers, const char *path, struct err *err)
{
	AUTO(file_worker) struct file_worker *fw = NULL;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(err, -errno, "remove %s", path);
	if (!S_ISDIR(st.st_mode))
		return unlink(path) < 0 ? err_set(err, -errno, "remove %s", path) : 0;
	r = file_worker_start(&fw, workers, -1, err);
	if (r == 0)
		r = file_worker_directory(fw, path, true, err);
	if (r >= 0)
		r = file_worker_empty(fw, (struct file_place){ .dir = r, .path = "" }, err);
	if (r < 0)
		return err_wrap(err, r, "remove %s", path);
	return rmdir(path) < 0 ? err_set(err, -errno, "remove %s", path) : 0;
}

int file_worker_layer_new(struct file_worker *fw, struct file_place upper, struct file_place copy,
			  const char *at, uint64_t max_bytes, struct err *err)
{
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_LAYER_NEW);
	int r = place_add(call, upper, err);

	if (r == 0)
		r = place_add(call, copy, err);
	if (r < 0)
		return r;
	if (fw->layers >= WORKER_LAYERS_MAX ||
	    snprintf(call->text, sizeof(call->text), "%s", at) >= (int)sizeof(call->text))
		return err_set(err, -E2BIG, "the volume at %.100s", at);
	call->id = fw->layers;
	call->max_bytes = max_bytes;
	r = worker_call_run(fw, call, NULL, err);
	return r < 0 ? r : (int)fw->layers++;
}

int file_worker_layer_update(struct file_worker *fw, int layer, bool frozen,
			     struct layer_stats *stats, struct err *err)
{
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_LAYER_UPDATE);
	int r;

	call->id = (uint32_t)layer;
	call->frozen = frozen;
	r = worker_call_run(fw, call, NULL, err);
	if (r < 0)
		return r;
	*stats = (struct layer_stats){ .files = fw->end.value[0],
				       .bytes = fw->end.value[1],
				       .copied_files = fw->end.value[2],
				       .copied_bytes = fw->end.value[3],
				       .removed_files = fw->end.value[4] };
	return 0;
}

int file_worker_layer_dirty(struct file_worker *fw, int layer, const char *path, struct err *err)
{
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_LAYER_DIRTY);

	if (snprintf(call->text, sizeof(call->text), "%s", path) >= (int)sizeof(call->text))
		return err_set(err, -ENAMETOOLONG, "%.100s", path);
	call->id = (uint32_t)layer;
	return worker_call_post(fw, call, -1, err);
}

/** trees_put() - Write trees into a call */
static int trees_put(struct worker_call *call, const struct file_tree *tree, size_t count,
		     struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = root_add(call, &tree[i], err);
	return r;
}

int file_worker_pack(struct file_worker *fw, const struct file_tree *tree, size_t count,
		     const struct file_packing *how, struct err *err)
{
	struct worker_streams streams = {
		.sink = how->sink, .tree_done = how->tree_done, .after = how->after, .ctx = how->ctx
	};
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_PACK);
	int r = trees_put(call, tree, count, err);

	call->remember = how->remember;
	call->each = how->after != NULL;
	return r < 0 ? r : worker_call_run(fw, call, &streams, err);
}

int file_worker_extract(struct file_worker *fw, const struct file_tree *tree, size_t count,
			const struct file_extracting *how, struct err *err)
{
	struct worker_streams streams = { .source = how->source,
					  .after = how->after,
					  .ctx = how->ctx };
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_EXTRACT);
	int r = trees_put(call, tree, count, err);

	call->max_bytes = how->max_bytes;
	call->packed = how->packed;
	call->each = how->after != NULL;
	return r < 0 ? r : worker_call_run(fw, call, &streams, err);
}

int file_worker_image(struct file_worker *fw, struct file_place to, const char *id, size_t layers,
		      const struct file_extracting *how, struct err *err)
{
	struct worker_streams streams = { .source = how->source, .ctx = how->ctx };
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_IMAGE);
	int r = place_add(call, to, err);

	if (r == 0 && snprintf(call->text, sizeof(call->text), "%s", id) >= (int)sizeof(call->text))
		r = err_set(err, -ENAMETOOLONG, "%.100s", id);
	call->number = layers;
	call->max_bytes = how->max_bytes;
	return r < 0 ? r : worker_call_run(fw, call, &streams, err);
}

int file_worker_delta(struct file_worker *fw, struct file_place images, struct file_place base,
		      uint64_t max_bytes, struct err *err)
{
	const struct file_tree tree = { .place = images, .ahead = base };
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_DELTA);
	int r = root_add(call, &tree, err);

	call->max_bytes = max_bytes;
	return r < 0 ? r : worker_call_run(fw, call, NULL, err);
}

int file_worker_checkpoint(struct file_worker *fw, struct file_place images,
			   const struct checkpoint_grant *grant, struct err *err)
{
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_CHECKPOINT);
	int r = place_add(call, images, err);

	call->number = grant->capabilities;
	call->remember = grant->no_new_privs;
	call->each = grant->filtered;
	if (snprintf(call->text, sizeof(call->text), "%s\n%s", grant->profile ? grant->profile : "",
		     grant->closed ? grant->closed : "") >= (int)sizeof(call->text))
		return err_set(err, -E2BIG, "judge a checkpoint: too many paths that are closed");
	if (r == 0)
		r = worker_call_run(fw, call, NULL, err);
	/* another checkpoint of the same container would ask for the same */
	return r == -EPERM ? err_lasting(err, r) : r;
}

/** struct exchange - A text that goes in, and one that comes out */
struct exchange {
	const uint8_t *in;
	size_t in_len;
	struct buf out;
};

static ssize_t exchange_give(void *ctx, const void **bytes, struct err *err)
{
	struct exchange *x = ctx;
	size_t len = x->in_len;

	(void)err;
	*bytes = x->in;
	x->in_len = 0;
	return (ssize_t)len;
}

static int exchange_take(void *ctx, const void *bytes, size_t len, struct err *err)
{
	struct exchange *x = ctx;

	return buf_append(&x->out, bytes, len, err);
}

int file_worker_json(struct file_worker *fw, const void *text, size_t len, char **ours,
		     struct err *err)
{
	struct exchange x = { .in = text, .in_len = len };
	struct worker_streams streams = { .source = exchange_give,
					  .sink = exchange_take,
					  .ctx = &x };
	int r;

	/* an escape is six bytes, and may stand for one */
	buf_init(&x.out, 6 * TEXT_MAX);
	r = worker_call_run(fw, worker_call_begin(fw, WORKER_OP_JSON), &streams, err);
	if (r == 0 && (!x.out.len || memchr(buf_bytes(&x.out), '\0', x.out.len)))
		r = err_set(err, -EPROTO, "the file worker writes no JSON");
	if (r == 0)
		r = buf_append(&x.out, "", 1, err);
	if (r == 0) {
		*ours = strdup((const char *)buf_bytes(&x.out));
		r = *ours ? 0 : err_set(err, -ENOMEM, "read a text");
	}
	buf_deinit(&x.out);
	return r;
}
