/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge server, the logic - who may execute a session's requests, and when its container may move
 *
 * One node holds the sessions of one edge server. Its functions tell it of messages and of finished
 * work. It orders work through struct es_node_ops. It does no I/O and reads no clock; the daemon
 * (es/edge_server.c) and the simulator (tests/sim) run the same code.
 *
 * A session here is in one of the states of enum wire_es_state:
 *
 *	CREATING --> ACTIVE <--------> FENCED --> RETIRED
 *	               ^      FENCE      |
 *	      ACTIVATE |      UNFENCE    +--> (replaced by ARRIVING: the MUD comes back)
 *	ARRIVING --> STANDBY
 *
 * ARRIVING and STANDBY have no authority and may be dropped at any time; a FENCED one only on the access
 * point's word, or when the edge server that it was handed to brings the session back (R3, R4).
 *
 * A session outlives its container's processes (core/es/restart.c, R15):
 *
 *	ACTIVE, FENCED --> LOST --> ACTIVE     its container ended; its layer and volumes are kept
 *	                       UNFENCE
 *
 * The access point in charge decides whether the container starts again, for a replica elsewhere may have all
 * that it had in memory. A protected one comes back with its memory (core/es/protect.c).
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

struct answer_cache;
struct err;
struct es_node;

/**
 * struct es_record - State of a session that must outlive a crash of the edge server's program
 *
 * The answer cache belongs to it; see es_node_record().
 *
 * @executed:		highest number executed
 * @started:		number handed to the container and not yet answered, or 0
 * @container_epoch:	epoch in which the container was made: with the session it names the
 *			container, also after authority came back to it under a higher epoch
 * @handed:		a replica of the container may exist at @peer; otherwise @peer is where the session
 *			came from
 */
struct es_record {
	uint64_t session;
	uint32_t association;
	uint32_t epoch;
	uint32_t container_epoch;
	enum wire_es_state state;
	uint64_t executed;
	uint64_t started;
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	char ap[NAME_SIZE];
	char creator[NAME_SIZE]; /* access point that created the session */
	char peer[NAME_SIZE];
	bool handed;
	uint8_t secret[WIRE_SECRET_SIZE];
};

/** enum es_container - State of a container after a restart of the program */
enum es_container {
	ES_CONTAINER_GONE,      /* it is not there, with its data */
	ES_CONTAINER_STOPPED,   /* it has ended; its layer and volumes are there */
	ES_CONTAINER_RESTARTED, /* it runs, but somebody started it anew: its memory is lost */
	ES_CONTAINER_RUNS,
};

/** enum es_start - Outcome of start_container */
enum es_start {
	ES_START_DONE,   /* it runs, and its service answers */
	ES_START_FAILED, /* it ended at once, or its service did not come */
	ES_START_AWAY,   /* the engine does not answer */
	ES_START_GONE,   /* there is no such container, so its data are lost */
};

/** enum es_persist - Which part of the record changed */
enum es_persist {
	ES_PERSIST_ALL,     /* any field, and the answer cache */
	ES_PERSIST_STARTED, /* @started only: written before the container sees the request */
	ES_PERSIST_ANSWER,  /* @executed, and one answer more, the one numbered so, in the cache */
	ES_PERSIST_HANDED,  /* @handed, which is true: it must outlive a crash of the host, too */
};

/**
 * struct es_migration_order - A migration to start
 * @to_es:	destination
 * @association, @epoch: of the session now; the copy gets epoch + 1
 * @container_epoch: names the container, see struct es_record
 * @hold:	the container stays frozen after its cut, until resume_container or remove_container
 */
struct es_migration_order {
	uint64_t session;
	uint32_t association;
	uint32_t epoch;
	uint32_t container_epoch;
	bool hold;
	char to_es[NAME_SIZE];
	char ap[NAME_SIZE];
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE];
};

/**
 * struct es_logged - How a logged request ended
 * @digest:	of its answer; 0: it has none yet, or one that is not compared
 * @in_doubt:	nobody knows whether it was executed, and its user was told so: it is not executed again (R1)
 */
struct es_logged {
	uint64_t digest;
	bool in_doubt;
};

