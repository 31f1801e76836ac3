/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Messages - everything that Baton programs say to each other, as plain structures
 *
 * The core and the simulator use these structures; wire/codec.c turns them into frames and back
 * (baton.proto is the reference for the bytes). Names follow IEEE 802.11 and IAPP where the paper
 * does. Strings are fixed fields so that a decoded message owns nothing; the bytes of requests,
 * answers and texts are borrowed from the frame they came in, for the duration of the call.
 *
 * A session is one MUD using one service. Its messages carry
 *   session      random number chosen by the MUD, never 0
 *   association  counts the MUD's associations, first one 1. An edge server obeys the access point
 *                with the highest proven association and no other (R11)
 *   epoch        grows by one each time authority over the session moves (R4)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "wire/types.h"

/** struct wire_hello - The sender; must agree with the certificate of the link */
struct wire_hello {
	uint32_t version;
	uint32_t compat;
	enum wire_role role;
	char name[NAME_SIZE];
};

/** struct wire_edges - Edge servers where a session lives or may soon live, best first */
struct wire_edges {
	uint32_t count;
	char name[WIRE_EDGES_MAX][NAME_SIZE];
};

/** struct wire_association_request - A MUD appears and wants a service; its session begins */
struct wire_association_request {
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
};

/** struct wire_association_response - Also the body of REASSOCIATION_RESPONSE (without secret) */
struct wire_association_response {
	enum wire_status status;
	char reason[WIRE_REASON_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE]; /* proves later associations; only over TLS */
	struct wire_edges edges;
	uint64_t received; /* see struct wire_es_status; 0: not known */
};

/** struct wire_reassociation_request - A MUD comes from another access point, or back */
struct wire_reassociation_request {
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	char old_ap[NAME_SIZE]; /* may be the new one itself, after a restart or a broken link */
	uint8_t proof[WIRE_PROOF_SIZE];
	struct wire_edges edges;
	uint64_t ack; /* every answer up to this number has reached the MUD */
	bool resume;  /* the holder has forgotten its numbers: the answer is to tell them */
};

/** struct wire_refusal - Refusal of the access point to a MUD, with the reason */
struct wire_refusal {
	enum wire_status status;
	uint64_t number; /* 0: the whole session */
	char reason[WIRE_REASON_SIZE];
};

/** struct wire_move_notify - IAPP MOVE-notify: the MUD is at @new_ap now */
struct wire_move_notify {
	char mud[NAME_SIZE];
	char new_ap[NAME_SIZE];
	char new_es[NAME_SIZE]; /* edge server of the new access point */
	uint8_t proof[WIRE_PROOF_SIZE];
};

/**
 * struct wire_move_response - IAPP MOVE-response: the context of the MUD
 *
 * @command are the first 8 bytes of the proof in the MOVE NOTIFY it answers: several devices may claim one
 * session at one access point.
 */
struct wire_move_response {
	enum wire_status status;
	uint64_t command;
	char reason[WIRE_REASON_SIZE];
	char service[NAME_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE];
	char authority[NAME_SIZE]; /* edge server whose container executes */
};

/**
 * struct wire_user_claim - An ordinary user, known by its address, has turned up at an access point
 * @user:	Its name
 * @claim:	Number of the claim, which the answers repeat; not 0
 * @silent_ms:	How long ago it was heard there: the access point that heard it last has it
 * @station:	Its station; all 0: not known. Sessions of another station at that address are not meant
 */
struct wire_user_claim {
	char user[NAME_SIZE];
	uint64_t claim;
	uint64_t silent_ms;
	uint8_t station[WIRE_STATION_SIZE];
};

/**
 * struct wire_user_context - The device's half of one session of an ordinary user
 *
 * Session and association are in the message. The secret goes to access points only; their word
 * that the user is there takes the place of a device's proof (R11).
 *
 * @user, @claim: See struct wire_user_claim
 * @service:	Of the session
 * @secret:	Of the session
 * @edges:	Edge servers where it may live
 * @ack:	All answers up to this number were delivered
 * @next:	Number of its next request; those after @ack follow. Both 0: not known (after a restart)
 */
