/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The source's side of a migration: ES-x, which has CT-x(m) and keeps it (R3). One function a stage.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/transfer.h"
#include "es/migration/common/work.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/system/cgroup.h"
#include "es/worker/file_worker.h"
#include "net/tls_stream.h"

/*
 * The user waits while the cut of a stop-and-copy is sent: on a link slower than this, in bytes per
 * second, the source gives up
 */
#define HELD_MS      20000
#define HELD_RATE    (256u << 10)
#define HELD_MOST_MS 300000
#define NAMED        1024u /* bytes of a file that is the same as before: its name and attributes */

struct outgoing *outgoing_new(void)
{
	return calloc(1, sizeof(struct outgoing));
}

bool outgoing_away(const struct outgoing *out)
{
	return out->away;
}

struct outgoing *outgoing_free(struct outgoing *out)
{
	if (out) {
		free(out->forgotten);
		free(out);
	}
	return NULL;
}

int source_prepare(struct migration *m, struct err *err)
{
	json_t *image = NULL;
	uint64_t memory = 0;
	int r = migration_engine(&m->engine, m->mc, m->cancel_fd, err);

	m->header.session = m->session;
	m->header.association = m->order.association;
	m->header.epoch = m->order.epoch;
	if (r == 0)
		r = source_look(m, &image, err);
	if (r == 0)
		r = source_work(m, err);
	if (r == 0)
		r = source_layer(m, err);
	if (r == 0) {
		memory = cgroup_memory(
			(pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL)));
		r = source_plan(m, image, memory, m->out->layer_stats.bytes, err);
	}
	json_decref(image);
	if (r == 0)
		r = source_offer(m, err);
	if (r == 0)
		migration_stage_done(m, "PREPARED",
				     "prepare_us=%" PRIu64 " layer_files=%" PRIu64
				     " layer_bytes=%" PRIu64 " memory_bytes=%" PRIu64,
				     monotonic_us() - m->began_us, m->out->layer_stats.files,
				     m->out->layer_stats.bytes, memory);
	return r;
}

void source_prepare_undo(struct migration *m)
{
	struct err err = { 0 };

	file_sets_deinit(&m->sets);
	m->files = file_worker_free(m->files);
	(void)tls_stream_free(m->stream);
	m->stream = NULL;
	if (m->work_made && migration_work_clean(&m->mc->config, m->work, &err) < 0)
		log_error("%s stays: %s", m->work, err.text);
	m->work_made = false;
}

int source_ahead(struct migration *m, struct err *err)
{
	struct transfer_tree trees[FILE_SETS_MAX];
	size_t count = file_sets_outgoing(&m->sets, trees);
	uint64_t sent = 0;
	int r = 0;

	/*
	 * The engine needs a while until the first byte of an image comes: the link is ours
	 * meanwhile.
	 */
	if (m->image_wanted && m->image_source == IMAGE_FROM_SOURCE)
		r = source_image_begin(m, err);
	if (r < 0)
		return r;
	r = source_trees(m, TRANSFER_STREAM, trees, count, err);
	if (r == 0)
		r = source_flush(m, err);
	for (size_t i = 0; i < count; i++)
		sent += trees[i].sent;
	if (r == 0)
		migration_stage_done(m, "LAYER AHEAD",
				     "kind=layer sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64
				     " volumes=%zu",
				     sent, m->out->layer_stats.bytes, count - 1);
	return r;
}

/* T3, inside T1: the tasks are frozen. */
static int layer_frozen(void *ctx, bool last, struct err *err)
{
	struct migration *m = ctx;
	uint64_t copied = last ? m->out->layer_stats.copied_bytes : 0;
	/* the second time only CRIU's own files are left to copy */
	int r = file_sets_update(&m->sets, m->files, true, &m->out->layer_stats, err);

	m->out->layer_stats.copied_bytes += copied;
	return r;
}

/** cut_ready() - Prepare all that needs no held requests */
static int cut_ready(struct migration *m, struct err *err)
{
	pid_t first;
	int r = source_checkpoint(m, "checkpoint", m->order.hold, &m->out->checkpoint, err);

	if (r == 0)
		r = source_unread(m, false, &first, err);
	if (r >= 0)
		r = source_layer_ahead(m, err);
	return r < 0 ? r : source_forgotten(m, err);
}

/**
 * cut_take() - T1 and T3 at one instant (R2)
 *
 * Nothing executes from the moment the session is quiescent until the thaw, so memory, files and number
 * are of one instant. The user waits during this time.
 */
static int cut_take(struct migration *m, struct err *err)
{
	struct checkpoint *c = m->out->checkpoint;
	int r = checkpoint_freeze(c, err);

	if (r == 0) /* layer_frozen() copies layer and volumes while CRIU writes the memory */
		r = checkpoint_dump(c, layer_frozen, m, &m->cut, err);
	checkpoint_thaw(c, r == 0, &m->cut);
	if (r == 0)
		r = checkpoint_close(c, layer_frozen, m, &m->cut, err);
	return r;
}

