/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Disks of an edge server - while one is full, nothing new is taken; sessions that are here go on
 */

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "es/edge_inner.h"
#include "es/journal/session_store.h"
#include "report/disks.h"

enum { STATE_DIR, ENGINE_DIR, CHECKPOINT_DIR, IMAGE_DIR, SPOOL_DIR, PROTECT_DIR, PLACES };

#define MB 1000000.0

/* struct waiting - Sessions whose records could not be written, and why that of one of them */
struct waiting {
	size_t count;
	const char *why;
};

static void count_waiting(void *ctx, const struct es_session_view *v)
{
	struct waiting *w = ctx;

	if (!v->unwritten)
		return;
	w->count++;
	w->why = v->unwritten;
}

static void note_trouble(struct edge_server *es)
{
	struct session_store_room room = session_store_fill(es->store);
	struct waiting w = { 0 };
	char text[WIRE_REASON_SIZE] = "";

	es_node_each(es->node, count_waiting, &w);
	if (w.count)
		(void)snprintf(text, sizeof(text), "%zu sessions wait to be written: %.160s",
			       w.count, w.why);
	else if (room.left < room.wanted && disks_view(es->disks, STATE_DIR).low)
		(void)snprintf(text, sizeof(text),
			       "%.1f MB of the %.1f MB reserved for journals are left",
			       (double)room.left / MB, (double)room.wanted / MB);
	disks_trouble(es->disks, STATE_DIR, text);
}

static void on_looked(void *ctx)
{
	static const int needed[] = { STATE_DIR, ENGINE_DIR };
	struct edge_server *es = ctx;
	char reason[WIRE_REASON_SIZE] = "";

	if (es->stopped)
		return;
	note_trouble(es);
	for (size_t i = 0; i < ARRAY_SIZE(needed) && !reason[0]; i++) {
		const struct disks_view v = disks_view(es->disks, (size_t)needed[i]);

		if (v.low || v.trouble[0])
			(void)snprintf(reason, sizeof(reason),
				       "%s takes nothing new, for its %s is full: %.1f MB of "
				       "%.1f MB are free",
				       es->setup.name, v.what, (double)v.free / MB,
				       (double)v.bytes / MB);
	}
	es_node_full(es->node, reason[0] ? reason : NULL);
}

int edge_disks_new(struct edge_server *es, struct err *err)
{
	const struct disks_place place[PLACES] = {
		[STATE_DIR] = { "state_dir", es->setup.state_dir,
				"new sessions and moves to here are refused, and others wait when "
				"the reserve for journals is used up: make room" },
		[ENGINE_DIR] = { "engine's data", container_management_data(es->containers),
				 "new sessions and moves to here are refused, and services may "
				 "fail: make room (docker system df)" },
		[CHECKPOINT_DIR] = { "checkpoint_dir", es->setup.migration->checkpoint_dir,
				     "containers do not move, unless they are small: make room" },
		[IMAGE_DIR] = { "image_dir", es->setup.migration->image_dir,
				"containers do not come whose images are not here: make room" },
		[SPOOL_DIR] = { "spool_dir", es->setup.spool_dir,
				"long requests and answers are refused: make room" },
		[PROTECT_DIR] = { "protect_dir", es->setup.migration->protect_dir,
				  "cuts of protected services are not kept, and a crash may cost "
				  "them their memory: make room" },
	};

	return disks_new(&es->disks, es->setup.loop, place, PLACES, on_looked, es, err);
}
