/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Join channel - a connection between two hosts that share only a secret
 *
 * TLS 1.3 with the secret as pre-shared key and a fresh Diffie-Hellman exchange: each side proves that it knows the
 * secret. A third party learns nothing, even if it gets the secret later. A message is a length of 4 bytes,
 * big-endian, and text. All functions wait, until a deadline.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct join_channel;

#define JOIN_SECRET_BYTES 32
#define JOIN_MESSAGE_MAX  (1u << 20) /* bytes of a message; with a longer one the channel ends */

/**
 * join_channel_open() - Shake hands
 * @ret:	Set on success only; the caller owns it, see join_channel_free()
 * @fd:		Connected stream socket; borrowed, and must outlive the channel
 * @server:	Which side we are
 * @secret:	Known to both
 * @timeout_ms:	For the handshake; each message may take 10 seconds
 * @err:	Filled in on failure
 *
 * Return: 0, -EACCES if the other side does not know the secret, -ETIMEDOUT, or another negative error code
 */
int join_channel_open(struct join_channel **ret, int fd, bool server,
		      const uint8_t secret[JOIN_SECRET_BYTES], int timeout_ms, struct err *err);

/** join_channel_free() - End it. @c may be NULL. Return: NULL */
struct join_channel *join_channel_free(struct join_channel *c);

AUTO_DEFINE(join_channel)

/** join_channel_send() - Send a text of at most JOIN_MESSAGE_MAX bytes. Return: 0, or negative error code */
int join_channel_send(struct join_channel *c, const char *text, struct err *err);

/** join_channel_receive() - Wait for a text. Return: 0 with @ret set, to be freed; or negative error code */
int join_channel_receive(struct join_channel *c, char **ret, struct err *err);
