/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User store - the state of ordinary users that an access point needs after a restart (R7)
 *
 * A device remembers its session itself; for ordinary users the access point does. In its state_dir there
 * is one file for each user, NAME.json with mode 0600, written beside and renamed:
 *
 *	{"version": 1, "user": NAME, "sessions": [{"service", "session": 16 hexadecimal digits,
 *	 "secret": 64, "association": N, "edges": [NAME ...]}]}
 *
 * It is written when one of these changes. Requests change none of them: the edge server tells how far
 * they have got. A thread beside the loop writes it (users/writer.h), for the loop must not wait. Nothing
 * waits for the thread: a crash may leave an older file, with which the session is found, too, or none;
 * then the user begins anew. An access point that ends in order has written all.
 */

struct err;
struct user;
struct user_writer;
struct users;

/** user_store_save() - Have the user's file written, or removed if it has no session. Return: 0, or negative */
int user_store_save(struct user_writer *uw, const struct user *user, struct err *err);

/** user_store_remove() - The user is known here no more */
void user_store_remove(struct user_writer *uw, const struct user *user);

/**
 * user_store_load() - Make the users of all files known to @u
 *
 * A file that cannot be read or is invalid is left where it is, and logged.
 *
 * Return: 0, or negative error code if the directory cannot be read
 */
int user_store_load(struct users *u, const char *dir, struct err *err);
