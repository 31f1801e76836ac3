/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Admission - finds the user of an address: the users that are here, and those that may be
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ap/stations/text.h"

struct err;
struct sockaddr;
struct user_session;
struct users;

/**
 * users_admit() - Find the session for a packet or connection from an address
 * @u:		Users
 * @from:	Its source
 * @service:	Its service
 * @connection:	It is a connection: make room for one more
 * @ret:	Set to the user's session on success; its owner is the struct user
 * @err:	Filled in on failure
 *
 * Return: 0, -EAGAIN at a limit, or another negative error code
 */
int users_admit(struct users *u, const struct sockaddr *from, const char *service, bool connection,
		struct user_session **ret, struct err *err);

/**
 * users_still() - Find the session for a packet that had to wait
 * @u:		Users
 * @from:	Address from which it came
 * @service:	Service that it is for
 * @ret:	Set on success only; valid until the event loop continues
 * @err:	Filled in on failure
 *
 * Unlike users_admit() this is no sign that the user is here now: that would claim back a user that has
 * moved on.
 *
 * Return: 0, or -ENOENT if the user has gone meanwhile
 */
int users_still(struct users *u, const struct sockaddr *from, const char *service,
		struct user_session **ret, struct err *err);

/**
 * users_arrived() - A user is here, for its station is
 * @u:		Users
 * @name:	Of the user, which need not be known
 * @mac:	Its station
 * @at:		Since when; it counts as heard then
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL if @name is not that of an address, -EAGAIN at a limit, or -ENOMEM
 */
int users_arrived(struct users *u, const char *name, const uint8_t mac[STATION_MAC_SIZE],
		  uint64_t at, struct err *err);

/** users_read_again() - Time has passed for the users that are UNREAD; frees users, so in no walk over them */
void users_read_again(struct users *u, uint64_t now);

/**
 * users_associate() - A user is here from now on, whether it has sent something or not
 * @u:		Users
 * @address:	Of the user, as text
 * @service:	Service to begin a session with if it has none; NULL: none
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL, -EAGAIN at a limit, or another negative error code
 */
int users_associate(struct users *u, const char *address, const char *service, struct err *err);

/**
 * users_disassociate() - A user has left for good, by an operator's word: its sessions end
 * @u:		Users
 * @address:	Of the user, as text
 * @who:	Operator
 * @ended:	Set to the number of sessions that end
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL, -ENOENT if it is not known here, or -EBUSY while other access points are asked for it
 */
int users_disassociate(struct users *u, const char *address, const char *who, size_t *ended,
		       struct err *err);
