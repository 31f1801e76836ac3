/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The source's end of the connection: offers, sends, waits for answers
 */

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/transfer.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/worker/file_worker.h"
#include "net/tls_stream.h"

#define PROBE_MAX   (4u << 20)
#define PROBE_PIECE (64u << 10)

#define FLUSH_LEFT      (1u << 20)
#define FLUSH_LEFT_HELD (64u << 10) /* R6: somebody waits for each byte that goes after the cut */
#define FLUSH_LOOK_MS   5

/** offer_send() - Connect to the destination and offer the container */
static int offer_send(struct migration *m, struct err *err)
{
	struct wire_message offer = m->header;
	struct wire_offer *o = &offer.offer;
	int r = tls_stream_connect(&m->stream, m->mc->tls, m->order.to_address, m->order.to_es,
				   WIRE_ROLE_ES, m->cancel_fd, (int)m->mc->config.idle_ms, err);

	if (r < 0)
		return err_wrap(err, r, "connect to %s", m->order.to_es);
	auto_free char *plan = json_dumps(m->plan, JSON_COMPACT);
	if (!plan)
		return err_set(err, -ENOMEM, "offer a container");
	offer.type = WIRE_TRANSFER_OFFER;
	(void)snprintf(o->mud, NAME_SIZE, "%s", m->order.mud);
	(void)snprintf(o->service, NAME_SIZE, "%s", m->order.service);
	(void)snprintf(o->from_es, NAME_SIZE, "%s", m->mc->config.name);
	(void)snprintf(o->ap, NAME_SIZE, "%s", m->order.ap);
	memcpy(o->secret, m->order.secret, sizeof(o->secret));
	o->plan = (const uint8_t *)plan;
	o->plan_len = strlen(plan);
	return tls_stream_send_message(m->stream, &offer, err);
}

/* The destination's reason, and whether it is a lasting one, is ours from here on. */
static int told_of_failure(const struct migration *m, const struct wire_message *result,
			   struct err *err)
{
	int r = err_set(err, -EPROTO, "%s: %.*s", m->order.to_es,
			result->text.len > 300 ? 300 : (int)result->text.len,
			(const char *)result->text.bytes);

	return result->text.status == WIRE_E_LASTING ? err_lasting(err, r) : r;
}

/**
 * answer_receive() - Wait for the destination's word on a stage; @to is valid until the next one
 */
static int answer_receive(struct migration *m, enum wire_type type, int timeout_ms,
			  struct wire_message *to, struct err *err)
{
	int r;

	tls_stream_set_timeout(m->stream, timeout_ms);
	tls_stream_set_deadline(m->stream, (uint64_t)timeout_ms);
	r = tls_stream_receive_message(m->stream, to, err);
	tls_stream_set_deadline(m->stream, 0);
	tls_stream_set_timeout(m->stream, (int)m->mc->config.idle_ms);
	if (r > 0)
		return err_set(err, -EPROTO, "%s ended the connection without a word",
			       m->order.to_es);
	if (r < 0)
		return err_wrap(err, r, "wait for %s", m->order.to_es);
	/* A failure may be told at any time. */
	if (to->type == WIRE_TRANSFER_RESULT && to->text.status != WIRE_OK)
		return told_of_failure(m, to, err);
	if (to->type != type)
		return err_set(err, -EPROTO, "%s sends %s, not %s", m->order.to_es,
			       wire_type_name(to->type), wire_type_name(type));
	return 0;
}

/** probe_send() - Send bytes that mean nothing, for the destination to measure the link */
static int probe_send(struct migration *m, size_t bytes, struct err *err)
{
	static const uint8_t nothing[PROBE_PIECE];
	struct wire_message chunk = m->header;
	int r = 0;

	chunk.type = WIRE_TRANSFER_CHUNK;
	for (size_t left = bytes; r == 0 && left; left -= chunk.text.len) {
		chunk.text.bytes = nothing;
		chunk.text.len = left < sizeof(nothing) ? left : sizeof(nothing);
		r = tls_stream_send_message(m->stream, &chunk, err);
	}
	return r;
}

/**
 * accept_read() - Have the worker parse the text of an ACCEPT; we parse the worker's output (R16)
 */
static int accept_read(struct migration *m, const struct wire_message *answer, json_t **ret,
		       struct err *err)
{
	auto_free char *ours = NULL;
	int r = file_worker_json(m->files, answer->text.bytes, answer->text.len, &ours, err);

