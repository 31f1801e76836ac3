/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Service client - interface of the emulated user to the service
 *
 * There are two ways: through Baton (mud/client.h, the library of applications) and straight to the
 * service, as a client without Baton (mud/direct_client.h). The same code measures both. The functions
 * are those of mud/client.h, whose rules hold for both.
 */

#include <stddef.h>
#include <stdint.h>

#include "mud/client.h"

struct direct_client;
struct err;
struct service_client_kind; /* opaque: one of the two ways */

/** struct service_client - A way to the service; all zero is none */
struct service_client {
	const struct service_client_kind *kind;
	void *self;
};

/** service_client_by_baton() - Through Baton. Return: a view of @c, which it then owns */
struct service_client service_client_by_baton(struct client *c);

/** service_client_direct() - Straight to the service. Return: a view of @c, which it then owns */
struct service_client service_client_direct(struct direct_client *c);

/** service_client_move() - As client_move() */
int service_client_move(const struct service_client *s, const char *ap, struct err *err);

/** service_client_request() - As client_request() */
int service_client_request(const struct service_client *s, const void *bytes, size_t len,
			   client_done_fn done, void *ctx, uint64_t *number, struct err *err);

/** service_client_ap() - As client_ap() */
const char *service_client_ap(const struct service_client *s);

/** service_client_session() - As client_session() */
uint64_t service_client_session(const struct service_client *s);

/** service_client_unanswered() - As client_unanswered() */
size_t service_client_unanswered(const struct service_client *s);

/** service_client_close() - As client_close(); @s may be none, and is none afterwards */
void service_client_close(struct service_client *s, void (*done)(void *ctx), void *ctx);
