/* SPDX-License-Identifier: Apache-2.0 */

#include "ap/users_change.h"

#include <errno.h>
#include <string.h>

#include "ap/listeners/listener.h"
#include "ap/roaming/inquiry.h"
#include "ap/users/session.h"
#include "ap/users/table.h"
#include "base/err.h"
#include "base/list.h"
#include "base/spool.h"

/**
 * struct next_offers - Services from now on
 * @kept:	Index of the present offer whose listener stays, or -1: it is new
 */
struct next_offers {
	struct users_offer offer[USERS_SERVICES_MAX];
	int kept[USERS_SERVICES_MAX];
	size_t count;
};

/* The present listener at the address of @service, if no other service has taken it. Return: index, or -1 */
static int same_address(struct users *u, const struct next_offers *next,
			const struct users_service *service)
{
	for (size_t i = 0; i < u->offers; i++) {
		bool taken = false;

		for (size_t k = 0; k < next->count; k++)
			taken |= next->kept[k] == (int)i;
		if (!taken && user_listener_at(u->offer[i].listener, service))
			return (int)i;
	}
	return -1;
}

static void close_new(struct next_offers *next)
{
	for (size_t i = 0; i < next->count; i++) {
		if (next->kept[i] < 0)
			user_listener_close(next->offer[i].listener);
	}
}

/* New listeners are opened first: whether they can be is all that may fail. */
static int open_new(struct users *u, const struct users_setup *setup, struct next_offers *next,
		    struct err *err)
{
	const struct user_listener_setup listener = {
		.loop = u->session.loop,
		.users = u,
		.dead_ms = u->limits.dead_ms,
	};

	if (setup->services > USERS_SERVICES_MAX)
		return err_set(err, -EINVAL, "%zu listeners, the limit is %d", setup->services,
			       USERS_SERVICES_MAX);
	for (; next->count < setup->services; next->count++) {
		const struct users_service *service = &setup->service[next->count];
		struct users_offer *offer = &next->offer[next->count];
		int kept = same_address(u, next, service);

		next->kept[next->count] = kept;
		if (kept >= 0) {
			*offer = u->offer[kept];
			continue;
		}
		int r = user_listener_new(&offer->listener, &listener, service, err);
		if (r < 0) {
			close_new(next);
			return r;
		}
		offer->acceptor = user_listener_acceptor(offer->listener);
		offer->waiter = user_listener_waiter(offer->listener, 0);
	}
	return 0;
}

/* Answers to its datagrams have no way any more; connections need no listener. */
static void close_listener(struct users *u, struct user_listener *ul)
{
	const void *waits = user_listener_waiter(ul, 0).ctx;

	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->links[i]) user_session_forget_waiter(
			list_entry(at, struct user_entry, of_link)->session, waits);
	}
	u->dropped += user_listener_dropped(ul);
	user_listener_close(ul);
}

static void take_offers(struct users *u, const struct users_setup *setup, struct next_offers *next)
{
	for (size_t i = 0; i < u->offers; i++) {
		bool stays = false;

		for (size_t k = 0; k < next->count; k++)
			stays |= next->kept[k] == (int)i;
		if (!stays)
			close_listener(u, u->offer[i].listener);
	}
	for (size_t i = 0; i < next->count; i++) {
		user_listener_change(next->offer[i].listener, &setup->service[i]);
		u->offer[i] = next->offer[i];
		u->offer[i].service = user_listener_service(u->offer[i].listener);
	}
	u->offers = next->count;
}

/* Claims and inquiries count who has answered by the place in this list: they are begun again. */
static void take_others(struct users *u, const struct ap_neighbours *aps)
{
	bool same = u->others == aps->count;

	for (size_t i = 0; same && i < u->others; i++)
		same = name_equal(u->other[i], aps->at[i].name);
	if (same)
		return;
	u->others = 0;
	for (; u->others < aps->count && u->others < USERS_APS_MAX; u->others++)
		(void)name_set(u->other[u->others], aps->at[u->others].name, NULL);
	memset(u->foreign, 0, sizeof(u->foreign));
	u->strangers = 0;
	list_for_each_safe(at, next, &u->claims)
	{
		struct user *user = list_entry(at, struct user, claiming);

		memset(user->answered, 0, sizeof(user->answered));
		user->ask_at = 0;
	}
	station_inquiry_close(u);
}

int users_change(struct users *u, const struct users_setup *setup, struct err *err)
{
	struct next_offers next = { .count = 0 };
	int r = open_new(u, setup, &next, err);

	if (r < 0)
		return r;
	take_offers(u, setup, &next);
	take_others(u, &setup->aps);
	u->policy = *setup->policy;
	u->limits = users_limits_defaults(setup->limits);
	u->unreachable = setup->unreachable;
	u->keep_ms = setup->keep_ms;
	spools_limit(u->spools, setup->spool_bytes);
	return 0;
}
