/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rounds - ask many nodes the same at one time, once or again and again
 *
 * Each node is asked by a thread of its own, so that one that does not answer costs five seconds and
 * not five for each.
 */

#include <jansson.h>

#include "base/err.h"
#include "cli/nodes.h"

#define ROUNDS_NODES_MAX 257 /* CONF_PEERS_MAX, and the event log repository */

/**
 * struct round - Answers of the nodes
 * @count:	How many were asked
 * @at:		For each: the node; its @answer, or NULL and @why there is none
 */
struct round {
	size_t count;
	struct round_answer {
		const struct node *node;
		json_t *answer;
		struct err why;
	} at[ROUNDS_NODES_MAX];
};

/** round_role() - Bit of a role, for @roles of round_ask() */
unsigned int round_role(enum wire_role role);

/**
 * round_ask() - Ask, and wait for all answers
 * @ret:	Set on success only, also if no node answers; the caller owns it, see round_free()
 * @n:		Nodes
 * @text:	Inquiry
 * @roles:	Whom: round_role() of each
 * @only:	Name of the only node to be asked, or NULL
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int round_ask(struct round **ret, const struct nodes *n, const char *text, unsigned int roles,
	      const char *only, struct err *err);

/** round_free() - Release; @r may be NULL. Return: NULL, always */
struct round *round_free(struct round *r);

AUTO_DEFINE(round)
