/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge links - the access point's links to the edge servers, its own and all others
 *
 * Each time one comes up the node is told, and asks the edge server how its sessions stand.
 *
 * Limit (R9): the queue of a link has room for the requests that one session may have waiting at the
 * edge server. When it is full the link is closed and its queue is lost. The link comes up again, the
 * edge server says which requests it has, and the node sends the others.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ap/links/neighbours.h"
#include "base/auto.h"
#include "wire/message.h"

struct ap_node;
struct edge_links; /* opaque */
struct err;
struct link_setup;

/**
 * edge_links_new() - Begin to connect
 * @ret:	Set on success only; the caller owns it, see edge_links_free()
 * @setup:	Event loop, identity and limits; its callbacks are not used, its queue limit is
 *		raised to the bytes that one session may have under way
 * @node:	Gets the messages of the edge servers; borrowed until edge_links_free()
 * @edges:	The edge servers
 * @err:	Filled in on failure; an edge server that is not there is no failure
 *
 * Return: 0, or negative error code
 */
int edge_links_new(struct edge_links **ret, const struct link_setup *setup, struct ap_node *node,
		   const struct ap_neighbours *edges, struct err *err);

/**
 * edge_links_change() - Other edge servers, addresses or limits, while all runs
 * @el:		Links
 * @setup:	As for edge_links_new()
 * @edges:	The edge servers from now on
 * @now:	Time of the loop, ms
 * @err:	Filled in on failure; then nothing has changed
 *
 * The node is told of its places. A link to an edge server that is not among them any more stays until
 * no session concerns it: edge_links_settle().
 *
 * Return: 0, or negative error code
 */
int edge_links_change(struct edge_links *el, const struct link_setup *setup,
		      const struct ap_neighbours *edges, uint64_t now, struct err *err);

/** edge_links_settle() - Close links that nobody needs any more; at most once a second, else it does nothing */
void edge_links_settle(struct edge_links *el, uint64_t now);

/** edge_links_known() - Whether there is, or is to be, a link to @es */
bool edge_links_known(const struct edge_links *el, const char *es);

/** edge_links_send() - Send to edge server @es, if it is connected; else drop */
void edge_links_send(struct edge_links *el, const char *es, const struct wire_message *m);

/** edge_links_each() - Call @fn for each edge server and whether it is connected */
void edge_links_each(const struct edge_links *el, void (*fn)(void *ctx, const char *name, bool up),
		     void *ctx);

/** edge_links_free() - Close all links and release; no callback comes any more. Return: NULL, always */
struct edge_links *edge_links_free(struct edge_links *el);

AUTO_DEFINE(edge_links)
