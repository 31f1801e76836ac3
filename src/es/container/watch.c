/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Watch - the thread that follows the engine's events, and tells the loop when a container ends
 *
 * The thread blocks in one request to the engine. It resumes at the last event when the engine was away, and has
 * all containers listed then, for some may have ended without an event. A death goes to the loop as a message; it
 * must not get lost, so the thread waits for memory if there is none.
 */

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "es/container/config.h"
#include "es/container/management_inner.h"
#include "es/engine/docker_engine.h"
#include "es/system/loop_queue.h"

#define RECONNECT_MS 500 /* pause before an engine that went away is asked again */
#define MEMORY_MS    10  /* until it is asked for again */

/** struct death - News from the watcher thread */
struct death {
	struct container_management *cm;
	struct container_found found;
	int exit_code;
};

/* On the loop. */
static void death_tell(void *arg)
{
	struct death *death = arg;
	struct container_management *cm = death->cm;
	const struct container_found *found = &death->found;
	char name[CONTAINER_ID_SIZE];

	container_name(name, found->session, found->epoch);
	if (!cm->closing && !container_operation_removes(cm, found->where.id, name) &&
	    !container_operation_died(cm, found->where.id, death->exit_code) && cm->died)
		cm->died(cm->ctx, found->session, found->where.id, death->exit_code);
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

void *container_watch(void *arg)
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
