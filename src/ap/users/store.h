/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User store - the state of ordinary users that an access point needs after a restart (R7), or when a user
 * that was away returns
 *
 * A device remembers its session itself; for ordinary users the access point does. In its state_dir there
 * is one file for each user, NAME.json with mode 0600, written beside and renamed:
 *
 *	{"version": 1, "user": NAME, "station": MAC, "gone_to": AP, "sessions": [{"service",
 *	 "session": 16 hexadecimal digits, "secret": 64, "association": N, "epoch": N, "edges": [NAME ...]}]}
 *
 * "station" is left out if it is not known, "gone_to" if the sessions were handed to no access point.
 *
 * It is written when one of these changes. Requests change none of them: the edge server tells how far
 * they have got. A thread beside the loop writes it (users/writer.h), for the loop must not wait. Nothing
 * waits for the thread: a crash may leave an older file, with which the session is found, too, or none;
 * then the user begins anew. An access point that ends in order has written all.
 * If a user gets another name (roaming/away.h), the new file is written before the old one is removed.
 *
 * A file is read when its user comes, or is asked for: users that are away cost no memory.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct user;
struct user_record; /* opaque */
struct user_writer;
struct users;

/** user_store_save() - Have the user's file written, or removed if it has no session. Return: 0, or negative */
int user_store_save(struct user_writer *uw, const struct user *user, struct err *err);

/** user_store_move() - The user had another name, @from, and its file: both become those it has now. Return: as above */
int user_store_move(struct user_writer *uw, const struct user *user, const char *from,
		    struct err *err);

/** user_store_remove() - The user is known here no more */
void user_store_remove(struct user_writer *uw, const struct user *user);

/** user_store_open() - Make @dir, or check it; it must be ours alone. Return: 0, or negative error code */
int user_store_open(const char *dir, struct err *err);

/**
 * user_store_read() - Read the file of a user
 * @u:		Users, with a writer
 * @ret:	Set on success only; the caller owns it, see user_record_free()
 * @file:	Name that the file has
 * @err:	Filled in on failure, with the path
 *
 * A file is read as a whole or not at all. One that cannot be read is left where it is. Its user may have
 * sessions: that is not "there is none" (R15).
 *
 * Return: 0, -ENOENT if there is none, or another negative error code
 */
int user_store_read(struct users *u, struct user_record **ret, const char *file, struct err *err);

/** user_record_free() - Release it, with the secrets in it; @rec may be NULL. Return: NULL, always */
struct user_record *user_record_free(struct user_record *rec);

AUTO_DEFINE(user_record)

/** user_store_load() - Give a user without sessions what its record says. Return: 0, or negative: a part of it */
int user_store_load(struct user *user, const struct user_record *rec, struct err *err);

/** user_store_is_current() - Whether the file says all that is known of the user, and so can replace it */
bool user_store_is_current(const struct user *user);

/**
 * user_store_each_old() - Call @fn for the file of each user that is not in memory, and was written long ago
 * @u:		Users, with a writer
 * @ms:		How long ago; files of a time before 2020 do not count, for the clock was wrong
 * @fn:		Gets the user's name
 */
void user_store_each_old(struct users *u, uint64_t ms,
			 void (*fn)(struct users *u, const char *name));
