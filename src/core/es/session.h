/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One session at an edge server - inner header of core/es, not for others
 *
 * Each file calls only those below it:
 *
 *	es/node.c	finds the session a message is for; sessions begin, containers go
 *	es/time.c	deadlines of sessions, and their effects
 *	es/restore.c	sessions of the journals, after a start of the program
 *	es/arrival.c	a migration to here
 *	es/departure.c	a migration away from here
 *	es/commands.c	what an access point orders
 *	es/restart.c	a container that has ended comes back
 *	es/answers.c	what a container answers
 *	es/protect.c	it comes back with its memory: cuts that are kept, requests that are logged
 *	es/session.c	a session's record, its requests, its end
 */

#include "base/list.h"
#include "base/number_table.h"
#include "core/common/deadlines.h"
#include "core/es/node.h"

/**
 * struct es_protection - Protection of a session against the loss of its container's memory
 * @kept:		a cut is kept, and the log has all requests since
 * @cut:		last request that it includes
 * @logging:		requests are logged
 * @log_bytes:		bytes of requests logged since @cut, with a little for each
 * @running:		a cut to be kept is under way
 * @taken:		the last request it includes, once it was taken
 * @failed:		the last one failed: the next one comes in its time, however long the log is
 * @due_at:		when the next one is due, ms; 0: there is no need for one
 * @recovering:		the container is being restored from the cut, then executes the log
 * @epoch:		of the container that is being restored
 * @offered:		it is on its way: how that ended will be told
 * @arrived:		it is restored
 * @replayed:		requests up to this number were executed there
 * @replaying:		number of the one it executes now; 0: none
 * @digest:		that its answer must have; 0: any
 * @skipped:		requests in doubt were left out by this try
 * @doubtful:		@replaying is one of them
 * @with_doubts:	answers show that they had been executed: this try executes them
 * @tries:		recoveries that failed in a row
 * @crashed_epoch:	of the container that ended, to be removed when the record names the new one; 0: none
 */
struct es_protection {
	bool kept;
	uint64_t cut;
	bool logging;
	uint64_t log_bytes;
	bool running;
	uint64_t taken;
	bool failed;
	uint64_t due_at;
	bool recovering;
	uint32_t epoch;
	bool offered;
	bool arrived;
	uint64_t replayed;
	uint64_t replaying;
	uint64_t digest;
	bool skipped;
	bool doubtful;
	bool with_doubts;
	uint32_t tries;
	uint32_t crashed_epoch;
};

/**
 * struct es_session - State of one session
 * @link:		in the node's list
 * @by_number:		in the node's table
 * @deadline:		when it has something to do, see es/time.c
 * @node:		node it belongs to
 * @record:		durable part
 * @cache:		answers the MUD may still want
 * @pending:		requests not yet executed; number n has slot n % WIRE_WINDOW
 * @pending_count:	how many
 * @pending_bytes:	and their size, in bytes, at most WIRE_WINDOW_BYTES
 * @held:		nothing is executed: a cut is wanted or being taken. A message under way in
 *			segments (enum wire_segment) is completed first
 * @cutting:		take_cut was called, its end is awaited
 * @held_since:		when @held began; as all times here, milliseconds of the node's clock
 * @finished_at:		when the container answered last, ms
 * @fencing:		FENCE came, the running request is awaited
 * @fence_after:	highest number that may still execute
 * @migration:		the source's stage
 * @migration_ap:	access point that keeps the copies of the running migration
 * @migration_epoch:	epoch in which it began
 * @hold:		the running migration holds (R6): after its cut nothing executes here
 * @holding:		that cut was taken: FENCED by it, the container still frozen
 * @then_to:		destination to start for once the cancelled migration has ended; or empty
 * @then_hold:		with which @hold
 * @cancelled:		the running migration, or arrival, was told to stop
 * @cut, @cut_association: the last cut, as in struct wire_es_status
 * @freeze_us:		how long the last cut froze the container
 * @vouched:		of an arrival, a replica, the trace of one: the secret is surely the session's, for an
 *			access point has proven it, or the session has had authority here with it
 * @removing:		a container is being removed; made in epoch @removing_epoch
 * @remove_at:		when to ask again, ms, if that could not begin, @remove_failures times in a row; else 0
 * @unwritten:		the part named by @to_write could not be written (R1). STARTED: a request cannot begin,
 *			nothing else is missing. Otherwise the record is behind: until it is written nobody
 *			is told the session's state
 * @why_unwritten:	the reason
 * @unwritten_since, @write_at, @told_at: since when, when to try again, when the user was told last;
 *			ms
 * @heard:		when an access point last spoke of this session, ms
 * @lasting:		of @reason: the next migration will fail for the same
 * @reason:		why it is LOST, or why the last migration failed
 * @gone:		of LOST: the container is not there any more, with its data
 * @exit_code:		of LOST: with which its container ended, -1 if that is not known
 * @starting:		of ACTIVE: the container has ended, and is started again; nothing is executed
 * @start_running:	start_container was called, its end is awaited
 * @start_allowed:	an operator wants it to start although it may not
 * @start_since, @start_at: when it began to start; when it is tried next; ms
 * @start_tries:	times it ended soon after a start, or could not be started, in a row
 * @started_at:		when it was started again last, ms; 0: never
 * @restarts, @memory_from: as in struct es_session_view
 * @protect:		protection
 */
