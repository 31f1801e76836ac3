/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Requests for certificates - a key stays on the host that uses it
 *
 * The host makes its key and a request (PKCS #10, PEM) for it; the authority's host signs. Who asks and for which
 * name and role are not taken from the request: the operator gives them.
 */

#include "wire/message.h"

struct err;

#define PKI_PEM_MAX 8192 /* bytes of a request, certificate or list, as text */

/**
 * pki_request_make() - Make a key and a request for it
 * @key_path:	Where the key goes, mode 0600; one that is there is replaced
 * @request:	Set on success only to the request, to be freed
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int pki_request_make(const char *key_path, char **request, struct err *err);

/**
 * pki_request_sign() - Make a certificate for a request, also as NAME.crt in the authority's directory
 * @dir:	Directory of the authority
 * @name, @role, @days: As for pki_issue(); a certificate that @name has there is replaced, and stays valid
 * @request:	From pki_request_make(), perhaps made by an attacker
 * @certificate:	Set on success only to the certificate, to be freed
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL if it is no request whose sender has the key, or no Ed25519 key, or another negative error code
 */
int pki_request_sign(const char *dir, const char *name, enum wire_role role, int days,
		     const char *request, char **certificate, struct err *err);
