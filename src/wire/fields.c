/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/fields.h"

#include <stddef.h>

#include "base/auto.h"
#include "wire/rules.h"

/*
 * The table: first the bodies, then the types of messages with the body of each. fields.h says what follows from it.
 */

/* of struct wire_..., like all that follows: name, offset and size of a member, and the offset of its count */
#define MEMBER(body, member)                                                                       \
#member, offsetof(struct wire_##body, member), sizeof(((struct wire_##body *)0)->member)
#define COUNT(body, member) .count = offsetof(struct wire_##body, member)

/* ---- parts of other bodies ---- */

static const struct wire_field edges_fields[] = {
	{ 1, FIELD_NAMES, MEMBER(edges, name), .max = WIRE_EDGES_MAX, COUNT(edges, count) },
	{ 0 },
};
static const struct wire_body edges = {
	"Edges", 14, edges_fields,
	"Edge servers where a session lives or may soon live, best first.",
	.size = sizeof(struct wire_edges)
};

static const struct wire_field event_fields[] = {
	{ 1, FIELD_FIXED64, MEMBER(event, time_us), .note = "UTC, microseconds since 1970" },
	{ 2, FIELD_FIXED64, MEMBER(event, session), FIELD_OPTIONAL },
	{ 3, FIELD_UINT64, MEMBER(event, number), FIELD_OPTIONAL },
	{ 4, FIELD_NAME, MEMBER(event, node) },
	{ 5, FIELD_TEXT, MEMBER(event, kind), FIELD_NOT_ZERO },
	{ 6, FIELD_TEXT, MEMBER(event, detail), FIELD_OPTIONAL },
	{ 0 },
};
static const struct wire_body event = { "Event", 0, event_fields, "A line of the event log.",
					.size = sizeof(struct wire_event) };

/* ---- links ---- */

static const struct wire_field hello_fields[] = {
	{ 1, FIELD_UINT32, MEMBER(hello, version), FIELD_NOT_ZERO },
	{ 2, FIELD_UINT32, MEMBER(hello, compat), .note = "oldest version the sender can talk to" },
	{ 3, FIELD_UINT32, MEMBER(hello, role), FIELD_NOT_ZERO, .max = WIRE_ROLE_OPERATOR,
	  .note = "enum wire_role" },
	{ 4, FIELD_NAME, MEMBER(hello, name) },
	{ 0 },
};
static const struct wire_body hello = {
	"Hello", 10, hello_fields,
	"First on every connection, both ways. A program ends the connection if the other's compat "
	"is above its own version or the other's version is below its own compat, and if name and "
	"role are not those of the other's certificate."
};

static const struct wire_field refusal_fields[] = {
	{ 1, FIELD_STATUS, MEMBER(refusal, status), .max = WIRE_E_LASTING },
	{ 2, FIELD_UINT64, MEMBER(refusal, number), .note = "0: the whole session" },
	{ 3, FIELD_TEXT, MEMBER(refusal, reason) },
	{ 0 },
};
static const struct wire_body refusal = {
	"Refusal", 15, refusal_fields,
	"Without a session: the connection itself is refused, and ends."
};

/* ---- device and access point ---- */

static const struct wire_field association_request_fields[] = {
	{ 1, FIELD_NAME, MEMBER(association_request, mud) },
	{ 2, FIELD_NAME, MEMBER(association_request, service) },
	{ 0 },
};
static const struct wire_body association_request = { "AssociationRequest", 11,
						      association_request_fields,
						      "Device to access point: serve me." };

static const struct wire_field association_response_fields[] = {
	{ 1, FIELD_STATUS, MEMBER(association_response, status), .max = WIRE_E_LASTING },
	{ 2, FIELD_TEXT, MEMBER(association_response, reason) },
	{ 3, FIELD_ARRAY, MEMBER(association_response, secret), FIELD_OPTIONAL | FIELD_SECRET,
	  .only = WIRE_ASSOCIATION_RESPONSE },
	{ 4, FIELD_MESSAGE, MEMBER(association_response, edges), .nested = &edges },
	{ 5, FIELD_UINT64, MEMBER(association_response, received), FIELD_OPTIONAL,
	  .note = "requests up to here are at the edge server; 0: not known" },
	{ 0 },
};
static const struct wire_body association_response = {
	"AssociationResponse", 12, association_response_fields,
	"Access point to device, for a first association and for later ones."
};

