/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User datagrams - those that cannot be taken yet
 *
 * While it is not known at which access point a user's session is, or a session has no room, its
 * connections are not read. Datagrams come all the same; a few wait here, those of an address in their
 * order, for a moment. No user waits for another's.
 *
 * Limits (R9): USER_DATAGRAMS_MAX and USER_DATAGRAMS_BYTES of all users of a listener, USER_DATAGRAMS_EACH
 * of one, USER_DATAGRAMS_MS each.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct sockaddr;
struct uv_loop_s;
struct user_datagrams; /* opaque */

#define USER_DATAGRAMS_MAX   256
#define USER_DATAGRAMS_EACH  64
#define USER_DATAGRAMS_BYTES (1u << 20)
#define USER_DATAGRAMS_MS    2000

/**
 * user_datagrams_take_fn - Take a datagram that waited; bytes are borrowed
 *
 * Return: 0, -EAGAIN if it must still wait, or another negative error code: it is dropped
 */
typedef int (*user_datagrams_take_fn)(void *ctx, const struct sockaddr *from, const void *bytes,
				      size_t len);

/**
 * user_datagrams_new() - Create a place to wait, empty
 * @ret:	Set on success only; the caller owns it, see user_datagrams_close()
 * @loop:	Event loop
 * @take:	See user_datagrams_take_fn
 * @ctx:	Its first argument
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int user_datagrams_new(struct user_datagrams **ret, struct uv_loop_s *loop,
		       user_datagrams_take_fn take, void *ctx, struct err *err);

/** user_datagrams_waiting() - Whether any from this address waits, whatever its port: the next must, too */
bool user_datagrams_waiting(const struct user_datagrams *ud, const struct sockaddr *from);

/** user_datagrams_add() - Have a datagram wait. Return: false if there is no room: it is dropped */
bool user_datagrams_add(struct user_datagrams *ud, const struct sockaddr *from, const void *bytes,
			size_t len);

/** user_datagrams_dropped() - Those that waited too long, or were not taken in the end */
uint64_t user_datagrams_dropped(const struct user_datagrams *ud);

/** user_datagrams_close() - Drop all; memory goes when the event loop has closed its handle. May be NULL */
void user_datagrams_close(struct user_datagrams *ud);