struct es_session {
	struct list link;
	struct number_entry by_number;
	struct deadline deadline;
	struct es_node *node;
	struct es_record record;
	struct answer_cache *cache;
	struct request *pending[WIRE_WINDOW];
	size_t pending_count;
	size_t pending_bytes;
	bool held;
	bool cutting;
	uint64_t held_since;
	uint64_t finished_at;
	bool fencing;
	uint64_t fence_after;
	enum wire_migration migration;
	char migration_ap[NAME_SIZE];
	uint32_t migration_epoch;
	bool hold;
	bool holding;
	char then_to[NAME_SIZE];
	bool then_hold;
	bool cancelled;
	uint64_t cut;
	uint32_t cut_association;
	uint64_t freeze_us;
	bool vouched;
	bool removing;
	uint32_t removing_epoch;
	uint64_t remove_at;
	uint32_t remove_failures;
	bool unwritten;
	enum es_persist to_write;
	char why_unwritten[WIRE_REASON_SIZE];
	uint64_t unwritten_since;
	uint64_t write_at;
	uint64_t told_at;
	uint64_t heard;
	bool lasting;
	char reason[WIRE_REASON_SIZE];
	bool gone;
	int exit_code;
	bool starting;
	bool start_running;
	bool start_allowed;
	uint64_t start_since;
	uint64_t start_at;
	uint32_t start_tries;
	uint64_t started_at;
	uint32_t restarts;
	uint64_t memory_from;
	struct es_protection protect;
};

/** struct es_node - See es/node.h */
struct es_node {
	char name[NAME_SIZE];
	struct policy policy;
	proof_fn proof;
	const struct es_node_ops *ops;
	void *ctx;
	struct list sessions;
	struct number_table by_number;
	struct deadlines deadlines;
	size_t count;
	struct list withheld;           /* see withheld.c */
	char full[WIRE_REASON_SIZE];    /* why nothing new is taken; or empty */
	uint64_t now;                   /* of the call that is under way */
	char refusal[WIRE_REASON_SIZE]; /* why the last session beyond a share was refused */
	bool stopping;                  /* no more requests are begun */
	bool drained;                   /* nothing new is to come here */
};

/* es/node.c */

/** es_session_weightless() - An arrival or a replica, or the trace of one: authority has never been here */
bool es_session_weightless(const struct es_session *s);

/**
 * es_node_share_left() - Whether a device and an access point may have one more session here (R9)
 *
 * Arrivals and copies do not count: their names are the word of an edge server that may lie.
 *
 * Return: true, or false with the reason in @node->refusal
 */
bool es_node_share_left(struct es_node *node, const char *mud, const char *ap);

/* es/session.c */

/** es_session_new() - Add an empty session in state NONE. Return: NULL without memory or at the limit */
struct es_session *es_session_new(struct es_node *node, uint64_t session, uint64_t now);

