/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table - rows under headings, each column as wide as it must be
 *
 * Text from nodes goes through command_print_safe(). Colours appear only where standard output is a
 * terminal, and not if NO_COLOR is set or TERM is "dumb"; they never carry anything that the words
 * do not say.
 */

#include <stdbool.h>

#include "base/auto.h"

struct err;
struct table; /* opaque */

#define TABLE_COLUMNS_MAX 12

/** enum table_tone - How a cell looks on a terminal */
enum table_tone {
	TABLE_PLAIN,
	TABLE_GOOD,
	TABLE_WARN,
	TABLE_BAD,
	TABLE_DIM,
};

/**
 * table_new() - Create a table without rows
 * @ret:	Set on success only; the caller owns it, see table_free()
 * @headings:	"NODE", "ROLE" ..., ended by NULL; at most TABLE_COLUMNS_MAX. Borrowed until table_free()
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int table_new(struct table **ret, const char *const *headings, struct err *err);

/** table_free() - Release; @t may be NULL. Return: NULL, always */
struct table *table_free(struct table *t);

AUTO_DEFINE(table)

/**
 * table_cell() - Add the next cell; rows follow one another without a mark
 * @t:		Table
 * @tone:	How it looks
 * @fmt:	Its text; "" shows as "-"
 *
 * Without memory the table is incomplete, which table_print() reports.
 */
void table_cell(struct table *t, enum table_tone tone, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** table_sort() - Put the rows in the order of their first cells; equal ones keep theirs */
void table_sort(struct table *t);

/**
 * table_print() - Print headings and rows to standard output
 * @t:		Table
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM if a cell is missing
 */
int table_print(const struct table *t, struct err *err);

/**
 * table_clear_screen() - Before a table is shown again: an empty screen, or an empty line in a pipe
 * @first:	It has not been shown yet
 */
void table_clear_screen(bool first);