struct wire_user_context {
	char user[NAME_SIZE];
	uint64_t claim;
	char service[NAME_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE];
	struct wire_edges edges;
	uint64_t ack;
	uint64_t next;
};

/**
 * struct wire_user_request - A request after the context's ack
 * @user, @claim: See struct wire_user_claim
 * @number, @connection, @preamble, @segment, @bytes, @len: As in struct wire_data
 * @port:	codec udp: port at the user's address for the answer; else 0
 * @answered:	Its answer was delivered already
 */
struct wire_user_request {
	char user[NAME_SIZE];
	uint64_t claim;
	uint64_t number;
	uint32_t connection;
	uint32_t preamble;
	enum wire_segment segment;
	uint32_t port;
	bool answered;
	const uint8_t *bytes; /* borrowed */
	size_t len;
};

/**
 * struct wire_user_end - The end of an answer to a claim
 * @user, @claim: See struct wire_user_claim
 * @status:	WIRE_OK; WIRE_E_UNKNOWN_SESSION: unknown user; WIRE_E_NOT_ALLOWED: heard here later than
 *		there; WIRE_E_BUSY: not now; WIRE_E_UNKNOWN_NODE: the receiver is not in the sender's
 *		configuration, whatever @user and @claim are
 * @sessions:	Contexts that came before
 */
struct wire_user_end {
	char user[NAME_SIZE];
	uint64_t claim;
	enum wire_status status;
	uint32_t sessions;
};

/**
 * struct wire_station_inquiry - A station has come to an access point that does not know its IP addresses
 * @station:	Its address
 * @inquiry:	Number of the inquiry, which the answer repeats; not 0
 */
struct wire_station_inquiry {
	uint8_t station[WIRE_STATION_SIZE];
	uint64_t inquiry;
};

/**
 * struct wire_station_users - The users of an access point that are at a station
 * @station, @inquiry: See struct wire_station_inquiry
 * @count:	How many; if there are more than fit, those that were heard last
 * @user:	Their names, which can be claimed (struct wire_user_claim)
 */
struct wire_station_users {
	uint8_t station[WIRE_STATION_SIZE];
	uint64_t inquiry;
	uint32_t count;
	char user[WIRE_STATION_USERS_MAX][NAME_SIZE];
};

/**
 * struct wire_user_connection - A TCP connection that a client may still have to the access point its user has left
 *
 * Comes before the contexts. Nobody knows the connection at the new access point, which ends the client's side of it.
 * More about a connection can follow in further fields.
 *
 * @user, @claim: See struct wire_user_claim
 * @address:	The service's, as the client sees it
 * @service_port: The service's port there
 * @user_port:	The client's port, at the user's address
 */
struct wire_user_connection {
	char user[NAME_SIZE];
	uint64_t claim;
	uint8_t address[WIRE_ADDRESS_SIZE];
	uint32_t service_port;
	uint32_t user_port;
};

/** struct wire_create - Make the first container of a session */
struct wire_create {
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	char ap[NAME_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE];
};

/** struct wire_attach - The MUD is at @ap, as @proof shows: obey it, and answer */
struct wire_attach {
	char ap[NAME_SIZE];
	uint8_t proof[WIRE_PROOF_SIZE];
};

/** struct wire_migrate - Move the container to @to_es; @proof shows that the MUD is, or will be, at @ap */
struct wire_migrate {
	char to_es[NAME_SIZE];
	char ap[NAME_SIZE]; /* access point that keeps the copies */
	uint8_t proof[WIRE_PROOF_SIZE];
	bool hold; /* answers of a copy differed: hold if the service permits it (R6) */
};

