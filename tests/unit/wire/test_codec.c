/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "compare.h"
#include "samples.h"
#include "wire/codec.h"

/* Takes a frame apart as a connection would; @frame is exactly sized so that ASan sees overreads */
static int decode(const uint8_t *frame, size_t len, struct wire_message *m,
		  struct wire_scratch *scratch, struct err *err)
{
	uint8_t *exact = malloc(len ? len : 1);
	size_t size;

	assert_non_null(exact);
	if (len)
		memcpy(exact, frame, len);
	int r = wire_frame_size(exact, len, true, &size, err);
	if (r > 0)
		r = wire_decode(exact, size < len ? size : len, m, scratch, err);
	free(exact);
	return r;
}

static void test_round_trip(void **state)
{
	struct wire_scratch scratch = { 0 };

	(void)state;
	for (uint32_t type = 0; type < SAMPLE_TYPES; type++) {
		if (!sample_type(type))
			continue;
		struct wire_message sent = sample_message(type);
		struct wire_message got = { 0 };
		struct err err = { 0 };
		struct buf b;
		size_t size = 0;

		buf_init(&b, 0);
		if (wire_encode(&sent, &b, &err) < 0)
			fail_msg("%s", err.text);
		for (size_t len = 0; len < WIRE_FRAME_PREFIX; len++)
			assert_int_equal(wire_frame_size(buf_bytes(&b), len, true, &size, &err), 0);
		assert_int_equal(wire_frame_size(buf_bytes(&b), b.len, true, &size, &err), 1);
		assert_int_equal(size, b.len);
		if (wire_decode(buf_bytes(&b), b.len, &got, &scratch, &err) < 0)
			fail_msg("%s", err.text);
		assert_message_equal(&sent, &got);
		buf_deinit(&b);
	}
	wire_scratch_deinit(&scratch);
}

/* A frame cut short anywhere, with its length made to fit, is refused and never read beyond */
static void test_truncated(void **state)
{
	struct wire_scratch scratch = { 0 };

	(void)state;
	for (uint32_t type = 0; type < SAMPLE_TYPES; type++) {
		if (!sample_type(type))
			continue;
		struct wire_message sent = sample_message(type);
		struct wire_message got = { 0 };
		struct err err = { 0 };
		struct buf b;

		/* the payload of these has no inner length, so it may end anywhere */
		bool open_end = sent.type == WIRE_REQUEST || sent.type == WIRE_TRANSFER_CHUNK ||
				sent.type == WIRE_TRANSFER_CUT || sent.type == WIRE_STREAM;
		buf_init(&b, 0);
		assert_int_equal(wire_encode(&sent, &b, &err), 0);
		for (size_t len = WIRE_FRAME_PREFIX; len < b.len; len++) {
			uint8_t *f = buf_bytes(&b);

			f[0] = 0;
			f[1] = 0;
			f[2] = (uint8_t)((len - 4) >> 8);
			f[3] = (uint8_t)(len - 4);
			int r = decode(f, len, &got, &scratch, &err);
			/* protobuf may lose whole optional fields at its end and stay valid */
			if (r == 0 && !open_end)
				assert_int_equal(got.type, sent.type);
			else if (!open_end || len < WIRE_FRAME_PREFIX + WIRE_DATA_HEADER_SIZE)
				assert_int_equal(r, -EPROTO);
		}
		buf_deinit(&b);
	}
	wire_scratch_deinit(&scratch);
}

