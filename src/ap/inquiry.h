/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inquiry - questions of an operator to an access point, answered with JSON
 *
 *	"status"	{"node", "role": "ap", "home", "sessions": N, "muds": N, "users": N,
 *			 "stations": N (-1: hostapd is not asked), "datagrams_dropped": N, "edge_servers": {name: up}, "access_points": {name: up},
 *			 "full": [{"what", "path", "bytes", "free", "trouble"}]}
 *	"sessions"	{"node", "role": "ap", "sessions": [{"session", "mud", "service", "state",
 *			 "association", "source", "dest", "floor", "highest", "copies_bytes"}]}
 *
 *	"users"		{"node", "role": "ap", "users": [{"user", "address", "service", "session", "state",
 *			 "connections": N, "unanswered": N}]}
 *
 *	"associate ADDRESS [SERVICE]"	{"node", "role": "ap", "associated": ADDRESS}: the user is here
 *
 * A session's number is 16 hexadecimal digits, for JSON numbers end at 2^53; "source" is the edge
 * server with authority, "dest" the one the container moves to; either may be "".
 */

#include "wire/message.h"

#include <stdint.h>

struct ap_node;
struct disks;
struct edge_links;
struct handoff_links;
struct link;
struct mud_links;
struct users;

/** struct inquiry_view - Sources of the answers; all borrowed; the loop's time; days until our certificate ends */
struct inquiry_view {
	const char *name;
	const char *home;
	struct ap_node *node;
	uint64_t now;
	const struct mud_links *muds;
	const struct edge_links *edges;
	const struct handoff_links *aps;
	struct users *users;
	const struct disks *disks;
	int64_t certificate_days;
};

/** inquiry_answer() - Answer @m, an INQUIRY that came by @l */
void inquiry_answer(const struct inquiry_view *v, struct link *l, const struct wire_message *m);
