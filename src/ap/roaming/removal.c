/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/removal.h"

#include <stdlib.h>

#include "ap/clients/connection.h"
#include "ap/roaming/half_open.h"
#include "ap/roaming/receipt.h"
#include "ap/users/store.h"
#include "ap/users/table.h"

void users_end_connections(struct user *user)
{
	list_for_each_safe(at, next, &user->connections)
		user_connection_close(user_connection_of(at), true);
}

void users_remove(struct user *user)
{
	list_remove(&user->claiming);
	list_remove(&user->owing);
	users_end_connections(user);
	user_half_open_forget(user);
	list_for_each_safe(at, next, &user->sessions)
		user_remove_session(list_entry(at, struct user_entry, of_user));
	list_remove(&user->link);
	user->users->count--;
	free(user);
}

void users_forget(struct user *user)
{
	user_receipt_give(user);
	if (user->users->writer)
		user_store_remove(user->users->writer, user);
	users_remove(user);
}