/* Every single flipped byte is either refused or gives a message that can be encoded again */
static void test_flipped(void **state)
{
	struct wire_scratch scratch = { 0 };

	(void)state;
	for (uint32_t type = 0; type < SAMPLE_TYPES; type++) {
		if (!sample_type(type))
			continue;
		struct wire_message sent = sample_message(type);
		struct wire_message got;
		struct err err = { 0 };
		struct buf b, again;

		buf_init(&b, 0);
		buf_init(&again, 0);
		assert_int_equal(wire_encode(&sent, &b, &err), 0);
		uint8_t *f = buf_bytes(&b);
		for (size_t at = 4; at < b.len; at++) {
			for (unsigned int bit = 0; bit < 8; bit++) {
				f[at] ^= (uint8_t)(1u << bit);
				int r = wire_decode(f, b.len, &got, &scratch, &err);
				if (r == 0 && wire_encode(&got, &again, &err) < 0)
					fail_msg("%s", err.text);
				buf_consume(&again, again.len);
				f[at] ^= (uint8_t)(1u << bit);
			}
		}
		buf_deinit(&again);
		buf_deinit(&b);
	}
	wire_scratch_deinit(&scratch);
}

static void assert_refused(const void *frame, size_t len, const char *words)
{
	struct wire_scratch scratch = { 0 };
	struct wire_message m;
	struct err err = { 0 };

	assert_int_equal(decode(frame, len, &m, &scratch, &err), -EPROTO);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" lacks \"%s\"", err.text, words);
	wire_scratch_deinit(&scratch);
}

#define REFUSED(frame, words) assert_refused(frame, sizeof(frame) - 1, words)

static void test_malformed(void **state)
{
	(void)state;
	REFUSED("\0\0\0\1\0", "unknown kind 0");
	REFUSED("\0\0\0\1\x07", "unknown kind 7");
	REFUSED("\0\0\0\0\1", "without content");
	REFUSED("\xff\xff\xff\xff\1", "the limit for kind 1 is 2097152");
	REFUSED("\0\x10\0\x2a\2", "the limit for kind 2 is 1048616");
	REFUSED("\0\0\0\1\2", "header alone");
	REFUSED("\0\0\0\1\1", "malformed"); /* no type */
	REFUSED("\0\0\0\3\1\x08\x63", "unknown message type 99");
	REFUSED("\0\0\0\3\1\x08\x5a", "unknown message type 90"); /* REQUEST as control */
	REFUSED("\0\0\0\3\1\x08\x01", "HELLO: body 0");
	/* HELLO with an empty body; then one whose name holds a NUL */
	REFUSED("\0\0\0\5\1\x08\x01\x52\x00", "malformed");
	REFUSED("\0\0\0\x0f\1\x08\x01\x52\x0a\x08\x01\x10\x01\x18\x02\x22\x02"
		"A\0",
		"control character");
	REFUSED("\0\0\0\x0f\1\x08\x01\x52\x0a\x08\x01\x10\x01\x18\x02\x22\x02"
		"-A",
		"name is not a name");
	REFUSED("\0\0\0\x0e\1\x08\x01\x52\x09\x08\x01\x10\x01\x18\x09\x22\x01"
		"A",
		"role is out of range");
	REFUSED("\0\0\0\x0e\1\x08\x01\x52\x09\x08\x01\x10\x01\x18\x00\x22\x01"
		"A",
		"role is zero");
	/* FENCE without a session */
	REFUSED("\0\0\0\x08\1\x08\x35\xaa\x01\x02\x08\x05", "session is zero");
}

