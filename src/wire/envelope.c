/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/envelope.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/baton.pb-c.h"
#include "wire/codec.h"

/*
 * The only file that knows protobuf-c. Its unpacker allocates what a frame tells it to, so it gets
 * an allocator that takes from the scratch and stops at WIRE_SCRATCH_MAX: a small frame that claims
 * a million fields fails there instead of filling the memory. Nothing is ever freed one by one.
 */

#define BLOCK_SIZE 16384u

/* One piece of scratch memory */
struct wire_block {
	struct wire_block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) uint8_t bytes[];
};

void *wire_scratch_alloc(struct wire_scratch *s, size_t size)
{
	size_t want = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

	if (size > WIRE_SCRATCH_MAX)
		return NULL;
	if (!s->first || s->first->size - s->first->used < want) {
		size_t block_size = want > BLOCK_SIZE ? want : BLOCK_SIZE;

		if (s->used + block_size > WIRE_SCRATCH_MAX)
			return NULL;
		struct wire_block *block = malloc(sizeof(*block) + block_size);
		if (!block)
			return NULL;
		block->next = s->first;
		block->size = block_size;
		block->used = 0;
		s->first = block;
		s->used += block_size;
	}
	void *p = s->first->bytes + s->first->used;
	s->first->used += want;
	return p;
}

void wire_scratch_reset(struct wire_scratch *s)
{
	struct wire_block *kept = NULL;

	while (s->first) {
		struct wire_block *block = s->first;

		s->first = block->next;
		if (!kept && block->size == BLOCK_SIZE)
			kept = block;
		else
			free(block);
	}
	if (kept) {
		kept->next = NULL;
		kept->used = 0;
	}
	*s = (struct wire_scratch){ .first = kept, .used = kept ? BLOCK_SIZE : 0 };
}

void wire_scratch_deinit(struct wire_scratch *s)
{
	wire_scratch_reset(s);
	free(s->first);
	*s = (struct wire_scratch){ 0 };
}

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

static bool is_control(uint8_t c)
{
	return c < 0x20 || c == 0x7f;
}

/* ---- encoding: protobuf structures that point into the message ---- */

static ProtobufCBinaryData bytes_of(const void *bytes, size_t len)
{
	/* protobuf-c only reads, but its structure serves both directions and has no const */
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)bytes };
}

static ProtobufCBinaryData name_of(const char *name)
{
	return bytes_of(name, strnlen(name, NAME_SIZE));
}

/* Free text, where control characters are replaced in a copy */
static ProtobufCBinaryData text_of(const char *text, size_t size, struct wire_scratch *scratch)
{
	size_t len = strnlen(text, size);
	char *clean = NULL;

	for (size_t i = 0; i < len; i++) {
		if (!is_control((uint8_t)text[i]))
			continue;
		if (!clean) {
			clean = wire_scratch_alloc(scratch, len);
			if (!clean)
				return bytes_of(text, i);
			memcpy(clean, text, len);
		}
		clean[i] = '?';
	}
	return bytes_of(clean ? clean : text, len);
}

/* Room for the list of names behind an Edges body */
struct edges_room {
	ProtobufCBinaryData name[WIRE_EDGES_MAX];
};

static void edges_fill(Baton__Wire__Edges *to, struct edges_room *room,
		       const struct wire_edges *from)
{
	for (uint32_t i = 0; i < from->count; i++)
		room->name[i] = name_of(from->name[i]);
	to->n_name = from->count;
	to->name = room->name;
}

static int events_fill(Baton__Wire__Events *to, const struct wire_events *from,
		       struct wire_scratch *scratch, struct err *err)
{
	Baton__Wire__Event *body = wire_scratch_alloc(scratch, from->count * sizeof(*body));
	Baton__Wire__Event **list = wire_scratch_alloc(scratch, from->count * sizeof(*list));

	if (!body || !list)
		return err_set(err, -ENOMEM, "encode %u events", from->count);
	for (uint32_t i = 0; i < from->count; i++) {
		const struct wire_event *e = &from->event[i];

		body[i] = (Baton__Wire__Event)BATON__WIRE__EVENT__INIT;
		body[i].time_us = e->time_us;
		body[i].has_session = e->session != 0;
		body[i].session = e->session;
		body[i].has_number = e->number != 0;
		body[i].number = e->number;
		body[i].node = name_of(e->node);
		body[i].kind = text_of(e->kind, sizeof(e->kind), scratch);
		body[i].has_detail = e->detail[0] != '\0';
		body[i].detail = text_of(e->detail, sizeof(e->detail), scratch);
		list[i] = &body[i];
	}
	to->dropped = from->dropped;
	to->n_event = from->count;
	to->event = list;
	return 0;
}

static int envelope_append(Baton__Wire__Envelope *e, struct buf *out, struct err *err)
{
	size_t size = baton__wire__envelope__get_packed_size(e);
	int r;

	r = buf_reserve(out, size, err);
	if (r < 0)
		return r;
	out->len += baton__wire__envelope__pack(e, buf_tail(out));
	return 0;
}

