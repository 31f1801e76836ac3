/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One valid message of every type, for the round-trip test and the fuzzer's seeds
 */

#include <string.h>

#include "base/auto.h"
#include "wire/codec.h"

static const enum wire_type sample_types[] = {
	WIRE_HELLO,
	WIRE_ASSOCIATION_REQUEST,
	WIRE_ASSOCIATION_RESPONSE,
	WIRE_REASSOCIATION_REQUEST,
	WIRE_REASSOCIATION_RESPONSE,
	WIRE_DISASSOCIATION,
	WIRE_EDGE_NOTICE,
	WIRE_REFUSAL,
	WIRE_MOVE_NOTIFY,
	WIRE_MOVE_RESPONSE,
	WIRE_USER_CLAIM,
	WIRE_USER_CONTEXT,
	WIRE_USER_REQUEST,
	WIRE_USER_END,
	WIRE_USER_TAKEN,
	WIRE_STATION_INQUIRY,
	WIRE_STATION_USERS,
	WIRE_CREATE,
	WIRE_ATTACH,
	WIRE_MIGRATE,
	WIRE_FENCE,
	WIRE_UNFENCE,
	WIRE_ACTIVATE,
	WIRE_RETIRE,
	WIRE_ABORT,
	WIRE_STATUS,
	WIRE_CREATED,
	WIRE_CUT,
	WIRE_READY,
	WIRE_FENCED,
	WIRE_UNFENCED,
	WIRE_ACTIVATED,
	WIRE_RETIRED,
	WIRE_ABORTED,
	WIRE_FAILED,
	WIRE_LOST,
	WIRE_REFUSED,
	WIRE_EDGE_STATE,
	WIRE_REQUEST,
	WIRE_ANSWER,
	WIRE_STREAM,
	WIRE_EVENTS,
	WIRE_CLOCK_PROBE,
	WIRE_CLOCK_REPLY,
	WIRE_INQUIRY,
	WIRE_INQUIRY_ANSWER,
	WIRE_TRANSFER_OFFER,
	WIRE_TRANSFER_ACCEPT,
	WIRE_TRANSFER_CUT,
	WIRE_TRANSFER_CHUNK,
	WIRE_TRANSFER_END,
	WIRE_TRANSFER_RESULT,
};

static inline void sample_edges(struct wire_edges *e)
{
	e->count = 2;
	strcpy(e->name[0], "EdgeServer-1");
	strcpy(e->name[1], "EdgeServer-2");
}