/** cut_tell() - Log the sizes of the cut; @ahead: of the last copy before it */
static void cut_tell(struct migration *m, const struct layer_stats *ahead)
{
	const struct layer_stats *stats = &m->out->layer_stats;

	migration_stage_done(m, "T1",
			     "freeze_us=%" PRIu64 " dump_us=%" PRIu64 " memory_bytes=%" PRIu64,
			     m->cut.freeze_us, m->cut.dump_us, m->cut.bytes);
	migration_stage_done(m, "T3",
			     "layer_bytes=%" PRIu64 " layer_files=%" PRIu64
			     " frozen_copied=%" PRIu64 " ahead_bytes=%" PRIu64 " last_us=%" PRIu64,
			     stats->bytes, stats->files, stats->copied_bytes, ahead->bytes,
			     m->cut.last_us);
}

int source_cut(struct migration *m, struct err *err)
{
	struct layer_stats ahead;
	pid_t first = 0;
	int unread;
	int r = cut_ready(m, err);

	if (r == 0)
		r = source_drain(m, err); /* the loop holds requests, and none is under way */
	if (r < 0)
		return r;
	unread = source_unread(m, true, &first, err);
	if (unread < 0)
		return unread;
	ahead = m->out->layer_stats;
	r = cut_take(m, err);
	migration_cut_taken(m, r == 0,
			    r == 0 ? NULL : err->text); /* requests continue, unless it holds */
	if (r == 0)
		r = source_mend(m, err);
	if (r < 0)
		return r;
	if (unread)
		migration_stage_done(m, "UNREAD LOST", "sockets=%d pid=%d", unread, (int)first);
	/* the last copy before the cut counts, too: files changed since the pre-copy */
	m->cut_bytes = m->cut.bytes + ahead.copied_bytes + m->out->layer_stats.copied_bytes +
		       m->out->layer_stats.files * NAMED;
	if (m->order.purpose == MIGRATION_MOVE) /* source_keep() tells of others */
		cut_tell(m, &ahead);
	return 0;
}

void source_cut_undo(struct migration *m)
{
	(void)checkpoint_free(m->out->checkpoint);
	m->out->checkpoint = NULL;
}

/* The last byte of the memory is on its way. */
static void memory_sent(void *ctx, const struct transfer_tree *tree)
{
	struct migration *m = ctx;

	migration_stage_done(
		m, "T2", "kind=memory sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64 " log_bytes=%zu",
		tree->sent, m->cut.bytes, m->cache_len);
}

/*
 * The last byte of all is. Called by transfer_send() with the last tree; @sent of the others is
 * set.
 */
static void files_sent(void *ctx, const struct transfer_tree *last)
{
	struct migration *m = ctx;
	uint64_t sent = 0;

	for (size_t i = 0; i < m->sets.count; i++)
		sent += (last - i)->sent;
	migration_stage_done(m, "T4",
			     "kind=layer sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64 " log_bytes=0",
			     sent, m->out->layer_stats.bytes);
}

/**
 * memory_place() - Give the file worker the memory to send: all of it, or the pages that the
 * destination lacks
 */
static int memory_place(struct migration *m, int *dir, struct err *err)
{
	char delta[MIGRATION_DIR_MAX + 16];
	int r = m->out->earlier ? source_memory_delta(m, delta, err) : 0;

	if (r < 0)
		return r;
	const char *from = m->out->kept[0]   ? m->out->kept
			   : m->out->earlier ? delta
					     : checkpoint_images(m->out->checkpoint);
	*dir = file_worker_directory(m->files, from, false, err);
	return *dir < 0 ? *dir : 0;
}

uint64_t source_held_ms(uint64_t bytes)
{
	uint64_t ms = HELD_MOST_MS;

	if (bytes < (uint64_t)HELD_MOST_MS * HELD_RATE / 1000)
		ms = HELD_MS + bytes * 1000 / HELD_RATE;
	return ms < HELD_MOST_MS ? ms : HELD_MOST_MS;
}

int source_send(struct migration *m, struct err *err)
{
	size_t count;
	int r;

	struct transfer_tree trees[1 + FILE_SETS_MAX] = {
		{ .tree = { .name = "memory", .place = { .path = "" }, .ahead = { .dir = -1 } },
		  .done = memory_sent,
		  .ctx = m },
	};
	r = memory_place(m, &trees[0].tree.place.dir, err);
	if (r < 0)
		return r;
	count = 1 + file_sets_outgoing(&m->sets, trees + 1);
	trees[count - 1].done = files_sent;
	trees[count - 1].ctx = m;
	if (m->order.hold)
		tls_stream_set_deadline(m->stream, source_held_ms(m->cut_bytes));
	r = source_tell_cut(m, err);
	if (r == 0)
		r = source_trees(m, TRANSFER_STREAM, trees, count, err);
	tls_stream_set_deadline(m->stream, 0);
	return r;
}
