/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <llhttp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "codec/codec.h"

/*
 * Codec http - HTTP/1.0 and 1.1
 *
 * llhttp finds the ends; only this file knows it. It is strict, but versions of it accepted requests
 * that can be read in two ways. struct head refuses those: lines end with CRLF and nothing else, are
 * not folded, and the first one is not empty. Both look at the same bytes.
 *
 * Status, headers and body of an answer are compared, the body without its chunks. Headers that
 * describe the transfer are not compared, nor those that the service's catalogue entry names.
 *
 * Interim answers (1xx) do not reach the user. Their timing depends on how the request's bytes were
 * cut into packets, so equal containers would answer differently.
 */

/* A reader of the lines before a request's body, up to the empty one */
struct head {
	bool ended;
	bool carriage; /* the byte before was CR */
	size_t lines;
	size_t column;
	size_t name; /* bytes of the header's name; less than @column once the colon has come */
};

#define NAME_MAX_COMPARED 64 /* longer names of headers are in no list */

/* facts about the request that the reader of its answer needs, see codec_answer_last() */
#define NOTE_HEAD   1
#define NOTE_CLOSES 2

static const char continue_value[] = "100-continue";

struct http {
	struct codec_exchange *exchange;
	llhttp_t parser;
	const char *refusal; /* of ours */
	bool too_long;       /* it says that it will be */
	struct head head;
	bool head_only;    /* the request is HEAD: its answer has no body */
	bool keep_request; /* the request lets the connection live */
	bool headers;      /* are complete */
	bool whole;
	bool keep;
	char name[NAME_MAX_COMPARED + 3]; /* of a header, between two spaces, in small letters */
	size_t name_length;
	bool compared; /* the header that is being read */
	size_t interim;
	size_t begun;    /* where the answer that is being read begins */
	bool expect;     /* the request's header that is being read */
	size_t expected; /* bytes of its value that are as they should be */
};

static const char *refused_request(const llhttp_t *parser)
{
	if (parser->upgrade || parser->method == HTTP_CONNECT)
		return "it asks for another protocol (Upgrade, CONNECT); codec http carries none";
	if (parser->http_minor == 0 && (parser->flags & (F_TRANSFER_ENCODING | F_CHUNKED)))
		return "Transfer-Encoding in HTTP/1.0";
	return NULL;
}

static int on_headers(llhttp_t *parser)
{
	struct http *h = parser->data;
	bool request = parser->type == HTTP_REQUEST;
	int status = parser->status_code;

	h->headers = true;
	if ((parser->flags & F_CONTENT_LENGTH) &&
	    parser->content_length > codec_limit(h->exchange)) {
		h->too_long = true;
		return -1;
	}
	if (parser->http_major != 1 || parser->http_minor > 1)
		h->refusal = "neither HTTP/1.0 nor HTTP/1.1";
	else if (request)
		h->refusal = refused_request(parser);
	else if (status < 100)
		h->refusal = "its status is no number of three digits";
	else if (status == HTTP_STATUS_SWITCHING_PROTOCOLS)
		h->refusal = "it switches to another protocol";
	if (h->refusal)
		return -1;
	h->exchange->digest = digest_add(h->exchange->digest, &status, sizeof(status));
	if (request) {
		h->head_only = parser->method == HTTP_HEAD;
		h->exchange->note = h->head_only ? NOTE_HEAD : 0;
		if (!llhttp_should_keep_alive(parser))
			h->exchange->note |= NOTE_CLOSES;
		if (h->expected == strlen(continue_value) && parser->http_minor == 1)
			h->exchange->prompt = "HTTP/1.1 100 Continue\r\n\r\n";
		return 0;
	}
	/* 1: without a body, whatever its headers say */
	return h->head_only || status / 100 == 1 || status == HTTP_STATUS_NO_CONTENT ||
	       status == HTTP_STATUS_NOT_MODIFIED;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
	struct http *h = parser->data;

	for (size_t i = 0; i < len; i++) {
		if (h->name_length < NAME_MAX_COMPARED)
			h->name[1 + h->name_length] = (char)tolower((unsigned char)at[i]);
		h->name_length++;
	}
	return 0;
}

/* How an answer travels is between the service and us: both containers mean the same by it. */
static const char travelling[] = " connection keep-alive transfer-encoding content-length trailer ";

