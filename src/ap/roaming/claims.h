/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Claims - asking the other access points for a user's sessions, and the decision who has the user
 *
 *	CLAIMING --> HERE	one gave its sessions; or all have answered that they do not have them
 *	         --> refused	after policy.move_ms, while one has not answered: clients are told so at once,
 *				and it is asked on (R15)
 *	         --> forgotten	another access point heard the user later
 *
 * A user is not refused but HERE if its sessions were here last. It is HERE with new sessions, which is an
 * event, if the operator wants that (USERS_BEGIN). Those that have not answered are asked on in the
 * background: one of them may have another history of the user (roaming/histories.h).
 */

#include <stdbool.h>
#include <stddef.h>

struct user;
struct users;
struct uv_timer_s;

/** user_claim_begin() - The user has turned up here: ask for its sessions, hold them meanwhile */
void user_claim_begin(struct user *user);

/** user_claim_also() - The user is here, but access point @ap may have sessions of it: ask in the background */
void user_claim_also(struct user *user, const char *ap);

/** user_claim_back() - A session that comes from @ap goes on: the user waits for it as for a claim that begins */
void user_claim_back(struct user *user, const char *ap);

/** user_claim_answered() - @ap has given all that it has, or has nothing; a user that waits for it only is here */
void user_claim_answered(struct user *user, const char *ap);

/** user_claim_settle() - The user is ours, with the sessions that came, or those that it has, or none */
void user_claim_settle(struct user *user);

/**
 * user_claim_yield() - The user is at another access point: ask for nothing
 *
 * Its sessions stay until they are claimed; without any it is forgotten.
 *
 * Return: whether it is still known
 */
bool user_claim_yield(struct user *user);

/** users_park() - The user is not here: see user_session_park(). Return: sessions that can be continued */
size_t users_park(struct user *user);

/** users_park_old() - The user's sessions were handed over, and these are copies: see user_session_park_old() */
void users_park_old(struct user *user);

/** users_on_ask() - Timer that runs while anybody is asked */
void users_on_ask(struct uv_timer_s *timer);

/** users_hold() - Hold all sessions of a user (@held), or let them continue */
void users_hold(struct user *user, bool held);
