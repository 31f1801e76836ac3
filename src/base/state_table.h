/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * State tables - the states of a protocol and the moves between them
 *
 * A move that the table does not allow is a bug in the program, not bad input. It stops the process
 * where it happens, in the simulator and in a daemon alike.
 */

#include <stddef.h>
#include <stdint.h>

/**
 * struct state_row - One state
 * @name:	As shown to people
 * @next:	Bit mask of the states that may follow, STATE_BIT() of each
 */
struct state_row {
	const char *name;
	uint32_t next;
};

/** struct state_table - @count rows, indexed by state number (31 at most) */
struct state_table {
	const char *what;
	size_t count;
	const struct state_row *row;
};

#define STATE_BIT(state) (1u << (state))

/** state_may_move() - Whether the table allows the move. Return: 1 or 0 */
int state_may_move(const struct state_table *table, unsigned int from, unsigned int to);

/** state_require_move() - Stop the process unless the table allows the move */
void state_require_move(const struct state_table *table, unsigned int from, unsigned int to);

/** state_name() - Name of @state. Return: a constant, never NULL */
const char *state_name(const struct state_table *table, unsigned int state);
