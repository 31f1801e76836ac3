/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory ahead of the cut - for a migration that holds (R6)
 *
 * Requests wait from its cut until the restore, so what can go before goes before: a first checkpoint
 * is taken while the service runs on, at no particular instant, and sent. After the cut, only the
 * pages that differ from it are (memory_delta.h). Nothing of this concerns consistency: the cut is
 * whole in itself, and the destination puts it together again before it is used.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "es/layer_node.h"
#include "es/memory_delta.h"
#include "es/migration.h"
#include "es/migration_plan.h"
#include "es/process.h"
#include "es/transfer.h"

/* Nothing of the layer belongs to a checkpoint whose memory alone is wanted. */
static int nothing_else(void *ctx, bool last, struct err *err)
{
	(void)ctx;
	(void)last;
	(void)err;
	return 0;
}

static int memory_send(struct migration *m, struct transfer_tree *tree, struct err *err)
{
	int r;

	auto_close int images =
		open(checkpoint_images(m->earlier), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(err, -errno, "open the checkpoint ahead");
	tree->dirfd = images;
	r = transfer_send(m->stream, TRANSFER_STREAM, &m->header, tree, 1, NULL,
			  m->mc->config.compression, m->cancel_fd, err);
	source_learn_reason(m, r, err);
	/* while the link is still busy with it */
	return r < 0 ? r : memory_base_new(&m->base, images, err);
}

int source_memory(struct migration *m, struct err *err)
{
	struct transfer_tree tree = { .root = "memory" };
	struct checkpoint_result result;
	int r;

	if (!m->source.hold)
		return 0;
	r = source_checkpoint(m, "ahead", false, &m->earlier, err);
	if (r == 0)
		r = checkpoint_cut(m->earlier, nothing_else, NULL, &result, err);
	if (r == 0)
		r = memory_send(m, &tree, err);
	if (r == 0)
		r = source_flush(m, err);
	if (r == 0)
		migration_stage_done(m, "MEMORY AHEAD",
				     "kind=memory sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64
				     " freeze_us=%" PRIu64,
				     tree.sent, result.bytes, result.freeze_us);
	return r;
}

void source_memory_undo(struct migration *m)
{
	m->base = memory_base_free(m->base);
	m->earlier = checkpoint_free(m->earlier);
}

int source_memory_delta(struct migration *m, int images, int *delta, struct err *err)
{
	char path[MIGRATION_DIR_MAX + 16];
	struct memory_delta_stats stats;
	uint64_t began = monotonic_us();
	int r;

	(void)snprintf(path, sizeof(path), "%s/delta", m->work);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	auto_close int to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return err_set(err, -errno, "open %s", path);
	r = memory_delta_make(m->base, images, to, &stats, err);
	if (r < 0)
		return err_wrap(err, r, "find the pages that changed");
	migration_stage_done(m, "MEMORY DELTA",
			     "pages=%" PRIu64 " same=%" PRIu64 " delta_us=%" PRIu64, stats.pages,
			     stats.same, monotonic_us() - began);
	*delta = TAKE_FD(to);
	return 0;
}

/* --- destination ------------------------------------------------------------------------------- */

static bool holds(const struct migration *m)
{
	return json_is_true(json_object_get(m->plan, "hold"));
}

int destination_memory(struct migration *m, struct err *err)
{
	struct archive_root root = { .name = "memory", .plain = true, .ahead = -1 };
	char path[MIGRATION_DIR_MAX + 16];

	if (!holds(m))
		return 0;
	(void)snprintf(path, sizeof(path), "%s/ahead", m->work);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, -errno, "open %s", path);
	root.dirfd = dir;
	return transfer_receive(m->stream, TRANSFER_STREAM, &m->header, &root, 1,
				m->mc->config.max_bytes, err);
}

int destination_memory_whole(struct migration *m, int images, struct err *err)
{
	char path[MIGRATION_DIR_MAX + 16];
	int r;

	if (!holds(m))
		return 0;
	(void)snprintf(path, sizeof(path), "%s/ahead", m->work);
	auto_close int base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base < 0)
		return err_set(err, -errno, "open %s", path);
	r = memory_delta_apply(base, images, m->mc->config.max_bytes, err);
	return r < 0 ? err_wrap(err, r, "put the memory together") : 0;
}
