/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/codec.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/envelope.h"

#define PART_SHIFT 24

/* Header of requests, answers, chunks and cuts, as it lies on the wire; see baton.proto */
struct data_header {
	uint64_t session;
	uint32_t association;
	uint32_t epoch;
	uint64_t number;
	uint64_t ack_or_digest;
	uint32_t status_or_preamble; /* of requests: the part in the first byte */
	uint32_t connection;
} __attribute__((packed));

static_assert(sizeof(struct data_header) == WIRE_DATA_HEADER_SIZE, "documented in baton.proto");
static_assert(WIRE_PREAMBLE_MAX < 1u << PART_SHIFT, "the part has its own byte");
static_assert(WIRE_CONTROL_MAX > WIRE_TEXT_MAX + (64u << 10), "a text and its envelope fit");
static_assert(WIRE_CONTROL_MAX > WIRE_EVENTS_MAX * (sizeof(struct wire_event) + 64),
	      "a full batch of events fits");
static_assert(WIRE_LINK_FRAME_MAX > WIRE_FRAME_PREFIX + WIRE_DATA_HEADER_SIZE + WIRE_PAYLOAD_MAX,
	      "the control limit covers data frames");

/* Most bytes of a frame's content by kind; 0 for what is no kind */
static size_t content_max(uint8_t kind)
{
	switch (kind) {
	case WIRE_KIND_CONTROL:
		return WIRE_CONTROL_MAX;
	case WIRE_KIND_REQUEST:
	case WIRE_KIND_ANSWER:
	case WIRE_KIND_CHUNK:
	case WIRE_KIND_STREAM:
		return WIRE_DATA_HEADER_SIZE + WIRE_PAYLOAD_MAX;
	case WIRE_KIND_CUT:
		return WIRE_DATA_HEADER_SIZE + (size_t)WIRE_CUT_MAX;
	default:
		return 0;
	}
}

static enum wire_kind kind_of(enum wire_type type)
{
	switch (type) {
	case WIRE_REQUEST:
		return WIRE_KIND_REQUEST;
	case WIRE_ANSWER:
		return WIRE_KIND_ANSWER;
	case WIRE_STREAM:
		return WIRE_KIND_STREAM;
	case WIRE_TRANSFER_CHUNK:
		return WIRE_KIND_CHUNK;
	case WIRE_TRANSFER_CUT:
		return WIRE_KIND_CUT;
	default:
		return WIRE_KIND_CONTROL;
	}
}

/* ---- rules that hold for a message whichever way it goes ---- */

/* The message being checked, and whether a rule was broken already */
struct check {
	const char *message;
	int code;
	struct err *err;
	int result;
};

static void broken(struct check *c, const char *field, const char *what)
{
	if (!c->result)
		c->result = err_set(c->err, c->code, "%s: %s %s", c->message, field, what);
}

static void want_name(struct check *c, const char *field, const char name[NAME_SIZE])
{
	if (!name_valid(name))
		broken(c, field, "is not a name");
}

static void want_name_or_none(struct check *c, const char *field, const char name[NAME_SIZE])
{
	if (name[0] != '\0')
		want_name(c, field, name);
}

static void want_text(struct check *c, const char *field, const char *text, size_t size)
{
	if (strnlen(text, size) == size)
		broken(c, field, "is not terminated");
}

static void want_at_most(struct check *c, const char *field, uint64_t value, uint64_t max)
{
	if (value > max)
		broken(c, field, "is out of range");
}

static void want_number(struct check *c, const char *field, uint64_t value)
{
	if (value == 0)
		broken(c, field, "is zero");
}

static void want_status(struct check *c, enum wire_status status)
{
	want_at_most(c, "status", status, WIRE_E_LASTING);
	if (status == WIRE_OK_MORE)
		broken(c, "status", "is that of an answer");
}

static void want_edges(struct check *c, const struct wire_edges *e)
{
	want_at_most(c, "number of edges", e->count, WIRE_EDGES_MAX);
	for (uint32_t i = 0; !c->result && i < e->count; i++)
		want_name(c, "edge", e->name[i]);
}

