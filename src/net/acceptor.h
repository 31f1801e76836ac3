/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Acceptors - every listening socket of our programs
 *
 * libuv's own listening handles call accept() again and again while it fails with EMFILE, ENFILE or
 * ENOBUFS, and a descriptor that stays readable wakes the loop for ever. An acceptor pauses
 * instead: it reports the failure once, waits ACCEPTOR_PAUSE_MS, and tries again; new connections meanwhile
 * wait in the kernel's queue.
 *
 * An acceptor may count handshakes (net/handshakes.h). Then each connection has a place until its owner
 * calls acceptor_settled(), and a connection without a place is closed at once and reported.
 *
 * Everything here belongs to the thread of its event loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct acceptor; /* opaque */
struct address;
struct err;
struct sockaddr;
struct sockaddr_storage;
struct uv_loop_s;

#define ACCEPTOR_PAUSE_MS 250
#define ACCEPTOR_BATCH    16 /* connections taken before the loop may do something else */

/**
 * struct acceptor_ops - Callbacks of the owner of an acceptor
 * @accepted:	Somebody has connected. @fd belongs to the owner from now on; @from is borrowed.
 *		The acceptor may be closed from here
 * @refused:	A connection could not be taken; @who is its address, or "a connection". Called once
 *		while nothing can be accepted. May be NULL
 */
struct acceptor_ops {
	void (*accepted)(void *ctx, int fd, const struct sockaddr_storage *from);
	void (*refused)(void *ctx, const char *who, const char *reason);
};

/**
 * struct acceptor_setup - Settings of an acceptor; copied, its pointers are borrowed
 * @loop:	Event loop
 * @ops:	Callbacks
 * @ctx:	First argument of each
 * @backlog:	Connections that wait in the kernel
 * @handshakes:	Places for connections that are not settled; 0: they are not counted
 */
struct acceptor_setup {
	struct uv_loop_s *loop;
	const struct acceptor_ops *ops;
	void *ctx;
	int backlog;
	size_t handshakes;
};

/**
 * acceptor_new() - Listen
 * @ret:	Set on success only; the caller owns it, see acceptor_close()
 * @setup:	Event loop, callbacks, limits
 * @at:		Where; port 0 means any free port
 * @err:	Filled in on failure with the cause, not with the address
 *
 * Return: 0, or negative error code (-EADDRINUSE, -EACCES ...)
 */
int acceptor_new(struct acceptor **ret, const struct acceptor_setup *setup,
		 const struct address *at, struct err *err);

/** acceptor_port() - Port it listens on, useful if the address said 0 */
uint16_t acceptor_port(const struct acceptor *a);

/**
 * acceptor_takes() - Whether a connection to an address and port comes here
 * @a:		Acceptor
 * @at:		Address of this host; IPv4 as such, not within IPv6
 *
 * Return: whether it does; false if it is not at that port
 */
bool acceptor_takes(const struct acceptor *a, const struct sockaddr *at);

/**
 * acceptor_bind_beside() - Bind a socket that is to connect from the acceptor's own address and port
 * @a:		Acceptor
 * @fd:		Socket that never listens
 * @at:		Address, for which acceptor_takes()
 * @err:	Filled in on failure
 *
 * The kernel allows that only if both sockets have SO_REUSEPORT. They have it for this moment only. But the kernel
 * remembers it for the port: from then on another program of the same user could listen there, too. So this program
 * needs a user of its own.
 *
 * Return: 0, or negative error code
 */
int acceptor_bind_beside(const struct acceptor *a, int fd, const struct sockaddr *at,
			 struct err *err);

/** acceptor_settled() - A connection counted as a handshake is proven, or gone; @from is its address */
void acceptor_settled(struct acceptor *a, const struct sockaddr_storage *from);

/**
 * acceptor_close() - Accept no more
 * @a:		Acceptor; its memory goes when the event loop has closed its handles
 * @closed:	Called then, as the last act; may be NULL. acceptor_settled() may be called until then
 * @ctx:	Handed to @closed
 */
void acceptor_close(struct acceptor *a, void (*closed)(void *ctx), void *ctx);
