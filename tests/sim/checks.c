/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What must hold - R1 to R12 as far as they show in the model
 *
 *	R1  every answer tells count and hash chain of the service: exactly the requests up to its
 *	    number, once each, in order (check_answer)
 *	R2  memory and file of a restored copy agree (engine.c, restored); nothing runs in a cut
 *	R3  a container that had authority is removed only when a later one has it (check_removal)
 *	R4  at most one container has authority, ever (check_always), and no answer comes from one
 *	    that never had it (check_delivery); a fenced one executes nothing (engine.c, executed)
 *	R5  a copy that answered otherwise never gets authority (engine.c, persist)
 *	R6  replay that cannot catch up still ends (check_end; small replay buffers in some runs)
 *	R7  access points crash and forget all, and R8 devices move at any time (faults.c)
 *	R9  buffers keep their limits (check_always)
 *	R10 after the last fault all requests get answered, nothing is left over (check_end)
 *	R11 a rogue access point is never in charge (check_always) and never learns a secret
 *	    (check_stranger)
 *	R12 nothing runs in a cut (engine.c, take_cut and executed); a cut waits for a bounded time
 *	    only (check_draining)
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "world.h"

void violated(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
	trace(w, "VIOLATED: %s", w->why);
}

void trace(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->trace)
		return;
	(void)printf("[%6llu] ", (unsigned long long)w->now);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)printf("\n");
}

/* Half of the users send now and then a request that is too long for one piece. */
enum wire_segment part_of(const struct mud *m, uint64_t number)
{
	static const enum wire_segment segments[8] = {
		[2] = WIRE_SEGMENT_BEGIN, [3] = WIRE_SEGMENT_MORE, [4] = WIRE_SEGMENT_LAST
	};

	return m->long_requests ? segments[number % 8] : WIRE_SEGMENT_WHOLE;
}

struct state state_after(struct state before, uint64_t session, uint64_t number)
{
	uint64_t h = (before.chain ^ session) * 0x9e3779b97f4a7c15ull + number;

	h ^= h >> 29;
	return (struct state){ .count = before.count + 1,
			       .chain = h * 0xbf58476d1ce4e5b9ull,
			       .lines = before.lines + 1 };
}

static bool same_state(struct state a, struct state b)
{
	return a.count == b.count && a.chain == b.chain && a.lines == b.lines;
}

/* One more answer in order. After "in doubt" the request may have been executed or not. */
static void expect_next(struct world *w, struct mud *m, uint64_t number)
{
	struct state next[2];
	size_t count = 0;

	if (m->held_status[number % HELD_MAX] == WIRE_E_IN_DOUBT) {
		if (m->expected_count == 2) /* two doubts in a row: follow the last answer's word */
			m->expected_count = 0;
		if (m->expected_count == 1) {
			m->expected[1] = state_after(m->expected[0], m->session, number);
			m->expected_count = 2;
		}
		return;
	}
	if (number <= m->unchecked_through)
		m->expected_count = 0;
	for (size_t i = 0; i < m->expected_count; i++) {
		struct state s = state_after(m->expected[i], m->session, number);

		if (same_state(s, m->held[number % HELD_MAX]))
			next[count++] = s;
	}
	if (m->expected_count && !count)
		violated(w, "%s: the answer to %llu is of another history (count %llu)", m->name,
			 (unsigned long long)number,
			 (unsigned long long)m->held[number % HELD_MAX].count);
	m->expected[0] = count ? next[0] : m->held[number % HELD_MAX];
	m->expected_count = 1;
}

void check_answer(struct world *w, struct mud *m, const struct wire_data *answer)
{
	uint64_t n = answer->number;

	if (n == 0 || n > m->sent) {
		violated(w, "%s: an answer to %llu, which was not sent", m->name,
			 (unsigned long long)n);
		return;
	}
	if (n <= m->answered || m->seen[n % HELD_MAX]) {
		violated(w, "%s: two answers to %llu", m->name, (unsigned long long)n);
		return;
	}
	m->seen[n % HELD_MAX] = true;
	m->held_status[n % HELD_MAX] = answer->status;
	if (answer->status == WIRE_OK) {
		if (answer->len != 32 || get_be64(answer->bytes) != n) {
			violated(w, "%s: the answer to %llu belongs to another request", m->name,
				 (unsigned long long)n);
			return;
		}
		m->held[n % HELD_MAX] = (struct state){ .count = get_be64(answer->bytes + 8),
							.chain = get_be64(answer->bytes + 16),
							.lines = get_be64(answer->bytes + 24) };
	}
	while (m->answered < m->sent && m->seen[(m->answered + 1) % HELD_MAX]) {
		m->seen[++m->answered % HELD_MAX] = false;
		expect_next(w, m, m->answered);
	}
}

