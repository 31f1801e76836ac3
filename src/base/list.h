/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Intrusive doubly linked list; an initialised head points to itself
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

/** struct list - Head of a list, or the link embedded in each member */
struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *head, struct list *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

/** list_remove() - Take @item out; it is left as an empty list, so removing twice is harmless */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

#define list_entry(item, type, member) container_of(item, type, member)

/** list_first() - First member, or NULL if the list is empty */
#define list_first(head, type, member)                                                             \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))

/** list_last() - Last member, or NULL if the list is empty */
#define list_last(head, type, member)                                                              \
	(list_empty(head) ? NULL : list_entry((head)->prev, type, member))

/** list_for_each_safe() - Walk all members; the current one may be removed */
#define list_for_each_safe(pos, tmp, head)                                                         \
	for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head);                     \
	     pos = tmp, tmp = pos->next)