/**
 * struct es_node_ops - Calls of the node to its owner; pointers are borrowed for the call
 *
 * A container is named by its session and the epoch in which it was made (@container_epoch of the
 * record); that is what @epoch means here.
 *
 * @to_ap:		send to an access point, if it is connected; else drop
 * @service_known:	whether this edge server offers the service
 * @hold:		whether a migration of the service holds (R6); @diverged: the copy of an earlier
 *			one answered otherwise
 * @create_container:	make and start CT-x(m); es_node_created() follows
 * @remove_container:	stop and remove, and try until it is done: es_node_removed() follows, or
 *			es_node_not_removed() if that cannot even begin. May name one that is not there
 * @may_start:		whether a container of the service that ended with @exit_code (-1: not known), and
 *			could not be started @tries times since, is started again
 * @start_container:	start one that has ended, on its layer and volumes; es_node_started() follows
 * @resume_container:	thaw it, after a cut that held; harmless if it is not frozen
 * @execute:		hand a request to the container; es_node_executed() follows, or one of
 *			es_node_refused(), es_node_in_doubt(), es_node_container_died()
 * @under_way:		whether a long request or answer of the container is there in part only
 *			(enum wire_segment): a cut waits until none is
 * @protection:		how often a cut of a container of the service is kept, ms; 0: never; NULL: for none. Only
 *			sessions of a service with one use @keep_cut to @unprotect
 * @keep_cut:		take a consistent cut and keep it here, order.to_es is this edge server:
 *			es_node_cut_wanted(), _cut_taken(), _source_finished() follow
 * @kept_cut:		1 and the number of the newest cut that is kept, if the log has all requests from there through
 *			@executed; 0: there is none; negative: that cannot be read now
 * @log_request:	write down a request before its container sees it. 0, or negative
 * @log_answer:		write down how it ended, see struct es_logged
 * @logged:		read a request, and how it ended; bytes are borrowed until the next call. 0, or negative
 * @log_trim:		a cut is kept at @through: earlier requests may be dropped
 * @recover:		restore the kept cut as the container of epoch order.epoch + 1: es_node_offered() and
 *			es_node_arrived() follow, or es_node_not_recovered()
 * @unprotect:		remove cut and log of a session
 * @migrate:		start T1-T5; es_node_cut_wanted(), _cut_taken(), _source_finished() follow
 * @take_cut:		T1 now: nothing executes, @cache is the answer cache at @number
 * @cut_delayed:	there was no idle instant; ask again later (R12)
 * @cancel_migration:	source or destination: stop and undo; its end is reported as usual
 * @persist:		write down, before anything asked for afterwards is done. 0, or negative: then it is
 *			as if nothing had been written, and the node asks again, for this or for more. Until
 *			it succeeds nothing is executed, and nobody is told the session's state. An answer
 *			is sent even if ANSWER failed: STARTED is written, so after a crash its request is in
 *			doubt and not executed again (R1), and the user has the answer
 * @forget:		the session's record is not needed any more
 * @event:		for the event log; @kind is a constant
 */
struct es_node_ops {
	void (*to_ap)(void *ctx, const char *ap, const struct wire_message *m);
	bool (*service_known)(void *ctx, const char *service);
	bool (*hold)(void *ctx, const char *service, bool diverged);
	void (*create_container)(void *ctx, uint64_t session, uint32_t epoch, const char *service);
	void (*remove_container)(void *ctx, uint64_t session, uint32_t epoch);
	bool (*may_start)(void *ctx, const char *service, int exit_code, uint32_t tries);
	void (*start_container)(void *ctx, uint64_t session, uint32_t epoch, const char *service);
	void (*resume_container)(void *ctx, uint64_t session, uint32_t epoch);
	void (*execute)(void *ctx, uint64_t session, uint32_t epoch,
			const struct wire_data *request);
	bool (*under_way)(void *ctx, uint64_t session, uint32_t epoch);
	uint64_t (*protection)(void *ctx, const char *service);
	void (*keep_cut)(void *ctx, const struct es_migration_order *order);
	int (*kept_cut)(void *ctx, uint64_t session, uint64_t executed, uint64_t *number);
	int (*log_request)(void *ctx, uint64_t session, const struct wire_data *request,
			   struct err *err);
	void (*log_answer)(void *ctx, uint64_t session, uint64_t number, struct es_logged how);
	int (*logged)(void *ctx, uint64_t session, uint64_t number, struct wire_data *request,
		      struct es_logged *how, struct err *err);
	void (*log_trim)(void *ctx, uint64_t session, uint64_t through);
	void (*recover)(void *ctx, const struct es_migration_order *order);
	void (*unprotect)(void *ctx, uint64_t session);
	void (*migrate)(void *ctx, const struct es_migration_order *order);
	void (*take_cut)(void *ctx, uint64_t session, uint64_t number,
			 const struct answer_cache *cache);
	void (*cut_delayed)(void *ctx, uint64_t session, const char *reason);
	void (*cancel_migration)(void *ctx, uint64_t session, const char *reason);
	int (*persist)(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		       enum es_persist what, struct err *err);
	void (*forget)(void *ctx, uint64_t session);
	void (*event)(void *ctx, uint64_t session, const char *kind, uint64_t number,
		      const char *detail);
};

