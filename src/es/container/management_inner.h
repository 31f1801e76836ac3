/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container management - inner header of management.c, watch.c and operations.c
 *
 *	management.c	its beginning and its end
 *	watch.c		the thread that follows the engine's events
 *	operations.c	creations, starts, removals, lists
 *
 * Each file calls only those below it.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/list.h"
#include "es/container/management.h"
#include "es/container/measure.h"
#include "es/system/work_pool.h"

struct docker_engine;
struct loop_queue;
struct port_wait;

#define CONTAINERS_REMOVED_KEPT 256 /* removed containers whose end is not reported */

/**
 * struct container_management - Settings and the thread that follows events
 * @operations:	all that is under way; close() waits for it
 * @pools:	that are not closed yet
 * @removed:	ids we removed, a ring; loop thread only
 * @since:	time of the last event, watcher thread only
 * @ended:	an operation has ended while @closing
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
	char removed[CONTAINERS_REMOVED_KEPT][CONTAINER_ID_SIZE];
	unsigned int next_removed;
	long long since;
	void (*ended)(struct container_management *cm);
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

/* operations.c */

/** container_operation_abort() - Give up what an operation waits for on the loop, as its owner closes */
void container_operation_abort(struct operation *op);

/** container_operation_died() - A container has ended. Return: whether an operation waited for its service, and fails */
bool container_operation_died(struct container_management *cm, const char *id, int exit_code);

/** container_operation_removes() - Whether we have removed this container, by id or name */
bool container_operation_removes(const struct container_management *cm, const char *id,
				 const char *name);

/* watch.c */

/** container_watch() - The watcher thread, until @cancel_fd is readable. @cm: struct container_management */
void *container_watch(void *cm);
