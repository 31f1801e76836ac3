/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One session at an access point - inner header of ap_*.c, not for others
 *
 * Each file calls only those below it:
 *
 *	ap/node.c	finds the session a message is for
 *	ap/mud.c	MUD management: association, reassociation, claims
 *	ap/wish.c	an operator drains an edge server, or wishes
 *	ap/handoff*.c	moving authority (ap/handoff.h)
 *	ap/leave.c	the context for the new access point; the session's end
 *	ap/retry.c	whether an attempt that failed is made again
 *	ap/edges.c	statements of the edge servers, taken together; orders to them
 *	ap/forward.c	packet forwarding: requests to containers, answers to the MUD
 *	ap/reply.c	messages that tell the MUD about its session
 *	ap/state.c	the states, and the ways from one to another
 *	ap/attempt.c	how long an attempt took, and how it ended
 *	ap/place.c	where a container belongs
 *	ap/session.c	a session's record, events, messages about it
 *	ap/ended.c	the end of a session, told to each edge server
 */

#include "base/list.h"
#include "base/number_table.h"
#include "core/ap/node.h"
#include "core/common/deadlines.h"

struct replay_buffer;
struct replay_copy;

#define AP_EDGES_MAX  8 /* edge servers one session may concern at a time */
#define AP_CLAIMS_MAX 4 /* devices that claim one session without a proof, until it is decided */

/**
 * struct ap_edge - Knowledge about one edge server with regard to one session
 * @name:	Edge server; empty if the entry is free
 * @heard:	it answered under the present association, the fields from @state on are set
 * @state:	as in struct wire_es_status, and so on to @peer
 * @fed:	requests up to this number were sent to it
 * @answered:	requests up to this number were executed there, as far as we know
 * @answered_before: @answered when it was asked last
 * @holding, @freeze_us: as in struct wire_es_status
 * @spoilt:	an effect that the user was told of may be missing there
 * @kept:	@state is LOST, and the data of its container are there: authority may come back to it
 * @others:	@state is NONE, for the session there under this number is another user's
 * @predecessor: had authority before and may wait for the word to retire, which got lost with the
 *		access point that should have said it (R3)
 */
struct ap_edge {
	char name[NAME_SIZE];
	bool heard;
	enum wire_es_state state;
	uint32_t epoch;
	uint64_t executed;
	uint64_t received;
	uint64_t cut;
	uint32_t cut_association;
	enum wire_migration migration;
	bool holding;
	bool spoilt;
	bool kept;
	uint64_t freeze_us;
	bool others;
	char peer[NAME_SIZE];
	uint64_t fed;
	uint64_t answered;
	uint64_t answered_before;
	bool predecessor;
};

/**
 * struct ap_attempt - One attempt to move a container, from T6 until authority stays somewhere
 * @open:	an attempt is under way
 * @result, @reason: its outcome, as far as is known; valid if @decided
 * @began, @switched: when, ms; @switched is 0 until CT-y has authority
 * @held_since:	when the source was first seen to hold (R6), ms; 0: it does not
 */
struct ap_attempt {
	bool open;
	bool decided;
	enum ap_result result;
	char reason[WIRE_REASON_SIZE];
	char from[NAME_SIZE];
	char to[NAME_SIZE];
	uint64_t began;
	uint64_t switched;
	uint64_t held_since;
	uint64_t freeze_us;
	uint64_t replayed;
	uint64_t held;
	uint64_t in_doubt;
};