/* Points @e's body at @body and appends it */
#define APPEND(e, field, CASE, body)                                                               \
	((e)->body_case = BATON__WIRE__ENVELOPE__BODY_##CASE, (e)->field = &(body),                \
	 envelope_append((e), out, err))

static int encode_association(Baton__Wire__Envelope *e, const struct wire_message *m,
			      struct wire_scratch *scratch, struct buf *out, struct err *err)
{
	Baton__Wire__Edges edges = BATON__WIRE__EDGES__INIT;
	struct edges_room room;

	switch (m->type) {
	case WIRE_ASSOCIATION_REQUEST: {
		Baton__Wire__AssociationRequest b = BATON__WIRE__ASSOCIATION_REQUEST__INIT;

		b.mud = name_of(m->association_request.mud);
		b.service = name_of(m->association_request.service);
		return APPEND(e, association_request, ASSOCIATION_REQUEST, b);
	}
	case WIRE_REASSOCIATION_REQUEST: {
		Baton__Wire__ReassociationRequest b = BATON__WIRE__REASSOCIATION_REQUEST__INIT;
		const struct wire_reassociation_request *q = &m->reassociation_request;

		b.mud = name_of(q->mud);
		b.service = name_of(q->service);
		b.old_ap = name_of(q->old_ap);
		b.proof = bytes_of(q->proof, sizeof(q->proof));
		edges_fill(&edges, &room, &q->edges);
		b.edges = &edges;
		b.ack = q->ack;
		return APPEND(e, reassociation_request, REASSOCIATION_REQUEST, b);
	}
	default: {
		Baton__Wire__AssociationResponse b = BATON__WIRE__ASSOCIATION_RESPONSE__INIT;
		const struct wire_association_response *q = &m->association_response;

		b.status = q->status;
		b.reason = text_of(q->reason, sizeof(q->reason), scratch);
		b.has_secret = m->type == WIRE_ASSOCIATION_RESPONSE;
		b.secret = bytes_of(q->secret, sizeof(q->secret));
		edges_fill(&edges, &room, &q->edges);
		b.edges = &edges;
		b.has_received = q->received != 0;
		b.received = q->received;
		return APPEND(e, association_response, ASSOCIATION_RESPONSE, b);
	}
	}
}

static int encode_move(Baton__Wire__Envelope *e, const struct wire_message *m,
		       struct wire_scratch *scratch, struct buf *out, struct err *err)
{
	if (m->type == WIRE_MOVE_NOTIFY) {
		Baton__Wire__MoveNotify b = BATON__WIRE__MOVE_NOTIFY__INIT;

		b.mud = name_of(m->move_notify.mud);
		b.new_ap = name_of(m->move_notify.new_ap);
		b.new_es = name_of(m->move_notify.new_es);
		b.proof = bytes_of(m->move_notify.proof, WIRE_PROOF_SIZE);
		return APPEND(e, move_notify, MOVE_NOTIFY, b);
	}
	Baton__Wire__MoveResponse b = BATON__WIRE__MOVE_RESPONSE__INIT;
	const struct wire_move_response *q = &m->move_response;

	b.status = q->status;
	b.has_command = q->command != 0;
	b.command = q->command;
	b.reason = text_of(q->reason, sizeof(q->reason), scratch);
	b.service = name_of(q->service);
	b.secret = bytes_of(q->secret, sizeof(q->secret));
	b.authority = name_of(q->authority);
	return APPEND(e, move_response, MOVE_RESPONSE, b);
}

static int encode_user(Baton__Wire__Envelope *e, const struct wire_message *m, struct buf *out,
		       struct err *err)
{
	switch (m->type) {
	case WIRE_USER_CONTEXT: {
		Baton__Wire__UserContext b = BATON__WIRE__USER_CONTEXT__INIT;
		Baton__Wire__Edges edges = BATON__WIRE__EDGES__INIT;
		const struct wire_user_context *q = &m->user_context;
		struct edges_room room;

		b.user = name_of(q->user);
		b.claim = q->claim;
		b.service = name_of(q->service);
		b.secret = bytes_of(q->secret, sizeof(q->secret));
		edges_fill(&edges, &room, &q->edges);
		b.edges = &edges;
		b.ack = q->ack;
		b.next = q->next;
		return APPEND(e, user_context, USER_CONTEXT, b);
	}
	case WIRE_USER_REQUEST: {
		Baton__Wire__UserRequest b = BATON__WIRE__USER_REQUEST__INIT;
		const struct wire_user_request *q = &m->user_request;

		b.user = name_of(q->user);
		b.claim = q->claim;
		b.number = q->number;
		b.connection = q->connection;
		b.preamble = q->preamble;
		b.part = q->part;
		b.port = q->port;
		b.answered = q->answered;
		b.bytes = bytes_of(q->bytes, q->len);
		return APPEND(e, user_request, USER_REQUEST, b);
	}
	case WIRE_USER_END: {
		Baton__Wire__UserEnd b = BATON__WIRE__USER_END__INIT;

		b.user = name_of(m->user_end.user);
		b.claim = m->user_end.claim;
		b.status = m->user_end.status;
		b.sessions = m->user_end.sessions;
		return APPEND(e, user_end, USER_END, b);
	}
	default: {
		Baton__Wire__UserClaim b = BATON__WIRE__USER_CLAIM__INIT;

		b.user = name_of(m->user_claim.user);
		b.claim = m->user_claim.claim;
		b.silent_ms = m->user_claim.silent_ms;
		return APPEND(e, user_claim, USER_CLAIM, b);
	}
	}
}

