/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "wire/access.h"
#include "wire/fields.h"

#define LIST_USUAL 2

/* The sample being filled, and the number for its next field: each has one of its own */
struct filler {
	enum wire_type type;
	enum sample_size size;
	unsigned int next;
};

static void fill_fields(struct filler *to, const struct wire_field *fields, uint8_t *body);

static uint64_t number(const struct filler *s, const struct wire_field *f)
{
	uint64_t least = f->flags & FIELD_NOT_ZERO ? 1 : 0;

	if (f->form == FIELD_BOOL)
		return s->size != SAMPLE_LEAST;
	switch (s->size) {
	case SAMPLE_LEAST:
		return least;
	case SAMPLE_MOST:
		return f->max ? f->max : UINT64_MAX;
	default: /* those with few values have one in the middle */
		return f->max && f->max < 100 ? (f->max + 1) / 2 : s->next;
	}
}

/* A name or text that says which field it is of */
static void text(const struct filler *s, const struct wire_field *f, char *at, size_t size)
{
	bool empty = f->form == FIELD_TEXT ? !(f->flags & FIELD_NOT_ZERO)
					   : f->flags & FIELD_MAY_BE_EMPTY;

	if (s->size == SAMPLE_MOST) {
		memset(at, 'm', size - 1);
	} else if (s->size == SAMPLE_USUAL || !empty) {
		(void)snprintf(at, size, "%s-%u", f->name, s->next);
	}
}

/* How many elements a list has */
static size_t elements(const struct filler *s, const struct wire_field *f)
{
	switch (s->size) {
	case SAMPLE_LEAST:
		return 0;
	case SAMPLE_MOST:
		return f->form == FIELD_MESSAGES ? LIST_USUAL : f->max;
	default:
		return LIST_USUAL;
	}
}

static void names(struct filler *s, const struct wire_field *f, uint8_t *body)
{
	size_t count = elements(s, f);

	for (size_t i = 0; i < count; i++, s->next++)
		text(s, f, (char *)body + f->offset + i * NAME_SIZE, NAME_SIZE);
	wire_count_set(body, f, count);
}

static void messages(struct filler *s, const struct wire_field *f, uint8_t *body)
{
	static struct wire_event room[LIST_USUAL]; /* nothing else comes in lists */
	size_t count = elements(s, f);

	memset(room, 0, sizeof(room));
	for (size_t i = 0; i < count; i++)
		fill_fields(s, f->nested->field, (uint8_t *)&room[i]);
	wire_count_set(body, f, count);
	wire_pointer_set(body, f, room);
}

static void bytes(const struct filler *s, const struct wire_field *f, uint8_t *body)
{
	static const uint8_t some[] = "some bytes\0 of a user";

	if (s->size == SAMPLE_LEAST)
		return;
	wire_pointer_set(body, f, some);
	wire_count_set(body, f, sizeof(some));
}

static void fill(struct filler *s, const struct wire_field *f, uint8_t *body)
{
	uint8_t *at = body + f->offset;

	switch (f->form) {
	case FIELD_NAME:
	case FIELD_TEXT:
		text(s, f, (char *)at, f->size);
		break;
	case FIELD_ARRAY: /* even: a station is no group */
		memset(at, s->size == SAMPLE_LEAST ? 0 : (int)(2 * s->next), f->size);
		break;
	case FIELD_BYTES:
		bytes(s, f, body);
		break;
	case FIELD_NAMES:
		names(s, f, body);
		break;
	case FIELD_MESSAGE:
		fill_fields(s, f->nested->field, at);
		break;
	case FIELD_MESSAGES:
		messages(s, f, body);
		break;
	default:
		wire_number_set(body, f, number(s, f));
	}
	s->next++;
}

static void fill_fields(struct filler *to, const struct wire_field *fields, uint8_t *body)
{
	for (const struct wire_field *f = fields; f->name; f++) {
		if (!f->only || f->only == to->type)
			fill(to, f, body);
	}
}

bool sample_type(uint32_t type)
{
	return wire_type_info(type) != NULL;
}

struct wire_message sample_of(enum wire_type type, enum sample_size size)
{
	const struct wire_type_info *info = wire_type_info(type);
	struct filler s = { .type = type, .size = size, .next = 2 };
	struct wire_message m = { .type = type };

	m.session = size == SAMPLE_LEAST ? !info->sessionless : 0xfedcba9876543210;
	m.association = size == SAMPLE_MOST ? UINT32_MAX : 3 * (size == SAMPLE_USUAL);
	m.epoch = size == SAMPLE_MOST ? UINT32_MAX : 2 * (size == SAMPLE_USUAL);
	if (info->body)
		fill_fields(&s, info->body->field, wire_body_at(&m));
	return m;
}

struct wire_message sample_message(enum wire_type type)
{
	return sample_of(type, SAMPLE_USUAL);
}