/**
 * struct ap_session - State of one session
 * @link:		in the node's list
 * @by_number:		in the node's table
 * @deadline:		when it has something to do, see ap_session_deadline()
 * @node:		node it belongs to
 * @session:		its number
 * @association:	under which this access point commands edge servers
 * @mud_association:	the MUD's last one; higher after it came back to this same access point
 * @state, @since:	how far, and since when
 * @mud_link:		where the MUD is, 0 if it is not connected
 * @left_at:		when it was connected last
 * @response_due:	the MUD waits for a (RE)ASSOCIATION RESPONSE
 * @reassociating:	which of the two
 * @resume:		the MUD waits for the numbers that the edge server tells, too
 * @leaving:		in ASSOCIATING: the MUD has ended what it began. The edge server is told when it has made
 *			the container, which shows that the session is this MUD's (R11)
 * @asked:		in ASSOCIATING: CREATE may have arrived, so the session cannot begin elsewhere (R4)
 * @abandoned:		likewise, but we have ended it: the link to the edge server broke while it made the
 *			container, and another edge server could be asked
 * @has_secret:		@secret is known, and that the MUD's proof fits it
 * @proof:		from the MUD, for this access point and @association
 * @old_ap:		where the context is
 * @edge:		edge servers concerned
 * @source:		the one with authority (index into @edge), -1 while unknown
 * @dest:		the one the container moves to, -1 if none
 * @copies:		the replay buffer
 * @streams:		the service has sent by itself, so links that break matter to it
 * @acked:		the MUD has all answers up to this number; its container must have executed so far
 * @fence_after:	number in FENCE: the last one that CT-x may execute
 * @fenced_at:		number up to which CT-x's answers count; valid once the source is fenced
 * @since_asked:	in SERVING: when the edge server was last told that the MUD is still here
 * @word_awaited:	in SERVING: nothing is dropped until the edge server has told of a request's outcome
 * @next_retry:		when commands without an answer are repeated
 * @divergences:	times a CT-y answered otherwise than CT-x (R5)
 * @diverged:		too often: a migration is not tried again here
 * @hold_next:		the next attempt holds, and follows at once
 * @unfence_sent:	in GOING_BACK: the source was told UNFENCE, and may obey at any time
 * @unfence_at:	in GOING_BACK: not sent again before; an edge server that refuses answers at once
 * @waiting_told:	when the MUD was told last that its container has ended and does not start
 * @copy_inactive:	in GOING_BACK: ACTIVATE was never sent to the copy of this cut, so it cannot be
 *			active, wherever it is
 * @displaced:	in FINDING: association that the user has elsewhere, as an edge server says; 0: none does
 * @proof_refused:	in FINDING: an edge server has a session of this number that the proof does not fit
 * @rounds:		how often all edge servers were asked in FINDING
 * @attempts:		migrations that failed in a row
 * @last_reason:	why the last one failed, if for a lasting reason; @equal_reasons in a row
 * @given_up_epoch:	so often that no further one is made while the container is that of this epoch
 * @next_attempt:	when to try again
 * @attempt:		the running attempt
 * @ended:		attempts that have ended; @last is how the last one did
 * @last_from, @last_to, @last_why: to which @last points
 * @wish:		edge server at which an operator wants the container; or empty
 * @move:		the MUD is elsewhere already, its new access point waits for the context
 * @move_association:	of @move; 0 if there is none
 */
struct ap_session {
	struct list link;
	struct number_entry by_number;
	struct deadline deadline;
	struct ap_node *node;
	uint64_t session;
	uint32_t association;
	uint32_t mud_association;
	enum ap_state state;
	uint64_t since;
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	uint64_t mud_link;
	uint64_t left_at;
	bool response_due;
	bool reassociating;
	bool resume;
	bool leaving;
	bool asked;
	bool abandoned;
	bool has_secret;
	uint8_t secret[WIRE_SECRET_SIZE];
	uint8_t proof[WIRE_PROOF_SIZE];
	char old_ap[NAME_SIZE];
	struct ap_edge edge[AP_EDGES_MAX];
	int source;
	int dest;
	struct replay_buffer *copies;
	bool streams;
	uint64_t acked;
	uint64_t fence_after;
	uint64_t fenced_at;
	uint64_t since_asked;
	bool word_awaited;
	uint64_t next_retry;
	uint32_t divergences;
	bool diverged;
	bool hold_next;
	bool unfence_sent;
	uint64_t unfence_at;
	uint64_t waiting_told;
	bool copy_inactive;
	bool proof_refused;
	uint32_t displaced;
	uint32_t rounds;
	uint32_t attempts;
	char last_reason[WIRE_REASON_SIZE];
	uint32_t equal_reasons;
	uint32_t given_up_epoch;
	uint64_t next_attempt;
	struct ap_attempt attempt;
	uint32_t ended;
	struct ap_moved last;
	char last_from[NAME_SIZE];
	char last_to[NAME_SIZE];
	char last_why[WIRE_REASON_SIZE];
	char wish[NAME_SIZE];
	struct wire_move_notify move;
	uint32_t move_association;
};

