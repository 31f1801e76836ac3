/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The destination's side of a migration: ES-y, where CT-y(m) shall stand. One function a stage.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "es/checkpoint/checkpoint.h"
#include "es/checkpoint/forgotten.h"
#include "es/container/check.h"
#include "es/engine/docker_engine.h"
#include "es/files/beneath.h"
#include "es/image/expiry.h"
#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/transfer.h"
#include "es/migration/common/work.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"
#include "es/worker/file_worker.h"

struct incoming *incoming_new(void)
{
	return calloc(1, sizeof(struct incoming));
}

struct incoming *incoming_free(struct incoming *in)
{
	if (in) {
		json_decref(in->ulimits);
		free(in->offer_plan);
		free(in);
	}
	return NULL;
}

int destination_begin(struct migration *m, char image[256], struct err *err)
{
	int r = destination_offer(m, err);

	if (r == 0)
		r = migration_ask_offer(m, err);
	if (r == 0)
		r = migration_engine(&m->engine, m->mc, m->cancel_fd, err);
	if (r == 0)
		r = destination_judge(m, err);
	return r < 0 ? r : destination_find_image(m, image, err);
}

int destination_prepare(struct migration *m, struct err *err)
{
	char image[256];
	int r = destination_begin(m, image, err);

	if (r >= 0)
		r = r ? destination_want_image(m, err) : destination_make(m, image, err);
	return r < 0 ? r : destination_accept(m, err);
}

void destination_clean(struct migration *m)
{
	destination_ahead_undo(m);
	if (m->in->staged)
		(void)file_worker_remove(m->mc->config.workers, m->work, NULL);
	m->in->staged = false;
}

void destination_prepare_undo(struct migration *m)
{
	AUTO(docker_engine) struct docker_engine *engine = NULL;
	struct err err = { 0 };

	/* First the container: nothing may be restored from files that are half removed. */
	if (m->in->id[0] && migration_engine(&engine, m->mc, -1, &err) == 0 &&
	    docker_engine_remove(engine, m->in->id, &err) == 0)
		m->in->id[0] = '\0';
	destination_clean(m);
	destination_image_undo(m);
}

/**
 * ahead_place() - Make the directory for the pre-copies
 *
 * If the image is still to come there is no CT-y to lie beside. The directory is in the engine's, where
 * CT-y will be. After a crash image/expiry.c removes it.
 */
static int ahead_place(struct migration *m, struct err *err)
{
	if (snprintf(m->in->ahead, sizeof(m->in->ahead), "%s/" IMAGE_AHEAD "XXXXXX",
		     m->docker_root) >= (int)sizeof(m->in->ahead))
		return err_set(err, -ENAMETOOLONG, "%s", m->docker_root);
	/* A name of its own: remains of a crash, or of an attempt that still ends, are not in the way. */
	if (!mkdtemp(m->in->ahead))
		return err_set(err, -errno, "create %s", m->in->ahead);
	m->in->ahead_made = true;
	return 0;
}

/* The layer comes twice: as it is while the service runs, then as it was at the cut. The second time
 * unchanged files are only named. */
int destination_ahead(struct migration *m, struct err *err)
{
	struct file_tree to[FILE_SETS_MAX];
	int r = ahead_place(m, err);

	destination_enter(m, INCOMING_AHEAD);
	if (r == 0)
		r = file_sets_ahead(&m->sets, m->files, to, m->in->ahead, err);
	if (r == 0)
		r = transfer_receive(m->stream, TRANSFER_STREAM, &m->header, m->files, to,
				     m->sets.count, m->mc->config.max_bytes, err);
	return r;
}

void destination_ahead_undo(struct migration *m)
{
	file_sets_forget(&m->sets, m->mc->config.workers);
	if (m->in->ahead_made)
		(void)rmdir(m->in->ahead);
	m->in->ahead_made = false;
}

int destination_receive(struct migration *m, struct err *err)
{
	struct file_tree to[1 + FILE_SETS_MAX] = {
		{ .name = "memory", .place = { .path = "" }, .ahead = { .dir = -1 }, .plain = true }
	};
	char path[PATH_MAX + 16];
	int r;

	destination_enter(m, INCOMING_CHUNKS);
	(void)snprintf(path, sizeof(path), "%s/images", m->work);
	to[0].place.dir = file_worker_directory(m->files, path, true, err);
	r = to[0].place.dir < 0 ? to[0].place.dir : file_sets_into(&m->sets, m->files, to + 1, err);
	if (r == 0)
		r = transfer_receive(m->stream, TRANSFER_STREAM, &m->header, m->files, to,
				     1 + m->sets.count, m->mc->config.max_bytes, err);
	if (r == 0)
		r = destination_memory_whole(m, to[0].place, err);
	if (r == 0)
		r = destination_judge_checkpoint(m, path, err);
	if (r == 0) /* the worker that had them has ended */
		r = file_sets_unspoilt(&m->sets, err);
	m->in->received_us = monotonic_us();
	return r;
}

/** put_back() - Give the restored container what CRIU has forgotten, see forgotten.h */
static int put_back(struct migration *m, struct err *err)
{
	char path[PATH_MAX + 16];
	size_t count;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/images", m->work);
	auto_close int images = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = images < 0 ? -1 : beneath_regular(images, FORGOTTEN_FILE, O_RDONLY);
	if (fd < 0)
		return 0; /* nothing was forgotten */
	auto_free char *text = malloc(FORGOTTEN_MAX + 1);
	auto_free pid_t *pids = container_processes(migration_init(m), &count);
	if (!text || !pids)
		return err_set(err, -ENOMEM, "put back what CRIU forgets");
	n = read(fd, text, FORGOTTEN_MAX);
	if (n < 0)
		return err_set(err, -errno, "read " FORGOTTEN_FILE);
	text[n] = '\0';
	size_t failed = forgotten_put_back(text, pids, count);
	if (failed)
		migration_stage_done(m, "NOT PUT BACK", "settings=%zu", failed);
	return 0;
}

int destination_restore(struct migration *m, struct err *err)
{
	char log[PATH_MAX + 32];
	char reason[256];
	int r = docker_engine_start(m->engine, m->in->id, err);

	if (r < 0 && r != -ECANCELED) {
		/* The engine's message is long and vague; CRIU's first error is the cause. */
		(void)snprintf(log, sizeof(log), "%s/work/restore.log", m->work);
		checkpoint_log_reason(log, reason, sizeof(reason));
		if (*reason)
			return err_set(err, -EPROTO, "CRIU: %s", reason);
	}
	if (r == 0)
		r = destination_prove_restored(m, err);
	if (r == 0)
		r = destination_prove_kernel(m, err);
	/* Only now is it proved that these processes are the copy's. */
	if (r == 0)
		r = put_back(m, err);
	if (r == 0)
		migration_stage_done(m, "T5", "restore_us=%" PRIu64 " cut=%" PRIu64,
				     monotonic_us() - m->in->received_us, m->number);
	return r;
}
