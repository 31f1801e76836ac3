/* SPDX-License-Identifier: Apache-2.0 */
#include "es/metrics.h"

#include "base/auto.h"
#include "core/es/node.h"
#include "es/ap_links.h"
#include "es/edge_server.h"
#include "es/inquiry.h"
#include "es/migration/common/metrics.h"
#include "es/migration/controller.h"
#include "report/common_metrics.h"
#include "report/exposition.h"

static const char *const sides[MIGRATION_SIDES] = {
	[MIGRATION_SOURCE] = "source",
	[MIGRATION_DESTINATION] = "destination",
};

/* Sums over all sessions */
struct sums {
	uint64_t state[WIRE_ES_LOST + 1];
	double queued;
	double cached;
};

static void add_session(void *ctx, const struct es_session_view *v)
{
	struct sums *sums = ctx;

	sums->state[v->record.state]++;
	sums->queued += (double)v->queued;
	sums->cached += (double)v->cached;
}

static void write_sessions(const struct es_inquiry *q, struct exposition *x)
{
	struct sums sums = { 0 };

	es_node_each(q->node, add_session, &sums);
	exposition_family(x, "baton_sessions", "gauge", "Sessions by state.");
	for (int i = WIRE_ES_NONE + 1; i <= WIRE_ES_LOST; i++)
		exposition_sample(x, (double)sums.state[i], "state",
				  wire_es_state_name((enum wire_es_state)i), NULL);
	exposition_one(x, "baton_requests_queued", "gauge", "Requests that wait for containers.",
		       sums.queued);
	exposition_one(x, "baton_answers_cached", "gauge", "Answers kept to be asked for again.",
		       sums.cached);
}

static void write_results(const struct es_inquiry *q, struct exposition *x)
{
	const struct migration_metrics *m = migration_controller_metrics(q->migrations);

	exposition_family(x, "baton_migrations_running", "gauge",
			  "Migrations from here and to here at this time.");
	for (int s = 0; s < MIGRATION_SIDES; s++)
		exposition_sample(
			x,
			(double)migration_controller_running(q->migrations, s == MIGRATION_SOURCE),
			"side", sides[s], NULL);
	exposition_family(x, "baton_migrations_total", "counter",
			  "Migrations by result, and by the stage in which they failed.");
	for (int s = 0; s < MIGRATION_SIDES; s++) {
		exposition_sample(x, (double)m->side[s].good, "side", sides[s], "result", "good",
				  "stage", "", NULL);
		exposition_sample(x, (double)m->side[s].cancelled, "side", sides[s], "result",
				  "cancelled", "stage", "", NULL);
		for (size_t i = 0; migration_controller_stage(q->migrations, i); i++)
			exposition_sample(x, (double)m->side[s].failed[i], "side", sides[s],
					  "result", "failed", "stage",
					  migration_controller_stage(q->migrations, i), NULL);
	}
	exposition_family(
		x, "baton_migrations_lasting_total", "counter",
		"Failed migrations that would fail again until somebody changes something.");
	for (int s = 0; s < MIGRATION_SIDES; s++)
		exposition_sample(x, (double)m->side[s].lasting, "side", sides[s], NULL);
}

static void write_stages(const struct es_inquiry *q, struct exposition *x)
{
	const struct migration_metrics *m = migration_controller_metrics(q->migrations);

	exposition_family(x, "baton_stage_seconds", "histogram",
			  "How long each stage of a migration took.");
	for (int s = 0; s < MIGRATION_SIDES; s++) {
		for (size_t i = 0; migration_controller_stage(q->migrations, i); i++)
			exposition_histogram(x, &m->side[s].stage[i], "side", sides[s], "stage",
					     migration_controller_stage(q->migrations, i), NULL);
	}
	exposition_family(x, "baton_cut_freeze_seconds", "histogram",
			  "How long a cut froze a container here.");
	exposition_histogram(x, &m->side[MIGRATION_SOURCE].freeze, NULL);
	exposition_one(x, "baton_cut_sent_bytes_total", "counter",
		       "Memory and changed files that went after a cut, before compression.",
		       (double)m->side[MIGRATION_SOURCE].sent_bytes);
}

static void access_point_up(void *ctx, const char *name)
{
	exposition_sample(ctx, 1, "role", "ap", "peer", name, NULL);
}

void es_metrics_write(const struct es_metrics *m, const struct edge_server_setup *setup,
		      const struct es_inquiry *q, struct exposition *x)
{
	const struct common_directory directories[] = {
		{ "state_dir", setup->state_dir },
		{ "checkpoint_dir", setup->migration->checkpoint_dir },
		{ "image_dir", setup->migration->image_dir },
		{ "spool_dir", setup->spool_dir },
	};

	common_metrics_write(x, m->since, q->certificate_days);
	common_metrics_events(x, setup->reporter);
	common_metrics_disks(x, directories, ARRAY_SIZE(directories));
	write_sessions(q, x);
	exposition_one(x, "baton_requests_executed_total", "counter",
		       "Requests that containers have answered.", (double)m->executed);
	exposition_one(x, "baton_requests_in_doubt_total", "counter",
		       "Requests of which nobody knows whether they were executed.",
		       (double)m->in_doubt);
	exposition_one(x, "baton_containers_died_total", "counter",
		       "Containers that died while they had a session.", (double)m->died);
	exposition_one(x, "baton_drained", "gauge", "Whether an operator has drained it.",
		       es_node_drained(q->node));
	write_results(q, x);
	write_stages(q, x);
	exposition_family(x, "baton_peer_up", "gauge", "Access points that are connected.");
	ap_links_each(q->aps, access_point_up, x);
}
