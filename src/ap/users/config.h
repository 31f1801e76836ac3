/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Configuration of ordinary users, by the operator and by the access point
 */

#include <stdint.h>

#include "wire/message.h"

struct codec;

/** USERS_LINK - Numbers of links from here on are ours, see struct ap_node_ops */
#define USERS_LINK (1ull << 63)

#define USERS_SERVICES_MAX WIRE_USER_SESSIONS_MAX
#define USERS_APS_MAX      256

/**
 * struct users_service - A service that ordinary users find at an access point
 * @listen:	"IP:PORT"
 * @service:	Its name at the edge servers
 * @codec:	How it speaks
 */
struct users_service {
	const char *listen;
	const char *service;
	const struct codec *codec;
};

/** enum users_unreachable - A user comes, and an access point that may have its sessions cannot be asked */
enum users_unreachable {
	USERS_REFUSE, /* the user is refused until all have answered */
	USERS_BEGIN,  /* the user begins anew, which is reported */
};

/** struct users_limits - All zero means the defaults of conf/limits.c */
struct users_limits {
	uint32_t users_max;
	uint32_t user_connections_max;
	uint32_t client_connections_max;
	uint64_t idle_ms;
	uint64_t gone_ms;
	uint32_t dead_ms;
};

/**
 * struct users_ops - Requests to the access point
 * @to_ap:	send to another access point, if it is connected; else drop
 */
struct users_ops {
	void (*to_ap)(void *ctx, const char *ap, const struct wire_message *m);
};