static const struct wire_field reassociation_request_fields[] = {
	{ 1, FIELD_NAME, MEMBER(reassociation_request, mud) },
	{ 2, FIELD_NAME, MEMBER(reassociation_request, service) },
	{ 3, FIELD_NAME, MEMBER(reassociation_request, old_ap), FIELD_MAY_BE_EMPTY,
	  .note = "may be the new one itself" },
	{ 4, FIELD_ARRAY, MEMBER(reassociation_request, proof), FIELD_SECRET,
	  .note = "see net/crypto.h" },
	{ 5, FIELD_MESSAGE, MEMBER(reassociation_request, edges), .nested = &edges },
	{ 6, FIELD_UINT64, MEMBER(reassociation_request, ack),
	  .note = "the device has all answers up to this number" },
	{ 7, FIELD_BOOL, MEMBER(reassociation_request, resume), FIELD_OPTIONAL,
	  .note = "it has forgotten its numbers; received is to tell them" },
	{ 0 },
};
static const struct wire_body reassociation_request = {
	"ReassociationRequest", 13, reassociation_request_fields,
	"Device to access point: I was at old_ap, and this proof shows that the session is mine."
};

/* ---- access point and access point ---- */

static const struct wire_field move_notify_fields[] = {
	{ 1, FIELD_NAME, MEMBER(move_notify, mud) },
	{ 2, FIELD_NAME, MEMBER(move_notify, new_ap) },
	{ 3, FIELD_NAME, MEMBER(move_notify, new_es) },
	{ 4, FIELD_ARRAY, MEMBER(move_notify, proof), FIELD_SECRET },
	{ 0 },
};
static const struct wire_body move_notify = {
	"MoveNotify", 16, move_notify_fields,
	"IAPP: new access point to old one. The device is at new_ap now; give me its context."
};

static const struct wire_field move_response_fields[] = {
	{ 1, FIELD_STATUS, MEMBER(move_response, status), .max = WIRE_E_LASTING },
	{ 2, FIELD_TEXT, MEMBER(move_response, reason) },
	{ 3, FIELD_NAME, MEMBER(move_response, service), FIELD_MAY_BE_EMPTY },
	{ 4, FIELD_ARRAY, MEMBER(move_response, secret), FIELD_SECRET },
	{ 5, FIELD_NAME, MEMBER(move_response, authority), FIELD_MAY_BE_EMPTY,
	  .note = "edge server whose container executes" },
	{ 6, FIELD_UINT64, MEMBER(move_response, command), FIELD_OPTIONAL,
	  .note = "which MOVE NOTIFY, by its proof" },
	{ 0 },
};
static const struct wire_body move_response = { "MoveResponse", 17, move_response_fields,
						"IAPP: old access point to new one." };

static const struct wire_field user_claim_fields[] = {
	{ 1, FIELD_NAME, MEMBER(user_claim, user) },
	{ 2, FIELD_FIXED64, MEMBER(user_claim, claim), FIELD_NOT_ZERO,
	  .note = "the answers repeat it" },
	{ 3, FIELD_UINT64, MEMBER(user_claim, silent_ms), .note = "since the user was heard here" },
	{ 4, FIELD_ARRAY, MEMBER(user_claim, station), FIELD_OPTIONAL,
	  .note = "at which the user is, if that is known" },
	{ 0 },
};
static const struct wire_body user_claim = {
	"UserClaim", 29, user_claim_fields,
	"An ordinary user (known by its address) has turned up here; who has its sessions? The "
	"same body as USER TAKEN: they are here now, forget them."
};

