/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/links/handoff_links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/links/link_rules.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "core/ap/node.h"
#include "net/link.h"

#define CONNECTION_VERSION 3 /* the first that knows USER CONNECTION */

/* struct accepted - A link that another access point made */
struct accepted {
	struct list item;
	struct link *link;
};

struct handoff_links {
	struct uv_loop_s *loop;
	struct ap_node *node;
	void (*users_message)(struct users *users, const char *ap, const struct wire_message *m);
	struct users *users;
	struct list accepted; /* newest last */
	size_t count;
	struct peer **peer;
};

static void on_up(void *ctx, struct link *l)
{
	(void)ctx;
	log_info("connected to access point %s", link_peer_name(l));
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	handoff_links_message(ctx, l, m);
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	(void)ctx;
	log_info("link to access point %s is down: %s", link_peer_name(l), reason);
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	log_info("access point %s cannot be reached: %s", who, reason);
}

static const struct link_ops ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.refused = on_refused,
};

int handoff_links_new(struct handoff_links **ret, const struct link_setup *setup,
		      struct ap_node *node, const struct ap_neighbours *aps, struct err *err)
{
	int r;

	AUTO(handoff_links) struct handoff_links *hl = calloc(1, sizeof(*hl));
	if (!hl)
		return err_set(err, -ENOMEM, "links to access points");
	hl->loop = setup->loop;
	hl->node = node;
	list_init(&hl->accepted);
	r = handoff_links_change(hl, setup, aps, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(hl);
	return 0;
}

static struct peer *find_peer(const struct handoff_links *hl, const char *name)
{
	for (size_t i = 0; i < hl->count; i++) {
		if (name_equal(peer_name(hl->peer[i]), name))
			return hl->peer[i];
	}
	return NULL;
}

static void close_others(struct handoff_links *hl, struct peer *const *keep, size_t count)
{
	for (size_t i = 0; i < hl->count; i++) {
		bool kept = false;

		for (size_t k = 0; k < count; k++)
			kept |= keep[k] == hl->peer[i];
		if (kept)
			continue;
		log_info("access point %s is not in the configuration any more: its link is closed",
			 peer_name(hl->peer[i]));
		peer_close(hl->peer[i]);
	}
}

int handoff_links_change(struct handoff_links *hl, const struct link_setup *setup,
			 const struct ap_neighbours *aps, struct err *err)
{
	struct link_setup own = *setup;
	auto_free struct peer **next = calloc(aps->count + 1, sizeof(struct peer *));
	auto_free bool *made = calloc(aps->count + 1, sizeof(*made));
	size_t n = 0;
	int r = 0;

	if (!next || !made)
		return err_set(err, -ENOMEM, "links to access points");
	own.ops = &ops;
	own.ctx = hl;
	for (; r == 0 && n < aps->count; n += r == 0) {
		const struct ap_neighbour *a = &aps->at[n];

		next[n] = find_peer(hl, a->name);
		made[n] = !next[n];
		if (made[n])
			r = peer_new(&next[n], &own, a->name, WIRE_ROLE_AP, a->address, err);
		else
			r = peer_change(next[n], a->address, &own.limits, err);
	}
	if (r < 0) {
		while (n-- > 0) {
			if (made[n])
				peer_close(next[n]);
		}
		return err_wrap(err, r, "link to access point");
	}
	close_others(hl, next, n);
	free(hl->peer);
	hl->peer = TAKE_PTR(next);
	hl->count = n;
	return 0;
}

void handoff_links_accepted(struct handoff_links *hl, struct link *l)
{
	struct accepted *a = calloc(1, sizeof(*a));

	if (!a) {
		log_error("access point %s: link not taken: out of memory", link_peer_name(l));
		link_close(l);
		return;
	}
	a->link = l;
	list_append(&hl->accepted, &a->item);
	link_set_data(l, a, NULL); /* freed when it is forgotten */
}

/* Forgets a link that is closed; a link that we made has no data and belongs to its peer */
static void forget(struct link *l)
{
	struct accepted *a = link_data(l);

	if (a) {
		list_remove(&a->item);
		free(a);
	}
}

void handoff_links_users(struct handoff_links *hl,
			 void (*message)(struct users *users, const char *ap,
					 const struct wire_message *m),
			 struct users *users)
{
	hl->users_message = message;
	hl->users = users;
}

static bool may_say(enum wire_type type)
{
	return type == WIRE_MOVE_NOTIFY || type == WIRE_MOVE_RESPONSE;
}

static bool concerns_users(enum wire_type type)
{
	return type >= WIRE_USER_CLAIM && type <= WIRE_USER_CONNECTION;
}

void handoff_links_message(struct handoff_links *hl, struct link *l, const struct wire_message *m)
{
	if (concerns_users(m->type)) {
		hl->users_message(hl->users, link_peer_name(l), m);
		return;
	}
	if (!may_say(m->type)) {
		forget(l);
		link_rules_refuse(l, m);
		return;
	}
	ap_node_ap_message(hl->node, uv_now(hl->loop), link_peer_name(l), m);
}

void handoff_links_down(struct handoff_links *hl, struct link *l)
{
	(void)hl;
	forget(l);
}

/* The link that the access point @ap made last. Return: borrowed, or NULL */
static struct link *find_accepted(const struct handoff_links *hl, const char *ap)
{
	for (const struct list *at = hl->accepted.prev; at != &hl->accepted; at = at->prev) {
		struct link *l = list_entry(at, struct accepted, item)->link;

		if (name_equal(link_peer_name(l), ap))
			return l;
	}
	return NULL;
}

static struct link *find_link(const struct handoff_links *hl, const char *ap)
{
	for (size_t i = 0; i < hl->count; i++) {
		if (name_equal(peer_name(hl->peer[i]), ap) && peer_link(hl->peer[i]))
			return peer_link(hl->peer[i]);
	}
	return find_accepted(hl, ap);
}

void handoff_links_send(struct handoff_links *hl, const char *ap, const struct wire_message *m)
{
	struct link *l = find_link(hl, ap);

	/* an older one would end the link */
	if (l && m->type == WIRE_USER_CONNECTION && link_peer_version(l) < CONNECTION_VERSION)
		return;
	int r = l ? link_send(l, m) : LINK_E_DOWN;

	if (r == LINK_E_DOWN)
		log_debug("no link to access point %s for %s", ap, wire_type_name(m->type));
	if (r == 0 || r == LINK_E_DOWN)
		return;
	log_info("link to access point %s is closed: %s", ap,
		 r == LINK_E_FULL ? "it does not take its messages" : strerror(-r));
	forget(l);
	link_close(l);
}

void handoff_links_each(const struct handoff_links *hl,
			void (*fn)(void *ctx, const char *name, bool up), void *ctx)
{
	for (size_t i = 0; i < hl->count; i++)
		fn(ctx, peer_name(hl->peer[i]), find_link(hl, peer_name(hl->peer[i])) != NULL);
}

struct handoff_links *handoff_links_free(struct handoff_links *hl)
{
	if (hl) {
		list_for_each_safe(at, next, &hl->accepted)
			free(list_entry(at, struct accepted, item));
		for (size_t i = 0; i < hl->count; i++)
			peer_close(hl->peer[i]);
		free(hl->peer);
		free(hl);
	}
	return NULL;
}
