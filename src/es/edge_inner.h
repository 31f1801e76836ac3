/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inner header of the edge server
 *
 *	edge_server.c      puts the parts together, hands their reports to the node
 *	edge_parts.c       the end of the last part
 *	edge_adoption.c    sessions and containers that were here before
 *	edge_withheld.c    sessions whose journals cannot be used
 *	edge_disks.c       full disks
 *
 * Operations of the node:
 *
 *	edge_operations.c  most of them
 *	edge_protection.c  those for protection
 *	edge_later.c       those that failed at once
 */

#include <inttypes.h>
#include <uv.h>

#include "base/list.h"
#include "base/text.h"
#include "core/es/node.h"
#include "es/edge_server.h"
#include "es/inquiry.h"
#include "es/metrics.h"

enum later_kind {
	LATER_SOURCE_FAILED,
	LATER_NO_CUT,
	LATER_NOT_REMOVED,
	LATER_NOT_CREATED,
	LATER_NOT_STARTED,
	LATER_NOT_RECOVERED,
	LATER_NOT_KEPT,
};

/** struct later - Something to tell the node in a turn of its own */
struct later {
	struct list link;
	enum later_kind kind;
	bool lasting; /* of @reason */
	int code;     /* of the failure */
	uint64_t session;
	uint32_t epoch;
	char reason[WIRE_REASON_SIZE];
};

/**
 * struct discarded - Data that are to be removed, until their size is known: then it is reported
 * @begun:	Somebody measures them
 */
struct discarded {
	struct list link;
	uint64_t session;
	uint64_t number;
	bool begun;
	char detail[WIRE_REASON_SIZE];
};

