/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/rules.h"

#include <assert.h>
#include <stddef.h>

#include "wire/message.h"

const char *wire_rule_user_context(const struct wire_message *m)
{
	uint64_t ack = m->user_context.ack, next = m->user_context.next;

	if (m->association == 0)
		return "association is zero";
	if (next == 0 && ack == 0)
		return NULL; /* not known: the edge server tells */
	if (next <= ack || next - ack > WIRE_WINDOW + 1)
		return "next is not within the window";
	return NULL;
}

/* A request of @len bytes, @preamble of which come first */
static const char *rule_segments(enum wire_segment segment, uint32_t preamble, size_t len)
{
	if (preamble > len)
		return "preamble is out of range";
	if ((segment == WIRE_SEGMENT_REST || segment == WIRE_SEGMENT_DROP) &&
	    len - preamble != WIRE_SEGMENT_NUMBER_SIZE)
		return "length is not that of a number";
	return NULL;
}

const char *wire_rule_user_request(const struct wire_message *m)
{
	return rule_segments(m->user_request.segment, m->user_request.preamble,
			     m->user_request.len);
}

const char *wire_rule_request(const struct wire_message *m)
{
	return rule_segments(m->data.segment, m->data.preamble, m->data.len);
}

const char *wire_rule_stream(const struct wire_message *m)
{
	if (!m->stream.connection && (!m->stream.ended || m->stream.len))
		return "connection is 0, and not the end of all";
	return NULL;
}

const char *wire_rule_station(const struct wire_message *m)
{
	/* both bodies begin with it */
	static_assert(offsetof(struct wire_station_inquiry, station) ==
			      offsetof(struct wire_station_users, station),
		      "one rule for both");
	return m->station_inquiry.station[0] & 1 ? "station is a group" : NULL;
}