/**
 * es_node_new() - Create a node without sessions
 * @ret:	Set on success only; owned by the caller
 * @name:	Name of this edge server
 * @policy:	Limits, copied
 * @proof:	How proofs are computed
 * @ops:	Operations, borrowed until es_node_free()
 * @ctx:	Handed to each operation
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a bad name, or -ENOMEM
 */
int es_node_new(struct es_node **ret, const char *name, const struct policy *policy, proof_fn proof,
		const struct es_node_ops *ops, void *ctx, struct err *err);

/**
 * es_node_drain() - Begin to drain this edge server: no session is to come, all are to go; or end it
 * @node:	Node
 * @drained:	Which of the two
 *
 * Access points move the sessions (core/ap/place.c): es_node_tell() tells them. Nothing is refused here, for
 * a migration that they began before they knew must succeed. The caller keeps the state over a restart.
 */
void es_node_drain(struct es_node *node, bool drained);

/** es_node_full() - Take no new session and no arrival from now on, and why; NULL: take them again */
void es_node_full(struct es_node *node, const char *reason);

/** es_node_drained() - Whether it is drained */
bool es_node_drained(const struct es_node *node);

/** es_node_tell() - Tell access point @ap; when its link is up, and after es_node_drain() */
void es_node_tell(const struct es_node *node, const char *ap);

/**
 * es_node_stop() - Begin no more requests, for the program is about to stop
 * @node:	Node
 *
 * One that a container has already would be in doubt after a restart: nobody could say whether it was
 * executed, and it would never be answered. So it is waited for, see es_node_busy().
 */
void es_node_stop(struct es_node *node);

/** es_node_set_policy() - Other limits from now on */
void es_node_set_policy(struct es_node *node, const struct policy *policy);

/** es_node_busy() - Whether a container has a request now */
bool es_node_busy(const struct es_node *node);

/** es_node_free() - Forget all sessions; containers and records stay. Return: NULL, always */
struct es_node *es_node_free(struct es_node *node);

AUTO_DEFINE(es_node)

/**
 * es_node_withhold() - A session may be here, but its record cannot be read now, or is lost
 * @node:	Node
 * @session:	Session, which is not known here
 * @reason:	In words; replaces that of an earlier call
 * @err:	Filled in on failure
 *
 * Until es_node_restore() or es_node_concede() access points that ask for it are told to wait, with the reason,
 * for its user must not begin anew (R15); no container is made or taken for it.
 *
 * Return: 0, or -ENOMEM
 */
int es_node_withhold(struct es_node *node, uint64_t session, const char *reason, struct err *err);

/** es_node_withheld() - Why a session is withheld. Return: borrowed, or NULL if it is not */
const char *es_node_withheld(const struct es_node *node, uint64_t session);

/** es_node_concede() - A session that was withheld is not here: access points hear so. Return: whether it was */
bool es_node_concede(struct es_node *node, uint64_t session);

/**
 * es_node_restore() - Take a session over from before a restart of the program
 * @node:	Node, before its first message about the session, unless that was withheld
 * @now:	Time, milliseconds of any steady clock
 * @record:	As persisted last
 * @cache:	Its answer cache, as answer_cache_encode() wrote it
 * @cache_len:	Length of @cache
 * @container:	Its container, as it was found
 * @err:	Filled in on failure
 *
 * A request that was in the container when the program died gets the answer "in doubt": it may have
 * been executed, so it is not executed again (R1). A copy that was not active is removed, but
 * where it came from stays known (R7).
 *
 * Return: 0, -EPROTO for a bad record, -ENOMEM
 */
int es_node_restore(struct es_node *node, uint64_t now, const struct es_record *record,
		    const void *cache, size_t cache_len, enum es_container container,
		    struct err *err);

/**
 * es_node_message() - A message came from an access point
 * @node:	Node
 * @now:	Time, milliseconds
 * @ap:		Name of the access point, proven by its certificate
 * @m:		Message; a misrouted one is answered with STATUS or ignored
 */
