/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Access point, the logic - MUD management, replay buffer, and the handoff of authority
 *
 * One node holds the sessions of the MUDs that are associated with one access point. If the container
 * of a session runs elsewhere, the node buffers the requests and has the container moved to its own
 * ("home") edge server. It brings the replica in sync and moves authority there (T6 to T8 of the paper,
 * rules R3 to R8). Its state is soft: all that matters can be asked back from the edge servers (R7).
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
#include "core/common/policy.h"
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

/** enum ap_result - How an attempt to move a container ended */
enum ap_result {
	AP_RESULT_MOVED,
	AP_RESULT_EDGE_SERVER,  /* an edge server failed, and tells the reason */
	AP_RESULT_DIVERGED,     /* the replica answered differently (R5) */
	AP_RESULT_COPY_DIED,    /* CT-y is gone */
	AP_RESULT_COPIES,       /* the copies since the cut are not complete */
	AP_RESULT_NOT_COMPARED, /* the answers of both could not be compared in time */
	AP_RESULT_USER_MOVED,   /* its user moved to another access point (R8) */
	AP_RESULT_USER_LEFT,    /* its session ended */
	AP_RESULT_ELSEWHERE,    /* authority is elsewhere, or another access point decides */
	AP_RESULT_LOST,         /* the session is lost */
	AP_RESULT_PLACE,        /* an operator wants it elsewhere */
	AP_RESULTS,
};

/**
 * struct ap_moved - How an attempt ended; strings are borrowed
 * @reason:	in words, empty for AP_RESULT_MOVED. An edge server may have chosen it
 * @total_ms:	from its beginning to the switch (T8), or to its end
 * @freeze_us:	time for which CT-x stood still; 0 if there was no cut, or it is not known
 * @replayed:	copies that both containers executed
 * @held:	requests that waited for CT-y to have authority
 * @in_doubt:	requests of that time in doubt: their answers were lost (R1)
 */
struct ap_moved {
	uint64_t session;
	enum ap_result result;
	const char *mud;
	const char *service;
	const char *from;
	const char *to;
	const char *reason;
	uint64_t total_ms;
	uint64_t freeze_us;
	uint64_t replayed;
	uint64_t held;
	uint64_t in_doubt;
};

/** struct ap_counts - Counts of a node since its start */
struct ap_counts {
	uint64_t requests;  /* taken from devices, each once */
	uint64_t answers;   /* given to them */
	uint64_t not_taken; /* held up at a full replay buffer; the device sends them again */
	uint64_t in_doubt;  /* answers that tell an outcome in doubt (R1) */
	uint64_t lost;      /* sessions lost */
	uint64_t given_up;  /* migrations not tried again for a lasting reason */
};

/**
 * struct ap_node_ops - Calls of the node to its owner; pointers are borrowed for the call
 * @to_mud:	send on the link a MUD's message came by, if it is still there; else drop
 * @to_es:	send to an edge server, if it is connected; else drop
 * @to_ap:	send to another access point, if it is connected; else drop
 * @random:	fill with unpredictable bytes
 * @event:	for the event log; @kind is a constant
 * @moved:	an attempt to move a container has ended; may be NULL
 * @es_known:	whether messages to this edge server can ever arrive, because it is in the configuration; NULL: they can
 */
