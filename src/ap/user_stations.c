/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/user_stations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ap/station_address.h"
#include "ap/station_events.h"
#include "ap/user.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"

#define BELIEVED_MS 1000

/* struct station - One that is connected; at most STATION_EVENTS_MAX */
struct station {
	struct list link;
	uint8_t mac[STATION_MAC_SIZE];
};

struct user_stations {
	struct users *users;
	struct station_events *events;
	struct list bucket[USERS_BUCKETS]; /* by the last byte */
	size_t count;
};

static struct station *find(struct user_stations *s, const uint8_t mac[STATION_MAC_SIZE])
{
	list_for_each_safe(at, next, &s->bucket[mac[STATION_MAC_SIZE - 1]])
	{
		struct station *st = list_entry(at, struct station, link);

		if (memcmp(st->mac, mac, STATION_MAC_SIZE) == 0)
			return st;
	}
	return NULL;
}

static void forget(struct user_stations *s, struct station *st)
{
	list_remove(&st->link);
	s->count--;
	free(st);
}

static void on_connected(void *ctx, const uint8_t mac[STATION_MAC_SIZE])
{
	struct user_stations *s = ctx;
	struct station *st = find(s, mac) ? NULL : calloc(1, sizeof(*st));

	if (!st)
		return; /* it is known; or there is no memory, and hostapd will say so again */
	memcpy(st->mac, mac, STATION_MAC_SIZE);
	list_append(&s->bucket[mac[STATION_MAC_SIZE - 1]], &st->link);
	s->count++;
}

static void on_disconnected(void *ctx, const uint8_t mac[STATION_MAC_SIZE])
{
	struct user_stations *s = ctx;
	struct station *st = find(s, mac);

	if (st)
		forget(s, st);
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &s->users->bucket[i])
		{
			struct user *user = list_entry(at, struct user, link);

			if (user->mac_at && memcmp(user->mac, mac, STATION_MAC_SIZE) == 0)
				users_end_connections(user);
		}
	}
}

static void on_up(void *ctx)
{
	(void)ctx;
	log_info("connected to hostapd");
}

static void on_down(void *ctx, const char *reason)
{
	(void)ctx;
	log_info("hostapd cannot be heard: %s", reason);
}

static const struct station_events_ops ops = {
	.up = on_up,
	.down = on_down,
	.connected = on_connected,
	.disconnected = on_disconnected,
};

int user_stations_new(struct user_stations **ret, struct users *u, const char *path,
		      struct err *err)
{
	struct user_stations *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, -ENOMEM, "stations");
	const struct station_events_setup setup = {
		.loop = u->session.loop,
		.path = path,
		.ops = &ops,
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

int user_stations_admit(struct user_stations *s, struct user *user, struct err *err)
{
	uint64_t now = uv_now(s->users->session.loop);

	if (!user->mac_at || now >= user->mac_at + BELIEVED_MS) {
		int r = station_address_find(user->mac, &user->address, err);

		user->mac_at = 0;
		if (r < 0)
			return err_wrap(err, r, "%s", user->name);
		user->mac_at = now ? now : 1;
	}
	if (find(s, user->mac))
		return 0;
	return err_set(err, -EACCES, "%s is no station that hostapd has authorised", user->name);
}

void user_stations_moved(struct user_stations *s, const struct user *user)
{
	/* what hostapd does not take now it finds out by itself: the station is silent here */
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
			forget(s, list_entry(at, struct station, link));
	}
	free(s);
}
