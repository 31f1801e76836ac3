/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Metrics of an access point - shown by report/monitor.h
 */

#include <stdint.h>

#include "base/histogram.h"
#include "core/ap/node.h"

struct exposition;
struct inquiry_view;
struct log_reporter;

/**
 * struct ap_metrics - Counts of events as they happen; the rest is read on request
 * @moves:	by how they ended
 * @move, @freeze: of those that were good
 * @state_dir, @spool_dir: directories whose room is shown; borrowed
 */
struct ap_metrics {
	double since;
	uint64_t moves[AP_RESULTS];
	struct histogram move;
	struct histogram freeze;
	uint64_t replayed;
	uint64_t held;
	const char *state_dir;
	const char *spool_dir;
};

/** ap_metrics_init() - Begin to count; the directories are borrowed for the life of @m */
void ap_metrics_init(struct ap_metrics *m, const char *state_dir, const char *spool_dir);

/** ap_metrics_moved() - An attempt has ended */
void ap_metrics_moved(struct ap_metrics *m, const struct ap_moved *moved);

/** ap_metrics_write() - Write all of them; @reporter may be NULL */
void ap_metrics_write(const struct ap_metrics *m, const struct inquiry_view *v,
		      struct log_reporter *reporter, struct exposition *x);
