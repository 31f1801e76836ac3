/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Processes - the core's nodes, tied to the simulated network and engine
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "world.h"

/* contexts of the nodes; static storage would do, but several worlds may exist in one process */
struct context {
	struct world *world;
	int index;
};

int edge_by_ap(struct world *w, const char *name)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (name_equal(w->edge[i].ap_name, name))
			return (int)i;
	}
	return -1;
}

int edge_by_es(struct world *w, const char *name)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (name_equal(w->edge[i].es_name, name))
			return (int)i;
	}
	return -1;
}

struct mud *mud_by_session(struct world *w, uint64_t session)
{
	for (unsigned int i = 0; i < w->plan.muds; i++) {
		if (w->mud[i].session == session)
			return &w->mud[i];
	}
	return NULL;
}

/* not a secure function, only one that a guess does not hit */
void proof_model(uint8_t *proof, const uint8_t *secret, uint64_t session, uint32_t association,
		 const char *ap)
{
	uint64_t h = session * 31 + association;

	for (size_t i = 0; i < WIRE_SECRET_SIZE; i++)
		h = (h ^ secret[i]) * 1099511628211ull;
	for (const char *c = ap; *c; c++)
		h = (h ^ (uint8_t)*c) * 1099511628211ull;
	memset(proof, 0, WIRE_PROOF_SIZE);
	put_be64(proof, h);
}

/* --- access points ----------------------------------------------------------------------------- */

static void ap_to_mud(void *ctx, uint64_t link, const struct wire_message *m)
{
	struct context *c = ctx;

	if (link >= ROGUE_LINK)
		check_rogue(c->world, c->world->edge[c->index].ap_name, m);
	for (int i = 0; i < MUDS_MAX; i++) {
		if (c->world->edge[c->index].mud_link[i] != link)
			continue;
		if (m->type == WIRE_ANSWER && m->session == c->world->mud[i].session)
			check_delivery(c->world, &c->world->mud[i], &m->data);
		network_send(c->world, node_ap(c->index), node_mud(i), m);
	}
}

static void ap_to_es(void *ctx, const char *es, const struct wire_message *m)
{
	struct context *c = ctx;
	int to = edge_by_es(c->world, es);

	if (to >= 0)
		network_send(c->world, node_ap(c->index), node_es(to), m);
	else if (name_equal(es, ROGUE_ES))
		rogue_es_asked(c->world, c->index, m);
}

static void ap_to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct context *c = ctx;
	int to = edge_by_ap(c->world, ap);

	if (to >= 0)
		network_send(c->world, node_ap(c->index), node_ap(to), m);
	else
		check_stranger(c->world, c->world->edge[c->index].ap_name, ap, m);
}

static void ap_random(void *ctx, void *bytes, size_t len)
{
	struct context *c = ctx;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)bytes)[i] = (uint8_t)roll(c->world, 256);
}

static void ap_event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		     const char *detail)
{
	struct context *c = ctx;

	if (strcmp(kind, "GOING BACK") == 0)
		c->world->went_back++;
	if (strcmp(kind, "T6") == 0)
		c->world->edge[c->index].moving++;
	trace(c->world, "%s: %s %llu %s (%llx)", c->world->edge[c->index].ap_name, kind,
	      (unsigned long long)number, detail, (unsigned long long)session);
}

/* Each attempt has one end, and one that was good has brought the container to where it was to go. */
static void ap_moved(void *ctx, const struct ap_moved *m)
{
	struct context *c = ctx;
	struct edge *e = &c->world->edge[c->index];

	trace(c->world, "%s: %s, %s to %s, %llu ms, frozen %llu us, %llu replayed, %llu held: %s",
	      e->ap_name, ap_result_name(m->result), m->from, m->to,
	      (unsigned long long)m->total_ms, (unsigned long long)m->freeze_us,
	      (unsigned long long)m->replayed, (unsigned long long)m->held, m->reason);
	if (!e->moving)
		violated(c->world, "%s: a move ends that has not begun", e->ap_name);
	else
		e->moving--;
	if (name_equal(m->from, m->to) || (m->result == AP_RESULT_MOVED) == (m->reason[0] != 0))
		violated(c->world, "%s: a move of %s from %s to %s", e->ap_name, m->mud, m->from,
			 m->to);
	c->world->moved += m->result == AP_RESULT_MOVED;
}

