/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Station watch - hostapd's reports of stations, and their effects on users
 */

#include "ap/roaming/inquiry.h"
#include "ap/roaming/removal.h"
#include "ap/roaming/stations_inner.h"
#include "ap/stations/events.h"
#include "base/log.h"

static void is_back(struct user_stations *s, struct user *user)
{
	(void)s;
	user->gone_at = 0;
}

static void has_gone(struct user_stations *s, struct user *user)
{
	users_end_connections(user);
	user->gone_at = user_stations_now(s);
}

/* hostapd was not heard, and the user may have been here meanwhile */
static void still_gone(struct user_stations *s, struct user *user)
{
	if (user->gone_at)
		user->gone_at = user_stations_now(s);
}

static void on_connected(void *ctx, const uint8_t mac[STATION_MAC_SIZE], bool now)
{
	struct user_stations *s = ctx;

	user_stations_remember(s, mac);
	user_stations_each_user(s, mac, is_back);
	if (now)
		station_inquiry_begin(s->users, mac);
}

static void on_disconnected(void *ctx, const uint8_t mac[STATION_MAC_SIZE])
{
	struct user_stations *s = ctx;
	struct station *st = user_stations_find(s, mac);

	if (st)
		user_stations_forget(s, st);
	station_inquiry_end(s->users, mac);
	user_stations_each_user(s, mac, has_gone);
}

static void on_up(void *ctx)
{
	struct user_stations *s = ctx;

	s->heard = true;
	user_stations_each_user(s, NULL, still_gone);
	log_info("connected to hostapd");
}

static void on_down(void *ctx, const char *reason)
{
	struct user_stations *s = ctx;

	s->heard = false;
	log_info("hostapd cannot be heard: %s", reason);
}

static const struct station_events_ops events_ops = {
	.up = on_up,
	.down = on_down,
	.connected = on_connected,
	.disconnected = on_disconnected,
};

int user_stations_watch(struct user_stations **ret, struct users *u, const char *path,
			struct err *err)
{
	return user_stations_new(ret, u, path, &events_ops, err);
}
