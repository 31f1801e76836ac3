/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The image on its way (C-Migr), the destination's side: before the cut, while the service is untouched
 *
 * Layers are kept on disk and verified, and the engine loads those that are complete while the next one
 * comes. After a failure the next attempt continues with the bytes received.
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "es/container/grant.h"
#include "es/engine/docker_engine.h"
#include "es/image/arrival.h"
#include "es/image/pack.h"
#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/transfer.h"
#include "es/migration/common/work.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"
#include "es/worker/file_worker.h"

#define IMAGES_MAX 256 /* images looked at for layers that need not come */

/* --- what is here, what is wanted --------------------------------------------------------------- */

/** layers_find() - How many of the layers are in the engine, and the bytes they have at least */
static int layers_find(struct migration *m, uint64_t *bytes, struct err *err)
{
	json_t *images = NULL;
	json_t *one;
	size_t i;
	int r;

	/* containerd's image store knows layers by the digests that they had on their way there */
	if (m->in->containerd)
		return 0;
	r = docker_engine_images(m->engine, &images, err);

	json_array_foreach(images, i, one)
	{
		json_t *image = NULL;

		if (r < 0 || i >= IMAGES_MAX)
			break;
		r = docker_engine_image(m->engine, json_text(one, "Id", NULL), &image, err);
		if (r == 0) {
			size_t here = migration_plan_layers_here(m->plan, image);
			uint64_t size =
				(uint64_t)json_integer_value(json_object_get(image, "Size"));

			if (here > m->layers_here)
				m->layers_here = here;
			/* an image made of our layers only: its size is theirs */
			if (here == json_array_size(json_at(image, "RootFS", "Layers", NULL)) &&
			    size > *bytes)
				*bytes = size;
		}
		r = r > 0 ? 0 : r; /* gone meanwhile */
		json_decref(image);
	}
	json_decref(images);
	return r;
}

/**
 * room_check() - Is there room for the rest?
 *
 * The rest lies in a file of ours. The engine unpacks it, then makes layers of it. All three need
 * room.
 */
static int room_check(struct migration *m, uint64_t bytes, struct err *err)
{
	struct stat ours;
	struct stat engines;
	bool one = stat(m->mc->config.image_dir, &ours) == 0 &&
		   stat(m->docker_root, &engines) == 0 && ours.st_dev == engines.st_dev;
	int r = 0;

	if (bytes > m->mc->config.max_bytes)
		return err_set(err, -EFBIG, "the image has %" PRIu64 " MB", bytes >> 20);
	if (!one)
		r = migration_space(m->mc->config.image_dir, bytes, "image", err);
	return r < 0 ? r : migration_space(m->docker_root, (one ? 3 : 2) * bytes, "image", err);
}

int destination_want_image(struct migration *m, struct err *err)
{
	uint64_t bytes = (uint64_t)json_integer_value(json_at(m->plan, "image", "size", NULL));
	uint64_t here = 0;
	int r = layers_find(m, &here, err);

	if (r == 0)
		r = image_arrival_new(&m->in->arrival, m->mc->config.image_dir,
				      json_text(m->plan, "image", "id", NULL),
				      json_at(m->plan, "image", "layers", NULL), m->in->containerd,
				      err);
	if (r < 0)
		return r;
	m->image_wanted = true;
	m->bytes_here = image_arrival_bytes(m->in->arrival, m->layers_here);
	here += m->bytes_here;
	bytes = bytes > here ? bytes - here : 0;
	r = room_check(m, bytes, err);
	return r < 0 ? r : destination_choose_source(m, bytes, err);
}

/* --- receive and load --------------------------------------------------------------------------- */

/**
 * struct image_loading - Layers are loaded by a thread of their own while others come
 * @lock:	guards what follows
 * @came:	layers that are here
 * @coming:	the one after them: @bytes of @length are here; @length is 0 before it begins
 * @loaded:	layers that the engine has
 * @last:	no more will come
 * @ended:	the thread is done, with @r
 */
struct image_loading {
	struct migration *m;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t came;
	uint64_t bytes;
	uint64_t length;
	size_t loaded;
	bool last;
	bool ended;
	int r;
	struct err err;
};

/**
 * loading_next() - Wait for layers to load
 * @il:		Loading
 * @growing:	Its length is set if the highest of them is still coming, else 0
 *
 * Those that have come meanwhile are loaded at once. If there are none, the engine may have the next
 * one while it comes: it makes a copy of it first. With containerd's image store all are loaded at the end.
 *
 * Return: how many layers it is to have then, 0: that was all
 */
