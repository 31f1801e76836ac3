/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "wire/access.h"
#include "wire/fields.h"

/*
 * A message as one line of text: its type, and each field that would be sent, as name=value. Secrets, proofs,
 * and the payloads of users and services are not shown.
 */

/* Where the line goes, and how much of it is there */
struct line {
	char *text;
	size_t size;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(l->text + l->len, l->size - l->len, fmt, args);
	va_end(args);
	if (n > 0)
		l->len += (size_t)n < l->size - l->len ? (size_t)n : l->size - l->len - 1;
}

static void print_fields(struct line *l, const struct wire_field *fields, enum wire_type type,
			 const void *body);

static void print_array(struct line *l, const struct wire_field *f, const uint8_t *bytes)
{
	if (f->flags & FIELD_SECRET) {
		add(l, "(hidden)");
		return;
	}
	for (size_t i = 0; i < f->size; i++)
		add(l, "%02x", bytes[i]);
}

static void print_names(struct line *l, const struct wire_field *f, const void *body)
{
	const char *names = (const char *)wire_member(body, f->offset);

	for (size_t i = 0; i < wire_count_get(body, f); i++)
		add(l, "%s%.*s", i ? "," : "", NAME_SIZE, names + i * NAME_SIZE);
}

static void print_messages(struct line *l, const struct wire_field *f, enum wire_type type,
			   const void *body)
{
	const uint8_t *element = wire_pointer_get(body, f);

	for (size_t i = 0; i < wire_count_get(body, f); i++) {
		add(l, "%s{", i ? " " : "");
		print_fields(l, f->nested->field, type, element + i * f->nested->size);
		add(l, " }");
	}
}

static void print_value(struct line *l, const struct wire_field *f, enum wire_type type,
			const void *body)
{
	const uint8_t *at = wire_member(body, f->offset);

	switch (f->form) {
	case FIELD_NAME:
	case FIELD_TEXT:
		add(l, f->form == FIELD_TEXT ? "\"%.*s\"" : "%.*s", (int)f->size, (const char *)at);
		break;
	case FIELD_ARRAY:
		print_array(l, f, at);
		break;
	case FIELD_BYTES:
		add(l, "(%zu bytes)", wire_count_get(body, f));
		break;
	case FIELD_NAMES:
		print_names(l, f, body);
		break;
	case FIELD_MESSAGE:
		add(l, "{");
		print_fields(l, f->nested->field, type, at);
		add(l, " }");
		break;
	case FIELD_MESSAGES:
		print_messages(l, f, type, body);
		break;
	default:
		add(l, "%" PRIu64, wire_number_get(body, f));
	}
}

static void print_fields(struct line *l, const struct wire_field *fields, enum wire_type type,
			 const void *body)
{
	for (const struct wire_field *f = fields; f->name; f++) {
		if (!wire_field_sent(f, type, body))
			continue;
		add(l, " %s=", f->name);
		print_value(l, f, type, body);
	}
}

void wire_print(const struct wire_message *m, char *text, size_t size)
{
	const struct wire_type_info *info = wire_type_info(m->type);
	struct line l = { .text = text, .size = size };

	add(&l, "%s", wire_type_name(m->type));
	if (m->session)
		add(&l, " session=%016" PRIx64, m->session);
	if (m->association)
		add(&l, " association=%" PRIu32, m->association);
	if (m->epoch)
		add(&l, " epoch=%" PRIu32, m->epoch);
	if (info && info->body)
		print_fields(&l, info->body->field, m->type, wire_body_in(m));
	text_printable(text);
}