/* Fields that the encoder must refuse, so that a fault of ours shows at the sender */
static void test_encode_refuses(void **state)
{
	struct wire_message m;
	struct err err = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	m = sample_message(WIRE_REQUEST);
	m.session = 0;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_REQUEST);
	m.data.len = WIRE_PAYLOAD_MAX + 1;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_REQUEST);
	m.data.number = 0;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_EDGE_NOTICE);
	m.edges.count = WIRE_EDGES_MAX + 1;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_CREATE);
	m.create.mud[0] = '/';
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	assert_string_equal(err.text, "CREATE: mud is not a name");
	m = sample_message(WIRE_REFUSAL);
	m.refusal.status = 99;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_USER_CLAIM);
	m.user_claim.claim = 0;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_USER_CONTEXT);
	m.user_context.next = m.user_context.ack;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m.user_context.next = m.user_context.ack + WIRE_WINDOW + 2;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_USER_REQUEST);
	m.user_request.preamble = (uint32_t)m.user_request.len + 1;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_REQUEST);
	m.data.segment = WIRE_SEGMENTS;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m.data.segment = WIRE_SEGMENT_REST; /* with its number */
	m.data.len = m.data.preamble + WIRE_SEGMENT_NUMBER_SIZE - 1;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_TRANSFER_CHUNK);
	m.text.status = WIRE_OK_MORE;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_STATION_INQUIRY);
	m.station_inquiry.station[0] |= 1;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	assert_string_equal(err.text, "STATION INQUIRY: station is a group");
	m = sample_message(WIRE_STATION_INQUIRY);
	m.station_inquiry.inquiry = 0;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_STATION_USERS);
	m.station_users.count = WIRE_STATION_USERS_MAX + 1;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_STATION_USERS);
	m.station_users.user[1][0] = '/';
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_HELLO);
	m.type = 99;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	m = sample_message(WIRE_EVENTS);
	m.events.count = WIRE_EVENTS_MAX + 1;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	assert_int_equal(b.len, 0);
	/* a full buffer is left as it was */
	b.limit = 30;
	m = sample_message(WIRE_CREATE);
	assert_int_equal(wire_encode(&m, &b, &err), -ENOBUFS);
	assert_int_equal(b.len, 0);
	buf_deinit(&b);
}

static void test_text_is_cleaned(void **state)
{
	struct wire_message m = sample_message(WIRE_REFUSAL), got;
	struct wire_scratch scratch = { 0 };
	struct err err = { 0 };
	struct buf b;

	(void)state;
	strcpy(m.refusal.reason, "two\nlines\033[31m");
	buf_init(&b, 0);
	assert_int_equal(wire_encode(&m, &b, &err), 0);
	assert_int_equal(wire_decode(buf_bytes(&b), b.len, &got, &scratch, &err), 0);
	assert_string_equal(got.refusal.reason, "two?lines?[31m");
	buf_deinit(&b);
	wire_scratch_deinit(&scratch);
}

static void test_largest(void **state)
{
	struct wire_message m, got;
	struct wire_scratch scratch = { 0 };
	struct err err = { 0 };
	struct buf b;
	size_t size;

	(void)state;
	uint8_t *bytes = calloc(1, WIRE_CUT_MAX);
	struct wire_event *events = calloc(WIRE_EVENTS_MAX, sizeof(*events));
	assert_non_null(bytes);
	assert_non_null(events);
	buf_init(&b, 0);

	m = sample_message(WIRE_REQUEST);
	m.data.bytes = bytes;
	m.data.len = WIRE_PAYLOAD_MAX;
	assert_int_equal(wire_encode(&m, &b, &err), 0);
	assert_int_equal(wire_frame_size(buf_bytes(&b), b.len, false, &size, &err), 1);
	assert_true(size <= WIRE_LINK_FRAME_MAX);
	buf_consume(&b, b.len);

	m = sample_message(WIRE_TRANSFER_OFFER);
	m.offer.plan = bytes;
	m.offer.plan_len = WIRE_TEXT_MAX;
	assert_int_equal(wire_encode(&m, &b, &err), 0);
	assert_int_equal(wire_decode(buf_bytes(&b), b.len, &got, &scratch, &err), 0);
	assert_int_equal(got.offer.plan_len, WIRE_TEXT_MAX);
	buf_consume(&b, b.len);

	for (size_t i = 0; i < WIRE_EVENTS_MAX; i++) {
		memset(events[i].node, 'n', NAME_SIZE - 1);
		memset(events[i].kind, 'k', NAME_SIZE - 1);
		memset(events[i].detail, '\n', WIRE_REASON_SIZE - 1);
	}
	m = sample_message(WIRE_EVENTS);
	m.events.count = WIRE_EVENTS_MAX;
	m.events.event = events;
	assert_int_equal(wire_encode(&m, &b, &err), 0);
	assert_int_equal(wire_decode(buf_bytes(&b), b.len, &got, &scratch, &err), 0);
	assert_int_equal(got.events.count, WIRE_EVENTS_MAX);
	buf_consume(&b, b.len);

	m = sample_message(WIRE_TRANSFER_CUT);
	m.cut.cache = bytes;
	m.cut.cache_len = WIRE_CUT_MAX;
	assert_int_equal(wire_encode(&m, &b, &err), 0);
	assert_int_equal(wire_frame_size(buf_bytes(&b), b.len, false, &size, &err), -EPROTO);
	assert_int_equal(wire_decode(buf_bytes(&b), b.len, &got, &scratch, &err), 0);
	m.cut.cache_len++;
	assert_int_equal(wire_encode(&m, &b, &err), -EINVAL);
	buf_deinit(&b);
	free(events);
	free(bytes);
	wire_scratch_deinit(&scratch);
}

