/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Views - answers of nodes, as rows of a table
 *
 * An answer is not trusted: a field that is missing or of another type shows as "-".
 */

#include <jansson.h>

#include "cli/rounds.h"
#include "cli/table.h"

#define VIEWS_SESSION_DIGITS 8 /* first digits of a session's number: enough to name it */

/**
 * struct view - One command that asks all nodes the same
 * @question:	The inquiry, and the name of the list in its answer
 * @roles:	Whom it is put to
 * @headings:	Of the table, ended by NULL
 * @sorted:	By the first column, so that answers of several nodes about one thing stand together
 * @silent:	Nodes that do not answer have a row, too
 * @rows:	Adds the rows of one node
 */
struct view {
	const char *question;
	unsigned int roles;
	const char *const *headings;
	bool sorted;
	bool silent;
	void (*rows)(struct table *t, const struct round_answer *a);
};

extern const struct view view_status;
extern const struct view view_sessions;
extern const struct view view_kept;
extern const struct view view_users;

/** view_text() - A string of an object. Return: it, or "" if there is none; valid as long as @j */
const char *view_text(const json_t *j, const char *key);

/** view_number() - A number of an object. Return: it, or @missing */
json_int_t view_number(const json_t *j, const char *key, json_int_t missing);
