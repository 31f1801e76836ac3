/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What goes wrong - the seed decides which kinds of faults a run has, and how many
 *
 * Faults strike after a message was handled, so every step of every protocol comes before one
 * sooner or later. They end at plan.faults_until: from then on everything must come right.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "world.h"

/* R6: most catch up by replay; "memory" does, too, and is protected */
static const char *const services[] = { "replay", "hold", "memory", "auto" };

void faults_plan(struct world *w)
{
	struct plan *p = &w->plan;

	p->edges = 3 + (unsigned int)roll(w, EDGES_MAX - 2);
	p->muds = 1 + (unsigned int)roll(w, MUDS_MAX);
	if (w->hours)
		p->muds = MUDS_MAX;
	p->wan_ms = 5 + roll(w, 120);
	p->link_faults = chance(w, 600);
	p->ap_faults = chance(w, 400);
	p->es_faults = chance(w, 400);
	p->host_faults = chance(w, 150);
	p->container_faults = chance(w, 300);
	p->device_faults = chance(w, 400);
	p->slow_requests = chance(w, 300);
	p->rogue = chance(w, 200);
	p->through_codec = chance(w, 100);
	p->disk_faults = chance(w, 250);
	/* by the seed alone: what all others do in other runs stays as it was */
	p->operator= w->seed % 4 == 3;
	p->fault_permille = roll(w, 12);
	p->faults_until = 4000 + roll(w, 8000);
	p->end = p->faults_until + 120000;
	w->policy = (struct policy){
		.sessions_max = 32,
		.copies_max = chance(w, 200) ? 80 : 1000,
		.copies_bytes_max = 1u << 20,
		.retry_ms = 100 + roll(w, 100),
		.associate_ms = 60000,
		.move_ms = 400 + roll(w, 400),
		.catch_up_ms = 500 + roll(w, 500),
		.grace_ms = roll(w, 600),
		.backoff_ms = 100,
		.backoff_max_ms = 2000,
		.drain_ms = 100 + roll(w, 300),
		.standby_ms = 3000,
		.idle_ms = 60000,
		.keep_ms = 60000,
		.write_ms = 300,
		.compare = true,
	};
	for (unsigned int i = 0; i < p->muds; i++) {
		w->mud[i].goal = 60 + roll(w, REQUESTS_MAX - 60);
		w->mud[i].interval = 2 + roll(w, 50);
		w->mud[i].diverges = chance(w, 60);
		w->mud[i].service = services[(w->seed + i) % ARRAY_SIZE(services)];
	}
	long_life_plan(w);
}

static void move_mud(struct world *w, int index, int to)
{
	struct mud *m = &w->mud[index];

	if (m->lost || m->left || m->at == to || mud_session_state(m->logic) == MUD_LOST)
		return;
	trace(w, "%s goes to %s", m->name, w->edge[to].ap_name);
	m->at = to;
	w->strikes.moves++;
	network_drop_all(w, node_mud(index));
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		struct node_id ap = node_ap((int)i);

		/* the access point notices, too */
		if (w->edge[i].mud_link[index])
			actor_down(w, ap, node_mud(index));
	}
	mud_session_move(m->logic, w->now, w->edge[to].ap_name);
	network_connect(w, node_mud(index), node_ap(to));
}

struct restart {
	int index;
	bool es;
};

static void start_again(struct world *w, void *arg)
{
	const struct restart *r = arg;

	if (r->es) {
		trace(w, "%s starts", w->edge[r->index].es_name);
		actor_start_es(w, r->index);
	} else {
		trace(w, "%s starts", w->edge[r->index].ap_name);
		actor_start_ap(w, r->index);
	}
}

static void restart_later(struct world *w, int index, bool es)
{
	struct restart *r = malloc(sizeof(*r));

	if (!r)
		abort();
	*r = (struct restart){ index, es };
	agenda_add(w, 20 + roll(w, 1500), start_again, r);
}