static size_t loading_next(struct image_loading *il, struct image_growing *growing)
{
	size_t all = migration_plan_layers(il->m->plan);
	size_t layers;

	(void)pthread_mutex_lock(&il->lock);
	while ((il->came == il->loaded && !il->length && !il->last) ||
	       (il->m->in->containerd && il->came < all && !il->last))
		(void)pthread_cond_wait(&il->changed, &il->lock);
	if (il->m->in->containerd && il->came < all) /* it broke off */
		il->came = il->loaded;
	growing->length = il->came == il->loaded && !il->last ? il->length : 0;
	layers = il->came > il->loaded ? il->came : growing->length ? il->came + 1 : 0;
	(void)pthread_mutex_unlock(&il->lock);
	return layers;
}

/* Waits for more of the layer after those that the engine has. */
static int loading_wait(void *ctx, uint64_t have, struct err *err)
{
	struct image_loading *il = ctx;
	bool good;

	(void)pthread_mutex_lock(&il->lock);
	while (il->came == il->loaded && !il->last && (il->bytes <= have || have == il->length))
		(void)pthread_cond_wait(&il->changed, &il->lock);
	good = il->came > il->loaded || (il->bytes > have && !il->last);
	(void)pthread_mutex_unlock(&il->lock);
	return good ? 0 : err_set(err, -ECANCELED, "the rest of the layer did not come");
}

static void loading_tell(struct image_loading *il, size_t loaded, bool ended)
{
	(void)pthread_mutex_lock(&il->lock);
	il->loaded = loaded;
	il->ended = ended;
	(void)pthread_cond_broadcast(&il->changed);
	(void)pthread_mutex_unlock(&il->lock);
}

static void *loading_run(void *arg)
{
	struct image_loading *il = arg;
	struct image_growing growing = { .wait = loading_wait, .ctx = il };
	struct migration *m = il->m;
	size_t loaded = il->loaded;
	size_t layers;

	AUTO(docker_engine) struct docker_engine *engine = NULL;
	il->r = migration_engine(&engine, m->mc, m->cancel_fd, &il->err);
	while (il->r == 0 && (layers = loading_next(il, &growing)) > 0) {
		il->r = image_arrival_load(m->in->arrival, engine, loaded, layers,
					   growing.length ? &growing : NULL, &il->err);
		if (il->r == 0)
			loaded = layers;
		loading_tell(il, loaded, false);
	}
	loading_tell(il, loaded, true);
	return NULL;
}

/* There is more of the layer that is coming. */
static void loading_grown(void *ctx, size_t layer, uint64_t bytes, uint64_t length)
{
	struct image_loading *il = ctx;

	(void)layer;
	(void)pthread_mutex_lock(&il->lock);
	il->bytes = bytes;
	il->length = length;
	(void)pthread_cond_broadcast(&il->changed);
	(void)pthread_mutex_unlock(&il->lock);
}

/* A layer is complete. */
static void loading_came(void *ctx, size_t layers)
{
	struct image_loading *il = ctx;

	(void)pthread_mutex_lock(&il->lock);
	il->came = layers;
	il->bytes = 0;
	il->length = 0;
	(void)pthread_cond_broadcast(&il->changed);
	(void)pthread_mutex_unlock(&il->lock);
}

/** loading_end() - Say that no more layers come, and wait for the thread */
static int loading_end(struct image_loading *il, bool tell, struct err *err)
{
	int r;

	(void)pthread_mutex_lock(&il->lock);
	il->last = true;
	(void)pthread_cond_broadcast(&il->changed);
	r = migration_tell_until(il->m, &il->lock, &il->changed, &il->ended,
				 tell ? destination_accept : NULL, err);
	(void)pthread_mutex_unlock(&il->lock);
	(void)pthread_join(il->thread, NULL);
	if (r == 0 && il->r < 0) {
		*err = il->err;
		r = il->r;
	}
	return r;
}

/* Takes the stream's contents. */
static int layers_take(void *ctx, archive_source source, void *source_ctx, struct err *err)
{
	struct image_loading *il = ctx;
	const struct image_receipt receipt = {
		.first = il->m->layers_here,
		.max_bytes = il->m->mc->config.max_bytes,
		.grown = loading_grown,
		.came = loading_came,
		.ctx = il,
	};

	return image_arrival_receive(il->m->in->arrival, &receipt, source, source_ctx, err);
}

