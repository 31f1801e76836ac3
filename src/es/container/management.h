/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container Management - creates, watches and removes the containers of sessions
 *
 * A session's container is named baton-<session, 16 hexadecimal digits>-<epoch> and labelled
 * baton.session, baton.epoch, baton.service and baton.port, so that a restarted daemon finds it
 * again. Calls to Docker run on threads of their own: at most 8 creations and 4 removals at a time,
 * and one operation of a session. 1024 of each may wait (R9). Results come back on the loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <uv.h>

#include "codec/codec.h"
#include "base/auto.h"
#include "base/text.h"

struct container_size;
struct err;
struct container_management;

#define CONTAINER_ID_SIZE 72   /* 64 hexadecimal digits, or a name, and the NUL */
#define CONTAINER_IP_SIZE 46   /* INET6_ADDRSTRLEN */
#define CONTAINERS_MAX    1024 /* listed at a time (R9) */

#define CONTAINER_TIME_SIZE 40 /* RFC 3339 with nanoseconds, and the NUL */

/**
 * struct container_address - Where a container is reached, and since when it runs
 *
 * @started changes when the engine restarts the container (restart policy, `docker restart`). Its
 * processes are new then and the session's state is lost, although the id is the same. @pid is the
 * id of its first process; 0 if it does not run. @opened_ms is the loop's time since when requests go
 * there; 0 if it is not the gateway's.
 */
struct container_address {
	char id[CONTAINER_ID_SIZE];
	char ip[CONTAINER_IP_SIZE];
	uint16_t port;
	char started[CONTAINER_TIME_SIZE];
	pid_t pid;
	uint64_t opened_ms;
};

/** enum migration_method - Whether the image is sent, too (the paper's C-Migr and P-Migr) */
enum migration_method {
	METHOD_AUTO,     /* the one that is predicted to be the fastest */
	METHOD_COMPLETE, /* the image layers that the destination lacks are sent to it */
	METHOD_PARTIAL,  /* the image is there, or comes from a registry; never from the source */
};

/** enum container_restart - Whether a container that has ended is started again */
enum container_restart {
	RESTART_ALWAYS,
	RESTART_ON_FAILURE, /* unless it ended with status 0 */
	RESTART_NO,
};

/** enum container_sync - How a container that moves catches up (R6) */
enum container_sync {
	SYNC_AUTO,   /* replay, and hold after a replica that answered otherwise */
	SYNC_REPLAY, /* it executes copies of the requests */
	SYNC_HOLD,   /* nothing executes between its cut and its restore */
};

/**
 * struct container_service - How the containers of a service are made
 * @name:		of the service
 * @image:		image name or id
 * @command:		NULL-terminated argument list instead of the image's; may be NULL
 * @env:		NULL-terminated list of NAME=VALUE; may be NULL
 * @port:		the service listens on
 * @codec:		how it speaks, for the gateway; borrowed
 * @comparison:	the bytes of its answers that are compared
 * @udp:		it is an UDP port
 * @memory_bytes:	limit; 0: none
 * @cpu_millis:		limit in thousandths of a CPU; 0: none
 * @pids:		limit of processes and threads; 0: none
 * @volumes:		NULL-terminated list of NAME:/PATH, a volume of its own for each container,
 *			labelled baton.volume=NAME; may be NULL
 * @tmpfs:		NULL-terminated list of /PATH[:OPTIONS]; may be NULL
 * @binds:		NULL-terminated list of /PATH:/PATH[:ro]; may be NULL
 * @publish:		NULL-terminated list of [[IP:]HOST_PORT:]PORT[/tcp|udp]; may be NULL
 * @trusted_images:	NULL-terminated list of repositories that other edge servers may bring under
 *			their names, and image ids ("sha256:...") that they may bring under @image;
 *			may be NULL
 * @start_ms:		how long it may take until the port answers; 0: 30000
 * @sync:		how a replica catches up (R6)
 * @restart:		whether a container that has ended is started again
 * @restart_tries:	of RESTART_ON_FAILURE, in a row; 0: no limit
 * @protect_ms:		a cut of its container is kept so often; 0: never
 * @method:		whether the image is sent when they move
 *
 * Strings are copied by the calls that take the structure.
 */
