/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User - an ordinary user, known by its source address
 *
 * Inner header of the modules that serve ordinary users (users.c, user_connection.c,
 * user_listener.c).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/text.h"

struct users;

/**
 * struct user - One user
 * @link:	In a bucket of its table
 * @users:	Its table
 * @name:	Towards the edge servers: "user-" and the address
 * @address:	Its address, port 0
 * @sessions:	Of its services (struct user_entry of users.c)
 * @connections: Of struct user_connection, the one used latest last
 * @connection_count: How many
 * @heard:	When it was last heard
 */
struct user {
	struct list link;
	struct users *users;
	char name[NAME_SIZE];
	struct sockaddr_storage address;
	struct list sessions;
	struct list connections;
	size_t connection_count;
	uint64_t heard;
};

/** users_scratch() - Room for one read of @size bytes; good until the next call */
char *users_scratch(struct users *u, size_t *size);

/** users_heard() - The user has just sent something */
void users_heard(struct user *user);

/** users_connection_closed() - One connection of all is gone */
void users_connection_closed(struct users *u);
