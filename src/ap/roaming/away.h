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
 * A user is its address. Where hostapd tells stations apart, it is its address and its station. If another station
 * has the address now, the first one's sessions are set apart under the name "user-ADDRESS_STATION". They wait for
 * that station to have the address again, here or elsewhere.
 */

#include <stddef.h>
#include <stdint.h>

#include "ap/stations/text.h"
#include "base/text.h"

struct user;
struct users;

/**
 * users_known() - The user of a name, in memory or of a file
 * @u:		Users
 * @name:	Its name
 * @mac:	Its station; NULL: not known
 *
 * A user of another station is set apart first, if it is here, and is not found.
 *
 * Return: NULL if there is none
 */
struct user *users_known(struct users *u, const char *name, const uint8_t *mac);

/**
 * users_asked_for() - The user that another access point means
 * @u:		Users
 * @name:	Its name
 * @mac:	Its station; NULL: not known there
 *
 * Changes nothing but that it may read a file.
 *
 * Return: NULL if there is none
 */
struct user *users_asked_for(struct users *u, const char *name, const uint8_t *mac);

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
