/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operations - creations, starts, removals and lists of containers
 *
 * An operation is a piece of work for a thread of a pool: its own Docker client, blocking calls, the result
 * carried back to the loop. Creations have a pool, and removals have another, so neither waits for the other; of
 * one session's operations in a pool one runs at a time. After a creation or a start the loop waits until the
 * container's port answers. A removal that fails is tried again until the container is gone.
 */

#include <stdlib.h>
#include <string.h>

#include "base/apart.h"
#include "base/log.h"
#include "es/container/config.h"
#include "es/container/management_inner.h"
#include "es/container/port.h"
#include "es/engine/docker_engine.h"
#include "es/system/cgroup.h"

#define START_MS_DEFAULT 30000
#define AGAIN_MS         1000 /* until a removal that failed is tried again; doubled each time */
#define AGAIN_MS_MAX     60000

static void operation_free(struct operation *op)
{
	list_remove(&op->link);
	json_decref(op->config);
	free(op->found);
	free(op);
}

/** operation_end() - Tell the result, unless we are being closed; consumes @op */
static void operation_end(struct operation *op, const char *reason)
{
	struct container_management *cm = op->cm;

	if (!cm->closing && op->done)
		op->done(op->ctx, reason || !op->where.id[0] ? NULL : &op->where, reason);
	if (!cm->closing && op->started)
		op->started(op->ctx, op->how, op->how ? NULL : &op->where, reason);
	if (!cm->closing && op->listed)
		op->listed(op->ctx, op->found, op->count, reason);
	operation_free(op);
	if (cm->closing)
		cm->ended(cm);
}

/* On a worker thread. */
static void operation_work(struct work *work)
{
	struct operation *op = container_of(work, struct operation, work);
	AUTO(docker_engine) struct docker_engine *de = NULL;

	op->result = docker_engine_new(&de, op->cm->socket, op->cm->cancel_fd, &op->err);
	if (op->result == 0) {
		docker_engine_set_patience(de, op->cm->patience);
		op->result = op->run(op, de, &op->err);
	}
}

/* Back on the loop. */
static void operation_done(struct work *work)
{
	struct operation *op = container_of(work, struct operation, work);

	op->next(op);
}

/** operation_ended() - The worker was all */
static void operation_ended(struct operation *op)
{
	operation_end(op, op->result < 0 ? op->err.text : NULL);
}

/** operation_queue() - Have a thread do it. Return: 0, or -EBUSY */
static int operation_queue(struct operation *op, struct err *err)
{
	int r = work_pool_add(op->pool, &op->work, err);

	return r < 0 ? err_wrap(err, r, "container operation") : 0;
}

/** operation_start() - Queue @op, which is consumed also on failure */
static int operation_start(struct operation *op, struct err *err)
{
	int r = operation_queue(op, err);

	if (r < 0)
		operation_free(op);
	return r;
}

/**
 * operation_new() - Make an operation
 * @cm:		Container management
 * @pool:	Pool of the threads that run it
 * @key:	Operations of one key run one at a time
 * @run:	Work of the thread
 * @ctx:	For the callback
 * @err:	Filled in on failure
 *
 * Return: in the list of all, or NULL
 */
static struct operation *
operation_new(struct container_management *cm, struct work_pool *pool, uint64_t key,
	      int (*run)(struct operation *, struct docker_engine *, struct err *), void *ctx,
	      struct err *err)
{
	struct operation *op = cm->closing ? NULL : calloc(1, sizeof(*op));

	if (!op) {
		(void)err_set(err, -ENOMEM, "container operation");
		return NULL;
	}
	op->work = (struct work){ .key = key, .run = operation_work, .done = operation_done };
	op->cm = cm;
	op->pool = pool;
	op->next = operation_ended;
	op->run = run;
	op->ctx = ctx;
	list_append(&cm->operations, &op->link);
	return op;
}

/** removed_note() - Do not report the end of a container that we remove */
static void removed_note(struct container_management *cm, const char *id)
{
	(void)snprintf(cm->removed[cm->next_removed++ % CONTAINERS_REMOVED_KEPT], CONTAINER_ID_SIZE,
		       "%s", id);
}

void container_management_expect(struct container_management *cm, const char *name)
{
	for (size_t i = 0; i < CONTAINERS_REMOVED_KEPT; i++)
		if (!strcmp(cm->removed[i], name))
			cm->removed[i][0] = '\0';
}

