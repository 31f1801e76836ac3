/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge server - ties the session logic (core/es/node.h) to Docker, CRIU, network and disk
 */

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "core/common/policy.h"
#include "es/container/management.h"
#include "es/migration/controller.h"
#include "net/link.h"

struct edge_server; /* opaque */
struct err;
struct log_reporter;
struct tls_context;

/**
 * struct edge_neighbour - Another edge server
 * @name:	As in its certificate
 * @transfer:	"IP:PORT" where it accepts migrations
 */
struct edge_neighbour {
	const char *name;
	const char *transfer;
};

/**
 * struct edge_server_setup - Setup of an edge server; all of it must outlive the edge server
 * @listen:	"IP:PORT" for access points and operators
 * @monitor_listen: "IP:PORT" for metrics; NULL: nowhere
 * @service, @services: the catalogue to begin with; needed for edge_server_new() only
 * @edge, @edges: other edge servers
 * @state_dir:	for the session store
 * @spool_dir, @spool_bytes: where long requests and answers lie, and how much of them
 *	(base/spool.h)
 * @reserve_bytes: of state_dir, for session journals when it is full (es/journal/journal_reserve.h)
 * @sync_ms:	time after which journals reach the disk; 0: before requests run
 * @serving:	called once when it listens; may be NULL
 * @failed:	called once if the edge server cannot start its work after all; stop then
 */
struct edge_server_setup {
	uv_loop_t *loop;
	struct tls_context *tls;
	struct log_reporter *reporter;
	const char *name;
	const char *listen;
	const char *monitor_listen;
	const char *state_dir;
	const char *spool_dir;
	uint64_t spool_bytes;
	uint64_t reserve_bytes;
	uint64_t sync_ms;
	const struct policy *policy;
	struct link_limits limits;
	const struct container_config *containers;
	const struct migration_config *migration;
	const struct container_service *service;
	size_t services;
	const struct edge_neighbour *edge;
	size_t edges;
	void (*serving)(void *ctx);
	void (*failed)(void *ctx, const char *reason);
	void *ctx;
};

/**
 * edge_server_new() - Start an edge server
 * @ret:	Set on success only; the caller owns it, see edge_server_close()
 * @setup:	Its parts and settings, copied
 * @err:	Filled in on failure
 *
 * Containers of sessions known from before a restart are adopted, those of no session removed;
 * after that it listens.
 *
 * Return: 0, or negative error code
 */
int edge_server_new(struct edge_server **ret, const struct edge_server_setup *setup,
		    struct err *err);

/**
 * edge_server_offer() - Offer these services from now on, and no others
 * @es:		Edge server
 * @service, @services: the catalogue, copied
 * @err:	Filled in on failure; then nothing has changed
 *
 * Sessions keep the containers they have, and move with them.
 *
 * Return: 0, or negative error code
 */
int edge_server_offer(struct edge_server *es, const struct container_service *service,
		      size_t services, struct err *err);

/**
 * struct edge_server_change - Settings that change while all runs
 * @edge, @edges: other edge servers; borrowed until the next change, or edge_server_close()
 * @migrations_max: of struct migration_config, both ways
 * The others as in struct edge_server_setup; copied
 */
struct edge_server_change {
	const struct policy *policy;
	struct link_limits limits;
	const struct edge_neighbour *edge;
	size_t edges;
	uint64_t spool_bytes;
	uint32_t migrations_max;
};

/** edge_server_change() - Other edge servers and limits; no link ends, migrations that run go on */
void edge_server_change(struct edge_server *es, const struct edge_server_change *change);

/**
 * edge_server_close() - Stop: migrations are undone, containers run on
 * @es:		Edge server, or NULL
 * @closed:	Called on the loop when all is released; may be NULL. That may take drain_ms of the
 *		policy: requests that containers have are waited for, others are not begun
 * @ctx:	Handed to @closed
 */
void edge_server_close(struct edge_server *es, void (*closed)(void *ctx), void *ctx);
