/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/envelope.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/access.h"
#include "wire/baton.pb-c.h"
#include "wire/codec.h"
#include "wire/fields.h"
#include "wire/scratch.h"

/*
 * The only file that knows protobuf-c. Both directions walk two tables side by side: ours (wire/fields.h), which
 * says where a field lies in the structures of wire/message.h, and protobuf-c's descriptors of baton.proto, which
 * say where it lies in the generated ones. Both have a row for each field, in the order of the fields' numbers;
 * the test of tables sees to that.
 * Generated structures point into the message (encoding) or the frame (decoding).
 *
 * protobuf-c has three kinds of members that matter here: plain ones; "quantifiers", which say whether an optional
 * field is there, how often a repeated one is, or which body the envelope has; and pointers to nested structures.
 */

static bool is_control(uint8_t c)
{
	return c < 0x20 || c == 0x7f;
}

/* protobuf-c's row of a body in the envelope */
static const ProtobufCFieldDescriptor *body_descriptor(uint32_t number)
{
	return protobuf_c_message_descriptor_get_field(&baton__wire__envelope__descriptor, number);
}

/* ---- encoding ---- */

/* Enough for most messages */
#define ROOM 2048

/* The message being encoded, and memory for its generated structures: the room first, then the scratch */
struct writer {
	enum wire_type type;
	size_t used;
	alignas(max_align_t) uint8_t room[ROOM];
	struct wire_scratch scratch;
};

static void *writer_alloc(struct writer *w, size_t size)
{
	size_t want = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

	if (want > ROOM - w->used)
		return wire_scratch_alloc(&w->scratch, size);
	w->used += want;
	return w->room + w->used - want;
}

static void *write_body(struct writer *w, const struct wire_body *body,
			const ProtobufCMessageDescriptor *d, const void *from);

static ProtobufCBinaryData bytes_of(const void *bytes, size_t len)
{
	/* protobuf-c only reads, but its structure serves both directions and has no const */
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)bytes };
}

/* Free text, where control characters are replaced in a copy. Returns false if there is no memory for it */
static bool write_text(struct writer *w, ProtobufCBinaryData *to, const char *text, size_t size)
{
	size_t len = strnlen(text, size);
	char *clean = NULL;

	for (size_t i = 0; i < len; i++) {
		if (!is_control((uint8_t)text[i]))
			continue;
		if (!clean) {
			clean = writer_alloc(w, len);
			if (!clean)
				return false;
			memcpy(clean, text, len);
		}
		clean[i] = '?';
	}
	*to = bytes_of(clean ? clean : text, len);
	return true;
}

static void write_number(void *to, const ProtobufCFieldDescriptor *d, uint64_t value)
{
	uint32_t small = (uint32_t)value;
	protobuf_c_boolean yes = value != 0;

	if (d->type == PROTOBUF_C_TYPE_UINT32)
		memcpy(to, &small, sizeof(small));
	else if (d->type == PROTOBUF_C_TYPE_BOOL)
		memcpy(to, &yes, sizeof(yes));
	else
		memcpy(to, &value, sizeof(value));
}

/* Returns the array of a repeated field, NULL if there is no memory for it */
static void *write_names(struct writer *w, const struct wire_field *f, const void *from)
{
	size_t count = wire_count_get(from, f);
	const uint8_t *names = wire_member(from, f->offset);

	ProtobufCBinaryData *list = writer_alloc(w, count * sizeof(*list));
	for (size_t i = 0; list && i < count; i++) {
		const char *name = (const char *)names + i * NAME_SIZE;

		list[i] = bytes_of(name, strnlen(name, NAME_SIZE));
	}
	return list;
}

static void *write_messages(struct writer *w, const struct wire_field *f,
			    const ProtobufCMessageDescriptor *d, const void *from)
{
	size_t count = wire_count_get(from, f);
	const uint8_t *elements = wire_pointer_get(from, f);

	void **list = writer_alloc(w, count * sizeof(*list));
	for (size_t i = 0; list && i < count; i++) {
		list[i] = write_body(w, f->nested, d, elements + i * f->nested->size);
		if (!list[i])
			return NULL;
	}
	return list;
}