static const struct wire_field user_context_fields[] = {
	{ 1, FIELD_NAME, MEMBER(user_context, user) },
	{ 2, FIELD_FIXED64, MEMBER(user_context, claim), FIELD_NOT_ZERO },
	{ 3, FIELD_NAME, MEMBER(user_context, service) },
	{ 4, FIELD_ARRAY, MEMBER(user_context, secret), FIELD_SECRET },
	{ 5, FIELD_MESSAGE, MEMBER(user_context, edges), .nested = &edges },
	{ 6, FIELD_UINT64, MEMBER(user_context, ack) },
	{ 7, FIELD_UINT64, MEMBER(user_context, next),
	  .note = "above ack, by at most 1025; both 0: not known" },
	{ 0 },
};
static const struct wire_body user_context = {
	"UserContext", 30, user_context_fields,
	"The device's half of one of its sessions; the requests after ack follow, in order.",
	.rule = wire_rule_user_context
};

static const struct wire_field user_request_fields[] = {
	{ 1, FIELD_NAME, MEMBER(user_request, user) },
	{ 2, FIELD_FIXED64, MEMBER(user_request, claim), FIELD_NOT_ZERO },
	{ 3, FIELD_UINT64, MEMBER(user_request, number), FIELD_NOT_ZERO },
	{ 4, FIELD_UINT32, MEMBER(user_request, connection) },
	{ 5, FIELD_UINT32, MEMBER(user_request, preamble), .max = WIRE_PREAMBLE_MAX },
	{ 6, FIELD_UINT32, MEMBER(user_request, port), .max = UINT16_MAX,
	  .note = "of UDP, where the answer is to go to; else 0" },
	{ 7, FIELD_BOOL, MEMBER(user_request, answered) },
	{ 8, FIELD_BYTES, MEMBER(user_request, bytes), .max = WIRE_PAYLOAD_MAX,
	  COUNT(user_request, len) },
	{ 9, FIELD_UINT32, MEMBER(user_request, segment), .max = WIRE_SEGMENTS - 1,
	  .note = "see the header of requests" },
	{ 0 },
};
static const struct wire_body user_request = { "UserRequest", 31, user_request_fields,
					       "A request of a context.",
					       .rule = wire_rule_user_request };

static const struct wire_field user_end_fields[] = {
	{ 1, FIELD_NAME, MEMBER(user_end, user) },
	{ 2, FIELD_FIXED64, MEMBER(user_end, claim), FIELD_NOT_ZERO },
	{ 3, FIELD_STATUS, MEMBER(user_end, status), .max = WIRE_E_LASTING },
	{ 4, FIELD_UINT32, MEMBER(user_end, sessions), .max = WIRE_USER_SESSIONS_MAX,
	  .note = "contexts that came before" },
	{ 0 },
};
static const struct wire_body user_end = {
	"UserEnd", 32, user_end_fields,
	"The end of the answer to a claim: complete (0), or the user is not known (2 UNKNOWN "
	"SESSION), was heard there later (4 NOT ALLOWED), or cannot be handed over now (5 BUSY). "
	"3 UNKNOWN NODE: you are not in the configuration here."
};

static const struct wire_field station_inquiry_fields[] = {
	{ 1, FIELD_ARRAY, MEMBER(station_inquiry, station), .note = "its address, no group" },
	{ 2, FIELD_FIXED64, MEMBER(station_inquiry, inquiry), FIELD_NOT_ZERO,
	  .note = "the answer repeats it" },
	{ 0 },
};
static const struct wire_body station_inquiry = {
	"StationInquiry", 33, station_inquiry_fields,
	"hostapd has just authorised a station here; which of your users are at it?",
	.rule = wire_rule_station
};

