/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Mobility Management - emulates the movement of the device (paper, Figure 2)
 *
 * A plan is a list of moves, each with its condition: after so many requests were sent, or after so
 * much time. Moves happen in the order of the plan, each when it is its turn and its condition
 * holds. Nothing here does I/O or reads a clock.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct err;

#define MOBILITY_MOVES_MAX 1024

/** enum mobility_when - Condition of a move */
enum mobility_when {
	MOBILITY_AFTER_REQUEST, /* request number @at was sent */
	MOBILITY_AFTER_MS,      /* @at milliseconds after the start */
};

/** struct mobility_move - One move of a plan */
struct mobility_move {
	enum mobility_when when;
	uint64_t at;
	char ap[NAME_SIZE];
};

/** struct mobility_management - A plan and how far it is; all zero is an empty plan */
struct mobility_management {
	struct mobility_move move[MOBILITY_MOVES_MAX];
	size_t count;
	size_t next;
};

/**
 * mobility_management_add() - Add one move to the plan
 * @mm:		Plan; unchanged on failure
 * @text:	"N:AP" (after request N) or "Tms:AP" (after T milliseconds), as in "50:AP-2"
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for another text, or -ENOSPC after MOBILITY_MOVES_MAX moves
 */
int mobility_management_add(struct mobility_management *mm, const char *text, struct err *err);

/**
 * mobility_management_step() - The move that is due
 * @mm:		Plan; advances by one if a move is due
 * @sent:	Requests sent so far
 * @elapsed_ms:	Time since the start
 *
 * Call until it returns NULL: several can be due.
 *
 * Return: the move, borrowed, or NULL
 */
const struct mobility_move *mobility_management_step(struct mobility_management *mm, uint64_t sent,
						     uint64_t elapsed_ms);

/** mobility_management_due() - When a move is due by time. Return: ms from start, UINT64_MAX: none */
uint64_t mobility_management_due(const struct mobility_management *mm);