/* Events and bytes are static: a sample needs no release */
static inline struct wire_message sample_message(enum wire_type type)
{
	static struct wire_event events[2] = {
		{ .time_us = 1700000000000001, .node = "USER", .kind = "SVCQ", .number = 1 },
		{ .time_us = 1700000000000002,
		  .session = 7,
		  .node = "AP-1",
		  .kind = "REASSOCIATION REQUEST",
		  .detail = "from AP-2" },
	};
	static const uint8_t bytes[] = "some bytes\0 of a user";
	struct wire_message m = {
		.type = type, .session = 0xfedcba9876543210, .association = 3, .epoch = 2
	};

	switch (type) {
	case WIRE_HELLO:
		wire_hello_set(&m, "AP-1", WIRE_ROLE_AP);
		break;
	case WIRE_ASSOCIATION_REQUEST:
		strcpy(m.association_request.mud, "MUD-1");
		strcpy(m.association_request.service, "chain");
		break;
	case WIRE_ASSOCIATION_RESPONSE:
		memset(m.association_response.secret, 0x5a, WIRE_SECRET_SIZE);
		sample_edges(&m.association_response.edges);
		break;
	case WIRE_REASSOCIATION_RESPONSE:
		m.association_response.status = WIRE_E_NOT_ALLOWED;
		strcpy(m.association_response.reason, "proof does not match");
		m.association_response.received = 54;
		break;
	case WIRE_REASSOCIATION_REQUEST:
		strcpy(m.reassociation_request.mud, "MUD-1");
		strcpy(m.reassociation_request.service, "chain");
		strcpy(m.reassociation_request.old_ap, "AP-1");
		memset(m.reassociation_request.proof, 0xa5, WIRE_PROOF_SIZE);
		sample_edges(&m.reassociation_request.edges);
		break;
	case WIRE_EDGE_NOTICE:
		sample_edges(&m.edges);
		break;
	case WIRE_REFUSAL:
		m.refusal.status = WIRE_E_BUSY;
		m.refusal.number = 12;
		strcpy(m.refusal.reason, "64 requests are unanswered");
		break;
	case WIRE_MOVE_NOTIFY:
		strcpy(m.move_notify.mud, "MUD-1");
		strcpy(m.move_notify.new_ap, "AP-2");
		strcpy(m.move_notify.new_es, "EdgeServer-2");
		break;
	case WIRE_MOVE_RESPONSE:
		m.move_response.command = 0x8877665544332211ull;
		strcpy(m.move_response.service, "chain");
		strcpy(m.move_response.authority, "EdgeServer-1");
		memset(m.move_response.secret, 1, WIRE_SECRET_SIZE);
		break;
	case WIRE_USER_CLAIM:
	case WIRE_USER_TAKEN:
		strcpy(m.user_claim.user, "user-10.80.0.11");
		m.user_claim.claim = 77;
		m.user_claim.silent_ms = 12;
		break;
	case WIRE_USER_CONTEXT:
		strcpy(m.user_context.user, "user-10.80.0.11");
		m.user_context.claim = 77;
		strcpy(m.user_context.service, "cache");
		memset(m.user_context.secret, 0x77, WIRE_SECRET_SIZE);
		sample_edges(&m.user_context.edges);
		m.user_context.ack = 50;
		m.user_context.next = 52;
		break;
	case WIRE_USER_REQUEST:
		strcpy(m.user_request.user, "user-10.80.0.11");
		m.user_request.claim = 77;
		m.user_request.number = 51;
		m.user_request.connection = 0xfffffffe;
		m.user_request.preamble = 4;
		m.user_request.part = WIRE_PART_BEGIN;
		m.user_request.port = 65535;
		m.user_request.answered = true;
		m.user_request.bytes = bytes;
		m.user_request.len = sizeof(bytes);
		break;
	case WIRE_USER_END:
		strcpy(m.user_end.user, "user-10.80.0.11");
		m.user_end.claim = 77;
		m.user_end.status = WIRE_OK;
		m.user_end.sessions = 1;
		break;
	case WIRE_STATION_INQUIRY:
		memcpy(m.station_inquiry.station, "\2\0\0\0\1\1", WIRE_STATION_SIZE);
		m.station_inquiry.inquiry = 78;
		break;
	case WIRE_STATION_USERS:
		memcpy(m.station_users.station, "\2\0\0\0\1\1", WIRE_STATION_SIZE);
		m.station_users.inquiry = 78;
		m.station_users.count = 2;
		strcpy(m.station_users.user[0], "user-10.80.0.11");
		strcpy(m.station_users.user[1], "user-2001-db8--11");
		break;
	case WIRE_CREATE:
		strcpy(m.create.mud, "MUD-1");
		strcpy(m.create.service, "chain");
		strcpy(m.create.ap, "AP-1");
		break;
	case WIRE_ATTACH:
		strcpy(m.attach.ap, "AP-2");
		break;
	case WIRE_MIGRATE:
		strcpy(m.migrate.to_es, "EdgeServer-2");
		strcpy(m.migrate.ap, "AP-2");
		break;
	case WIRE_FENCE:
		m.fence.after = UINT64_MAX;
		break;
	case WIRE_UNFENCE:
		m.unfence.new_epoch = 4;
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
		m.es_status.state = WIRE_ES_STANDBY;
		m.es_status.executed = 50;
		m.es_status.received = 53;
		m.es_status.cut = 49;
		m.es_status.cut_association = 3;
		m.es_status.migration = WIRE_MIGRATION_SENDING;
		m.es_status.command = 0x1122334455667788ull;
		m.es_status.freeze_us = 44700;
		m.es_status.status = WIRE_E_FAILED;
		strcpy(m.es_status.peer, "EdgeServer-2");
		strcpy(m.es_status.mud, "MUD-1");
		strcpy(m.es_status.service, "chain");
		memset(m.es_status.secret, 9, WIRE_SECRET_SIZE);
		strcpy(m.es_status.reason, "no space left");
		break;
	case WIRE_EDGE_STATE:
		m.edge_state.drained = true;
		break;
	case WIRE_REQUEST:
		m.data = (struct wire_data){
			.number = 51,
			.ack = 50,
			.preamble = 2,
			.connection = 9,
			.part = WIRE_PART_LAST,
			.bytes = bytes,
			.len = sizeof(bytes),
		};
		break;
	case WIRE_ANSWER:
		m.data = (struct wire_data){ .number = 51, .status = WIRE_E_IN_DOUBT };
		break;
	case WIRE_STREAM:
		m.stream = (struct wire_stream){ .connection = 7,
						 .offset = 1u << 20,
						 .taken = 5,
						 .ended = true,
						 .bytes = bytes,
						 .len = sizeof(bytes) };
		break;
	case WIRE_EVENTS:
		m.events = (struct wire_events){ .dropped = 3,
						 .count = ARRAY_SIZE(events),
						 .event = events };
		break;
	case WIRE_CLOCK_PROBE:
	case WIRE_CLOCK_REPLY:
		m.clock = (struct wire_clock){ .sent_us = 1, .received_us = 2 };
		break;
	case WIRE_INQUIRY:
	case WIRE_INQUIRY_ANSWER:
	case WIRE_TRANSFER_ACCEPT:
	case WIRE_TRANSFER_CHUNK:
	case WIRE_TRANSFER_RESULT:
		m.text = (struct wire_text){ .status = WIRE_E_FAILED,
					     .bytes = bytes,
					     .len = sizeof(bytes) };
		break;
	case WIRE_TRANSFER_OFFER:
		strcpy(m.offer.mud, "MUD-1");
		strcpy(m.offer.service, "chain");
		strcpy(m.offer.from_es, "EdgeServer-1");
		strcpy(m.offer.ap, "AP-2");
		m.offer.plan = bytes;
		m.offer.plan_len = sizeof(bytes);
		break;
	case WIRE_TRANSFER_CUT:
		m.cut = (struct wire_cut){ .number = 49,
					   .cache = bytes,
					   .cache_len = sizeof(bytes) };
		break;
	case WIRE_TRANSFER_END:
		m.transfer_end.stream_bytes = 1u << 30;
		memset(m.transfer_end.sha256, 0xee, sizeof(m.transfer_end.sha256));
		break;
	case WIRE_DISASSOCIATION:
	case WIRE_ACTIVATE:
	case WIRE_RETIRE:
	case WIRE_ABORT:
		break;
	}
	return m;
}
