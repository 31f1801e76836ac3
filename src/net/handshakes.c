/* SPDX-License-Identifier: Apache-2.0 */
#include "net/handshakes.h"

#include <netinet/in.h>
#include <string.h>

#define PLACES_MIN 4
#define NETWORK    8 /* bytes of an IPv6 address that one host shares with nobody */

static struct handshake_source source_of(const struct sockaddr *from)
{
	struct handshake_source s = { .bytes = { 0 } };

	if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		memcpy(s.bytes, &in6->sin6_addr, mapped ? sizeof(s.bytes) : NETWORK);
	} else if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;

		s.bytes[10] = 0xff;
		s.bytes[11] = 0xff;
		memcpy(s.bytes + 12, &in->sin_addr, 4);
	}
	return s;
}

void handshakes_init(struct handshakes *h, size_t places)
{
	h->places = places < PLACES_MIN       ? PLACES_MIN
		    : places > HANDSHAKES_MAX ? HANDSHAKES_MAX
					      : places;
	h->count = 0;
}

bool handshakes_begin(struct handshakes *h, const struct sockaddr *from)
{
	const struct handshake_source s = source_of(from);
	size_t same = 0;

	if (h->count >= h->places)
		return false;
	for (size_t i = 0; i < h->count; i++)
		same += memcmp(&h->source[i], &s, sizeof(s)) == 0;
	if (h->count >= h->places / 2 && same >= h->places / 4)
		return false;
	h->source[h->count++] = s;
	return true;
}

void handshakes_end(struct handshakes *h, const struct sockaddr *from)
{
	const struct handshake_source s = source_of(from);

	for (size_t i = 0; i < h->count; i++) {
		if (memcmp(&h->source[i], &s, sizeof(s)) == 0) {
			h->source[i] = h->source[--h->count];
			return;
		}
	}
}
