/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Users - the ordinary users of an access point, and the listeners where they find services
 *
 *	listeners/          takes connections and datagrams.
 *	roaming/admission.c finds the user: one for each source address.
 *	roaming/handover.c  sessions follow the user from access point to access point.
 *	roaming/claims.c    access points are asked for a user's sessions.
 *	roaming/histories.c one of two sessions of a user goes on.
 *	roaming/away.c      users that are not here, and their sessions.
 *	roaming/half_open.c connections of clients that have moved away from them.
 *	roaming/strangers.c access points that do not know one another.
 *	roaming/stations.c  stations that come and go, as hostapd reports them.
 *	roaming/inquiry.c   finds the users that come with a station.
 *	clients/            requests out of a connection, answers into it.
 *	users/session.c     the device's half of the session, one for each user and service.
 *	users/table.c       the known users.
 *
 * A user is associated by its first packet, by its station (roaming/stations.h), or by
 * users_associate(). It is away when it has been silent for idle_ms, or its station has been gone for
 * gone_ms: then its connections end, and its sessions are kept (roaming/away.h).
 *
 * Limits (R9): the number of users, of all connections, and of the connections of each user. A user
 * that opens too many loses the one that is idle longest. If none is idle, or there are too many in
 * all, the new one is refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ap/links/neighbours.h"
#include "ap/roaming/admission.h"
#include "ap/users/config.h"
#include "core/common/policy.h"
#include "wire/message.h"

struct ap_node;
struct codec;
struct err;
struct log_reporter;
struct sockaddr;
struct user_session;
struct users; /* opaque */
struct uv_loop_s;

/**
 * struct users_setup - Setup of the users; copied, its pointers are borrowed until users_close()
 * @loop:	Event loop
 * @ap:		Name of the access point
 * @policy:	Limits and waits of sessions
 * @proof:	How proofs are computed
 * @node:	The access point's node, which gets what users say
 * @reporter:	Where events go; may be NULL
 * @ops, @ctx:	See struct users_ops; called at any time, must only queue
 * @aps:	The other access points, at most USERS_APS_MAX
 * @service:	Services, borrowed for the call
 * @services:	How many, at most USERS_SERVICES_MAX
 * @limits:	See struct users_limits
 * @state_dir:	Where users are remembered over a restart, see users/store.h; NULL: nowhere
 * @spool_dir, @spool_bytes: Where long requests and answers lie, and how much of them (base/spool.h)
 * @stations:	hostapd's control socket, see roaming/stations.h; NULL: each sender is a user
 * @unreachable: Effect of an access point that cannot be asked for a user's sessions
 * @keep_ms:	A user that is away is kept for so long; 0: for ever
 */
struct users_setup {
	struct uv_loop_s *loop;
	const char *ap;
	const struct policy *policy;
	proof_fn proof;
	struct ap_node *node;
	struct log_reporter *reporter;
	const struct users_ops *ops;
	void *ctx;
	struct ap_neighbours aps;
	const struct users_service *service;
	size_t services;
	struct users_limits limits;
	const char *state_dir;
	const char *spool_dir;
	uint64_t spool_bytes;
	const char *stations;
	enum users_unreachable unreachable;
	uint64_t keep_ms;
};

/**
 * users_new() - Listen for ordinary users
 * @ret:	Set on success only; the caller owns it, see users_close()
 * @setup:	See struct users_setup
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int users_new(struct users **ret, const struct users_setup *setup, struct err *err);

/** users_deliver() - The node says @m to the user's link @link: queued for users_settle() */
void users_deliver(struct users *u, uint64_t link, const struct wire_message *m);

/** users_settle() - Hand on what was queued; once a turn of the loop, not from inside the node */
void users_settle(struct users *u);

/** users_message() - Another access point says something of a user; not from inside the node */
void users_message(struct users *u, const char *ap, const struct wire_message *m);

/** users_neighbour() - Access point @ap has connected; not from inside the node */
void users_neighbour(struct users *u, const char *ap);

/** struct users_files - Files of users that could not be written, and are tried again; @why the last one was not */
struct users_files {
	size_t behind;
	char why[WIRE_REASON_SIZE];
};

/** users_files() - How things stand with the files of users */
struct users_files users_files(const struct users *u);

/** users_full() - Refuse users that are not known here yet, and why; NULL: take them again. Others go on */
void users_full(struct users *u, const char *reason);

/** users_port() - Port of the listener of a service. Return: 0 if there is none */
uint16_t users_port(const struct users *u, const char *service);

/**
 * struct users_view - A user's session as shown to operators and tests; strings are borrowed
 * @address:	Of the user
 */
struct users_view {
	const char *user;
	const char *address;
	const char *service;
	const char *state;
	uint64_t session;
	size_t connections;
	size_t unanswered;
};

/** users_each() - Call @fn for each session of each user */
void users_each(const struct users *u, void (*fn)(void *ctx, const struct users_view *view),
		void *ctx);

/** users_count() - Users that are known */
size_t users_count(const struct users *u);

/** users_stations() - Stations that hostapd has authorised. Return: -1 if it is not asked */
long users_stations(const struct users *u);

/** users_dropped() - Datagrams that found no room or no answer */
uint64_t users_dropped(const struct users *u);

/**
 * users_close() - End all connections, tell nobody, release
 * @u:		Users, may be NULL; not to be used again. The node is not used any more when this
 *		returns; the memory goes when the event loop has closed its handles
 */
void users_close(struct users *u);