static int on_field_end(llhttp_t *parser)
{
	struct http *h = parser->data;
	struct codec_exchange *x = h->exchange;
	size_t length = h->name_length;

	h->compared = true;
	h->expect = false;
	h->name_length = 0;
	if (length > NAME_MAX_COMPARED)
		return 0;
	h->name[0] = ' ';
	h->name[1 + length] = ' ';
	h->name[2 + length] = '\0';
	h->expect = strcmp(h->name, " expect ") == 0;
	h->compared = !strstr(travelling, h->name) && !strstr(x->comparison.ignored, h->name);
	if (h->compared)
		x->digest = digest_add(x->digest, h->name, length + 2);
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct http *h = parser->data;

	if (h->compared)
		h->exchange->digest = digest_add(h->exchange->digest, at, len);
	if (h->expect && h->expected + len <= strlen(continue_value) &&
	    strncasecmp(continue_value + h->expected, at, len) == 0)
		h->expected += len;
	return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct http *h = parser->data;

	h->exchange->digest = digest_add(h->exchange->digest, at, len);
	return 0;
}

static int on_chunk(llhttp_t *parser)
{
	struct http *h = parser->data;
	uint64_t size = parser->content_length;

	h->exchange->framing = digest_add(h->exchange->framing, &size, sizeof(size));
	return 0;
}

static int on_message(llhttp_t *parser)
{
	struct http *h = parser->data;

	h->whole = true;
	h->keep = llhttp_should_keep_alive(parser); /* the last moment to ask */
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_field,
	.on_header_field_complete = on_field_end,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_chunk_header = on_chunk,
	.on_message_complete = on_message,
};

static void begin(struct http *h, llhttp_type_t type)
{
	llhttp_init(&h->parser, type, &settings);
	h->parser.data = h;
	h->headers = false;
	h->too_long = false;
	h->whole = false;
	h->name_length = 0;
	h->expected = 0;
	h->exchange->digest = DIGEST_START;
	h->exchange->framing = DIGEST_START;
}

static void http_start(struct codec_exchange *x)
{
	struct http *h = (struct http *)x->state;

	h->exchange = x;
	if (x->answering)
		h->keep_request = h->keep;
	h->interim = 0;
	h->begun = 0;
	begin(h, x->answering ? HTTP_RESPONSE : HTTP_REQUEST);
}

/* One byte of a request's head. Return: NULL, or the mistake in it */
static const char *head_byte(struct head *d, uint8_t c)
{
	if (d->carriage != (c == '\n'))
		return "a line before the body does not end with CRLF";
	d->carriage = c == '\r';
	if (c == '\0')
		return "a NUL byte before the body";
	if (c == '\n') {
		d->ended = d->column == 0;
		if (d->ended && !d->lines)
			return "it begins with an empty line";
		d->lines++;
		d->column = 0;
		d->name = 0;
		return NULL;
	}
	if (c == '\r')
		return NULL;
	if (d->lines && (c == ' ' || c == '\t') && d->column == d->name)
		return d->column ? "a header's name with a space" : "a folded header";
	if (d->column == d->name && c != ':')
		d->name++; /* still in the name */
	d->column++;
	if (d->lines && c == ':' && d->column == 1)
		return "a header without a name";
	return NULL;
}

static const char *head_bytes(struct head *d, const uint8_t *bytes, size_t len)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < len && !d->ended && !wrong; i++)
		wrong = head_byte(d, bytes[i]);
	return wrong;
}

static enum codec_result refuse(struct codec_exchange *x, llhttp_errno_t code)
{
	struct http *h = (struct http *)x->state;
	const char *reason = h->refusal ? h->refusal : llhttp_get_error_reason(&h->parser);

	if (h->too_long)
		return codec_refuse(x, CODEC_TOO_LONG, "longer than the limit of %zu bytes",
				    codec_limit(x));
	return codec_refuse(x, CODEC_BROKEN, "%s",
			    reason && reason[0] ? reason : llhttp_errno_name(code));
}

/*
 * Feeds one message, of which @before bytes came earlier. Its headers must end within the limit:
 * nothing beyond it is looked at before.
 * Return: CODEC_DONE with @used set, CODEC_MORE, or a refusal
 */
static enum codec_result feed(struct codec_exchange *x, const uint8_t *bytes, size_t len,
			      size_t before, size_t *used)
{
	struct http *h = (struct http *)x->state;
	const char *text = (const char *)bytes;
	size_t at = 0;

	while (at < len) {
		size_t left = h->headers ? len : CODEC_HTTP_HEAD - (before + at);
		size_t n = len - at < left ? len - at : left;
		llhttp_errno_t r = llhttp_execute(&h->parser, text + at, n);

		if (h->whole && r == HPE_PAUSED) {
			*used = (size_t)(llhttp_get_error_pos(&h->parser) - text);
			return CODEC_DONE;
		}
		if (r != HPE_OK)
			return refuse(x, r);
		at += n;
		if (!h->headers && before + at >= CODEC_HTTP_HEAD)
			return codec_refuse(x, CODEC_TOO_LONG,
					    "headers longer than the limit of %u bytes",
					    CODEC_HTTP_HEAD);
	}
	return CODEC_MORE;
}