	if (r < 0)
		return err_wrap(err, r, "%s says nonsense", m->order.to_es);
	*ret = json_loads(ours, 0, NULL);
	return *ret ? 0 : err_set(err, -EPROTO, "the file worker writes no JSON");
}

int source_accepted(struct migration *m, int timeout_ms, struct err *err)
{
	size_t layers = migration_plan_layers(m->plan);
	struct wire_message answer;
	json_t *json = NULL;
	json_int_t here;
	json_int_t bytes;
	json_int_t probe;
	int r = answer_receive(m, WIRE_TRANSFER_ACCEPT, timeout_ms, &answer, err);

	if (r == 0)
		r = accept_read(m, &answer, &json, err);
	if (r < 0)
		return r;
	m->image_wanted = json_is_true(json_at(json, "image", "wanted", NULL));
	here = json_integer_value(json_at(json, "image", "layers_here", NULL));
	bytes = json_integer_value(json_at(json, "image", "bytes_here", NULL));
	if (here < 0 || bytes < 0 || (json_int_t)layers < here)
		r = err_set(err, -EPROTO, "%s says nonsense about the image", m->order.to_es);
	else
		m->layers_here = (size_t)here;
	m->bytes_here = r == 0 ? (uint64_t)bytes : 0;
	m->image_source = !strcmp(json_text(json, "image", "from", NULL),
				  image_source_name(IMAGE_FROM_REGISTRY))
				  ? IMAGE_FROM_REGISTRY
				  : IMAGE_FROM_SOURCE;
	m->out->puts_back = json_is_true(json_object_get(json, "puts_back"));
	probe = json_integer_value(json_at(json, "probe", NULL));
	json_decref(json);
	if (r < 0 || probe <= 0)
		return r;
	/* It measures the link before it says more, once. */
	if (m->out->probed)
		return err_set(err, -EPROTO, "%s wants to measure the link again", m->order.to_es);
	m->out->probed = true;
	r = probe_send(m, probe > PROBE_MAX ? PROBE_MAX : (size_t)probe, err);
	return r < 0 ? r : source_accepted(m, timeout_ms, err);
}

int source_offer(struct migration *m, struct err *err)
{
	int r = offer_send(m, err);

	return r < 0 ? r
		     : source_accepted(m, MIGRATION_ACCEPT_MS * (int)m->mc->config.patience, err);
}

void source_learn_reason(struct migration *m, int r, struct err *err)
{
	struct err failure = { 0 };
	struct wire_message answer;

	if (r < 0 && r != -ECANCELED &&
	    answer_receive(m, WIRE_TRANSFER_RESULT, MIGRATION_LINGER_MS, &answer, &failure) ==
		    -EPROTO)
		*err = failure;
}

int source_trees(struct migration *m, enum transfer_form way, struct transfer_tree *trees,
		 size_t count, struct err *err)
{
	int r = transfer_send(m->stream, way, &m->header, m->files, trees, count,
			      way == TRANSFER_STREAM, m->mc->config.compression, err);

	source_learn_reason(m, r, err);
	return r;
}

int source_flush(struct migration *m, struct err *err)
{
	size_t enough = m->out->earlier ? FLUSH_LEFT_HELD : FLUSH_LEFT;
	size_t before = SIZE_MAX;
	uint64_t moved = monotonic_us();
	int r = 0;

	while (r == 0) {
		size_t unsent = tls_stream_unsent(m->stream);

		if (unsent < enough)
			return 0;
		if (unsent < before)
			moved = monotonic_us();
		else if (monotonic_us() - moved > m->mc->config.idle_ms * 1000ull)
			return err_set(err, -ETIMEDOUT, "nothing moved for %u ms",
				       m->mc->config.idle_ms);
		before = unsent;
		r = migration_rest(m, FLUSH_LOOK_MS, err);
	}
	return r;
}

int source_tell_cut(struct migration *m, struct err *err)
{
	struct wire_message cut = m->header;

	cut.type = WIRE_TRANSFER_CUT;
	cut.cut.number = m->number;
	cut.cut.cache = m->cache;
	cut.cut.cache_len = m->cache_len;
	return tls_stream_send_message(m->stream, &cut, err);
}

int source_confirm(struct migration *m, struct err *err)
{
	struct wire_message result;

	return answer_receive(m, WIRE_TRANSFER_RESULT, (int)m->mc->config.restore_ms, &result, err);
}