/** keep_apart() - Keep a running container apart that an earlier version has created, which did not */
static void keep_apart(const struct container_address *where)
{
	struct err err = { 0 };
	int r = where->pid > 0 ? apart_guard(where->pid, &err) : 0;

	if (r < 0 && r != -ENOENT && r != -ESRCH) /* or it has ended */
		log_error("container %s may reach others on its bridge: %s", where->id, err.text);
}

/** created_start() - Start the new container */
static int created_start(struct operation *op, struct docker_engine *de, const char *id,
			 struct err *err)
{
	json_t *inspect = NULL;
	int r = docker_engine_start(de, id, err);

	if (r == 0)
		r = docker_engine_inspect(de, id, &inspect, err);
	if (r > 0)
		r = err_set(err, -ENOENT, "container %s right after its start", op->name);
	if (r < 0)
		return r;
	container_address_from(&op->where, inspect, op->where.port);
	/* baton-runtime has done so to the others, before they ran. */
	if (!container_config_apart(inspect))
		keep_apart(&op->where);
	json_decref(inspect);
	return 0;
}

/** gone_remove() - Remove the remains of a container that failed, also if we are being closed */
static void gone_remove(struct operation *op, const char *id)
{
	AUTO(docker_engine) struct docker_engine *de = NULL;
	struct err ignored = { 0 };

	if (docker_engine_new(&de, op->cm->socket, -1, &ignored) < 0)
		return;
	docker_engine_set_patience(de, op->cm->patience);
	(void)docker_engine_remove(de, id, &ignored);
}

static int create_run(struct operation *op, struct docker_engine *de, struct err *err)
{
	char id[CONTAINER_ID_SIZE];
	int r = docker_engine_create(de, op->name, op->config, id, sizeof(id), err);

	if (r > 0)
		r = err_set(err, -EPROTO, "there is no image %s",
			    json_text(op->config, "Image", NULL));
	if (r < 0)
		return r;
	r = created_start(op, de, id, err);
	if (r < 0)
		gone_remove(op, id);
	return r;
}

/* On a worker thread: the service in the container never listened. */
static int deaf_run(struct operation *op, struct docker_engine *de, struct err *err)
{
	(void)de;
	(void)err;
	gone_remove(op, op->where.id);
	return 0;
}

/* The creation ends with the reason of the removal, not with its result. */
static void deaf_removed(struct operation *op)
{
	operation_end(op, op->reason);
}

/* On the loop. */
static void on_port(void *ctx, const char *reason)
{
	struct operation *op = ctx;

	op->wait = NULL;
	if (!reason) {
		operation_end(op, NULL);
		return;
	}
	(void)snprintf(op->reason, sizeof(op->reason), "%s: %s", op->name, reason);
	removed_note(op->cm, op->where.id);
	op->run = deaf_run;
	op->next = deaf_removed;
	op->pool = op->cm->removals;
	if (operation_queue(op, NULL) < 0) /* found again at the next start */
		operation_end(op, op->reason);
}

/* On the loop: the container runs, now its service must be there. */
static void created(struct operation *op)
{
	struct err err = { 0 };

	if (op->result < 0 || op->cm->closing)
		operation_ended(op);
	else if (port_wait_start(&op->wait, op->cm->loop, &op->where, op->udp, op->start_ms,
				 on_port, op, &err) < 0)
		on_port(op, err.text);
}

int container_management_create(struct container_management *cm, uint64_t session, uint32_t epoch,
				const struct container_service *service, container_done_cb done,
				void *ctx, struct err *err)
{
	struct operation *op = operation_new(cm, cm->creations, session, create_run, ctx, err);

	if (!op)
		return -ENOMEM;
	int r = container_config_for_service(&op->config, service, cm->runtime, err);
	if (r == 0)
		r = container_config_adapt(op->config, NULL, cm->runtime, session, epoch,
					   service->name, service->port);
	if (r < 0) {
		operation_free(op);
		return r;
	}
	container_name(op->name, session, epoch);
	op->where.port = service->port;
	op->udp = service->udp;
	op->start_ms = service->start_ms ? service->start_ms : START_MS_DEFAULT;
	op->next = created;
	op->done = done;
	return operation_start(op, err);
}

