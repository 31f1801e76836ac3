/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Decimal port without sign or space. Return: -1 if it is none */
static long parse_port(const char *text)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 5)
		return -1;
	long port = strtol(text, &end, 10);
	return *end || port > UINT16_MAX ? -1 : port;
}

static int refuse(const char *text, struct err *err)
{
	return err_set(err, -EINVAL, "address \"%.80s\": want IP:PORT or [IPv6]:PORT, in numbers",
		       text);
}

int address_parse(struct address *to, const char *text, struct err *err)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':');
	size_t host_len = colon ? (size_t)(colon - text) : 0;

	if (!colon || host_len == 0 || host_len >= sizeof(host) || parse_port(colon + 1) < 0)
		return refuse(text, err);
	in_port_t port = htons((uint16_t)parse_port(colon + 1));
	memcpy(host, text, host_len);
	host[host_len] = '\0';

	struct address a = { 0 };
	if (host[0] == '[' && host[host_len - 1] == ']') {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.any;

		host[host_len - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
			return refuse(text, err);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		a.len = sizeof(*in6);
	} else {
		struct sockaddr_in *in = (struct sockaddr_in *)&a.any;

		if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
			return refuse(text, err);
		in->sin_family = AF_INET;
		in->sin_port = port;
		a.len = sizeof(*in);
	}
	*to = a;
	return 0;
}

void address_format(char text[ADDRESS_TEXT_SIZE], const struct sockaddr *a)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;

		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		(void)snprintf(text, ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(in->sin_port));
	} else if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a;

		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		(void)snprintf(text, ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		(void)snprintf(text, ADDRESS_TEXT_SIZE, "?");
	}
}

uint16_t address_port(const struct sockaddr *a)
{
	return ntohs(a->sa_family == AF_INET6
			     ? ((const struct sockaddr_in6 *)(const void *)a)->sin6_port
			     : ((const struct sockaddr_in *)(const void *)a)->sin_port);
}

void address_set_port(struct sockaddr_storage *a, uint16_t port)
{
	if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)a)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)a)->sin_port = htons(port);
}