static int encode_station(Baton__Wire__Envelope *e, const struct wire_message *m, struct buf *out,
			  struct err *err)
{
	if (m->type == WIRE_STATION_INQUIRY) {
		Baton__Wire__StationInquiry b = BATON__WIRE__STATION_INQUIRY__INIT;

		b.station = bytes_of(m->station_inquiry.station, WIRE_STATION_SIZE);
		b.inquiry = m->station_inquiry.inquiry;
		return APPEND(e, station_inquiry, STATION_INQUIRY, b);
	}
	Baton__Wire__StationUsers b = BATON__WIRE__STATION_USERS__INIT;
	const struct wire_station_users *q = &m->station_users;
	ProtobufCBinaryData user[WIRE_STATION_USERS_MAX];

	for (uint32_t i = 0; i < q->count; i++)
		user[i] = name_of(q->user[i]);
	b.station = bytes_of(q->station, WIRE_STATION_SIZE);
	b.inquiry = q->inquiry;
	b.n_user = q->count;
	b.user = user;
	return APPEND(e, station_users, STATION_USERS, b);
}

static int encode_order(Baton__Wire__Envelope *e, const struct wire_message *m, struct buf *out,
			struct err *err)
{
	switch (m->type) {
	case WIRE_CREATE: {
		Baton__Wire__Create b = BATON__WIRE__CREATE__INIT;

		b.mud = name_of(m->create.mud);
		b.service = name_of(m->create.service);
		b.ap = name_of(m->create.ap);
		b.secret = bytes_of(m->create.secret, WIRE_SECRET_SIZE);
		return APPEND(e, create, CREATE, b);
	}
	case WIRE_ATTACH: {
		Baton__Wire__Attach b = BATON__WIRE__ATTACH__INIT;

		b.ap = name_of(m->attach.ap);
		b.proof = bytes_of(m->attach.proof, WIRE_PROOF_SIZE);
		return APPEND(e, attach, ATTACH, b);
	}
	case WIRE_MIGRATE: {
		Baton__Wire__Migrate b = BATON__WIRE__MIGRATE__INIT;

		b.to_es = name_of(m->migrate.to_es);
		b.ap = name_of(m->migrate.ap);
		b.proof = bytes_of(m->migrate.proof, WIRE_PROOF_SIZE);
		b.has_hold = m->migrate.hold;
		b.hold = m->migrate.hold;
		return APPEND(e, migrate, MIGRATE, b);
	}
	case WIRE_FENCE: {
		Baton__Wire__Fence b = BATON__WIRE__FENCE__INIT;

		b.after = m->fence.after;
		return APPEND(e, fence, FENCE, b);
	}
	default: {
		Baton__Wire__Unfence b = BATON__WIRE__UNFENCE__INIT;

		b.new_epoch = m->unfence.new_epoch;
		return APPEND(e, unfence, UNFENCE, b);
	}
	}
}

static int encode_edge_state(Baton__Wire__Envelope *e, const struct wire_edge_state *s,
			     struct buf *out, struct err *err)
{
	Baton__Wire__EdgeState b = BATON__WIRE__EDGE_STATE__INIT;

	b.drained = s->drained;
	return APPEND(e, edge_state, EDGE_STATE, b);
}

static int encode_es_status(Baton__Wire__Envelope *e, const struct wire_es_status *s,
			    struct wire_scratch *scratch, struct buf *out, struct err *err)
{
	static const uint8_t none[WIRE_SECRET_SIZE];
	Baton__Wire__EsStatus b = BATON__WIRE__ES_STATUS__INIT;

	b.state = s->state;
	b.executed = s->executed;
	b.cut = s->cut;
	b.cut_association = s->cut_association;
	b.migration = s->migration;
	b.peer = name_of(s->peer);
	b.mud = name_of(s->mud);
	b.service = name_of(s->service);
	b.has_secret = memcmp(s->secret, none, sizeof(none)) != 0;
	b.secret = bytes_of(s->secret, sizeof(s->secret));
	b.status = s->status;
	b.reason = text_of(s->reason, sizeof(s->reason), scratch);
	b.has_received = s->received != 0;
	b.received = s->received;
	b.has_holding = s->holding;
	b.holding = s->holding;
	b.has_freeze_us = s->freeze_us != 0;
	b.freeze_us = s->freeze_us;
	b.has_command = s->command != 0;
	b.command = s->command;
	return APPEND(e, es_status, ES_STATUS, b);
}