/* The session's state at an edge server, also while its program is down: by what it wrote down. */
static const struct es_record *record_at(struct world *w, unsigned int edge, uint64_t session)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct record_slot *r = &w->edge[edge].record[i];

		if (r->used && r->record.session == session)
			return &r->record;
	}
	return NULL;
}

/* An answer on its way to a device must be one of a container that has, or had, authority (R4). */
void check_delivery(struct world *w, struct mud *m, const struct wire_data *answer)
{
	if (m->excused || m->lost)
		return;
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		const struct es_record *r = record_at(w, i, m->session);

		if (r &&
		    (r->state == WIRE_ES_ACTIVE || r->state == WIRE_ES_FENCED ||
		     r->state == WIRE_ES_LOST) &&
		    (r->executed >= answer->number || r->started == answer->number))
			return;
	}
	violated(w, "the answer to %llu of %s comes from a container without authority",
		 (unsigned long long)answer->number, m->name);
}

/* Nobody that is no part of the edge may learn what proves a session (R11). */
void check_stranger(struct world *w, const char *from, const char *to, const struct wire_message *m)
{
	static const uint8_t nothing[WIRE_SECRET_SIZE];
	const uint8_t *secret = NULL;

	if (m->type == WIRE_MOVE_RESPONSE)
		secret = m->move_response.secret;
	else if (m->type >= WIRE_STATUS && m->type <= WIRE_REFUSED)
		secret = m->es_status.secret;
	if (secret && memcmp(secret, nothing, WIRE_SECRET_SIZE) != 0)
		violated(w, "%s tells %s the secret of a session", from, to);
}

/* A device gets nothing of another's session (R11). */
void check_rogue(struct world *w, const char *from, const struct wire_message *m)
{
	bool welcome =
		(m->type == WIRE_REASSOCIATION_RESPONSE || m->type == WIRE_ASSOCIATION_RESPONSE) &&
		m->association_response.status == WIRE_OK;

	if (welcome || m->type == WIRE_ANSWER || m->type == WIRE_EDGE_NOTICE)
		violated(w, "%s takes a rogue device for another", from);
}

/*
 * Whether this is a container that nobody was told of. An access point that dies between CREATE and its answer
 * has its successor ask again; if the home edge server was drained or undrained meanwhile, that asks another
 * one. The secret of the first is nobody's (R11), so it executes nothing, and ends by itself.
 */
static bool nobodys(struct world *w, unsigned int edge, const struct es_record *r)
{
	if (!w->plan.operator|| r->epoch != 1 || r->executed || r->started)
		return false;
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		const struct es_record *other = record_at(w, i, r->session);

		if (i != edge && other && !proof_equal(other->secret, r->secret))
			return true;
	}
	return false;
}

/* The same of a container whose record is gone already: it is as it was made, and the session has another one. */
static bool nobodys_container(struct world *w, int edge, const struct container *c)
{
	if (!w->plan.operator|| c->epoch != 1 || c->running || c->state.count)
		return false;
	for (unsigned int i = 0; i < w->plan.edges; i++)
		if ((int)i != edge && record_at(w, i, c->session))
			return true;
	return false;
}

void check_removal(struct world *w, int edge, const struct container *c)
{
	if (!c->authority)
		return;
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		const struct es_record *r = record_at(w, i, c->session);

		if (r && (int)i != edge && r->epoch > c->epoch &&
		    (r->state == WIRE_ES_ACTIVE || r->state == WIRE_ES_FENCED ||
		     r->state == WIRE_ES_LOST))
			return;
	}
	const struct es_record *here = record_at(w, (unsigned int)edge, c->session);
	if (here && here->container_epoch > c->epoch &&
	    engine_find(w, edge, c->session, here->container_epoch))
		return; /* it was recovered */
	if (here ? nobodys(w, (unsigned int)edge, here) : nobodys_container(w, edge, c))
		return;
	const struct mud *m = mud_by_session(w, c->session);
	if (!m || m->lost || m->excused || m->done ||
	    m->left) /* nobody: a device left before it was served */
		return;
	violated(w, "%s removes a container of %s that nobody succeeds", w->edge[edge].es_name,
		 m->name);
}

