/* SPDX-License-Identifier: Apache-2.0 */
#include "base/state_table.h"

#include <stdlib.h>

#include "base/log.h"

int state_may_move(const struct state_table *table, unsigned int from, unsigned int to)
{
	return from < table->count && to < table->count && (table->row[from].next & STATE_BIT(to));
}

void state_require_move(const struct state_table *table, unsigned int from, unsigned int to)
{
	if (state_may_move(table, from, to))
		return;
	log_error("bug: %s moved from %s to %s", table->what, state_name(table, from),
		  state_name(table, to));
	abort();
}

const char *state_name(const struct state_table *table, unsigned int state)
{
	return state < table->count ? table->row[state].name : "no such state";
}
