/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/receipt.h"

#include <stdio.h>
#include <string.h>

#include "ap/users/store.h"
#include "ap/users/table.h"
#include "base/err.h"
#include "base/log.h"
#include "wire/message.h"

void user_receipt_give(struct user *user)
{
	struct users *u = user->users;
	struct wire_message m = { .type = WIRE_USER_TAKEN,
				  .user_claim = { .claim = user->owed_claim } };

	if (!user->owed[0])
		return;
	memcpy(m.user_claim.user, user->name, NAME_SIZE);
	if (user->mac_at)
		memcpy(m.user_claim.station, user->mac, STATION_MAC_SIZE);
	u->ops->to_ap(u->ctx, user->owed, &m);
	user->owed[0] = '\0';
	list_remove(&user->owing);
}

void user_receipt_owe(struct user *user, const char *ap, uint64_t claim)
{
	struct users *u = user->users;
	struct err err;

	(void)snprintf(user->owed, sizeof(user->owed), "%s", ap);
	user->owed_claim = claim;
	list_remove(&user->owing);
	list_append(&u->owing, &user->owing);
	if (!u->writer)
		user_receipt_give(user);
	else if (user_store_save(u->writer, user, &err) < 0)
		log_error("%s will not be known after a restart: %s", user->name, err.text);
}

void users_receipts(struct users *u)
{
	list_for_each_safe(at, next, &u->owing)
	{
		struct user *user = list_entry(at, struct user, owing);

		/* otherwise it has changed since, and is being written again */
		if (user_store_is_current(user))
			user_receipt_give(user);
	}
}

void user_receipt_cancel(struct user *user, const char *ap)
{
	if (!name_equal(user->owed, ap))
		return;
	user->owed[0] = '\0';
	list_remove(&user->owing);
}
