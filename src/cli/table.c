/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/command.h"

#define GAP 2 /* blanks between columns */

struct cell {
	enum table_tone tone;
	char *text;
};

/* @failed: a cell could not be kept */
struct table {
	const char *const *heading;
	size_t columns;
	struct cell *cell;
	size_t cells;
	size_t room;
	bool failed;
};

static const char *const colour[] = {
	[TABLE_PLAIN] = "",       [TABLE_GOOD] = "\033[32m", [TABLE_WARN] = "\033[33m",
	[TABLE_BAD] = "\033[31m", [TABLE_DIM] = "\033[2m",
};

static bool in_colour(void)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

int table_new(struct table **ret, const char *const *headings, struct err *err)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, -ENOMEM, "table");
	t->heading = headings;
	while (t->columns < TABLE_COLUMNS_MAX && headings[t->columns])
		t->columns++;
	*ret = t;
	return 0;
}

struct table *table_free(struct table *t)
{
	if (t) {
		for (size_t i = 0; i < t->cells; i++)
			free(t->cell[i].text);
		free(t->cell);
	}
	free(t);
	return NULL;
}

static bool make_room(struct table *t)
{
	size_t room = t->room ? 2 * t->room : 64;

	if (t->cells < t->room)
		return true;
	struct cell *cell = realloc(t->cell, room * sizeof(*cell));
	if (!cell)
		return false;
	t->cell = cell;
	t->room = room;
	return true;
}

void table_cell(struct table *t, enum table_tone tone, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n == 0) {
		free(text);
		text = strdup("-");
	}
	if (n < 0 || !text || !make_room(t)) {
		if (n >= 0)
			free(text);
		t->failed = true;
		return;
	}
	t->cell[t->cells++] = (struct cell){ tone, text };
}

/* A row is as many cells as there are columns: moved up until the one before it is not greater */
static void sink_row(struct table *t, size_t at)
{
	struct cell row[TABLE_COLUMNS_MAX];
	size_t bytes = t->columns * sizeof(*row);

	memcpy(row, &t->cell[at], bytes);
	for (; at > 0 && strcmp(t->cell[at - t->columns].text, row[0].text) > 0; at -= t->columns)
		memcpy(&t->cell[at], &t->cell[at - t->columns], bytes);
	memcpy(&t->cell[at], row, bytes);
}

void table_sort(struct table *t)
{
	for (size_t at = t->columns; at + t->columns <= t->cells; at += t->columns)
		sink_row(t, at);
}

static void print_cell(const char *text, const char *paint, size_t width)
{
	(void)fputs(paint, stdout);
	command_print_safe(text);
	if (*paint)
		(void)fputs("\033[0m", stdout);
	for (size_t i = strlen(text); i < width; i++)
		(void)putchar(' ');
}

/* The last column is not filled up, so that no line ends in blanks */
static size_t width_of(const struct table *t, size_t column)
{
	size_t widest = strlen(t->heading[column]);

	if (column + 1 == t->columns)
		return 0;
	for (size_t i = column; i < t->cells; i += t->columns) {
		size_t width = strlen(t->cell[i].text);

		widest = width > widest ? width : widest;
	}
	return widest + GAP;
}

int table_print(const struct table *t, struct err *err)
{
	bool paint = in_colour();
	size_t width[TABLE_COLUMNS_MAX] = { 0 };

	if (t->failed)
		return err_set(err, -ENOMEM, "table");
	for (size_t i = 0; i < t->columns; i++) {
		width[i] = width_of(t, i);
		print_cell(t->heading[i], paint ? "\033[1m" : "", width[i]);
	}
	(void)putchar('\n');
	for (size_t i = 0; i < t->cells; i++) {
		const struct cell *c = &t->cell[i];

		print_cell(c->text, paint ? colour[c->tone] : "", width[i % t->columns]);
		if ((i + 1) % t->columns == 0)
			(void)putchar('\n');
	}
	return 0;
}

void table_clear_screen(bool first)
{
	if (isatty(STDOUT_FILENO))
		(void)fputs("\033[H\033[2J", stdout);
	else if (!first)
		(void)putchar('\n');
}
