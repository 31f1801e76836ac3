/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/links/edge_links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/links/link_rules.h"
#include "base/err.h"
#include "base/log.h"
#include "core/ap/node.h"
#include "net/link.h"

/* One session's requests under way (WIRE_WINDOW of full size), and some more. */
#define QUEUE_BYTES (WIRE_WINDOW_BYTES + (size_t)8 * WIRE_PAYLOAD_MAX)

#define SETTLE_MS 1000

/**
 * struct edge_link - Link to one edge server
 * @leaving:	It is not in the configuration any more; its link stays while sessions concern it
 */
struct edge_link {
	struct peer *peer;
	bool leaving;
};

/**
 * struct edge_links - See edge_links.h
 * @unknown:	Last name asked for that is not configured: logged once
 * @settled:	When edge_links_settle() looked last
 */
struct edge_links {
	struct uv_loop_s *loop;
	struct ap_node *node;
	char unknown[NAME_SIZE];
	uint64_t settled;
	size_t count;
	struct edge_link *link;
};

static void on_up(void *ctx, struct link *l)
{
	struct edge_links *el = ctx;

	log_info("connected to edge server %s", link_peer_name(l));
	ap_node_es_up(el->node, uv_now(el->loop), link_peer_name(l));
}

static bool may_say(enum wire_type type)
{
	return type == WIRE_ANSWER || type == WIRE_STREAM || type == WIRE_EDGE_STATE ||
	       (type >= WIRE_STATUS && type <= WIRE_REFUSED);
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct edge_links *el = ctx;

	if (!may_say(m->type)) {
		link_rules_refuse(l, m);
		return;
	}
	ap_node_es_message(el->node, uv_now(el->loop), link_peer_name(l), m);
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct edge_links *el = ctx;

	log_info("link to edge server %s is down: %s", link_peer_name(l), reason);
	ap_node_es_down(el->node, uv_now(el->loop), link_peer_name(l));
}

static void on_refused(void *ctx, const char *who, const char *reason)
{
	(void)ctx;
	log_info("edge server %s cannot be reached: %s", who, reason);
}

static const struct link_ops ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
	.refused = on_refused,
};

static struct link_setup setup_of(struct edge_links *el, const struct link_setup *setup)
{
	struct link_setup own = *setup;

	own.ops = &ops;
	own.ctx = el;
	if (own.limits.queue_bytes < QUEUE_BYTES)
		own.limits.queue_bytes = QUEUE_BYTES;
	return own;
}