/* A small frame that claims very many fields fails at the scratch's limit */
static void test_memory_is_bounded(void **state)
{
	size_t fields = WIRE_CONTROL_MAX / 2 - 8;
	size_t len = WIRE_FRAME_PREFIX + 2 + 2 * fields;
	struct wire_scratch scratch = { 0 };
	struct wire_message m;
	struct err err = { 0 };

	(void)state;
	uint8_t *f = calloc(1, len);
	assert_non_null(f);
	uint32_t length = (uint32_t)(len - 4);
	f[0] = (uint8_t)(length >> 24);
	f[1] = (uint8_t)(length >> 16);
	f[2] = (uint8_t)(length >> 8);
	f[3] = (uint8_t)length;
	f[4] = WIRE_KIND_CONTROL;
	for (size_t i = 0; i < fields + 1; i++) {
		f[5 + 2 * i] = 0x08; /* type = 1, again and again */
		f[6 + 2 * i] = 0x01;
	}
	assert_int_equal(wire_decode(f, len, &m, &scratch, &err), -EPROTO);
	assert_true(scratch.used <= WIRE_SCRATCH_MAX);
	free(f);
	wire_scratch_deinit(&scratch);
}

static void test_hello(void **state)
{
	struct wire_message m;
	struct err err = { 0 };

	(void)state;
	wire_hello_set(&m, "AP-1", WIRE_ROLE_AP);
	assert_int_equal(wire_hello_check(&m, "AP-1", WIRE_ROLE_AP, &err), 0);
	assert_int_equal(wire_hello_check(&m, "AP-2", WIRE_ROLE_AP, &err), -EPROTO);
	assert_int_equal(wire_hello_check(&m, "AP-1", WIRE_ROLE_ES, &err), -EPROTO);
	m.hello.version = WIRE_VERSION + 5; /* newer, but still talks to us */
	assert_int_equal(wire_hello_check(&m, "AP-1", WIRE_ROLE_AP, &err), 0);
	m.hello.compat = WIRE_VERSION + 1;
	assert_int_equal(wire_hello_check(&m, "AP-1", WIRE_ROLE_AP, &err), -EPROTO);
	m.hello.compat = 0;
	m.hello.version = WIRE_COMPAT - 1;
	assert_int_equal(wire_hello_check(&m, "AP-1", WIRE_ROLE_AP, &err), -EPROTO);
	m.type = WIRE_STATUS;
	assert_int_equal(wire_hello_check(&m, "AP-1", WIRE_ROLE_AP, &err), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),        cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_encode_refuses), cmocka_unit_test(test_text_is_cleaned),
		cmocka_unit_test(test_largest),        cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_hello),
	};

	return cmocka_run_group_tests_name("wire/codec", tests, NULL, NULL);
}
