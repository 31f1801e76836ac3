/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The source's side of protection: a cut is taken as for a migration and kept; later it goes to this same edge
 * server as if it came from another one, so all that a destination checks is checked then
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "es/checkpoint/checkpoint.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/work.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/protection/kept_cuts.h"
#include "es/worker/file_worker.h"

#define MEMORY "memory" /* of a kept cut, beside the roots of the file sets */

int source_keep_prepare(struct migration *m, struct err *err)
{
	json_t *image = NULL;
	int r = migration_engine(&m->engine, m->mc, m->cancel_fd, err);

	m->out->puts_back = true; /* the destination will be this program, or a later one */
	if (r == 0)
		r = source_look(m, &image, err);
	if (r == 0)
		r = source_work(m, err);
	if (r == 0)
		r = source_layer(m, err);
	if (r == 0)
		r = source_plan(m, image, 0, m->out->layer_stats.bytes, err);
	json_decref(image);
	return r;
}

/** copy_in() - Copy a directory of the worker's to one that is made below @to */
static int copy_in(struct migration *m, struct file_place from, const char *to, const char *name,
		   struct err *err)
{
	struct layer_stats stats;
	char path[PATH_MAX + 32];
	int copy;

	(void)snprintf(path, sizeof(path), "%s/%s", to, name);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	struct file_place place = { file_worker_directory(m->files, path, true, err), "" };
	if (place.dir < 0)
		return place.dir;
	copy = file_worker_layer_new(m->files, from, place, "", m->mc->config.max_bytes, err);
	return copy < 0 ? copy : file_worker_layer_update(m->files, copy, false, &stats, err);
}

/** keep_write() - Copy memory and files of the cut to the directory @to */
static int keep_write(struct migration *m, const char *to, struct err *err)
{
	struct file_place memory = {
		file_worker_directory(m->files, checkpoint_images(m->out->checkpoint), false, err), ""
	};
	int r = memory.dir < 0 ? memory.dir : copy_in(m, memory, to, MEMORY, err);

	for (size_t i = 0; r == 0 && i < m->sets.count; i++)
		r = copy_in(m, m->sets.tree[i].place, to, m->sets.tree[i].root, err);
	return r;
}

int source_keep(struct migration *m, struct err *err)
{
	const char *dir = m->mc->config.protect_dir;
	uint64_t began = monotonic_us();
	char part[PATH_MAX];
	int r = migration_space(dir, m->cut.bytes + m->out->layer_stats.bytes, "a cut", err);

	if (r == 0)
		r = kept_cuts_begin(part, dir, m->session, m->number, err);
	if (r < 0)
		return r;
	r = keep_write(m, part, err);
	if (r == 0)
		r = migration_rest(m, 0, err); /* unless it was cancelled meanwhile */
	if (r == 0)
		r = kept_cuts_finish(dir, m->session, m->number, m->plan, err);
	if (r < 0)
		kept_cuts_abandon(dir, m->session, m->number);
	else
		migration_stage_done(m, "CUT",
				     "freeze_us=%" PRIu64 " memory_bytes=%" PRIu64
				     " layer_bytes=%" PRIu64 " keep_us=%" PRIu64
				     " total_us=%" PRIu64,
				     m->cut.freeze_us, m->cut.bytes, m->out->layer_stats.bytes,
				     monotonic_us() - began, monotonic_us() - m->began_us);
	return r;
}

/** kept_sets() - Have the worker read the kept files where they are */
static int kept_sets(struct migration *m, const char *path, struct err *err)
{
	char below[PATH_MAX + 32];
	int r = file_sets_expect(&m->sets, m->plan, err);

	for (size_t i = 0; r == 0 && i < m->sets.count; i++) {
		(void)snprintf(below, sizeof(below), "%s/%s", path, m->sets.tree[i].root);
		m->sets.tree[i].place =
			(struct file_place){ file_worker_directory(m->files, below, false, err),
					     "" };
		if (m->sets.tree[i].place.dir < 0)
			r = m->sets.tree[i].place.dir;
	}
	return r;
}

/** engine_answers() - Whether a container could be made at all: an engine that restarts takes them along */
static int engine_answers(struct migration *m, struct err *err)
{
	json_t *nothing = NULL;
	int r = migration_engine(&m->engine, m->mc, m->cancel_fd, err);

	if (r == 0)
		r = docker_engine_inspect(m->engine, "baton-no-such-container", &nothing, err);
	json_decref(nothing);
	m->out->away = r < 0;
	return r < 0 ? r : 0;
}

int source_recover_prepare(struct migration *m, struct err *err)
{
	const char *dir = m->mc->config.protect_dir;
	char path[PATH_MAX];
	int r;

	m->header.session = m->session;
	m->header.association = m->order.association;
	m->header.epoch = m->order.epoch;
	m->number = m->order.cut;
	r = engine_answers(m, err);
	if (r == 0)
		r = kept_cuts_path(path, dir, m->session, m->number, err);
	if (r == 0)
		r = kept_cuts_plan(&m->plan, dir, m->session, m->number, err);
	if (r == 0)
		r = file_worker_start(&m->files, m->mc->config.workers, m->cancel_fd, err);
	if (r == 0)
		r = kept_sets(m, path, err);
	if (r == 0 && snprintf(m->out->kept, sizeof(m->out->kept), "%s/" MEMORY, path) >=
			      (int)sizeof(m->out->kept))
		r = err_set(err, -ENAMETOOLONG, "%s", path);
	return r < 0 ? r : source_offer(m, err);
}
