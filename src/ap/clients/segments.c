/* SPDX-License-Identifier: Apache-2.0 */

/*
 * User segments - a client's requests and answers that are too long for one message (enum wire_segment)
 *
 *	client --> spool --whole--> BEGIN, MORE ..., LAST --> edge server
 *	client <-- spool <--------- first segment, REST, REST ... <--
 *
 * Both lie here in a spool as long as the client takes. So the service, and the user's other requests,
 * never wait for a slow client: between access point and edge server a long message goes as quickly as the
 * link permits. Meanwhile the user's session begins no other long message (user_session_long()). A cut
 * waits for long messages to end (R12), and so does not wait for ever.
 *
 * If there is no room for more of an answer (spool_bytes), no more is asked for until clients have taken some.
 *
 * If the connection ends before its message has, the edge server is told to DROP it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ap/clients/connection_inner.h"
#include "ap/users/table.h"
#include "base/auto.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spool.h"
#include "wire/message.h"

#define SAY_SIZE 65536 /* of an answer at once */

/* ---- requests ---- */

void user_connection_wait(struct user_connection *c)
{
	c->hold.segment = user_segments_wanted(c);
	user_session_wait(c->session, &c->hold);
}

size_t user_segments_gathered(const struct user_connection *c)
{
	return c->upload.bytes ? (size_t)spool_length(c->upload.bytes) : 0;
}

int user_segments_gather(struct user_connection *c, size_t len, struct err *err)
{
	struct upload *u = &c->upload;
	int r = u->bytes ? 0 : spool_new(&u->bytes, c->user->users->spools, err);

	if (r == 0)
		r = spool_append(u->bytes, buf_bytes(&c->in), len, err);
	if (r < 0)
		return r;
	buf_consume(&c->in, len);
	c->fed -= len;
	return 0;
}

/* Nobody waits for the answers to the segments any more. */
static void forget_parts(struct user_connection *c)
{
	for (size_t i = 0; i < USER_SEGMENTS_WINDOW; i++) {
		if (c->upload.segment[i])
			user_session_forget(c->session, c->upload.segment[i]);
	}
}

static void end_upload(struct user_connection *c)
{
	struct upload *u = &c->upload;

	if (u->sent)
		user_session_long(c->session, -1);
	forget_parts(c);
	u->bytes = spool_free(u->bytes);
	*u = (struct upload){ 0 };
	c->whole = false;
}

/* One numbered request whose only payload is a number. Return: whether there was room */
static bool ask(struct user_connection *c, enum wire_segment segment, uint64_t about,
		const struct user_waiter *waiter, uint64_t *number)
{
	uint8_t bytes[WIRE_SEGMENT_NUMBER_SIZE];
	const struct wire_data d = {
		.connection = c->number, .segment = segment, .bytes = bytes, .len = sizeof(bytes)
	};
	struct err err;

	if (user_session_room(c->session, d.len, segment) != 0)
		return false;
	put_be64(bytes, about);
	return user_session_request(c->session, &d, waiter, number, &err) == 0;
}

/* Without room the edge server has to find out by itself: at the next cut. */
static void drop(struct user_connection *c, uint64_t about)
{
	const struct user_waiter nobody = { 0 };
	uint64_t number;

	if (user_session_number(c->session))
		(void)ask(c, WIRE_SEGMENT_DROP, about, &nobody, &number);
}

static void fail_upload(struct user_connection *c, enum codec_refusal why, const char *reason)
{
	struct pending *p = c->upload.pending;

	p->last = !user_connection_compose(c, p, why, reason);
	c->ended = p->last;
	user_segments_end_upload(c);
	c->life->next(c);
	c->life->flush(c);
}

static void on_part(void *ctx, struct user_session *us, uint16_t port,
		    const struct wire_data *answer)
{
	struct user_connection *c = ctx;
	struct upload *u = &c->upload;

	(void)us;
	(void)port;
	for (size_t i = 0; i < USER_SEGMENTS_WINDOW; i++) {
		if (u->segment[i] == answer->number)
			u->segment[i] = 0;
	}
	if (answer->status != WIRE_OK)
		fail_upload(c, CODEC_REFUSAL_DOUBT, wire_status_name(answer->status));
	if (!c->closing)
		c->life->pump(c);
}

static uint64_t *free_place(struct upload *u)
{
	for (size_t i = 0; i < USER_SEGMENTS_WINDOW; i++) {
		if (!u->segment[i])
			return &u->segment[i];
	}
	return NULL;
}

