/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Away - users that are not here, with sessions that are
 *
 * A user that is silent for idle_ms, or whose station has been gone for gone_ms, is away. Its connections end, and
 * the edge servers are asked for its sessions no more, but they keep them. When the user returns, here or at an
 * access point that claims it, they continue. After keep_ms they are ended, which is an event.
 *
 * With a state_dir a user that is away is a file, and nothing else. Without one, or while the disk is full, it
 * stays in memory; at the limit of users the one that is away longest is forgotten, which is logged.
 *
 * A file that cannot be read at the moment (no descriptors, an error of the disk), or is damaged, is not "no file":
 * its user may have sessions. It is UNREAD, and refused with the reason, until the file can be read or the operator
 * removes it. An access point that claims it is told to ask again.
 *
 * A user is its address. Where hostapd tells stations apart, it is its address and its station. If another station
 * has the address now, the first one's sessions are set apart under the name "user-ADDRESS_STATION". They wait for
 * that station to have the address again, here or elsewhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ap/stations/text.h"
#include "base/text.h"

#define USERS_UNREAD_MS 1000 /* until a file that could not be read is tried again */

struct err;
struct user;
struct users;

/**
 * users_known() - The user of a name, in memory or of a file
 * @u:		Users
 * @ret:	Set on success; NULL: there is none
 * @name:	Its name
 * @mac:	Its station; NULL: not known
 * @err:	Filled in on failure
 *
 * A user of another station is set apart first, if it is here, and is not found.
 *
 * Return: 0, or negative if there is a file that cannot be read now: nobody knows whether it has sessions
 */
int users_known(struct users *u, struct user **ret, const char *name, const uint8_t *mac,
		struct err *err);

/**
 * users_asked_for() - The user that another access point means
 * @u:		Users
 * @ret:	Set on success; NULL: there is none
 * @name:	Its name
 * @mac:	Its station; NULL: not known there
 * @err:	Filled in on failure
 *
 * Changes nothing but that it may read a file.
 *
 * Return: 0, or negative as users_known()
 */
int users_asked_for(struct users *u, struct user **ret, const char *name, const uint8_t *mac,
		    struct err *err);

/** user_unread() - A user that was made just now is UNREAD, for the reason that users_known() gave: refuse it */
void user_unread(struct user *user, const struct err *why);

/** user_no_room() - Likewise, for its sessions could not be written down (users_full()) */
void user_no_room(struct user *user);

/** user_is_readable() - Whether the files of a user that is UNREAD can be read now, or are gone, and it may begin */
bool user_is_readable(const struct user *user);

/** users_plain_name() - The name by which a user can be claimed, also of one that was set apart */
void users_plain_name(char name[NAME_SIZE], const struct user *user);

/** user_away() - The user is away now, for a reason in words; one without sessions is forgotten */
void user_away(struct user *user, const char *why);

/**
 * user_end_sessions() - End all sessions of a user, which is HERE or LEFT, and forget it
 * @user:	User
 * @why:	In words, for the log and the events
 *
 * Return: how many they were
 */
size_t user_end_sessions(struct user *user, const char *why);

/** users_room() - Make room for one more user if there is none */
void users_room(struct users *u);

/** users_sweep_away() - Time has passed for a user that is LEFT */
void users_sweep_away(struct user *user, uint64_t now);

/** users_sweep_old() - End the users that were away for keep_ms */
void users_sweep_old(struct users *u, uint64_t now);