static void want_events(struct check *c, const struct wire_events *e)
{
	want_at_most(c, "number of events", e->count, WIRE_EVENTS_MAX);
	for (uint32_t i = 0; !c->result && i < e->count; i++) {
		want_name(c, "node", e->event[i].node);
		want_text(c, "kind", e->event[i].kind, sizeof(e->event[i].kind));
		if (e->event[i].kind[0] == '\0')
			broken(c, "kind", "is empty");
		want_text(c, "detail", e->event[i].detail, sizeof(e->event[i].detail));
	}
}

static void want_es_status(struct check *c, const struct wire_es_status *s)
{
	want_at_most(c, "state", s->state, WIRE_ES_LOST);
	want_at_most(c, "migration", s->migration, WIRE_MIGRATION_SENDING);
	want_status(c, s->status);
	want_name_or_none(c, "peer", s->peer);
	want_name_or_none(c, "mud", s->mud);
	want_name_or_none(c, "service", s->service);
	want_text(c, "reason", s->reason, sizeof(s->reason));
}

static void want_hello(struct check *c, const struct wire_hello *h)
{
	want_number(c, "version", h->version);
	want_number(c, "role", h->role);
	want_at_most(c, "role", h->role, WIRE_ROLE_OPERATOR);
	want_name(c, "name", h->name);
}

static void check_session(struct check *c, const struct wire_message *m)
{
	switch (m->type) {
	case WIRE_HELLO:
	case WIRE_REFUSAL: /* without a session it refuses the connection */
	case WIRE_EVENTS:
	case WIRE_CLOCK_PROBE:
	case WIRE_CLOCK_REPLY:
	case WIRE_INQUIRY:
	case WIRE_INQUIRY_ANSWER:
	case WIRE_TRANSFER_ACCEPT:
	case WIRE_TRANSFER_CHUNK:
	case WIRE_TRANSFER_END:
	case WIRE_TRANSFER_RESULT:
	case WIRE_EDGE_STATE: /* of no session */
	case WIRE_USER_CLAIM: /* of all sessions of a user */
	case WIRE_USER_END:
	case WIRE_USER_TAKEN:
	case WIRE_STATION_INQUIRY:
	case WIRE_STATION_USERS:
		return;
	default:
		want_number(c, "session", m->session);
	}
}

static void want_user(struct check *c, const char *user, uint64_t claim)
{
	want_name(c, "user", user);
	want_number(c, "claim", claim);
}

static void want_user_context(struct check *c, const struct wire_message *m)
{
	const struct wire_user_context *u = &m->user_context;

	want_user(c, u->user, u->claim);
	want_number(c, "association", m->association);
	want_name(c, "service", u->service);
	want_edges(c, &u->edges);
	if (u->next == 0 && u->ack == 0)
		return; /* not known: the edge server tells */
	if (u->next <= u->ack || u->next - u->ack > WIRE_WINDOW + 1)
		broken(c, "next", "is not within the window");
}

static void want_part(struct check *c, enum wire_part part, size_t len)
{
	want_at_most(c, "part", part, WIRE_PARTS - 1);
	if ((part == WIRE_PART_REST || part == WIRE_PART_DROP) && len != WIRE_PART_NUMBER_SIZE)
		broken(c, "length", "is not that of a number");
}

static void want_user_request(struct check *c, const struct wire_user_request *u)
{
	want_user(c, u->user, u->claim);
	want_number(c, "number", u->number);
	want_at_most(c, "port", u->port, UINT16_MAX);
	want_at_most(c, "length", u->len, WIRE_PAYLOAD_MAX);
	want_at_most(c, "preamble", u->preamble, u->len);
	want_at_most(c, "preamble", u->preamble, WIRE_PREAMBLE_MAX);
	want_part(c, u->part, u->len - u->preamble);
}

/* One that can be a sender: no group of stations */
static void want_station(struct check *c, const uint8_t station[WIRE_STATION_SIZE],
			 uint64_t inquiry)
{
	if (station[0] & 1)
		broken(c, "station", "is a group");
	want_number(c, "inquiry", inquiry);
}

static void want_station_users(struct check *c, const struct wire_station_users *s)
{
	want_station(c, s->station, s->inquiry);
	want_at_most(c, "number of users", s->count, WIRE_STATION_USERS_MAX);
	for (uint32_t i = 0; i < s->count && i < WIRE_STATION_USERS_MAX; i++)
		want_name(c, "user", s->user[i]);
}