static void check_session(struct world *w, const struct mud *m)
{
	unsigned int active = 0;

	for (unsigned int i = 0; i < w->plan.edges; i++) {
		const struct es_record *r = record_at(w, i, m->session);

		if (!r)
			continue;
		active += r->state == WIRE_ES_ACTIVE && !nobodys(w, i, r);
		if (strcmp(r->ap, "AP-rogue") == 0)
			violated(w, "a rogue access point is in charge of %s", m->name);
	}
	if (active > 1)
		violated(w, "%u containers of %s have authority", active, m->name);
}

static void check_limits(void *ctx, const struct ap_session_view *v)
{
	struct world *w = ctx;

	if (v->copies_bytes > w->policy.copies_bytes_max ||
	    v->highest - v->floor > w->policy.copies_max)
		violated(w, "a replay buffer exceeds its limit");
}

/* A cut that waits for a request does so for a bounded time (R12). */
static void check_draining(struct world *w, int edge, const struct es_session_view *v)
{
	struct mud *m = mud_by_session(w, v->record.session);

	if (!m)
		return;
	if (!v->held || !v->record.started)
		m->draining[edge] = 0;
	else if (!m->draining[edge])
		m->draining[edge] = w->now;
	else if (w->now > m->draining[edge] + w->policy.drain_ms + 50)
		violated(w, "%s: a cut waits for request %llu without end", m->name,
			 (unsigned long long)v->record.started);
}

struct at_edge {
	struct world *world;
	int edge;
};

/* A container that has authority runs, whatever a cut has left of it (R17). A cut takes 41 ms at most. */
static void check_frozen(struct world *w, int edge, const struct es_session_view *v)
{
	const struct container *c =
		engine_find(w, edge, v->record.session, v->record.container_epoch);

	if (c && c->frozen && v->record.state == WIRE_ES_ACTIVE && w->now > c->frozen_since + 300)
		violated(w, "the container of session %llx is left frozen",
			 (unsigned long long)v->record.session);
}

static void check_es_session(void *ctx, const struct es_session_view *v)
{
	const struct at_edge *at = ctx;

	check_frozen(at->world, at->edge, v);
	check_draining(at->world, at->edge, v);
}

/* After each event, of what may have changed by it: half a run's time went into looking at the rest. */
/* The next deadline of a node is that of the session that is due first (R9: every wait ends). */
static void check_deadlines(struct world *w, const struct edge *e)
{
	if (e->ap && ap_node_deadline(e->ap) != ap_node_deadline_by_walk(e->ap))
		violated(w, "%s: a session's deadline has changed unnoticed", e->ap_name);
	if (e->es && es_node_deadline(e->es) != es_node_deadline_by_walk(e->es))
		violated(w, "%s: a session's deadline has changed unnoticed", e->es_name);
}

void check_always(struct world *w)
{
	for (unsigned int i = 0; w->records_changed && i < w->plan.muds; i++)
		check_session(w, &w->mud[i]);
	w->records_changed = false;
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (w->edge[i].ap && w->edge[i].ap_touched)
			ap_node_each(w->edge[i].ap, check_limits, w);
		w->edge[i].ap_touched = false;
		check_deadlines(w, &w->edge[i]);
	}
}

/* Every 10 ms: what must not take too long. */
void check_waits(struct world *w)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (w->edge[i].es)
			es_node_each(w->edge[i].es, check_es_session,
				     &(struct at_edge){ w, (int)i });
	}
}

struct serving {
	struct world *world;
	const struct mud *mud;
	bool found;
	char place[NAME_SIZE]; /* empty: anywhere */
};

static bool drained(struct world *w, const char *es)
{
	int edge = edge_by_es(w, es);

	return edge >= 0 && w->edge[edge].drained;
}

