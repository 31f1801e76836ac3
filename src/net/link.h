/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Links - messages between two programs over one TLS connection on the event loop
 *
 * A listener accepts links. A peer is one named program that we keep a link to; a broken link is
 * tried again for ever. A link is "up" once both certificates are verified and both HELLOs are
 * checked (version; name and role equal to the certificate's). Its owner hears of it from then on:
 *
 *     listener or peer -> connect -> TLS -> HELLO -> up() -> message()* -> down()
 *                            \______________\_____ refused()
 *
 * Lifetime: a struct link is valid from up() until down() or link_close() returns, whichever comes
 * first; then the owner must forget it. up() and down() come in pairs, but a link that the owner
 * closed itself, alone or with its listener or peer, gets no down(). All callbacks come from the
 * event loop, never from inside link_send(), so a callback may send, close and free anything.
 *
 * Liveness: a side that has heard or said nothing for @probe_ms sends CLOCK PROBE, which the other
 * answers at once; silence for @dead_ms ends the link. Both messages are handled here and never
 * reach message().
 *
 * Validity: links end within @probe_ms after their certificate ends, or is revoked in files that are read
 * again (tls_context_reload()); further attempts are refused.
 *
 * Limits (R9) on bytes waiting to be sent, time to come up, number of accepted connections: see struct
 * link_limits. A frame above the limits of wire/codec.h, or one that belongs on a migration's
 * own connection, ends the link.
 *
 * Programs must ignore SIGPIPE. Everything here belongs to the thread of its event loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/message.h"

struct err;
struct link;     /* opaque: one connection that is up */
struct listener; /* opaque: accepts connections */
struct peer;     /* opaque: keeps a connection to one named program */
struct tls_context;
struct uv_loop_s;

/** enum link_e - Positive results; the direct caller must handle each one */
enum link_e {
	LINK_E_FULL = 1, /* the queue is at its limit, nothing was queued; writable() will come */
	LINK_E_DOWN,     /* the link has failed, down() will come */
};

/** LINK_ROLE() - Bit of a role in the mask of roles that a listener accepts */
#define LINK_ROLE(role) (1u << (role))

/**
 * struct link_ops - Callbacks of the owner of links
 * @up:		A link came up. An access point or edge server has one link at a listener: a second one with
 *		its name is refused while the first one answers, and replaces it if that is silent. A device or
 *		an operator may have several
 * @message:	A message came in. @m and all it points to is borrowed for the call
 * @down:	A link is gone; @reason is one line for a person
 * @writable:	After LINK_E_FULL: half the queue is free again; may be NULL
 * @clock:	A CLOCK REPLY came: the peer's clock is @offset_us ahead of ours, give or take half
 *		of @rtt_us; may be NULL
 * @refused:	A connection failed before it was up; @who is its name or address. A peer reports
 *		its first failure and each new reason; a listener reports each failure, at most ten
 *		a second. May be NULL
 */
struct link_ops {
	void (*up)(void *ctx, struct link *l);
	void (*message)(void *ctx, struct link *l, const struct wire_message *m);
	void (*down)(void *ctx, struct link *l, const char *reason);
	void (*writable)(void *ctx, struct link *l);
	void (*clock)(void *ctx, struct link *l, int64_t offset_us, uint64_t rtt_us);
	void (*refused)(void *ctx, const char *who, const char *reason);
};

/**
 * struct link_limits - All zero means the defaults given here
 * @queue_bytes:	Most bytes waiting to be sent on one link (8 MiB)
 * @handshake_ms:	Time to come up (5000)
 * @probe_ms:		Silence before a probe (1000)
 * @dead_ms:		Silence that ends the link (10000: a WAN may be cut for 5 s)
 * @retry_min_ms:	First wait of a peer before it connects again, doubled each time (50)
 * @retry_max_ms:	Longest such wait (2000)
 * @accepted_max:	Most connections of one listener with a proven certificate; more are closed (1024).
 *			One name gets an eighth of them, but at least 4
 * @handshakes_max:	Most without one, beside those; one address gets half of these places, see
 *			net/handshakes.h (256, which is also the most; at least 4)
 */
struct link_limits {
	size_t queue_bytes;
	uint32_t handshake_ms;
	uint32_t probe_ms;
	uint32_t dead_ms;
	uint32_t retry_min_ms;
	uint32_t retry_max_ms;
	uint32_t accepted_max;
	uint32_t handshakes_max;
};

/**
 * struct link_setup - Settings of a listener or peer; copied, its pointers are borrowed
 * @loop:	Event loop
 * @tls:	Our identity; HELLO has the name and the role of its certificate
 * @ops:	Callbacks
 * @ctx:	First argument of each callback
 * @limits:	See struct link_limits
 */
struct link_setup {
	struct uv_loop_s *loop;
	struct tls_context *tls;
	const struct link_ops *ops;
	void *ctx;
	struct link_limits limits;
};

/**
 * listener_new() - Accept links
 * @ret:	Set on success only; the caller owns it, see listener_close()
 * @setup:	Event loop, identity, callbacks, limits
 * @address:	"IP:PORT"
 * @roles:	Roles that may connect: LINK_ROLE(WIRE_ROLE_MUD) | ...
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code (-EADDRINUSE ...)
 */
int listener_new(struct listener **ret, const struct link_setup *setup, const char *address,
		 unsigned int roles, struct err *err);

/** listener_port() - Port it listens on, useful if the address said 0 */
uint16_t listener_port(const struct listener *ls);

/** listener_limits() - Other limits from now on; links that are up keep theirs. @handshakes_max stays */
void listener_limits(struct listener *ls, const struct link_limits *limits);

/**
 * listener_close() - Stop accepting and close all links accepted, without down()
 * @ls:		Listener, may be NULL; not to be used again. Its memory goes when the event loop has
 *		closed its handles, so run the loop once more before closing it
 */
void listener_close(struct listener *ls);

/**
 * peer_new() - Keep a link to a named program
 * @ret:	Set on success only; the caller owns it, see peer_close()
 * @setup:	Event loop, identity, callbacks, limits
 * @name:	Its name: another certificate is refused
 * @role:	Its role: another certificate is refused
 * @address:	"IP:PORT"
 * @err:	Filled in on failure; an unreachable program is no failure
 *
 * Return: 0, or negative error code
 */
int peer_new(struct peer **ret, const struct link_setup *setup, const char *name,
	     enum wire_role role, const char *address, struct err *err);

/** peer_link() - Its link, or NULL while it is not up */
struct link *peer_link(const struct peer *p);

/**
 * peer_change() - Another address and other limits, from the next connection on
 * @p:		Peer
 * @address:	"IP:PORT"; a link that is up stays, an attempt at another address is given up
 * @limits:	As in struct link_setup
 * @err:	Filled in on failure; then nothing has changed
 *
 * Return: 0, or -EINVAL
 */
int peer_change(struct peer *p, const char *address, const struct link_limits *limits,
		struct err *err);

/** peer_name() - Name it was made with. Return: valid as long as @p */
const char *peer_name(const struct peer *p);

/** peer_close() - Like listener_close(): close the link without down(), connect no more */
void peer_close(struct peer *p);

/**
 * link_send() - Queue a message
 * @l:		Link
 * @m:		Message, borrowed for the call
 *
 * Return: 0, LINK_E_FULL, LINK_E_DOWN, or negative error code: -EINVAL if @m cannot be encoded (a
 * fault of the caller; nothing was queued), -ENOMEM
 */
int link_send(struct link *l, const struct wire_message *m);

/** link_queued() - Bytes that wait to be sent */
size_t link_queued(const struct link *l);

/**
 * link_pause() - Stop reading: message() will not be called until link_resume()
 *
 * The peer is held up once the buffers in between are full; it still hears that we live. While
 * paused, only unacknowledged bytes show a dead peer, within about twice @dead_ms.
 */
void link_pause(struct link *l);

/** link_resume() - Read again; messages that had come in already follow from the event loop */
void link_resume(struct link *l);

/** link_probe() - Measure the peer's clock now; clock() gets the result. Return: as link_send() */
int link_probe(struct link *l);

/** link_peer_name() - Name in the peer's certificate. Return: valid as long as @l */
const char *link_peer_name(const struct link *l);

/** link_peer_role() - Role in the peer's certificate */
enum wire_role link_peer_role(const struct link *l);

/** link_peer_version() - Version of the protocol that the peer speaks; known in up() and from then on */
uint32_t link_peer_version(const struct link *l);

/** link_broke_rules() - In down(): it ended because the peer sent an invalid message */
bool link_broke_rules(const struct link *l);

/**
 * link_set_data() - Remember a pointer of the owner's, which the link does not use
 * @l:		Link
 * @data:	Pointer, or NULL to forget it
 * @gone:	Called with @data when the link's memory goes, however the link ended: after down(), and
 *		also if its owner closed it, alone or with its listener. Until then link_send() on a
 *		link that is closed returns LINK_E_DOWN. Must not touch the link; may be NULL
 */
void link_set_data(struct link *l, void *data, void (*gone)(void *data));

/** link_data() - The pointer remembered, at first NULL */
void *link_data(const struct link *l);

/**
 * link_close() - End a link without down(); queued bytes are tried once more
 *
 * A peer connects again afterwards.
 */
void link_close(struct link *l);
