/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Handshakes - limits on connections without a proven certificate, in all and for each address
 *
 * Until its certificate is proven, a connection is a stranger's. Strangers have separate places,
 * so they never take those of known programs, and no address can hold all of them:
 *
 *     less than half of the places are taken    anybody gets one
 *     half or more                              an address that holds a quarter gets no other
 *     all                                       nobody gets one
 *
 * A single address therefore gets half of the places, and the other half is open to the rest.
 * An address is an IPv4 address, or the /64 network of an IPv6 address, all of which belongs to one host.
 *
 * No I/O and no clock here: each owner gives a handshake its deadline.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

#define HANDSHAKES_MAX 256 /* the most places that a table can have */

/** struct handshake_source - Unit that counts as one address: IPv4 mapped into IPv6, or a /64 network */
struct handshake_source {
	uint8_t bytes[16];
};

/**
 * struct handshakes - Places of one listener
 * @places:	How many there are, 4 to HANDSHAKES_MAX; set by handshakes_init()
 * @count:	How many are taken
 * @source:	Holders of places; the first @count are in use
 */
struct handshakes {
	size_t places;
	size_t count;
	struct handshake_source source[HANDSHAKES_MAX];
};

/** handshakes_init() - Begin with no place taken; @places is brought into 4 to HANDSHAKES_MAX */
void handshakes_init(struct handshakes *h, size_t places);

/** handshakes_begin() - Take a place for an address. Return: whether there is one for it */
bool handshakes_begin(struct handshakes *h, const struct sockaddr *from);

/** handshakes_end() - Give back a place that handshakes_begin() gave to this address */
void handshakes_end(struct handshakes *h, const struct sockaddr *from);