/** struct edge_server - See edge_server.h */
struct edge_server {
	struct edge_server_setup setup;
	struct es_node *node;
	struct ap_links *aps;
	struct listener *listener;
	struct gateway *gateway;
	struct spools *spools;
	struct session_store *store;
	struct journal_sync *sync;
	struct started_notes *started;
	struct request_log *requests; /* NULL: no service is protected */
	bool sweeping;                /* see edge_protection_sweep() */
	bool sweep_again;
	struct service_catalogue *catalogue;
	const char *runtime; /* name under which the engine knows baton-runtime */
	struct container_management *containers;
	struct migration_controller *migrations;
	struct thaw_guard *guard;
	struct disks *disks;
	struct monitor *monitor;
	struct es_metrics metrics;
	struct es_unclaimed
		*unclaimed; /* sessions whose journals cannot be used, see edge_withheld.c */
	size_t unclaimed_count;
	uv_timer_t again; /* until those of them are read again that may be good then */
	struct list later;
	struct list discarded; /* of struct discarded */
	uv_timer_t timer;
	uv_prepare_t prepare;
	uv_async_t wake;
	int closing;                /* parts that are not closed yet */
	uint64_t unwritten_said_at; /* when it was logged last that a record is not written */
	uint64_t drain_ms;
	uint64_t end_by; /* when it is about to stop: containers may finish requests until then */
	bool stopped;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/** struct operation - An operation on a container that is under way */
struct operation {
	struct edge_server *es;
	uint64_t session;
	uint32_t epoch;
	char service[NAME_SIZE];
	struct discarded *discarded; /* of a removal of user data */
};

/** edge_now() - The loop's time, ms */
static inline uint64_t edge_now(const struct edge_server *es)
{
	return uv_now(es->setup.loop);
}

/* edge_operations.c */

/** edge_node_ops - The node's operations; their context is the edge server */
extern const struct es_node_ops edge_node_ops;

/** edge_service_of() - A service of the catalogue. Return: borrowed, or NULL */
const struct container_service *edge_service_of(const struct edge_server *es, const char *name);

/**
 * edge_open_to_requests() - The gateway may hand requests to a container
 *
 * A session may be older than the catalogue: its container lives on, but is not spoken to.
 *
 * Return: 0, or negative error code
 */
int edge_open_to_requests(struct edge_server *es, uint64_t session, uint32_t epoch,
			  const char *name, const struct container_address *where, struct err *err);

/** edge_close_to_requests() - The container of (session, epoch) has ended; a request it has is dropped */
void edge_close_to_requests(struct edge_server *es, uint64_t session, uint32_t epoch);

/** edge_container_ended() - Tell the node; the gateway does not speak to it any more */
void edge_container_ended(struct edge_server *es, uint64_t session, uint32_t epoch, int exit_code,
			  const char *reason);

/**
 * edge_data_removed() - Report the removal of a session's data, when their size is known (R15)
 * @es:		Edge server
 * @session:	Session
 * @number:	Requests that it has executed
 * @detail:	User, service and reason
 *
 * The removal of the container must be ordered next.
 */
void edge_data_removed(struct edge_server *es, uint64_t session, uint64_t number,
		       const char *detail);

/** edge_say_discarded() - Report removals of a session's data for which no container has to be removed */
void edge_say_discarded(struct edge_server *es, uint64_t session);

/**
 * edge_remove_container() - Remove a container, with its data
 * @es:		Edge server
 * @session:	Its session
 * @epoch:	of the container
 * @id:		Id, or name
 * @err:	Filled in on failure
 *
 * es_node_removed() follows.
 *
 * Return: 0, or negative error code
 */
int edge_remove_container(struct edge_server *es, uint64_t session, uint32_t epoch, const char *id,
			  struct err *err);

/* edge_later.c */

/** edge_tell_later() - An operation has failed at once: the node is told in a turn of its own */
void edge_tell_later(struct edge_server *es, enum later_kind kind, uint64_t session, uint32_t epoch,
		     const struct err *err);

/** edge_later_wake() - Tell the node of operations that failed at once; for @es->wake */
void edge_later_wake(uv_async_t *wake);

/* edge_parts.c */

/** edge_part_closed() - One part of the edge server that closes is closed */
void edge_part_closed(struct edge_server *es);

/* edge_protection.c */

/** edge_protection_open() - Get ready, if there is a directory for it. Return: 0, or negative error code */
int edge_protection_open(struct edge_server *es, struct err *err);

/** edge_protection_settle() - All sessions are known: remove cuts and logs of others, and what is doomed */
void edge_protection_settle(struct edge_server *es);

/** edge_protection_sweep() - Remove cuts that are doomed, in a thread */
void edge_protection_sweep(struct edge_server *es);

/* Operations of the node; @ctx is the edge server. */

/** edge_protection() - See @protection of struct es_node_ops */
uint64_t edge_protection(void *ctx, const char *service);

/** edge_keep_cut() - See @keep_cut of struct es_node_ops */
void edge_keep_cut(void *ctx, const struct es_migration_order *order);

/** edge_kept_cut() - See @kept_cut of struct es_node_ops */
int edge_kept_cut(void *ctx, uint64_t session, uint64_t executed, uint64_t *number);

/** edge_log_request() - See @log_request of struct es_node_ops */
int edge_log_request(void *ctx, uint64_t session, const struct wire_data *request, struct err *err);

/** edge_log_answer() - See @log_answer of struct es_node_ops */
void edge_log_answer(void *ctx, uint64_t session, uint64_t number, struct es_logged how);

/** edge_logged() - See @logged of struct es_node_ops */
int edge_logged(void *ctx, uint64_t session, uint64_t number, struct wire_data *request,
		struct es_logged *how, struct err *err);

/** edge_log_trim() - See @log_trim of struct es_node_ops */
void edge_log_trim(void *ctx, uint64_t session, uint64_t through);

/** edge_recover() - See @recover of struct es_node_ops */
void edge_recover(void *ctx, const struct es_migration_order *order);

/** edge_unprotect() - See @unprotect of struct es_node_ops */
void edge_unprotect(void *ctx, uint64_t session);

/* edge_adoption.c */

/** edge_withhold_fn - See edge_withhold() */
typedef int (*edge_withhold_fn)(struct edge_server *es, uint64_t session, const struct err *why,
				const struct container_found *f, struct err *err);

/**
 * edge_adopt() - Adopt the sessions of the journals, with their containers
 * @es:		Edge server
 * @found:	Containers of ours
 * @count:	of them
 * @withhold:	Called for each session that cannot be adopted: edge_withhold()
 * @sessions:	Set to how many sessions there are
 * @err:	Filled in on failure
 *
 * The container of a session that has moved on, or of an arrival that failed, is removed. One whose session
 * nobody knows is kept, for its journal may be lost, and the session is withheld.
 *
 * Return: 0, or negative error code
 */
int edge_adopt(struct edge_server *es, const struct container_found *found, size_t count,
	       edge_withhold_fn withhold, size_t *sessions, struct err *err);

/** edge_compare() - The engine was away: end those whose containers have ended, or are others now */
void edge_compare(void *ctx, const struct container_found *found, size_t count, uint64_t began_ms);

/**
 * edge_adopt_again() - Read a session again that is withheld
 * @found, @count: Containers of ours, as they are now
 *
 * Return: 0 if it is here now, or negative error code
 */
int edge_adopt_again(struct edge_server *es, const struct container_found *found, size_t count,
		     uint64_t session, struct err *err);

/* edge_disks.c */

/** edge_disks_new() - Begin to look at the disks; @es->containers are there. Return: 0, or negative error code */
int edge_disks_new(struct edge_server *es, struct err *err);

/* edge_withheld.c */

/**
 * edge_withhold() - A session's journal cannot be used: its user is refused, and does not begin anew (R15)
 * @es:		Edge server
 * @session:	Session
 * @why:	Of its file; NULL: there is none, and @f is a container of it
 * @f:		Container, or NULL
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int edge_withhold(struct edge_server *es, uint64_t session, const struct err *why,
		  const struct container_found *f, struct err *err);

/** edge_withheld_read() - Begin to read withheld sessions again, when it is time. After edge_adopt() */
void edge_withheld_read(struct edge_server *es);

/** edge_discard() - An operator discards a session, or one that is withheld. Return: 0, or negative error code */
int edge_discard(struct edge_server *es, uint64_t session, const char *who, struct err *err);

/** edge_restore() - An operator wants a session to go on. Return: 0, or negative error code */
int edge_restore(struct edge_server *es, uint64_t session, struct err *err);
