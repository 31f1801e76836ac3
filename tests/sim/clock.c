/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "world.h"

/* splitmix64: small, and every seed is as good as any other */
uint64_t roll(struct world *w, uint64_t below)
{
	uint64_t z = (w->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return below ? z % below : z;
}

bool chance(struct world *w, uint64_t permille)
{
	return roll(w, 1000) < permille;
}

static bool before(const struct event *a, const struct event *b)
{
	return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void swap(struct agenda *a, size_t i, size_t j)
{
	struct event e = a->heap[i];

	a->heap[i] = a->heap[j];
	a->heap[j] = e;
}

void agenda_add(struct world *w, uint64_t after, event_fn fn, void *arg)
{
	struct agenda *a = &w->agenda;

	if (a->count == a->capacity) {
		a->capacity = a->capacity ? a->capacity * 2 : 1024;
		a->heap = realloc(a->heap, a->capacity * sizeof(*a->heap));
		if (!a->heap)
			abort();
	}
	size_t i = a->count++;
	a->heap[i] = (struct event){ w->now + after, a->entered++, fn, arg };
	while (i && before(&a->heap[i], &a->heap[(i - 1) / 2])) {
		swap(a, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

bool agenda_step(struct world *w)
{
	struct agenda *a = &w->agenda;

	if (!a->count)
		return false;
	struct event e = a->heap[0];
	a->heap[0] = a->heap[--a->count];
	for (size_t i = 0;;) {
		size_t least = i;

		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++) {
			if (child < a->count && before(&a->heap[child], &a->heap[least]))
				least = child;
		}
		if (least == i)
			break;
		swap(a, i, least);
		i = least;
	}
	w->now = e.time;
	e.fn(w, e.arg);
	free(e.arg);
	return true;
}

void agenda_clear(struct world *w)
{
	struct agenda *a = &w->agenda;

	for (size_t i = 0; i < a->count; i++)
		free(a->heap[i].arg);
	free(a->heap);
	*a = (struct agenda){ 0 };
}
