/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Stages - a migration's thread: Table 1 of the paper as tables, one for each profile
 */

#include "es/migration/stages.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "es/migration/common/notes.h"
#include "es/migration/destination/destination.h"
#include "es/migration/paper.h"
#include "es/migration/source/source.h"

/**
 * struct migration_stage - One step of Table 1's way
 * @name:	for error lines: "prepare" ...
 * @source:	the source's step, in its thread
 * @destination:	the destination's step meanwhile, in its own
 * @source_undo, @destination_undo:	give back what this stage took, also if it failed half-way
 *		or never began. The source's are called after a success, too: CT-x is not touched by
 *		them (R3). The destination's last stage is its point of no return: once it is done,
 *		CT-y belongs to the daemon and nothing is undone.
 */
struct migration_stage {
	const char *name;
	int (*source)(struct migration *m, struct err *err);
	int (*destination)(struct migration *m, struct err *err);
	void (*source_undo)(struct migration *m);
	void (*destination_undo)(struct migration *m);
};

/*
 * Table 1 of the paper, T1 to T5. T6 to T8 are the access points' (core/).
 *
 *            source (CT-x runs on)                    destination
 */
static const struct migration_stage stages[] = {
	/* check, plan, pre-copy the layer, offer         compare, create CT-y, not started */
	{ "prepare", source_prepare, destination_prepare, source_prepare_undo,
	  destination_prepare_undo },
	/* pre-copy of the layer                          keep it where CT-y's own layer will be */
	{ "ahead", source_ahead, destination_ahead, source_image_undo, destination_ahead_undo },
	/* C-Migr: the image's layers missing there       load them, create CT-y; else nothing */
	{ "image", source_image, destination_image, source_image_undo, NULL },
	/* stop-and-copy (R6): pre-copy of memory         keep it for pages that do not change */
	{ "memory", source_memory, destination_memory, source_memory_undo, NULL },
	/* T1 memory, T3 files, at one instant (R2)       learn its number */
	{ "cut", source_cut, destination_cut, source_cut_undo, NULL },
	/* T2, T4                                         write and verify while it comes */
	{ "send", source_send, destination_receive, NULL, NULL },
	/* wait for the word that CT-y stands             T5; point of no return here */
	{ "restore", source_confirm, destination_restore, NULL, NULL },
};

/* Protection: a cut is taken and kept. */
static const struct migration_stage keep_stages[] = {
	{ "prepare", source_keep_prepare, NULL, source_prepare_undo, NULL },
	{ "cut", source_cut, NULL, source_cut_undo, NULL },
	{ "keep", source_keep, NULL, NULL, NULL },
};

/* Recovery: a kept cut goes to this edge server, which takes it as any other. */
static const struct migration_stage recover_stages[] = {
	{ "prepare", source_recover_prepare, NULL, source_prepare_undo, NULL },
	{ "ahead", source_ahead, NULL, source_image_undo, NULL },
	{ "image", source_image, NULL, source_image_undo, NULL },
	{ "send", source_send, NULL, NULL, NULL },
	{ "restore", source_confirm, NULL, NULL, NULL },
};

/* The paper's stages; NULL: nothing to do meanwhile. */
static const struct migration_stage paper_stages[] = {
	{ "prepare", paper_source_prepare, paper_destination_prepare, paper_source_undo,
	  paper_destination_undo },
	{ "T1", paper_source_checkpoint, NULL, NULL, NULL },
	{ "T2", paper_source_send_checkpoint, paper_destination_checkpoint, NULL, NULL },
	{ "T3", paper_source_files, NULL, NULL, NULL },
	{ "T4", paper_source_send_files, paper_destination_files, NULL, NULL },
	{ "T5", source_confirm, paper_destination_restore, NULL, NULL },
};

/** struct way - A table of stages */
struct way {
	const struct migration_stage *stage;
	size_t stages;
};

static_assert(ARRAY_SIZE(stages) <= MIGRATION_STAGES_MAX, "all have a place in the metrics");
static_assert(ARRAY_SIZE(paper_stages) <= MIGRATION_STAGES_MAX, "likewise");

static const struct way ways[] = {
	[PROFILE_BATON] = { stages, ARRAY_SIZE(stages) },
	[PROFILE_PAPER] = { paper_stages, ARRAY_SIZE(paper_stages) },
};

static const struct way keep_way = { keep_stages, ARRAY_SIZE(keep_stages) };
static const struct way recover_way = { recover_stages, ARRAY_SIZE(recover_stages) };

static const struct way *way_of(const struct migration *m)
{
	if (m->is_source && m->order.purpose == MIGRATION_KEEP)
		return &keep_way;
	if (m->is_source && m->order.purpose == MIGRATION_RECOVER)
		return &recover_way;
	return &ways[m->mc->config.profile];
}

const char *migration_stage_name(enum migration_profile profile, size_t i)
{
	return i < ways[profile].stages ? ways[profile].stage[i].name : NULL;
}

/** stages_run() - Run all stages, then undo. Return: 0, or negative error code */
static int stages_run(struct migration *m)
{
	const struct way *way = way_of(m);
	size_t i;
	int r = 0;

	for (i = 0; i < way->stages && r == 0; i++) {
		const struct migration_stage *stage = &way->stage[i];
		int (*act)(struct migration *, struct err *) =
			m->is_source ? stage->source : stage->destination;
		uint64_t began = monotonic_us();

		m->stage = i;
		r = act ? act(m, &m->err) : 0;
		if (r < 0)
			r = err_wrap(&m->err, r, "%s", stage->name);
		m->stage_us[i] = monotonic_us() - began;
	}
	m->good = r == 0;
	(void)pthread_mutex_lock(&m->lock);
	if (!m->good && m->cancelled)
		(void)snprintf(m->err.text, sizeof(m->err.text), "%s", m->cancel_reason);
	(void)pthread_mutex_unlock(&m->lock);
	/* The source keeps nothing in either case, the destination what it has restored. */
	while (i-- > 0) {
		void (*undo)(struct migration *) =
			m->is_source ? way->stage[i].source_undo
				     : (m->good ? NULL : way->stage[i].destination_undo);

		if (undo)
			undo(m);
	}
	return r;
}

void *migration_run(void *arg)
{
	struct migration *m = arg;

	m->began_us = monotonic_us();
	if (m->is_source)
		migration_stage_done(m, "MIGRATION START", "to=%s container=%s", m->order.to_es,
				     m->order.container);
	(void)stages_run(m);
	if (!m->good && (m->is_source || m->session))
		migration_stage_done(m, "MIGRATION FAILED", "side=%s reason=%s",
				     m->is_source ? "source" : "destination", m->err.text);
	if (!m->is_source) {
		/*
		 * Remove the pre-copy first: the container would see it in the number of a file's
		 * links.
		 */
		if (m->good) {
			destination_ahead_undo(m);
			/* A user may be waiting: both sides are told before the checkpoint goes. */
			migration_note_send(migration_note_new(m, MIGRATION_NOTE_ARRIVED));
		}
		destination_report(m);
		destination_clean(m);
	}
	migration_note_send(migration_note_new(m, MIGRATION_NOTE_ENDED));
	return NULL;
}