/**
 * es_session_find() - Session of a node by number
 *
 * The caller may change it, so its deadline is worked out anew.
 *
 * Return: borrowed, or NULL
 */
struct es_session *es_session_find(const struct es_node *node, uint64_t session);

/* es/time.c */

/** es_session_deadline() - When a session has something to do. Return: ms, UINT64_MAX if never */
uint64_t es_session_deadline(const struct deadline *d);

/* es/session.c */

/** es_session_free() - Remove it from its node and release it; its record is not touched */
void es_session_free(struct es_session *s);

/** es_session_move() - Go to another state, which must be allowed */
void es_session_move(struct es_session *s, enum wire_es_state to);

/** es_session_message() - A message from access point @ap about this session */
void es_session_message(struct es_session *s, uint64_t now, const char *ap,
			const struct wire_message *m);

/** es_session_send() - Send the session's state to @ap, as a message of kind @type */
void es_session_send(struct es_session *s, const char *ap, enum wire_type type);

/** es_session_notify() - es_session_send() to the access point in charge */
void es_session_notify(struct es_session *s, enum wire_type type);

/** es_session_persist() - Write the durable segment down. Return: whether it is; else it is tried again */
bool es_session_persist(struct es_session *s, enum es_persist what);

/** es_session_write_again() - The time for it has come. A session may have become able to go on */
void es_session_write_again(struct es_session *s, uint64_t now);

/** es_session_forget() - Its record is not needed any more, its unwritten part neither */
void es_session_forget(struct es_session *s);

/** es_session_has_container() - Whether a container of it is here, running or not */
bool es_session_has_container(const struct es_session *s);

/**
 * es_session_end() - End a session that nobody wants any more; its data go with its container
 *
 * The record stays, in state NONE, until the container is removed: a crash in between would leave a container
 * of an unknown session behind. The reason is reported.
 */