static void crash_ap(struct world *w, int index)
{
	struct edge *e = &w->edge[index];

	if (!e->ap)
		return;
	trace(w, "%s crashes", e->ap_name);
	w->strikes.aps++;
	network_drop_all(w, node_ap(index));
	memset(e->mud_link, 0, sizeof(e->mud_link));
	e->ap = ap_node_free(e->ap);
	e->ap_life++;
	restart_later(w, index, false);
}

/* enum crash - What of an edge server ends: its program, its host, or its host and the disk as well */
enum crash { CRASH_PROGRAM, CRASH_HOST, CRASH_DISK };

static void crash_es(struct world *w, int index, enum crash what)
{
	static const char *const also[] = { "", ", and its host", ", its host and its disk" };
	struct edge *e = &w->edge[index];

	if (!e->es)
		return;
	trace(w, "%s crashes%s", e->es_name, also[what]);
	w->strikes.crashed[what]++;
	network_drop_all(w, node_es(index));
	e->es = es_node_free(e->es);
	if (what == CRASH_PROGRAM)
		engine_daemon_died(w, index);
	else
		engine_host_died(w, index, what == CRASH_DISK);
	e->es_life++;
	restart_later(w, index, true);
}

/* A container that got authority a moment ago, if there is one: the one to go back from (R3) */
static struct container *fresh_container(struct world *w, int *edge)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		for (int k = 0; k < SESSIONS_MAX; k++) {
			*edge = (int)i;
			if (engine_in_grace(w, *edge, &w->edge[i].container[k]))
				return &w->edge[i].container[k];
		}
	}
	return NULL;
}

/* A container of which a cut is kept, if there is one: the one to recover */
static struct container *kept_container(struct world *w, int *edge)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		for (int k = 0; k < SESSIONS_MAX; k++) {
			struct container *c = &w->edge[i].container[k];
			const struct kept_slot *kept =
				c->present ? kept_of(w, (int)i, c->session, false) : NULL;

			*edge = (int)i;
			if (kept && kept->whole)
				return c;
		}
	}
	return NULL;
}

static void kill_container(struct world *w)
{
	int edge;
	struct container *c = w->harder ? fresh_container(w, &edge) : NULL;

	if (!w->harder && chance(w, 500))
		c = kept_container(w, &edge);

	if (!c) {
		edge = (int)roll(w, w->plan.edges);
		c = &w->edge[edge].container[roll(w, SESSIONS_MAX / 8)];
	}
	if (!c->present)
		return;
	trace(w, "the container of %llx at %s dies", (unsigned long long)c->session,
	      w->edge[edge].es_name);
	w->strikes.containers++;
	engine_kill(w, edge, c);
}

static struct node_id some_node(struct world *w)
{
	int index = (int)roll(w, w->plan.edges);

	return chance(w, 500) ? node_ap(index) : node_es(index);
}

static void cut_link(struct world *w)
{
	struct node_id a = some_node(w);
	struct node_id b = some_node(w);

	if (chance(w, 200)) {
		int mud = (int)roll(w, w->plan.muds);

		a = node_mud(mud);
		b = node_ap(w->mud[mud].at);
	}
	if (a.kind == b.kind && a.index == b.index)
		return;
	trace(w, "a link breaks: %d/%d to %d/%d", a.kind, a.index, b.kind, b.index);
	w->strikes.links++;
	network_cut(w, a, b, chance(w, 500) ? 1 : roll(w, 2000));
}

void faults_after(struct world *w)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (w->edge[i].dying)
			crash_es(w, (int)i, CRASH_PROGRAM);
		w->edge[i].dying = false;
	}
}

/* The record of a session at an edge server, or NULL: a rogue has overheard everything but secrets. */
static const struct es_record *overheard(struct world *w, int edge, uint64_t session)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct record_slot *r = &w->edge[edge].record[i];

		if (r->used && r->record.session == session)
			return &r->record;
	}
	return NULL;
}

