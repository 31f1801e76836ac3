/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User session - an ordinary user's use of one service
 *
 * Ordinary clients (curl, redis-cli, a browser) know nothing of sessions, so the access point plays
 * the mobile device for them: it holds the device's half of the session (core/mud_session), joined to
 * its own node in process. Replay buffer, proofs and moves are as for any device.
 *
 *	connections, datagrams --> user_session --> core/mud_session --> core/ap_node
 *	           answers     <--      "       <--        "         <-- queue of users.c
 *
 * A session begins with the first request. If it is lost, those who wait are told, and after a pause
 * (policy.backoff_ms) the next request begins another.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/text.h"
#include "core/common/policy.h"
#include "wire/message.h"

struct ap_node;
struct err;
struct log_reporter;
struct mud_context;
struct user_session; /* opaque */
struct uv_loop_s;

/** enum user_session_e - Positive results */
enum user_session_e {
	USER_SESSION_E_WAIT = 1, /* no room now, see user_session_wait() */
	USER_SESSION_E_AWAY,     /* the service is out of reach, see user_session_reason() */
};

/**
 * struct user_session_setup - Setup that all sessions of an access point share; all borrowed
 * @loop:	Event loop
 * @ap:		Name of the access point
 * @policy:	Limits and waits
 * @proof:	How proofs are computed
 * @node:	The access point's node
 * @reporter:	Where events go; may be NULL
 * @stream:	The service sends by itself, see struct wire_stream; bytes are borrowed
 */
struct user_session_setup {
	struct uv_loop_s *loop;
	const char *ap;
	const struct policy *policy;
	proof_fn proof;
	struct ap_node *node;
	struct log_reporter *reporter;
	void (*stream)(struct user_session *us, const struct wire_stream *stream);
};

/**
 * struct user_waiter - Who gets the answer to a request
 * @answered:	Called once, never from inside user_session_request(). The status is that of struct
 *		wire_data; WIRE_E_BUSY: it was not executed, for the service is out of reach
 * @ctx:	Its first argument
 * @port:	codec udp: where the answer goes to, at the user's address
 */
struct user_waiter {
	void (*answered)(void *ctx, struct user_session *us, uint16_t port,
			 const struct wire_data *answer);
	void *ctx;
	uint16_t port;
};

/**
 * struct user_hold - One that waits for room; list_init() @link at first
 * @link:	In the session's list
 * @segment:	It waits with a segment of a message that is under way
 * @resume:	Called when there may be room again; it is out of the list then
 * @ctx:	Its argument
 */
struct user_hold {
	struct list link;
	bool segment;
	void (*resume)(void *ctx);
	void *ctx;
};

/**
 * user_session_new() - Create a session that has not begun
 * @ret:	Set on success only; the caller owns it, see user_session_close()
 * @setup:	See struct user_session_setup; borrowed until user_session_close()
 * @user:	Name of the user towards the edge servers
 * @service:	Name of the service
 * @link:	Number that the node knows it by, of nobody else
 * @owner:	See user_session_owner()
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int user_session_new(struct user_session **ret, const struct user_session_setup *setup,
		     const char *user, const char *service, uint64_t link, void *owner,
		     struct err *err);

/** user_session_owner() - The owner given to user_session_new() */
void *user_session_owner(const struct user_session *us);

/**
 * user_session_hold() - Begin nothing and send nothing new (@held), or continue
 *
 * While it is not known whether another access point has the user's session.
 */
void user_session_hold(struct user_session *us, bool held);

/**
 * user_session_refuse() - Let nobody wait: those that ask are told @reason
 *
 * Of a session that is held, for it may be at an access point that cannot be asked; until
 * user_session_hold().
 */
void user_session_refuse(struct user_session *us, const char *reason);

/**
 * user_session_park() - The user is away: leave the access point's node, the edge servers are not told
 *
 * user_session_go_on() continues it. Nobody waits for an answer any more. A session that no edge server has
 * confirmed yet is ended.
 *
 * Return: false if there is nothing to continue
 */
bool user_session_park(struct user_session *us);

/** user_session_park_old() - Likewise for a copy: the session has gone on elsewhere, and its numbers are not those here */
bool user_session_park_old(struct user_session *us);

