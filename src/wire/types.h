/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Types - kinds of messages, limits, and the enumerations that are in messages
 *
 * All values are on the wire and never change; new ones come at the end.
 */

#include <stddef.h>
#include <stdint.h>

#define WIRE_SECRET_SIZE 32
#define WIRE_PROOF_SIZE  32
#define WIRE_REASON_SIZE 448        /* a text of struct err with a prefix */
#define WIRE_EDGES_MAX   4          /* edge servers a MUD remembers for its session */
#define WIRE_PAYLOAD_MAX (1u << 20) /* bytes of one request or answer */
#define WIRE_TEXT_MAX    (1u << 20) /* bytes of an operator's answer or a batch of events */
#define WIRE_WINDOW      1024       /* requests a MUD may have unanswered (R9) ... */
#define WIRE_WINDOW_BYTES                                                                          \
	(64u << 20) /* ... and bytes of them, or of answers it has not confirmed */
#define WIRE_PREAMBLE_MAX      (64u << 10) /* bytes that restore a connection's state */
#define WIRE_USER_SESSIONS_MAX 64          /* sessions of an ordinary user */
#define WIRE_STATION_SIZE      6           /* bytes of a station's address (IEEE 802) */
#define WIRE_ADDRESS_SIZE      16  /* bytes of an IP address; IPv4 within IPv6 (::ffff:a.b.c.d) */
#define WIRE_STATION_USERS_MAX 8   /* users, so IP addresses, of one station */
#define WIRE_EVENTS_MAX        256 /* events in one EVENTS message */
#define WIRE_VERSION           3
#define WIRE_COMPAT            1 /* oldest version this one can talk to */

/**
 * enum wire_type - Kinds of messages; the values are on the wire and never change
 *
 * The answers of an edge server to an access point (STATUS to LOST) all carry struct
 * wire_es_status: the kind says why it is sent now, the body gives the state of the session. Losing
 * one is therefore harmless: the next one says the same and more.
 */
enum wire_type {
	WIRE_HELLO = 1, /* both ways, first on a link: struct wire_hello */

	/* MUD and access point */
	WIRE_ASSOCIATION_REQUEST = 10,
	WIRE_ASSOCIATION_RESPONSE,
	WIRE_REASSOCIATION_REQUEST,
	WIRE_REASSOCIATION_RESPONSE,
	WIRE_DISASSOCIATION, /* MUD ends the session; no body */
	WIRE_EDGE_NOTICE,    /* AP to MUD: where the session may live from now on */
	WIRE_REFUSAL,        /* AP to MUD: a request, or the whole session, is refused */

	/* access point and access point (IAPP) */
	WIRE_MOVE_NOTIFY = 30,
	WIRE_MOVE_RESPONSE,
	WIRE_USER_CLAIM,   /* struct wire_user_claim: an ordinary user is here; who has it? */
	WIRE_USER_CONTEXT, /* struct wire_user_context: one of its sessions */
	WIRE_USER_REQUEST, /* struct wire_user_request: one of its unanswered requests */
	WIRE_USER_END,     /* struct wire_user_end: that was all, or why there is nothing */
	WIRE_USER_TAKEN,   /* struct wire_user_claim: the context is here whole; forget it */

	WIRE_STATION_INQUIRY, /* struct wire_station_inquiry: a station came; who are its users? */
	WIRE_STATION_USERS,   /* struct wire_station_users: the answer, even if there are none */
	WIRE_USER_CONNECTION, /* struct wire_user_connection: one that a client may still have; since version 3 */

	/* access point to edge server */
	WIRE_CREATE = 50,
	WIRE_ATTACH,
	WIRE_MIGRATE,
	WIRE_FENCE,
	WIRE_UNFENCE,
	WIRE_ACTIVATE, /* no body; epoch is the new one */
	WIRE_RETIRE,   /* no body */
	WIRE_ABORT,    /* no body: drop the running migration, or a copy not yet active */

	/* edge server to access point, all with struct wire_es_status */
	WIRE_STATUS = 70,
	WIRE_CREATED,
	WIRE_CUT, /* T1 was taken at number cut */
	WIRE_READY, /* T5 is done: CT-y has the state of number cut, and waits for buffered requests */
	WIRE_FENCED,
	WIRE_UNFENCED,
	WIRE_ACTIVATED,
	WIRE_RETIRED,
	WIRE_ABORTED,
	WIRE_FAILED,  /* a migration failed, the session lives on where it was (R10) */
	WIRE_LOST,    /* the container died */
	WIRE_REFUSED, /* a command was not obeyed: status and reason say why. The association is
			 * the command's, cut_association the one in force; ignore the rest */
	WIRE_EDGE_STATE, /* struct wire_edge_state: of the edge server, of no session; since version 2 */

	/* the service's traffic, MUD - AP - ES */
	WIRE_REQUEST = 90,
	WIRE_ANSWER,
	WIRE_STREAM, /* struct wire_stream: bytes that a service sends unasked (codec tcp) */

