/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake edge server - the real session logic and real links around a container that is a hash chain
 *
 * Containers of service "offload" answer as service/offload.py does as far as the answer checker looks.
 * Those of services named as a codec answer in it "EXECUTED PREAMBLE LENGTH": how many requests they
 * have executed, and how long this one's preamble and its own bytes are. One of service "http" answers
 * "GET /N", N at least WIRE_PAYLOAD_MAX, with N bytes (fake_edge_byte()). Several fake
 * edge servers of one program find one another by name and pass containers on in no time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/message.h"

struct fake_edge; /* opaque */
struct tls_context;
struct uv_loop_s;

/** fake_edge_new() - Listen on 127.0.0.1; aborts on failure. Return: owned by the caller */
struct fake_edge *fake_edge_new(struct uv_loop_s *loop, struct tls_context *tls);

#define FAKE_EDGE_HEAD 44 /* bytes of a long answer before its body */

/** fake_edge_byte() - Byte @i of the long answer that has @len in all */
char fake_edge_byte(size_t len, size_t i);

/** fake_edge_address() - "127.0.0.1:PORT". Return: borrowed */
const char *fake_edge_address(const struct fake_edge *e);

/** fake_edge_state() - How the only session it may have stands; WIRE_ES_NONE without one */
enum wire_es_state fake_edge_state(const struct fake_edge *e);

/** fake_edge_executed() - Requests the container of that session has executed */
uint64_t fake_edge_executed(const struct fake_edge *e);

/** fake_edge_under_way() - Whether a container has a long request or answer in part only */
bool fake_edge_under_way(struct fake_edge *e);

/** fake_edge_sessions() - How many sessions have their authority here */
size_t fake_edge_sessions(const struct fake_edge *e);

/** fake_edge_received() - Requests that its session has, in order, executed or not */
uint64_t fake_edge_received(const struct fake_edge *e);

/** fake_edge_pause() - Have containers execute nothing (@paused), or go on */
void fake_edge_pause(struct fake_edge *e, bool paused);

/** fake_edge_say() - Send a message to all access points that are connected */
void fake_edge_say(struct fake_edge *e, const struct wire_message *m);

/** fake_edge_hang_up() - Close the links of all access points */
void fake_edge_hang_up(struct fake_edge *e);

/** fake_edge_close() - Close; its memory goes when the event loop has closed its handles */
void fake_edge_close(struct fake_edge *e);
