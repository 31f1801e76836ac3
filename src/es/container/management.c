/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Container Management
 *
 * An operation is a piece of work for a thread of a pool: its own Docker client, blocking calls,
 * the result carried back to the loop. Creations have a pool, and removals have another, so neither
 * waits for the other; of one session's operations in a pool one runs at a time. The loop waits
 * until a new container's port answers. One more thread follows the engine's events and tells when
 * a container ends. All of them stop when
 * @cancel_fd becomes readable.
 */

#include "es/container/management.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/apart.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "es/container/config.h"
#include "es/container/measure.h"
#include "es/container/port.h"
#include "es/engine/docker_engine.h"
#include "es/system/cgroup.h"
#include "es/system/loop_queue.h"
#include "es/system/process.h"
#include "es/system/work_pool.h"

#define START_MS_DEFAULT 30000
#define RECONNECT_MS     500 /* pause before an engine that went away is asked again */
#define MEMORY_MS        10  /* until it is asked for again */
#define REMOVED_KEPT     256 /* removed containers whose end is not reported */
#define CREATIONS        8   /* that the engine is asked for at a time */
#define REMOVALS         4   /* likewise; lists are among them */
#define WAITING_MAX      1024
#define AGAIN_MS         1000 /* until a removal that failed is tried again; doubled each time */
#define AGAIN_MS_MAX     60000

/**
 * struct container_management - Settings and the thread that follows events
 * @operations:	all that is under way; close() waits for it
 * @pools:	that are not closed yet
 * @removed:	ids we removed, a ring; loop thread only
 * @since:	time of the last event, watcher thread only
 */
struct container_management {
	uv_loop_t *loop;
	char *socket;
	char *exec_root;
	char *data;
	char *runtime;
	int cancel_fd;
	uint32_t patience;
	struct loop_queue *queue;
	container_died_cb died;
	container_seen_cb seen;
	void *ctx;
	uint64_t look_began; /* the loop's time */
	atomic_bool looking; /* for what the engine has made of its containers while it was away */
	pthread_t watcher;
	bool watching;
	bool closing;
	struct list operations;
	struct work_pool *creations;
	struct work_pool *removals;
	unsigned int pools;
	char removed[REMOVED_KEPT][CONTAINER_ID_SIZE];
	unsigned int next_removed;
	long long since;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/**
 * struct operation - One piece of work for a worker thread and where its result goes
 * @link:	in the list of all
 * @next:	called on the loop when the worker is done
 * @wait:	for the port of the new container, or NULL
 * @timer, @resting: until a removal is tried again
 * @tries:	of a removal, that failed
 */
struct operation {
	struct list link;
	struct work work;
	struct container_management *cm;
	struct work_pool *pool;
	void (*next)(struct operation *op);
	struct port_wait *wait;
	uv_timer_t timer;
	bool resting;
	unsigned int tries;
	int (*run)(struct operation *op, struct docker_engine *de, struct err *err);
	json_t *config;
	char name[CONTAINER_ID_SIZE];
	uint32_t start_ms;
	bool udp;
	struct container_address where;
	struct container_found *found;
	size_t count;
	container_done_cb done;
	container_sized_cb sized;
	struct container_size size;
	container_list_cb listed;
	container_start_cb started;
	enum container_start how;
	void *ctx;
	char reason[ERR_TEXT_MAX];
	int result;
	struct err err;
};

/** struct death - News from the watcher thread */
struct death {
	struct container_management *cm;
	struct container_found found;
	int exit_code;
};

static void close_step(struct container_management *cm);

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
		close_step(cm);
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
	(void)snprintf(cm->removed[cm->next_removed++ % REMOVED_KEPT], CONTAINER_ID_SIZE, "%s", id);
}

