/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session at the MUD, the logic - numbers requests, keeps them until answered, follows the device
 *
 * The device owns its session: it chose the number, knows the secret that proves later
 * associations, and remembers the edge servers where the session may live, so that any access point
 * can find it again (R7, R11). A request is kept until its answer is here, and sent again after
 * each association; the edge server executes it once (R1).
 *
 * Re-entrancy: the operations must only record or queue what they are told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "core/common/policy.h"
#include "wire/message.h"

struct err;
struct mud_session;

/** enum mud_session_e - Positive results */
enum mud_session_e {
	MUD_SESSION_E_FULL = 1, /* WIRE_WINDOW requests, or WIRE_WINDOW_BYTES of them, are
				 * unanswered: wait for an answer */
	MUD_SESSION_E_LOST,     /* the session is lost, see the lost operation */
};

/** enum mud_state - State of the session */
enum mud_state {
	MUD_IDLE,          /* no access point was chosen yet */
	MUD_ASSOCIATING,   /* ASSOCIATION REQUEST is out, or will be when the link is up */
	MUD_REASSOCIATING, /* REASSOCIATION REQUEST likewise */
	MUD_ASSOCIATED,
	MUD_LOST,
	MUD_STATES,
};

/**
 * struct mud_session_ops - Calls of the session to its owner; pointers are borrowed for the call
 * @to_ap:	send to the access point, if its link is up; else drop
 * @answer:	an answer is here, each number once; status as in struct wire_data
 * @stream:	the service sends by itself (codec tcp); NULL: it is of no interest
 * @number:	a fresh random session number, not 0: the device left before anybody answered, so the
 *		old number may belong to a session that is being made somewhere behind it
 * @waiting:	requests wait and why; they may still be executed, and answered. NULL: of no interest
 * @lost:	the session is gone and why; nothing can be sent any more
 * @event:	for the event log; @kind is a constant
 */
struct mud_session_ops {
	void (*to_ap)(void *ctx, const char *ap, const struct wire_message *m);
	void (*answer)(void *ctx, const struct wire_data *answer);
	void (*stream)(void *ctx, const struct wire_stream *stream);
	uint64_t (*number)(void *ctx);
	void (*waiting)(void *ctx, const char *reason);
	void (*lost)(void *ctx, enum wire_status status, const char *reason);
	void (*event)(void *ctx, uint64_t session, const char *kind, uint64_t number,
		      const char *detail);
};

/**
 * mud_session_new() - Create a session that is associated nowhere yet
 * @ret:	Set on success only; owned by the caller
 * @mud:	Name of the device
 * @service:	Name of the service it wants
 * @policy:	Limits, copied
 * @proof:	How proofs are computed
 * @ops:	Operations, borrowed until mud_session_free()
 * @ctx:	Handed to each operation
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a bad name, or -ENOMEM
 */
int mud_session_new(struct mud_session **ret, const char *mud, const char *service,
		    const struct policy *policy, proof_fn proof, const struct mud_session_ops *ops,
		    void *ctx, struct err *err);

/** mud_session_free() - Release it; @s may be NULL. Return: NULL, always */
struct mud_session *mud_session_free(struct mud_session *s);

AUTO_DEFINE(mud_session)

/** mud_session_move() - The device is at access point @ap now; (re)associate there */
void mud_session_move(struct mud_session *s, uint64_t now, const char *ap);

/** mud_session_up() - The link to @ap is up; messages sent on an older link may be lost */
void mud_session_up(struct mud_session *s, uint64_t now, const char *ap);

/** mud_session_down() - The link to @ap is down */
void mud_session_down(struct mud_session *s, uint64_t now, const char *ap);

/**
 * mud_session_request() - Send a request
 * @s:		Session
 * @now:	Time, milliseconds
 * @d:		Its bytes, copied, connection, preamble and segment; the rest is not looked at
 * @number:	Set to its number on success
 * @err:	Filled in on failure
 *
 * Return: 0, MUD_SESSION_E_FULL, MUD_SESSION_E_LOST, -EINVAL for a length, or -ENOMEM
 */
int mud_session_request(struct mud_session *s, uint64_t now, const struct wire_data *d,
			uint64_t *number, struct err *err);

/**
 * mud_session_takes() - Whether a request of @len bytes would be taken
 *
 * Return: false if the session is full, or does not know yet which number comes next
 */
bool mud_session_takes(const struct mud_session *s, size_t len);

/** mud_session_message() - A message came from access point @ap */
void mud_session_message(struct mud_session *s, uint64_t now, const char *ap,
			 const struct wire_message *m);

/** mud_session_end() - Tell the access point that the session is over */
void mud_session_end(struct mud_session *s, uint64_t now);

/**
 * struct mud_context - State that another holder of the session needs to continue it
 * @ap:		Access point where it was
 * @epoch:	Epoch of the container with authority, as last told; 0: not known
 * @ack, @next:	Numbers; the requests after @ack follow. @next 0: both are not known (the holder
 *		restarted), and the edge server tells them
 */
struct mud_context {
	uint64_t session;
	uint32_t association;
	uint32_t epoch;
	uint8_t secret[WIRE_SECRET_SIZE];
	char ap[NAME_SIZE];
	struct wire_edges edges;
	uint64_t ack;
	uint64_t next;
};

/** mud_session_export() - Write down the session's state. Return: false if there is no session yet */
bool mud_session_export(const struct mud_session *s, struct mud_context *to);

/**
 * mud_session_each() - Call @fn for each request after ack, in order
 *
 * @answered: its answer was told already, but not that of one before it; it is kept, for a replay
 * needs all requests. @d is borrowed for the call.
 */
void mud_session_each(const struct mud_session *s,
		      void (*fn)(void *ctx, const struct wire_data *d, bool answered), void *ctx);

/**
 * mud_session_import() - Continue the session of another holder
 * @s:		Session in which nothing was done yet
 * @from:	From mud_session_export(); the requests after its ack follow, then mud_session_move()
 * @err:	Filled in on failure
 *
 * Return: 0, or -EINVAL if the context is none
 */
int mud_session_import(struct mud_session *s, const struct mud_context *from, struct err *err);

/**
 * mud_session_import_request() - Add the next request after the context's ack
 * @s:		Session
 * @d:		As from mud_session_each(); copied
 * @answered:	Likewise
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL if it is not the next one, or too long, or one too many, or -ENOMEM
 */
int mud_session_import_request(struct mud_session *s, const struct wire_data *d, bool answered,
			       struct err *err);

/** mud_session_whole() - Whether all requests of the context were added */
bool mud_session_whole(const struct mud_session *s);

/** mud_session_tick() - Time has passed; call at least every mud_session_deadline() */
void mud_session_tick(struct mud_session *s, uint64_t now);

/** mud_session_deadline() - When mud_session_tick() is due. Return: UINT64_MAX if never */
uint64_t mud_session_deadline(const struct mud_session *s);

/** mud_session_state() - Its state */
enum mud_state mud_session_state(const struct mud_session *s);

/** mud_session_unanswered() - Requests without an answer, at most WIRE_WINDOW */
size_t mud_session_unanswered(const struct mud_session *s);

/** mud_session_number() - Number of the session; 0 while idle */
uint64_t mud_session_number(const struct mud_session *s);

/** mud_session_ap() - Access point it is at. Return: borrowed; empty while idle */
const char *mud_session_ap(const struct mud_session *s);
