/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * TLS stream - one blocking TLS connection, for a migration's own thread
 *
 * Straight-line code can connect, send messages and bulk bytes and wait for answers here, while the
 * event loop of the program continues to move requests. Every call ends within its time limit. It fails
 * with -ETIMEDOUT when no byte moved for @timeout_ms, and with -ECANCELED as soon as @cancel_fd is
 * readable. That is an eventfd or the read end of a pipe; it stays readable, so all later calls fail,
 * too. A handshake has @timeout_ms in all. HELLO checks version, name and role as on links.
 *
 * One thread at a time may use a stream. Programs must ignore SIGPIPE.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "wire/message.h"

struct err;
struct tls_context;
struct tls_stream; /* opaque */

/** enum tls_stream_e - Positive results; the direct caller must handle each one */
enum tls_stream_e {
	TLS_STREAM_E_END = 1, /* the peer closed in good order; nothing more will come */
};

/** tls_stream_unsent() - Bytes given to the kernel that have not gone out on the link yet */
size_t tls_stream_unsent(const struct tls_stream *s);

/**
 * tls_stream_connect() - Connect, verify the peer, send HELLO
 * @ret:	Set on success only; the caller owns it, see tls_stream_free()
 * @tls:	Our identity, borrowed as long as the stream
 * @address:	"IP:PORT"
 * @name:	Expected name: another certificate is refused
 * @role:	Expected role: another certificate is refused
 * @cancel_fd:	Ends every wait when readable; borrowed as long as the stream; or -1
 * @timeout_ms:	Longest wait without progress, of this and all later calls
 * @err:	Filled in on failure
 *
 * The peer's HELLO is not waited for, which saves a round trip: the first call that receives takes it, and
 * fails with -EACCES and the peer's reason if that refuses us. So does a call that sends, if it fails.
 *
 * Return: 0, or negative error code
 */
int tls_stream_connect(struct tls_stream **ret, struct tls_context *tls, const char *address,
		       const char *name, enum wire_role role, int cancel_fd, int timeout_ms,
		       struct err *err);

/**
 * tls_stream_accept() - Take over an accepted connection: verify the peer, exchange HELLO
 * @ret:	Set on success only; the caller owns it, see tls_stream_free()
 * @tls:	Our identity, borrowed as long as the stream
 * @fd:		Accepted socket; always consumed, also on failure
 * @roles:	Roles that may connect, as for listener_new()
 * @cancel_fd:	Ends every wait when readable; borrowed as long as the stream; or -1
 * @timeout_ms:	Longest wait without progress, of this and all later calls
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int tls_stream_accept(struct tls_stream **ret, struct tls_context *tls, int fd, unsigned int roles,
		      int cancel_fd, int timeout_ms, struct err *err);

/** tls_stream_free() - Close without waiting; @s may be NULL. Return: NULL, always */
struct tls_stream *tls_stream_free(struct tls_stream *s);

AUTO_DEFINE(tls_stream)

/** tls_stream_peer_name() - Name in the peer's certificate. Return: valid as long as @s */
const char *tls_stream_peer_name(const struct tls_stream *s);

/** tls_stream_peer_role() - Role in the peer's certificate */
enum wire_role tls_stream_peer_role(const struct tls_stream *s);

/**
 * tls_stream_set_timeout() - Change the longest wait without progress from now on
 *
 * A destination that restores says nothing for seconds; its source must wait longer then.
 */
void tls_stream_set_timeout(struct tls_stream *s, int timeout_ms);

/**
 * tls_stream_set_deadline() - Bound all that is sent and received from now on, however steadily it moves
 * @s:		Stream
 * @ms:		Time for it in milliseconds; 0: no bound
 *
 * A peer that takes, or gives, a few bytes within each time limit would hold the stream for ever.
 */
void tls_stream_set_deadline(struct tls_stream *s, uint64_t ms);

/**
 * struct tls_stream_budget - How much the peer may send from now on, and how long it may take
 * @name:	Of the received data, for messages; borrowed
 * @ms:		Time for all of it
 * @rate:	Bytes per second, at least: each byte received adds 1 / @rate seconds to @ms. 0: adds nothing
 * @bytes:	Most bytes, frames included; 0: no limit
 */
struct tls_stream_budget {
	const char *name;
	uint64_t ms;
	uint64_t rate;
	uint64_t bytes;
};

/**
 * tls_stream_set_budget() - Limit the bytes received from now on, and their time
 *
 * The time limit of a call does not bound a peer that sends a few bytes within each limit; the budget does.
 * Reads fail with -ETIMEDOUT or -EFBIG once the budget is spent. It holds until the next call; a stream
 * begins without one.
 */
void tls_stream_set_budget(struct tls_stream *s, const struct tls_stream_budget *budget);

/**
 * tls_stream_read() - Read some bytes
 * @s:		Stream
 * @to:		Where to
 * @len:	Room there, not zero
 * @got:	Set to the number of bytes read, above 0, if 0 is returned
 * @err:	Filled in on failure
 *
 * Return: 0, TLS_STREAM_E_END, -ECANCELED, -ETIMEDOUT, or another negative error code
 */
int tls_stream_read(struct tls_stream *s, void *to, size_t len, size_t *got, struct err *err);

/**
 * tls_stream_write_all() - Write all bytes
 *
 * Return: 0, -ECANCELED, -ETIMEDOUT, or another negative error code. After a failure the stream is
 * useless: part of the bytes may have gone out
 */
int tls_stream_write_all(struct tls_stream *s, const void *from, size_t len, struct err *err);

/**
 * tls_stream_send_message() - Send one message of any kind, bulk chunks and cuts included
 * @s:		Stream
 * @m:		Message, borrowed for the call
 * @err:	Filled in on failure
 *
 * Return: as tls_stream_write_all(), or -EINVAL if @m cannot be encoded
 */
int tls_stream_send_message(struct tls_stream *s, const struct wire_message *m, struct err *err);

/**
 * tls_stream_receive_message() - Wait for the next message
 * @s:		Stream
 * @m:		Set on success; its pointers are valid until the next call on @s
 * @err:	Filled in on failure
 *
 * Return: 0, TLS_STREAM_E_END between two messages, -EPROTO, or as tls_stream_read()
 */
int tls_stream_receive_message(struct tls_stream *s, struct wire_message *m, struct err *err);

/** tls_stream_bytes_sent() - Bytes handed to the kernel so far, encryption included */
uint64_t tls_stream_bytes_sent(const struct tls_stream *s);