void es_node_message(struct es_node *node, uint64_t now, const char *ap,
		     const struct wire_message *m);

/** es_node_created() - create_container ended; @reason is NULL if the container runs */
void es_node_created(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     const char *reason);

/** es_node_removed() - remove_container ended, the container is not there any more */
void es_node_removed(struct es_node *node, uint64_t session, uint32_t epoch);

/**
 * es_node_not_removed() - remove_container could not begin: @reason
 *
 * A removal that has begun is repeated by its operation until it is done; nobody repeats one that could not
 * begin. So the node asks for it again, after pauses that double from policy.backoff_ms to backoff_max_ms,
 * as long as the program runs (R10). Until it succeeds the session's number is taken at this edge server.
 */
void es_node_not_removed(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
			 const char *reason);

/**
 * es_node_executed() - The container answered
 * @node:	Node
 * @now:	Time, milliseconds
 * @session:	Session
 * @epoch:	Epoch given to execute
 * @answer:	Number given to execute, status WIRE_OK, bytes, borrowed, and their digest (R5)
 */
void es_node_executed(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		      const struct wire_data *answer);

/**
 * es_node_stream() - The container sends by itself, on one of the user's connections (codec tcp)
 *
 * Nothing of it is kept: if the session has no authority here, or no access point listens, the bytes are
 * lost, and the offset of the next ones shows it at the other end of the connection. A replica gets no
 * request before it has authority (R6, hold: the only way such services move), so it sends nothing.
 */
void es_node_stream(struct es_node *node, uint64_t session, uint32_t epoch,
		    const struct wire_stream *stream);

/**
 * es_node_in_doubt() - The connection broke while the container had request @number
 *
 * It may have been executed, so it is not executed again: its answer is WIRE_E_IN_DOUBT (R1).
 */
void es_node_in_doubt(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		      uint64_t number);

/**
 * es_node_refused() - Request @number is not one that the service's codec knows
 *
 * The container did not see it. It has its place among the numbers all the same: its answer is
 * WIRE_E_PROTOCOL, with @reason as bytes.
 */
void es_node_refused(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     uint64_t number, const char *reason);

/**
 * es_node_container_died() - The container of (session, epoch) has ended
 * @node:	Node
 * @now:	Time, milliseconds
 * @session:	Session
 * @epoch:	Epoch in which it was made
 * @exit_code:	Of its first process; -1: not known
 * @reason:	In words
 *
 * Its layer and volumes stay, and the access point in charge is told that the session is LOST. A replica that
 * had no authority is removed.
 */
void es_node_container_died(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
			    int exit_code, const char *reason);

/**
 * es_node_started() - start_container ended with @how; @reason is NULL for ES_START_DONE
 *
 * Return: false if nobody waits for it any more, because its session has ended: the container is being removed
 */
bool es_node_started(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     enum es_start how, const char *reason);

/** enum es_recovery - Why a recovery did not come about */
enum es_recovery {
	ES_RECOVERY_FAILED, /* tried again after a pause, until an operator ends that (es_node_allow_start()) */
	ES_RECOVERY_AWAY, /* nothing was tried: no engine, or too much is under way; asked again soon */
	ES_RECOVERY_NO_CUT, /* there is no cut, and there will be none: the container starts without its memory */
};

/**
 * es_node_not_recovered() - recover has failed: @reason
 *
 * Once es_node_offered() has taken the recovery's offer, only es_node_arrived() and es_node_arrival_failed() count.
 */
void es_node_not_recovered(struct es_node *node, uint64_t now, uint64_t session,
			   enum es_recovery how, const char *reason);

/** es_node_not_kept() - keep_cut could not begin, for too much is under way: it is tried again soon */
void es_node_not_kept(struct es_node *node, uint64_t now, uint64_t session);

/**
 * es_node_allow_start() - An operator wants a container to start again although it may not (may_start), or
 * without its memory, which cannot be recovered
 * @node:	Node
 * @session:	Session
 * @err:	Filled in on failure
 *
 * It starts when its access point asks for it: at once if its user is there.
 *
 * Return: 0, -ENOENT if the session is not here, -EALREADY if its container runs, -ENODATA if its data are gone
 */
int es_node_allow_start(struct es_node *node, uint64_t session, struct err *err);

/**
 * es_node_discard() - An operator ends a session; its container goes with its layer and volumes
 * @node:	Node
 * @now:	Time, milliseconds
 * @session:	Session
 * @who:	Name of the operator, for the event
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOENT if the session is not here, -EBUSY while a migration brings it
 */
