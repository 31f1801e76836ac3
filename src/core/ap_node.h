/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Access point, the logic - MUD management, replay buffer, and the handoff of authority
 *
 * One node holds the sessions of the MUDs that are associated with one access point. For a session
 * whose container runs elsewhere it keeps copies of the requests, has the container moved to its own
 * ("home") edge server, brings the copy in sync and moves authority there (T6 to T8 of the paper,
 * rules R3 to R8). It is soft state: all that matters can be asked back from the edge servers (R7).
 *
 *	ASSOCIATING ----------------> SERVING <----------------------------.
 *	MOVING --> FINDING ------------^ |  ^                               |
 *	                                 v  | (failed, tried again later)   |
 *	        TRACING ---> REPLAYING ---> FENCING ---> ACTIVATING ---> GRACE ---> RETIRING
 *	        T6: keep     T7: replay     no more to   CT-y gets       answers from CT-y,
 *	        copies       and compare    CT-x (T8)    authority       copies kept still
 *	                                       |             |             |
 *	                                       '-------> GOING_BACK <------'
 *	                                       CT-y surely not active, then UNFENCE CT-x
 *
 * Re-entrancy: the operations must only record or queue what they are told. They must not call back
 * into the node before the function that called them has returned.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "core/policy.h"
#include "wire/message.h"

struct ap_node;
struct err;

/** enum ap_state - How far a session is at this access point */
enum ap_state {
	AP_ASSOCIATING, /* the container is being made */
	AP_MOVING,      /* the old access point was asked for the context */
	AP_FINDING,     /* the edge servers are asked who has authority */
	AP_SERVING,     /* requests go to one edge server, nothing moves */
	AP_TRACING,
	AP_REPLAYING,
	AP_FENCING,
	AP_ACTIVATING,
	AP_GRACE,
	AP_RETIRING,
	AP_GOING_BACK,
	AP_ENDED, /* about to be released */
	AP_STATES,
};

/**
 * struct ap_node_ops - What the node asks of the world; pointers are borrowed for the call
 * @to_mud:	send on the link a MUD's message came by, if it is still there; else drop
 * @to_es:	send to an edge server, if it is connected; else drop
 * @to_ap:	send to another access point, if it is connected; else drop
 * @random:	fill with unpredictable bytes
 * @event:	for the event log; @kind is a constant
 */
struct ap_node_ops {
	void (*to_mud)(void *ctx, uint64_t link, const struct wire_message *m);
	void (*to_es)(void *ctx, const char *es, const struct wire_message *m);
	void (*to_ap)(void *ctx, const char *ap, const struct wire_message *m);
	void (*random)(void *ctx, void *bytes, size_t len);
	void (*event)(void *ctx, uint64_t session, const char *kind, uint64_t number,
		      const char *detail);
};

/**
 * ap_node_new() - Create a node without sessions
 * @ret:	Set on success only; owned by the caller
 * @name:	Name of this access point
 * @home:	Name of its edge server
 * @policy:	Limits, copied
 * @proof:	How proofs are computed
 * @ops:	Operations, borrowed until ap_node_free()
 * @ctx:	Handed to each operation
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a bad name, or -ENOMEM
 */
int ap_node_new(struct ap_node **ret, const char *name, const char *home,
		const struct policy *policy, proof_fn proof, const struct ap_node_ops *ops,
		void *ctx, struct err *err);

/** ap_node_free() - Forget all sessions. Return: NULL, always */
struct ap_node *ap_node_free(struct ap_node *node);

AUTO_DEFINE(ap_node)

/**
 * ap_node_mud_message() - A message came from a MUD
 * @node:	Node
 * @now:	Time, milliseconds of any steady clock
 * @link:	Number of the link it came by, not 0
 * @mud:	Name of the MUD, proven by its certificate
 * @m:		Message; what does not belong here is answered with REFUSAL
 */
void ap_node_mud_message(struct ap_node *node, uint64_t now, uint64_t link, const char *mud,
			 const struct wire_message *m);

/** ap_node_mud_gone() - The link is no more; its sessions wait for their MUD */
void ap_node_mud_gone(struct ap_node *node, uint64_t now, uint64_t link);

/** ap_node_ap_message() - A message came from access point @ap, proven by its certificate */
void ap_node_ap_message(struct ap_node *node, uint64_t now, const char *ap,
			const struct wire_message *m);

/** ap_node_es_message() - A message came from edge server @es, proven by its certificate */
void ap_node_es_message(struct ap_node *node, uint64_t now, const char *es,
			const struct wire_message *m);

/** ap_node_es_up() - The link to @es is up (again); what was under way on the old one is lost */
void ap_node_es_up(struct ap_node *node, uint64_t now, const char *es);

/** ap_node_tick() - Time has passed; call at least every ap_node_deadline() */
void ap_node_tick(struct ap_node *node, uint64_t now);

/** ap_node_deadline() - When ap_node_tick() is due next. Return: milliseconds, UINT64_MAX if never */
uint64_t ap_node_deadline(const struct ap_node *node);

/** struct ap_session_view - A session as shown to operators and tests */
struct ap_session_view {
	uint64_t session;
	uint32_t association;
	enum ap_state state;
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	char source[NAME_SIZE];
	char dest[NAME_SIZE];
	uint64_t floor;
	uint64_t highest;
	size_t copies_bytes;
};

/** ap_node_each() - Call @fn for every session that is known here, in no particular order */
void ap_node_each(const struct ap_node *node,
		  void (*fn)(void *ctx, const struct ap_session_view *view), void *ctx);

/** ap_state_name() - "serving" and so on. Return: a constant, never NULL */
const char *ap_state_name(enum ap_state state);