int edge_links_new(struct edge_links **ret, const struct link_setup *setup, struct ap_node *node,
		   const struct ap_neighbours *edges, struct err *err)
{
	int r;

	AUTO(edge_links) struct edge_links *el = calloc(1, sizeof(*el));
	if (!el)
		return err_set(err, -ENOMEM, "links to edge servers");
	el->loop = setup->loop;
	el->node = node;
	r = edge_links_change(el, setup, edges, uv_now(setup->loop), err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(el);
	return 0;
}

static struct edge_link *find(const struct edge_links *el, const char *name)
{
	for (size_t i = 0; i < el->count; i++) {
		if (name_equal(peer_name(el->link[i].peer), name))
			return &el->link[i];
	}
	return NULL;
}

bool edge_links_known(const struct edge_links *el, const char *es)
{
	return find(el, es) != NULL;
}

static bool among(const struct ap_neighbours *edges, const char *name)
{
	for (size_t i = 0; i < edges->count; i++) {
		if (name_equal(edges->at[i].name, name))
			return true;
	}
	return false;
}

/* Makes the peers that are new, behind the @el->count present ones. Return: how many, or negative error code */
static int peers_add(struct edge_links *el, const struct link_setup *own,
		     const struct ap_neighbours *edges, struct err *err)
{
	int added = 0;

	for (size_t i = 0; i < edges->count; i++) {
		const struct ap_neighbour *n = &edges->at[i];
		struct peer **to = &el->link[el->count + (size_t)added].peer;

		if (find(el, n->name))
			continue;
		int r = peer_new(to, own, n->name, WIRE_ROLE_ES, n->address, err);
		if (r < 0) {
			while (added > 0)
				peer_close(el->link[el->count + (size_t)--added].peer);
			return err_wrap(err, r, "link to edge server");
		}
		added++;
	}
	return added;
}

/* The node's places, in the order of the configuration */
static int tell_places(struct edge_links *el, const struct ap_neighbours *edges, uint64_t now,
		       struct err *err)
{
	auto_free const char **names = calloc(edges->count + 1, sizeof(*names));
	if (!names)
		return err_set(err, -ENOMEM, "links to edge servers");
	for (size_t i = 0; i < edges->count; i++)
		names[i] = edges->at[i].name;
	return ap_node_set_places(el->node, now, names, edges->count, err);
}

static void change_one(struct edge_links *el, struct edge_link *e, const struct link_setup *own,
		       const struct ap_neighbours *edges, uint64_t now)
{
	const char *name = peer_name(e->peer);
	bool left = !among(edges, name);
	struct err err = { 0 };

	if (left && !e->leaving)
		log_info("edge server %s is not in the configuration any more: %zu sessions leave "
			 "it, then its link is closed",
			 name, ap_node_sessions_at(el->node, name));
	/* it is back: a new link tells again whether it is drained */
	if (e->leaving && !left && peer_link(e->peer))
		link_close(peer_link(e->peer));
	e->leaving = left;
	if (!peer_link(e->peer))
		ap_node_es_down(el->node, now, name);
	for (size_t i = 0; i < edges->count; i++) {
		if (name_equal(edges->at[i].name, name) &&
		    peer_change(e->peer, edges->at[i].address, &own->limits, &err) < 0)
			log_error("%s", err.text);
	}
}

int edge_links_change(struct edge_links *el, const struct link_setup *setup,
		      const struct ap_neighbours *edges, uint64_t now, struct err *err)
{
	const struct link_setup own = setup_of(el, setup);
	struct edge_link *grown =
		realloc(el->link, (el->count + edges->count + 1) * sizeof(*grown));

	if (!grown)
		return err_set(err, -ENOMEM, "links to edge servers");
	el->link = grown;
	memset(&grown[el->count], 0, (edges->count + 1) * sizeof(*grown));
	int added = peers_add(el, &own, edges, err);
	int r = added < 0 ? added : tell_places(el, edges, now, err);
	if (r < 0) {
		while (added > 0)
			peer_close(el->link[el->count + (size_t)--added].peer);
		return r;
	}
	for (size_t i = 0; i < el->count; i++)
		change_one(el, &el->link[i], &own, edges, now);
	for (int i = 0; i < added; i++)
		ap_node_es_down(el->node, now, peer_name(el->link[el->count++].peer));
	el->settled = 0;
	el->unknown[0] = '\0';
	return 0;
}

void edge_links_settle(struct edge_links *el, uint64_t now)
{
	if (el->settled && now < el->settled + SETTLE_MS)
		return;
	el->settled = now;
	for (size_t i = el->count; i-- > 0;) {
		struct edge_link *e = &el->link[i];

		/* one that we closed, because it did not take its messages, may not have come back */
		if (!peer_link(e->peer))
			ap_node_es_down(el->node, now, peer_name(e->peer));
		if (!e->leaving || ap_node_sessions_at(el->node, peer_name(e->peer)))
			continue;
		log_info("link to edge server %s is closed: no session is there any more",
			 peer_name(e->peer));
		peer_close(e->peer);
		*e = el->link[--el->count];
	}
}

void edge_links_send(struct edge_links *el, const char *es, const struct wire_message *m)
{
	const struct edge_link *e = find(el, es);

	if (!e) {
		if (!name_equal(el->unknown, es))
			log_error("edge server %s is not in the configuration", es);
		(void)name_set(el->unknown, es, NULL);
		return;
	}
	struct link *l = peer_link(e->peer);
	int r = l ? link_send(l, m) : LINK_E_DOWN;
	if (r == 0 || r == LINK_E_DOWN)
		return;
	log_info("link to edge server %s is closed: %s", es,
		 r == LINK_E_FULL ? "it does not take its requests" : strerror(-r));
	link_close(l);
}

void edge_links_each(const struct edge_links *el, void (*fn)(void *ctx, const char *name, bool up),
		     void *ctx)
{
	for (size_t i = 0; i < el->count; i++)
		fn(ctx, peer_name(el->link[i].peer), peer_link(el->link[i].peer) != NULL);
}

struct edge_links *edge_links_free(struct edge_links *el)
{
	if (el) {
		for (size_t i = 0; i < el->count; i++)
			peer_close(el->link[i].peer);
		free(el->link);
		free(el);
	}
	return NULL;
}