/* An access point with a valid certificate gives an edge server orders, under its own name or another's. */
static void rogue_ap_orders(struct world *w, int edge, const struct mud *mud)
{
	static const enum wire_type orders[] = { WIRE_FENCE,  WIRE_UNFENCE, WIRE_ACTIVATE,
						 WIRE_RETIRE, WIRE_ABORT,   WIRE_DISASSOCIATION };
	const struct es_record *r = overheard(w, edge, mud->session);
	struct wire_message m = { .session = mud->session,
				  .association = r && chance(w, 700) ? r->association
								     : 1 + (uint32_t)roll(w, 30),
				  .epoch = r ? r->epoch : 1 };
	const char *named = r && r->ap[0] && chance(w, 500) ? r->ap : "AP-rogue";

	if (!w->edge[edge].es)
		return;
	switch (roll(w, 4)) {
	case 0:
		m.type = WIRE_ATTACH;
		(void)name_set(m.attach.ap, named, NULL);
		break;
	case 1:
		m.type = WIRE_MIGRATE;
		(void)name_set(m.migrate.ap, named, NULL);
		memcpy(m.migrate.to_es, w->edge[roll(w, w->plan.edges)].es_name, NAME_SIZE);
		break;
	case 2:
		m.type = WIRE_CREATE;
		memcpy(m.create.mud, mud->name, NAME_SIZE);
		(void)name_set(m.create.service, mud->service, NULL);
		if (!r)
			return; /* that would be a session of its own */
		break;
	default:
		m.type = orders[roll(w, ARRAY_SIZE(orders))];
		if (m.type == WIRE_UNFENCE)
			m.unfence.new_epoch = chance(w, 500) ? UINT32_MAX : m.epoch + 1;
	}
	es_node_message(w->edge[edge].es, w->now, "AP-rogue", &m);
}

static void rogue_ap_claims(struct world *w, int edge, const struct mud *mud)
{
	struct wire_message m = { .type = WIRE_MOVE_NOTIFY,
				  .session = mud->session,
				  .association = 1 + (uint32_t)roll(w, 30) };

	if (!w->edge[edge].ap)
		return;
	(void)name_set(m.move_notify.new_ap, "AP-rogue", NULL);
	(void)name_set(m.move_notify.new_es, ROGUE_ES, NULL);
	if (chance(w, 300)) { /* or it answers for another */
		m.type = WIRE_MOVE_RESPONSE;
		m.move_response = (struct wire_move_response){ .secret = { 1 } };
		(void)name_set(m.move_response.authority, ROGUE_ES, NULL);
	}
	ap_node_ap_message(w->edge[edge].ap, w->now, "AP-rogue", &m);
}

/* A device claims the session of another one, with a number as good as that one's. */
static void rogue_device_claims(struct world *w, int edge, const struct mud *mud)
{
	const struct es_record *r = overheard(w, edge, mud->session);
	uint64_t link = ROGUE_LINK + roll(w, 6);
	char name[NAME_SIZE];
	struct wire_message m = { .type = WIRE_REASSOCIATION_REQUEST,
				  .session = mud->session,
				  .association = r ? r->association + (uint32_t)roll(w, 3)
						   : 1 + (uint32_t)roll(w, 30) };

	if (!w->edge[edge].ap)
		return;
	(void)snprintf(name, sizeof(name), "ROGUE-%u", (unsigned int)(link - ROGUE_LINK));
	if (chance(w, 100)) {
		m.type = WIRE_DISASSOCIATION;
	} else if (chance(w, 200)) {
		m.type = WIRE_REQUEST;
		m.data = (struct wire_data){ .number = mud->sent + 1 };
	} else {
		(void)name_set(m.reassociation_request.mud, name, NULL);
		(void)name_set(m.reassociation_request.service, mud->service, NULL);
		(void)name_set(m.reassociation_request.old_ap,
			       w->edge[roll(w, w->plan.edges)].ap_name, NULL);
		m.reassociation_request.edges.count = 1;
		memcpy(m.reassociation_request.edges.name[0],
		       w->edge[roll(w, w->plan.edges)].es_name, NAME_SIZE);
		/* that of ROGUE-0 is none at all */
		m.reassociation_request.proof[7] = (uint8_t)(link - ROGUE_LINK);
	}
	ap_node_mud_message(w->edge[edge].ap, w->now, link, name, &m);
}

