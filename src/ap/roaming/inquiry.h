/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Station inquiry - a station has come: its users' sessions follow before they have sent anything
 *
 * hostapd names a station by its own address (MAC), users are known by their IP addresses. The access
 * point where the station was knows its users: it saw their packets. So we ask all access points:
 *
 *	AP-y: hostapd says "connected"                                        AP-x
 *	      ---------- STATION INQUIRY (station, inquiry) ------------------>
 *	      <--------- STATION USERS (station, inquiry, users) --------------   whose station it is
 *	      each of them is here from now on, as with users_associate(): USER CLAIM (roaming/handover.c)
 *
 * hostapd's event counts as the moment when the users were last heard here. So an access point that heard
 * one of them later keeps it, and an inquiry that is answered late does not take it away. Users that were
 * here themselves and have been handed over are claimed at once.
 *
 * An inquiry is repeated every policy.retry_ms to those that have not answered, until all have, the station
 * has gone, or policy.move_ms have passed; then its users come with their first packet.
 *
 * Limits (R9): STATION_INQUIRIES_MAX at once; users of stations that come while there are so many come with
 * their first packet, too. WIRE_STATION_USERS_MAX users of a station, those that were heard last.
 */

#include <stdint.h>

#include "ap/stations/text.h"

struct users;
struct wire_message;

#define STATION_INQUIRIES_MAX 256

/**
 * station_inquiry_begin() - A station has come here just now: find its users and claim them
 * @u:		Users
 * @mac:	Its address
 */
void station_inquiry_begin(struct users *u, const uint8_t mac[STATION_MAC_SIZE]);

/** station_inquiry_end() - The station has gone: ask no more, answers that still come do nothing */
void station_inquiry_end(struct users *u, const uint8_t mac[STATION_MAC_SIZE]);

/** station_inquiry_message() - Take a question or an answer of access point @ap */
void station_inquiry_message(struct users *u, const char *ap, const struct wire_message *m);

/** station_inquiry_close() - Ask nothing any more */
void station_inquiry_close(struct users *u);
