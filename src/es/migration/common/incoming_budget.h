/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Incoming - slots, deadlines and bytes of a migration that comes in
 *
 * Two counts, kept apart:
 *
 *     handshakes   INCOMING_HANDSHAKES connections may be without a proven certificate
 *                  (net/acceptor.h)
 *     slots        max_destinations migrations, each of an edge server that has proven itself; one
 *                  edge server gets incoming_share() of them, so that another finds one
 *
 * The connection has a budget in each state, also after the end of an archive: a time, which grows
 * with the bytes received, and a number of bytes. A peer that is silent, too slow, or that never stops
 * loses its slot with a reason.
 *
 * Each state is one kind of bytes from the peer. Our own work (judge, load, restore) has its limits in
 * its own code.
 */

#include <stddef.h>
#include <stdint.h>

struct tls_stream;

#define INCOMING_HANDSHAKES 16          /* one address gets 8 of them, see net/handshakes.h */
#define INCOMING_HELLO_MS   5000        /* for the handshake, and again for the offer */
#define INCOMING_RATE       (16u << 10) /* bytes per second, in the long run, of a link */

/** enum incoming_state - Kind of bytes that the peer is sending */
enum incoming_state {
	INCOMING_OFFER,  /* and the plan in it */
	INCOMING_PROBE,  /* bytes to measure the link */
	INCOMING_AHEAD,  /* the layer as it is while the service runs */
	INCOMING_IMAGE,  /* layers that are missing; the engine there may have to save them first */
	INCOMING_MEMORY, /* pre-copied memory of a stop-and-copy */
	INCOMING_CUT,    /* its number and answer cache; the source quiesces first */
	INCOMING_CHUNKS, /* memory and files of the cut */
	INCOMING_REST,   /* bytes that a source still sends while it reads why it failed */
};

/**
 * incoming_enter() - Begin a state: its time and its bytes count from now on
 * @stream:	Connection to the source
 * @state:	The next state
 * @max_bytes:	Most bytes of a transfer, uncompressed
 */
void incoming_enter(struct tls_stream *stream, enum incoming_state state, uint64_t max_bytes);

/**
 * incoming_share() - Most slots of one edge server
 * @slots:	There are in all, at least 1
 *
 * Return: three quarters, rounded up, but one less than all if there are two or more
 */
size_t incoming_share(size_t slots);