static const struct wire_field station_users_fields[] = {
	{ 1, FIELD_ARRAY, MEMBER(station_users, station) },
	{ 2, FIELD_FIXED64, MEMBER(station_users, inquiry), FIELD_NOT_ZERO },
	{ 3, FIELD_NAMES, MEMBER(station_users, user), .max = WIRE_STATION_USERS_MAX,
	  COUNT(station_users, count) },
	{ 0 },
};
static const struct wire_body station_users = {
	"StationUsers", 34, station_users_fields,
	"Users of the answering access point, by the names under which they can be claimed.",
	.rule = wire_rule_station
};

static const struct wire_field user_connection_fields[] = {
	{ 1, FIELD_NAME, MEMBER(user_connection, user) },
	{ 2, FIELD_FIXED64, MEMBER(user_connection, claim), FIELD_NOT_ZERO },
	{ 3, FIELD_ARRAY, MEMBER(user_connection, address),
	  .note = "of the service; IPv4 within IPv6" },
	{ 4, FIELD_UINT32, MEMBER(user_connection, service_port), FIELD_NOT_ZERO,
	  .max = UINT16_MAX },
	{ 5, FIELD_UINT32, MEMBER(user_connection, user_port), FIELD_NOT_ZERO, .max = UINT16_MAX,
	  .note = "at the user's address" },
	{ 0 },
};
static const struct wire_body user_connection = {
	"UserConnection", 36, user_connection_fields,
	"A TCP connection that a client of the user may still have, but whose other end is gone. "
	"Sent to programs of version 3 and later only."
};

/* ---- access point and edge server ---- */

static const struct wire_field create_fields[] = {
	{ 1, FIELD_NAME, MEMBER(create, mud) },
	{ 2, FIELD_NAME, MEMBER(create, service) },
	{ 3, FIELD_NAME, MEMBER(create, ap) },
	{ 4, FIELD_ARRAY, MEMBER(create, secret), FIELD_SECRET },
	{ 0 },
};
static const struct wire_body create = {
	"Create", 18, create_fields,
	"Access point to edge server: make a container for this device."
};

static const struct wire_field attach_fields[] = {
	{ 1, FIELD_NAME, MEMBER(attach, ap) },
	{ 2, FIELD_ARRAY, MEMBER(attach, proof), FIELD_SECRET },
	{ 0 },
};
static const struct wire_body attach = {
	"Attach", 19, attach_fields,
	"Access point to edge server: from now on the session's access point is me."
};

static const struct wire_field migrate_fields[] = {
	{ 1, FIELD_NAME, MEMBER(migrate, to_es) },
	{ 2, FIELD_NAME, MEMBER(migrate, ap), .note = "keeps the copies" },
	{ 3, FIELD_ARRAY, MEMBER(migrate, proof), FIELD_SECRET },
	{ 4, FIELD_BOOL, MEMBER(migrate, hold), FIELD_OPTIONAL,
	  .note = "after a copy that answered otherwise" },
	{ 0 },
};
static const struct wire_body migrate = {
	"Migrate", 20, migrate_fields,
	"Access point to the edge server with authority: move the session to to_es."
};

static const struct wire_field fence_fields[] = {
	{ 1, FIELD_UINT64, MEMBER(fence, after) },
	{ 0 },
};
static const struct wire_body fence = { "Fence", 21, fence_fields,
					"Execute up to this number, as far as requests are there, "
					"and nothing above it in this epoch." };

static const struct wire_field unfence_fields[] = {
	{ 1, FIELD_UINT32, MEMBER(unfence, new_epoch) },
	{ 0 },
};
static const struct wire_body unfence = {
	"Unfence", 22, unfence_fields,
	"Take authority back; only when the other is known not to be active (R4)."
};