/** user_session_want() - Begin as soon as it may, without a request */
void user_session_want(struct user_session *us);

/**
 * user_session_long() - One long message more (1), or less (-1), is under way in segments
 *
 * While any is, there is no room for new requests, but for the rest of these.
 */
void user_session_long(struct user_session *us, int more);

/**
 * user_session_room() - Whether a request would be taken
 * @us:		Session
 * @len:	Bytes of the request and its preamble
 * @segment:	Kind of the request or segment
 *
 * Return: 0, USER_SESSION_E_WAIT or USER_SESSION_E_AWAY
 */
int user_session_room(struct user_session *us, size_t len, enum wire_segment segment);

/** user_session_reason() - Why the service is out of reach. Return: borrowed until the next call, one line */
const char *user_session_reason(const struct user_session *us);

/** user_session_wait() - Call @hold when there is room again; list_remove() its link to leave */
void user_session_wait(struct user_session *us, struct user_hold *hold);

/**
 * user_session_request() - Send a request; user_session_room() has just said that there is room
 * @us:		Session
 * @d:		As for mud_session_request()
 * @waiter:	Who gets the answer; copied
 * @number:	Set to its number on success
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int user_session_request(struct user_session *us, const struct wire_data *d,
			 const struct user_waiter *waiter, uint64_t *number, struct err *err);

/**
 * user_session_export() - Where the session stands, for another access point
 *
 * Return: false if it has not begun, or no edge server has confirmed it yet
 */
bool user_session_export(const struct user_session *us, struct mud_context *to);

/**
 * user_session_each() - Call @fn for each request of the context; see mud_session_each()
 *
 * @port is that of its struct user_waiter.
 */
void user_session_each(const struct user_session *us,
		       void (*fn)(void *ctx, const struct wire_data *d, uint16_t port,
				  bool answered),
		       void *ctx);

/** user_session_bytes() - Bytes of these requests */
size_t user_session_bytes(const struct user_session *us);

/** user_session_resuming() - Whether the edge server has yet to tell where its numbers stand */
bool user_session_resuming(const struct user_session *us);

/**
 * user_session_import() - Take over a session from another holder, instead of what was here
 * @us:		Session, held
 * @from:	Context; its requests follow, then user_session_go_on()
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int user_session_import(struct user_session *us, const struct mud_context *from, struct err *err);

/** user_session_import_request() - As mud_session_import_request(); @waiter may be all zero */
int user_session_import_request(struct user_session *us, const struct wire_data *d, bool answered,
				const struct user_waiter *waiter, struct err *err);

/** user_session_whole() - Whether the imported state is complete */
bool user_session_whole(const struct user_session *us);

/**
 * user_session_go_on() - Associate here with the imported state; does nothing for other sessions
 *
 * A session that lacks a segment, or that was ended, is dropped: the next request begins another.
 */
void user_session_go_on(struct user_session *us);

/** user_session_forget() - Nobody waits for the answer to request @number any more */
void user_session_forget(struct user_session *us, uint64_t number);

/** user_session_forget_waiter() - Nobody called @ctx waits for any answer any more */
void user_session_forget_waiter(struct user_session *us, const void *ctx);

/** user_session_message() - Take a message of the node to the user; not from inside the node */
void user_session_message(struct user_session *us, const struct wire_message *m);

/** user_session_end() - The user has left for good: tell the edge servers, begin nothing new */
void user_session_end(struct user_session *us);

/** user_session_unanswered() - Requests without an answer */
size_t user_session_unanswered(const struct user_session *us);

/** user_session_number() - Number of the session; 0 before it has begun */
uint64_t user_session_number(const struct user_session *us);

/** user_session_service() - Name of its service. Return: borrowed */
const char *user_session_service(const struct user_session *us);

/** user_session_link() - Number that the node knows it by */
uint64_t user_session_link(const struct user_session *us);

/** user_session_state() - "associated" and so on, for people. Return: a constant */
const char *user_session_state(const struct user_session *us);

/**
 * user_session_close() - Forget it: the node is told that the user's link is gone, the edge servers are
 * not told anything. Nobody who waits hears of it. Its memory goes when the event loop has closed its
 * handles
 */
void user_session_close(struct user_session *us);