/**
 * DOC: claims
 *
 * A device claims a session with a REASSOCIATION REQUEST (an ASSOCIATION REQUEST if it is to begin). Only
 * a node that knows the secret can check its proof. If the session is here, the claim is decided at once;
 * a wrong claim never changes the session. Otherwise claims of several devices stand side by side, each a
 * struct ap_session under the same number, until an edge server or the old access point has told the
 * secret, and the proof of one of them fits it (ap_session_prove()). The others end then.
 */

/**
 * struct ap_place - An edge server to which containers may go
 * @drained:	it has said that it is
 * @down:	there is no link to it
 * @down_at:	since when
 */
struct ap_place {
	char name[NAME_SIZE];
	bool drained;
	bool down;
	uint64_t down_at;
};

/** struct ap_node - See ap/node.h; the first of @place is the home one; @owed is for ap/ended.c */
struct ap_node {
	char name[NAME_SIZE];
	char home[NAME_SIZE];
	struct policy policy;
	proof_fn proof;
	const struct ap_node_ops *ops;
	void *ctx;
	struct list
		sessions; /* a change to one that ap_session_next() did not return needs ap_session_touch() */
	struct number_table by_number;
	struct deadlines deadlines;
	size_t count;
	struct list owed;
	struct ap_counts counts;
	struct ap_place *place;
	size_t places;
};

/** ap_session_source() - The edge server with authority. Return: borrowed, NULL while unknown */
static inline struct ap_edge *ap_session_source(struct ap_session *s)
{
	return s->source < 0 ? NULL : &s->edge[s->source];
}

/** ap_session_dest() - The edge server the container moves to. Return: borrowed, or NULL */
static inline struct ap_edge *ap_session_dest(struct ap_session *s)
{
	return s->dest < 0 ? NULL : &s->edge[s->dest];
}

/** ap_session_holds() - Whether the source was fenced by the cut of the running attempt (R6, hold) */
static inline bool ap_session_holds(const struct ap_session *s)
{
	const struct ap_edge *source = s->source < 0 ? NULL : &s->edge[s->source];

	return source && source->heard && source->state == WIRE_ES_FENCED && source->holding &&
	       source->cut_association == s->association;
}

/* ap/session.c */

/** ap_session_new() - Add a session in state @state. Return: NULL without memory or at the limit */
struct ap_session *ap_session_new(struct ap_node *node, uint64_t session, enum ap_state state,
				  uint64_t now);

/** ap_session_touch() - Its deadline may become another one */
void ap_session_touch(struct ap_session *s);

/** ap_session_deadline() - When a session has something to do. Return: ms, UINT64_MAX if never */
uint64_t ap_session_deadline(const struct deadline *d);

/** ap_session_free() - Remove it from its node and release it */
void ap_session_free(struct ap_session *s);

/**
 * ap_session_next() - Sessions of a node by number: one, and claims to it
 * @node:	Node
 * @session:	Number
 * @after:	The one found before, NULL for the first; it must not have been released
 *
 * The caller may change it, so its deadline is worked out anew.
 *
 * Return: borrowed, or NULL if there are no more
 */
struct ap_session *ap_session_next(const struct ap_node *node, uint64_t session,
				   const struct ap_session *after);

/** ap_session_proven() - Whether it is more than a claim */
bool ap_session_proven(const struct ap_session *s);

/** ap_session_fits() - Whether the MUD's proof was made with @secret; a known secret is compared */
bool ap_session_fits(const struct ap_session *s, const uint8_t *secret);

/**
 * ap_session_meant() - Whether @command, as an answer repeats it, was this session's
 *
 * 0 is that of a command without a proof, which claims do not send.
 *
 * Return: true if it was
 */
bool ap_session_meant(const struct ap_session *s, uint64_t command);

