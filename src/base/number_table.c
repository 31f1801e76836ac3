/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number_table.h"

#include <errno.h>
#include <stdlib.h>

#define CHAINS_START 64

static struct number_entry **chain_of(const struct number_table *t, uint64_t number)
{
	/* by the golden ratio: numbers given out in order spread, as random ones do */
	uint64_t spread = number * 0x9e3779b97f4a7c15u;

	return &t->chain[(spread >> 32) & (t->chains - 1)];
}

static void append(struct number_entry **at, struct number_entry *e)
{
	while (*at)
		at = &(*at)->next;
	e->next = NULL;
	*at = e;
}

/* Without memory for more chains they only become longer. */
static int make_room(struct number_table *t)
{
	struct number_table more = { .chains = t->chains ? 2 * t->chains : CHAINS_START };

	if (t->count < t->chains)
		return 0;
	more.chain = calloc(more.chains, sizeof(*more.chain));
	if (!more.chain)
		return t->chain ? 0 : -ENOMEM;
	for (size_t i = 0; i < t->chains; i++) {
		struct number_entry *e = t->chain[i];

		while (e) {
			struct number_entry *next = e->next;

			append(chain_of(&more, e->number), e);
			e = next;
		}
	}
	more.count = t->count;
	free(t->chain);
	*t = more;
	return 0;
}

void number_table_deinit(struct number_table *t)
{
	free(t->chain);
	*t = (struct number_table){ 0 };
}

int number_table_add(struct number_table *t, struct number_entry *e, uint64_t number)
{
	int r = make_room(t);

	if (r < 0)
		return r;
	e->number = number;
	append(chain_of(t, number), e);
	t->count++;
	return 0;
}

void number_table_remove(struct number_table *t, struct number_entry *e)
{
	struct number_entry **at = chain_of(t, e->number);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	t->count--;
}

static struct number_entry *with_number(struct number_entry *e, uint64_t number)
{
	while (e && e->number != number)
		e = e->next;
	return e;
}

struct number_entry *number_table_find(const struct number_table *t, uint64_t number)
{
	return t->chains ? with_number(*chain_of(t, number), number) : NULL;
}

struct number_entry *number_table_next(const struct number_entry *e)
{
	return with_number(e->next, e->number);
}
