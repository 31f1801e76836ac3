/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/metrics.h"

#include "ap/inquiry.h"
#include "ap/links/edge_links.h"
#include "ap/links/handoff_links.h"
#include "ap/links/mud_links.h"
#include "ap/users.h"
#include "report/common_metrics.h"
#include "report/exposition.h"

void ap_metrics_init(struct ap_metrics *m, const char *state_dir, const char *spool_dir)
{
	*m = (struct ap_metrics){ .since = common_metrics_now(),
				  .state_dir = state_dir,
				  .spool_dir = spool_dir };
}

void ap_metrics_moved(struct ap_metrics *m, const struct ap_moved *moved)
{
	m->moves[moved->result]++;
	if (moved->result != AP_RESULT_MOVED)
		return;
	histogram_add(&m->move, (double)moved->total_ms / 1000);
	if (moved->freeze_us)
		histogram_add(&m->freeze, (double)moved->freeze_us / 1000000);
	m->replayed += moved->replayed;
	m->held += moved->held;
}

/* Sums over all sessions */
struct sums {
	uint64_t state[AP_STATES];
	uint64_t waiting;
	double bytes;
};

static void add_session(void *ctx, const struct ap_session_view *s)
{
	struct sums *sums = ctx;

	sums->state[s->state]++;
	sums->waiting += s->highest - s->floor;
	sums->bytes += (double)s->copies_bytes;
}

static void write_sessions(const struct inquiry_view *v, struct exposition *x)
{
	struct sums sums = { 0 };

	ap_node_each(v->node, add_session, &sums);
	exposition_family(x, "baton_sessions", "gauge", "Sessions by state.");
	for (int i = 0; i < AP_ENDED; i++)
		exposition_sample(x, (double)sums.state[i], "state",
				  ap_state_name((enum ap_state)i), NULL);
	exposition_one(x, "baton_copies", "gauge", "Requests in replay buffers.",
		       (double)sums.waiting);
	exposition_one(x, "baton_copies_bytes", "gauge", "Bytes in replay buffers.", sums.bytes);
	exposition_one(x, "baton_devices", "gauge", "Devices that are connected.",
		       (double)mud_links_count(v->muds));
	exposition_one(x, "baton_users", "gauge", "Ordinary users that are known.",
		       (double)users_count(v->users));
	exposition_one(x, "baton_datagrams_dropped_total", "counter",
		       "Datagrams of users that found no room or no answer.",
		       (double)users_dropped(v->users));
}

static void write_requests(const struct inquiry_view *v, struct exposition *x)
{
	const struct ap_counts c = ap_node_counts(v->node);

	exposition_one(x, "baton_requests_total", "counter", "Requests taken, each once.",
		       (double)c.requests);
	exposition_one(x, "baton_answers_total", "counter", "Answers given.", (double)c.answers);
	exposition_one(x, "baton_requests_held_up_total", "counter",
		       "Requests not taken because a replay buffer was full; they come again.",
		       (double)c.not_taken);
	exposition_one(x, "baton_answers_in_doubt_total", "counter",
		       "Answers that say that nobody knows whether the request was executed.",
		       (double)c.in_doubt);
	exposition_one(x, "baton_sessions_lost_total", "counter", "Sessions that were lost.",
		       (double)c.lost);
}

static void write_moves(const struct ap_metrics *m, const struct inquiry_view *v,
			struct exposition *x)
{
	exposition_family(x, "baton_moves_total", "counter", "Moves of containers by result.");
	for (int i = 0; i < AP_RESULTS; i++)
		exposition_sample(x, (double)m->moves[i], "result",
				  ap_result_name((enum ap_result)i), NULL);
	exposition_one(x, "baton_moves_given_up_total", "counter",
		       "Moves not tried again, for their reason is a lasting one.",
		       (double)ap_node_counts(v->node).given_up);
	exposition_family(x, "baton_move_seconds", "histogram",
			  "From the beginning of a move to the switch (T6 to T8).");
	exposition_histogram(x, &m->move, NULL);
	exposition_family(x, "baton_move_freeze_seconds", "histogram",
			  "How long a container stood still to be moved.");
	exposition_histogram(x, &m->freeze, NULL);
	exposition_one(x, "baton_requests_replayed_total", "counter",
		       "Copies of requests that both containers executed (T7).",
		       (double)m->replayed);
	exposition_one(x, "baton_requests_held_total", "counter",
		       "Requests that waited for the new container to have authority.",
		       (double)m->held);
}

static void edge_server_up(void *ctx, const char *name, bool up)
{
	exposition_sample(ctx, up, "role", "es", "peer", name, NULL);
}

static void access_point_up(void *ctx, const char *name, bool up)
{
	exposition_sample(ctx, up, "role", "ap", "peer", name, NULL);
}

void ap_metrics_write(const struct ap_metrics *m, const struct inquiry_view *v,
		      struct log_reporter *reporter, struct exposition *x)
{
	const struct common_directory directories[] = {
		{ "state_dir", m->state_dir },
		{ "spool_dir", m->spool_dir },
	};

	common_metrics_write(x, m->since, v->certificate_days);
	common_metrics_events(x, reporter);
	common_metrics_disks(x, directories, 2);
	write_sessions(v, x);
	write_requests(v, x);
	write_moves(m, v, x);
	exposition_family(x, "baton_peer_up", "gauge", "Whether there is a link to a neighbour.");
	edge_links_each(v->edges, edge_server_up, x);
	handoff_links_each(v->aps, access_point_up, x);
}
