/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Metrics of an edge server - shown by report/monitor.h
 */

#include <stdint.h>

struct edge_server_setup;
struct es_inquiry;
struct exposition;

/**
 * struct es_metrics - Counts of events as they happen; the rest is read on request
 * @executed:	requests that containers answered
 * @in_doubt:	requests of which nobody knows whether they were executed (R1)
 * @died:	containers that died while they had a session
 */
struct es_metrics {
	double since;
	uint64_t executed;
	uint64_t in_doubt;
	uint64_t died;
};

/** es_metrics_write() - Write all of them */
void es_metrics_write(const struct es_metrics *m, const struct edge_server_setup *setup,
		      const struct es_inquiry *q, struct exposition *x);
