/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/codec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "wire/message.h"

static const struct codec *const codecs[] = {
	&codec_frame, &codec_line, &codec_resp, &codec_http, &codec_udp, &codec_tcp,
};

static enum codec_result refuse_all(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	return codec_refuse(x, CODEC_BROKEN,
			    "the service is not in the catalogue of the edge server any more");
}

const struct codec codec_unknown = {
	.name = "unknown",
	.request = refuse_all,
	.answer = refuse_all,
};

const struct codec *codec_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(codecs); i++) {
		if (strcmp(codecs[i]->name, name) == 0)
			return codecs[i];
	}
	return NULL;
}

struct codec_comparison codec_comparison_default(void)
{
	return (struct codec_comparison){ .ignored = " date age expires " };
}

int codec_exchange_new(struct codec_exchange **ret, const struct codec *codec,
		       const struct codec_comparison *comparison, struct err *err)
{
	struct codec_exchange *x = calloc(1, sizeof(*x) + codec->state_size);

	if (!x)
		return err_set(err, -ENOMEM, "codec %s", codec->name);
	x->codec = codec;
	x->comparison = comparison ? *comparison : codec_comparison_default();
	codec_exchange_reset(x);
	*ret = x;
	return 0;
}

struct codec_exchange *codec_exchange_free(struct codec_exchange *x)
{
	free(x);
	return NULL;
}

static void start(struct codec_exchange *x, bool answering)
{
	x->answering = answering;
	x->result = CODEC_MORE;
	x->seen = 0;
	x->from = 0;
	x->end = 0;
	x->digest = DIGEST_START;
	x->framing = DIGEST_START;
	if (x->codec->start)
		x->codec->start(x);
}

void codec_exchange_reset(struct codec_exchange *x)
{
	memset(x->state, 0, x->codec->state_size);
	x->keep = true;
	x->own = false;
	x->first = false;
	x->bounded = false;
	x->note = 0;
	x->prompt = NULL;
	x->effect = CODEC_EFFECT_NONE;
	x->reason[0] = '\0';
	start(x, false);
}

size_t codec_prefix(const struct codec *c, uint8_t to[CODEC_PREFIX_MAX], size_t len)
{
	if (c->prefix)
		put_be32(to, (uint32_t)len);
	return c->prefix;
}

enum codec_result codec_refuse(struct codec_exchange *x, enum codec_result result, const char *fmt,
			       ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(x->reason, sizeof(x->reason), fmt, ap);
	va_end(ap);
	return result;
}

static bool refused(const struct codec_exchange *x)
{
	return x->result == CODEC_BROKEN || x->result == CODEC_TOO_LONG;
}

/* The limit that all codecs share (R9). Bytes that are held back from the user count, too. */
static void judge(struct codec_exchange *x, enum codec_result result, size_t len)
{
	size_t size = result == CODEC_DONE ? x->end : x->seen + len;

	x->seen += len;
	x->result = result;
	if (!refused(x) && size > codec_limit(x) + x->codec->prefix)
		x->result = codec_refuse(x, CODEC_TOO_LONG, "longer than the limit of %zu bytes",
					 codec_limit(x));
}

size_t codec_limit(const struct codec_exchange *x)
{
	return x->own && x->codec->segments ? CODEC_MESSAGE_MAX : WIRE_PAYLOAD_MAX;
}

enum codec_result codec_request(struct codec_exchange *x, const void *bytes, size_t len)
{
	if (!refused(x))
		judge(x, x->codec->request(x, bytes, len), len);
	return x->result;
}

int codec_request_whole(struct codec_exchange *x, const void *bytes, size_t len, struct err *err)
{
	const char *name = x->codec->name;
	size_t all = x->seen + len;

	if (len || x->codec->datagram)
		(void)codec_request(x, bytes, len);
	switch (x->result) {
	case CODEC_MORE:
		return err_set(err, -EPROTO,
			       "request refused by codec %s: not whole after %zu bytes%s%s", name,
			       all, x->reason[0] ? ": " : "", x->reason);
	case CODEC_DONE:
		if (x->end == all)
			return 0;
		return err_set(err, -EPROTO,
			       "request refused by codec %s: more than one message, "
			       "the first ends after %zu of %zu bytes",
			       name, x->end, all);
	case CODEC_TOO_LONG:
		return err_set(err, -EMSGSIZE, "request refused by codec %s: %s", name, x->reason);
	case CODEC_BROKEN:
		break;
	}
	return err_set(err, -EPROTO, "request refused by codec %s: %s", name, x->reason);
}

enum codec_result codec_answer(struct codec_exchange *x, const void *bytes, size_t len)
{
	if (!x->answering)
		start(x, true);
	if (!refused(x))
		judge(x, x->codec->answer(x, bytes, len), len);
	return x->result;
}

enum codec_result codec_answer_closed(struct codec_exchange *x)
{
	if (!x->answering)
		start(x, true);
	x->keep = false;
	if (refused(x) || x->result == CODEC_DONE)
		return x->result;
	if (x->codec->closed)
		x->result = x->codec->closed(x);
	else
		x->result = codec_refuse(x, CODEC_BROKEN,
					 "the connection ended after %zu bytes of it", x->seen);
	return x->result;
}

uint64_t codec_answer_digest(const struct codec_exchange *x, const void *bytes, size_t len)
{
	uint64_t digest = x->digest;

	if (x->comparison.none)
		return 0;
	if (!x->codec->digests)
		digest = digest_add(digest, bytes, len) ^ ((uint64_t)len << 32);
	return digest ? digest : 1;
}

uint64_t codec_answer_digest_segments(const struct codec_exchange *x)
{
	uint64_t length = x->end - x->from;
	uint64_t digest = digest_add(x->digest, &x->framing, sizeof(x->framing));

	if (x->comparison.none)
		return 0;
	digest = digest_add(digest, &length, sizeof(length));
	return digest ? digest : 1;
}

bool codec_answer_last(const struct codec *c, int note, const void *bytes, size_t len)
{
	return c->last && c->last(note, bytes, len);
}

size_t codec_refusal(const struct codec *c, char *to, size_t size, enum codec_refusal why,
		     const char *reason)
{
	char line[CODEC_REASON_SIZE];
	int n;

	if (!c->refusal)
		return 0;
	(void)snprintf(line, sizeof(line), "%s", reason);
	for (char *at = line; *at; at++) { /* foreign text must not end a line */
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = ' ';
	}
	n = c->refusal(to, size, why, line);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}