/* On a worker thread. A failure is that of the engine, or of the container. */
static int start_run(struct operation *op, struct docker_engine *de, struct err *err)
{
	struct err ignored;
	json_t *inspect = NULL;
	int r = docker_engine_inspect(de, op->name, &inspect, err);

	op->how = r < 0 ? CONTAINER_START_AWAY : CONTAINER_START_GONE;
	if (r > 0)
		r = err_set(err, -ENOENT, "there is no container %s", op->name);
	if (r < 0)
		return r;
	/* its own port: one that the service changed to since is for new containers */
	struct container_found its = { 0 };
	if (container_found_from(&its, json_at(inspect, "Config", "Labels", NULL)) == 0)
		op->where.port = its.where.port;
	json_decref(inspect);
	r = created_start(op, de, op->name, err);
	op->how = CONTAINER_START_DONE;
	if (r < 0) {
		inspect = NULL;
		op->how = docker_engine_inspect(de, op->name, &inspect, &ignored) < 0
				  ? CONTAINER_START_AWAY
				  : CONTAINER_START_FAILED;
		json_decref(inspect);
	}
	return r;
}

/* On a worker thread: it runs, but nobody can speak to it. The next start is to begin anew. */
static int silence_run(struct operation *op, struct docker_engine *de, struct err *err)
{
	return docker_engine_kill(de, op->where.id, err);
}

/* On the loop. */
static void on_start_port(void *ctx, const char *reason)
{
	struct operation *op = ctx;

	op->wait = NULL;
	if (!reason) {
		operation_end(op, NULL);
		return;
	}
	op->how = CONTAINER_START_FAILED;
	(void)snprintf(op->reason, sizeof(op->reason), "%s: %s", op->name, reason);
	op->run = silence_run;
	op->next = deaf_removed;
	if (operation_queue(op, NULL) < 0)
		operation_end(op, op->reason);
}

/* On the loop: it runs, now its service must be there. */
static void started(struct operation *op)
{
	struct err err = { 0 };

	if (op->result < 0 || op->cm->closing)
		operation_ended(op);
	else if (port_wait_start(&op->wait, op->cm->loop, &op->where, op->udp, op->start_ms,
				 on_start_port, op, &err) < 0)
		on_start_port(op, err.text);
}

int container_management_start(struct container_management *cm, uint64_t session, uint32_t epoch,
			       const struct container_service *service, container_start_cb done,
			       void *ctx, struct err *err)
{
	struct operation *op = operation_new(cm, cm->creations, session, start_run, ctx, err);

	if (!op)
		return -ENOMEM;
	container_name(op->name, session, epoch);
	op->where.port = service->port;
	op->udp = service->udp;
	op->start_ms = service->start_ms ? service->start_ms : START_MS_DEFAULT;
	op->next = started;
	op->started = done;
	return operation_start(op, err);
}

/** thaw() - Let the tasks of a container run, if it has any */
static int thaw(struct operation *op, struct docker_engine *de, struct err *err)
{
	struct cgroup_freezer freezer;
	json_t *inspect = NULL;
	int r = docker_engine_inspect(de, op->name, &inspect, err);

	if (r != 0)
		return r < 0 ? r : 0;
	pid_t pid = (pid_t)json_integer_value(json_at(inspect, "State", "Pid", NULL));
	json_decref(inspect);
	if (pid <= 0)
		return 0;
	r = cgroup_freezer_find(&freezer, pid, err);
	if (r == 0 && cgroup_frozen(&freezer))
		r = cgroup_thaw(&freezer, err);
	return r;
}

static int remove_run(struct operation *op, struct docker_engine *de, struct err *err)
{
	struct err ignored;

	/* A frozen task cannot end, not even by SIGKILL: the engine would wait for it. */
	(void)thaw(op, de, &ignored);
	return docker_engine_remove(de, op->name, err);
}

static void removed(struct operation *op);

static void on_again_closed(uv_handle_t *handle)
{
	struct operation *op = handle->data;

	op->resting = false;
	/* When we are being closed: it is found again at the next start. */
	int r = op->cm->closing ? -ECANCELED : operation_queue(op, &op->err);
	if (r == 0)
		return; /* a thread has it: its result is no longer ours */
	op->result = r;
	removed(op);
}

/* On the loop. */
static void on_again(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, on_again_closed);
}

/* On the loop. A container that could not be removed still exists, so nobody is told otherwise. */
static void removed(struct operation *op)
{
	unsigned int shift = op->tries < 6 ? op->tries : 6;
	uint64_t pause = (uint64_t)AGAIN_MS << shift;

	if (op->result == 0 && op->tries)
		log_info("container %s is removed at last, at try %u", op->name, op->tries + 1);
	if (op->result == 0 || op->cm->closing) {
		operation_ended(op);
		return;
	}
	if (op->tries++ == 0)
		log_error("container %s cannot be removed, which is tried again: %s", op->name,
			  op->err.text);
	(void)uv_timer_init(op->cm->loop, &op->timer); /* this and its start cannot fail */
	op->timer.data = op;
	op->resting = true;
	(void)uv_timer_start(&op->timer, on_again, pause < AGAIN_MS_MAX ? pause : AGAIN_MS_MAX, 0);
}

