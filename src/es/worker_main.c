/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-file-worker - works on the files of containers and peers, where it can reach nothing else
 * (R16)
 *
 * Started by baton-es (file_worker.c) in namespaces of its own, with the line as descriptor 3;
 * enters the sandbox, then answers calls until the line ends. It keeps the objects of
 * one migration: directories, staging copies, and the files of a pre-copy stream.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/images.h"
#include "es/criu/memory_delta.h"
#include "es/files/beneath.h"
#include "es/files/inflate.h"
#include "es/files/layer.h"
#include "es/files/layer_archive.h"
#include "es/files/layer_node.h"
#include "es/image/archive.h"
#include "es/worker/line.h"
#include "es/worker/sandbox.h"

#define LINE      3
#define DRAIN_MAX (64u << 10) /* bytes that may follow an archive's end: its padding */
#define JSON_MAX  (1u << 20)

/**
 * struct worker - All of it
 * @cancel:	readable: calls are to end; -1: none
 * @call:	under way, checked
 * @in:		last frame that came
 * @out:	bytes that are to go out
 */
struct worker {
	int cancel;
	int dir[WORKER_DIRS_MAX];
	struct layer_staging *layer[WORKER_LAYERS_MAX];
	struct archive_sent *sent;
	struct worker_call call;
	struct worker_end end;
	struct err err;
	uint8_t in[WORKER_BYTES_MAX];
	uint8_t out[WORKER_BYTES_MAX];
	size_t out_len;
	uint64_t room; /* bytes that may still come in */
};

/* --- streams ---------------------------------------------------------------------------------- */

/* The next bytes of the stream that comes in. */
static ssize_t line_give(void *ctx, const void **bytes, struct err *err)
{
	struct worker *w = ctx;
	enum worker_kind kind;
	size_t len;
	int r = worker_line_send(LINE, WORKER_WANT, NULL, 0, -1, NULL, err);

	if (r == 0)
		r = worker_line_receive(LINE, NULL, &kind, w->in, &len, NULL, err);
	if (r < 0)
		return r;
	if (kind != WORKER_BYTES)
		return err_set(err, -EPROTO, "baton-es sends %d, not bytes", (int)kind);
	if (len > w->room)
		return err_set(err, -EFBIG, "the stream has more bytes than it may");
	w->room -= len;
	*bytes = w->in;
	return (ssize_t)len;
}

/** out_flush() - Send what waits */
static int out_flush(struct worker *w, struct err *err)
{
	size_t len = w->out_len;

	w->out_len = 0;
	return len ? worker_line_send(LINE, WORKER_BYTES, w->out, len, -1, NULL, err) : 0;
}