static const struct ap_node_ops ap_ops = {
	.moved = ap_moved,
	.to_mud = ap_to_mud,
	.to_es = ap_to_es,
	.to_ap = ap_to_ap,
	.random = ap_random,
	.event = ap_event,
};

static struct context contexts[2][EDGES_MAX];
static struct context mud_contexts[MUDS_MAX];

static void connect_all(struct world *w, struct node_id n)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (!(n.kind == KIND_AP && n.index == (int)i))
			network_connect(w, n, node_ap((int)i));
		if (!(n.kind == KIND_ES && n.index == (int)i))
			network_connect(w, n, node_es((int)i));
	}
	if (n.kind != KIND_AP)
		return;
	for (unsigned int i = 0; i < w->plan.muds; i++) {
		if (w->mud[i].at == n.index && w->mud[i].logic)
			network_connect(w, n, node_mud((int)i));
	}
}

void actor_start_ap(struct world *w, int index)
{
	struct edge *e = &w->edge[index];

	contexts[0][index] = (struct context){ w, index };
	e->moving = 0;
	if (ap_node_new(&e->ap, e->ap_name, e->es_name, &w->policy, proof_model, &ap_ops,
			&contexts[0][index], NULL) < 0)
		abort();
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (ap_node_add_place(e->ap, w->edge[i].es_name, NULL) < 0)
			abort();
		ap_node_es_down(e->ap, w->now, w->edge[i].es_name);
	}
	connect_all(w, node_ap(index));
}

/* --- edge servers ------------------------------------------------------------------------------ */

/* A restart finds containers that their sessions have left. One whose session is unknown is kept (R15). */
static void remove_strays(struct world *w, int index)
{
	struct edge *e = &w->edge[index];

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct container *c = &e->container[i];
		bool known = false;
		bool left = false;

		for (int k = 0; k < SESSIONS_MAX; k++) {
			const struct es_record *r = &e->record[k].record;

			left |= e->record[k].used && r->session == c->session;
			known |= e->record[k].used && r->session == c->session &&
				 r->container_epoch == c->epoch && r->state != WIRE_ES_RETIRED;
		}
		if (c->present && left && !known) {
			check_removal(w, index, c);
			*c = (struct container){ 0 };
		}
	}
}

static enum es_container found_now(struct world *w, int index, const struct es_record *r)
{
	const struct container *c = engine_find(w, index, r->session, r->container_epoch);

	return !c ? ES_CONTAINER_GONE : c->stopped ? ES_CONTAINER_STOPPED : ES_CONTAINER_RUNS;
}

/* struct unread - A record that cannot be read until later; @es: of which life of the edge server */
struct unread {
	int index;
	int slot;
	const struct es_node *es;
	uint64_t session;
};

static void read_later(struct world *w, void *arg)
{
	const struct unread *u = arg;
	struct edge *e = &w->edge[u->index];
	struct record_slot *r = &e->record[u->slot];
	struct err err;

	if (e->es != u->es || !es_node_withheld(e->es, u->session))
		return;
	trace(w, "%s can read its record of %016llx", e->es_name, (unsigned long long)u->session);
	/* written down again by the node, so it must not read what it writes */
	const struct es_record record = r->record;
	struct buf cache;
	buf_init(&cache, 0);
	if (buf_append(&cache, buf_bytes(&r->cache), r->cache.len, NULL) < 0)
		abort();
	if (es_node_restore(e->es, w->now, &record, buf_bytes(&cache), cache.len,
			    found_now(w, u->index, &record), &err) < 0)
		violated(w, "a record cannot be restored: %s", err.text);
	buf_deinit(&cache);
	w->records_changed = true;
}