static int measure_run(struct operation *op, struct docker_engine *de, struct err *err)
{
	return container_measure(&op->size, de, op->name, op->cm->exec_root, err);
}

/* On the loop. */
static void measured(struct operation *op)
{
	if (op->cm->closing) {
		operation_ended(op);
		return;
	}
	op->sized(op->ctx, op->result == 0 ? &op->size : NULL);
	op->run = remove_run;
	op->next = removed;
	op->result = operation_queue(op, &op->err);
	if (op->result < 0)
		removed(op);
}

int container_management_discard(struct container_management *cm, uint64_t session, const char *id,
				 container_sized_cb sized, container_done_cb done, void *ctx,
				 struct err *err)
{
	struct operation *op = operation_new(cm, cm->removals, session, measure_run, ctx, err);

	if (!op)
		return -ENOMEM;
	(void)snprintf(op->name, sizeof(op->name), "%s", id);
	removed_note(cm, id);
	op->next = measured;
	op->sized = sized;
	op->done = done;
	return operation_start(op, err);
}

int container_management_remove(struct container_management *cm, uint64_t session, const char *id,
				container_done_cb done, void *ctx, struct err *err)
{
	struct operation *op = operation_new(cm, cm->removals, session, remove_run, ctx, err);

	if (!op)
		return -ENOMEM;
	(void)snprintf(op->name, sizeof(op->name), "%s", id);
	removed_note(cm, id);
	op->next = removed;
	op->done = done;
	return operation_start(op, err);
}

/** found_fill() - One container of the list. Return: 1 if it is ours, 0 if not, or negative */
static int found_fill(struct container_found *to, struct docker_engine *de, const json_t *item,
		      struct err *err)
{
	json_t *inspect = NULL;
	int r;

	if (container_found_from(to, json_object_get(item, "Labels")) < 0)
		return 0;
	r = docker_engine_inspect(de, json_text(item, "Id", NULL), &inspect, err);
	if (r != 0)
		return r < 0 ? r : 0; /* gone since the list was made */
	to->running = json_is_true(json_at(inspect, "State", "Running", NULL));
	container_address_from(&to->where, inspect, to->where.port);
	json_decref(inspect);
	if (to->running)
		keep_apart(&to->where);
	return 1;
}

static int list_run(struct operation *op, struct docker_engine *de, struct err *err)
{
	json_t *list = NULL;
	json_t *item;
	size_t i;
	int r = docker_engine_list(de, "baton.session", &list, err);

	if (r < 0)
		return r;
	op->found = calloc(json_array_size(list) + 1, sizeof(*op->found));
	if (!op->found)
		r = err_set(err, -ENOMEM, "list of containers");
	json_array_foreach(list, i, item)
	{
		if (r < 0 || op->count >= CONTAINERS_MAX)
			break;
		r = found_fill(&op->found[op->count], de, item, err);
		if (r > 0)
			op->count++;
	}
	json_decref(list);
	return r < 0 ? r : 0;
}

int container_management_list(struct container_management *cm, container_list_cb done, void *ctx,
			      struct err *err)
{
	struct operation *op = operation_new(cm, cm->removals, 0, list_run, ctx, err);

	if (!op)
		return -ENOMEM;
	op->listed = done;
	return operation_start(op, err);
}

bool container_operation_died(struct container_management *cm, const char *id, int exit_code)
{
	list_for_each_safe(at, next, &cm->operations)
	{
		struct operation *op = list_entry(at, struct operation, link);
		char reason[96];

		if (!op->wait || strcmp(op->where.id, id) != 0)
			continue;
		(void)snprintf(reason, sizeof(reason),
			       "it ended with status %d before its service answered", exit_code);
		port_wait_cancel(op->wait);
		if (op->started)
			on_start_port(op, reason);
		else
			on_port(op, reason);
		return true;
	}
	return false;
}

bool container_operation_removes(const struct container_management *cm, const char *id,
				 const char *name)
{
	for (size_t i = 0; i < CONTAINERS_REMOVED_KEPT; i++)
		if (!strcmp(cm->removed[i], id) || !strcmp(cm->removed[i], name))
			return true;
	return false;
}

void container_operation_abort(struct operation *op)
{
	if (op->resting && !uv_is_closing((uv_handle_t *)&op->timer)) {
		uv_close((uv_handle_t *)&op->timer, on_again_closed);
	} else if (op->wait) {
		port_wait_cancel(op->wait);
		operation_free(op);
	}
}
