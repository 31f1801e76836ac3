/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * TLS - which nodes may talk to each other
 *
 * Only TLS 1.3 is used, and both sides must show a certificate of the deployment's own authority (see
 * pki.h). A peer's identity comes only from its verified certificate: the common name (CN) is its
 * name, the organisational unit (OU) its role. Nothing it says later can widen that.
 *
 * A session works on memory (feed received bytes, drain those to send: for event loops) or
 * directly on a socket (for migration threads).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"
#include "base/text.h"
#include "wire/message.h"

struct buf;
struct err;
struct tls_context; /* opaque: our certificate, key and authority */
struct tls_session; /* opaque: one connection */

/** enum tls_e - Positive results; the direct caller must handle each one */
enum tls_e {
	TLS_E_WANT_READ = 1, /* nothing can be done before more bytes come in */
	TLS_E_WANT_WRITE,    /* nothing can be done before bytes go out (sockets only) */
	TLS_E_CLOSED,        /* the peer ended the connection in good order */
};

/**
 * struct tls_files - Where our identity is; paths of PEM files
 * @ca:		Certificates of the authorities that we trust, one or more; or a directory, in which
 *		the *.crt files of authorities count
 * @cert:	Our certificate
 * @key:	Our private key
 * @crl:	Lists of revoked certificates, one for each authority that has one; NULL: ca.crl beside
 *		@ca, if it is there
 */
struct tls_files {
	const char *ca;
	const char *cert;
	const char *key;
	const char *crl;
};

/**
 * tls_context_new() - Load our identity
 * @ret:	Set on success only; the caller owns it, see tls_context_free(). It must live as
 *		long as the listeners, peers and sessions made with it
 * @files:	Where it is; copied
 * @err:	Filled in on failure: the file, the mistake, the remedy
 *
 * The context may be used by several threads at a time.
 *
 * Return: 0, or negative error code (-ENOENT file missing, -EACCES unreadable, -EINVAL not usable)
 */
int tls_context_new(struct tls_context **ret, const struct tls_files *files, struct err *err);

/**
 * tls_context_reload() - Read all files again; not by two threads at a time
 * @c:		Context
 * @err:	Filled in on failure
 *
 * New sessions use the new files; tls_session_valid() checks existing sessions. After a failure
 * everything stays as it was. A list of revoked certificates that has gone missing is a failure. Name and role in
 * the certificate cannot change.
 *
 * Return: 0, or negative error code, as tls_context_new()
 */
int tls_context_reload(struct tls_context *c, struct err *err);

/** tls_context_free() - Release a context; @c may be NULL. Return: NULL, always */
struct tls_context *tls_context_free(struct tls_context *c);

AUTO_DEFINE(tls_context)

/** tls_context_name() - Name in our own certificate. Return: valid as long as @c */
const char *tls_context_name(const struct tls_context *c);

/** tls_context_expires() - When our own certificate ends, seconds UTC */
int64_t tls_context_expires(struct tls_context *c);

/** tls_context_role() - Role in our own certificate. Return: never WIRE_ROLE_NONE */
enum wire_role tls_context_role(const struct tls_context *c);

/**
 * tls_session_new() - Begin one connection
 * @ret:	Set on success only; the caller owns it, see tls_session_free()
 * @c:		Our identity, borrowed until the session is freed
 * @server:	Whether we are the accepting side
 * @fd:		Connected non-blocking socket, borrowed until the session is freed; or -1: work on
 *		memory, see tls_session_feed() and tls_session_drain()
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int tls_session_new(struct tls_session **ret, struct tls_context *c, bool server, int fd,
		    struct err *err);

/** tls_session_free() - Release a session; @s may be NULL. Return: NULL, always */
struct tls_session *tls_session_free(struct tls_session *s);

AUTO_DEFINE(tls_session)

/**
 * tls_session_handshake() - Continue the handshake
 *
 * Return: 0 when it is complete and the peer's certificate is good, TLS_E_WANT_READ,
 * TLS_E_WANT_WRITE, or negative error code (-EPROTO, -EACCES: a certificate was refused). With
 * memory, drain afterwards in every case: an alert that says why may have to go out.
 */
int tls_session_handshake(struct tls_session *s, struct err *err);

/**
 * tls_session_peer() - Who is at the other end; only after the handshake
 * @s:		Session
 * @name:	Set to the CN of the peer's verified certificate
 * @role:	Set to the role its OU names
 * @err:	Filled in on failure
 *
 * Return: 0, or -EACCES if the certificate names no valid name or role
 */
int tls_session_peer(struct tls_session *s, char name[NAME_SIZE], enum wire_role *role,
		     struct err *err);

/**
 * tls_session_valid() - May the peer still be there? Only after tls_session_peer()
 * @s:		Session
 * @err:	Filled in if not: the certificate's owner, the mistake, the remedy
 *
 * Costs a comparison, unless files were read again since the last call.
 *
 * Return: 0, or -EACCES if the peer's certificate has ended or was revoked, or if its authority is
 * no longer one of ours
 */
int tls_session_valid(struct tls_session *s, struct err *err);

/**
 * tls_session_read() - Take decrypted bytes
 * @s:		Session
 * @to:		Where to
 * @len:	Room there, not zero
 * @got:	Set to the number of bytes taken, above 0, if 0 is returned
 * @err:	Filled in on failure
 *
 * Return: 0, TLS_E_WANT_READ, TLS_E_WANT_WRITE, TLS_E_CLOSED, or negative error code
 */
int tls_session_read(struct tls_session *s, void *to, size_t len, size_t *got, struct err *err);

/**
 * tls_session_write() - Encrypt bytes
 * @s:		Session
 * @from:	Bytes; after TLS_E_WANT_READ or TLS_E_WANT_WRITE call again with the same bytes
 * @len:	Number of bytes, not zero
 * @put:	Set to the number of bytes taken, above 0, if 0 is returned (memory: always all)
 * @err:	Filled in on failure
 *
 * Return: 0, TLS_E_WANT_READ, TLS_E_WANT_WRITE, TLS_E_CLOSED, or negative error code
 */
int tls_session_write(struct tls_session *s, const void *from, size_t len, size_t *put,
		      struct err *err);

/** tls_session_feed() - Memory only: hand in bytes from the network. Return: 0, or -ENOMEM */
int tls_session_feed(struct tls_session *s, const void *bytes, size_t len, struct err *err);

/** tls_session_drain() - Memory only: move bytes for the network to @to. Return: 0, or negative */
int tls_session_drain(struct tls_session *s, struct buf *to, struct err *err);

/** tls_session_close() - Tell the peer that we end; drain (memory) afterwards */
void tls_session_close(struct tls_session *s);

/** tls_session_sent() - Bytes handed to the network so far, encryption included */
uint64_t tls_session_sent(const struct tls_session *s);
