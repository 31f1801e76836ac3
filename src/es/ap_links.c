/* SPDX-License-Identifier: Apache-2.0 */
#include "es/ap_links.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "net/link.h"

#define EDGE_STATE_VERSION 2 /* the first that knows EDGE STATE */

struct entry {
	struct list in;
	struct link *link;
};

struct ap_links {
	struct list entries;
};

int ap_links_new(struct ap_links **ret, struct err *err)
{
	struct ap_links *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, -ENOMEM, "table of links");
	list_init(&t->entries);
	*ret = t;
	return 0;
}

static void entry_free(struct entry *e)
{
	list_remove(&e->in);
	free(e);
}

struct ap_links *ap_links_free(struct ap_links *t)
{
	if (t) {
		list_for_each_safe(at, next, &t->entries)
			entry_free(list_entry(at, struct entry, in));
		free(t);
	}
	return NULL;
}

static struct entry *find(const struct ap_links *t, const char *name)
{
	list_for_each_safe(at, next, (struct list *)&t->entries)
	{
		struct entry *e = list_entry(at, struct entry, in);

		if (name_equal(link_peer_name(e->link), name))
			return e;
	}
	return NULL;
}

void ap_links_up(struct ap_links *t, struct link *l)
{
	struct entry *e = find(t, link_peer_name(l));

	if (e) {
		link_close(e->link);
		entry_free(e);
	}
	e = calloc(1, sizeof(*e));
	if (!e) {
		log_error("out of memory: link of %s closed", link_peer_name(l));
		link_close(l);
		return;
	}
	e->link = l;
	list_append(&t->entries, &e->in);
}

void ap_links_down(struct ap_links *t, struct link *l)
{
	list_for_each_safe(at, next, &t->entries)
	{
		struct entry *e = list_entry(at, struct entry, in);

		if (e->link == l)
			entry_free(e);
	}
}

void ap_links_send(struct ap_links *t, const char *name, const struct wire_message *m)
{
	struct entry *e = find(t, name);
	int r;

	if (!e)
		return;
	/* one of version 1 would end the link */
	if (m->type == WIRE_EDGE_STATE && link_peer_version(e->link) < EDGE_STATE_VERSION)
		return;
	r = link_send(e->link, m);
	if (r == 0 || r == LINK_E_DOWN)
		return;
	log_error("%s to %s cannot be queued (%s): link closed", wire_type_name(m->type), name,
		  r == LINK_E_FULL ? "queue full" : "not encodable or out of memory");
	link_close(e->link);
	entry_free(e);
}

void ap_links_each(const struct ap_links *t, void (*fn)(void *ctx, const char *name), void *ctx)
{
	list_for_each_safe(at, next, (struct list *)&t->entries)
		fn(ctx, link_peer_name(list_entry(at, struct entry, in)->link));
}