static enum codec_result http_request(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	struct http *h = (struct http *)x->state;
	size_t used = 0;

	if (x->result == CODEC_DONE)
		return CODEC_DONE;
	const char *wrong = head_bytes(&h->head, bytes, len);
	if (wrong)
		return codec_refuse(x, CODEC_BROKEN, "%s", wrong);
	enum codec_result r = feed(x, bytes, len, x->seen, &used);
	if (r == CODEC_DONE && !h->head.ended)
		return codec_refuse(x, CODEC_BROKEN, "the end of its headers is not clear");
	if (r == CODEC_DONE)
		x->end = x->seen + used;
	if (r != CODEC_MORE)
		x->prompt = NULL; /* nobody waits */
	return r;
}

/* One answer is whole up to @at. Return: whether it was the last */
static enum codec_result end_answer(struct codec_exchange *x, size_t at)
{
	struct http *h = (struct http *)x->state;

	if (llhttp_get_status_code(&h->parser) / 100 != 1) {
		x->from = h->begun;
		x->end = at;
		x->keep = h->keep && h->keep_request;
		return CODEC_DONE;
	}
	if (++h->interim > CODEC_HTTP_INTERIM)
		return codec_refuse(x, CODEC_TOO_LONG, "more than %d interim answers",
				    CODEC_HTTP_INTERIM);
	h->begun = at;
	x->from = at;
	begin(h, HTTP_RESPONSE);
	return CODEC_MORE;
}

static enum codec_result http_answer(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	const struct http *h = (struct http *)x->state;
	enum codec_result r = x->result;
	size_t at = 0;

	while (r == CODEC_MORE && at < len) {
		size_t before = x->seen + at - h->begun;
		size_t used = 0;

		if (before == 0 && (bytes[at] == '\r' || bytes[at] == '\n'))
			return codec_refuse(x, CODEC_BROKEN, "it begins with an empty line");
		r = feed(x, bytes + at, len - at, before, &used);
		if (r != CODEC_DONE)
			return r;
		at += used;
		r = end_answer(x, x->seen + at);
	}
	return r;
}

/* Some answers end with their connection. */
static enum codec_result http_closed(struct codec_exchange *x)
{
	struct http *h = (struct http *)x->state;

	if (h->headers && !h->whole && llhttp_message_needs_eof(&h->parser)) {
		x->from = h->begun;
		x->end = x->seen;
		return CODEC_DONE;
	}
	return codec_refuse(x, CODEC_BROKEN, "the connection ended after %zu bytes of it", x->seen);
}

struct last {
	bool head; /* the request is HEAD */
	bool last;
};

/* Only the headers are read: they say how the answer ends. */
static int on_last_headers(llhttp_t *parser)
{
	struct last *l = parser->data;

	if (l->head)
		parser->flags |= F_SKIPBODY;
	l->last = !llhttp_should_keep_alive(parser);
	return HPE_PAUSED;
}

static bool http_last(int note, const uint8_t *bytes, size_t len)
{
	static const llhttp_settings_t headers = { .on_headers_complete = on_last_headers };
	struct last l = { .head = note & NOTE_HEAD, .last = true };
	llhttp_t parser;

	if (note & NOTE_CLOSES)
		return true;
	llhttp_init(&parser, HTTP_RESPONSE, &headers);
	parser.data = &l;
	(void)llhttp_execute(&parser, (const char *)bytes, len);
	return l.last;
}

static int http_refusal(char *to, size_t size, enum codec_refusal why, const char *reason)
{
	static const char *const status[] = {
		[CODEC_REFUSAL_BROKEN] = "400 Bad Request",
		[CODEC_REFUSAL_TOO_LONG] = "413 Payload Too Large",
		[CODEC_REFUSAL_DOUBT] = "502 Bad Gateway",
		[CODEC_REFUSAL_AWAY] = "503 Service Unavailable",
	};

	return snprintf(to, size,
			"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
			"%sConnection: close\r\n\r\n%s\n",
			status[why], strlen(reason) + 1,
			why == CODEC_REFUSAL_AWAY ? "Retry-After: 1\r\n" : "", reason);
}

const struct codec codec_http = {
	.name = "http",
	/* common servers close an idle connection later: the end must not meet a request */
	.idle_ms = 1000,
	.segments = true,
	.state_size = sizeof(struct http),
	.digests = true,
	.start = http_start,
	.request = http_request,
	.answer = http_answer,
	.closed = http_closed,
	.last = http_last,
	.refusal = http_refusal,
	.refusal_ends = true,
};