static void check_data(struct check *c, const struct wire_message *m)
{
	if (m->type == WIRE_TRANSFER_CUT) {
		want_at_most(c, "length of the cache", m->cut.cache_len, WIRE_CUT_MAX);
		return;
	}
	if (m->type == WIRE_TRANSFER_CHUNK) {
		want_status(c, m->text.status);
		want_at_most(c, "length", m->text.len, WIRE_PAYLOAD_MAX);
		return;
	}
	if (m->type == WIRE_STREAM) {
		want_at_most(c, "length", m->stream.len, WIRE_PAYLOAD_MAX);
		if (!m->stream.connection && (!m->stream.ended || m->stream.len))
			broken(c, "connection", "is 0, and not the end of all");
		return;
	}
	want_number(c, "number", m->data.number);
	if (m->data.status != WIRE_OK_MORE)
		want_status(c, m->data.status);
	want_at_most(c, "length", m->data.len, WIRE_PAYLOAD_MAX);
	want_at_most(c, "preamble", m->data.preamble, m->data.len);
	want_at_most(c, "preamble", m->data.preamble, WIRE_PREAMBLE_MAX);
	if (!c->result)
		want_part(c, m->data.part, m->data.len - m->data.preamble);
}

static void check_body(struct check *c, const struct wire_message *m)
{
	switch (m->type) {
	case WIRE_HELLO:
		want_hello(c, &m->hello);
		break;
	case WIRE_ASSOCIATION_REQUEST:
		want_name(c, "mud", m->association_request.mud);
		want_name(c, "service", m->association_request.service);
		break;
	case WIRE_ASSOCIATION_RESPONSE:
	case WIRE_REASSOCIATION_RESPONSE:
		want_status(c, m->association_response.status);
		want_text(c, "reason", m->association_response.reason, WIRE_REASON_SIZE);
		want_edges(c, &m->association_response.edges);
		break;
	case WIRE_REASSOCIATION_REQUEST:
		want_name(c, "mud", m->reassociation_request.mud);
		want_name(c, "service", m->reassociation_request.service);
		want_name_or_none(c, "old_ap", m->reassociation_request.old_ap);
		want_edges(c, &m->reassociation_request.edges);
		break;
	case WIRE_EDGE_NOTICE:
		want_edges(c, &m->edges);
		break;
	case WIRE_REFUSAL:
		want_status(c, m->refusal.status);
		want_text(c, "reason", m->refusal.reason, WIRE_REASON_SIZE);
		break;
	case WIRE_MOVE_NOTIFY:
		want_name(c, "mud", m->move_notify.mud);
		want_name(c, "new_ap", m->move_notify.new_ap);
		want_name(c, "new_es", m->move_notify.new_es);
		break;
	case WIRE_MOVE_RESPONSE:
		want_status(c, m->move_response.status);
		want_text(c, "reason", m->move_response.reason, WIRE_REASON_SIZE);
		want_name_or_none(c, "service", m->move_response.service);
		want_name_or_none(c, "authority", m->move_response.authority);
		break;
	case WIRE_USER_CLAIM:
	case WIRE_USER_TAKEN:
		want_user(c, m->user_claim.user, m->user_claim.claim);
		break;
	case WIRE_USER_CONTEXT:
		want_user_context(c, m);
		break;
	case WIRE_USER_REQUEST:
		want_user_request(c, &m->user_request);
		break;
	case WIRE_USER_END:
		want_user(c, m->user_end.user, m->user_end.claim);
		want_status(c, m->user_end.status);
		want_at_most(c, "number of sessions", m->user_end.sessions, WIRE_USER_SESSIONS_MAX);
		break;
	case WIRE_STATION_INQUIRY:
		want_station(c, m->station_inquiry.station, m->station_inquiry.inquiry);
		break;
	case WIRE_STATION_USERS:
		want_station_users(c, &m->station_users);
		break;
	case WIRE_CREATE:
		want_name(c, "mud", m->create.mud);
		want_name(c, "service", m->create.service);
		want_name(c, "ap", m->create.ap);
		break;
	case WIRE_ATTACH:
		want_name(c, "ap", m->attach.ap);
		break;
	case WIRE_MIGRATE:
		want_name(c, "to_es", m->migrate.to_es);
		want_name(c, "ap", m->migrate.ap);
		break;
	case WIRE_STATUS:
	case WIRE_CREATED:
	case WIRE_CUT:
	case WIRE_READY:
	case WIRE_FENCED:
	case WIRE_UNFENCED:
	case WIRE_ACTIVATED:
	case WIRE_RETIRED:
	case WIRE_ABORTED:
	case WIRE_FAILED:
	case WIRE_LOST:
	case WIRE_REFUSED:
		want_es_status(c, &m->es_status);
		break;
	case WIRE_EVENTS:
		want_events(c, &m->events);
		break;
	case WIRE_INQUIRY:
	case WIRE_INQUIRY_ANSWER:
	case WIRE_TRANSFER_ACCEPT:
	case WIRE_TRANSFER_RESULT:
		want_status(c, m->text.status);
		want_at_most(c, "length", m->text.len, WIRE_TEXT_MAX);
		break;
	case WIRE_TRANSFER_OFFER:
		want_name(c, "mud", m->offer.mud);
		want_name(c, "service", m->offer.service);
		want_name(c, "from_es", m->offer.from_es);
		want_name_or_none(c, "ap", m->offer.ap);
		want_at_most(c, "length of the plan", m->offer.plan_len, WIRE_TEXT_MAX);
		break;
	case WIRE_REQUEST:
	case WIRE_ANSWER:
	case WIRE_STREAM:
	case WIRE_TRANSFER_CHUNK:
	case WIRE_TRANSFER_CUT:
		check_data(c, m);
		break;
	case WIRE_DISASSOCIATION:
	case WIRE_FENCE:
	case WIRE_UNFENCE:
	case WIRE_ACTIVATE:
	case WIRE_RETIRE:
	case WIRE_ABORT:
	case WIRE_CLOCK_PROBE:
	case WIRE_CLOCK_REPLY:
	case WIRE_EDGE_STATE:
	case WIRE_TRANSFER_END:
		break;
	default:
		broken(c, "type", "is unknown");
	}
}

