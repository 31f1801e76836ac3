/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User stations - only stations that hostapd has authorised are users
 *
 * With `stations = "hostapd:..."` a packet alone makes nobody a user: its address must be that of a station
 * (stations/address.h) that is connected (stations/events.h).
 *
 * When hostapd says that a station has come, its users are here: their sessions follow (roaming/inquiry.h).
 * This does not hold for stations that are merely in hostapd's list when we attach: a station that left without
 * notice is still in the list, and lives elsewhere now.
 *
 * When hostapd says that a station has gone, its users' connections here end. They have left if it does not
 * come back, and no other access point claims them, for user_gone_ms. While hostapd cannot be heard nobody is
 * taken to have gone; the time begins anew then. When a user was claimed, hostapd is told to drop its station here, as
 * IAPP's MOVE does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ap/stations/text.h"

struct err;
struct sockaddr_storage;
struct user;
struct user_stations; /* opaque */
struct station_events_ops;
struct users;

/** user_stations_watch() - Begin to listen to hostapd at @path (station_watch.c). Return: 0, or negative error code */
int user_stations_watch(struct user_stations **ret, struct users *u, const char *path,
			struct err *err);

/** user_stations_new() - The same, for station_watch.c: @ops hears of stations; its context is the result */
int user_stations_new(struct user_stations **ret, struct users *u, const char *path,
		      const struct station_events_ops *ops, struct err *err);

/** struct user_station - The station at an address; @at: when that was looked up */
struct user_station {
	uint8_t mac[STATION_MAC_SIZE];
	uint64_t at;
};

/**
 * user_stations_admit() - Whether an authorised station has an address
 * @s:		Stations
 * @seen:	Set to it on success
 * @user:	User of the address, NULL if there is none in memory
 * @address:	Its address
 * @err:	Filled in on failure
 *
 * An answer of the neighbour table is valid for a second.
 *
 * Return: 0, -EACCES, or another negative error code
 */
int user_stations_admit(struct user_stations *s, struct user_station *seen, const struct user *user,
			const struct sockaddr_storage *address, struct err *err);

/** user_stations_gone() - Whether the user has left with its station, see above */
bool user_stations_gone(const struct user_stations *s, const struct user *user, uint64_t now);

/** user_stations_moved() - The user is at another access point now */
void user_stations_moved(struct user_stations *s, const struct user *user);

/** user_stations_count() - Stations that are connected */
size_t user_stations_count(const struct user_stations *s);

/** user_stations_close() - Listen no more; @s may be NULL */
void user_stations_close(struct user_stations *s);
