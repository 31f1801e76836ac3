/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A long life - hours of virtual time in one run, with faults all the time, and nothing may grow
 *
 * Devices go on as long as it lasts. Each ends its session now and then, or loses it with a disk, and begins another
 * one some seconds later. All kinds of faults strike, hosts with and without the loss of their disk among them. What
 * is allocated is looked at once in a virtual minute: its highest value in the last quarter must be about that of the
 * second one. Sessions that nodes know may not be more than those that live, at each node.
 */

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define HOUR_MS    3600000ull
#define LOOK_MS    60000ull
#define LIFE_MS    (HOUR_MS / 2) /* of a session, on average */
#define BREATH_MS  5000ull       /* until the next one begins */
#define HEAP_ROOM  (256ull << 10)
#define KNOWN_ROOM 4 /* sessions that have ended a moment ago */

void long_life_plan(struct world *w)
{
	struct plan *p = &w->plan;

	if (!w->hours)
		return;
	p->link_faults = p->ap_faults = p->es_faults = p->host_faults = true;
	p->container_faults = p->device_faults = p->slow_requests = p->disk_faults = true;
	p->rogue = true;
	p->operator= true;
	p->fault_permille = 2;
	p->faults_until = w->hours * HOUR_MS;
	p->end = p->faults_until + 240000;
	for (unsigned int i = 0; i < p->muds; i++) {
		w->mud[i].goal = UINT64_MAX;
		w->mud[i].interval = 200 + roll(w, 200);
		w->mud[i].diverges = false;
	}
}

/* Devices stop when the faults do: then all must come to rest. */
bool long_life_over(const struct world *w)
{
	return w->hours && w->now >= w->plan.faults_until;
}

struct again {
	int index;
	uint32_t life;
};

static void begins_again(struct world *w, void *arg)
{
	const struct again *a = arg;
	struct mud *m = &w->mud[a->index];

	if (m->life == a->life && !long_life_over(w))
		actor_start_mud_again(w, a->index);
}

static void later(struct world *w, int index, uint64_t after, event_fn fn)
{
	struct again *a = malloc(sizeof(*a));

	if (!a)
		abort();
	*a = (struct again){ index, w->mud[index].life };
	agenda_add(w, after, fn, a);
}

void long_life_lost(struct world *w, int index)
{
	if (w->hours)
		later(w, index, BREATH_MS, begins_again);
}

static void leaves(struct world *w, void *arg)
{
	const struct again *a = arg;
	struct mud *m = &w->mud[a->index];

	if (m->life != a->life || m->lost || w->now + LOOK_MS > w->plan.faults_until)
		return;
	trace(w, "%s ends its session", m->name);
	m->left = true;
	mud_session_end(m->logic, w->now);
	later(w, a->index, BREATH_MS, begins_again);
}

void long_life_began(struct world *w, int index)
{
	if (w->hours)
		later(w, index, LIFE_MS / 2 + roll(w, LIFE_MS), leaves);
}

/* --- what may grow ------------------------------------------------------------------------------ */

static void count_ap(void *ctx, const struct ap_session_view *v)
{
	(void)v;
	++*(uint64_t *)ctx;
}

static void count_es(void *ctx, const struct es_session_view *v)
{
	(void)v;
	++*(uint64_t *)ctx;
}

static uint64_t known(const struct world *w)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < w->plan.edges; i++) {
		if (w->edge[i].ap)
			ap_node_each(w->edge[i].ap, count_ap, &n);
		if (w->edge[i].es)
			es_node_each(w->edge[i].es, count_es, &n);
	}
	return n;
}

/* Those that ended are the simulator's own; jobs of theirs are over long before the second look. */
static void release_transfers(struct world *w)
{
	for (struct transfer **at = &w->transfers; *at;) {
		struct transfer *t = *at;

		if (t->step == STEP_ENDED && ++t->looks > 30) {
			*at = t->next;
			buf_deinit(&t->cache);
			free(t);
		} else {
			at = &t->next;
		}
	}
}

static void highest(uint64_t *of, uint64_t value)
{
	if (value > *of)
		*of = value;
}

static void look(struct world *w, void *arg)
{
	uint64_t quarter = w->plan.faults_until / 4;

	(void)arg;
	release_transfers(w);
	if (long_life_over(w))
		return;
	size_t i = (size_t)(w->now / quarter);
	highest(&w->growth[i].heap, mallinfo2().uordblks);
	uint64_t now = known(w);
	highest(&w->growth[i].known, now);
	if (now > w->plan.muds * 2ull * w->plan.edges + KNOWN_ROOM)
		violated(w, "sessions are not forgotten: %llu are known", (unsigned long long)now);
	agenda_add(w, LOOK_MS, look, NULL);
}

void long_life_start(struct world *w)
{
	if (w->hours)
		agenda_add(w, LOOK_MS, look, NULL);
}

void long_life_check(struct world *w)
{
	/* caches fill in the first quarter */
	const struct growth *early = &w->growth[1], *last = &w->growth[3];

	if (!w->hours || w->failed)
		return;
	if (last->heap > early->heap + early->heap / 4 + HEAP_ROOM)
		violated(w, "memory grows: %llu bytes in the second quarter, %llu in the last",
			 (unsigned long long)early->heap, (unsigned long long)last->heap);
}

void long_life_report(const struct world *w)
{
	const struct strikes *s = &w->strikes;

	(void)printf("%llu hours: %llu sessions began, %llu ended by their device, %llu lost with "
		     "their host; "
		     "%llu answers, %llu moves of devices\n",
		     (unsigned long long)w->hours, (unsigned long long)s->begun,
		     (unsigned long long)s->left, (unsigned long long)s->lost,
		     (unsigned long long)s->answers, (unsigned long long)s->moves);
	(void)printf("faults: %llu access points, %llu edge servers, %llu hosts, %llu hosts with "
		     "their disk, "
		     "%llu containers, %llu links, %llu full disks\n",
		     (unsigned long long)s->aps, (unsigned long long)s->crashed[0],
		     (unsigned long long)s->crashed[1], (unsigned long long)s->crashed[2],
		     (unsigned long long)s->containers, (unsigned long long)s->links,
		     (unsigned long long)s->full);
	(void)printf("protection: %llu cuts kept, %llu recoveries, %llu starts without memory\n",
		     (unsigned long long)w->cuts_kept, (unsigned long long)w->recovered,
		     (unsigned long long)w->memory_lost);
	for (int i = 0; i < 4; i++)
		(void)printf("quarter %d: at most %llu bytes allocated, %llu sessions known\n",
			     i + 1, (unsigned long long)w->growth[i].heap,
			     (unsigned long long)w->growth[i].known);
}