static const struct wire_field es_status_fields[] = {
	{ 1, FIELD_UINT32, MEMBER(es_status, state), .max = WIRE_ES_LOST,
	  .note = "enum wire_es_state" },
	{ 2, FIELD_UINT64, MEMBER(es_status, executed) },
	{ 3, FIELD_UINT64, MEMBER(es_status, cut) },
	{ 4, FIELD_UINT32, MEMBER(es_status, cut_association), .note = "0: there was no cut" },
	{ 5, FIELD_UINT32, MEMBER(es_status, migration), .max = WIRE_MIGRATION_SENDING,
	  .note = "enum wire_migration" },
	{ 6, FIELD_NAME, MEMBER(es_status, peer), FIELD_MAY_BE_EMPTY },
	{ 7, FIELD_NAME, MEMBER(es_status, mud), FIELD_MAY_BE_EMPTY },
	{ 8, FIELD_NAME, MEMBER(es_status, service), FIELD_MAY_BE_EMPTY },
	{ 9, FIELD_ARRAY, MEMBER(es_status, secret), FIELD_OPTIONAL | FIELD_SECRET,
	  .note = "only to the proven access point" },
	{ 10, FIELD_STATUS, MEMBER(es_status, status), .max = WIRE_E_LASTING,
	  .note = "FAILED and REFUSED: what was wrong" },
	{ 11, FIELD_TEXT, MEMBER(es_status, reason) },
	{ 12, FIELD_BOOL, MEMBER(es_status, holding), FIELD_OPTIONAL,
	  .note = "fenced by its own cut" },
	{ 13, FIELD_UINT64, MEMBER(es_status, received), FIELD_OPTIONAL,
	  .note = "all requests up to here are there" },
	{ 14, FIELD_UINT64, MEMBER(es_status, command), FIELD_OPTIONAL,
	  .note = "REFUSED: which command, by its proof" },
	{ 15, FIELD_UINT64, MEMBER(es_status, freeze_us), FIELD_OPTIONAL,
	  .note = "how long the last cut froze the container" },
	{ 0 },
};
static const struct wire_body es_status = { "EsStatus", 23, es_status_fields,
					    "Edge server to access point. The type says why it is "
					    "sent now, the body gives the session's state." };

static const struct wire_field edge_state_fields[] = {
	{ 1, FIELD_BOOL, MEMBER(edge_state, drained), .note = "nothing new is to go there" },
	{ 0 },
};
static const struct wire_body edge_state = {
	"EdgeState", 35, edge_state_fields,
	"How an edge server stands, of no session. Sent to programs of version 2 and later only."
};

/* ---- all, and operators ---- */

static const struct wire_field events_fields[] = {
	{ 1, FIELD_UINT64, MEMBER(events, dropped) },
	{ 2, FIELD_MESSAGES, MEMBER(events, event), .max = WIRE_EVENTS_MAX, COUNT(events, count),
	  .nested = &event },
	{ 0 },
};
static const struct wire_body events = {
	"Events", 24, events_fields, "Events, and how many the sender had to drop before them."
};

static const struct wire_field clock_times_fields[] = {
	{ 1, FIELD_FIXED64, MEMBER(clock, sent_us) },
	{ 2, FIELD_FIXED64, MEMBER(clock, received_us) },
	{ 0 },
};
static const struct wire_body clock_times = {
	"Clock", 25, clock_times_fields,
	"A probe has sent_us; its reply copies that and adds the answering side's time."
};

static const struct wire_field text_fields[] = {
	{ 1, FIELD_STATUS, MEMBER(text, status), .max = WIRE_E_LASTING },
	{ 2, FIELD_BYTES, MEMBER(text, bytes), .max = WIRE_TEXT_MAX, COUNT(text, len) },
	{ 0 },
};
static const struct wire_body text = { "Text", 26, text_fields,
				       "Bytes with an outcome: an inquiry, its answer, what a "
				       "destination already has, the outcome of a transfer." };

/* ---- edge server and edge server ---- */

static const struct wire_field offer_fields[] = {
	{ 1, FIELD_NAME, MEMBER(offer, mud) },
	{ 2, FIELD_NAME, MEMBER(offer, service) },
	{ 3, FIELD_NAME, MEMBER(offer, from_es) },
	{ 4, FIELD_NAME, MEMBER(offer, ap), FIELD_MAY_BE_EMPTY },
	{ 5, FIELD_ARRAY, MEMBER(offer, secret), FIELD_SECRET },
	{ 6, FIELD_BYTES, MEMBER(offer, plan), .max = WIRE_TEXT_MAX, COUNT(offer, plan_len),
	  .note = "JSON" },
	{ 0 },
};
static const struct wire_body offer = { "Offer", 27, offer_fields,
					"Source to destination edge server: a container for you." };