/* All rules; @code says whose fault a broken one is */
static int check_message(const struct wire_message *m, int code, struct err *err)
{
	struct check c = { .message = wire_type_name(m->type), .code = code, .err = err };

	check_session(&c, m);
	check_body(&c, m);
	return c.result;
}

/* ---- frames ---- */

static void prefix_write(uint8_t *to, size_t content, enum wire_kind kind)
{
	uint32_t length = htobe32((uint32_t)content + 1);

	memcpy(to, &length, sizeof(length));
	to[4] = (uint8_t)kind;
}

static int encode_data(const struct wire_message *m, enum wire_kind kind, struct buf *out,
		       struct err *err)
{
	struct data_header h = {
		.session = htobe64(m->session),
		.association = htobe32(m->association),
		.epoch = htobe32(m->epoch),
	};
	const uint8_t *bytes = NULL;
	size_t len = 0;
	int r;

	switch (kind) {
	case WIRE_KIND_REQUEST:
	case WIRE_KIND_ANSWER:
		h.number = htobe64(m->data.number);
		if (kind == WIRE_KIND_REQUEST) {
			h.ack_or_digest = htobe64(m->data.ack);
			h.status_or_preamble =
				htobe32((uint32_t)m->data.part << PART_SHIFT | m->data.preamble);
			h.connection = htobe32(m->data.connection);
		} else {
			h.ack_or_digest = htobe64(m->data.digest);
			h.status_or_preamble = htobe32(m->data.status);
		}
		bytes = m->data.bytes;
		len = m->data.len;
		break;
	case WIRE_KIND_STREAM:
		h.number = htobe64(m->stream.offset);
		h.ack_or_digest = htobe64(m->stream.taken);
		h.status_or_preamble = htobe32(m->stream.ended);
		h.connection = htobe32(m->stream.connection);
		bytes = m->stream.bytes;
		len = m->stream.len;
		break;
	case WIRE_KIND_CHUNK:
		h.status_or_preamble = htobe32(m->text.status);
		bytes = m->text.bytes;
		len = m->text.len;
		break;
	case WIRE_KIND_CUT:
		h.number = htobe64(m->cut.number);
		bytes = m->cut.cache;
		len = m->cut.cache_len;
		break;
	case WIRE_KIND_CONTROL:
		break;
	}
	r = buf_reserve(out, WIRE_FRAME_PREFIX + sizeof(h) + len, err);
	if (r < 0)
		return r;
	uint8_t *to = buf_tail(out);
	prefix_write(to, sizeof(h) + len, kind);
	memcpy(to + WIRE_FRAME_PREFIX, &h, sizeof(h));
	if (len)
		memcpy(to + WIRE_FRAME_PREFIX + sizeof(h), bytes, len);
	out->len += WIRE_FRAME_PREFIX + sizeof(h) + len;
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
	enum wire_kind kind = kind_of(m->type);
	int r;