/* The next segment, of @len bytes, with @preamble_len bytes of a preamble before them */
static int send_part(struct user_connection *c, enum wire_segment segment, size_t len,
		     const void *preamble, size_t preamble_len, uint64_t *number, struct err *err)
{
	struct upload *u = &c->upload;
	auto_free uint8_t *all = malloc(preamble_len + len + 1);
	struct wire_data d = { .connection = c->number,
			       .preamble = (uint32_t)preamble_len,
			       .segment = segment,
			       .bytes = all,
			       .len = preamble_len + len };
	struct user_waiter waiter = { .answered = on_part, .ctx = c };

	if (!all)
		return err_set(err, -ENOMEM, "a part of %zu bytes", len);
	if (preamble_len)
		memcpy(all, preamble, preamble_len);
	int r = spool_read(u->bytes, u->sent, all + preamble_len, len, err);
	if (segment == WIRE_SEGMENT_LAST)
		waiter.answered = c->life->answered;
	if (r == 0)
		r = user_session_request(c->session, &d, &waiter, number, err);
	if (r == 0 && segment == WIRE_SEGMENT_BEGIN)
		user_session_long(c->session, 1);
	u->sent += r == 0 ? len : 0;
	return r;
}

/* Return: false if it has to wait, or the request has failed */
static bool next_part(struct user_connection *c, bool *last)
{
	struct upload *u = &c->upload;
	uint64_t left = spool_length(u->bytes) - u->sent;
	size_t len = left < WIRE_PAYLOAD_MAX ? (size_t)left : WIRE_PAYLOAD_MAX;
	size_t preamble_len;
	const void *preamble = codec_connection_preamble(c->state, &preamble_len);
	uint64_t *place = free_place(u);
	struct err err;

	*last = u->sent && len == left && preamble_len + len <= WIRE_PAYLOAD_MAX;
	preamble_len = *last ? preamble_len : 0;
	if (!*last && len == left)
		len--; /* the codec must not find it whole before its last segment */
	enum wire_segment segment = !u->sent ? WIRE_SEGMENT_BEGIN
				    : *last  ? WIRE_SEGMENT_LAST
					     : WIRE_SEGMENT_MORE;
	if (u->sent && user_session_number(c->session) != u->session) {
		fail_upload(c, CODEC_REFUSAL_DOUBT, "the session was lost");
		return false;
	}
	if (!place && !*last)
		return false; /* on_part() continues */
	switch (user_session_room(c->session, preamble_len + len, segment)) {
	case USER_SESSION_E_WAIT:
		user_connection_wait(c);
		return false;
	case USER_SESSION_E_AWAY:
		fail_upload(c, CODEC_REFUSAL_AWAY, user_session_reason(c->session));
		return false;
	default:
		break;
	}
	int r = send_part(c, segment, len, preamble, preamble_len,
			  *last ? &u->pending->number : place, &err);
	u->session = user_session_number(c->session);
	if (r < 0)
		fail_upload(c, CODEC_REFUSAL_AWAY, err.text);
	return r == 0;
}

/* All of the request goes to the spool. Return: false if it was refused, or the connection is closed */
static bool begin_upload(struct user_connection *c)
{
	const struct codec_exchange *x = c->exchange;
	struct upload *u = &c->upload;
	struct err err;

	if (user_segments_gather(c, x->end - user_segments_gathered(c), &err) < 0) {
		c->life->refuse(c, CODEC_REFUSAL_AWAY, err.text, false);
		return false;
	}
	/* the remembered state of a connection is shorter */
	if (codec_connection_open(c->state) || x->effect != CODEC_EFFECT_NONE) {
		c->life->refuse(c, CODEC_REFUSAL_TOO_LONG,
				"longer than what can be remembered of a connection (a "
				"command within a transaction, or one that sets something)",
				false);
		return false;
	}
	u->pending = user_connection_pending(c);
	if (!u->pending) {
		c->life->close(c, true);
		return false;
	}
	u->pending->ordinal = ++c->ordinal;
	u->pending->note = x->note;
	c->whole = true;
	return true;
}

bool user_segments_submit(struct user_connection *c)
{
	bool last = false;

	if (!c->upload.pending && !begin_upload(c))
		return !c->closing;
	while (!last) {
		if (!next_part(c, &last))
			return false;
	}
	end_upload(c); /* if a segment fails the last one does, too */
	c->life->next(c);
	return true;
}

void user_segments_end_upload(struct user_connection *c)
{
	bool begun = c->upload.sent;

	if (!c->upload.bytes)
		return;
	end_upload(c);
	if (begun)
		drop(c, 0);
}

/* ---- answers ---- */

static void on_rest(void *ctx, struct user_session *us, uint16_t port,
		    const struct wire_data *answer);

