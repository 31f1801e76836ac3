/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The destination's end of the connection: waits for messages, accepts, reports
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/notes.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"
#include "net/tls_stream.h"

#define PROBE_BYTES (2u << 20)

/** receive() - Wait for the source's next message, which must be of one type */
static int receive(struct migration *m, enum wire_type type, struct wire_message *to,
		   struct err *err)
{
	int r = tls_stream_receive_message(m->stream, to, err);

	if (r > 0)
		return err_set(err, -EPROTO, "the source ended the connection before %s",
			       wire_type_name(type));
	if (r < 0)
		return err_wrap(err, r, "wait for %s", wire_type_name(type));
	if (to->type != type)
		return err_set(err, -EPROTO, "the source sends %s, not %s",
			       wire_type_name(to->type), wire_type_name(type));
	return 0;
}

void destination_enter(struct migration *m, enum incoming_state state)
{
	incoming_enter(m->stream, state, m->mc->config.max_bytes);
}

int destination_offer(struct migration *m, struct err *err)
{
	int r = tls_stream_accept(&m->stream, m->mc->tls, TAKE_FD(m->fd), 1u << WIRE_ROLE_ES,
				  m->cancel_fd, INCOMING_HELLO_MS, err);

	if (r == 0) {
		(void)snprintf(m->slot_peer, sizeof(m->slot_peer), "%s",
			       tls_stream_peer_name(m->stream));
		r = migration_ask_slot(m, err);
	}
	if (r == 0) {
		destination_enter(m, INCOMING_OFFER);
		r = receive(m, WIRE_TRANSFER_OFFER, &m->offer, err);
	}
	if (r < 0)
		return r;
	tls_stream_set_timeout(m->stream, (int)m->mc->config.idle_ms);
	if (!name_equal(m->offer.offer.from_es, tls_stream_peer_name(m->stream)))
		return err_set(err, -EPROTO, "%s offers a container in the name of %.63s",
			       tls_stream_peer_name(m->stream), m->offer.offer.from_es);
	if (!m->offer.session || m->offer.epoch == UINT32_MAX)
		return err_set(err, -EPROTO, "the offer names no session");
	m->in->offer_plan = malloc(m->offer.offer.plan_len + 1);
	if (!m->in->offer_plan)
		return err_set(err, -ENOMEM, "take an offer");
	if (m->offer.offer.plan_len)
		memcpy(m->in->offer_plan, m->offer.offer.plan, m->offer.offer.plan_len);
	m->offer.offer.plan = (uint8_t *)m->in->offer_plan;
	m->session = m->offer.session;
	m->header.session = m->offer.session;
	m->header.association = m->offer.association;
	m->header.epoch = m->offer.epoch;
	return 0;
}

/** text_send() - Send an accept with a text. Return: 0, or negative error code */
static int text_send(struct migration *m, const char *text, struct err *err)
{
	struct wire_message accept = m->header;

	accept.type = WIRE_TRANSFER_ACCEPT;
	accept.text.status = WIRE_OK;
	accept.text.bytes = (const uint8_t *)text;
	accept.text.len = strlen(text);
	return tls_stream_send_message(m->stream, &accept, err);
}

int destination_accept(struct migration *m, struct err *err)
{
	char text[200];

	(void)snprintf(
		text, sizeof(text),
		"{\"puts_back\":true,\"image\":{\"wanted\":%s,\"from\":\"%s\",\"layers_here\":%zu,"
		"\"bytes_here\":%" PRIu64 "}}",
		m->image_wanted ? "true" : "false", image_source_name(m->image_source),
		m->layers_here, m->bytes_here);
	return text_send(m, text, err);
}

int64_t destination_probe(struct migration *m, struct err *err)
{
	uint64_t bytes = 0;
	uint64_t half_us = 0;
	uint64_t half_bytes = 0;
	char text[40];
	int r;

	(void)snprintf(text, sizeof(text), "{\"probe\":%u}", PROBE_BYTES);
	r = text_send(m, text, err);
	destination_enter(m, INCOMING_PROBE);
	while (r == 0 && bytes < PROBE_BYTES) {
		struct wire_message chunk;

		r = receive(m, WIRE_TRANSFER_CHUNK, &chunk, err);
		bytes += r == 0 ? chunk.text.len : 0;
		if (!half_us && bytes >= PROBE_BYTES / 2) {
			half_us = monotonic_us();
			half_bytes = bytes;
		}
	}
	if (r < 0)
		return r;
	/* The first half is TCP feeling its way. */
	uint64_t took = monotonic_us() - half_us;
	return (int64_t)((bytes - half_bytes) * 1000000 / (took ? took : 1));
}

int destination_cut(struct migration *m, struct err *err)
{
	struct wire_message cut;
	int r;

	destination_enter(m, INCOMING_CUT);
	tls_stream_set_timeout(m->stream, MIGRATION_DRAIN_MS);
	r = receive(m, WIRE_TRANSFER_CUT, &cut, err);
	tls_stream_set_timeout(m->stream, (int)m->mc->config.idle_ms);
	if (r < 0)
		return r;
	if (cut.session != m->session)
		return err_set(err, -EPROTO, "the cut is of another session");
	m->number = cut.cut.number;
	m->cache_len = cut.cut.cache_len;
	m->cache = malloc(m->cache_len + 1);
	if (!m->cache)
		return err_set(err, -ENOMEM, "take a cut");
	if (m->cache_len)
		memcpy(m->cache, cut.cut.cache, m->cache_len);
	return 0;
}

void destination_report(struct migration *m)
{
	struct wire_message result = m->header;
	struct wire_message rest;
	uint64_t end = monotonic_us() + MIGRATION_LINGER_MS * 1000;

	if (!m->stream)
		return;
	result.type = WIRE_TRANSFER_RESULT;
	result.text.status = m->good ? WIRE_OK : m->err.lasting ? WIRE_E_LASTING : WIRE_E_FAILED;
	result.text.bytes = (const uint8_t *)(m->good ? "" : m->err.text);
	result.text.len = strlen((const char *)result.text.bytes);
	if (tls_stream_send_message(m->stream, &result, NULL) == 0 && !m->good) {
		/* Closing with bytes unread would reset the connection and lose the reason. */
		tls_stream_set_timeout(m->stream, MIGRATION_LINGER_MS);
		destination_enter(m, INCOMING_REST);
		while (monotonic_us() < end &&
		       tls_stream_receive_message(m->stream, &rest, NULL) == 0)
			;
	}
	(void)tls_stream_free(m->stream);
	m->stream = NULL;
}