static const struct wire_field transfer_end_fields[] = {
	{ 1, FIELD_UINT64, MEMBER(transfer_end, stream_bytes) },
	{ 2, FIELD_ARRAY, MEMBER(transfer_end, sha256), .note = "of all chunks" },
	{ 0 },
};
static const struct wire_body transfer_end = { "TransferEnd", 28, transfer_end_fields,
					       "After the last chunk." };

/* ---- data frames: fields have a place in the header, and bytes come behind it ---- */

#define PLACE(at, bytes) .width = (bytes), .shift = 64 - 8 * ((at) % 8 + (bytes)), .number = (at)
#define DATA(name, fields, type)                                                                   \
	name, 0, fields, .payload = &(fields)[ARRAY_SIZE(fields) - 2], .size = sizeof(type)

static const struct wire_field request_fields[] = {
	{ PLACE(16, 8), FIELD_UINT64, MEMBER(data, number), FIELD_NOT_ZERO },
	{ PLACE(24, 8), FIELD_UINT64, MEMBER(data, ack) },
	{ PLACE(32, 1), FIELD_UINT32, MEMBER(data, segment), .max = WIRE_SEGMENTS - 1 },
	{ PLACE(33, 3), FIELD_UINT32, MEMBER(data, preamble), .max = WIRE_PREAMBLE_MAX },
	{ PLACE(36, 4), FIELD_UINT32, MEMBER(data, connection) },
	{ PLACE(40, 0), FIELD_BYTES, MEMBER(data, bytes), .max = WIRE_PAYLOAD_MAX,
	  COUNT(data, len) },
	{ 0 },
};
static const struct wire_body request = { DATA("Request", request_fields, struct wire_data),
					  .rule = wire_rule_request };

static const struct wire_field answer_fields[] = {
	{ PLACE(16, 8), FIELD_UINT64, MEMBER(data, number), FIELD_NOT_ZERO },
	{ PLACE(24, 8), FIELD_UINT64, MEMBER(data, digest) },
	{ PLACE(32, 4), FIELD_UINT32, MEMBER(data, status), .max = WIRE_E_LASTING },
	{ PLACE(40, 0), FIELD_BYTES, MEMBER(data, bytes), .max = WIRE_PAYLOAD_MAX,
	  COUNT(data, len) },
	{ 0 },
};
static const struct wire_body answer = { DATA("Answer", answer_fields, struct wire_data) };

static const struct wire_field stream_fields[] = {
	{ PLACE(16, 8), FIELD_UINT64, MEMBER(stream, offset) },
	{ PLACE(24, 8), FIELD_UINT64, MEMBER(stream, taken) },
	{ PLACE(32, 4), FIELD_BOOL, MEMBER(stream, ended) },
	{ PLACE(36, 4), FIELD_UINT32, MEMBER(stream, connection) },
	{ PLACE(40, 0), FIELD_BYTES, MEMBER(stream, bytes), .max = WIRE_PAYLOAD_MAX,
	  COUNT(stream, len) },
	{ 0 },
};
static const struct wire_body stream = { DATA("Stream", stream_fields, struct wire_stream),
					 .rule = wire_rule_stream };

static const struct wire_field chunk_fields[] = {
	{ PLACE(32, 4), FIELD_STATUS, MEMBER(text, status), .max = WIRE_E_LASTING },
	{ PLACE(40, 0), FIELD_BYTES, MEMBER(text, bytes), .max = WIRE_PAYLOAD_MAX,
	  COUNT(text, len) },
	{ 0 },
};
static const struct wire_body chunk = { DATA("Chunk", chunk_fields, struct wire_text) };

