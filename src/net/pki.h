/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Certificates - the deployment's own authority, made and used by `baton pki`
 *
 * A directory holds ca.crt, ca.key, ca.crl once something was revoked, "issued" (see pki_files.h), and
 * NAME.crt and NAME.key for each certificate. Keys are Ed25519, in files of mode 0600. Every file is
 * written under another name, synced and renamed, so a crash leaves nothing or a whole file. Only
 * issuing and revoking need ca.key; keep it off the edge hosts.
 */

#include <stdbool.h>
#include <stddef.h>

#include "wire/message.h"

struct err;

#define PKI_CA_DAYS   3650
#define PKI_CERT_DAYS 365

/**
 * pki_init() - Make the authority
 * @dir:	Directory, created (0700) if it is missing
 * @force:	Replace an authority that is already there: all its certificates become useless
 * @err:	Filled in on failure
 *
 * Return: 0, -EEXIST if there is one and @force is not set, or another negative error code
 */
int pki_init(const char *dir, bool force, struct err *err);

/**
 * pki_issue() - Make a key and a certificate that lets its owner be @role under @name
 * @dir:	Directory of the authority
 * @name:	Name of the node; see name_set()
 * @role:	Not WIRE_ROLE_NONE
 * @days:	Validity; 0 means PKI_CERT_DAYS; negative makes one that has expired (for tests)
 * @force:	Replace the files if they are there
 * @err:	Filled in on failure
 *
 * Return: 0, -EEXIST if there are some and @force is not set, or another negative error code
 */
int pki_issue(const char *dir, const char *name, enum wire_role role, int days, bool force,
	      struct err *err);

/**
 * pki_renew() - Replace key and certificate of a node by new ones for the same name and role
 * @dir:	Directory of the authority
 * @name:	Name of the node, which has a certificate there
 * @days:	As for pki_issue()
 * @role:	Set on success to its role
 * @err:	Filled in on failure
 *
 * The old certificate is valid until it ends, so there is time to copy the files.
 *
 * Return: 0, -ENOENT, or another negative error code
 */
int pki_renew(const char *dir, const char *name, int days, enum wire_role *role, struct err *err);

/**
 * pki_revoke() - Add all certificates that were issued to a name to the list ca.crl
 * @dir:	Directory of the authority
 * @name:	Name of the node
 * @revoked:	Set on success to how many were added
 * @err:	Filled in on failure
 *
 * Certificates issued to the name afterwards are valid. Programs read the list at their start and at
 * SIGHUP (net/tls_watch.h).
 *
 * Return: 0, -ENOENT if there is nothing to revoke, or another negative error code
 */
int pki_revoke(const char *dir, const char *name, size_t *revoked, struct err *err);
