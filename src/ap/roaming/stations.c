/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/stations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ap/roaming/stations_inner.h"
#include "ap/stations/address.h"
#include "ap/stations/events.h"
#include "ap/users/table.h"
#include "base/err.h"
#include "base/list.h"

#define BELIEVED_MS 1000

uint64_t user_stations_now(const struct user_stations *s)
{
	uint64_t now = uv_now(s->users->session.loop);

	return now ? now : 1; /* 0 is "never" */
}

struct station *user_stations_find(struct user_stations *s, const uint8_t mac[STATION_MAC_SIZE])
{
	list_for_each_safe(at, next, &s->bucket[mac[STATION_MAC_SIZE - 1]])
	{
		struct station *st = list_entry(at, struct station, link);

		if (memcmp(st->mac, mac, STATION_MAC_SIZE) == 0)
			return st;
	}
	return NULL;
}

void user_stations_forget(struct user_stations *s, struct station *st)
{
	list_remove(&st->link);
	s->count--;
	free(st);
}

void user_stations_remember(struct user_stations *s, const uint8_t mac[STATION_MAC_SIZE])
{
	struct station *st = user_stations_find(s, mac) ? NULL : calloc(1, sizeof(*st));

	if (!st)
		return; /* it is known; or there is no memory, and hostapd will say so again */
	memcpy(st->mac, mac, STATION_MAC_SIZE);
	list_append(&s->bucket[mac[STATION_MAC_SIZE - 1]], &st->link);
	s->count++;
}

/* Calls @fn for each user of a station, or (@mac is NULL) for all */
void user_stations_each_user(struct user_stations *s, const uint8_t *mac,
			     void (*fn)(struct user_stations *s, struct user *user))
{
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &s->users->bucket[i])
		{
			struct user *user = list_entry(at, struct user, link);

			if (!mac || (user->mac_at && memcmp(user->mac, mac, STATION_MAC_SIZE) == 0))
				fn(s, user);
		}
	}
}

int user_stations_new(struct user_stations **ret, struct users *u, const char *path,
		      const struct station_events_ops *ops, struct err *err)
{
	struct user_stations *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, -ENOMEM, "stations");
	const struct station_events_setup setup = {
		.loop = u->session.loop,
		.path = path,
		.ops = ops,
		.ctx = s,
	};
	s->users = u;
	for (size_t i = 0; i < USERS_BUCKETS; i++)
		list_init(&s->bucket[i]);
	int r = station_events_new(&s->events, &setup, err);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int user_stations_admit(struct user_stations *s, struct user_station *seen, const struct user *user,
			const struct sockaddr_storage *address, struct err *err)
{
	uint64_t now = user_stations_now(s);

	if (user && user->mac_at && now < user->mac_at + BELIEVED_MS) {
		memcpy(seen->mac, user->mac, STATION_MAC_SIZE);
		seen->at = user->mac_at;
	} else {
		int r = station_address_find(seen->mac, address, err);

		if (r < 0)
			return r;
		seen->at = now;
	}
	if (user_stations_find(s, seen->mac))
		return 0;
	return err_set(err, -EACCES, "no station that hostapd has authorised");
}

bool user_stations_gone(const struct user_stations *s, const struct user *user, uint64_t now)
{
	return s->heard && user->gone_at && now >= user->gone_at + s->users->limits.gone_ms;
}

void user_stations_moved(struct user_stations *s, const struct user *user)
{
	/* if hostapd does not take it, it finds out by itself: the station is silent here */
	if (user->mac_at)
		(void)station_events_forget(s->events, user->mac, NULL);
}

size_t user_stations_count(const struct user_stations *s)
{
	return s->count;
}

void user_stations_close(struct user_stations *s)
{
	if (!s)
		return;
	station_events_close(s->events);
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &s->bucket[i])
			user_stations_forget(s, list_entry(at, struct station, link));
	}
	free(s);
}
