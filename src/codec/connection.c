/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/connection.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "codec/codec.h"
#include "codec/exec_answer.h"
#include "wire/message.h"

/* a request that counts; its bytes stand in the preamble after those before it */
struct item {
	struct list link;
	uint64_t number;
	size_t len;
	enum codec_effect effect;
	int subject;
	bool inside; /* of a transaction: it takes effect when that is executed */
	bool failed; /* inside: it was not queued */
};

struct codec_connection {
	struct list items;
	struct buf preamble;
	bool open;         /* a transaction is */
	uint64_t settling; /* the request that has closed one which sets something; 0: none */
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

/* Forgets the requests since the transaction was opened, and the one that opened it. */
static void forget_transaction(struct codec_connection *c)
{
	size_t at = 0;

	list_for_each_safe(i, next, &c->items)
	{
		struct item *item = list_entry(i, struct item, link);

		if (item->inside || item->effect == CODEC_EFFECT_OPENS)
			forget(c, item, at);
		else
			at += item->len;
	}
	c->open = false;
	c->settling = 0;
}

static bool transaction_sets(const struct codec_connection *c)
{
	bool sets = false;

	list_for_each_safe(i, next, (struct list *)(uintptr_t)&c->items)
	{
		const struct item *item = list_entry(i, struct item, link);

		sets = sets || (item->inside && item->effect == CODEC_EFFECT_SETS);
	}
	return sets;
}

/* The settings of a transaction count if it was executed. Its answer shows whether it was. */
static void close_transaction(struct codec_connection *c, uint64_t number)
{
	if (!c->open || !transaction_sets(c)) {
		forget_transaction(c);
		return;
	}
	c->open = false;
	c->settling = number;
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
	item->inside = c->open;
	/* none can be opened inside of another */
	item->effect = c->open && x->effect == CODEC_EFFECT_OPENS ? CODEC_EFFECT_NONE : x->effect;
	item->subject = x->subject;
	list_append(&c->items, &item->link);
	return 0;
}

int codec_connection_sent(struct codec_connection *c, const struct codec_exchange *x,
			  uint64_t number, const void *bytes, size_t len, struct err *err)
{
	int r;

	if (c->settling)
		return err_set(err, -EBUSY, "a transaction's answer is not here yet");
	switch (x->effect) {
	case CODEC_EFFECT_CLOSES:
		close_transaction(c, number);
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

/*
 * The transaction that sets something has been answered. Commands in it that took effect are kept by themselves
 * from now on. The rest of it is forgotten.
 */
static void settle(struct codec_connection *c, const void *bytes, size_t len)
{
	size_t queued = 0;

	list_for_each_safe(i, next, &c->items)
	{
		struct item *item = list_entry(i, struct item, link);

		if (!item->inside || item->failed)
			continue;
		/* a command whose answer lies beyond the first segment of a long one is taken as done */
		if (exec_answer_of(bytes, len, queued++) == EXEC_ANSWER_FAILED ||
		    item->effect != CODEC_EFFECT_SETS)
			continue;
		item->inside = false;
		supersede(c, item);
	}
	forget_transaction(c);
}

void codec_connection_answered(struct codec_connection *c, uint64_t number, const void *bytes,
			       size_t len)
{
	bool failed = exec_answer_is_error(bytes, len);
	size_t at = 0;

	if (c->settling && number == c->settling) {
		settle(c, bytes, len);
		return;
	}
	list_for_each_safe(i, next, &c->items)
	{
		struct item *item = list_entry(i, struct item, link);

		if (item->number != number) {
			at += item->len;
			continue;
		}
		if (item->inside)
			item->failed = len && failed; /* in doubt: the next preamble has it again */
		else if (item->effect == CODEC_EFFECT_OPENS && failed)
			forget_transaction(c);
		else if (item->effect == CODEC_EFFECT_SETS && failed)
			forget(c, item, at);
		else if (item->effect == CODEC_EFFECT_SETS)
			supersede(c, item);
		return;
	}
}

bool codec_connection_settling(const struct codec_connection *c)
{
	return c->settling != 0;
}

bool codec_connection_open(const struct codec_connection *c)
{
	return c->open;
}
