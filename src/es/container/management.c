/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Container Management - its beginning and its end
 *
 * Operations run on threads of pools (operations.c); one more thread follows the engine's events (watch.c). All of
 * them stop when @cancel_fd becomes readable. The end waits for the watcher, then for all operations and both
 * pools, and closes the queue to the loop last, since any of them may still put something into it.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "es/container/config.h"
#include "es/container/management_inner.h"
#include "es/engine/docker_engine.h"
#include "es/system/loop_queue.h"
#include "es/system/process.h"

#define CREATIONS   8 /* that the engine is asked for at a time */
#define REMOVALS    4 /* likewise; lists are among them */
#define WAITING_MAX 1024

/** engine_check() - Does the engine answer, and does it know our runtime? @data: where it keeps its data, owned */
static int engine_check(const struct container_config *config, char **data, struct err *err)
{
	AUTO(docker_engine) struct docker_engine *de = NULL;
	json_t *info = NULL;
	int r = docker_engine_new(&de, config->docker_socket, -1, err);

	if (r == 0)
		r = docker_engine_info(de, &info, err);
	if (r < 0)
		return r;
	if (!json_at(info, "Runtimes", config->runtime, NULL))
		r = err_set(err, -EINVAL,
			    "the Docker engine at %s knows no runtime '%s': register baton-runtime "
			    "under \"runtimes\" in its daemon.json",
			    config->docker_socket, config->runtime);
	const char *root = json_text(info, "DockerRootDir", NULL);
	if (r == 0 && root && *root)
		*data = strdup(root);
	json_decref(info);
	return r;
}

/** management_free() - Release the rest, when no thread, operation or queue is left */
static void management_free(struct container_management *cm)
{
	if (cm->cancel_fd >= 0)
		close(cm->cancel_fd);
	free(cm->socket);
	free(cm->runtime);
	free(cm->exec_root);
	free(cm->data);
	free(cm);
}

static void queue_closed(void *ctx)
{
	struct container_management *cm = ctx;
	void (*closed)(void *ctx) = cm->closed;
	void *closed_ctx = cm->closed_ctx;

	management_free(cm);
	if (closed)
		closed(closed_ctx);
}

/** close_step() - The queue goes when the last operation is back, and the threads are gone */
static void close_step(struct container_management *cm)
{
	/* Once: a callback that closes us is followed by another call of this. */
	if (cm->queue && !cm->pools && list_empty(&cm->operations))
		loop_queue_close(TAKE_PTR(cm->queue), queue_closed, cm);
}

int container_management_new(struct container_management **ret, uv_loop_t *loop,
			     const struct container_config *config, container_died_cb died,
			     container_seen_cb seen, void *ctx, struct err *err)
{
	auto_free char *data = NULL;
	int r = engine_check(config, &data, err);

	if (r < 0)
		return r;
	struct container_management *cm = calloc(1, sizeof(*cm));
	if (!cm)
		return err_set(err, -ENOMEM, "container management");
	cm->data = TAKE_PTR(data);
	cm->loop = loop;
	cm->died = died;
	cm->seen = seen;
	cm->ctx = ctx;
	cm->socket = strdup(config->docker_socket);
	cm->runtime = strdup(config->runtime);
	cm->exec_root = strdup(config->docker_exec_root ? config->docker_exec_root : "");
	cm->patience = config->patience ? config->patience : 1;
	cm->ended = close_step;
	list_init(&cm->operations);
	cm->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!cm->socket || !cm->runtime || !cm->exec_root || cm->cancel_fd < 0)
		r = err_set(err, -ENOMEM, "container management");
	if (r == 0)
		r = loop_queue_new(&cm->queue, loop, err);
	if (r < 0) {
		management_free(cm);
		return r;
	}
	r = work_pool_new(&cm->creations, loop, CREATIONS, WAITING_MAX, err);
	if (r == 0)
		r = work_pool_new(&cm->removals, loop, REMOVALS, WAITING_MAX, err);
	cm->watching = r == 0 && pthread_create(&cm->watcher, NULL, container_watch, cm) == 0;
	if (r == 0 && !cm->watching)
		r = err_set(err, -EAGAIN, "start a thread");
	if (r < 0) {
		container_management_close(cm, NULL, NULL);
		return r;
	}
	*ret = cm;
	return 0;
}

static void pool_closed(void *ctx)
{
	struct container_management *cm = ctx;

	cm->pools--;
	close_step(cm);
}

/** pool_close() - Close a pool, if there is one */
static void pool_close(struct container_management *cm, struct work_pool *pool)
{
	if (!pool)
		return;
	cm->pools++;
	work_pool_close(pool, pool_closed, cm);
}

void container_management_close(struct container_management *cm, void (*closed)(void *ctx),
				void *ctx)
{
	cm->closing = true;
	cm->closed = closed;
	cm->closed_ctx = ctx;
	(void)eventfd_write(cm->cancel_fd, 1);
	if (cm->watching)
		(void)pthread_join(cm->watcher, NULL);
	cm->pools = 1;
	list_for_each_safe(at, next, &cm->operations)
	{
		container_operation_abort(list_entry(at, struct operation, link));
	}
	pool_close(cm, cm->creations);
	pool_close(cm, cm->removals);
	pool_closed(cm);
}

const char *container_management_data(const struct container_management *cm)
{
	return cm->data;
}
