/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/connection.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "codec/codec.h"
#include "wire/message.h"

/* a request that counts; its bytes stand in the preamble after those before it */
struct item {
	struct list link;
	uint64_t number;
	size_t len;
	enum codec_effect effect; /* NONE: kept in the open transaction */
	int subject;
};

struct codec_connection {
	struct list items;
	struct buf preamble;
	bool open; /* a transaction is */
};

int codec_connection_new(struct codec_connection **ret, struct err *err)
{
	struct codec_connection *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, -ENOMEM, "state of a connection");
	list_init(&c->items);
	buf_init(&c->preamble, WIRE_PREAMBLE_MAX);
	*ret = c;
	return 0;
}

/* @at: where its bytes begin in the preamble */
static void forget(struct codec_connection *c, struct item *item, size_t at)
{
	buf_remove(&c->preamble, at, item->len);
	list_remove(&item->link);
	free(item);
}

static void forget_all(struct codec_connection *c)
{
	list_for_each_safe(at, next, &c->items) forget(c, list_entry(at, struct item, link), 0);
}

struct codec_connection *codec_connection_free(struct codec_connection *c)
{
	if (c) {
		forget_all(c);
		buf_deinit(&c->preamble);
		free(c);
	}
	return NULL;
}

const void *codec_connection_preamble(const struct codec_connection *c, size_t *len)
{
	*len = c->preamble.len;
	return buf_bytes(&c->preamble);
}

/* What came since the transaction was opened, and that it was. */
static void forget_transaction(struct codec_connection *c)
{
	bool inside = false;
	size_t at = 0;

	list_for_each_safe(i, next, &c->items)
	{
		struct item *item = list_entry(i, struct item, link);

		inside = inside || item->effect == CODEC_EFFECT_OPENS;
		if (inside)
			forget(c, item, at);
		else
			at += item->len;
	}
	c->open = false;
}

static int remember(struct codec_connection *c, const struct codec_exchange *x, uint64_t number,
		    const void *bytes, size_t len, struct err *err)
{
	if (c->preamble.len + len > WIRE_PREAMBLE_MAX)
		return err_set(err, -E2BIG,
			       "what a connection leaves to be remembered (an open transaction) is "
			       "longer than the limit of %u bytes",
			       WIRE_PREAMBLE_MAX);
	struct item *item = calloc(1, sizeof(*item));
	if (!item || buf_append(&c->preamble, bytes, len, NULL) < 0) {
		free(item);
		return err_set(err, -ENOMEM, "state of a connection");
	}
	item->number = number;
	item->len = len;
	item->effect = c->open ? CODEC_EFFECT_NONE : x->effect;
	item->subject = x->subject;
	list_append(&c->items, &item->link);
	return 0;
}

int codec_connection_sent(struct codec_connection *c, const struct codec_exchange *x,
			  uint64_t number, const void *bytes, size_t len, struct err *err)
{
	int r;

	switch (x->effect) {
	case CODEC_EFFECT_CLOSES:
		forget_transaction(c);
		return 0;
	case CODEC_EFFECT_RESETS:
		forget_all(c);
		c->open = false;
		return 0;
	case CODEC_EFFECT_NONE:
		return c->open ? remember(c, x, number, bytes, len, err) : 0;
	case CODEC_EFFECT_SETS:
	case CODEC_EFFECT_OPENS:
		break;
	}
	r = remember(c, x, number, bytes, len, err);
	c->open = c->open || (r == 0 && x->effect == CODEC_EFFECT_OPENS);
	return r;
}

/* @item took effect: earlier ones that set the same do not count any more */
static void supersede(struct codec_connection *c, const struct item *item)
{
	size_t at = 0;

	list_for_each_safe(i, next, &c->items)
	{
		struct item *earlier = list_entry(i, struct item, link);

		if (earlier == item)
			return;
		if (earlier->effect == CODEC_EFFECT_SETS && earlier->subject == item->subject)
			forget(c, earlier, at);
		else
			at += earlier->len;
	}
}

void codec_connection_answered(struct codec_connection *c, uint64_t number, const void *bytes,
			       size_t len)
{
	bool failed = len == 0 || *(const char *)bytes == '-';
	size_t at = 0;

	list_for_each_safe(i, next, &c->items)
	{
		struct item *item = list_entry(i, struct item, link);

		if (item->number != number) {
			at += item->len;
			continue;
		}
		if (item->effect == CODEC_EFFECT_OPENS && failed)
			forget_transaction(c);
		else if (item->effect == CODEC_EFFECT_SETS && failed)
			forget(c, item, at);
		else if (item->effect == CODEC_EFFECT_SETS)
			supersede(c, item);
		return;
	}
}

bool codec_connection_open(const struct codec_connection *c)
{
	return c->open;
}