/** ap_session_say() - Report an event of the session */
void ap_session_say(struct ap_session *s, const char *kind, uint64_t number, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** ap_session_edge() - Entry of edge server @name, made if need be. Return: index, -1 if full */
int ap_session_edge(struct ap_session *s, const char *name);

/** ap_session_command() - Start a message about the session. Return: it, by value */
struct wire_message ap_session_command(const struct ap_session *s, enum wire_type type);

/** ap_session_tell() - Send @m to the edge server @e */
void ap_session_tell(struct ap_session *s, const struct ap_edge *e, const struct wire_message *m);

/** ap_session_attach() - Ask @e how the session stands, and prove that the MUD is here */
void ap_session_attach(struct ap_session *s, const struct ap_edge *e);

/* ap/place.c */

/** ap_place_find() - An edge server to which containers may go. Return: borrowed, or NULL */
struct ap_place *ap_place_find(const struct ap_node *node, const char *es);

/** enum ap_begin - Whether an edge server can be had for a session that begins */
enum ap_begin {
	AP_BEGIN_NOW,
	AP_BEGIN_LATER, /* the link to one may come up in the next moment */
	AP_BEGIN_AWAY,  /* none can be reached */
	AP_BEGIN_DRAINED,
};

/** ap_place_begin() - Where a session begins. @place is set, borrowed, if it can begin now or later */
enum ap_begin ap_place_begin(const struct ap_node *node, uint64_t now,
			     const struct ap_place **place);

/** ap_place_down() - Whether there is no link to an edge server */
bool ap_place_down(const struct ap_node *node, const char *es);

/** ap_edge_known() - Whether messages to an edge server can ever arrive */
bool ap_edge_known(const struct ap_node *node, const char *es);

/** ap_session_place() - Where its container belongs. Return: borrowed; NULL if all are drained */
const char *ap_session_place(const struct ap_session *s);

/** ap_session_away() - Whether its container with authority is elsewhere, and has a place to go to */
bool ap_session_away(const struct ap_session *s);

/* ap/attempt.c */

/** ap_attempt_begin() - The session's container is to go from its source to its destination */
void ap_attempt_begin(struct ap_session *s, uint64_t now);

/** ap_attempt_seen() - The source reported: how long it froze, since when it holds */
void ap_attempt_seen(struct ap_session *s, uint64_t now);

/** ap_attempt_switched() - The destination has authority (T8) */
void ap_attempt_switched(struct ap_session *s, uint64_t now);

/** ap_attempt_decide() - Set its outcome; the first call counts. Nothing if there is no attempt */
void ap_attempt_decide(struct ap_session *s, enum ap_result result, const char *reason);

/** ap_attempt_end() - It has ended, with authority at @authority, empty if unknown; reported once */
void ap_attempt_end(struct ap_session *s, uint64_t now, const char *authority);

/* ap/state.c */

/** ap_session_move() - Go to another state, which must be allowed; it is then entered at @now */
void ap_session_move(struct ap_session *s, enum ap_state to, uint64_t now);

/* ap/reply.c */

/** ap_mud_respond() - Send the (RE)ASSOCIATION RESPONSE the MUD waits for, if it does */
void ap_mud_respond(struct ap_session *s, enum wire_status status, const char *reason);

/** ap_mud_notice() - Tell the MUD which edge servers to remember */
void ap_mud_notice(struct ap_session *s);

/** ap_mud_refuse() - Send a REFUSAL of request @number, or of the session if it is 0 */
void ap_mud_refuse(struct ap_node *node, uint64_t link, uint64_t session, uint64_t number,
		   enum wire_status status, const char *reason);

/** ap_mud_lost() - The session is gone: tell the MUD, end it here */
void ap_mud_lost(struct ap_session *s, uint64_t now, enum wire_status status, const char *reason);

/* ap/forward.c */

/** ap_forward_request() - A request of the MUD: keep it, and send it on */
void ap_forward_request(struct ap_session *s, const struct wire_data *d);

/** enum ap_answer - Verdict on a container's answer */
enum ap_answer {
	AP_ANSWER_PASSED_OVER, /* not from a running container of the session */
	AP_ANSWER_TAKEN,
	AP_ANSWER_DIVERGED, /* the other container answered differently (R5) */
	AP_ANSWER_SPOILT, /* in doubt, and another container has given the answer to the user (R1) */
};

/** ap_forward_take() - Note an answer of the container at @e, and compare it with the other one's */
enum ap_answer ap_forward_take(struct ap_session *s, struct ap_edge *e,
			       const struct wire_message *m);

/** ap_forward_deliver() - Give an answer that was taken to the MUD, or withhold it until @e may answer */
void ap_forward_deliver(struct ap_session *s, const struct ap_edge *e,
			const struct wire_data *answer);

/** ap_forward_feed() - Send on the requests that the containers may have now */
void ap_forward_feed(struct ap_session *s);

/** ap_forward_sync() - @e reported its progress: ask again for answers that got lost */
void ap_forward_sync(struct ap_session *s, uint64_t now, struct ap_edge *e);

/** ap_forward_stream() - Forward bytes that the service at @e sends unasked (codec tcp), at once */
void ap_forward_stream(struct ap_session *s, const struct ap_edge *e, const struct wire_message *m);

/** ap_forward_broken() - The link to @e broke: stream bytes on it are lost, and the user is told */
void ap_forward_broken(struct ap_session *s, const struct ap_edge *e);

/** ap_forward_waiting() - Requests wait at @e for the reason that it gives; their user is told (R9) */
void ap_forward_waiting(struct ap_session *s, const struct ap_edge *e,
			const struct wire_es_status *why);

/** ap_forward_release() - CT-y has authority: deliver the answers that were withheld */
void ap_forward_release(struct ap_session *s, struct ap_edge *e);

/** ap_forward_behind() - Whether the MUD has answers that the container has yet to come to (R1) */
bool ap_forward_behind(struct ap_session *s);

/** ap_forward_alike() - Whether the answers of both containers, as far as they are known, agree (R5) */
bool ap_forward_alike(const struct ap_session *s, const struct replay_copy *c);

/** ap_forward_settle() - Drop copies that cannot be needed any more while nothing moves */
void ap_forward_settle(struct ap_session *s);

/* ap/edges.c */

/** ap_edge_gone() - It has said that no container of the session runs there */
bool ap_edge_gone(const struct ap_edge *e);

/** ap_edge_not_coming() - No replica comes to it: a session there, if any, is the trace of an older stay */
bool ap_edge_not_coming(const struct ap_edge *e);

/** ap_edge_left_behind() - Whether a container still is at @e from which authority has gone on */
bool ap_edge_left_behind(struct ap_session *s, const struct ap_edge *e);

/** ap_edge_can_go_on() - Whether the container at @e has executed all that the MUD has answers to, or can (R1) */
bool ap_edge_can_go_on(const struct ap_session *s, const struct ap_edge *e);

/** ap_edge_successor_known() - Whether the edge server to which fenced @e was handed tells the outcome (R4) */
bool ap_edge_successor_known(const struct ap_session *s, const struct ap_edge *e);

/** ap_edges_active() - The one with authority, of several that of the highest epoch. Return: index, or -1 */
int ap_edges_active(const struct ap_session *s);

/** ap_edges_kept() - The best one whose container has ended and may start again. Return: index, or -1 */
int ap_edges_kept(const struct ap_session *s);

/** ap_edges_resting() - The same, or one that is fenced. Return: index, or -1 */
int ap_edges_resting(const struct ap_session *s);

/** ap_edges_highest_epoch() - Of all edge servers of the session. Return: epoch, 0 if none is known */
uint32_t ap_edges_highest_epoch(const struct ap_session *s);

/** ap_edges_ask_further() - Ask those that others name as source or successor. Return: whether any was asked */
bool ap_edges_ask_further(struct ap_session *s);

/** ap_edges_watch() - @name had authority before, and may wait for the word to retire */
void ap_edges_watch(struct ap_session *s, const char *name);

/** ap_edges_forget_others() - Forget all but @keep and those that had authority before */
void ap_edges_forget_others(struct ap_session *s, int keep);

/** ap_edge_migrate() - Order the source to migrate to the destination */
void ap_edge_migrate(struct ap_session *s);

/** ap_edge_fence() - Order the source to execute nothing after @s->fence_after */
void ap_edge_fence(struct ap_session *s);

/** ap_edge_order() - Send @e an order that has no fields of its own */
void ap_edge_order(struct ap_session *s, const struct ap_edge *e, enum wire_type type);

/* ap/retry.c */

/** ap_retry_given_up() - Whether nothing is gained by another attempt, until the user moves or the container is another */
bool ap_retry_given_up(const struct ap_session *s);

/** ap_retry_pause() - Time until the next attempt. Return: ms */
uint64_t ap_retry_pause(const struct ap_session *s);

/** ap_retry_failed() - An attempt failed at an edge server, for the reason in @w; count lasting ones */
void ap_retry_failed(struct ap_session *s, const struct wire_es_status *w);

/* ap/leave.c */

/** ap_leave() - Give the session to its new access point if it may leave now, else later */
void ap_leave(struct ap_session *s, uint64_t now);

/**
 * ap_ended_tell() - A session has ended: tell an edge server until it confirms that it has nothing of it
 * @proof:	WIRE_PROOF_SIZE bytes: the user was here, as of @association
 */
void ap_ended_tell(struct ap_node *node, const char *es, uint64_t session, uint32_t association,
		   const uint8_t *proof);

/** ap_ended_heard() - A message of an edge server, which may confirm an end */
void ap_ended_heard(struct ap_node *node, const char *es, const struct wire_message *m);

/** ap_ended_up() - The link to an edge server came up: ends that are owed are told again */
void ap_ended_up(struct ap_node *node, const char *es);

/** ap_ended_free() - Forget what is owed */
void ap_ended_free(struct ap_node *node);

/** ap_leave_end() - The MUD wants the session no more: tell the edge servers, end it here */
void ap_leave_end(struct ap_session *s, uint64_t now);

/* ap/handoff*.c */

/** ap_handoff_find() - Look for the edge server with authority among those that answered */
void ap_handoff_find(struct ap_session *s, uint64_t now);

/** ap_handoff_drop() - Drop the running attempt, before FENCE only: the source serves on (R10) */
void ap_handoff_drop(struct ap_session *s, uint64_t now, enum ap_result result, const char *why);

/** ap_handoff_adopt() - Edge server @index has authority: serve from it, move it home if it is not */
void ap_handoff_adopt(struct ap_session *s, uint64_t now, int index);

/** ap_handoff_withheld() - While the session is looked for: an edge server may have it, and cannot say. Its user waits */
void ap_handoff_withheld(struct ap_session *s, uint64_t now, const char *reason);

/** ap_handoff_status() - @e reported the session's state there; its view is updated already */
void ap_handoff_status(struct ap_session *s, uint64_t now, struct ap_edge *e,
		       const struct wire_message *m);

/** ap_handoff_progress() - Something changed: go on to the next state if all it needs is there */
void ap_handoff_progress(struct ap_session *s, uint64_t now);

/**
 * ap_handoff_diverged() - CT-y answered request @number differently from CT-x (R5)
 *
 * @in_doubt: CT-x could not tell the outcome, so this replica is invalid but the next may be good
 */
void ap_handoff_diverged(struct ap_session *s, uint64_t now, uint64_t number, bool in_doubt);

/** ap_handoff_spoilt() - The source cannot tell whether it has executed request @number, whose answer the user has */
void ap_handoff_spoilt(struct ap_session *s, uint64_t now, uint64_t number);

/** ap_handoff_tick() - Repeat commands without an answer, end waits */
void ap_handoff_tick(struct ap_session *s, uint64_t now);

/* ap/wish.c */

/** ap_wish_reachable() - The link to edge server @es is up: containers that waited for it may go there */
void ap_wish_reachable(struct ap_node *node, uint64_t now, const char *es);

/** ap_wish_drained() - Edge server @es says whether it is drained */
void ap_wish_drained(struct ap_node *node, uint64_t now, const char *es, bool drained);

/* ap/mud.c */

/** ap_session_prove() - @secret fits (ap_session_fits()): all other claims to the session end */
void ap_session_prove(struct ap_session *s, uint64_t now, const uint8_t *secret);

/** ap_mud_message() - ASSOCIATION, REASSOCIATION, DISASSOCIATION of a MUD */
void ap_mud_message(struct ap_node *node, uint64_t now, uint64_t link, const char *mud,
		    const struct wire_message *m);

/** ap_mud_move_response() - The old access point answered */
void ap_mud_move_response(struct ap_session *s, uint64_t now, const struct wire_message *m);

/** ap_mud_tick() - Repeat requests of sessions in ASSOCIATING, MOVING, or end them */
void ap_mud_tick(struct ap_session *s, uint64_t now);
