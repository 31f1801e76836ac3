/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Client - library for applications on a mobile user device (libbaton_client)
 *
 * A client is one session: it associates with access points as the device moves, sends requests and
 * hands each answer to its caller, exactly once. Links that break, access points that restart and the
 * migration of the container do not show here, except as a longer wait.
 *
 *	client_new()
 *	client_move(c, "AP-1")                      associated("AP-1")
 *	client_request(c, bytes, len, done ...)     done(answer)
 *	client_move(c, "AP-2")                      associated("AP-2")
 *	client_close()
 *
 * Callbacks come from the event loop, never from inside a call of this interface, and may call
 * anything here, client_close() included. All belongs to the thread of the event loop.
 *
 * Limits (R9): WIRE_WINDOW unanswered requests, WIRE_PAYLOAD_MAX bytes each.
 */

#include <stddef.h>
#include <stdint.h>

#include "net/link.h"
#include "wire/message.h"

struct client; /* opaque */
struct err;
struct log_reporter;
struct policy;
struct tls_context;
struct uv_loop_s;

#define CLIENT_CLOSE_MS 1000 /* longest wait for the last bytes to leave */

/** enum client_e - Positive results; the direct caller must handle each one */
enum client_e {
	CLIENT_E_FULL = 1, /* WIRE_WINDOW requests are unanswered: try again after an answer */
	CLIENT_E_LOST,     /* the session is lost, lost() said why or will */
};

/** struct client_ap - An access point; both strings are copied */
struct client_ap {
	const char *name;
	const char *address; /* "IP:PORT" for MUDs */
};

/**
 * struct client_ops - Callbacks of the application; each may be NULL
 * @associated:	The session is served at @ap now
 * @lost:	The session is gone: @reason is one line for a person. Nothing more will be answered
 * @unreachable: The access point cannot be reached, and why; tried again until it can be. Told
 *		when the reason changes
 */
struct client_ops {
	void (*associated)(void *ctx, const char *ap);
	void (*lost)(void *ctx, enum wire_status status, const char *reason);
	void (*unreachable)(void *ctx, const char *ap, const char *reason);
};

/**
 * client_done_fn - An answer is here
 * @ctx:	As given with the request
 * @answer:	Number, status (WIRE_OK, WIRE_E_IN_DOUBT, or WIRE_E_PROTOCOL with a text) and bytes;
 *		borrowed for the call
 */
typedef void (*client_done_fn)(void *ctx, const struct wire_data *answer);

/**
 * struct client_setup - Settings of a client; copied, unless said otherwise
 * @loop:	Event loop
 * @tls:	Our identity, whose name is the device's; borrowed as long as the client lives
 * @service:	Service to ask for
 * @policy:	Limits and waits
 * @limits:	Limits of the link
 * @aps:	Access points there are
 * @ap_count:	How many
 * @reporter:	Where events go; borrowed until client_close() is done; may be NULL
 * @ops:	Callbacks; borrowed
 * @ctx:	First argument of @ops
 */
struct client_setup {
	struct uv_loop_s *loop;
	struct tls_context *tls;
	const char *service;
	const struct policy *policy;
	struct link_limits limits;
	const struct client_ap *aps;
	size_t ap_count;
	struct log_reporter *reporter;
	const struct client_ops *ops;
	void *ctx;
};

/**
 * client_new() - Create a client with a new session, which is at no access point yet
 * @ret:	Set on success only; the caller owns it, see client_close()
 * @setup:	See struct client_setup
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int client_new(struct client **ret, const struct client_setup *setup, struct err *err);

/**
 * client_move() - The device is at access point @ap now
 * @c:		Client
 * @ap:		Name, one of those given to client_new(); the present one changes nothing
 * @err:	Filled in on failure
 *
 * The link to the old access point ends at once, as when a device changes its channel.
 *
 * Return: 0, or -ENOENT if there is no such access point, or another negative error code
 */
int client_move(struct client *c, const char *ap, struct err *err);

/**
 * client_request() - Send a request
 * @c:		Client
 * @bytes:	Payload, copied
 * @len:	Its length, at most WIRE_PAYLOAD_MAX
 * @done:	Called with the answer
 * @ctx:	First argument of @done
 * @number:	Set to the request's number on success
 * @err:	Filled in on failure
 *
 * It may be called before the client is associated anywhere; the request is then sent later.
 *
 * Return: 0, CLIENT_E_FULL, CLIENT_E_LOST, -EINVAL for a length, or -ENOMEM
 */
int client_request(struct client *c, const void *bytes, size_t len, client_done_fn done, void *ctx,
		   uint64_t *number, struct err *err);

/** client_ap() - Access point the device is at. Return: borrowed; empty before client_move() */
const char *client_ap(const struct client *c);

/** client_session() - Number of the session; final once it was associated, 0 before client_move() */
uint64_t client_session(const struct client *c);

/** client_unanswered() - Requests that wait for their answer */
size_t client_unanswered(const struct client *c);

/**
 * client_close() - End the session (DISASSOCIATION), wait for that to leave, release
 * @c:		Client, may be NULL; not to be used again. Answers still to come are not waited for
 * @done:	Called from the event loop when it is gone, at once if @c is NULL; may be NULL
 * @ctx:	Argument of @done
 *
 * Waits for CLIENT_CLOSE_MS at most.
 */
void client_close(struct client *c, void (*done)(void *ctx), void *ctx);