/* A long answer whose next segment has not been asked for */
static struct pending *find_unasked(const struct user_connection *c)
{
	if (!c->downloads)
		return NULL;
	list_for_each_safe(at, next, (struct list *)(uintptr_t)&c->pending)
	{
		struct pending *p = list_entry(at, struct pending, link);

		if (p->more && !p->rest_number)
			return p;
	}
	return NULL;
}

bool user_segments_wanted(const struct user_connection *c)
{
	return c->upload.sent > 0 || find_unasked(c);
}

static void end_download(struct user_connection *c, struct pending *p)
{
	p->more = false;
	c->downloads--;
	user_session_long(c->session, -1);
}

/* Bytes already sent cannot be taken back: the client sees that the rest is missing. */
static void fail_download(struct user_connection *c, const char *reason)
{
	log_info("%s: connection ended in the middle of an answer: %s", c->user->name, reason);
	c->life->close(c, true);
}

/* For the next segment of an answer; if not, user_connection_tick() tries again */
static bool has_room(const struct user_connection *c)
{
	return spools_left(c->user->users->spools) >= WIRE_PAYLOAD_MAX;
}

void user_segments_ask(struct user_connection *c)
{
	const struct user_waiter waiter = { .answered = on_rest, .ctx = c };
	struct pending *p;

	while (!c->closing && has_room(c) && (p = find_unasked(c))) {
		if (ask(c, WIRE_SEGMENT_REST, p->number, &waiter, &p->rest_number))
			continue;
		if (user_session_room(c->session, 0, WIRE_SEGMENT_REST) != USER_SESSION_E_AWAY) {
			user_connection_wait(c);
			return;
		}
		fail_download(c, user_session_reason(c->session));
	}
}

static int take(struct user_connection *c, struct pending *p, const struct wire_data *d,
		struct err *err)
{
	int r = p->rest ? 0 : spool_new(&p->rest, c->user->users->spools, err);

	return r == 0 ? spool_append(p->rest, d->bytes, d->len, err) : r;
}

void user_segments_answer(struct user_connection *c, struct pending *p, const struct wire_data *d)
{
	struct err err;

	p->more = true;
	c->downloads++;
	user_session_long(c->session, 1);
	if (take(c, p, d, &err) < 0)
		fail_download(c, err.text);
	else
		user_segments_ask(c);
}

static struct pending *find_rest(const struct user_connection *c, uint64_t number)
{
	list_for_each_safe(at, next, (struct list *)(uintptr_t)&c->pending)
	{
		struct pending *p = list_entry(at, struct pending, link);

		if (p->rest_number == number)
			return p;
	}
	return NULL;
}

static void on_rest(void *ctx, struct user_session *us, uint16_t port,
		    const struct wire_data *answer)
{
	struct user_connection *c = ctx;
	struct pending *p = find_rest(c, answer->number);
	bool fine = answer->status == WIRE_OK || answer->status == WIRE_OK_MORE;
	struct err err;

	(void)us;
	(void)port;
	if (!p)
		return;
	p->rest_number = 0;
	if (!fine || !answer->len) {
		fail_download(c, fine ? "its rest is lost" : wire_status_name(answer->status));
		return;
	}
	if (take(c, p, answer, &err) < 0) {
		fail_download(c, err.text);
		return;
	}
	if (answer->status == WIRE_OK) {
		p->answered = true;
		end_download(c, p);
	}
	c->life->flush(c);
	if (!c->closing)
		c->life->pump(c); /* asks for the next one */
}

bool user_segments_say(struct user_connection *c, struct pending *p)
{
	auto_free char *piece = malloc(SAY_SIZE);
	struct err err = { .text = "out of memory" };

	while (p->said < spool_length(p->rest) &&
	       c->out.len + c->writing.len < USER_CONNECTION_OUT) {
		uint64_t left = spool_length(p->rest) - p->said;
		size_t len = left < SAY_SIZE ? (size_t)left : SAY_SIZE;

		if (!piece || spool_read(p->rest, p->said, piece, len, &err) < 0) {
			log_error("%s: connection ended: %s", c->user->name, err.text);
			c->life->close(c, true);
			return false;
		}
		if (!user_connection_say(c, piece, len))
			return false;
		p->said += len;
		spool_forget(p->rest, p->said);
	}
	return p->answered && p->said == spool_length(p->rest);
}

void user_segments_end_download(struct user_connection *c, struct pending *p)
{
	if (p->rest_number)
		user_session_forget(c->session, p->rest_number);
	if (p->more) {
		end_download(c, p);
		drop(c, p->number);
	}
	p->rest = spool_free(p->rest);
}
