/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Host check - certificates and addresses, for the checklist of a host
 */

#include "wire/message.h"

struct checklist;
struct tls_files;

/**
 * host_check_certificate() - Whether our certificate, key and authorities can be used, and for how long
 * @list:	Where
 * @files:	As for tls_context_new()
 * @name, @role: Required name and role of the certificate
 */
void host_check_certificate(struct checklist *list, const struct tls_files *files, const char *name,
			    enum wire_role role);

/**
 * host_check_listen() - Whether we could listen at an address
 * @list:	Where
 * @what:	The setting that names it
 * @text:	"IP:PORT", or NULL: then the list gets no line
 */
void host_check_listen(struct checklist *list, const char *what, const char *text);
