/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/user_stations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ap/station_address.h"
#include "ap/station_events.h"
#include "ap/station_inquiry.h"
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
	bool heard; /* hostapd tells who comes and goes */
};

static uint64_t now_of(const struct user_stations *s)
{
	uint64_t now = uv_now(s->users->session.loop);

	return now ? now : 1; /* 0 is "never" */
}

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

static void remember(struct user_stations *s, const uint8_t mac[STATION_MAC_SIZE])
{
	struct station *st = find(s, mac) ? NULL : calloc(1, sizeof(*st));

	if (!st)
		return; /* it is known; or there is no memory, and hostapd will say so again */
	memcpy(st->mac, mac, STATION_MAC_SIZE);
	list_append(&s->bucket[mac[STATION_MAC_SIZE - 1]], &st->link);
	s->count++;
}

/* Calls @fn for each user of a station, or (@mac is NULL) for all */
static void each_user(struct user_stations *s, const uint8_t *mac,
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

static void is_back(struct user_stations *s, struct user *user)
{
	(void)s;
	user->gone_at = 0;
}

static void has_gone(struct user_stations *s, struct user *user)
{
	users_end_connections(user);
	user->gone_at = now_of(s);
}

/* hostapd was not heard, and the user may have been here meanwhile */
static void still_gone(struct user_stations *s, struct user *user)
{
	if (user->gone_at)
		user->gone_at = now_of(s);
}

static void on_connected(void *ctx, const uint8_t mac[STATION_MAC_SIZE], bool now)
{
	struct user_stations *s = ctx;

	remember(s, mac);
	each_user(s, mac, is_back);
	if (now)
		station_inquiry_begin(s->users, mac);
}

static void on_disconnected(void *ctx, const uint8_t mac[STATION_MAC_SIZE])
{
	struct user_stations *s = ctx;
	struct station *st = find(s, mac);

	if (st)
		forget(s, st);
	station_inquiry_end(s->users, mac);
	each_user(s, mac, has_gone);
}

static void on_up(void *ctx)
{
	struct user_stations *s = ctx;

	s->heard = true;
	each_user(s, NULL, still_gone);
	log_info("connected to hostapd");
}

static void on_down(void *ctx, const char *reason)
{
	struct user_stations *s = ctx;

	s->heard = false;
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
	uint64_t now = now_of(s);

	if (!user->mac_at || now >= user->mac_at + BELIEVED_MS) {
		int r = station_address_find(user->mac, &user->address, err);

		if (r < 0)
			return err_wrap(err, r, "%s", user->name);
		user->mac_at = now;
	}
	if (find(s, user->mac))
		return 0;
	return err_set(err, -EACCES, "%s is no station that hostapd has authorised", user->name);
}

bool user_stations_gone(const struct user_stations *s, const struct user *user, uint64_t now)
{
	return s->heard && user->gone_at && now >= user->gone_at + s->users->limits.gone_ms;
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
