/* SPDX-License-Identifier: Apache-2.0 */
#include "es/image/expiry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/engine/docker_engine.h"
#include "es/files/beneath.h"
#include "es/files/layer_node.h"
#include "es/image/arrival.h"
#include "es/worker/file_worker.h"

#define LOOK_MS_MIN 500
#define LOOK_MS_MAX 60000

/**
 * struct image_expiry - See image/expiry.h
 * @began:	when the program did: an older file is a predecessor's
 * @working:	a thread of the pool looks
 */
struct image_expiry {
	uv_timer_t timer;
	uv_work_t work;
	const char *dir;
	const char *docker_socket;
	struct file_workers *workers;
	uint64_t age_ms;
	struct timespec began;
	bool working;
	bool timer_closed;
	void (*closed)(void *ctx);
	void *ctx;
};

/** directory_prepare() - Make it private; remove the layers that we were about to send */
static int directory_prepare(const char *path, struct err *err)
{
	const struct dirent *entry;
	struct stat st;
	int r = 0;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "create %s", path);
	DIR *dir = opendir(path);
	if (!dir || fstat(dirfd(dir), &st) < 0)
		r = err_set(err, -errno, "open %s", path);
	else if (st.st_uid != geteuid() || (st.st_mode & 077))
		r = err_set(err, -EINVAL, "%s must be ours alone (mode 0700)", path);
	while (r == 0 && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, IMAGE_DEPARTURE, strlen(IMAGE_DEPARTURE)))
			r = layer_tree_remove(dirfd(dir), entry->d_name, err);
	if (dir)
		(void)closedir(dir);
	return r;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/** ahead_remove() - Remove layers that waited for their image when a predecessor crashed */
static void ahead_remove(const struct image_expiry *ie, const char *root)
{
	char path[PATH_MAX];
	DIR *dir = opendir(root);
	const struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, IMAGE_AHEAD, strlen(IMAGE_AHEAD)) == 0 &&
		    beneath_stat(dirfd(dir), entry->d_name, &st) == 0 &&
		    is_before(&st.st_ctim, &ie->began) &&
		    snprintf(path, sizeof(path), "%s/%s", root, entry->d_name) < (int)sizeof(path))
			(void)file_worker_remove(ie->workers, path, NULL);
	if (dir)
		(void)closedir(dir);
}

static void look(uv_work_t *work)
{
	const struct image_expiry *ie = work->data;
	AUTO(docker_engine) struct docker_engine *engine = NULL;
	json_t *info = NULL;

	if (docker_engine_new(&engine, ie->docker_socket, -1, NULL) < 0)
		return;
	(void)image_arrival_expire(ie->dir, ie->age_ms, engine);
	if (docker_engine_info(engine, &info, NULL) == 0)
		ahead_remove(ie, json_text(info, "DockerRootDir", NULL));
	json_decref(info);
}

/** release() - When neither timer nor thread is left */
static void release(struct image_expiry *ie)
{
	void (*closed)(void *ctx) = ie->closed;
	void *ctx = ie->ctx;

	if (!ie->timer_closed || ie->working)
		return;
	free(ie);
	if (closed)
		closed(ctx);
}

static void looked(uv_work_t *work, int status)
{
	struct image_expiry *ie = work->data;

	(void)status;
	ie->working = false;
	release(ie);
}

static void timer_cb(uv_timer_t *timer)
{
	struct image_expiry *ie = timer->data;

	if (!ie->working)
		ie->working = uv_queue_work(timer->loop, &ie->work, look, looked) == 0;
}

static void timer_closed(uv_handle_t *handle)
{
	struct image_expiry *ie = handle->data;

	ie->timer_closed = true;
	release(ie);
}

int image_expiry_new(struct image_expiry **ret, uv_loop_t *loop, const char *dir,
		     const char *docker_socket, struct file_workers *workers, uint64_t age_ms,
		     struct err *err)
{
	uint64_t every = age_ms / 2;
	int r = directory_prepare(dir, err);

	if (r < 0)
		return r;
	struct image_expiry *ie = calloc(1, sizeof(*ie));
	if (!ie)
		return err_set(err, -ENOMEM, "image expiry");
	ie->dir = dir;
	ie->docker_socket = docker_socket;
	ie->workers = workers;
	ie->age_ms = age_ms;
	(void)clock_gettime(CLOCK_REALTIME, &ie->began);
	ie->timer.data = ie;
	ie->work.data = ie;
	every = every < LOOK_MS_MIN ? LOOK_MS_MIN : every > LOOK_MS_MAX ? LOOK_MS_MAX : every;
	(void)uv_timer_init(loop, &ie->timer);
	(void)uv_timer_start(&ie->timer, timer_cb, 0, every);
	*ret = ie;
	return 0;
}

void image_expiry_close(struct image_expiry *ie, void (*closed)(void *ctx), void *ctx)
{
	ie->closed = closed;
	ie->ctx = ctx;
	uv_close((uv_handle_t *)&ie->timer, timer_closed);
}
