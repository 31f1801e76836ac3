/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Access - members of the structures in wire/message.h, by their row in the table of fields
 *
 * Each is copied: an enumeration is no uint32_t to the compiler, although it is as large. Inline, because every
 * request goes through here.
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire/fields.h"

static_assert(sizeof(enum wire_status) == sizeof(uint32_t) &&
		      sizeof(enum wire_role) == sizeof(uint32_t) &&
		      sizeof(enum wire_segment) == sizeof(uint32_t) &&
		      sizeof(enum wire_es_state) == sizeof(uint32_t) &&
		      sizeof(enum wire_migration) == sizeof(uint32_t),
	      "enumerations are FIELD_UINT32");

/** wire_body_at() - The body in a message: the structure from which the table counts its offsets */
static inline void *wire_body_at(struct wire_message *m)
{
	return (uint8_t *)m + offsetof(struct wire_message, hello); /* a union: all begin there */
}

/** wire_body_in() - As wire_body_at(), of a message that is only read */
static inline const void *wire_body_in(const struct wire_message *m)
{
	return (const uint8_t *)m + offsetof(struct wire_message, hello);
}

/** wire_member() - A member of the structure @body */
static inline const uint8_t *wire_member(const void *body, size_t offset)
{
	return (const uint8_t *)body + offset;
}

/** wire_number_get() - The number in field @f of the structure @body (FIELD_UINT32 to FIELD_BOOL) */
static inline uint64_t wire_number_get(const void *body, const struct wire_field *f)
{
	const uint8_t *from = wire_member(body, f->offset);
	uint64_t large;
	uint32_t small;
	bool yes;

	if (f->size == sizeof(large)) {
		memcpy(&large, from, sizeof(large));
		return large;
	}
	if (f->size == sizeof(small)) {
		memcpy(&small, from, sizeof(small));
		return small;
	}
	memcpy(&yes, from, sizeof(yes));
	return yes;
}

/** wire_number_set() - Reverse of wire_number_get(); higher bits that the member has no room for are lost */
static inline void wire_number_set(void *body, const struct wire_field *f, uint64_t value)
{
	uint8_t *to = (uint8_t *)body + f->offset;
	uint32_t small = (uint32_t)value;
	bool yes = value != 0;

	if (f->size == sizeof(value))
		memcpy(to, &value, sizeof(value));
	else if (f->size == sizeof(small))
		memcpy(to, &small, sizeof(small));
	else
		memcpy(to, &yes, sizeof(yes));
}

/** wire_count_get() - How many bytes or elements @f has (FIELD_BYTES, FIELD_NAMES, FIELD_MESSAGES) */
static inline size_t wire_count_get(const void *body, const struct wire_field *f)
{
	size_t bytes;
	uint32_t elements;

	if (f->form == FIELD_BYTES) {
		memcpy(&bytes, wire_member(body, f->count), sizeof(bytes));
		return bytes;
	}
	memcpy(&elements, wire_member(body, f->count), sizeof(elements));
	return elements;
}

/** wire_count_set() - Reverse of wire_count_get() */
static inline void wire_count_set(void *body, const struct wire_field *f, size_t count)
{
	uint8_t *to = (uint8_t *)body + f->count;
	uint32_t elements = (uint32_t)count;

	if (f->form == FIELD_BYTES)
		memcpy(to, &count, sizeof(count));
	else
		memcpy(to, &elements, sizeof(elements));
}

/** wire_pointer_get() - The member of a FIELD_BYTES or FIELD_MESSAGES; may be NULL if there are none */
static inline const void *wire_pointer_get(const void *body, const struct wire_field *f)
{
	const void *p;

	memcpy(&p, wire_member(body, f->offset), sizeof(p));
	return p;
}

/** wire_pointer_set() - Reverse of wire_pointer_get() */
static inline void wire_pointer_set(void *body, const struct wire_field *f, const void *to)
{
	memcpy((uint8_t *)body + f->offset, &to, sizeof(to));
}

/** wire_field_sent() - Whether @f is in a message of @type whose body is @body, or is left out */
static inline bool wire_field_sent(const struct wire_field *f, enum wire_type type,
				   const void *body)
{
	const uint8_t *at = wire_member(body, f->offset);

	if (f->only)
		return f->only == type;
	if (!(f->flags & FIELD_OPTIONAL))
		return true;
	if (f->form == FIELD_TEXT)
		return at[0] != '\0';
	if (f->form != FIELD_ARRAY)
		return wire_number_get(body, f) != 0;
	for (size_t i = 0; i < f->size; i++) {
		if (at[i])
			return true;
	}
	return false;
}