struct ap_node_ops {
	void (*to_mud)(void *ctx, uint64_t link, const struct wire_message *m);
	void (*to_es)(void *ctx, const char *es, const struct wire_message *m);
	void (*to_ap)(void *ctx, const char *ap, const struct wire_message *m);
	void (*random)(void *ctx, void *bytes, size_t len);
	void (*event)(void *ctx, uint64_t session, const char *kind, uint64_t number,
		      const char *detail);
	void (*moved)(void *ctx, const struct ap_moved *m);
	bool (*es_known)(void *ctx, const char *es);
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

/**
 * ap_node_add_place() - An edge server to which containers may go if the home one is drained
 * @node:	Node
 * @es:		Its name; those that are added first are taken first. The home one comes before all
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a bad name, or -ENOMEM
 */
int ap_node_add_place(struct ap_node *node, const char *es, struct err *err);

/**
 * ap_node_set_places() - These are the edge servers from now on, beside the home one
 * @node:	Node
 * @now:	Time, milliseconds
 * @es, @count:	Their names, those that are taken first in front
 * @err:	Filled in on failure; then nothing has changed
 *
 * Containers leave an edge server that is not among them any more, as if it were drained.
 *
 * Return: 0, -EINVAL for a bad name, or -ENOMEM
 */
int ap_node_set_places(struct ap_node *node, uint64_t now, const char *const *es, size_t count,
		       struct err *err);

/** ap_node_set_policy() - Other limits from now on; sessions keep their replay buffers */
void ap_node_set_policy(struct ap_node *node, const struct policy *policy);

/** ap_node_sessions_at() - Sessions that concern an edge server. Return: how many */
size_t ap_node_sessions_at(const struct ap_node *node, const char *es);

/** ap_node_place() - Where sessions that begin now go. Return: borrowed; NULL if all are drained */
const char *ap_node_place(const struct ap_node *node);

/** ap_node_drained() - Whether edge server @es has said that it is drained */
bool ap_node_drained(const struct ap_node *node, const char *es);

/**
 * ap_node_wish() - An operator wants the container of a session at another edge server
 * @node:	Node
 * @now:	Time, milliseconds
 * @session:	Session
 * @es:		Edge server: the home one, or one of ap_node_add_place()
 * @err:	Filled in on failure
 *
 * It moves as if its user had; it stays there while the session is here and that edge server is not
 * drained. The wish is soft state: it ends with this program (R7).
 *
 * Return: 0, -ENOENT if the session is not here, -EINVAL if it cannot go there
 */
int ap_node_wish(struct ap_node *node, uint64_t now, uint64_t session, const char *es,
		 struct err *err);

/**
 * struct ap_ended - A session that ends without having been here
 * @association:	Higher than any that its user has had
 * @edges:	Edge servers that may have it
 */
struct ap_ended {
	uint64_t session;
	uint32_t association;
	uint8_t secret[WIRE_SECRET_SIZE];
	struct wire_edges edges;
};

/**
 * ap_node_end() - Tell edge servers that a session has ended, which is not here
 *
 * An edge server that is out of reach now is told when its link comes up. One that knows a higher association
 * does not obey: the user is elsewhere (R11).
 */
void ap_node_end(struct ap_node *node, const struct ap_ended *e);

/** ap_node_free() - Forget all sessions. Return: NULL, always */
struct ap_node *ap_node_free(struct ap_node *node);

AUTO_DEFINE(ap_node)

/**
 * ap_node_mud_message() - A message came from a MUD
 * @node:	Node
 * @now:	Time, milliseconds of any steady clock
 * @link:	Number of the link it came by, not 0
 * @mud:	Name of the MUD, proven by its certificate
 * @m:		Message; a misrouted one is answered with REFUSAL
 */
void ap_node_mud_message(struct ap_node *node, uint64_t now, uint64_t link, const char *mud,
			 const struct wire_message *m);

/** ap_node_mud_gone() - The link has ended; its sessions wait for their MUD */
void ap_node_mud_gone(struct ap_node *node, uint64_t now, uint64_t link);

/** ap_node_ap_message() - A message came from access point @ap, proven by its certificate */
void ap_node_ap_message(struct ap_node *node, uint64_t now, const char *ap,
			const struct wire_message *m);

/** ap_node_es_message() - A message came from edge server @es, proven by its certificate */
void ap_node_es_message(struct ap_node *node, uint64_t now, const char *es,
			const struct wire_message *m);

/** ap_node_es_up() - The link to @es is up (again); messages in flight on the old one are lost */
void ap_node_es_up(struct ap_node *node, uint64_t now, const char *es);

/**
 * ap_node_es_down() - There is no link to @es, or not yet
 *
 * Until ap_node_es_up(), sessions that begin go to another edge server, and none is moved to this one. A node
 * takes each edge server for reachable until it hears otherwise.
 */
void ap_node_es_down(struct ap_node *node, uint64_t now, const char *es);

/** ap_node_tick() - Time has passed; call at least every ap_node_deadline() */
void ap_node_tick(struct ap_node *node, uint64_t now);

/** ap_node_deadline() - When ap_node_tick() is due next. Return: milliseconds, UINT64_MAX if never */
uint64_t ap_node_deadline(struct ap_node *node);

/** ap_node_deadline_by_walk() - The same, by a look at every session: for checks. Return: as above */
uint64_t ap_node_deadline_by_walk(const struct ap_node *node);

/**
 * struct ap_session_view - A session as shown to operators and tests
 * @wish:	where an operator wants it; or empty
 * @place:	where it belongs; NULL: nowhere, for all edge servers are drained. Borrowed
 * @given_up:	it is not tried to move it there, see policy.h
 * @ended:	attempts to move it that have ended here
 * @last:	how the last of them ended, if there was one; borrowed
 */
struct ap_session_view {
	uint64_t session;
	uint32_t association;
	enum ap_state state;
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	char source[NAME_SIZE];
	char dest[NAME_SIZE];
	char wish[NAME_SIZE];
	const char *place;
	uint64_t floor;
	uint64_t highest;
	size_t copies_bytes;
	bool given_up;
	uint32_t ended;
	struct ap_moved last;
};

/** ap_node_each() - Call @fn for every session that is known here, in no particular order */
void ap_node_each(const struct ap_node *node,
		  void (*fn)(void *ctx, const struct ap_session_view *view), void *ctx);

/** ap_node_counts() - Counts of the node. Return: the structure by value */
struct ap_counts ap_node_counts(const struct ap_node *node);

/** ap_result_name() - "moved", "copy_died" and so on. Return: a constant, never NULL */
const char *ap_result_name(enum ap_result result);

/** ap_state_name() - "serving" and so on. Return: a constant, never NULL */
const char *ap_state_name(enum ap_state state);