static int encode_offer(Baton__Wire__Envelope *e, const struct wire_offer *o, struct buf *out,
			struct err *err)
{
	Baton__Wire__Offer b = BATON__WIRE__OFFER__INIT;

	b.mud = name_of(o->mud);
	b.service = name_of(o->service);
	b.from_es = name_of(o->from_es);
	b.ap = name_of(o->ap);
	b.secret = bytes_of(o->secret, sizeof(o->secret));
	b.plan = bytes_of(o->plan, o->plan_len);
	return APPEND(e, offer, OFFER, b);
}

static int encode_body(Baton__Wire__Envelope *e, const struct wire_message *m,
		       struct wire_scratch *scratch, struct buf *out, struct err *err)
{
	int r;

	switch (m->type) {
	case WIRE_HELLO: {
		Baton__Wire__Hello b = BATON__WIRE__HELLO__INIT;

		b.version = m->hello.version;
		b.compat = m->hello.compat;
		b.role = m->hello.role;
		b.name = name_of(m->hello.name);
		return APPEND(e, hello, HELLO, b);
	}
	case WIRE_ASSOCIATION_REQUEST:
	case WIRE_ASSOCIATION_RESPONSE:
	case WIRE_REASSOCIATION_REQUEST:
	case WIRE_REASSOCIATION_RESPONSE:
		return encode_association(e, m, scratch, out, err);
	case WIRE_EDGE_NOTICE: {
		Baton__Wire__Edges b = BATON__WIRE__EDGES__INIT;
		struct edges_room room;

		edges_fill(&b, &room, &m->edges);
		return APPEND(e, edge_notice, EDGE_NOTICE, b);
	}
	case WIRE_REFUSAL: {
		Baton__Wire__Refusal b = BATON__WIRE__REFUSAL__INIT;

		b.status = m->refusal.status;
		b.number = m->refusal.number;
		b.reason = text_of(m->refusal.reason, WIRE_REASON_SIZE, scratch);
		return APPEND(e, refusal, REFUSAL, b);
	}
	case WIRE_MOVE_NOTIFY:
	case WIRE_MOVE_RESPONSE:
		return encode_move(e, m, scratch, out, err);
	case WIRE_USER_CLAIM:
	case WIRE_USER_CONTEXT:
	case WIRE_USER_REQUEST:
	case WIRE_USER_END:
	case WIRE_USER_TAKEN:
		return encode_user(e, m, out, err);
	case WIRE_STATION_INQUIRY:
	case WIRE_STATION_USERS:
		return encode_station(e, m, out, err);
	case WIRE_CREATE:
	case WIRE_ATTACH:
	case WIRE_MIGRATE:
	case WIRE_FENCE:
	case WIRE_UNFENCE:
		return encode_order(e, m, out, err);
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
		return encode_es_status(e, &m->es_status, scratch, out, err);
	case WIRE_EDGE_STATE:
		return encode_edge_state(e, &m->edge_state, out, err);
	case WIRE_EVENTS: {
		Baton__Wire__Events b = BATON__WIRE__EVENTS__INIT;

		r = events_fill(&b, &m->events, scratch, err);
		if (r < 0)
			return r;
		return APPEND(e, events, EVENTS, b);
	}
	case WIRE_CLOCK_PROBE:
	case WIRE_CLOCK_REPLY: {
		Baton__Wire__Clock b = BATON__WIRE__CLOCK__INIT;

		b.sent_us = m->clock.sent_us;
		b.received_us = m->clock.received_us;
		return APPEND(e, clock, CLOCK, b);
	}
	case WIRE_INQUIRY:
	case WIRE_INQUIRY_ANSWER:
	case WIRE_TRANSFER_ACCEPT:
	case WIRE_TRANSFER_RESULT: {
		Baton__Wire__Text b = BATON__WIRE__TEXT__INIT;

		b.status = m->text.status;
		b.bytes = bytes_of(m->text.bytes, m->text.len);
		return APPEND(e, text, TEXT, b);
	}
	case WIRE_TRANSFER_OFFER:
		return encode_offer(e, &m->offer, out, err);
	case WIRE_TRANSFER_END: {
		Baton__Wire__TransferEnd b = BATON__WIRE__TRANSFER_END__INIT;

		b.stream_bytes = m->transfer_end.stream_bytes;
		b.sha256 = bytes_of(m->transfer_end.sha256, sizeof(m->transfer_end.sha256));
		return APPEND(e, transfer_end, TRANSFER_END, b);
	}
	case WIRE_DISASSOCIATION:
	case WIRE_ACTIVATE:
	case WIRE_RETIRE:
	case WIRE_ABORT:
		return envelope_append(e, out, err);
	case WIRE_REQUEST:
	case WIRE_ANSWER:
	case WIRE_STREAM:
	case WIRE_TRANSFER_CHUNK:
	case WIRE_TRANSFER_CUT:
		break;
	}
	return err_set(err, -EINVAL, "%s has no envelope", wire_type_name(m->type));
}