static void quantify(uint8_t *to, const ProtobufCFieldDescriptor *d, const struct wire_field *f,
		     const void *from)
{
	protobuf_c_boolean there = 1;
	size_t count;

	if (d->label == PROTOBUF_C_LABEL_OPTIONAL)
		memcpy(to + d->quantifier_offset, &there, sizeof(there));
	if (d->label != PROTOBUF_C_LABEL_REPEATED)
		return;
	count = wire_count_get(from, f);
	memcpy(to + d->quantifier_offset, &count, sizeof(count));
}

/* The target of a pointer in a generated structure, NULL if there is no memory for it */
static void *write_nested(struct writer *w, const struct wire_field *f,
			  const ProtobufCFieldDescriptor *d, const void *from)
{
	if (f->form == FIELD_MESSAGE)
		return write_body(w, f->nested, d->descriptor, wire_member(from, f->offset));
	if (f->form == FIELD_NAMES)
		return write_names(w, f, from);
	return write_messages(w, f, d->descriptor, from);
}

/* A field that protobuf-c knows as bytes; false if there is no memory for them */
static bool write_bytes(struct writer *w, const struct wire_field *f, const void *from,
			ProtobufCBinaryData *to)
{
	const char *at = (const char *)wire_member(from, f->offset);

	if (f->form == FIELD_TEXT)
		return write_text(w, to, at, f->size);
	if (f->form == FIELD_NAME)
		*to = bytes_of(at, strnlen(at, f->size));
	else if (f->form == FIELD_ARRAY)
		*to = bytes_of(at, f->size);
	else
		*to = bytes_of(wire_pointer_get(from, f), wire_count_get(from, f));
	return true;
}

/* Fills in one member of a generated structure; false if there is no memory for its target */
static bool write_field(struct writer *w, const struct wire_field *f,
			const ProtobufCFieldDescriptor *d, const void *from, uint8_t *to)
{
	ProtobufCBinaryData bytes = { 0 };
	void *pointer;

	quantify(to, d, f, from);
	switch (f->form) {
	case FIELD_NAME:
	case FIELD_TEXT:
	case FIELD_ARRAY:
	case FIELD_BYTES:
		if (!write_bytes(w, f, from, &bytes))
			return false;
		memcpy(to + d->offset, &bytes, sizeof(bytes));
		return true;
	case FIELD_NAMES:
	case FIELD_MESSAGE:
	case FIELD_MESSAGES:
		pointer = write_nested(w, f, d, from);
		memcpy(to + d->offset, &pointer, sizeof(pointer));
		return pointer != NULL;
	default: /* numbers */
		write_number(to + d->offset, d, wire_number_get(from, f));
		return true;
	}
}

/* Returns the generated structure for @from, or NULL if there is no memory for it */
static void *write_body(struct writer *w, const struct wire_body *body,
			const ProtobufCMessageDescriptor *d, const void *from)
{
	ProtobufCMessage *to = writer_alloc(w, d->sizeof_message);

	if (!to)
		return NULL;
	protobuf_c_message_init(d, to);
	for (size_t i = 0; body->field[i].name; i++) {
		const struct wire_field *f = &body->field[i];

		assert(d->fields[i].id == f->number);
		if (wire_field_sent(f, w->type, from) &&
		    !write_field(w, f, &d->fields[i], from, (uint8_t *)to))
			return NULL;
	}
	return to;
}

/* Hangs the body into the envelope */
static bool write_envelope(struct writer *w, Baton__Wire__Envelope *e, const struct wire_body *body,
			   const void *from)
{
	const ProtobufCFieldDescriptor *d = body_descriptor(body->number);
	void *pointer = write_body(w, body, d->descriptor, from);

	memcpy((uint8_t *)e + d->offset, &pointer, sizeof(pointer));
	e->body_case = body->number;
	return pointer != NULL;
}

static int append(const Baton__Wire__Envelope *e, struct buf *out, struct err *err)
{
	size_t size = baton__wire__envelope__get_packed_size(e);
	int r;

	r = buf_reserve(out, size, err);
	if (r < 0)
		return r;
	out->len += baton__wire__envelope__pack(e, buf_tail(out));
	return 0;
}

