/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Deadlines - which of many members is due next
 *
 * A member's deadline follows from its state, and its state changes in many places. So nobody sets deadlines. Code that
 * may change a member marks it with deadlines_touch(), and deadlines_earliest() computes the deadlines of marked members
 * again. The others stand in a binary heap. Thus a message to one member costs the logarithm of their number, not a walk
 * over all of them.
 *
 * Members that are due at the same time are due in the order in which they were added.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/**
 * struct deadline - Part of each member
 * @touched:	In the list of those that may have changed; else empty
 * @at:		Its place in the heap follows from this; of a marked member it may be out of date
 * @order:	Which member this is, in the order of addition
 * @slot:	Index in the heap
 */
struct deadline {
	struct list touched;
	uint64_t at;
	uint64_t order;
	size_t slot;
};

/**
 * struct deadlines - The members
 * @of:		Works out the deadline of a member; UINT64_MAX if it has none
 * @touched:	Members that may have changed
 * @heap:	All members, @count of them; there is room for @size
 * @added:	Members that were ever added
 */
struct deadlines {
	uint64_t (*of)(const struct deadline *d);
	struct list touched;
	struct deadline **heap;
	size_t count;
	size_t size;
	uint64_t added;
};

/** deadlines_init() - Begin without members */
void deadlines_init(struct deadlines *ds, uint64_t (*of)(const struct deadline *d));

/** deadlines_deinit() - Release the memory; there are no members any more */
void deadlines_deinit(struct deadlines *ds);

/** deadlines_add() - Add a member, marked. Return: 0, or -ENOMEM */
int deadlines_add(struct deadlines *ds, struct deadline *d);

/** deadlines_remove() - Take a member out */
void deadlines_remove(struct deadlines *ds, struct deadline *d);

/** deadlines_touch() - The deadline of a member may become another one before deadlines_earliest() is called */
void deadlines_touch(struct deadlines *ds, struct deadline *d);

/** deadlines_earliest() - Work out what may have changed. Return: the earliest deadline, UINT64_MAX if there is none */
uint64_t deadlines_earliest(struct deadlines *ds);

/**
 * deadlines_take() - The next member that is due, each of them once
 * @ds:		Members; deadlines_earliest() was called before the first one is taken
 * @now:	Time
 *
 * A member that was taken is marked, so it is not taken again before deadlines_earliest() is called. The caller may
 * change and remove members between two calls.
 *
 * Return: borrowed, or NULL if no other is due
 */
struct deadline *deadlines_take(struct deadlines *ds, uint64_t now);