/** image_load() - Take in the layers and have the engine load them */
static int image_load(struct migration *m, struct err *err)
{
	struct image_loading il = { .m = m, .came = m->layers_here, .loaded = m->layers_here };
	struct err why = { 0 };
	int r;
	int ended;

	(void)pthread_mutex_init(&il.lock, NULL);
	(void)pthread_cond_init(&il.changed, NULL);
	r = pthread_create(&il.thread, NULL, loading_run, &il);
	if (r)
		return err_set(err, -r, "start a thread");
	incoming_enter(m->stream, INCOMING_IMAGE, m->mc->config.max_bytes);
	r = transfer_receive_stream(m->stream, m->session, m->files, layers_take, &il,
				    m->mc->config.max_bytes, err);
	ended = loading_end(&il, r == 0, &why);
	/* Which came first: a layer that cannot be loaded is no reason to stop receiving the others. */
	if (r == 0 && ended < 0) {
		*err = why;
		r = ended;
	}
	if (r == 0 &&
	    m->layers_here ==
		    migration_plan_layers(m->plan)) /* its layers were those of other images */
		r = image_arrival_load(m->in->arrival, m->engine, m->layers_here, m->layers_here,
				       NULL, err);
	(void)pthread_mutex_destroy(&il.lock);
	(void)pthread_cond_destroy(&il.changed);
	return r;
}

/** image_loaded() - Remember the engine's id of the image that has come */
static int image_loaded(struct migration *m, struct err *err)
{
	const char *loaded = image_arrival_loaded(m->in->arrival);

	if (m->image_source == IMAGE_FROM_REGISTRY)
		return 0; /* see destination_pull() */
	if (!*loaded)
		return err_set(err, -EPROTO, "the image did not come whole");
	(void)snprintf(m->in->image_id, sizeof(m->in->image_id), "%s", loaded);
	(void)snprintf(m->in->image_digest, sizeof(m->in->image_digest), "sha256:%s",
		       image_arrival_digest(m->in->arrival));
	return 0;
}

/** image_name() - Give the image those of its names that are granted, and take none from another image */
static int image_name(struct migration *m, struct err *err)
{
	json_t *tag;
	size_t i;
	int r;

	json_array_foreach(json_at(m->plan, "image", "tags", NULL), i, tag)
	{
		const char *name = json_string_value(tag);
		json_t *other = NULL;

		if (!name)
			return err_set(err, -EPROTO, "a name of the image is no text");
		/* The next container here is made from the image of this name. */
		if (!container_grant_name(m->grant, m->in->image_digest, name))
			continue;
		r = docker_engine_image(m->engine, name, &other, err);
		json_decref(other);
		if (r > 0)
			r = docker_engine_tag(m->engine, m->in->image_id, name, err);
		if (r != 0)
			return r < 0 ? r : err_set(err, -ENOENT, "the image that was loaded");
	}
	return 0;
}

/** image_verify() - Has the engine the image of the plan now? Set the name it is found by */
static int image_verify(struct migration *m, char name[256], struct err *err)
{
	json_t *image = NULL;
	int r = image_loaded(m, err);

	if (r == 0)
		r = docker_engine_image(m->engine, m->in->image_id, &image, err);
	if (r > 0)
		r = err_set(err, -EPROTO, "what was loaded is not the image");
	if (r == 0)
		r = migration_plan_fits_image(m->plan, image, err);
	json_decref(image);
	if (r == 0)
		r = image_name(m, err);
	if (r == 0)
		r = destination_find_image(m, name, err);
	return r > 0 ? err_set(err, -ENOENT, "the image that was loaded") : r;
}

int destination_image(struct migration *m, struct err *err)
{
	uint64_t began = monotonic_us();
	char name[256];
	int r = 0;

	if (!m->image_wanted)
		return 0;
	if (m->image_source == IMAGE_FROM_REGISTRY)
		r = destination_pull(m, err);
	if (r == 0 && m->image_source == IMAGE_FROM_SOURCE)
		r = image_load(m, err);
	if (r == 0)
		r = image_verify(m, name, err);
	if (r < 0)
		return r;
	uint64_t took = monotonic_us() - began;
	if (m->in->predicted_us)
		image_rates_learn(&m->mc->rates, m->image_source, m->in->predicted_us, took);
	image_arrival_remove(m->in->arrival, m->engine);
	m->in->arrival = image_arrival_free(m->in->arrival);
	r = destination_make(m, name, err);
	if (r < 0)
		return r;
	m->image_wanted = false;
	migration_stage_done(
		m, "IMAGE LOADED",
		"kind=image from=%s layers_here=%zu load_us=%" PRIu64 " predicted_us=%" PRIu64,
		image_source_name(m->image_source), m->layers_here, took, m->in->expected_us);
	return destination_accept(m, err);
}

void destination_image_undo(struct migration *m)
{
	AUTO(docker_engine) struct docker_engine *engine = NULL;

	if (m->in->arrival && !m->mc->config.arrival_ms &&
	    migration_engine(&engine, m->mc, -1, NULL) == 0)
		image_arrival_remove(m->in->arrival, engine);
	m->in->arrival = image_arrival_free(m->in->arrival);
}