	r = check_message(m, -EINVAL, err);
	if (r < 0)
		return r;
	if (kind == WIRE_KIND_CONTROL)
		return encode_control(m, out, err);
	return encode_data(m, kind, out, err);
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

static int decode_data(enum wire_kind kind, const uint8_t *content, size_t len,
		       struct wire_message *m, struct err *err)
{
	struct data_header h;

	if (len < sizeof(h))
		return err_set(err, -EPROTO, "data frame of %zu bytes: its header alone has %zu",
			       len, sizeof(h));
	memcpy(&h, content, sizeof(h));
	const uint8_t *bytes = content + sizeof(h);
	uint64_t number = be64toh(h.number);
	uint64_t ack_or_digest = be64toh(h.ack_or_digest);
	uint32_t status_or_preamble = be32toh(h.status_or_preamble);
	len -= sizeof(h);
	m->session = be64toh(h.session);
	m->association = be32toh(h.association);
	m->epoch = be32toh(h.epoch);
	switch (kind) {
	case WIRE_KIND_REQUEST:
		m->type = WIRE_REQUEST;
		m->data = (struct wire_data){ .number = number,
					      .ack = ack_or_digest,
					      .preamble =
						      status_or_preamble & ((1u << PART_SHIFT) - 1),
					      .part = status_or_preamble >> PART_SHIFT,
					      .connection = be32toh(h.connection),
					      .bytes = bytes,
					      .len = len };
		break;
	case WIRE_KIND_ANSWER:
		m->type = WIRE_ANSWER;
		m->data = (struct wire_data){ .number = number,
					      .digest = ack_or_digest,
					      .status = status_or_preamble,
					      .bytes = bytes,
					      .len = len };
		break;
	case WIRE_KIND_STREAM:
		m->type = WIRE_STREAM;
		m->stream = (struct wire_stream){ .connection = be32toh(h.connection),
						  .offset = number,
						  .taken = ack_or_digest,
						  .ended = status_or_preamble == 1,
						  .bytes = bytes,
						  .len = len };
		break;
	case WIRE_KIND_CHUNK:
		m->type = WIRE_TRANSFER_CHUNK;
		m->text = (struct wire_text){ .status = status_or_preamble,
					      .bytes = bytes,
					      .len = len };
		break;
	case WIRE_KIND_CUT:
	case WIRE_KIND_CONTROL:
		m->type = WIRE_TRANSFER_CUT;
		m->cut = (struct wire_cut){ .number = number, .cache = bytes, .cache_len = len };
		break;
	}
	/* fields that have no meaning here are kept free for a later version */
	bool number_used = kind != WIRE_KIND_CHUNK;
	bool stream = kind == WIRE_KIND_STREAM;
	bool data = kind == WIRE_KIND_REQUEST || kind == WIRE_KIND_ANSWER || stream;
	if ((h.connection && kind != WIRE_KIND_REQUEST && !stream) ||
	    (stream && status_or_preamble > 1) || (ack_or_digest && !data) ||
	    (number && !number_used) || (status_or_preamble && kind == WIRE_KIND_CUT))
		return err_set(err, -EPROTO, "%s: an unused header field is not 0",
			       wire_type_name(m->type));
	return 0;
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
	*m = (struct wire_message){ 0 };
	const uint8_t *content = frame + WIRE_FRAME_PREFIX;
	len -= WIRE_FRAME_PREFIX;
	if (frame[4] == WIRE_KIND_CONTROL)
		r = envelope_decode(content, len, m, scratch, err);
	else
		r = decode_data(frame[4], content, len, m, err);
	if (r < 0)
		return r;
	return check_message(m, -EPROTO, err);
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