	/* to the event log repository, and clocks */
	WIRE_EVENTS = 110,
	WIRE_CLOCK_PROBE, /* struct wire_clock: sent is filled in */
	WIRE_CLOCK_REPLY, /* struct wire_clock: sent is copied, received is filled in */

	/* operator */
	WIRE_INQUIRY = 120,  /* struct wire_text: "status", "sessions", "events ..." */
	WIRE_INQUIRY_ANSWER, /* struct wire_text: JSON, or error text with status != 0 */

	/* edge server to edge server, on a migration's own connection */
	WIRE_TRANSFER_OFFER = 140, /* struct wire_offer */
	WIRE_TRANSFER_ACCEPT,      /* struct wire_text: JSON, which part of the image is wanted;
				      empty, on the paper's way: a file has come */
	WIRE_TRANSFER_CUT,         /* struct wire_cut; the stream follows */
	WIRE_TRANSFER_CHUNK,       /* struct wire_text: next bytes of the stream */
	WIRE_TRANSFER_END,         /* struct wire_transfer_end */
	WIRE_TRANSFER_RESULT,      /* struct wire_text: status 0 = restored, else the reason */
};

/** enum wire_role - Role that a certificate grants its owner */
enum wire_role {
	WIRE_ROLE_NONE,
	WIRE_ROLE_MUD,
	WIRE_ROLE_AP,
	WIRE_ROLE_ES,
	WIRE_ROLE_LOGREPO,
	WIRE_ROLE_OPERATOR,
};

/** enum wire_es_state - State of a session at one edge server */
enum wire_es_state {
	WIRE_ES_NONE,     /* not known here */
	WIRE_ES_CREATING, /* first container is being made */
	WIRE_ES_ACTIVE,   /* has authority: executes */
	WIRE_ES_FENCED,   /* had authority: executes nothing in this epoch again */
	WIRE_ES_ARRIVING, /* its container is on the way here */
	WIRE_ES_STANDBY,  /* restored: executes buffered requests, answers no user yet */
	WIRE_ES_RETIRED,  /* gone from here; peer and epoch say where */
	WIRE_ES_LOST,     /* the container died; state is gone from here */
};

/** enum wire_migration - Progress of a migration at its source */
enum wire_migration {
	WIRE_MIGRATION_NONE,
	WIRE_MIGRATION_PREPARING, /* before the cut */
	WIRE_MIGRATION_SENDING,   /* after the cut, until the destination has restored */
};

/** enum wire_status - Outcome in responses */
enum wire_status {
	WIRE_OK,
	WIRE_E_UNKNOWN_SERVICE,
	WIRE_E_UNKNOWN_SESSION,
	WIRE_E_UNKNOWN_NODE,
	WIRE_E_NOT_ALLOWED, /* certificate or proof does not permit this */
	WIRE_E_BUSY,        /* a limit is reached, try later */
	WIRE_E_SESSION_LOST,
	WIRE_E_IN_DOUBT, /* edge server restarted while this request ran: outcome unknown */
	WIRE_E_PROTOCOL,
	WIRE_E_FAILED,
	WIRE_OK_MORE, /* answers: as WIRE_OK, but more of the answer follows: see WIRE_SEGMENT_REST */
	WIRE_E_LASTING, /* failed, and will fail again for the same reason until somebody acts */
};

/**
 * enum wire_segment - Which segment of a long request a numbered request is
 *
 * The segments of a long request are numbered like other requests, so none is lost or taken twice; other
 * requests may come in between. The edge server collects them, and executes the whole with the last one. All
 * but the last have empty answers. The edge server also keeps a long answer, and gives it away in segments of
 * WIRE_PAYLOAD_MAX bytes: the first answers the request, each further one a REST. Only the user's own
 * connections have segments; a connection has one request in segments at a time.
 */
enum wire_segment {
	WIRE_SEGMENT_WHOLE, /* it is a request by itself */
	WIRE_SEGMENT_BEGIN, /* the first segment of a long one */
	WIRE_SEGMENT_MORE,
	WIRE_SEGMENT_LAST, /* now it can be executed */
	WIRE_SEGMENT_REST, /* no request: the next segment of the answer to the request whose number the
			 * payload is (u64, big-endian). It is empty if there is none */
	WIRE_SEGMENT_DROP, /* same payload: that answer is not wanted; 0: drop the segments that have come */
	WIRE_SEGMENTS,
};

#define WIRE_SEGMENT_NUMBER_SIZE 8 /* of the payload of REST and DROP */

/** wire_type_name() - "REASSOCIATION REQUEST" and so on. Return: a constant, never NULL */
const char *wire_type_name(enum wire_type type);

/** wire_status_name() - "unknown service" and so on. Return: a constant, never NULL */
const char *wire_status_name(enum wire_status status);

/** wire_role_name() - "mud", "ap", "es", "logrepo", "operator". Return: a constant, never NULL */
const char *wire_role_name(enum wire_role role);

/** wire_role_from_name() - Reverse of wire_role_name(). Return: WIRE_ROLE_NONE if there is none */
enum wire_role wire_role_from_name(const char *name);

/** wire_es_state_name() - "active" and so on. Return: a constant, never NULL */
const char *wire_es_state_name(enum wire_es_state state);