/* Takes bytes of the outgoing stream, often few at a time: an archive's headers have 512. */
static int line_take(void *ctx, const void *bytes, size_t len, struct err *err)
{
	struct worker *w = ctx;
	const uint8_t *from = bytes;

	while (len) {
		size_t room = sizeof(w->out) - w->out_len;
		size_t n = len < room ? len : room;
		int r;

		memcpy(w->out + w->out_len, from, n);
		w->out_len += n;
		from += n;
		len -= n;
		r = w->out_len == sizeof(w->out) ? out_flush(w, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/** mark() - Say where the stream is */
static int mark(struct worker *w, enum worker_kind kind, struct err *err)
{
	int r = out_flush(w, err);

	return r < 0 ? r : worker_line_send(LINE, kind, NULL, 0, -1, NULL, err);
}

/* A file of the stream is complete. */
static int file_done(void *ctx, struct err *err)
{
	return mark(ctx, WORKER_AFTER, err);
}

/* --- directories ------------------------------------------------------------------------------ */

/**
 * place_open() - Open a directory of a call
 *
 * Return: descriptor that the caller owns, or negative
 */
static int place_open(struct worker *w, uint32_t dir, const char *path)
{
	if (dir >= WORKER_DIRS_MAX || w->dir[dir] < 0)
		return err_set(&w->err, -EBADF, "directory %u of a call", dir);
	int fd = beneath_open(w->dir[dir], *path ? path : ".", O_RDONLY | O_DIRECTORY);
	return fd < 0 ? err_set(&w->err, fd, "open '%s'", path) : fd;
}

static int root_open(struct worker *w, size_t i)
{
	return place_open(w, w->call.root[i].dir, w->call.root[i].path);
}

static int directory_take(struct worker *w, int *passed)
{
	if (w->call.id >= WORKER_DIRS_MAX || w->dir[w->call.id] >= 0 || *passed < 0)
		return err_set(&w->err, -EBADF, "directory %u", w->call.id);
	w->dir[w->call.id] = TAKE_FD(*passed);
	return 0;
}

static int cancel_take(struct worker *w, int *passed)
{
	if (w->cancel >= 0 || *passed < 0)
		return err_set(&w->err, -EBADF, "cancel");
	w->cancel = TAKE_FD(*passed);
	return 0;
}

static int empty(struct worker *w)
{
	auto_close int fd = root_open(w, 0);

	return fd < 0 ? fd : layer_tree_empty(fd, &w->err);
}

/* --- layers ----------------------------------------------------------------------------------- */

static int layer_new(struct worker *w)
{
	uint32_t id = w->call.id;

	if (id >= WORKER_LAYERS_MAX || w->layer[id])
		return err_set(&w->err, -EBADF, "layer %u", id);
	auto_close int upper = root_open(w, 0);
	if (upper < 0)
		return upper;
	auto_close int copy = root_open(w, 1);
	if (copy < 0)
		return copy;
	return layer_staging_new(&w->layer[id], TAKE_FD(upper), TAKE_FD(copy), w->call.text,
				 w->call.max_bytes, &w->err);
}

static int layer_update(struct worker *w)
{
	struct layer_stats stats;
	int r;

	if (w->call.id >= WORKER_LAYERS_MAX || !w->layer[w->call.id])
		return err_set(&w->err, -EBADF, "layer %u", w->call.id);
	r = layer_staging_update(w->layer[w->call.id], w->call.frozen, w->cancel, &stats, &w->err);
	if (r < 0)
		return r;
	w->end.value[0] = stats.files;
	w->end.value[1] = stats.bytes;
	w->end.value[2] = stats.copied_files;
	w->end.value[3] = stats.copied_bytes;
	w->end.value[4] = stats.removed_files;
	return 0;
}

static int layer_dirty(struct worker *w)
{
	if (w->call.id >= WORKER_LAYERS_MAX || !w->layer[w->call.id])
		return err_set(&w->err, -EBADF, "layer %u", w->call.id);
	layer_staging_dirty(w->layer[w->call.id], w->call.text);
	return 0;
}

/* --- archives --------------------------------------------------------------------------------- */

static int pack(struct worker *w)
{
	AUTO(archive_writer) struct archive_writer *archive = NULL;
	int r = archive_writer_new(&archive, line_take, w, &w->err);

	if (r == 0 && w->call.remember && !w->sent)
		r = archive_sent_new(&w->sent, &w->err);
	if (r == 0 && w->call.remember)
		archive_writer_remember(archive, w->sent);
	if (r == 0 && w->call.each)
		archive_writer_after(archive, file_done, w);
	for (size_t i = 0; i < w->call.count && r == 0; i++) {
		auto_close int fd = root_open(w, i);

		r = fd < 0 ? fd
			   : archive_writer_add(archive, fd, w->call.root[i].name, w->cancel,
						&w->err);
		if (r == 0)
			r = mark(w, WORKER_TREE, &w->err);
	}
	if (r == 0)
		r = archive_writer_end(archive, &w->err);
	return r < 0 ? r : out_flush(w, &w->err);
}

/** extract_from() - Read an archive into the roots, and the stream to its end */
static int extract_from(struct worker *w, archive_source source, void *ctx,
			struct archive_root *roots)
{
	int r = archive_extract(source, ctx, roots, w->call.count, w->call.max_bytes,
				w->call.each ? file_done : NULL, w, &w->err);

	return r < 0 ? r : archive_drain(source, ctx, DRAIN_MAX, &w->err);
}

/**
 * roots_open() - Open where the trees go
 *
 * Return: 0, or negative error code; roots_close() is owed
 */
static int roots_open(struct worker *w, struct archive_root *roots)
{
	int r = 0;

	for (size_t i = 0; i < WORKER_ROOTS_MAX; i++)
		roots[i] = (struct archive_root){ .dirfd = -EBADF, .ahead = -EBADF };
	for (size_t i = 0; i < w->call.count && r == 0; i++) {
		const struct worker_root *root = &w->call.root[i];

		roots[i].name = root->name;
		roots[i].plain = root->plain;
		roots[i].dirfd = root_open(w, i);
		r = roots[i].dirfd < 0 ? roots[i].dirfd : 0;
		if (r == 0 && root->ahead != WORKER_DIRS_MAX) {
			roots[i].ahead = place_open(w, root->ahead, root->ahead_path);
			r = roots[i].ahead < 0 ? roots[i].ahead : 0;
		}
	}
	return r;
}

static void roots_close(struct archive_root *roots)
{
	for (size_t i = 0; i < WORKER_ROOTS_MAX; i++) {
		if (roots[i].dirfd >= 0)
			close(roots[i].dirfd);
		if (roots[i].ahead >= 0)
			close(roots[i].ahead);
	}
}

/** stream_room() - Most bytes of a stream: the files', and as much again for their headers */
static uint64_t stream_room(uint64_t max_bytes)
{
	return max_bytes > UINT64_MAX / 2 ? UINT64_MAX : max_bytes * 2;
}

static int extract(struct worker *w)
{
	struct archive_root roots[WORKER_ROOTS_MAX];
	AUTO(inflate) struct inflate *packed = NULL;
	uint64_t plain = stream_room(w->call.max_bytes);
	int r = w->call.packed ? inflate_new(&packed, line_give, w, plain, &w->err) : 0;

	w->room = plain;

	if (r < 0)
		return r;
	r = roots_open(w, roots);
	if (r == 0)
		r = packed ? extract_from(w, inflate_give, packed, roots)
			   : extract_from(w, line_give, w, roots);
	roots_close(roots);
	return r;
}

static int image(struct worker *w)
{
	const struct image_rules rules = { .id = *w->call.text ? w->call.text : NULL,
					   .layers = (size_t)w->call.number,
					   .max_bytes = w->call.max_bytes };
	auto_close int fd = root_open(w, 0);

	return fd < 0 ? fd : image_archive_unpack(&rules, line_give, w, fd, &w->err);
}

static int delta(struct worker *w)
{
	auto_close int images = root_open(w, 0);
	if (images < 0)
		return images;
	auto_close int base = place_open(w, w->call.root[0].ahead, w->call.root[0].ahead_path);
	if (base < 0)
		return base;
	return memory_delta_apply(base, images, w->call.max_bytes, &w->err);
}

static int checkpoint(struct worker *w)
{
	char *lines = strchr(w->call.text, '\n');
	const struct checkpoint_grant grant = { .capabilities = w->call.number,
						.no_new_privs = w->call.remember,
						.filtered = w->call.each,
						.profile =
							lines != w->call.text ? w->call.text : NULL,
						.closed = lines ? lines + 1 : NULL };
	if (lines)
		*lines = '\0';
	auto_close int images = root_open(w, 0);

	return images < 0 ? images : checkpoint_images_check(images, &grant, &w->err);
}

/* --- texts ------------------------------------------------------------------------------------ */

/** text_read() - Read a whole text. Return: to be freed by the caller, or NULL */
static char *text_read(struct worker *w, size_t *len)
{
	auto_free char *text = malloc(JSON_MAX);
	const void *bytes;
	ssize_t n = 0;

	*len = 0;
	if (!text)
		(void)err_set(&w->err, -ENOMEM, "read a text");
	while (text && (n = line_give(w, &bytes, &w->err)) > 0) {
		if ((size_t)n > JSON_MAX - *len) {
			(void)err_set(&w->err, -EFBIG, "a text of more than %u bytes", JSON_MAX);
			return NULL;
		}
		memcpy(text + *len, bytes, (size_t)n);
		*len += (size_t)n;
	}
	return n < 0 ? NULL : TAKE_PTR(text);
}

static int json(struct worker *w)
{
	json_error_t where;
	size_t len;
	int r;

	auto_free char *text = text_read(w, &len);
	if (!text)
		return w->err.code;
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!value)
		return err_set(&w->err, -EPROTO, "no JSON: %.100s", where.text);
	auto_free char *ours = json_dumps(value, JSON_COMPACT);
	json_decref(value);
	if (!ours)
		return err_set(&w->err, -ENOMEM, "write a text");
	r = line_take(w, ours, strlen(ours), &w->err);
	return r < 0 ? r : out_flush(w, &w->err);
}

/* --- frames ----------------------------------------------------------------------------------- */

static int unpack(struct worker *w)
{
	AUTO(inflate) struct inflate *frame = NULL;
	const void *bytes;
	ssize_t n;
	int r = inflate_new(&frame, line_give, w, w->call.max_bytes, &w->err);

	if (r < 0)
		return r;
	while ((n = inflate_give(frame, &bytes, &w->err)) > 0) {
		r = line_take(w, bytes, (size_t)n, &w->err);
		if (r < 0)
			return r;
	}
	return n < 0 ? (int)n : out_flush(w, &w->err);
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool has_end(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/** call_read() - Check the bytes of a call */
static int call_read(struct worker *w, size_t len)
{
	const size_t fixed = offsetof(struct worker_call, text);

	if (len <= fixed || len > sizeof(w->call) || w->in[len - 1] != '\0')
		return err_set(&w->err, -EPROTO, "a call of %zu bytes", len);
	memset(&w->call, 0, sizeof(w->call));
	memcpy(&w->call, w->in, len);
	if (w->call.count > WORKER_ROOTS_MAX)
		return err_set(&w->err, -EPROTO, "a call with %u directories", w->call.count);
	for (size_t i = 0; i < WORKER_ROOTS_MAX; i++) {
		const struct worker_root *root = &w->call.root[i];

		if (!has_end(root->path, sizeof(root->path)) ||
		    !has_end(root->ahead_path, sizeof(root->ahead_path)) ||
		    !has_end(root->name, sizeof(root->name)))
			return err_set(&w->err, -EPROTO, "a call with a name without an end");
	}
	return 0;
}

/** call_run() - Execute a call. @passed: the descriptor that came along, taken if it belongs to it */
static int call_run(struct worker *w, int *passed)
{
	switch ((enum worker_op)w->call.op) {
	case WORKER_OP_DIRECTORY:
		return directory_take(w, passed);
	case WORKER_OP_CANCEL:
		return cancel_take(w, passed);
	case WORKER_OP_EMPTY:
		return empty(w);
	case WORKER_OP_LAYER_NEW:
		return layer_new(w);
	case WORKER_OP_LAYER_UPDATE:
		return layer_update(w);
	case WORKER_OP_LAYER_DIRTY:
		return layer_dirty(w);
	case WORKER_OP_PACK:
		return pack(w);
	case WORKER_OP_EXTRACT:
		return extract(w);
	case WORKER_OP_IMAGE:
		return image(w);
	case WORKER_OP_DELTA:
		return delta(w);
	case WORKER_OP_JSON:
		return json(w);
	case WORKER_OP_UNPACK:
		return unpack(w);
	case WORKER_OP_CHECKPOINT:
		return checkpoint(w);
	case WORKER_OPS:
		break;
	}
	return err_set(&w->err, -EPROTO, "unknown call %u", w->call.op);
}

/** serve() - Answer one call. Return: false at the end of the line */
static bool serve(struct worker *w)
{
	enum worker_kind kind;
	size_t len;
	int came = -1;
	int r = worker_line_receive(LINE, NULL, &kind, w->in, &len, &came, NULL);
	auto_close int passed = came;

	if (r < 0 || kind != WORKER_CALL)
		return false;
	w->err = (struct err){ 0 };
	w->end = (struct worker_end){ 0 };
	w->out_len = 0;
	w->room = UINT64_MAX;
	r = call_read(w, len);
	if (r == 0)
		r = call_run(w, &passed);
	w->end.result = r < 0 ? r : 0;
	if (r < 0)
		(void)snprintf(w->end.text, sizeof(w->end.text), "%s", w->err.text);
	return worker_line_send(LINE, WORKER_END, &w->end, sizeof(w->end), -1, NULL, NULL) == 0;
}

/** open_failed() - Tell the first call why there is no worker, and end */
static int open_failed(const struct err *err)
{
	struct worker_end end = { .result = err->code };

	(void)snprintf(end.text, sizeof(end.text), "%s", err->text);
	(void)worker_line_send(LINE, WORKER_END, &end, sizeof(end), -1, NULL, NULL);
	return 1;
}

int main(void)
{
	struct err err = { 0 };
	struct worker *w = calloc(1, sizeof(*w));

	if (!w) {
		(void)err_set(&err, -ENOMEM, "file worker");
		return open_failed(&err);
	}
	w->cancel = -1;
	for (size_t i = 0; i < WORKER_DIRS_MAX; i++)
		w->dir[i] = -1;
	if (close_range(LINE + 1, ~0u, 0) < 0) {
		(void)err_set(&err, -errno, "close what somebody left open");
		return open_failed(&err);
	}
	if (sandbox_enter(&err) < 0)
		return open_failed(&err);
	while (serve(w))
		;
	/* The end of the process releases everything, and there is nobody left to tell. */
	_exit(0);
}