/** struct wire_fence - Stop executing in this epoch */
struct wire_fence {
	uint64_t after; /* execute up to this number, if it is here, and nothing above */
};

/** struct wire_unfence - Authority comes back to a fenced container, under a new epoch */
struct wire_unfence {
	uint32_t new_epoch;
};

/**
 * struct wire_es_status - State of a session at the sending edge server
 * @state:		see enum wire_es_state; the epoch is in the message
 * @executed:		highest number executed
 * @received:		highest number such that it and all before it are here, executed or not
 * @cut:		number of the last cut, if @cut_association is not 0
 * @cut_association:	association under which the cut was taken or restored
 * @migration:		the source's stage
 * @holding:		FENCED by its own cut (R6, hold): until UNFENCE nothing executes there
 * @freeze_us:		how long the cut that @cut is of froze the container; 0: not known
 * @peer:		source: where it goes or has gone; destination: where it comes from; may be empty
 * @mud, @service:	of the session
 * @secret:		of the session, sent only to the access point in charge. It shows the access
 *			point that the sender has the session, because it fits the MUD's proof
 * @command:		REFUSED: the first 8 bytes of the proof in the command, 0 if it had none. They
 *			tell an access point with several claims to a session which one is meant
 * @status:		WIRE_OK; for FAILED and REFUSED what was wrong (WIRE_E_LASTING: a migration will
 *			fail again; WIRE_E_BUSY: no command is refused, but requests wait, see @reason)
 * @reason:		for FAILED, LOST and REFUSED, and with WIRE_E_BUSY; else empty
 */
struct wire_es_status {
	enum wire_es_state state;
	uint64_t executed;
	uint64_t received;
	uint64_t cut;
	uint32_t cut_association;
	enum wire_migration migration;
	bool holding;
	uint64_t freeze_us;
	uint64_t command;
	char peer[NAME_SIZE];
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE];
	enum wire_status status;
	char reason[WIRE_REASON_SIZE];
};

/** struct wire_edge_state - State of an edge server: @drained, no session is to move there */
struct wire_edge_state {
	bool drained;
};

/**
 * struct wire_data - One request or answer of the service
 * @number:	1, 2, 3 ... in the order the MUD sent them; an answer has its request's number
 * @ack:	requests: every answer up to this number has reached the MUD
 * @digest:	answers: of the parts that are compared (R5); 0 if none are
 * @status:	answers: WIRE_OK, WIRE_OK_MORE; WIRE_E_IN_DOUBT without bytes; WIRE_E_PROTOCOL if the request was
 *		no message of the service's codec, with a text that says why
 * @preamble:	requests: number of first bytes that give a new connection the state of the user's;
 *		they are sent only on a connection that had to be opened
 * @connection:	requests: the user's connection that it came by; 0: the user has none of its own
 * @segment:	requests: see enum wire_segment
 * @bytes:	payload, borrowed
 * @len:	its length, at most WIRE_PAYLOAD_MAX
 * @kept:	requests: the object that @bytes are part of, to be shared instead of copied, see
 *		core/common/request.h; or NULL. It is not sent
 */
struct wire_data {
	uint64_t number;
	uint64_t ack;
	uint64_t digest;
	enum wire_status status;
	uint32_t preamble;
	uint32_t connection;
	enum wire_segment segment;
	const uint8_t *bytes;
	size_t len;
	struct request *kept;
};

/**
 * struct wire_stream - Bytes that a service of codec tcp sends on one of the user's connections
 * @connection:	which; 0: all of them, with @ended
 * @offset:	bytes sent on it before these
 * @taken:	bytes of the user's that the service has been given on it
 * @ended:	nothing follows, in either direction. If @offset differs from the bytes received, the
 *		connection broke instead
 * @bytes:	borrowed; may be none
 * @len:	their number, at most WIRE_PAYLOAD_MAX
 *
 * Streams are not numbered and not kept. @offset shows a missing one; the receiver then ends the connection.
 */