/* R15: for a while nobody may hear that there is no such session. Not by roll(): other faults stay what they are */
static bool cannot_read(struct world *w, int index, int slot, uint64_t session)
{
	uint64_t z = (session ^ w->now) * 0x9e3779b97f4a7c15ull;

	z ^= z >> 29;
	if (!w->plan.disk_faults || z % 6)
		return false;
	struct edge *e = &w->edge[index];
	struct unread *u = malloc(sizeof(*u));
	if (!u || es_node_withhold(e->es, session, "an error of the disk", NULL) < 0)
		abort();
	trace(w, "%s cannot read its record of %016llx", e->es_name, (unsigned long long)session);
	*u = (struct unread){ index, slot, e->es, session };
	agenda_add(w, z / 6 % 3000, read_later, u);
	return true;
}

void actor_start_es(struct world *w, int index)
{
	struct edge *e = &w->edge[index];
	struct record_slot saved[SESSIONS_MAX];
	struct err err;

	contexts[1][index] = (struct context){ w, index };
	if (es_node_new(&e->es, e->es_name, &w->policy, proof_model, &engine_ops,
			&contexts[1][index], NULL) < 0)
		abort();
	es_node_drain(e->es, e->drained);
	w->records_changed = true;
	remove_strays(w, index);
	memcpy(saved, e->record, sizeof(saved));
	memset(e->record, 0, sizeof(e->record));
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct record_slot *r = &saved[i];

		if (!r->used)
			continue;
		/* written down again by whoever restores it, or forgotten; or neither, if that fails */
		e->record[i].used = true;
		e->record[i].record = r->record;
		buf_init(&e->record[i].cache, 0);
		if (buf_append(&e->record[i].cache, buf_bytes(&r->cache), r->cache.len, NULL) < 0)
			abort();
		if (cannot_read(w, index, i, r->record.session)) {
			buf_deinit(&r->cache);
			continue;
		}
		enum es_container found = found_now(w, index, &r->record);
		if (es_node_restore(e->es, w->now, &r->record, buf_bytes(&r->cache), r->cache.len,
				    found, &err) < 0)
			violated(w, "a record cannot be restored: %s", err.text);
		buf_deinit(&r->cache);
	}
	connect_all(w, node_es(index));
}

/* --- devices ----------------------------------------------------------------------------------- */

static void mud_to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct context *c = ctx;
	int to = edge_by_ap(c->world, ap);
	struct wire_message listed;

	if (to < 0)
		return;
	if (c->world->plan.rogue && m->type == WIRE_REASSOCIATION_REQUEST &&
	    chance(c->world, 300)) {
		/* the device has met one that a valid certificate calls an edge server */
		struct wire_edges *edges = &listed.reassociation_request.edges;

		listed = *m;
		if (edges->count < WIRE_EDGES_MAX)
			(void)name_set(edges->name[edges->count++], ROGUE_ES, NULL);
		m = &listed;
	}
	network_send(c->world, node_mud(c->index), node_ap(to), m);
}

static void mud_answer(void *ctx, const struct wire_data *answer)
{
	struct context *c = ctx;

	check_answer(c->world, &c->world->mud[c->index], answer);
}

static uint64_t mud_number(void *ctx)
{
	struct context *c = ctx;
	struct mud *m = &c->world->mud[c->index];

	m->session = roll(c->world, 0) | 1;
	m->expected[0] = (struct state){ .chain = m->session };
	m->expected_count = 1;
	return m->session;
}