struct container_service {
	char name[NAME_SIZE];
	const char *image;
	const char *const *command;
	const char *const *env;
	const char *const *volumes;
	const char *const *tmpfs;
	const char *const *binds;
	const char *const *publish;
	const char *const *trusted_images;
	const struct codec *codec;
	uint64_t memory_bytes;
	uint32_t cpu_millis;
	uint32_t pids;
	uint32_t start_ms;
	enum container_sync sync;
	enum container_restart restart;
	uint32_t restart_tries;
	uint64_t protect_ms;
	enum migration_method method;
	uint16_t port;
	bool udp;
	struct codec_comparison comparison;
};

/** struct container_found - One of our containers, as container_management_list() sees it */
struct container_found {
	uint64_t session;
	uint32_t epoch;
	bool running;
	char service[NAME_SIZE];
	struct container_address where; /* ip is empty unless it runs */
};

/** struct container_config - Settings; the strings are borrowed for the life of the object */
struct container_config {
	const char *docker_socket;
	const char *docker_exec_root;
	const char *runtime; /* name under which the engine knows baton-runtime */
	uint32_t patience;   /* factor for waits for the engine; 0: 1 */
};

/**
 * container_died_cb() - A container of ours ended, but not by us
 * @ctx:	Given at container_management_new()
 * @session:	Its session
 * @id:		Its id
 * @exit_code:	Of its first process
 *
 * It is not called for containers that container_management_remove() removes. It may be called
 * again for the same container after the engine was away, and for containers of migrations that
 * fail: compare @id.
 */
typedef void (*container_died_cb)(void *ctx, uint64_t session, const char *id, int exit_code);

/**
 * container_done_cb() - An operation ended
 * @ctx:	Given at the call
 * @where:	The container, or NULL if it failed (always NULL after a removal)
 * @reason:	NULL, or why it failed
 */
typedef void (*container_done_cb)(void *ctx, const struct container_address *where,
				  const char *reason);

/**
 * container_seen_cb() - The engine was away, and is back
 * @ctx:	Given at container_management_new()
 * @found:	All containers of ours as they are now, borrowed for the call
 * @count:	How many
 * @began_ms:	The loop's time when the list was begun: nothing is known of later containers
 *
 * It may have lost or restarted containers without an event: compare.
 */
typedef void (*container_seen_cb)(void *ctx, const struct container_found *found, size_t count,
				  uint64_t began_ms);

/**
 * container_list_cb() - The containers of Baton on this engine
 * @ctx:	Given at the call
 * @found:	Borrowed for the call
 * @count:	How many
 * @reason:	NULL, or why the engine could not be asked
 */
typedef void (*container_list_cb)(void *ctx, const struct container_found *found, size_t count,
				  const char *reason);

/**
 * container_management_new() - Connect to an engine and watch its containers
 * @ret:	Set on success only; the caller owns it, see container_management_close()
 * @loop:	Loop on whose thread all calls are made
 * @config:	Settings
 * @died:	Called when a container ends; may be NULL
 * @seen:	Called when the engine is back after it was away; may be NULL
 * @ctx:	Handed to both
 * @err:	Filled in on failure: the engine does not answer, or does not know the runtime
 *
 * Blocks for one exchange with the engine; meant for the start of the daemon.
 *
 * Return: 0, or negative error code
 */
int container_management_new(struct container_management **ret, uv_loop_t *loop,
			     const struct container_config *config, container_died_cb died,
			     container_seen_cb seen, void *ctx, struct err *err);

/**
 * container_management_close() - Stop watching, wait for running operations, release everything
 * @cm:		Freed when @closed is called
 * @closed:	Called on the loop when the memory has been released; may be NULL
 * @ctx:	Handed to @closed
 *
 * Containers stay as they are. No other callback comes after this call.
 */
void container_management_close(struct container_management *cm, void (*closed)(void *ctx),
				void *ctx);