int es_node_discard(struct es_node *node, uint64_t now, uint64_t session, const char *who,
		    struct err *err);

/** es_node_cut_wanted() - The source is prepared (T1 may come): hold, drain, then take_cut */
void es_node_cut_wanted(struct es_node *node, uint64_t now, uint64_t session);

/** es_node_cut_taken() - take_cut ended, the container runs on; @taken: the cut is good */
void es_node_cut_taken(struct es_node *node, uint64_t now, uint64_t session, bool taken);

/** es_node_frozen() - The cut that is being taken has frozen the container for @freeze_us; before cut_taken */
void es_node_frozen(struct es_node *node, uint64_t session, uint64_t freeze_us);

/**
 * es_node_source_finished() - A migration ended
 * @node:	Node
 * @now:	Time, milliseconds
 * @session:	Session
 * @reason:	Why it failed; NULL if the destination has restored
 * @lasting:	Another attempt would fail for the same reason, until somebody changes something
 */
void es_node_source_finished(struct es_node *node, uint64_t now, uint64_t session,
			     const char *reason, bool lasting);

/**
 * es_node_offered() - Another edge server offers a session
 * @node:	Node
 * @now:	Time, milliseconds
 * @from:	Name of that edge server, proven by its certificate
 * @m:		The offer; its association and epoch are those of the source
 * @reason:	Set to a constant or node-owned text if the offer is refused
 *
 * Return: true if it is accepted; es_node_arrived() or es_node_arrival_failed() must follow
 */
bool es_node_offered(struct es_node *node, uint64_t now, const char *from,
		     const struct wire_message *m, const char **reason);

/**
 * es_node_arrived() - The replica is restored, in the state of the cut (T5)
 * @node:	Node
 * @now:	Time, milliseconds
 * @session:	Session
 * @cut:	The cut that came with it
 * @err:	Filled in on failure
 *
 * Return: 0; negative if the cut is unusable, then the copy is removed and the session forgotten
 */
int es_node_arrived(struct es_node *node, uint64_t now, uint64_t session,
		    const struct wire_cut *cut, struct err *err);

/** es_node_arriving_epoch() - Epoch of the copy that is arriving. Return: 0 if none is */
uint32_t es_node_arriving_epoch(const struct es_node *node, uint64_t session);

/** es_node_service() - Service of a session, borrowed. Return: "" if the session is not known here */
const char *es_node_service(const struct es_node *node, uint64_t session);

/** es_node_arrival_failed() - The copy did not come about; nothing of it is left */
void es_node_arrival_failed(struct es_node *node, uint64_t now, uint64_t session,
			    const char *reason);

/** es_node_tick() - Time has passed; call at least every es_node_deadline() */
void es_node_tick(struct es_node *node, uint64_t now);

/** es_node_deadline() - When es_node_tick() is due next. Return: milliseconds, UINT64_MAX if never */
uint64_t es_node_deadline(struct es_node *node);

/** es_node_deadline_by_walk() - The same, by a look at every session: for checks. Return: as above */
uint64_t es_node_deadline_by_walk(const struct es_node *node);

/**
 * struct es_session_view - A session as shown to operators and tests
 * @queued:	requests waiting for the container
 * @removing:	a container of it is being removed
 * @starting:	its container has ended and is being started again
 * @gone:	its container is gone, with its data
 * @restarts:	times its container was started again, since this program began
 * @memory_from: request after which that happened last: effects of requests up to it in memory are lost
 * @kept, @kept_cut: a cut of it is kept, which includes requests up to this one
 * @silent_ms:	since when no access point has asked for it
 * @reason:	why it is LOST, or why its last migration failed; borrowed
 * @unwritten:	why its record is not written; NULL: it is. Borrowed
 */
struct es_session_view {
	struct es_record record;
	enum wire_migration migration;
	uint64_t cut;
	size_t queued;
	size_t cached;
	bool held;
	bool removing;
	bool starting;
	bool gone;
	uint32_t restarts;
	uint64_t memory_from;
	bool kept;
	uint64_t kept_cut;
	uint64_t silent_ms;
	const char *reason;
	const char *unwritten;
};

/** es_node_each() - Call @fn for every session that is known here, in no particular order */
void es_node_each(const struct es_node *node,
		  void (*fn)(void *ctx, const struct es_session_view *view), void *ctx);