int envelope_encode(const struct wire_message *m, struct buf *out, struct err *err)
{
	const struct wire_body *body = wire_type_info(m->type)->body;
	Baton__Wire__Envelope e = BATON__WIRE__ENVELOPE__INIT;
	struct writer w;
	int r;

	w.type = m->type;
	w.used = 0;
	w.scratch = (struct wire_scratch){ 0 };
	e.type = m->type;
	e.has_session = m->session != 0;
	e.session = m->session;
	e.has_association = m->association != 0;
	e.association = m->association;
	e.has_epoch = m->epoch != 0;
	e.epoch = m->epoch;
	if (body && !write_envelope(&w, &e, body, wire_body_in(m)))
		r = err_set(err, -ENOMEM, "encode %s", wire_type_name(m->type));
	else
		r = append(&e, out, err);
	wire_scratch_deinit(&w.scratch);
	return r;
}

/* ---- decoding ---- */

/* Where a reader is: the message, for its errors, and whether something was wrong already */
struct reader {
	const char *message;
	struct wire_scratch *scratch;
	struct err *err;
	int result;
};

static void read_body(struct reader *rd, const struct wire_body *body, const ProtobufCMessage *from,
		      void *to);

/* protobuf-c's allocator interface over the scratch */
static void *allocate(void *data, size_t size)
{
	return wire_scratch_alloc(data, size);
}

/* Released as a whole by wire_scratch_reset() */
static void release(void *data, void *p)
{
	(void)data;
	(void)p;
}

/* Records the first fault only: later ones follow from it */
static void fault(struct reader *rd, const struct wire_field *f, const char *what)
{
	if (!rd->result)
		rd->result = err_set(rd->err, -EPROTO, "%s: %s %s", rd->message, f->name, what);
}

/* Names and free text; @size is that of the member, which keeps a NUL at its end */
static void read_text(struct reader *rd, const struct wire_field *f, uint8_t *to, size_t size,
		      const ProtobufCBinaryData *from)
{
	if (from->len >= size) {
		fault(rd, f, "is too long");
		return;
	}
	for (size_t i = 0; i < from->len; i++) {
		if (is_control(from->data[i])) {
			fault(rd, f, "has a control character");
			return;
		}
	}
	memset(to, 0, size);
	if (from->len)
		memcpy(to, from->data, from->len);
}

static uint64_t read_number(const uint8_t *from, const ProtobufCFieldDescriptor *d)
{
	protobuf_c_boolean yes;
	uint32_t small;
	uint64_t value;

	if (d->type == PROTOBUF_C_TYPE_UINT32) {
		memcpy(&small, from, sizeof(small));
		return small;
	}
	if (d->type == PROTOBUF_C_TYPE_BOOL) {
		memcpy(&yes, from, sizeof(yes));
		return yes != 0;
	}
	memcpy(&value, from, sizeof(value));
	return value;
}

static void read_names(struct reader *rd, const struct wire_field *f,
		       const ProtobufCBinaryData *list, size_t count, void *to)
{
	uint8_t *names = (uint8_t *)to + f->offset;

	wire_count_set(to, f, count);
	for (size_t i = 0; i < count; i++)
		read_text(rd, f, names + i * NAME_SIZE, NAME_SIZE, &list[i]);
}

static void read_messages(struct reader *rd, const struct wire_field *f,
			  ProtobufCMessage *const *list, size_t count, void *to)
{
	size_t size = f->nested->size;

	uint8_t *elements = wire_scratch_alloc(rd->scratch, count * size);
	if (!elements) {
		fault(rd, f, "does not fit in memory");
		return;
	}
	memset(elements, 0, count * size);
	for (size_t i = 0; i < count; i++)
		read_body(rd, f->nested, list[i], elements + i * size);
	wire_count_set(to, f, count);
	wire_pointer_set(to, f, elements);
}

/* Fields that hold others: @at is the pointer in protobuf-c's structure, @count how often a repeated one is there */
static void read_nested(struct reader *rd, const struct wire_field *f, const uint8_t *at,
			size_t count, void *to)
{
	const void *from;

	memcpy(&from, at, sizeof(from));
	if (f->form == FIELD_MESSAGE)
		read_body(rd, f->nested, from, (uint8_t *)to + f->offset);
	else if (count > f->max)
		fault(rd, f, "comes too often");
	else if (f->form == FIELD_NAMES)
		read_names(rd, f, from, count, to);
	else
		read_messages(rd, f, from, count, to);
}

