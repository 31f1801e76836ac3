/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * TLS identity - our certificate and the authorities that we trust, as read from the files at one moment
 *
 * Only tls.c uses it, and swaps one identity for the next when the files are read again. The authorities
 * are all certificates in one file, or all certificates of authorities in one directory, and the same holds for
 * their lists of revoked certificates: while a deployment goes from one authority to the next, it has both.
 */

#include <openssl/ssl.h>
#include <stdint.h>

#include "net/tls.h"

#define TLS_AUTHORITIES_MAX 16

/**
 * struct tls_identity - Ready for connections
 * @ctx:	Certificate, key, authorities, and lists of revoked certificates
 * @name, @role: In our certificate
 * @expires:	When it ends, seconds UTC
 * @authority, @authorities: Names of the authorities, as hashes
 * @list, @lists: Names of those of them that have a list of revoked certificates, as hashes
 */
struct tls_identity {
	SSL_CTX *ctx;
	char name[NAME_SIZE];
	enum wire_role role;
	int64_t expires;
	unsigned long authority[TLS_AUTHORITIES_MAX];
	size_t authorities;
	unsigned long list[TLS_AUTHORITIES_MAX];
	size_t lists;
};

/** struct tls_refused - Owner of the certificate that a handshake refused; app data of the SSL */
struct tls_refused {
	char name[NAME_SIZE];
};

/**
 * tls_identity_load() - Read all files
 * @to:		Set on success only; see tls_identity_deinit()
 * @files:	Where they are
 * @last:	Identity of the last reading, NULL: this is the first one. An authority that had a list of revoked certificates must
 *		have one again while it is trusted: removing the list must not make those certificates valid
 * @err:	Filled in on failure: the file, the mistake, the remedy
 *
 * Return: 0, or negative error code, as tls_context_new()
 */
int tls_identity_load(struct tls_identity *to, const struct tls_files *files,
		      const struct tls_identity *last, struct err *err);

/** tls_identity_deinit() - Release it; sessions that use it keep their references */
void tls_identity_deinit(struct tls_identity *id);

/**
 * tls_identity_read() - Name and role in a certificate
 * @cert:	Certificate, verified
 * @name:	Set to its CN
 * @role:	Set to the role its OU names
 * @err:	Filled in on failure
 *
 * Return: 0, or -EACCES unless it has exactly one valid name and one valid role
 */
int tls_identity_read(X509 *cert, char name[NAME_SIZE], enum wire_role *role, struct err *err);

/** tls_identity_expires() - When a certificate ends, seconds UTC */
int64_t tls_identity_expires(const X509 *cert);

/** tls_identity_verify() - Is a certificate valid now? Return: X509_V_OK, or why not */
int tls_identity_verify(const struct tls_identity *id, X509 *cert);
