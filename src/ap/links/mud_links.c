/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/links/mud_links.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/links/link_rules.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "core/ap/node.h"
#include "net/link.h"

#define BUCKETS 256u /* numbers are given out in order, so their low bits spread by themselves */

/* struct mud_link - One link; in a bucket while @link is up, in the list of the gone afterwards */
struct mud_link {
	struct list item;
	uint64_t id;
	struct link *link;
};

struct mud_links {
	struct uv_loop_s *loop;
	struct ap_node *node;
	uint64_t last_id;
	size_t count;
	struct list bucket[BUCKETS];
	struct list gone;
};

int mud_links_new(struct mud_links **ret, struct uv_loop_s *loop, struct ap_node *node,
		  struct err *err)
{
	struct mud_links *ml = calloc(1, sizeof(*ml));

	if (!ml)
		return err_set(err, -ENOMEM, "links of MUDs");
	ml->loop = loop;
	ml->node = node;
	list_init(&ml->gone);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&ml->bucket[i]);
	*ret = ml;
	return 0;
}

static void free_all(struct list *head)
{
	list_for_each_safe(at, next, head) free(list_entry(at, struct mud_link, item));
}

struct mud_links *mud_links_free(struct mud_links *ml)
{
	if (ml) {
		for (size_t i = 0; i < BUCKETS; i++)
			free_all(&ml->bucket[i]);
		free_all(&ml->gone);
		free(ml);
	}
	return NULL;
}

/* Takes it out of use; the node hears of it from mud_links_settle() */
static void retire(struct mud_links *ml, struct mud_link *k)
{
	k->link = NULL;
	ml->count--;
	list_remove(&k->item);
	list_append(&ml->gone, &k->item);
}

void mud_links_up(struct mud_links *ml, struct link *l)
{
	struct mud_link *k = calloc(1, sizeof(*k));

	if (!k) {
		log_error("MUD %s: link not taken: out of memory", link_peer_name(l));
		link_close(l);
		return;
	}
	k->id = ++ml->last_id;
	k->link = l;
	list_append(&ml->bucket[k->id % BUCKETS], &k->item);
	ml->count++;
	link_set_data(l, k, NULL); /* freed when it is retired */
}

static bool may_say(enum wire_type type)
{
	return type == WIRE_ASSOCIATION_REQUEST || type == WIRE_REASSOCIATION_REQUEST ||
	       type == WIRE_DISASSOCIATION || type == WIRE_REQUEST;
}

void mud_links_message(struct mud_links *ml, struct link *l, const struct wire_message *m)
{
	struct mud_link *k = link_data(l);

	if (!may_say(m->type)) {
		retire(ml, k);
		link_rules_refuse(l, m);
		return;
	}
	ap_node_mud_message(ml->node, uv_now(ml->loop), k->id, link_peer_name(l), m);
}

void mud_links_down(struct mud_links *ml, struct link *l)
{
	retire(ml, link_data(l));
}

void mud_links_send(struct mud_links *ml, uint64_t id, const struct wire_message *m)
{
	struct mud_link *k = NULL;

	list_for_each_safe(at, next, &ml->bucket[id % BUCKETS])
	{
		k = list_entry(at, struct mud_link, item);
		if (k->id == id)
			break;
		k = NULL;
	}
	if (!k)
		return;
	struct link *l = k->link;
	int r = link_send(l, m);
	if (r == 0 || r == LINK_E_DOWN) /* down() will come */
		return;
	log_info("MUD %s: link dropped: %s", link_peer_name(l),
		 r == LINK_E_FULL ? "it does not take its answers" : strerror(-r));
	retire(ml, k);
	link_close(l);
}

void mud_links_settle(struct mud_links *ml)
{
	list_for_each_safe(at, next, &ml->gone)
	{
		struct mud_link *k = list_entry(at, struct mud_link, item);

		list_remove(&k->item);
		ap_node_mud_gone(ml->node, uv_now(ml->loop), k->id);
		free(k);
	}
}

size_t mud_links_count(const struct mud_links *ml)
{
	return ml->count;
}
