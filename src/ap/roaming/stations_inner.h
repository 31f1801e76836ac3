/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inner header of stations.c, which knows the stations, and station_watch.c, which hears of them
 */

#include <stdbool.h>
#include <stdint.h>

#include "ap/roaming/stations.h"
#include "ap/users/table.h"
#include "base/list.h"

struct station_events;

/* struct station - One that is connected; at most STATION_EVENTS_MAX */
struct station {
	struct list link;
	uint8_t mac[STATION_MAC_SIZE];
};

/** struct user_stations - See stations.h */
struct user_stations {
	struct users *users;
	struct station_events *events;
	struct list bucket[USERS_BUCKETS]; /* by the last byte */
	size_t count;
	bool heard; /* hostapd tells who comes and goes */
};

/** user_stations_now() - The loop's time; never 0, which is "never" */
uint64_t user_stations_now(const struct user_stations *s);

/** user_stations_find() - A station that is connected. Return: NULL if it is not */
struct station *user_stations_find(struct user_stations *s, const uint8_t mac[STATION_MAC_SIZE]);

/** user_stations_remember() - It is connected */
void user_stations_remember(struct user_stations *s, const uint8_t mac[STATION_MAC_SIZE]);

/** user_stations_forget() - It is not any more */
void user_stations_forget(struct user_stations *s, struct station *st);

/** user_stations_each_user() - Call @fn for each user of a station, or (@mac is NULL) for all */
void user_stations_each_user(struct user_stations *s, const uint8_t *mac,
			     void (*fn)(struct user_stations *s, struct user *user));