struct wire_stream {
	uint32_t connection;
	uint64_t offset;
	uint64_t taken;
	bool ended;
	const uint8_t *bytes;
	size_t len;
};

/** struct wire_event - One line of the event log (paper, Figure 5) */
struct wire_event {
	uint64_t time_us; /* UTC, microseconds since 1970, by the clock of the node */
	uint64_t session;
	uint64_t number;
	char node[NAME_SIZE]; /* USER, AP-1, EdgeServer-1 ... */
	char kind[NAME_SIZE]; /* SVCQ, SVCR, REASSOCIATION REQUEST, T1 ...; free text, no name */
	char detail[WIRE_REASON_SIZE];
};

/** struct wire_events - A batch; @dropped counts what the sender had to drop before this batch */
struct wire_events {
	uint64_t dropped;
	uint32_t count;
	struct wire_event *event; /* sender: borrowed; receiver: owned by the decoder's scratch */
};

/** struct wire_clock - A probe of another clock: CLOCK_REALTIME, microseconds */
struct wire_clock {
	uint64_t sent_us;
	uint64_t received_us;
};

/** struct wire_text - Bytes with a status; their meaning depends on the message */
struct wire_text {
	enum wire_status status;
	const uint8_t *bytes; /* borrowed */
	size_t len;
};

/**
 * struct wire_offer - A source offers a container to a destination
 *
 * @plan is JSON for the container management of the destination: configuration of the container,
 * image and layer digests, sizes, versions of CPU, kernel, CRIU. See es/migration/common/plan.h.
 */
struct wire_offer {
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	char from_es[NAME_SIZE];
	char ap[NAME_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE];
	const uint8_t *plan; /* borrowed */
	size_t plan_len;
};

/**
 * struct wire_cut - State captured at the cut besides files
 * @number:	last executed number
 * @cache:	answers up to @number that the MUD may still ask for; format of core/es/answer_cache.h
 */
struct wire_cut {
	uint64_t number;
	const uint8_t *cache; /* borrowed */
	size_t cache_len;
};

/** struct wire_transfer_end - Size and digest of a migration's stream */
struct wire_transfer_end {
	uint64_t stream_bytes; /* bytes of all chunks */
	uint8_t sha256[32];    /* of all chunks */
};

/** struct wire_message - Any message */
struct wire_message {
	enum wire_type type;
	uint64_t session;
	uint32_t association;
	uint32_t epoch;
	union {
		struct wire_hello hello;
		struct wire_association_request association_request;
		struct wire_association_response association_response;
		struct wire_reassociation_request reassociation_request;
		struct wire_edges edges;
		struct wire_refusal refusal;
		struct wire_move_notify move_notify;
		struct wire_move_response move_response;
		struct wire_user_claim user_claim;
		struct wire_user_context user_context;
		struct wire_user_request user_request;
		struct wire_user_end user_end;
		struct wire_station_inquiry station_inquiry;
		struct wire_station_users station_users;
		struct wire_user_connection user_connection;
		struct wire_create create;
		struct wire_attach attach;
		struct wire_migrate migrate;
		struct wire_fence fence;
		struct wire_unfence unfence;
		struct wire_es_status es_status;
		struct wire_edge_state edge_state;
		struct wire_data data;
		struct wire_stream stream;
		struct wire_events events;
		struct wire_clock clock;
		struct wire_text text;
		struct wire_offer offer;
		struct wire_cut cut;
		struct wire_transfer_end transfer_end;
	};
};

/**
 * wire_print() - Write a message as one line, for people
 * @m:		Message; it may break the rules, but its lists and texts are no longer than they can be
 * @text:	Filled in with printable ASCII; cut off if there is no room. It ends with a NUL
 * @size:	of @text, not 0
 *
 * Secrets, proofs and the bytes of users are not in it.
 */
void wire_print(const struct wire_message *m, char *text, size_t size);