int envelope_encode(const struct wire_message *m, struct buf *out, struct err *err)
{
	Baton__Wire__Envelope e = BATON__WIRE__ENVELOPE__INIT;
	struct wire_scratch scratch = { 0 };
	int r;

	e.type = m->type;
	e.has_session = m->session != 0;
	e.session = m->session;
	e.has_association = m->association != 0;
	e.association = m->association;
	e.has_epoch = m->epoch != 0;
	e.epoch = m->epoch;
	r = encode_body(&e, m, &scratch, out, err);
	wire_scratch_deinit(&scratch);
	return r;
}

/* ---- decoding ---- */

/* Where a reader is: the message, for its errors, and whether something was wrong already */
struct reader {
	const char *message;
	struct err *err;
	int result;
};

/* Records the first fault only: later ones follow from it */
static void fault(struct reader *rd, const char *field, const char *what)
{
	if (!rd->result)
		rd->result = err_set(rd->err, -EPROTO, "%s: %s %s", rd->message, field, what);
}

static void read_text(struct reader *rd, const char *field, char *to, size_t size,
		      const ProtobufCBinaryData *from)
{
	if (from->len >= size) {
		fault(rd, field, "is too long");
		return;
	}
	for (size_t i = 0; i < from->len; i++) {
		if (is_control(from->data[i])) {
			fault(rd, field, "has a control character");
			return;
		}
	}
	memset(to, 0, size);
	if (from->len)
		memcpy(to, from->data, from->len);
}

static void read_name(struct reader *rd, const char *field, char to[NAME_SIZE],
		      const ProtobufCBinaryData *from)
{
	read_text(rd, field, to, NAME_SIZE, from);
}

static void read_fixed(struct reader *rd, const char *field, uint8_t *to, size_t size,
		       const ProtobufCBinaryData *from)
{
	if (from->len != size) {
		fault(rd, field, "has the wrong size");
		return;
	}
	memcpy(to, from->data, size);
}

static void read_edges(struct reader *rd, struct wire_edges *to, const Baton__Wire__Edges *from)
{
	if (from->n_name > WIRE_EDGES_MAX) {
		fault(rd, "edges", "are too many");
		return;
	}
	to->count = (uint32_t)from->n_name;
	for (size_t i = 0; i < from->n_name; i++)
		read_name(rd, "edges", to->name[i], &from->name[i]);
}

static void read_events(struct reader *rd, struct wire_events *to, const Baton__Wire__Events *from,
			struct wire_scratch *scratch)
{
	if (from->n_event > WIRE_EVENTS_MAX) {
		fault(rd, "event", "comes too often");
		return;
	}
	struct wire_event *list = wire_scratch_alloc(scratch, from->n_event * sizeof(*list));
	if (!list) {
		fault(rd, "event", "does not fit in memory");
		return;
	}
	memset(list, 0, from->n_event * sizeof(*list));
	for (size_t i = 0; i < from->n_event; i++) {
		const Baton__Wire__Event *e = from->event[i];

		list[i].time_us = e->time_us;
		list[i].session = e->session;
		list[i].number = e->number;
		read_name(rd, "node", list[i].node, &e->node);
		read_text(rd, "kind", list[i].kind, sizeof(list[i].kind), &e->kind);
		if (e->has_detail)
			read_text(rd, "detail", list[i].detail, sizeof(list[i].detail), &e->detail);
	}
	to->dropped = from->dropped;
	to->count = (uint32_t)from->n_event;
	to->event = list;
	scratch->event = list;
}

static void read_es_status(struct reader *rd, struct wire_es_status *to,
			   const Baton__Wire__EsStatus *b)
{
	to->state = b->state;
	to->executed = b->executed;
	to->cut = b->cut;
	to->cut_association = b->cut_association;
	to->migration = b->migration;
	to->received = b->received;
	to->holding = b->has_holding && b->holding;
	to->freeze_us = b->freeze_us;
	to->command = b->command;
	to->status = b->status;
	read_name(rd, "peer", to->peer, &b->peer);
	read_name(rd, "mud", to->mud, &b->mud);
	read_name(rd, "service", to->service, &b->service);
	if (b->has_secret)
		read_fixed(rd, "secret", to->secret, sizeof(to->secret), &b->secret);
	read_text(rd, "reason", to->reason, sizeof(to->reason), &b->reason);
}

static void read_association_response(struct reader *rd, struct wire_association_response *to,
				      const Baton__Wire__AssociationResponse *b)
{
	to->status = b->status;
	read_text(rd, "reason", to->reason, sizeof(to->reason), &b->reason);
	if (b->has_secret)
		read_fixed(rd, "secret", to->secret, sizeof(to->secret), &b->secret);
	read_edges(rd, &to->edges, b->edges);
	to->received = b->received;
}