static void mud_lost(void *ctx, enum wire_status status, const char *reason)
{
	struct context *c = ctx;
	struct mud *m = &c->world->mud[c->index];

	m->lost = true;
	long_life_lost(c->world, c->index);
	trace(c->world, "%s lost its session: %s, %s", m->name, wire_status_name(status), reason);
	if (!m->excused)
		violated(c->world, "%s lost its session without need: %s, %s", m->name,
			 wire_status_name(status), reason);
}

static void mud_event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		      const char *detail)
{
	struct context *c = ctx;

	trace(c->world, "%s: %s %llu %s (%llx)", c->world->mud[c->index].name, kind,
	      (unsigned long long)number, detail, (unsigned long long)session);
}

static const struct mud_session_ops mud_ops = {
	.to_ap = mud_to_ap,
	.answer = mud_answer,
	.number = mud_number,
	.lost = mud_lost,
	.event = mud_event,
};

/* struct sending - The next request of a device's session */
struct sending {
	int index;
	uint32_t life;
};

static void mud_sends(struct world *w, void *arg);

static void sends_later(struct world *w, int index, uint64_t after)
{
	struct sending *s = malloc(sizeof(*s));

	if (!s)
		abort();
	*s = (struct sending){ index, w->mud[index].life };
	agenda_add(w, after, mud_sends, s);
}

static void mud_sends(struct world *w, void *arg)
{
	const struct sending *c = arg;
	struct mud *m = &w->mud[c->index];
	uint8_t payload[8];
	const struct wire_data request = { .segment = part_of(m, m->sent + 1),
					   .bytes = payload,
					   .len = sizeof(payload) };
	uint64_t number;

	if (long_life_over(w))
		m->goal = m->sent;
	if (m->lost || m->left || m->life != c->life || m->sent >= m->goal)
		return;
	put_be64(payload, m->sent + 1);
	int r = mud_session_request(m->logic, w->now, &request, &number, NULL);
	if (r == 0)
		m->sent++;
	if (r == 0 && number != m->sent)
		violated(w, "%s numbered a request %llu", m->name, (unsigned long long)number);
	sends_later(w, c->index, 1 + roll(w, 2 * m->interval));
}

static void start_mud(struct world *w, int index)
{
	struct mud *m = &w->mud[index];

	m->long_requests = index % 2;
	(void)snprintf(m->name, sizeof(m->name), "USER-%d", index + 1);
	m->at = (int)roll(w, w->plan.edges);
	mud_contexts[index] = (struct context){ w, index };
	if (mud_session_new(&m->logic, m->name, m->service, &w->policy, proof_model, &mud_ops,
			    &mud_contexts[index], NULL) < 0)
		abort();
	mud_session_move(m->logic, w->now, w->edge[m->at].ap_name);
	network_connect(w, node_mud(index), node_ap(m->at));
	sends_later(w, index, 1 + roll(w, 50));
	long_life_began(w, index);
	w->strikes.begun++;
}

void actor_start_mud_again(struct world *w, int index)
{
	struct mud *m = &w->mud[index];

	w->strikes.left += m->left;
	w->strikes.lost += m->lost;
	w->strikes.answers += m->answered;
	network_drop_all(w, node_mud(index));
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (w->edge[i].mud_link[index])
			actor_down(w, node_ap((int)i), node_mud(index));
	}
	mud_session_free(m->logic);
	*m = (struct mud){
		.service = m->service, .goal = m->goal, .interval = m->interval, .life = m->life + 1
	};
	start_mud(w, index);
}

/* --- the network tells ------------------------------------------------------------------------- */

