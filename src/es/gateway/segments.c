/* SPDX-License-Identifier: Apache-2.0 */
#include "es/gateway/segments.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/spool.h"
#include "codec/codec.h"

/*
 * A long message: a request while it is collected (@number 0), or an answer while it is asked for
 */
struct message {
	struct list link;
	uint32_t connection;
	uint64_t number;
	struct segments_request *request;
	struct spool *answer;
	uint64_t from;
	uint64_t end;
};

struct segments {
	struct spools *spools;
	const struct codec *codec;
	const struct codec_comparison *comparison;
	struct list messages; /* oldest first */
	size_t count;
};

struct segments_request *parts_request_free(struct segments_request *r)
{
	if (r) {
		codec_exchange_free(r->exchange);
		spool_free(r->bytes);
		free(r);
	}
	return NULL;
}

int segments_new(struct segments **ret, struct spools *spools, const struct codec *codec,
		 const struct codec_comparison *comparison, struct err *err)
{
	struct segments *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, -ENOMEM, "parts of messages");
	p->spools = spools;
	p->codec = codec;
	p->comparison = comparison;
	list_init(&p->messages);
	*ret = p;
	return 0;
}

static void forget(struct segments *p, struct message *m)
{
	list_remove(&m->link);
	p->count--;
	parts_request_free(m->request);
	spool_free(m->answer);
	free(m);
}

void segments_clear(struct segments *p)
{
	list_for_each_safe(at, next, &p->messages) forget(p, list_entry(at, struct message, link));
}

struct segments *segments_free(struct segments *p)
{
	if (p) {
		segments_clear(p);
		free(p);
	}
	return NULL;
}

bool segments_any(const struct segments *p)
{
	return p->count > 0;
}

static struct message *find(struct segments *p, uint32_t connection, uint64_t number)
{
	list_for_each_safe(at, next, &p->messages)
	{
		struct message *m = list_entry(at, struct message, link);

		if (m->connection == connection && m->number == number)
			return m;
	}
	return NULL;
}

static int add(struct segments *p, struct message **ret, uint32_t connection, uint64_t number,
	       struct err *err)
{
	struct message *oldest = list_first(&p->messages, struct message, link);
	struct message *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, -ENOMEM, "a long message");
	if (p->count >= SEGMENTS_MAX && oldest)
		forget(p, oldest);
	m->connection = connection;
	m->number = number;
	list_append(&p->messages, &m->link);
	p->count++;
	*ret = m;
	return 0;
}

static int begin(struct segments *p, struct message **ret, uint32_t connection, struct err *err)
{
	struct message *m = find(p, connection, 0);

	if (m)
		forget(p, m);
	int r = add(p, &m, connection, 0, err);
	if (r < 0)
		return r;
	m->request = calloc(1, sizeof(*m->request));
	r = m->request ? codec_exchange_new(&m->request->exchange, p->codec, p->comparison, err)
		       : err_set(err, -ENOMEM, "a long request");
	if (r == 0)
		r = spool_new(&m->request->bytes, p->spools, err);
	if (r < 0) {
		forget(p, m);
		return r;
	}
	m->request->exchange->own = true;
	*ret = m;
	return 0;
}

/* Append bytes to the message. Return: the codec's result so far, or negative error code */
static int append(struct message *m, const struct wire_data *d, struct err *err)
{
	struct codec_exchange *x = m->request->exchange;
	int r = spool_append(m->request->bytes, d->bytes, d->len, err);

	if (r < 0 || !d->len)
		return r < 0 ? r : (int)x->result;
	(void)codec_request(x, d->bytes, d->len);
	if (x->result == CODEC_BROKEN || x->result == CODEC_TOO_LONG)
		return err_set(err, -EPROTO, "request refused by codec %s: %s", x->codec->name,
			       x->reason);
	return (int)x->result;
}

static int nothing(struct err *err)
{
	return err_set(err, -ENOENT, "a long request of which the beginning is not here");
}

int segments_collect(struct segments *p, const struct wire_data *d, struct err *err)
{
	struct message *m = NULL;
	int r = 0;

	if (d->segment == WIRE_SEGMENT_BEGIN)
		r = begin(p, &m, d->connection, err);
	else
		m = find(p, d->connection, 0);
	if (!m)
		return r < 0 ? r : nothing(err);
	r = append(m, d, err);
	if (r == CODEC_DONE)
		r = err_set(err, -EPROTO, "a long request that ends before its last part");
	if (r < 0)
		forget(p, m);
	return r < 0 ? r : 0;
}

int segments_last(struct segments *p, struct segments_request **ret, const struct wire_data *d,
		  struct err *err)
{
	struct message *m = find(p, d->connection, 0);

	if (!m)
		return nothing(err);
	int r = append(m, d, err);
	const struct codec_exchange *x = m->request->exchange;
	if (r >= 0 && (r != CODEC_DONE || x->end != spool_length(m->request->bytes)))
		r = err_set(err, -EPROTO,
			    "a long request that does not end with its last part, of %zu bytes",
			    x->seen);
	if (r >= 0)
		*ret = TAKE_PTR(m->request);
	forget(p, m);
	return r < 0 ? r : 0;
}

int segments_keep(struct segments *p, uint32_t connection, uint64_t number, struct spool *bytes,
		  uint64_t from, uint64_t end, struct err *err)
{
	struct message *m = NULL;
	int r = add(p, &m, connection, number, err);

	if (r < 0) {
		spool_free(bytes);
		return r;
	}
	m->answer = bytes;
	m->from = from;
	m->end = end;
	return 0;
}

/* The number that REST and DROP have for payload; the wire's decoder has seen that it is one */
static uint64_t number_in(const struct wire_data *d)
{
	return d->len == WIRE_SEGMENT_NUMBER_SIZE ? get_be64(d->bytes) : UINT64_MAX;
}

int segments_rest(struct segments *p, const struct wire_data *d, struct buf *to, bool *more,
		  struct err *err)
{
	uint64_t number = number_in(d);
	struct message *m = number ? find(p, d->connection, number) : NULL;

	*more = false;
	if (!m)
		return 0;
	uint64_t left = m->end - m->from;
	size_t len = left < WIRE_PAYLOAD_MAX ? (size_t)left : WIRE_PAYLOAD_MAX;
	int r = buf_reserve(to, len, err);
	if (r == 0)
		r = spool_read(m->answer, m->from, buf_tail(to), len, err);
	if (r == 0) {
		to->len += len;
		m->from += len;
		spool_forget(m->answer, m->from);
		*more = m->from < m->end;
	}
	if (!*more)
		forget(p, m);
	return r;
}

void segments_forget(struct segments *p, uint32_t connection)
{
	struct message *m = find(p, connection, 0);

	if (m)
		forget(p, m);
}

void segments_drop(struct segments *p, const struct wire_data *d)
{
	struct message *m = find(p, d->connection, number_in(d));

	if (m)
		forget(p, m);
}
