/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Access point - the shell around the core's struct ap_node
 *
 * Two listeners take the links of MUDs, and of other access points and operators. The role in a
 * peer's certificate decides which messages it may send. Links to the edge servers and to the other
 * access points are made from here. The logic is all in the core: incoming messages are handed to it,
 * and its messages go out on the links that are up. A message for a link that is down is dropped: the
 * core repeats those that matter.
 *
 *	MUD ----> station listener ---> core/ap_node: ----> edge servers    links/edge_links.c
 *	          links/mud_links.c           MUD management
 *	AP  --+-> listener -----------> packet forwarder -> access points   links/handoff_links.c
 *	baton-+   links/handoff_links.c       replay buffer
 *	          inquiry.c                             --> events          report/
 *	curl ---> users.c                                                   (ordinary clients)
 */

#include <stdint.h>

#include "ap/links/neighbours.h"
#include "ap/users.h"
#include "net/link.h"

struct access_point; /* opaque */
struct err;
struct log_reporter;
struct policy;
struct tls_context;
struct uv_loop_s;

/**
 * struct access_point_setup - Setup of an access point; strings are copied
 * @loop:	Event loop
 * @tls:	Our identity, whose name is the access point's; borrowed until access_point_close()
 * @home:	Name of its own edge server, one of @edges
 * @listen:	"IP:PORT" for access points and operators
 * @station_listen: "IP:PORT" for MUDs
 * @monitor_listen: "IP:PORT" for metrics; NULL: nowhere
 * @edges:	All edge servers
 * @aps:	All other access points
 * @policy:	Limits and waits; copied
 * @limits:	Limits of each link
 * @service, @services: Services for ordinary users, see users.h; borrowed for the call
 * @users:	Limits of ordinary users
 * @stations:	hostapd's control socket; NULL: each sender is a user
 * @unreachable, @keep_ms: See struct users_setup
 * @state_dir:	Where they are remembered over a restart; NULL: nowhere
 * @spool_dir, @spool_bytes: Where their long requests and answers lie, and how much of them
 * @reporter:	Where events go, borrowed until access_point_close() is done; may be NULL
 */
struct access_point_setup {
	struct uv_loop_s *loop;
	struct tls_context *tls;
	const char *home;
	const char *listen;
	const char *station_listen;
	const char *monitor_listen;
	struct ap_neighbours edges;
	struct ap_neighbours aps;
	const struct policy *policy;
	struct link_limits limits;
	const struct users_service *service;
	size_t services;
	struct users_limits users;
	const char *state_dir;
	const char *spool_dir;
	uint64_t spool_bytes;
	const char *stations;
	enum users_unreachable unreachable;
	uint64_t keep_ms;
	struct log_reporter *reporter;
};

/**
 * access_point_new() - Listen, begin to connect
 * @ret:	Set on success only; the caller owns it, see access_point_close()
 * @setup:	See struct access_point_setup
 * @err:	Filled in on failure; then run the event loop once before closing it
 *
 * Return: 0, or negative error code
 */
int access_point_new(struct access_point **ret, const struct access_point_setup *setup,
		     struct err *err);

/**
 * access_point_change() - Other edge servers, access points, services and limits, while all runs
 * @ap:		Access point
 * @setup:	As for access_point_new(). The addresses where it listens, the home edge server, directories
 *		and stations stay as they are
 * @err:	Filled in on failure
 *
 * No link and no connection ends, except links to access points that are not in @setup. A mistake in @setup
 * changes nothing.
 *
 * Return: 0, or negative error code
 */
int access_point_change(struct access_point *ap, const struct access_point_setup *setup,
			struct err *err);

/** access_point_port() - Port for access points and operators, useful if @listen said 0 */
uint16_t access_point_port(const struct access_point *ap);

/** access_point_station_port() - Port for MUDs, useful if @station_listen said 0 */
uint16_t access_point_station_port(const struct access_point *ap);

/** access_point_monitor_port() - Port for metrics. Return: 0 if there is none */
uint16_t access_point_monitor_port(const struct access_point *ap);

/** access_point_service_port() - Port where ordinary users find a service. Return: 0 if nowhere */
uint16_t access_point_service_port(const struct access_point *ap, const char *service);

/** access_point_associate() - An ordinary user is here; see users_associate() */
int access_point_associate(struct access_point *ap, const char *address, const char *service,
			   struct err *err);

/** access_point_users() - Call @fn for each session of each ordinary user */
void access_point_users(const struct access_point *ap,
			void (*fn)(void *ctx, const struct users_view *view), void *ctx);

/**
 * access_point_close() - Close all links and release
 * @ap:		Access point, may be NULL; not to be used again. No callback comes any more; its
 *		memory goes when the event loop has closed its handles
 */
void access_point_close(struct access_point *ap);
