/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/codec.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/check.h"
#include "wire/data_frame.h"
#include "wire/envelope.h"
#include "wire/fields.h"
#include "wire/scratch.h"

/*
 * Frames: the prefix, and inside either an envelope (envelope.c) or a data frame (data_frame.c). Both ways the
 * message is held against the same rules (check.c): a broken one is a bug of ours when the message goes out, and
 * an attack or a bug of the sender when it comes in.
 */

static_assert(WIRE_CONTROL_MAX > WIRE_TEXT_MAX + (64u << 10), "a text and its envelope fit");
static_assert(WIRE_CONTROL_MAX > WIRE_EVENTS_MAX * (sizeof(struct wire_event) + 64),
	      "a full batch of events fits");
static_assert(WIRE_LINK_FRAME_MAX > WIRE_FRAME_PREFIX + WIRE_DATA_HEADER_SIZE + WIRE_PAYLOAD_MAX,
	      "the control limit covers data frames");

/* Most bytes of a frame's content by kind; 0: there is no such kind */
static size_t content_max(uint8_t kind)
{
	if (kind == WIRE_KIND_CONTROL)
		return WIRE_CONTROL_MAX;
	return data_frame_type(kind) ? data_frame_max(kind) : 0;
}

static void prefix_write(uint8_t *to, size_t content, enum wire_kind kind)
{
	uint32_t length = htobe32((uint32_t)content + 1);

	memcpy(to, &length, sizeof(length));
	to[4] = (uint8_t)kind;
}

static int encode_data(const struct wire_message *m, const struct wire_type_info *info,
		       struct buf *out, struct err *err)
{
	size_t size = data_frame_size(m, info->body);
	int r;

	r = buf_reserve(out, WIRE_FRAME_PREFIX + size, err);
	if (r < 0)
		return r;
	uint8_t *to = buf_tail(out);
	prefix_write(to, size, info->kind);
	data_frame_write(m, info->body, to + WIRE_FRAME_PREFIX);
	out->len += WIRE_FRAME_PREFIX + size;
	return 0;
}

static int encode_control(const struct wire_message *m, struct buf *out, struct err *err)
{
	size_t before = out->len;
	int r;

	r = buf_reserve(out, WIRE_FRAME_PREFIX, err);
	if (r < 0)
		return r;
	out->len += WIRE_FRAME_PREFIX;
	r = envelope_encode(m, out, err);
	size_t content = out->len - before - WIRE_FRAME_PREFIX;
	if (r == 0 && content > WIRE_CONTROL_MAX)
		r = err_set(err, -EINVAL, "%s of %zu bytes: the limit is %u",
			    wire_type_name(m->type), content, WIRE_CONTROL_MAX);
	if (r < 0) {
		out->len = before;
		return r;
	}
	prefix_write(buf_bytes(out) + before, content, WIRE_KIND_CONTROL);
	return 0;
}

int wire_encode(const struct wire_message *m, struct buf *out, struct err *err)
{
	int r;

	r = wire_check(m, -EINVAL, err);
	if (r < 0)
		return r;
	const struct wire_type_info *info = wire_type_info(m->type);
	if (info->kind == WIRE_KIND_CONTROL)
		return encode_control(m, out, err);
	return encode_data(m, info, out, err);
}

int wire_frame_size(const uint8_t *bytes, size_t len, bool bulk, size_t *size, struct err *err)
{
	uint32_t length;

	if (len < WIRE_FRAME_PREFIX)
		return 0;
	memcpy(&length, bytes, sizeof(length));
	length = be32toh(length);
	uint8_t kind = bytes[4];
	size_t max = content_max(kind);
	if (!max)
		return err_set(err, -EPROTO, "frame of unknown kind %u", kind);
	if (!bulk && (kind == WIRE_KIND_CHUNK || kind == WIRE_KIND_CUT))
		return err_set(err, -EPROTO, "frame kind %u is for migration connections only",
			       kind);
	if (length == 0)
		return err_set(err, -EPROTO, "frame without content");
	if (length - 1 > max)
		return err_set(err, -EPROTO, "frame of %u bytes: the limit for kind %u is %zu",
			       length - 1, kind, max);
	*size = 4 + (size_t)length;
	return 1;
}

int wire_decode(const uint8_t *frame, size_t len, struct wire_message *m,
		struct wire_scratch *scratch, struct err *err)
{
	size_t size;
	int r;

	r = wire_frame_size(frame, len, true, &size, err);
	if (r < 0)
		return r;
	if (r == 0 || size != len)
		return err_set(err, -EPROTO, "%zu bytes are not one whole frame", len);
	wire_scratch_reset(scratch);
	const uint8_t *content = frame + WIRE_FRAME_PREFIX;
	len -= WIRE_FRAME_PREFIX;
	if (frame[4] == WIRE_KIND_CONTROL)
		r = envelope_decode(content, len, m, scratch, err);
	else
		r = data_frame_read(frame[4], content, len, m, err);
	if (r < 0)
		return r;
	return wire_check(m, -EPROTO, err);
}

void wire_hello_set(struct wire_message *m, const char *name, enum wire_role role)
{
	*m = (struct wire_message){
		.type = WIRE_HELLO,
		.hello = { .version = WIRE_VERSION, .compat = WIRE_COMPAT, .role = role },
	};
	(void)name_set(m->hello.name, name, NULL);
}

int wire_hello_check(const struct wire_message *m, const char *name, enum wire_role role,
		     struct err *err)
{
	if (m->type != WIRE_HELLO)
		return err_set(err, -EPROTO, "began with %s, not with HELLO",
			       wire_type_name(m->type));
	if (m->hello.compat > WIRE_VERSION || m->hello.version < WIRE_COMPAT)
		return err_set(err, -EPROTO,
			       "speaks versions %u to %u, we speak %u to %u: update the older side",
			       m->hello.compat, m->hello.version, WIRE_COMPAT, WIRE_VERSION);
	if (!name_equal(m->hello.name, name) || m->hello.role != role)
		return err_set(err, -EPROTO, "says it is %s %s, its certificate says %s %s",
			       wire_role_name(m->hello.role), m->hello.name, wire_role_name(role),
			       name);
	return 0;
}