void es_session_end(struct es_session *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** es_session_may_come_back() - Whether authority may come back to a container that has ended */
bool es_session_may_come_back(struct es_session *s);

/** es_session_come_back() - It is ACTIVE again: its container is to start, see es_session_start_again() */
void es_session_come_back(struct es_session *s);

/** es_session_start_due() - When es_session_start_again() has something to do. Return: ms, UINT64_MAX if not before another event */
uint64_t es_session_start_due(const struct es_session *s);

/** es_session_start_again() - Start it, if it is time */
void es_session_start_again(struct es_session *s, uint64_t now);

/** es_session_pause() - Until the next try to start or restore, after @tries that failed. Return: ms */
uint64_t es_session_pause(const struct es_session *s, uint32_t tries);

/**
 * es_session_finish() - The container has answered a request
 *
 * Return: false if it was one that is gone
 */
bool es_session_finish(struct es_session *s, uint64_t now, uint32_t epoch,
		       const struct wire_data *answer);

/** es_session_settle_doubt() - The outcome of the request that was under way is not known (R1). Return: if one was */
bool es_session_settle_doubt(struct es_session *s, const char *why);

/** es_session_answer() - Send an answer to the access point in charge */
void es_session_answer(struct es_session *s, const struct wire_data *answer);

/** es_session_unprotect() - Remove cut and log; end a recovery */
void es_session_unprotect(struct es_session *s);

/* es/protect.c */

/**
 * es_session_protect_restore() - After a restart of the program: find the cut that is kept
 *
 * A container that ended is recovered even if its service is not protected any more (@runs: it has not).
 */
void es_session_protect_restore(struct es_session *s, uint64_t now, bool runs);

/** es_session_protect_at() - When es_session_protect() is due. Return: ms, UINT64_MAX if it is not */
uint64_t es_session_protect_at(const struct es_session *s);

/** es_session_protect() - Have a cut kept if one is due; remove what a recovery has left */
void es_session_protect(struct es_session *s, uint64_t now);

/** es_session_protect_taken() - The cut to be kept was taken at this number */
void es_session_protect_taken(struct es_session *s);

/** es_session_protect_busy() - It could not begin, for too much is under way: it is tried again soon */
void es_session_protect_busy(struct es_session *s, uint64_t now);

/** es_session_protect_ended() - It is kept; or not, for @reason */
void es_session_protect_ended(struct es_session *s, uint64_t now, const char *reason);

/** es_session_request_ended() - A request was answered, so the state of the container is another one than at the cut */
void es_session_request_ended(struct es_session *s, uint64_t now);

/** es_session_recover() - Restore the container that comes back from the cut. Return: false if none is kept */
bool es_session_recover(struct es_session *s);

/** es_session_expects() - Whether an offer is the one that es_session_recover() has asked for */
bool es_session_expects(const struct es_session *s, const char *from, const struct wire_message *m);

/** es_session_restored() - The container was restored from the cut at number @cut */
void es_session_restored(struct es_session *s, uint64_t now, uint64_t cut);

/** es_session_replayed() - Whether @answer is one of the log's. Return: then true, and it was taken */
bool es_session_replayed(struct es_session *s, uint64_t now, uint32_t epoch,
			 const struct wire_data *answer);

/** es_session_give_up_memory() - An operator does not wait for a recovery that has failed. Return: whether one has */
bool es_session_give_up_memory(struct es_session *s);

/** es_session_not_recovered() - It failed for @reason; @final: another try would fail for the same */
void es_session_not_recovered(struct es_session *s, uint64_t now, bool final, const char *reason);

/** es_session_received() - Requests up to this number will be executed in any case: all before them are here */
uint64_t es_session_received(const struct es_session *s);

/** es_session_request() - A request of the access point in charge: kept, and executed in its turn; or answered again */
void es_session_request(struct es_session *s, uint64_t now, const struct wire_message *m);

/** es_session_pump() - Start the next request if one may start; take a wanted cut if nothing runs */
void es_session_pump(struct es_session *s, uint64_t now);

/** es_session_drop_container() - Have the container of the current epoch removed */
void es_session_drop_container(struct es_session *s);

/**
 * es_session_give_up() - An arrival or replica without authority ends: remember its source
 *
 * An access point that looks for the session here, with old knowledge, is sent on to the source (R7).
 */
void es_session_give_up(struct es_session *s);

/** es_session_cancel() - Tell the running migration or arrival to stop; harmless if none runs */
void es_session_cancel(struct es_session *s, const char *reason);

/** es_session_waiting() - Whether request @number is here, and not yet executed */
bool es_session_waiting(const struct es_session *s, uint64_t number);

/** es_session_drop_pending() - Forget a request that is here */
void es_session_drop_pending(struct es_session *s, uint64_t number);

/** es_session_clear_pending() - Forget all requests not yet executed */
void es_session_clear_pending(struct es_session *s);

/** es_session_order() - An order to move the container, or a cut of it, to edge server @to_es. Return: by value */
struct es_migration_order es_session_order(const struct es_session *s, const char *to_es,
					   bool hold);

/** es_session_migrate() - Start moving the session to edge server @to_es, see @hold of struct es_session */
void es_session_migrate(struct es_session *s, const char *to_es, bool hold);

/**
 * es_session_hold() - A migration that holds has taken its cut: fenced from here on (R4, R6)
 *
 * The container stays frozen. Who gets authority is the access point's to say: ACTIVATE there or
 * UNFENCE here.
 */
void es_session_hold(struct es_session *s);

/**
 * es_session_keep() - Keep an answer, in case it is asked for again
 *
 * If there is no memory for the answer, the outcome in doubt is kept instead (WIRE_E_IN_DOUBT).
 */
void es_session_keep(struct es_session *s, const struct wire_data *answer);

/** es_session_say() - Report an event of the session */
void es_session_say(struct es_session *s, const char *kind, uint64_t number, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* withheld.c */

/** es_withheld_message() - Answer a message about a session that is withheld. Return: whether it is */
bool es_withheld_message(const struct es_node *node, const char *ap,
			 const struct wire_message *asked);

/** es_withheld_free() - Release them */
void es_withheld_free(struct es_node *node);