void actor_deliver(struct world *w, struct node_id from, struct node_id to,
		   const struct wire_message *m)
{
	struct edge *e = &w->edge[to.index];

	switch (to.kind) {
	case KIND_MUD:
		mud_session_message(w->mud[to.index].logic, w->now, w->edge[from.index].ap_name, m);
		break;
	case KIND_AP:
		e->ap_touched = true;
		if (from.kind == KIND_MUD)
			ap_node_mud_message(e->ap, w->now, e->mud_link[from.index],
					    w->mud[from.index].name, m);
		else if (from.kind == KIND_AP)
			ap_node_ap_message(e->ap, w->now, w->edge[from.index].ap_name, m);
		else
			ap_node_es_message(e->ap, w->now, w->edge[from.index].es_name, m);
		break;
	case KIND_ES:
		if (from.kind == KIND_AP)
			es_node_message(e->es, w->now, w->edge[from.index].ap_name, m);
		break;
	}
	faults_maybe(w);
}

void actor_up(struct world *w, struct node_id at, struct node_id other)
{
	struct edge *e = &w->edge[at.index];

	if (at.kind == KIND_MUD)
		mud_session_up(w->mud[at.index].logic, w->now, w->edge[other.index].ap_name);
	else if (at.kind == KIND_AP && other.kind == KIND_MUD)
		e->mud_link[other.index] = ++w->next_link;
	else if (at.kind == KIND_ES && other.kind == KIND_AP && w->plan.operator)
		es_node_tell(e->es, w->edge[other.index].ap_name);
	else if (at.kind == KIND_AP && other.kind == KIND_ES)
		ap_node_es_up(e->ap, w->now, w->edge[other.index].es_name);
}

void actor_down(struct world *w, struct node_id at, struct node_id other)
{
	struct edge *e = &w->edge[at.index];

	if (at.kind == KIND_MUD) {
		mud_session_down(w->mud[at.index].logic, w->now, w->edge[other.index].ap_name);
	} else if (at.kind == KIND_AP && other.kind == KIND_MUD) {
		if (e->ap)
			ap_node_mud_gone(e->ap, w->now, e->mud_link[other.index]);
		e->mud_link[other.index] = 0;
	} else if (at.kind == KIND_AP && other.kind == KIND_ES && e->ap) {
		ap_node_es_down(e->ap, w->now, w->edge[other.index].es_name);
	}
}

void actor_tick_all(struct world *w)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		struct edge *e = &w->edge[i];

		if (e->ap && ap_node_deadline(e->ap) <= w->now) {
			e->ap_touched = true;
			ap_node_tick(e->ap, w->now);
		}
		if (e->es && es_node_deadline(e->es) <= w->now)
			es_node_tick(e->es, w->now);
	}
	for (unsigned int i = 0; i < w->plan.muds; i++) {
		if (mud_session_deadline(w->mud[i].logic) <= w->now)
			mud_session_tick(w->mud[i].logic, w->now);
	}
}

static void heartbeat(struct world *w, void *arg)
{
	(void)arg;
	actor_tick_all(w);
	check_waits(w);
	agenda_add(w, 10, heartbeat, NULL);
}

void actors_start(struct world *w)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		(void)snprintf(w->edge[i].ap_name, NAME_SIZE, "AP-%u", i + 1);
		(void)snprintf(w->edge[i].es_name, NAME_SIZE, "EdgeServer-%u", i + 1);
	}
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		actor_start_es(w, (int)i);
		actor_start_ap(w, (int)i);
	}
	for (unsigned int i = 0; i < w->plan.muds; i++)
		start_mud(w, (int)i);
	agenda_add(w, 10, heartbeat, NULL);
	long_life_start(w);
}

void actors_stop(struct world *w)
{
	for (int i = 0; i < EDGES_MAX; i++) {
		struct edge *e = &w->edge[i];

		ap_node_free(e->ap);
		es_node_free(e->es);
		for (int k = 0; k < SESSIONS_MAX; k++)
			buf_deinit(&e->record[k].cache);
	}
	for (int i = 0; i < MUDS_MAX; i++)
		mud_session_free(w->mud[i].logic);
	while (w->transfers) {
		struct transfer *t = w->transfers;

		w->transfers = t->next;
		buf_deinit(&t->cache);
		free(t);
	}
}
