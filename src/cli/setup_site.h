/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Site - the hosts of a deployment, and the configuration of one of them
 *
 *     /etc/baton/hosts          a line "NAME ADDRESS" for each host, the first one first
 *     /etc/baton/es.conf ...    from the examples, once; afterwards only the lines between the marks change
 *     /etc/baton/pki/           certificates and keys of this host
 *     /etc/baton/authority/     at the first host: the deployment's authority (net/pki.h), and no key but its own
 *
 * A host NAME has the edge server EdgeServer-NAME and the access point AP-NAME. The first host has the event log
 * repository and the operator's configuration, too.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct err;

#define SITE_HOSTS_MAX 64
#define SITE_HOST_SIZE                                                                             \
	(NAME_SIZE - 11)              /* of a host's name, so that "EdgeServer-NAME" is one, too */
#define SITE_ADDRESS_MAX 46           /* bytes of "2001:db8::1", the closing NUL included */
#define SITE_FILE_MAX    (512u << 10) /* bytes of a file that is read, a list of revocations too */

/** struct site_host - One host; @address: numeric, without a port */
struct site_host {
	char name[SITE_HOST_SIZE];
	char address[SITE_ADDRESS_MAX];
};

/**
 * struct site - Hosts of the deployment, as this host knows them
 * @etc:	Directory of the configuration
 * @hosts, @host: All hosts, the first one first
 */
struct site {
	const char *etc;
	size_t hosts;
	struct site_host host[SITE_HOSTS_MAX];
};

/**
 * site_load() - Read the hosts
 * @site:	Filled in
 * @etc:	Directory, borrowed; it may be missing, or have no file "hosts": then there are none
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a bad line, or another negative error code
 */
int site_load(struct site *site, const char *etc, struct err *err);

/**
 * site_add() - Add a host, or do nothing if it is there with this address
 * @site:	To be changed
 * @name:	1 to 52 characters of a name
 * @address:	Numeric
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL, -EEXIST if the name or the address is another host's, or -ENOSPC
 */
int site_add(struct site *site, const char *name, const char *address, struct err *err);

/** site_find() - A host by its name. Return: NULL if there is none */
const struct site_host *site_find(const struct site *site, const char *name);

/** site_file() - Write the path of a file of the site to @path. Return: 0, or -ENAMETOOLONG */
int site_file(char path[PATH_MAX], const struct site *site, const char *name, struct err *err);

/** site_read() - Read a file of the site. Return: 0 with @ret set, to be freed; -ENOENT, -EFBIG, or negative error code */
int site_read(char **ret, const struct site *site, const char *name, struct err *err);

/** site_put() - Write a file of the site, whole or not at all, mode 0600 if @secret, else 0644. Return: 0 or negative */
int site_put(const struct site *site, const char *name, const char *text, bool secret,
	     struct err *err);

/**
 * site_write() - Write the hosts, and the configuration of one of them
 * @site:	All hosts
 * @self:	Name of this one
 * @err:	Filled in on failure: also the lines to write by hand into a file without the marks
 *
 * Return: 0, or negative error code
 */
int site_write(const struct site *site, const char *self, struct err *err);