/* A field that protobuf-c knows as bytes */
static void read_bytes(struct reader *rd, const struct wire_field *f,
		       const ProtobufCBinaryData *from, void *to)
{
	uint8_t *at = (uint8_t *)to + f->offset;

	if (f->form == FIELD_BYTES) {
		wire_pointer_set(to, f, from->data);
		wire_count_set(to, f, from->len);
	} else if (f->form != FIELD_ARRAY) {
		read_text(rd, f, at, f->size, from);
	} else if (from->len != f->size) {
		fault(rd, f, "has the wrong size");
	} else {
		memcpy(at, from->data, f->size);
	}
}

/* Whether an optional field is there, and how often a repeated one is; 1 for required ones */
static size_t quantity(const uint8_t *from, const ProtobufCFieldDescriptor *d)
{
	protobuf_c_boolean there;
	size_t count = 1;

	if (d->label == PROTOBUF_C_LABEL_REPEATED) {
		memcpy(&count, from + d->quantifier_offset, sizeof(count));
	} else if (d->label == PROTOBUF_C_LABEL_OPTIONAL) {
		memcpy(&there, from + d->quantifier_offset, sizeof(there));
		count = there != 0;
	}
	return count;
}

static void read_field(struct reader *rd, const struct wire_field *f,
		       const ProtobufCFieldDescriptor *d, const uint8_t *from, void *to)
{
	size_t count = quantity(from, d);
	ProtobufCBinaryData bytes;

	if (d->label == PROTOBUF_C_LABEL_OPTIONAL && !count)
		return;
	switch (f->form) {
	case FIELD_NAME:
	case FIELD_TEXT:
	case FIELD_ARRAY:
	case FIELD_BYTES:
		memcpy(&bytes, from + d->offset, sizeof(bytes));
		read_bytes(rd, f, &bytes, to);
		break;
	case FIELD_NAMES:
	case FIELD_MESSAGE:
	case FIELD_MESSAGES:
		read_nested(rd, f, from + d->offset, count, to);
		break;
	default: /* numbers */
		wire_number_set(to, f, read_number(from + d->offset, d));
	}
}

static void read_body(struct reader *rd, const struct wire_body *body, const ProtobufCMessage *from,
		      void *to)
{
	const ProtobufCFieldDescriptor *d = from->descriptor->fields;

	for (const struct wire_field *f = body->field; f->name; f++, d++) {
		assert(d->id == f->number);
		read_field(rd, f, d, (const uint8_t *)from, to);
	}
}

static int read_envelope(const Baton__Wire__Envelope *e, struct wire_message *m,
			 struct wire_scratch *scratch, struct err *err)
{
	const struct wire_type_info *info = wire_type_info(e->type);
	struct reader rd = { .scratch = scratch, .err = err };
	const ProtobufCMessage *from;

	if (!info || info->kind != WIRE_KIND_CONTROL)
		return err_set(err, -EPROTO, "unknown message type %u", e->type);
	uint32_t body = info->body ? info->body->number : 0;
	if (e->body_case != body)
		return err_set(err, -EPROTO, "%s: body %d, want %u", info->name, (int)e->body_case,
			       body);
	rd.message = info->name;
	*m = (struct wire_message){
		.type = e->type,
		.session = e->session,
		.association = e->association,
		.epoch = e->epoch,
	};
	if (!body)
		return 0;
	memcpy(&from, (const uint8_t *)e + body_descriptor(body)->offset, sizeof(from));
	read_body(&rd, info->body, from, wire_body_at(m));
	return rd.result;
}

int envelope_decode(const uint8_t *bytes, size_t len, struct wire_message *m,
		    struct wire_scratch *scratch, struct err *err)
{
	ProtobufCAllocator allocator = {
		.alloc = allocate,
		.free = release,
		.allocator_data = scratch,
	};
	const Baton__Wire__Envelope *e = baton__wire__envelope__unpack(&allocator, len, bytes);

	if (!e)
		return err_set(err, -EPROTO,
			       "malformed message of %zu bytes: a field is missing, cut short, "
			       "or there are too many",
			       len);
	return read_envelope(e, m, scratch, err);
}