/* Where a container belongs: as wished, or at home, or with the first that is not drained; or empty */
static const char *place_of(struct world *w, const struct ap_session_view *v)
{
	const struct mud *m = mud_by_session(w, v->session);

	if (v->wish[0] && !drained(w, v->wish))
		return v->wish;
	if (!w->edge[m->at].drained)
		return w->edge[m->at].es_name;
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (!w->edge[i].drained)
			return w->edge[i].es_name;
	}
	return "";
}

static bool has_authority(struct world *w, const char *es, const struct mud *m)
{
	const struct es_record *r = record_at(w, (unsigned int)edge_by_es(w, es), m->session);

	return r && r->state == WIRE_ES_ACTIVE;
}

static void is_serving(void *ctx, const struct ap_session_view *v)
{
	struct serving *s = ctx;

	if (v->session == s->mud->session && v->state == AP_SERVING) {
		s->found = true;
		(void)snprintf(s->place, NAME_SIZE, "%s", place_of(s->world, v));
	}
}

static bool mud_at_rest(struct world *w, const struct mud *m)
{
	struct serving s = { .world = w, .mud = m };

	if (m->answered < m->goal)
		return false;
	if (!w->edge[m->at].ap || !w->edge[m->at].es)
		return false;
	ap_node_each(w->edge[m->at].ap, is_serving, &s);
	if (m->diverges)
		return s.found;
	return s.found && (!s.place[0] || has_authority(w, s.place, m));
}

static void count_moving(void *ctx, const struct ap_session_view *v)
{
	*(unsigned int *)ctx += v->state >= AP_TRACING && v->state <= AP_GOING_BACK;
}

/* Whether everything came right: called now and then after the last fault. */
static const char *not_at_rest(struct world *w)
{
	unsigned int wanted = 0;
	unsigned int containers = 0;

	for (unsigned int i = 0; i < w->plan.muds; i++) {
		const struct mud *m = &w->mud[i];

		if (m->lost)
			continue;
		if (!mud_at_rest(w, m))
			return m->name;
		wanted++;
	}
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		for (int k = 0; k < SESSIONS_MAX; k++)
			containers += w->edge[i].container[k].present;
	}
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		unsigned int sessions = 0;

		if (!w->edge[i].ap)
			return w->edge[i].ap_name;
		ap_node_each(w->edge[i].ap, count_moving, &sessions);
		if (w->edge[i].moving != sessions)
			return "the end of a move was not reported";
	}
	return containers == wanted ? NULL : "containers are left over";
}

static void trace_ap(void *ctx, const struct ap_session_view *v)
{
	trace(ctx, "  access point: %llx %s source=%s dest=%s floor=%llu highest=%llu",
	      (unsigned long long)v->session, ap_state_name(v->state), v->source, v->dest,
	      (unsigned long long)v->floor, (unsigned long long)v->highest);
}

static void trace_es(void *ctx, const struct es_session_view *v)
{
	trace(ctx, "  edge server: %llx %s epoch=%u executed=%llu started=%llu queued=%zu held=%d",
	      (unsigned long long)v->record.session, wire_es_state_name(v->record.state),
	      v->record.epoch, (unsigned long long)v->record.executed,
	      (unsigned long long)v->record.started, v->queued, v->held);
}

static void trace_rest(struct world *w)
{
	for (unsigned int i = 0; i < w->plan.muds; i++) {
		const struct mud *m = &w->mud[i];

		trace(w, "%s at %s: goal=%llu sent=%llu answered=%llu lost=%d", m->name,
		      w->edge[m->at].ap_name, (unsigned long long)m->goal,
		      (unsigned long long)m->sent, (unsigned long long)m->answered, m->lost);
	}
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		trace(w, "%s, %s:", w->edge[i].ap_name, w->edge[i].es_name);
		if (w->edge[i].ap)
			ap_node_each(w->edge[i].ap, trace_ap, w);
		if (w->edge[i].es)
			es_node_each(w->edge[i].es, trace_es, w);
	}
}

void check_end(struct world *w)
{
	const char *who = not_at_rest(w);

	if (who && w->now >= w->plan.end)
		trace_rest(w);
	if (!who)
		w->plan.end = w->now;
	else if (w->now >= w->plan.end)
		violated(w, "no rest after the last fault: %s", who);
}
