/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table of members by number
 *
 * It has about as many chains as members, so a look-up takes one step whatever their number. Several members may have
 * the same number; they are found in the order in which they were added.
 *
 * Numbers may be chosen by strangers, and so that they collide: callers bound the members that one stranger may have.
 */

#include <stddef.h>
#include <stdint.h>

/** struct number_entry - Part of each member */
struct number_entry {
	struct number_entry *next;
	uint64_t number;
};

/** struct number_table - All zero: empty */
struct number_table {
	struct number_entry **chain;
	size_t chains;
	size_t count;
};

/** number_table_deinit() - Release the memory, not the members */
void number_table_deinit(struct number_table *t);

/** number_table_add() - Add a member. Return: 0, or -ENOMEM */
int number_table_add(struct number_table *t, struct number_entry *e, uint64_t number);

/** number_table_remove() - Take a member out */
void number_table_remove(struct number_table *t, struct number_entry *e);

/** number_table_find() - First member of a number. Return: borrowed, or NULL */
struct number_entry *number_table_find(const struct number_table *t, uint64_t number);

/** number_table_next() - Next member of the same number. Return: borrowed, or NULL */
struct number_entry *number_table_next(const struct number_entry *e);