void container_management_expect(struct container_management *cm, const char *name)
{
	for (size_t i = 0; i < REMOVED_KEPT; i++)
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

/* On the loop: a container has ended whose service is being waited for. Return: whether there is one */
static bool death_in_wait(struct container_management *cm, const struct death *death)
{
	list_for_each_safe(at, next, &cm->operations)
	{
		struct operation *op = list_entry(at, struct operation, link);
		char reason[96];

		if (!op->wait || strcmp(op->where.id, death->found.where.id) != 0)
			continue;
		(void)snprintf(reason, sizeof(reason),
			       "it ended with status %d before its service answered",
			       death->exit_code);
		port_wait_cancel(op->wait);
		if (op->started)
			on_start_port(op, reason);
		else
			on_port(op, reason);
		return true;
	}
	return false;
}

/* On the loop. */
static void death_tell(void *arg)
{
	struct death *death = arg;
	struct container_management *cm = death->cm;
	bool ours = cm->closing;
	char name[CONTAINER_ID_SIZE];

	container_name(name, death->found.session, death->found.epoch);
	for (size_t i = 0; i < REMOVED_KEPT && !ours; i++)
		ours = !strcmp(cm->removed[i], death->found.where.id) ||
		       !strcmp(cm->removed[i], name);
	if (!ours && !death_in_wait(cm, death) && cm->died)
		cm->died(cm->ctx, death->found.session, death->found.where.id, death->exit_code);
	free(death);
}

/** memory_wait() - On the watcher thread. Return: false if we are being closed */
static bool memory_wait(const struct container_management *cm)
{
	struct pollfd rest = { .fd = cm->cancel_fd, .events = POLLIN };

	return poll(&rest, 1, MEMORY_MS) <= 0;
}

/*
 * On the watcher thread. It waits for memory: if the death of a container were lost, nobody would
 * serve its session.
 */
static void event_take(void *ctx, const json_t *json)
{
	struct container_management *cm = ctx;
	const json_t *labels = json_at(json, "Actor", "Attributes", NULL);
	struct death *death;

	while (!(death = calloc(1, sizeof(*death))))
		if (!memory_wait(cm))
			return;
	cm->since = json_integer_value(json_object_get(json, "time"));
	if (container_found_from(&death->found, labels) < 0) {
		free(death);
		return;
	}
	death->cm = cm;
	death->exit_code = atoi(json_text(labels, "exitCode", NULL));
	(void)snprintf(death->found.where.id, CONTAINER_ID_SIZE, "%s",
		       json_text(json, "Actor", "ID", NULL));
	while (loop_queue_post(cm->queue, death_tell, death) < 0) {
		if (!memory_wait(cm)) {
			free(death);
			return;
		}
	}
}

static void on_seen(void *ctx, const struct container_found *found, size_t count,
		    const char *reason)
{
	struct container_management *cm = ctx;

	atomic_store(&cm->looking, false);
	if (!reason) /* otherwise it is still away, and will be looked at again */
		cm->seen(cm->ctx, found, count, cm->look_began);
}

/* On the loop. */
static void look(void *arg)
{
	struct container_management *cm = arg;

	cm->look_began = uv_now(cm->loop);
	if (!cm->seen || container_management_list(cm, on_seen, cm, NULL) < 0)
		atomic_store(&cm->looking, false);
}

/* On the watcher thread: the engine is away, or was. */
static void look_soon(struct container_management *cm)
{
	if (!atomic_exchange(&cm->looking, true) && loop_queue_post(cm->queue, look, cm) < 0)
		atomic_store(&cm->looking, false); /* next time */
}

/* The watcher thread. It resumes at the last event when the engine is back. */
static void *watch(void *arg)
{
	struct container_management *cm = arg;
	struct pollfd rest = { .fd = cm->cancel_fd, .events = POLLIN };
	AUTO(docker_engine) struct docker_engine *de = NULL;
	struct err err = { 0 };

	if (docker_engine_new(&de, cm->socket, cm->cancel_fd, &err) < 0)
		return NULL;
	cm->since = (long long)time(NULL);
	while (docker_engine_events(de, "baton.session", cm->since, event_take, cm, &err) !=
	       -ECANCELED) {
		if (poll(&rest, 1, RECONNECT_MS) > 0)
			break;
		look_soon(cm);
	}
	return NULL;
}

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
	cm->watching = r == 0 && pthread_create(&cm->watcher, NULL, watch, cm) == 0;
	if (r == 0 && !cm->watching)
		r = err_set(err, -EAGAIN, "start a thread");
	if (r < 0) {
		container_management_close(cm, NULL, NULL);
		return r;
	}
	*ret = cm;
	return 0;
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
		struct operation *op = list_entry(at, struct operation, link);

		if (op->resting && !uv_is_closing((uv_handle_t *)&op->timer)) {
			uv_close((uv_handle_t *)&op->timer, on_again_closed);
		} else if (op->wait) {
			port_wait_cancel(op->wait);
			operation_free(op);
		}
	}
	pool_close(cm, cm->creations);
	pool_close(cm, cm->removals);
	pool_closed(cm);
}

const char *container_management_data(const struct container_management *cm)
{
	return cm->data;
}
