/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inquiries of operators at an edge server, answered in JSON
 *
 *	status			{"node", "role": "es", "sessions": N, "certificate_days": N,
 *				 "access_points": {NAME: true},
 *				 "full": [{"what", "path", "bytes", "free", "trouble"}]}
 *	sessions		{"node", "role": "es", "sessions": [{"session", "mud", "service",
 *				 "state", "epoch", "association", "executed", "queued", "cached",
 *				 "migration", "peer", "ap", "removing", "starting", "gone",
 *				 "restarts", "memory_from", "silent_ms", "reason"}],
 *				 "unclaimed": [{"session", "service", "container", "reason"}]}
 *	drain, undrain	see es_node_drain()
 *	restore SESSION	see es_node_allow_start(), edge_restore()
 *	discard SESSION	see edge_discard()
 *	check CONTAINER obstacles to a migration, see migration_controller_check()
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "es/container/management.h"

struct ap_links;
struct disks;
struct err;
struct es_node;
struct link;
struct migration_controller;
struct wire_message;

/**
 * struct es_unclaimed - A session that is withheld (core/es/withheld.c), with what is here of it
 * @session:	Its number
 * @code:	Why its journal cannot be used; 0: there is none
 * @service:	Of its container
 * @container:	Id; empty: none is here
 */
struct es_unclaimed {
	uint64_t session;
	int code;
	char service[NAME_SIZE];
	char container[CONTAINER_ID_SIZE];
};

/**
 * struct es_inquiry - Sources of the answers, borrowed for the call; days until our certificate
 * ends
 * @disks:	NULL: not known yet
 * @unclaimed, @unclaimed_count: Sessions that are withheld
 * @decide:	An operator discards a session (@discard), or has its container start again
 * @drain:	Begins (@drained) or ends to drain, as operator @operator wants; gets @ctx
 */
struct es_inquiry {
	const char *name;
	const struct es_node *node;
	const struct ap_links *aps;
	struct migration_controller *migrations;
	int64_t certificate_days;
	const struct disks *disks;
	const struct es_unclaimed *unclaimed;
	size_t unclaimed_count;
	int (*decide)(void *ctx, uint64_t session, bool discard, const char *operator,
		      struct err * err);
	int (*drain)(void *ctx, bool drained, const char *operator, struct err * err);
	void *ctx;
};

/**
 * es_inquiry_answer() - Answer an INQUIRY that came by @l, now or when a check has ended
 *
 * The link's data (link_set_data()) is in use while a check runs. A check whose link has gone,
 * however it ended, has nobody to tell.
 */
void es_inquiry_answer(const struct es_inquiry *q, struct link *l, const struct wire_message *m);
