/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Addresses in a configuration - in numbers, or, for other programs, with a host's name
 *
 * A name is looked up once, while the configuration is read: a name service that answers late or wrongly must not
 * stall an event loop. Whom a link leads to is decided by its certificate, not by the name service.
 */

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "conf/conf_reader.h"

#define HOST_MAX 254 /* bytes of a host's name, the closing NUL included */

/** port_of() - Port behind the last colon. Return: NULL if there is none */
static const char *port_of(const char *text)
{
	const char *colon = strrchr(text, ':');
	char *end;

	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
		return NULL;
	long port = strtol(colon + 1, &end, 10);
	return *end || port > UINT16_MAX ? NULL : colon + 1;
}

/** is_numeric() - Numbers are checked again, in full, where the address is used */
static bool is_numeric(const char *text)
{
	return strspn(text, "0123456789abcdefABCDEF.:[]") == strlen(text) &&
	       (strchr(text, '[') || strspn(text, "0123456789.:") == strlen(text));
}

/** is_named() - Whether it may be a host's name and a port */
static bool is_named(const char *text)
{
	size_t len = strcspn(text, ":");

	return len > 0 && len < HOST_MAX && text + len + 1 == port_of(text) && *text != '-' &&
	       *text != '.' &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-") ==
		       len;
}

int conf_want_address(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *text = conf_last_string(opt);

	if (port_of(text) && is_numeric(text))
		return 0;
	return conf_mistake(cfg, "%s = \"%.80s\": want \"IP:PORT\", in numbers", opt->name, text);
}

int conf_want_other_address(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *text = conf_last_string(opt);

	if (port_of(text) && (is_numeric(text) || is_named(text)))
		return 0;
	return conf_mistake(cfg, "%s = \"%.80s\": want \"IP:PORT\" or \"NAME:PORT\"", opt->name,
			    text);
}

/** look_up() - Find a host by its name. Return: 0 with @to set, or negative error code */
static int look_up(char **to, const char *text, const char *path)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	const char *port = port_of(text);
	char host[HOST_MAX];
	char number[64] = "";

	(void)snprintf(host, sizeof(host), "%.*s", (int)(port - text - 1), text);
	int r = getaddrinfo(host, port, &hints, &found);
	if (r == 0)
		r = getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof(number), NULL, 0,
				NI_NUMERICHOST);
	bool v6 = r == 0 && found->ai_family == AF_INET6;
	if (found)
		freeaddrinfo(found);
	if (r != 0) {
		(void)conf_wrong(
			path,
			"\"%s\": host %s is not found: %s; give its address in numbers, or see "
			"to /etc/hosts or the name service",
			text, host, gai_strerror(r));
		return -EHOSTUNREACH;
	}
	return asprintf(to, "%s%s%s:%s", v6 ? "[" : "", number, v6 ? "]" : "", port) < 0 ? -ENOMEM
											 : 0;
}

int conf_copy_address(char **to, const char *text, const char *path)
{
	return !text || is_numeric(text) ? conf_copy_string(to, text) : look_up(to, text, path);
}