/**
 * container_management_create() - Create and start CT-x(m), and wait until its port answers
 * @cm:		Container management
 * @session:	Session
 * @epoch:	Its epoch
 * @service:	How the container is made, copied
 * @done:	Called on the loop; after a failure nothing is left of the container
 * @ctx:	Handed to @done
 * @err:	Filled in on failure, when @done will not be called
 *
 * Return: 0, or negative error code
 */
int container_management_create(struct container_management *cm, uint64_t session, uint32_t epoch,
				const struct container_service *service, container_done_cb done,
				void *ctx, struct err *err);

/** enum container_start - Outcome of container_management_start() */
enum container_start {
	CONTAINER_START_DONE,
	CONTAINER_START_FAILED, /* it ended at once, or its service did not come; it does not run */
	CONTAINER_START_AWAY,   /* the engine does not answer */
	CONTAINER_START_GONE,   /* there is no such container */
};

/**
 * container_start_cb() - A start ended
 * @ctx:	Given at the call
 * @how:	How
 * @where:	The container, for CONTAINER_START_DONE only
 * @reason:	NULL, or why it failed
 */
typedef void (*container_start_cb)(void *ctx, enum container_start how,
				   const struct container_address *where, const char *reason);

/**
 * container_management_start() - Start a container that has ended, and wait until its port answers
 * @cm:		Container management
 * @session:	Session
 * @epoch:	In which the container was made
 * @service:	For how its service is waited for, copied
 * @done:	Called on the loop
 * @ctx:	Handed to @done
 * @err:	Filled in on failure, when @done will not be called
 *
 * One that runs already is taken as it is.
 *
 * Return: 0, or negative error code
 */
int container_management_start(struct container_management *cm, uint64_t session, uint32_t epoch,
			       const struct container_service *service, container_start_cb done,
			       void *ctx, struct err *err);

/** container_management_expect() - A container of this name is ours again: its end is reported from now on */
void container_management_expect(struct container_management *cm, const char *name);

/**
 * container_management_remove() - Stop a container at once and remove it with its layer
 * @cm:		Container management
 * @session:	Its session
 * @id:		Id or name; one that is gone already counts as removed
 * @done:	Called on the loop when it is gone, never with a reason; may be NULL
 * @ctx:	Handed to @done
 * @err:	Filled in on failure, when @done will not be called
 *
 * A removal that fails is tried again, after 1, 2, 4 ... 60 s, until the container is gone or this
 * program ends; that is logged once. The next start finds the container by its labels.
 *
 * Return: 0, or negative error code
 */
int container_management_remove(struct container_management *cm, uint64_t session, const char *id,
				container_done_cb done, void *ctx, struct err *err);

/**
 * container_sized_cb() - The data of a container that is about to be removed were measured
 * @ctx:	Given at the call
 * @size:	Their size, borrowed; NULL if that cannot be said
 */
typedef void (*container_sized_cb)(void *ctx, const struct container_size *size);

/**
 * container_management_discard() - Measure a container's data, then remove it
 * @sized:	Called on the loop, once, before the removal; not while @cm is being closed
 *
 * All else as for container_management_remove().
 */
int container_management_discard(struct container_management *cm, uint64_t session, const char *id,
				 container_sized_cb sized, container_done_cb done, void *ctx,
				 struct err *err);

/**
 * container_management_list() - Find all of our containers, running or not
 * @cm:		Container management
 * @done:	Called on the loop
 * @ctx:	Handed to @done
 * @err:	Filled in on failure, when @done will not be called
 *
 * For the start of the daemon: adopt those whose session is known, remove the others.
 *
 * Return: 0, or negative error code
 */
int container_management_list(struct container_management *cm, container_list_cb done, void *ctx,
			      struct err *err);

/** container_management_data() - The engine's directory for its data. Return: borrowed; NULL: it does not say */
const char *container_management_data(const struct container_management *cm);

/** container_name() - Name of a session's container, "baton-<session>-<epoch>" */
void container_name(char to[CONTAINER_ID_SIZE], uint64_t session, uint32_t epoch);
