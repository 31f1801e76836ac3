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

struct edge_links {
	struct uv_loop_s *loop;
	struct ap_node *node;
	char unknown[NAME_SIZE]; /* last name asked for that is not configured: logged once */
	size_t count;
	struct peer *peer[];
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
	(void)ctx;
	log_info("link to edge server %s is down: %s", link_peer_name(l), reason);
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

int edge_links_new(struct edge_links **ret, const struct link_setup *setup, struct ap_node *node,
		   const struct ap_neighbours *edges, struct err *err)
{
	struct link_setup own = *setup;
	int r;

	AUTO(edge_links)
	struct edge_links *el = calloc(1, sizeof(*el) + edges->count * sizeof(struct peer *));
	if (!el)
		return err_set(err, -ENOMEM, "links to edge servers");
	el->loop = setup->loop;
	el->node = node;
	own.ops = &ops;
	own.ctx = el;
	if (own.limits.queue_bytes < QUEUE_BYTES)
		own.limits.queue_bytes = QUEUE_BYTES;
	for (; el->count < edges->count; el->count++) {
		const struct ap_neighbour *n = &edges->at[el->count];

		r = peer_new(&el->peer[el->count], &own, n->name, WIRE_ROLE_ES, n->address, err);
		if (r < 0)
			return err_wrap(err, r, "link to edge server");
	}
	*ret = TAKE_PTR(el);
	return 0;
}

static struct peer *find(const struct edge_links *el, const char *name)
{
	for (size_t i = 0; i < el->count; i++) {
		if (name_equal(peer_name(el->peer[i]), name))
			return el->peer[i];
	}
	return NULL;
}

void edge_links_send(struct edge_links *el, const char *es, const struct wire_message *m)
{
	struct peer *p = find(el, es);

	if (!p) {
		if (!name_equal(el->unknown, es))
			log_error("edge server %s is not in the configuration", es);
		(void)name_set(el->unknown, es, NULL);
		return;
	}
	struct link *l = peer_link(p);
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
		fn(ctx, peer_name(el->peer[i]), peer_link(el->peer[i]) != NULL);
}

struct edge_links *edge_links_free(struct edge_links *el)
{
	if (el) {
		for (size_t i = 0; i < el->count; i++)
			peer_close(el->peer[i]);
		free(el);
	}
	return NULL;
}
