/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Certificates - the deployment's own authority, made and used by `baton pki`
 *
 * A directory holds ca.crt, ca.key, and NAME.crt, NAME.key for each certificate issued. Keys are
 * Ed25519, in files of mode 0600. Every file is written under another name, synced and renamed, so
 * a crash leaves either nothing or a whole file. ca.key is needed only to issue; keep it off the
 * edge hosts.
 */

#include <stdbool.h>

#include "wire/message.h"

struct err;

#define PKI_CA_DAYS   3650
#define PKI_CERT_DAYS 825

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
