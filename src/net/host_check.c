/* SPDX-License-Identifier: Apache-2.0 */
#include "net/host_check.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/checklist.h"
#include "base/err.h"
#include "net/address.h"
#include "net/tls.h"
#include "net/tls_watch.h"

void host_check_certificate(struct checklist *list, const struct tls_files *files, const char *name,
			    enum wire_role role)
{
	struct tls_context *tls = NULL;
	struct err err = { 0 };

	if (tls_context_new(&tls, files, &err) < 0) {
		checklist_lacks(list, "certificate",
				"baton pki issue makes one, baton pki renew a new one", "%s",
				err.text);
		return;
	}
	long long days = ((long long)tls_context_expires(tls) - (long long)time(NULL)) / 86400;
	if (strcmp(tls_context_name(tls), name) != 0 || tls_context_role(tls) != role)
		checklist_lacks(list, "certificate",
				"baton pki issue makes one for a name and a role",
				"%s is for %s, role %s, and not for %s, role %s", files->cert,
				tls_context_name(tls), wire_role_name(tls_context_role(tls)), name,
				wire_role_name(role));
	else if (days < TLS_WATCH_DAYS)
		checklist_note(list, "certificate", "baton pki renew makes a new one",
			       "%s ends in %lld days", files->cert, days);
	else
		checklist_ok(list, "certificate", "%s, role %s, %lld days left", name,
			     wire_role_name(role), days);
	tls_context_free(tls);
}

void host_check_listen(struct checklist *list, const char *what, const char *text)
{
	struct address address;
	struct err err = { 0 };
	int yes = 1;

	if (!text)
		return;
	if (address_parse(&address, text, &err) < 0) {
		checklist_lacks(list, what, "give an address and a port", "%s", err.text);
		return;
	}
	auto_close int fd = socket(address.any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* As our listeners do it, so that connections that are ending are not in the way. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
		checklist_lacks(list, what, "see the error", "socket: %s", strerror(errno));
	else if (bind(fd, (struct sockaddr *)&address.any, address.len) == 0 && listen(fd, 1) == 0)
		checklist_ok(list, what, "%s is free", text);
	else if (errno == EADDRINUSE)
		checklist_note(list, what, "good if it is this program that runs; else: ss -ltnp",
			       "somebody listens at %s", text);
	else
		checklist_lacks(list, what,
				errno == EADDRNOTAVAIL
					? "give an address that this host has: ip address"
					: "give an address at which it may listen",
				"%s: %s", text, strerror(errno));
}
