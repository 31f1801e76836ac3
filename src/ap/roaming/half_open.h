/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Half-open connections - of clients that left an access point with their connection to it
 *
 * When a user leaves, its connections are reset, but it is out of reach by then. A client that waits for an answer
 * sends nothing, and would wait until its own timeout. So the connections of a user that leaves are remembered, by
 * their two ends. They follow the user from access point to access point (USER CONNECTION), and where it arrives,
 * each client is challenged (ap/clients/challenge.h) until it has answered, for HALF_OPEN_TRY_MS at most. A client that
 * does send is reset by the kernel, which does not know the connection.
 *
 *	AP-x  HERE: user_half_open_leave()      reset, remembered;  user_half_open_give()   USER CONNECTION
 *	AP-y  CLAIMING: user_half_open_take()   remembered;         user_half_open_end()    challenged
 *
 * An access point is believed only about connections of a user whose sessions we are asking it for, until it has
 * answered. The client's address is the user's own, and our end must be that of a listener here. The worst
 * that a lie does is a SYN to each of some hundred ports of a user that has just come, and an incomplete list.
 *
 * Limits (R9): HALF_OPEN_MAX connections of a user, of which the newest stay; HALF_OPEN_AT_ONCE challenges at a time,
 * the others wait for their turn. A user that is away is remembered with them for HALF_OPEN_KEPT_MS.
 */

#include <stdbool.h>
#include <stdint.h>

struct sockaddr_storage;
struct user;
struct users;
struct uv_timer_s;
struct wire_user_claim;
struct wire_user_connection;

#define HALF_OPEN_MAX     128
#define HALF_OPEN_AT_ONCE 256
#define HALF_OPEN_TRY_MS  30000 /* so long do few clients wait */
#define HALF_OPEN_KEPT_MS 60000

/** user_half_open_lost() - A client of the user fell silent, and its connection has ended; it may be back */
void user_half_open_lost(struct user *user, const struct sockaddr_storage *local, uint16_t port);

/** user_half_open_leave() - The user is not here any more: reset its connections, and remember them */
void user_half_open_leave(struct user *user);

/** user_half_open_give() - Tell access point @ap of them, in answer to its @claim */
void user_half_open_give(struct user *user, const char *ap, const struct wire_user_claim *claim);

/** user_half_open_take() - Remember one of which another access point says; a user that has too many loses one */
void user_half_open_take(struct user *user, const struct wire_user_connection *w);

/** user_half_open_told() - The other access point has told all that it knows */
void user_half_open_told(struct user *user);

/** user_half_open_end() - The user is here: end those that its clients may still have */
void user_half_open_end(struct user *user);

/** user_half_open_kept() - Whether some of a user that is LEFT are worth that it stays in memory */
bool user_half_open_kept(const struct user *user, uint64_t now);

/** user_half_open_forget() - Forget all of a user's */
void user_half_open_forget(struct user *user);

/** users_on_challenge() - Timer that runs while there is anybody to challenge */
void users_on_challenge(struct uv_timer_s *timer);
