/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Metrics of migrations - how they ended, in which stage those that failed, how long each stage took
 *
 * Kept on the loop's thread, when a migration's own has ended.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"

struct migration;

#define MIGRATION_STAGES_MAX 8

/** enum migration_side - Where a container goes away, or arrives */
enum migration_side { MIGRATION_SOURCE, MIGRATION_DESTINATION, MIGRATION_SIDES };

/** struct migration_metrics - By side; stages as in migration_controller_stage() */
struct migration_metrics {
	struct {
		uint64_t good;
		uint64_t cancelled; /* the user moved on, or the edge server stops */
		uint64_t lasting;   /* of @failed: would fail again */
		uint64_t failed[MIGRATION_STAGES_MAX];
		struct histogram stage[MIGRATION_STAGES_MAX];
		struct histogram freeze; /* source: of its cut */
		uint64_t sent_bytes;     /* source: after the cut */
	} side[MIGRATION_SIDES];
};

/** migration_metrics_ended() - The thread of @m has ended */
void migration_metrics_ended(struct migration_metrics *to, const struct migration *m);
