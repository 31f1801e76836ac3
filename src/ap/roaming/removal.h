/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Removal - a user is forgotten, with its connections and its record
 */

struct user;

/** users_end_connections() - Reset all connections of a user */
void users_end_connections(struct user *user);

/** users_remove() - Forget a user; the edge servers are not told */
void users_remove(struct user *user);

/** users_forget() - Forget a user that is not ours any more, and its record */
void users_forget(struct user *user);