static void read_reassociation_request(struct reader *rd, struct wire_reassociation_request *to,
				       const Baton__Wire__ReassociationRequest *b)
{
	read_name(rd, "mud", to->mud, &b->mud);
	read_name(rd, "service", to->service, &b->service);
	read_name(rd, "old_ap", to->old_ap, &b->old_ap);
	read_fixed(rd, "proof", to->proof, sizeof(to->proof), &b->proof);
	read_edges(rd, &to->edges, b->edges);
	to->ack = b->ack;
}

static void read_move_notify(struct reader *rd, struct wire_move_notify *to,
			     const Baton__Wire__MoveNotify *b)
{
	read_name(rd, "mud", to->mud, &b->mud);
	read_name(rd, "new_ap", to->new_ap, &b->new_ap);
	read_name(rd, "new_es", to->new_es, &b->new_es);
	read_fixed(rd, "proof", to->proof, sizeof(to->proof), &b->proof);
}

static void read_move_response(struct reader *rd, struct wire_move_response *to,
			       const Baton__Wire__MoveResponse *b)
{
	to->status = b->status;
	to->command = b->command;
	read_text(rd, "reason", to->reason, sizeof(to->reason), &b->reason);
	read_name(rd, "service", to->service, &b->service);
	read_fixed(rd, "secret", to->secret, sizeof(to->secret), &b->secret);
	read_name(rd, "authority", to->authority, &b->authority);
}

static void read_user_context(struct reader *rd, struct wire_user_context *to,
			      const Baton__Wire__UserContext *b)
{
	read_name(rd, "user", to->user, &b->user);
	to->claim = b->claim;
	read_name(rd, "service", to->service, &b->service);
	read_fixed(rd, "secret", to->secret, sizeof(to->secret), &b->secret);
	read_edges(rd, &to->edges, b->edges);
	to->ack = b->ack;
	to->next = b->next;
}

static void read_user_request(struct reader *rd, struct wire_user_request *to,
			      const Baton__Wire__UserRequest *b)
{
	read_name(rd, "user", to->user, &b->user);
	to->claim = b->claim;
	to->number = b->number;
	to->connection = b->connection;
	to->preamble = b->preamble;
	to->part = b->part;
	to->port = b->port;
	to->answered = b->answered;
	to->bytes = b->bytes.data;
	to->len = b->bytes.len;
}

static void read_station_users(struct reader *rd, struct wire_station_users *to,
			       const Baton__Wire__StationUsers *b)
{
	if (b->n_user > WIRE_STATION_USERS_MAX) {
		fault(rd, "user", "comes too often");
		return;
	}
	read_fixed(rd, "station", to->station, sizeof(to->station), &b->station);
	to->inquiry = b->inquiry;
	to->count = (uint32_t)b->n_user;
	for (size_t i = 0; i < b->n_user; i++)
		read_name(rd, "user", to->user[i], &b->user[i]);
}

static void read_create(struct reader *rd, struct wire_create *to, const Baton__Wire__Create *b)
{
	read_name(rd, "mud", to->mud, &b->mud);
	read_name(rd, "service", to->service, &b->service);
	read_name(rd, "ap", to->ap, &b->ap);
	read_fixed(rd, "secret", to->secret, sizeof(to->secret), &b->secret);
}

static void read_offer(struct reader *rd, struct wire_offer *to, const Baton__Wire__Offer *b)
{
	read_name(rd, "mud", to->mud, &b->mud);
	read_name(rd, "service", to->service, &b->service);
	read_name(rd, "from_es", to->from_es, &b->from_es);
	read_name(rd, "ap", to->ap, &b->ap);
	read_fixed(rd, "secret", to->secret, sizeof(to->secret), &b->secret);
	to->plan = b->plan.data;
	to->plan_len = b->plan.len;
}

