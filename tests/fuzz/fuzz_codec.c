/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of the codecs - one program for each, named by CODEC
 *
 * Input: 2 bytes, big-endian, how long the request is; the request; the rest is its answer. If the
 * request is none, a good one takes its place, so that answers are always read. However the bytes
 * are cut, what comes out must be the same, within the bytes, and explained if it is a refusal.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "codec/codec.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum codec_result (*reader)(struct codec_exchange *x, const void *bytes, size_t len);

static const struct {
	const char *name;
	const char *request;
	size_t len;
} good[] = {
	{ "frame", "\0\0\0\1a", 5 },
	{ "line", "a\n", 2 },
	{ "resp", "PING\r\nPING\r\n", 12 },
	{ "http", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27 },
};

static int refused(enum codec_result r)
{
	return r == CODEC_BROKEN || r == CODEC_TOO_LONG;
}

struct outcome {
	enum codec_result result;
	size_t from;
	size_t end;
};

/* Reads in pieces of @first and then of @then bytes. */
static struct outcome read_all(struct codec_exchange *x, reader read, const uint8_t *bytes,
			       size_t len, size_t first, size_t then)
{
	struct outcome o = { .result = CODEC_MORE };
	size_t n = first;

	for (size_t at = 0; at < len; at += n, n = then) {
		if (n > len - at)
			n = len - at;
		o.result = read(x, bytes + at, n);
	}
	if (o.result == CODEC_DONE) {
		o.from = x->from;
		o.end = x->end;
		require(o.from <= o.end && o.end <= len);
	}
	require(!refused(o.result) || x->reason[0]);
	return o;
}

static void require_same(struct outcome a, struct outcome b)
{
	if (refused(a.result) && refused(b.result))
		return;
	require(a.result == b.result && a.from == b.from && a.end == b.end);
}

/* Reads the request, or if it is none a good one, to have its answer read. */
static void ask(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	codec_exchange_reset(x);
	if (codec_request_whole(x, bytes, len, NULL) == 0)
		return;
	codec_exchange_reset(x);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (strcmp(good[i].name, x->codec->name) == 0)
			(void)codec_request_whole(x, good[i].request, good[i].len, NULL);
	}
	require(x->result == CODEC_DONE);
}

static void fuzz_request(struct codec_exchange *x, const uint8_t *bytes, size_t len, size_t cut)
{
	struct outcome whole = read_all(x, codec_request, bytes, len, len, len);

	codec_exchange_reset(x);
	require_same(whole, read_all(x, codec_request, bytes, len, cut, len));
	codec_exchange_reset(x);
	require_same(whole, read_all(x, codec_request, bytes, len, 1, 1));
}

static void fuzz_answer(struct codec_exchange *x, const uint8_t *request, size_t request_len,
			const uint8_t *bytes, size_t len, size_t cut)
{
	const size_t pieces[][2] = { { len, len }, { cut, len }, { 1, 1 } };
	struct outcome whole = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		ask(x, request, request_len);
		struct outcome o =
			read_all(x, codec_answer, bytes, len, pieces[i][0], pieces[i][1]);
		if (i == 0)
			whole = o;
		require_same(whole, o);
	}
	enum codec_result closed = codec_answer_closed(x);
	require(closed != CODEC_MORE && !x->keep);
	require(closed != CODEC_DONE || (x->from <= x->end && x->end <= len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct codec_exchange *made = NULL;

	if (size < 2)
		return 0;
	size_t want = (size_t)(data[0] << 8 | data[1]);
	size_t request_len = want < size - 2 ? want : size - 2;
	const uint8_t *request = data + 2;
	const uint8_t *answer = request + request_len;
	size_t answer_len = size - 2 - request_len;
	size_t cut = 1 + want % 7;

	require(codec_exchange_new(&made, codec_find(CODEC), NULL, NULL) == 0);
	AUTO(codec_exchange) struct codec_exchange *x = made;
	fuzz_request(x, request, request_len, request_len > cut ? request_len / 2 : 1);
	fuzz_answer(x, request, request_len, answer, answer_len,
		    answer_len > cut ? answer_len / cut : 1);
	return 0;
}
