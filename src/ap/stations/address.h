/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Station address - the IP addresses of stations, from the kernel's neighbour table
 *
 * A host that sends us something is in that table, for the kernel needs the station's address to answer.
 * Reading it needs no privilege.
 */

#include <stdint.h>
#include <sys/socket.h>

#include "ap/stations/text.h"

struct err;

/**
 * station_address_find() - Find the station with an IP address
 * @mac:	Set on success only
 * @address:	IPv4 or IPv6; the port does not matter
 * @err:	Filled in on failure
 *
 * Asks the kernel for this one address, behind the interface to which its route leads, and takes the
 * answer without waiting. The cost does not depend on the number of neighbours. That matters because
 * senders of packets decide how often the kernel is asked.
 *
 * Return: 0, -ENOENT if no neighbour has it, or another negative error code
 */
int station_address_find(uint8_t mac[STATION_MAC_SIZE], const struct sockaddr_storage *address,
			 struct err *err);

/**
 * station_address_each() - Call @fn for each IP address of a station
 * @mac:	The station
 * @fn:		Called with an address whose port is 0, in no order; may come twice with one that is known
 *		behind two of our interfaces
 * @ctx:	Handed to @fn
 * @err:	Filled in on failure
 *
 * Return: 0, also if there is none, or negative error code
 */
int station_address_each(const uint8_t mac[STATION_MAC_SIZE],
			 void (*fn)(void *ctx, const struct sockaddr_storage *address), void *ctx,
			 struct err *err);
