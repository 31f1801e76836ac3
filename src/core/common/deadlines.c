/* SPDX-License-Identifier: Apache-2.0 */
#include "core/common/deadlines.h"

#include <errno.h>
#include <stdlib.h>

#define HEAP_START 16

void deadlines_init(struct deadlines *ds, uint64_t (*of)(const struct deadline *d))
{
	*ds = (struct deadlines){ .of = of };
	list_init(&ds->touched);
}

void deadlines_deinit(struct deadlines *ds)
{
	free(ds->heap);
	ds->heap = NULL;
	ds->size = 0;
}

/* --- the heap ---------------------------------------------------------------------------------- */

static bool before(const struct deadline *a, const struct deadline *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void put(struct deadlines *ds, size_t slot, struct deadline *d)
{
	ds->heap[slot] = d;
	d->slot = slot;
}

static void rise(struct deadlines *ds, struct deadline *d)
{
	size_t slot = d->slot;

	for (; slot && before(d, ds->heap[(slot - 1) / 2]); slot = (slot - 1) / 2)
		put(ds, slot, ds->heap[(slot - 1) / 2]);
	put(ds, slot, d);
}

static void sink(struct deadlines *ds, struct deadline *d)
{
	size_t slot = d->slot;

	for (;;) {
		size_t child = 2 * slot + 1;

		if (child + 1 < ds->count && before(ds->heap[child + 1], ds->heap[child]))
			child++;
		if (child >= ds->count || before(d, ds->heap[child]))
			break;
		put(ds, slot, ds->heap[child]);
		slot = child;
	}
	put(ds, slot, d);
}

static void set(struct deadlines *ds, struct deadline *d, uint64_t at)
{
	uint64_t was = d->at;

	d->at = at;
	if (at < was)
		rise(ds, d);
	else if (at > was)
		sink(ds, d);
}

/* --- members ----------------------------------------------------------------------------------- */

static int make_room(struct deadlines *ds)
{
	size_t size = ds->size ? 2 * ds->size : HEAP_START;
	struct deadline **heap;

	if (ds->count < ds->size)
		return 0;
	heap = realloc(ds->heap, size * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	ds->heap = heap;
	ds->size = size;
	return 0;
}

int deadlines_add(struct deadlines *ds, struct deadline *d)
{
	int r = make_room(ds);

	if (r < 0)
		return r;
	d->at = UINT64_MAX;
	d->order = ds->added++;
	put(ds, ds->count++, d);
	list_append(&ds->touched, &d->touched);
	return 0;
}

void deadlines_remove(struct deadlines *ds, struct deadline *d)
{
	struct deadline *last = ds->heap[--ds->count];

	list_remove(&d->touched);
	if (last == d)
		return;
	put(ds, d->slot, last);
	rise(ds, last);
	sink(ds, last);
}

void deadlines_touch(struct deadlines *ds, struct deadline *d)
{
	if (list_empty(&d->touched))
		list_append(&ds->touched, &d->touched);
}

uint64_t deadlines_earliest(struct deadlines *ds)
{
	list_for_each_safe(at, next, &ds->touched)
	{
		struct deadline *d = list_entry(at, struct deadline, touched);

		list_remove(at);
		set(ds, d, ds->of(d));
	}
	return ds->count ? ds->heap[0]->at : UINT64_MAX;
}

struct deadline *deadlines_take(struct deadlines *ds, uint64_t now)
{
	while (ds->count && ds->heap[0]->at <= now) {
		struct deadline *d = ds->heap[0];
		uint64_t at = ds->of(d); /* another one's turn may have changed it */

		set(ds, d, at > now ? at : UINT64_MAX);
		deadlines_touch(ds, d);
		if (at <= now)
			return d;
	}
	return NULL;
}
