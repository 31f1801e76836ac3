/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of the codec - whatever comes in, decoding ends, reads only the frame and keeps to its
 * memory limit; and what it accepts can be printed and encoded, and gives the same message again
 *
 *     fuzz_wire -max_len=65536 tests/fuzz/corpus/wire
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted must survive a round trip, byte by byte from the second encoding on */
static void check_round_trip(const struct wire_message *m)
{
	struct wire_scratch scratch = { 0 };
	struct wire_message again;
	struct err err = { 0 };
	struct buf first, second;
	char text[512];

	wire_print(m, text, sizeof(text));
	buf_init(&first, 0);
	buf_init(&second, 0);
	if (wire_encode(m, &first, &err) < 0 ||
	    wire_decode(buf_bytes(&first), first.len, &again, &scratch, &err) < 0 ||
	    wire_encode(&again, &second, &err) < 0)
		abort();
	if (first.len != second.len || memcmp(buf_bytes(&first), buf_bytes(&second), first.len))
		abort();
	buf_deinit(&first);
	buf_deinit(&second);
	wire_scratch_deinit(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire_scratch scratch; /* as on a connection, used again and again */
	struct wire_message m;
	struct err err = { 0 };
	size_t frame;

	while (wire_frame_size(data, size, true, &frame, &err) > 0 && frame <= size) {
		if (wire_decode(data, frame, &m, &scratch, &err) == 0)
			check_round_trip(&m);
		if (scratch.used > WIRE_SCRATCH_MAX)
			abort();
		data += frame;
		size -= frame;
	}
	return 0;
}
