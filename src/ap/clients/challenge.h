/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Challenge - ends a client's connection to another host that had the same address
 *
 * A client has a connection to our address and port whose other end was at another host, which is out of its reach
 * now. This kernel does not know the connection. If the client waits for an answer, it sends nothing by itself, and
 * would wait until its own timeout. TCP has a way out of such half-open connections (RFC 9293, section 3.5.1, and
 * the challenge of RFC 5961, section 4.2), for which nobody needs a sequence number or a privilege:
 *
 *	here                                                    client, which believes in the connection
 *	  |--SYN from our address and port, to its port ----------->|   not acceptable:
 *	  |<-ACK, with the numbers of its connection ---------------|   this is where I stand
 *	  |--RST, with just these numbers (by the kernel) --------->|   the connection ends: ECONNRESET
 *	  |--SYN again (by the kernel) ---------------------------->|
 *	  |<-RST ---------------------------------------------------|   no connection there: done
 *
 * All of it is one connect() from beside the listening socket, which fails. A client whose own packet filter drops
 * a SYN on an established connection (Linux connection tracking counts it as invalid), or that is behind an address
 * translator, is not reached.
 *
 * Everything here belongs to the thread of its event loop.
 */

#include "base/auto.h"

struct acceptor;
struct challenge; /* opaque */
struct err;
struct sockaddr;
struct uv_loop_s;

/**
 * struct challenge_setup - A connection to end; copied, what it points to is borrowed for the call
 * @loop:	Event loop
 * @acceptor:	Listener of our end
 * @local:	Our end: an address of this host, and a port, for which acceptor_takes()
 * @client:	The client's end
 * @done:	Called once, unless challenge_free() comes first: 0: the client has no such connection any more; or a
 *		negative error code, -ETIMEDOUT or -EHOSTUNREACH if it has not answered. Free it then
 * @ctx:	Argument of @done
 */
struct challenge_setup {
	struct uv_loop_s *loop;
	const struct acceptor *acceptor;
	const struct sockaddr *local;
	const struct sockaddr *client;
	void (*done)(void *ctx, int result);
	void *ctx;
};

/**
 * challenge_new() - Challenge a client once; the kernel repeats lost segments after a second
 * @ret:	Set on success only; the caller owns it, see challenge_free()
 * @setup:	See struct challenge_setup
 * @err:	Filled in on failure
 *
 * Return: 0; -EADDRNOTAVAIL if @local is no address of this host; -EEXIST if a connection with these ends is known
 * here, so the client has no other one; or another negative error code
 */
int challenge_new(struct challenge **ret, const struct challenge_setup *setup, struct err *err);

/** challenge_free() - Stop; @c may be NULL. Its memory goes when the loop has closed its handle. Return: NULL */
struct challenge *challenge_free(struct challenge *c);

AUTO_DEFINE(challenge)
