/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/check.h"

#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "wire/access.h"
#include "wire/fields.h"

/*
 * The limits of each field are in its row of the table; check_field() applies them. Rules about several
 * fields at once are written out, in wire/rules.c.
 */

/* The message being checked, and whose fault a broken rule is */
struct check {
	const char *message;
	int code;
	struct err *err;
};

static int broken(const struct check *c, const struct wire_field *f, const char *what)
{
	return err_set(c->err, c->code, "%s: %s %s", c->message, f->name, what);
}

static int check_fields(const struct check *c, const struct wire_field *fields, const void *body);

static int check_number(const struct check *c, const struct wire_field *f, const void *body)
{
	uint64_t value = wire_number_get(body, f);

	if (value == 0 && f->flags & FIELD_NOT_ZERO)
		return broken(c, f, "is zero");
	if (f->max && value > f->max)
		return broken(c, f, "is out of range");
	if (f->form == FIELD_STATUS && value == WIRE_OK_MORE)
		return broken(c, f, "is that of an answer");
	return 0;
}

static int check_name(const struct check *c, const struct wire_field *f, const char *name)
{
	bool none = f->flags & FIELD_MAY_BE_EMPTY && name[0] == '\0';

	return none || name_valid(name) ? 0 : broken(c, f, "is not a name");
}

static int check_text(const struct check *c, const struct wire_field *f, const char *text)
{
	if (strnlen(text, f->size) == f->size)
		return broken(c, f, "is not terminated");
	if (text[0] == '\0' && f->flags & FIELD_NOT_ZERO)
		return broken(c, f, "is empty");
	return 0;
}

/* Bytes have a greatest length, lists a greatest number of elements */
static int check_count(const struct check *c, const struct wire_field *f, const void *body)
{
	if (wire_count_get(body, f) <= f->max)
		return 0;
	return broken(c, f, f->form == FIELD_BYTES ? "is too long" : "has too many elements");
}

static int check_names(const struct check *c, const struct wire_field *f, const void *body)
{
	const char *names = (const char *)wire_member(body, f->offset);
	int r;

	r = check_count(c, f, body);
	for (size_t i = 0; r == 0 && i < wire_count_get(body, f); i++)
		r = check_name(c, f, names + i * NAME_SIZE);
	return r;
}

static int check_messages(const struct check *c, const struct wire_field *f, const void *body)
{
	const uint8_t *element = wire_pointer_get(body, f);
	int r;

	r = check_count(c, f, body);
	for (size_t i = 0; r == 0 && i < wire_count_get(body, f); i++)
		r = check_fields(c, f->nested->field, element + i * f->nested->size);
	return r;
}

/* All but numbers; an array may have any bytes */
static int check_field(const struct check *c, const struct wire_field *f, const void *body)
{
	const char *at = (const char *)wire_member(body, f->offset);

	switch (f->form) {
	case FIELD_NAME:
		return check_name(c, f, at);
	case FIELD_TEXT:
		return check_text(c, f, at);
	case FIELD_BYTES:
		return check_count(c, f, body);
	case FIELD_NAMES:
		return check_names(c, f, body);
	case FIELD_MESSAGE:
		return check_fields(c, f->nested->field, at);
	case FIELD_MESSAGES:
		return check_messages(c, f, body);
	default:
		return 0;
	}
}

/* Numbers go the short way: requests and answers have almost nothing else */
static int check_fields(const struct check *c, const struct wire_field *fields, const void *body)
{
	int r = 0;

	for (const struct wire_field *f = fields; r == 0 && f->name; f++)
		r = f->form <= FIELD_BOOL ? check_number(c, f, body) : check_field(c, f, body);
	return r;
}

int wire_check(const struct wire_message *m, int code, struct err *err)
{
	const struct wire_type_info *info = wire_type_info(m->type);
	int r;

	if (!info)
		return err_set(err, code, "unknown message type %u", m->type);
	if (m->session == 0 && !info->sessionless)
		return err_set(err, code, "%s: session is zero", info->name);
	if (!info->body)
		return 0;
	const struct check c = { .message = info->name, .code = code, .err = err };
	r = check_fields(&c, info->body->field, wire_body_in(m));
	if (r < 0 || !info->body->rule)
		return r;
	const char *what = info->body->rule(m);
	return what ? err_set(err, code, "%s: %s", info->name, what) : 0;
}
