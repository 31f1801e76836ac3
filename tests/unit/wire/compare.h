/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whether two messages are the same; for tests of cmocka, whose header comes first
 */

#include "wire/message.h"

/* Compares the message received with the one sent; borrowed bytes by content */
static inline void assert_message_equal(const struct wire_message *a, const struct wire_message *b)
{
	struct wire_message x = *a, y = *b;

	assert_int_equal(a->type, b->type);
	switch (a->type) {
	case WIRE_REQUEST:
	case WIRE_ANSWER:
		assert_int_equal(x.data.len, y.data.len);
		if (x.data.len)
			assert_memory_equal(x.data.bytes, y.data.bytes, x.data.len);
		y.data.bytes = x.data.bytes;
		break;
	case WIRE_STREAM:
		assert_int_equal(x.stream.len, y.stream.len);
		if (x.stream.len)
			assert_memory_equal(x.stream.bytes, y.stream.bytes, x.stream.len);
		y.stream.bytes = x.stream.bytes;
		break;
	case WIRE_USER_REQUEST:
		assert_int_equal(x.user_request.len, y.user_request.len);
		if (x.user_request.len)
			assert_memory_equal(x.user_request.bytes, y.user_request.bytes,
					    x.user_request.len);
		y.user_request.bytes = x.user_request.bytes;
		break;
	case WIRE_EVENTS:
		assert_int_equal(x.events.count, y.events.count);
		if (x.events.count)
			assert_memory_equal(x.events.event, y.events.event,
					    x.events.count * sizeof(*x.events.event));
		y.events.event = x.events.event;
		break;
	case WIRE_INQUIRY:
	case WIRE_INQUIRY_ANSWER:
	case WIRE_TRANSFER_ACCEPT:
	case WIRE_TRANSFER_CHUNK:
	case WIRE_TRANSFER_RESULT:
		assert_int_equal(x.text.len, y.text.len);
		if (x.text.len)
			assert_memory_equal(x.text.bytes, y.text.bytes, x.text.len);
		y.text.bytes = x.text.bytes;
		break;
	case WIRE_TRANSFER_OFFER:
		assert_int_equal(x.offer.plan_len, y.offer.plan_len);
		if (x.offer.plan_len)
			assert_memory_equal(x.offer.plan, y.offer.plan, x.offer.plan_len);
		y.offer.plan = x.offer.plan;
		break;
	case WIRE_TRANSFER_CUT:
		assert_int_equal(x.cut.cache_len, y.cut.cache_len);
		if (x.cut.cache_len)
			assert_memory_equal(x.cut.cache, y.cut.cache, x.cut.cache_len);
		y.cut.cache = x.cut.cache;
		break;
	default:
		break;
	}
	assert_memory_equal(&x, &y, sizeof(x));
}