struct rogue_arrival {
	int edge;
	uint32_t life;
	uint64_t session;
};

/* The rogue brought nothing, or a container with an answer cache of its own making. */
static void rogue_arrival_ends(struct world *w, void *arg)
{
	const struct rogue_arrival *a = arg;
	const struct wire_cut cut = { .number = 1 + roll(w, 400) };
	struct edge *e = &w->edge[a->edge];

	if (!e->es || e->es_life != a->life)
		return;
	if (chance(w, 500))
		(void)es_node_arrived(e->es, w->now, a->session, &cut, NULL);
	else
		es_node_arrival_failed(e->es, w->now, a->session, "the rogue ended it");
}

/* An edge server with a valid certificate offers a session that it never had. */
static void rogue_es_offers(struct world *w, int edge, const struct mud *mud)
{
	const struct es_record *r = overheard(w, edge, mud->session);
	struct wire_message m = { .type = WIRE_TRANSFER_OFFER,
				  .session = mud->session,
				  .association = chance(w, 200) ? UINT32_MAX : 40,
				  .epoch = chance(w, 200) ? UINT32_MAX
					   : r            ? r->epoch + 1
							  : 7 };
	const char *reason;

	if (!w->edge[edge].es)
		return;
	memcpy(m.offer.mud, mud->name, NAME_SIZE);
	(void)name_set(m.offer.service, mud->service, NULL);
	(void)name_set(m.offer.from_es, ROGUE_ES, NULL);
	memcpy(m.offer.ap, w->edge[mud->at].ap_name, NAME_SIZE);
	m.offer.secret[0] = 1;
	if (!es_node_offered(w->edge[edge].es, w->now, ROGUE_ES, &m, &reason))
		return;
	struct rogue_arrival *a = malloc(sizeof(*a));
	if (!a)
		abort();
	*a = (struct rogue_arrival){ edge, w->edge[edge].es_life, mud->session };
	agenda_add(w, 1 + roll(w, 300), rogue_arrival_ends, a);
}

/* Or it tells an access point how the session stands, what the container answered, who the user is with. */
static void rogue_es_tells(struct world *w, int edge, const struct mud *mud)
{
	struct wire_message m = { .type = WIRE_STATUS,
				  .session = mud->session,
				  .association = 1 + (uint32_t)roll(w, 30),
				  .epoch = chance(w, 500) ? UINT32_MAX : 1 + (uint32_t)roll(w, 5) };

	if (!w->edge[edge].ap)
		return;
	switch (roll(w, 3)) {
	case 0:
		m.es_status = (struct wire_es_status){ .state = WIRE_ES_ACTIVE, .secret = { 1 } };
		break;
	case 1:
		m.type = WIRE_REFUSED;
		m.es_status.cut_association = UINT32_MAX;
		break;
	default:
		m.type = WIRE_ANSWER;
		m.data = (struct wire_data){ .number = 1 + roll(w, mud->sent + 1),
					     .digest = roll(w, 0) };
	}
	ap_node_es_message(w->edge[edge].ap, w->now, ROGUE_ES, &m);
}

/* struct rogue_answer - What a rogue edge server says to an access point that has asked it */
struct rogue_answer {
	int edge;
	struct wire_message m;
};

static void rogue_es_answers(struct world *w, void *arg)
{
	const struct rogue_answer *a = arg;

	if (w->edge[a->edge].ap)
		ap_node_es_message(w->edge[a->edge].ap, w->now, ROGUE_ES, &a->m);
}

