/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Histories - a user that has two sessions with one service: exactly one of them goes on
 *
 * That happens when a user began anew while the access point that had its session could not be asked
 * (USERS_BEGIN), and now can be. The session that goes on is, of those that have acknowledged a request, the one
 * of the highest epoch; of one epoch, the one that has acknowledged more. The other one is set aside: it is not
 * ended, its edge server keeps it as that of any user who is away, and an event names it.
 *
 * Two contexts of one session are no two histories: the later association counts (R11).
 */

#include <stdbool.h>

struct mud_context;
struct user;

/**
 * user_history_goes_on() - Whether a session that comes from another access point goes on here
 * @user:	Its user
 * @service:	Its service
 * @c:		Its context
 *
 * Reports the one that does not.
 *
 * Return: false if what is here goes on
 */
bool user_history_goes_on(struct user *user, const char *service, const struct mud_context *c);