static const struct wire_field cut_fields[] = {
	{ PLACE(16, 8), FIELD_UINT64, MEMBER(cut, number) },
	{ PLACE(40, 0), FIELD_BYTES, MEMBER(cut, cache), .max = WIRE_CUT_MAX,
	  COUNT(cut, cache_len) },
	{ 0 },
};
static const struct wire_body cut = { DATA("Cut", cut_fields, struct wire_cut) };

/* ---- types ---- */

#define CONTROL(body_) .body = (body_), .kind = WIRE_KIND_CONTROL
#define SESSIONLESS    .sessionless = true

static const char device_to_ap[] = "device to AP";
static const char ap_to_device[] = "AP to device";
static const char ap_to_ap[] = "AP to AP";
static const char ap_to_es[] = "AP to ES";
static const char es_to_ap[] = "ES to AP";
static const char source_to_destination[] = "source to destination";
static const char destination_to_source[] = "destination to source";

static const struct wire_type_info types[] = {
	[WIRE_HELLO] = { "HELLO", "both ways", CONTROL(&hello), SESSIONLESS },

	[WIRE_ASSOCIATION_REQUEST] = { "ASSOCIATION REQUEST", device_to_ap,
				       CONTROL(&association_request) },
	[WIRE_ASSOCIATION_RESPONSE] = { "ASSOCIATION RESPONSE", ap_to_device,
					CONTROL(&association_response) },
	[WIRE_REASSOCIATION_REQUEST] = { "REASSOCIATION REQUEST", device_to_ap,
					 CONTROL(&reassociation_request) },
	[WIRE_REASSOCIATION_RESPONSE] = { "REASSOCIATION RESPONSE", ap_to_device,
					  CONTROL(&association_response) },
	[WIRE_DISASSOCIATION] = { "DISASSOCIATION", device_to_ap, CONTROL(NULL) },
	[WIRE_EDGE_NOTICE] = { "EDGE NOTICE", ap_to_device, CONTROL(&edges) },
	/* without a session it refuses the connection */
	[WIRE_REFUSAL] = { "REFUSAL", "both ways", CONTROL(&refusal), SESSIONLESS },

	[WIRE_MOVE_NOTIFY] = { "MOVE NOTIFY", ap_to_ap, CONTROL(&move_notify) },
	[WIRE_MOVE_RESPONSE] = { "MOVE RESPONSE", ap_to_ap, CONTROL(&move_response) },
	/* claims are about all sessions of a user */
	[WIRE_USER_CLAIM] = { "USER CLAIM", ap_to_ap, CONTROL(&user_claim), SESSIONLESS },
	[WIRE_USER_CONTEXT] = { "USER CONTEXT", ap_to_ap, CONTROL(&user_context) },
	[WIRE_USER_REQUEST] = { "USER REQUEST", ap_to_ap, CONTROL(&user_request) },
	[WIRE_USER_END] = { "USER END", ap_to_ap, CONTROL(&user_end), SESSIONLESS },
	[WIRE_USER_TAKEN] = { "USER TAKEN", ap_to_ap, CONTROL(&user_claim), SESSIONLESS },
	[WIRE_STATION_INQUIRY] = { "STATION INQUIRY", ap_to_ap, CONTROL(&station_inquiry),
				   SESSIONLESS },
	[WIRE_STATION_USERS] = { "STATION USERS", ap_to_ap, CONTROL(&station_users), SESSIONLESS },
	[WIRE_USER_CONNECTION] = { "USER CONNECTION", ap_to_ap, CONTROL(&user_connection),
				   SESSIONLESS },

	[WIRE_CREATE] = { "CREATE", ap_to_es, CONTROL(&create) },
	[WIRE_ATTACH] = { "ATTACH", ap_to_es, CONTROL(&attach) },
	[WIRE_MIGRATE] = { "MIGRATE", ap_to_es, CONTROL(&migrate) },
	[WIRE_FENCE] = { "FENCE", ap_to_es, CONTROL(&fence) },
	[WIRE_UNFENCE] = { "UNFENCE", ap_to_es, CONTROL(&unfence) },
	[WIRE_ACTIVATE] = { "ACTIVATE", ap_to_es, CONTROL(NULL) },
	[WIRE_RETIRE] = { "RETIRE", ap_to_es, CONTROL(NULL) },
	[WIRE_ABORT] = { "ABORT", ap_to_es, CONTROL(NULL) },

	[WIRE_STATUS] = { "STATUS", es_to_ap, CONTROL(&es_status) },
	[WIRE_CREATED] = { "CREATED", es_to_ap, CONTROL(&es_status) },
	[WIRE_CUT] = { "CUT", es_to_ap, CONTROL(&es_status) },
	[WIRE_READY] = { "READY", es_to_ap, CONTROL(&es_status) },
	[WIRE_FENCED] = { "FENCED", es_to_ap, CONTROL(&es_status) },
	[WIRE_UNFENCED] = { "UNFENCED", es_to_ap, CONTROL(&es_status) },
	[WIRE_ACTIVATED] = { "ACTIVATED", es_to_ap, CONTROL(&es_status) },
	[WIRE_RETIRED] = { "RETIRED", es_to_ap, CONTROL(&es_status) },
	[WIRE_ABORTED] = { "ABORTED", es_to_ap, CONTROL(&es_status) },
	[WIRE_FAILED] = { "FAILED", es_to_ap, CONTROL(&es_status) },
	[WIRE_LOST] = { "LOST", es_to_ap, CONTROL(&es_status) },
	[WIRE_REFUSED] = { "REFUSED", es_to_ap, CONTROL(&es_status) },
	[WIRE_EDGE_STATE] = { "EDGE STATE", es_to_ap, CONTROL(&edge_state), SESSIONLESS },

	[WIRE_REQUEST] = { "REQUEST", "device to AP to ES", &request, WIRE_KIND_REQUEST },
	[WIRE_ANSWER] = { "ANSWER", "ES to AP to device", &answer, WIRE_KIND_ANSWER },
	[WIRE_STREAM] = { "STREAM", "ES to AP to device", &stream, WIRE_KIND_STREAM },

	[WIRE_EVENTS] = { "EVENTS", "all to LogRepo", CONTROL(&events), SESSIONLESS },
	[WIRE_CLOCK_PROBE] = { "CLOCK PROBE", "both ways", CONTROL(&clock_times), SESSIONLESS },
	[WIRE_CLOCK_REPLY] = { "CLOCK REPLY", "both ways", CONTROL(&clock_times), SESSIONLESS },
	[WIRE_INQUIRY] = { "INQUIRY", "operator to daemon", CONTROL(&text), SESSIONLESS },
	[WIRE_INQUIRY_ANSWER] = { "INQUIRY ANSWER", "daemon to operator", CONTROL(&text),
				  SESSIONLESS },

	[WIRE_TRANSFER_OFFER] = { "TRANSFER OFFER", source_to_destination, CONTROL(&offer) },
	[WIRE_TRANSFER_ACCEPT] = { "TRANSFER ACCEPT", destination_to_source, CONTROL(&text),
				   SESSIONLESS },
	[WIRE_TRANSFER_CUT] = { "TRANSFER CUT", source_to_destination, &cut, WIRE_KIND_CUT },
	[WIRE_TRANSFER_CHUNK] = { "TRANSFER CHUNK", source_to_destination, &chunk, WIRE_KIND_CHUNK,
				  SESSIONLESS },
	[WIRE_TRANSFER_END] = { "TRANSFER END", source_to_destination, CONTROL(&transfer_end),
				SESSIONLESS },
	[WIRE_TRANSFER_RESULT] = { "TRANSFER RESULT", destination_to_source, CONTROL(&text),
				   SESSIONLESS },
};

const struct wire_type_info *wire_type_info(uint32_t type)
{
	return type < ARRAY_SIZE(types) && types[type].name ? &types[type] : NULL;
}
