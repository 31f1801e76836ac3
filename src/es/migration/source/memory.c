/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pre-copy of memory, the source's side - for a stop-and-copy (R6)
 *
 * Requests wait from the cut until the restore, so as much as possible is sent before the cut. A first
 * checkpoint is taken while the service runs on, at no particular instant, and sent. After the cut only
 * the pages that differ from it are sent (criu/memory_delta.h). Consistency does not depend on this: the
 * cut is complete in itself, and the destination puts it together again before it is used.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "es/criu/memory_delta.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/transfer.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/worker/file_worker.h"

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
	const char *path = checkpoint_images(m->out->earlier);
	int r;

	auto_close int images = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(err, -errno, "open the checkpoint ahead");
	tree->tree.place.dir = file_worker_directory(m->files, path, false, err);
	if (tree->tree.place.dir < 0)
		return tree->tree.place.dir;
	r = transfer_send(m->stream, TRANSFER_STREAM, &m->header, m->files, tree, 1, false,
			  m->mc->config.compression, err);
	source_learn_reason(m, r, err);
	/* while the link is still busy with it */
	return r < 0 ? r : memory_base_new(&m->out->base, images, err);
}

/** ahead_take() - Freeze, dump, thaw, at no particular instant */
static int ahead_take(struct checkpoint *c, struct checkpoint_result *result, struct err *err)
{
	int r = checkpoint_freeze(c, err);

	if (r == 0)
		r = checkpoint_dump(c, nothing_else, NULL, result, err);
	checkpoint_thaw(c, r == 0, result);
	return r < 0 ? r : checkpoint_close(c, nothing_else, NULL, result, err);
}

int source_memory(struct migration *m, struct err *err)
{
	struct transfer_tree tree = {
		.tree = { .name = "memory", .place = { .path = "" }, .ahead = { .dir = -1 } }
	};
	struct checkpoint_result result = { .freeze_us = 0 };
	int r;

	if (!m->order.hold)
		return 0;
	r = source_checkpoint(m, "ahead", false, &m->out->earlier, err);
	if (r == 0)
		r = ahead_take(m->out->earlier, &result, err);
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
	m->out->base = memory_base_free(m->out->base);
	m->out->earlier = checkpoint_free(m->out->earlier);
}

int source_memory_delta(struct migration *m, char path[MIGRATION_DIR_MAX + 16], struct err *err)
{
	struct memory_delta_stats stats;
	uint64_t began = monotonic_us();
	int r;

	auto_close int images =
		open(checkpoint_images(m->out->checkpoint), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(err, -errno, "open the checkpoint");
	(void)snprintf(path, MIGRATION_DIR_MAX + 16, "%s/delta", m->work);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	auto_close int to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return err_set(err, -errno, "open %s", path);
	r = memory_delta_make(m->out->base, images, to, &stats, err);
	if (r < 0)
		return err_wrap(err, r, "find the pages that changed");
	m->cut_bytes = m->cut_bytes - m->cut.bytes + stats.bytes;
	migration_stage_done(m, "MEMORY DELTA",
			     "pages=%" PRIu64 " same=%" PRIu64 " bytes=%" PRIu64
			     " delta_us=%" PRIu64,
			     stats.pages, stats.same, stats.bytes, monotonic_us() - began);
	return 0;
}
