/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "samples.h"

#define ROOM 16384

static void assert_prints(const struct wire_message *m, const char *want)
{
	char text[ROOM];

	wire_print(m, text, sizeof(text));
	assert_string_equal(text, want);
}

static void test_fields(void **state)
{
	struct wire_message m = {
		.type = WIRE_USER_CONTEXT,
		.session = 0xfedcba9876543210,
		.association = 3,
		.epoch = 2,
		.user_context = { "user-1",
				  77,
				  "cache",
				  "hidden",
				  { 2, { "es1", "es2" } },
				  50,
				  52 },
	};

	(void)state;
	assert_prints(&m, "USER CONTEXT session=fedcba9876543210 association=3 epoch=2 user=user-1 "
			  "claim=77 service=cache secret=(hidden) edges={ name=es1,es2 } ack=50 "
			  "next=52");
	m = (struct wire_message){ .type = WIRE_STATION_INQUIRY,
				   .station_inquiry = { { 2, 0, 0, 0, 1, 255 }, 78 } };
	assert_prints(&m, "STATION INQUIRY station=0200000001ff inquiry=78");
	m = (struct wire_message){
		.type = WIRE_REQUEST,
		.session = 1,
		.data = { .number = 1, .bytes = (const uint8_t *)"private", .len = 7 }
	};
	assert_prints(&m, "REQUEST session=0000000000000001 number=1 ack=0 segment=0 preamble=0 "
			  "connection=0 bytes=(7 bytes)");
}

/* Fields that are left out on the wire are left out here */
static void test_left_out(void **state)
{
	struct wire_event event = { .node = "AP-1", .kind = "T1", .number = 5 };
	struct wire_message m = { .type = WIRE_EVENTS, .events = { 0, 1, &event } };

	(void)state;
	assert_prints(&m, "EVENTS dropped=0 event={ time_us=0 number=5 node=AP-1 kind=\"T1\" }");
	m = (struct wire_message){ .type = WIRE_REASSOCIATION_RESPONSE, .session = 1 };
	assert_prints(&m, "REASSOCIATION RESPONSE session=0000000000000001 status=0 reason=\"\" "
			  "edges={ name= }");
	m = (struct wire_message){ .type = WIRE_ABORT, .session = 1 };
	assert_prints(&m, "ABORT session=0000000000000001");
	m = (struct wire_message){ .type = 99 };
	assert_prints(&m, "unknown message");
}

/* Somebody else may have chosen a text, and a line of a log is one line */
static void test_text_is_printable(void **state)
{
	struct wire_message m = { .type = WIRE_REFUSAL, .refusal.reason = "a\nb\033[31m\xc3\xa4" };

	(void)state;
	assert_prints(&m, "REFUSAL status=0 number=0 reason=\"a?b?[31m??\"");
}

/* Every message fits into every room */
static void test_room(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < SAMPLE_TYPES; type++) {
		for (enum sample_size size = 0; sample_type(type) && size < SAMPLE_SIZES; size++) {
			struct wire_message m = sample_of(type, size);
			char whole[ROOM];

			wire_print(&m, whole, sizeof(whole));
			for (size_t room = 1; room <= strlen(whole) + 1; room++) {
				char *text = malloc(room); /* its end is seen by sanitizers */

				assert_non_null(text);
				wire_print(&m, text, room);
				assert_int_equal(strlen(text), room - 1);
				assert_memory_equal(text, whole, room - 1);
				free(text);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_text_is_printable),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests_name("wire/print", tests, NULL, NULL);
}
