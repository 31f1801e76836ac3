/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The image on its way (C-Migr), the source's side: before the cut, while the service is untouched
 *
 * The engine saves the image, and the layers that are missing there are sent, the lowest first. See
 * destination/image.c for the other side.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "es/engine/docker_engine.h"
#include "es/files/layer_node.h"
#include "es/image/arrival.h"
#include "es/image/pack.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/work.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/worker/file_worker.h"
#include "net/tls_stream.h"

static ssize_t save_read(void *ctx, const void **bytes, struct err *err)
{
	return docker_stream_read(ctx, bytes, err);
}

/** saved_unpack() - Have a file worker take apart what the engine saves */
static int saved_unpack(struct migration *m, struct docker_engine *engine, struct err *err)
{
	AUTO(file_worker) struct file_worker *files = NULL; /* of this thread */
	AUTO(docker_stream) struct docker_stream *saved = NULL;
	struct file_extracting how = { .max_bytes = m->mc->config.max_bytes, .source = save_read };
	struct file_place to = { .path = "" };
	const char *id = json_text(m->plan, "image", "id", NULL);
	json_t *info = NULL;
	int r = docker_engine_info(engine, &info, err);
	/* containerd's ids are not those of configurations */
	const char *expected = docker_engine_containerd(info) ? "" : id;

	json_decref(info);
	if (r < 0)
		return r;
	r = file_worker_start(&files, m->mc->config.workers, m->cancel_fd, err);

	if (r < 0)
		return r;
	to.dir = file_worker_directory(files, m->out->departure, true, err);
	if (to.dir < 0)
		return to.dir;
	r = docker_engine_save(engine, id, &saved, err);
	how.ctx = saved;
	return r < 0 ? r
		     : file_worker_image(files, to, expected, migration_plan_layers(m->plan), &how,
					 err);
}

/** departure_make() - Have the engine save the image, by its id: the destination gives the names */
static int departure_make(struct migration *m, struct docker_engine *engine, struct err *err)
{
	int r;

	if (snprintf(m->out->departure, sizeof(m->out->departure),
		     "%s/" IMAGE_DEPARTURE "%016" PRIx64, m->mc->config.image_dir,
		     m->session) >= (int)sizeof(m->out->departure))
		return err_set(err, -ENAMETOOLONG, "%s", m->mc->config.image_dir);
	r = migration_space(m->mc->config.image_dir,
			    (uint64_t)json_integer_value(json_at(m->plan, "image", "size", NULL)),
			    "image", err);
	if (r < 0)
		return r;
	if (mkdir(m->out->departure, 0700) < 0)
		return err_set(err, -errno, "create %s", m->out->departure);
	return saved_unpack(m, engine, err);
}

/** struct image_saving - The engine saves the image; a thread takes it apart */
struct image_saving {
	struct migration *m;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;
	int r;
	struct err err;
};

static void *saving_run(void *arg)
{
	struct image_saving *is = arg;

	AUTO(docker_engine) struct docker_engine *engine = NULL;
	is->r = migration_engine(&engine, is->m->mc, is->m->cancel_fd, &is->err);
	if (is->r == 0)
		is->r = departure_make(is->m, engine, &is->err);
	(void)pthread_mutex_lock(&is->lock);
	is->ended = true;
	(void)pthread_cond_broadcast(&is->changed);
	(void)pthread_mutex_unlock(&is->lock);
	return NULL;
}

int source_image_begin(struct migration *m, struct err *err)
{
	struct image_saving *is = calloc(1, sizeof(*is));
	int r;

	if (!is)
		return err_set(err, -ENOMEM, "save the image");
	is->m = m;
	(void)pthread_mutex_init(&is->lock, NULL);
	(void)pthread_cond_init(&is->changed, NULL);
	r = pthread_create(&is->thread, NULL, saving_run, is);
	if (r) {
		free(is);
		return err_set(err, -r, "start a thread");
	}
	m->out->saving = is;
	return 0;
}

static int say_nothing(struct migration *m, struct err *err)
{
	return transfer_send_nothing(m->stream, &m->header, err);
}

/** saving_end() - Wait for the thread; the destination would take our silence for the end */
static int saving_end(struct migration *m, bool tell, struct err *err)
{
	struct image_saving *is = TAKE_PTR(m->out->saving);
	int r;

	(void)pthread_mutex_lock(&is->lock);
	r = migration_tell_until(m, &is->lock, &is->changed, &is->ended, tell ? say_nothing : NULL,
				 err);
	(void)pthread_mutex_unlock(&is->lock);
	(void)pthread_join(is->thread, NULL);
	if (r == 0 && is->r < 0) {
		*err = is->err;
		r = is->r;
	}
	(void)pthread_mutex_destroy(&is->lock);
	(void)pthread_cond_destroy(&is->changed);
	free(is);
	return r;
}

/* Writes the layers that are missing. */
static int departure_send(void *ctx, archive_sink sink, void *sink_ctx, struct err *err)
{
	struct migration *m = ctx;

	auto_close int dirfd = open(m->out->departure, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_set(err, -errno, "open %s", m->out->departure);
	return image_departure_send(dirfd, m->layers_here, m->bytes_here,
				    migration_plan_layers(m->plan), sink, sink_ctx, &m->image_bytes,
				    err);
}

/** image_send() - Send the missing layers of the image */
static int image_send(struct migration *m, struct err *err)
{
	uint64_t began = monotonic_us();
	uint64_t sent = 0;
	int r = m->out->saving ? 0 : source_image_begin(m, err);

	if (r == 0)
		r = saving_end(m, true, err);
	uint64_t saved = monotonic_us();

	if (r == 0)
		r = transfer_send_stream(m->stream, &m->header, departure_send, m,
					 m->mc->config.compression, &sent, err);
	if (r == 0)
		r = source_flush(m, err);
	source_learn_reason(m, r, err);
	if (r < 0)
		return r;
	source_image_undo(m);
	migration_stage_done(m, "IMAGE",
			     "kind=image sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64
			     " layers_sent=%zu layers_here=%zu bytes_here=%" PRIu64
			     " save_us=%" PRIu64,
			     sent, m->image_bytes, migration_plan_layers(m->plan) - m->layers_here,
			     m->layers_here, m->bytes_here, saved - began);
	return 0;
}

int source_image(struct migration *m, struct err *err)
{
	uint64_t waiting = monotonic_us();
	bool sent = false;
	int r = 0;

	/*
	 * While its engine pulls or loads the image the destination reports every few seconds that it
	 * still does. If a registry fails it, it may come back to us.
	 */
	while (r == 0 && m->image_wanted) {
		if (m->image_source == IMAGE_FROM_SOURCE && !sent) {
			r = image_send(m, err);
			sent = true;
			waiting = monotonic_us();
		}
		if (r == 0)
			r = source_accepted(m, (int)m->mc->config.idle_ms, err);
		if (r == 0 && monotonic_us() - waiting > MIGRATION_IMAGE_MS * 1000ull)
			r = err_set(err, -ETIMEDOUT, "wait for %s to have the image",
				    m->order.to_es);
	}
	return r;
}

void source_image_undo(struct migration *m)
{
	/* It ends at once if the migration was cancelled, and soon if not. */
	if (m->out->saving)
		(void)saving_end(m, false, &(struct err){ 0 });
	if (m->out->departure[0])
		(void)layer_path_remove(m->out->departure, NULL);
	m->out->departure[0] = '\0';
}