/* Body that a type must have; NOT_SET for none, -1 for types that are unknown or no envelope */
static int body_of(uint32_t type)
{
	switch (type) {
	case WIRE_HELLO:
		return BATON__WIRE__ENVELOPE__BODY_HELLO;
	case WIRE_ASSOCIATION_REQUEST:
		return BATON__WIRE__ENVELOPE__BODY_ASSOCIATION_REQUEST;
	case WIRE_ASSOCIATION_RESPONSE:
	case WIRE_REASSOCIATION_RESPONSE:
		return BATON__WIRE__ENVELOPE__BODY_ASSOCIATION_RESPONSE;
	case WIRE_REASSOCIATION_REQUEST:
		return BATON__WIRE__ENVELOPE__BODY_REASSOCIATION_REQUEST;
	case WIRE_EDGE_NOTICE:
		return BATON__WIRE__ENVELOPE__BODY_EDGE_NOTICE;
	case WIRE_REFUSAL:
		return BATON__WIRE__ENVELOPE__BODY_REFUSAL;
	case WIRE_MOVE_NOTIFY:
		return BATON__WIRE__ENVELOPE__BODY_MOVE_NOTIFY;
	case WIRE_MOVE_RESPONSE:
		return BATON__WIRE__ENVELOPE__BODY_MOVE_RESPONSE;
	case WIRE_USER_CLAIM:
	case WIRE_USER_TAKEN:
		return BATON__WIRE__ENVELOPE__BODY_USER_CLAIM;
	case WIRE_USER_CONTEXT:
		return BATON__WIRE__ENVELOPE__BODY_USER_CONTEXT;
	case WIRE_USER_REQUEST:
		return BATON__WIRE__ENVELOPE__BODY_USER_REQUEST;
	case WIRE_USER_END:
		return BATON__WIRE__ENVELOPE__BODY_USER_END;
	case WIRE_STATION_INQUIRY:
		return BATON__WIRE__ENVELOPE__BODY_STATION_INQUIRY;
	case WIRE_STATION_USERS:
		return BATON__WIRE__ENVELOPE__BODY_STATION_USERS;
	case WIRE_EDGE_STATE:
		return BATON__WIRE__ENVELOPE__BODY_EDGE_STATE;
	case WIRE_CREATE:
		return BATON__WIRE__ENVELOPE__BODY_CREATE;
	case WIRE_ATTACH:
		return BATON__WIRE__ENVELOPE__BODY_ATTACH;
	case WIRE_MIGRATE:
		return BATON__WIRE__ENVELOPE__BODY_MIGRATE;
	case WIRE_FENCE:
		return BATON__WIRE__ENVELOPE__BODY_FENCE;
	case WIRE_UNFENCE:
		return BATON__WIRE__ENVELOPE__BODY_UNFENCE;
	case WIRE_EVENTS:
		return BATON__WIRE__ENVELOPE__BODY_EVENTS;
	case WIRE_CLOCK_PROBE:
	case WIRE_CLOCK_REPLY:
		return BATON__WIRE__ENVELOPE__BODY_CLOCK;
	case WIRE_INQUIRY:
	case WIRE_INQUIRY_ANSWER:
	case WIRE_TRANSFER_ACCEPT:
	case WIRE_TRANSFER_RESULT:
		return BATON__WIRE__ENVELOPE__BODY_TEXT;
	case WIRE_TRANSFER_OFFER:
		return BATON__WIRE__ENVELOPE__BODY_OFFER;
	case WIRE_TRANSFER_END:
		return BATON__WIRE__ENVELOPE__BODY_TRANSFER_END;
	case WIRE_DISASSOCIATION:
	case WIRE_ACTIVATE:
	case WIRE_RETIRE:
	case WIRE_ABORT:
		return BATON__WIRE__ENVELOPE__BODY__NOT_SET;
	default:
		if (type >= WIRE_STATUS && type <= WIRE_REFUSED)
			return BATON__WIRE__ENVELOPE__BODY_ES_STATUS;
		return -1;
	}
}