void rogue_es_asked(struct world *w, int edge, const struct wire_message *m)
{
	struct rogue_answer *a = malloc(sizeof(*a));

	if (!a)
		abort();
	*a = (struct rogue_answer){ .edge = edge,
				    .m = { .type = WIRE_STATUS,
					   .session = m->session,
					   .association = m->association,
					   .epoch = 1 + (uint32_t)roll(w, 5) } };
	if (chance(w, 400)) { /* that it has authority, of which it knows no secret */
		a->m.es_status.state = WIRE_ES_ACTIVE;
		a->m.es_status.executed = roll(w, 400);
		a->m.es_status.secret[0] = 1;
	} else if (chance(w, 200) && m->type == WIRE_ATTACH) { /* that the user is elsewhere */
		a->m.type = WIRE_REFUSED;
		a->m.es_status.command = get_be64(m->attach.proof);
		a->m.es_status.cut_association = UINT32_MAX;
	}
	agenda_add(w, 1 + roll(w, 100), rogue_es_answers, a);
}

/* Somebody with a valid certificate and no proof is after a device's session (R11). */
static void rogue_strikes(struct world *w)
{
	static void (*const ways[])(struct world * w, int edge, const struct mud *mud) = {
		rogue_ap_orders,     rogue_ap_orders, rogue_ap_claims,
		rogue_device_claims, rogue_es_offers, rogue_es_tells,
	};
	int edge = (int)roll(w, w->plan.edges);
	const struct mud *mud = &w->mud[roll(w, w->plan.muds)];

	/* the number is random: before there is a session nobody knows it, and then it could be taken */
	if (mud->answered)
		ways[roll(w, ARRAY_SIZE(ways))](w, edge, mud);
}

/* Often it begins in the middle of something, and what was just done cannot be written. */
static void fill_disk(struct world *w, int index)
{
	struct edge *e = &w->edge[index];

	trace(w, "the disk of %s is full", e->es_name);
	w->strikes.full++;
	e->full_until = w->now + (chance(w, 500) ? 1 + roll(w, 20) : roll(w, 2000));
}

/* Drained, or not any more; all access points that are there hear of it. */
static void drain(struct world *w, int index)
{
	struct edge *e = &w->edge[index];

	if (!e->es)
		return;
	e->drained = !e->drained;
	w->drains++;
	trace(w, "an operator %s %s", e->drained ? "drains" : "undrains", e->es_name);
	es_node_drain(e->es, e->drained);
	for (unsigned int i = 0; i < w->plan.edges; i++)
		es_node_tell(e->es, w->edge[i].ap_name);
}

/* The operator: half of the time all is as it should be, so that there is something to move to. */
static void operator_acts(struct world *w, int index)
{
	const struct mud *m = &w->mud[roll(w, w->plan.muds)];
	struct ap_node *ap = w->edge[m->at].ap;

	if (chance(w, 500)) {
		if (w->edge[index].drained || chance(w, 600))
			drain(w, index);
		return;
	}
	if (ap && m->session &&
	    ap_node_wish(ap, w->now, m->session, w->edge[index].es_name, NULL) == 0) {
		trace(w, "an operator wants %s at %s", m->name, w->edge[index].es_name);
		w->edge[m->at].ap_touched = true;
		w->wishes++;
	}
}

void faults_maybe(struct world *w)
{
	const struct plan *p = &w->plan;
	int index;

	if (w->now >= p->faults_until)
		return;
	index = (int)roll(w, p->edges);
	if (chance(w, 3))
		move_mud(w, (int)roll(w, p->muds), index);
	if (p->rogue && chance(w, 5))
		rogue_strikes(w);
	if (p->operator&& chance(w, 4))
		operator_acts(w, index);
	if (p->disk_faults && chance(w, 2))
		fill_disk(w, index);
	if (!chance(w, p->fault_permille))
		return;
	switch (roll(w, 8)) {
	case 0:
	case 1:
	case 2:
		if (p->link_faults)
			cut_link(w);
		break;
	case 3:
	case 4:
		if (p->ap_faults)
			crash_ap(w, index);
		break;
	case 5:
		if (p->es_faults)
			crash_es(w, index, chance(w, 300) ? CRASH_HOST : CRASH_PROGRAM);
		break;
	case 6:
		if (p->host_faults && chance(w, w->hours ? 30 : 300))
			crash_es(w, index, CRASH_DISK);
		break;
	default:
		if (p->container_faults)
			kill_container(w);
	}
}
