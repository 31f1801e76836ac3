/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/data_frame.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "wire/access.h"
#include "wire/fields.h"

/*
 * The header is five words of 8 bytes, big-endian (baton.proto draws it): the session, association and epoch, and
 * three words whose meaning depends on the kind. The table gives each field its first byte and its width there; none
 * crosses the border of a word. The last row of a body are the bytes behind the header. Places that no field has are
 * 0, and kept free for later versions.
 *
 * The reader takes each field out of its word, and nothing may be left then: neither in places that no field has,
 * nor in a truth value, which has its lowest bit only.
 */

#define WORD  sizeof(uint64_t)
#define WORDS (WIRE_DATA_HEADER_SIZE / WORD)

static_assert(WIRE_PREAMBLE_MAX < 1u << 24, "three bytes of the header");

static const enum wire_type types[] = {
	[WIRE_KIND_REQUEST] = WIRE_REQUEST,      [WIRE_KIND_ANSWER] = WIRE_ANSWER,
	[WIRE_KIND_CHUNK] = WIRE_TRANSFER_CHUNK, [WIRE_KIND_CUT] = WIRE_TRANSFER_CUT,
	[WIRE_KIND_STREAM] = WIRE_STREAM,
};

enum wire_type data_frame_type(uint8_t kind)
{
	return kind < ARRAY_SIZE(types) ? types[kind] : 0;
}

size_t data_frame_max(enum wire_kind kind)
{
	return WIRE_DATA_HEADER_SIZE + (size_t)wire_type_info(types[kind])->body->payload->max;
}

size_t data_frame_size(const struct wire_message *m, const struct wire_body *body)
{
	return WIRE_DATA_HEADER_SIZE + wire_count_get(wire_body_in(m), body->payload);
}

/* The bits of a field, at the low end */
static uint64_t mask_of(const struct wire_field *f)
{
	return f->form == FIELD_BOOL ? 1 : UINT64_MAX >> 8 * (WORD - f->width);
}

/* Writes a word of the header. Returns where the next one begins */
static uint8_t *put_word(uint8_t *to, uint64_t word)
{
	word = htobe64(word);
	memcpy(to, &word, WORD);
	return to + WORD;
}

static uint64_t get_word(const uint8_t *header, size_t i)
{
	uint64_t word;

	memcpy(&word, header + i * WORD, WORD);
	return be64toh(word);
}

void data_frame_write(const struct wire_message *m, const struct wire_body *body, uint8_t *to)
{
	const struct wire_field *f = body->field;
	const void *from = wire_body_in(m);

	to = put_word(to, m->session);
	to = put_word(to, (uint64_t)m->association << 32 | m->epoch);
	for (size_t i = 2; i < WORDS; i++) {
		uint64_t word = 0;

		for (; f->number / WORD == i; f++)
			word |= wire_number_get(from, f) << f->shift;
		to = put_word(to, word);
	}
	size_t len = wire_count_get(from, f);
	if (len)
		memcpy(to, wire_pointer_get(from, f), len);
}

/* Reads the fields in word @i, @*f the first, and advances to those of the next. Returns the rest of the word */
static uint64_t read_word(const uint8_t *header, size_t i, const struct wire_field **f, void *to)
{
	uint64_t word = get_word(header, i);

	for (; (*f)->number / WORD == i; (*f)++) {
		uint64_t value = word >> (*f)->shift & mask_of(*f);

		wire_number_set(to, *f, value);
		word ^= value << (*f)->shift;
	}
	return word;
}

int data_frame_read(enum wire_kind kind, const uint8_t *content, size_t len, struct wire_message *m,
		    struct err *err)
{
	uint64_t left = 0;

	if (len < WIRE_DATA_HEADER_SIZE)
		return err_set(err, -EPROTO, "data frame of %zu bytes: its header alone has %d",
			       len, WIRE_DATA_HEADER_SIZE);
	m->type = types[kind];
	m->session = get_word(content, 0);
	m->association = (uint32_t)(get_word(content, 1) >> 32);
	m->epoch = (uint32_t)get_word(content, 1);
	const struct wire_type_info *info = wire_type_info(m->type);
	const struct wire_field *f = info->body->field;
	void *to = wire_body_at(m);
	memset(to, 0, info->body->size);
	for (size_t i = 2; i < WORDS; i++)
		left |= read_word(content, i, &f, to);
	if (left)
		return err_set(err, -EPROTO, "%s: an unused header field is not 0", info->name);
	wire_pointer_set(to, f, content + WIRE_DATA_HEADER_SIZE);
	wire_count_set(to, f, len - WIRE_DATA_HEADER_SIZE);
	return 0;
}