static void read_body(struct reader *rd, const Baton__Wire__Envelope *e, struct wire_message *m,
		      struct wire_scratch *scratch)
{
	switch (e->body_case) {
	case BATON__WIRE__ENVELOPE__BODY_HELLO:
		m->hello.version = e->hello->version;
		m->hello.compat = e->hello->compat;
		m->hello.role = e->hello->role;
		read_name(rd, "name", m->hello.name, &e->hello->name);
		break;
	case BATON__WIRE__ENVELOPE__BODY_ASSOCIATION_REQUEST:
		read_name(rd, "mud", m->association_request.mud, &e->association_request->mud);
		read_name(rd, "service", m->association_request.service,
			  &e->association_request->service);
		break;
	case BATON__WIRE__ENVELOPE__BODY_ASSOCIATION_RESPONSE:
		read_association_response(rd, &m->association_response, e->association_response);
		break;
	case BATON__WIRE__ENVELOPE__BODY_REASSOCIATION_REQUEST:
		read_reassociation_request(rd, &m->reassociation_request, e->reassociation_request);
		break;
	case BATON__WIRE__ENVELOPE__BODY_EDGE_NOTICE:
		read_edges(rd, &m->edges, e->edge_notice);
		break;
	case BATON__WIRE__ENVELOPE__BODY_REFUSAL:
		m->refusal.status = e->refusal->status;
		m->refusal.number = e->refusal->number;
		read_text(rd, "reason", m->refusal.reason, WIRE_REASON_SIZE, &e->refusal->reason);
		break;
	case BATON__WIRE__ENVELOPE__BODY_MOVE_NOTIFY:
		read_move_notify(rd, &m->move_notify, e->move_notify);
		break;
	case BATON__WIRE__ENVELOPE__BODY_MOVE_RESPONSE:
		read_move_response(rd, &m->move_response, e->move_response);
		break;
	case BATON__WIRE__ENVELOPE__BODY_USER_CLAIM:
		read_name(rd, "user", m->user_claim.user, &e->user_claim->user);
		m->user_claim.claim = e->user_claim->claim;
		m->user_claim.silent_ms = e->user_claim->silent_ms;
		break;
	case BATON__WIRE__ENVELOPE__BODY_USER_CONTEXT:
		read_user_context(rd, &m->user_context, e->user_context);
		break;
	case BATON__WIRE__ENVELOPE__BODY_USER_REQUEST:
		read_user_request(rd, &m->user_request, e->user_request);
		break;
	case BATON__WIRE__ENVELOPE__BODY_USER_END:
		read_name(rd, "user", m->user_end.user, &e->user_end->user);
		m->user_end.claim = e->user_end->claim;
		m->user_end.status = e->user_end->status;
		m->user_end.sessions = e->user_end->sessions;
		break;
	case BATON__WIRE__ENVELOPE__BODY_STATION_INQUIRY:
		read_fixed(rd, "station", m->station_inquiry.station, WIRE_STATION_SIZE,
			   &e->station_inquiry->station);
		m->station_inquiry.inquiry = e->station_inquiry->inquiry;
		break;
	case BATON__WIRE__ENVELOPE__BODY_STATION_USERS:
		read_station_users(rd, &m->station_users, e->station_users);
		break;
	case BATON__WIRE__ENVELOPE__BODY_CREATE:
		read_create(rd, &m->create, e->create);
		break;
	case BATON__WIRE__ENVELOPE__BODY_ATTACH:
		read_name(rd, "ap", m->attach.ap, &e->attach->ap);
		read_fixed(rd, "proof", m->attach.proof, WIRE_PROOF_SIZE, &e->attach->proof);
		break;
	case BATON__WIRE__ENVELOPE__BODY_MIGRATE:
		read_name(rd, "to_es", m->migrate.to_es, &e->migrate->to_es);
		read_name(rd, "ap", m->migrate.ap, &e->migrate->ap);
		read_fixed(rd, "proof", m->migrate.proof, WIRE_PROOF_SIZE, &e->migrate->proof);
		m->migrate.hold = e->migrate->has_hold && e->migrate->hold;
		break;
	case BATON__WIRE__ENVELOPE__BODY_FENCE:
		m->fence.after = e->fence->after;
		break;
	case BATON__WIRE__ENVELOPE__BODY_UNFENCE:
		m->unfence.new_epoch = e->unfence->new_epoch;
		break;
	case BATON__WIRE__ENVELOPE__BODY_EDGE_STATE:
		m->edge_state.drained = e->edge_state->drained;
		break;
	case BATON__WIRE__ENVELOPE__BODY_ES_STATUS:
		read_es_status(rd, &m->es_status, e->es_status);
		break;
	case BATON__WIRE__ENVELOPE__BODY_EVENTS:
		read_events(rd, &m->events, e->events, scratch);
		break;
	case BATON__WIRE__ENVELOPE__BODY_CLOCK:
		m->clock.sent_us = e->clock->sent_us;
		m->clock.received_us = e->clock->received_us;
		break;
	case BATON__WIRE__ENVELOPE__BODY_TEXT:
		m->text.status = e->text->status;
		m->text.bytes = e->text->bytes.data;
		m->text.len = e->text->bytes.len;
		break;
	case BATON__WIRE__ENVELOPE__BODY_OFFER:
		read_offer(rd, &m->offer, e->offer);
		break;
	case BATON__WIRE__ENVELOPE__BODY_TRANSFER_END:
		m->transfer_end.stream_bytes = e->transfer_end->stream_bytes;
		read_fixed(rd, "sha256", m->transfer_end.sha256, sizeof(m->transfer_end.sha256),
			   &e->transfer_end->sha256);
		break;
	case BATON__WIRE__ENVELOPE__BODY__NOT_SET:
	case _BATON__WIRE__ENVELOPE__BODY__CASE_IS_INT_SIZE:
		break;
	}
}

int envelope_decode(const uint8_t *bytes, size_t len, struct wire_message *m,
		    struct wire_scratch *scratch, struct err *err)
{
	ProtobufCAllocator allocator = {
		.alloc = allocate,
		.free = release,
		.allocator_data = scratch,
	};
	Baton__Wire__Envelope *e = baton__wire__envelope__unpack(&allocator, len, bytes);

	if (!e)
		return err_set(err, -EPROTO,
			       "malformed message of %zu bytes: a field is missing, cut short, "
			       "or there are too many",
			       len);
	int body = body_of(e->type);
	if (body < 0)
		return err_set(err, -EPROTO, "unknown message type %u", e->type);
	struct reader rd = { .message = wire_type_name(e->type), .err = err };
	if ((int)e->body_case != body)
		return err_set(err, -EPROTO, "%s: body %d, want %d", rd.message, (int)e->body_case,
			       body);
	m->type = e->type;
	m->session = e->session;
	m->association = e->association;
	m->epoch = e->epoch;
	read_body(&rd, e, m, scratch);
	return rd.result;
}
