/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * MUD links - the links that MUDs have to this access point
 *
 * The core names a link by a number that is never used again, so that an answer for a MUD that has
 * just gone can reach nobody else. A link ends by itself (mud_links_down()) or is dropped here,
 * while the core is in the middle of something and must not be told yet; mud_links_settle() tells it
 * later, once per turn of the event loop.
 *
 * Limit (R9): a MUD that does not read its answers fills the queue of its link. The link is then
 * dropped; the MUD connects again, reassociates, and asks again for the answers that it has not got.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "wire/message.h"

struct ap_node;
struct err;
struct link;
struct mud_links; /* opaque */
struct uv_loop_s;

/**
 * mud_links_new() - Make an empty table
 * @ret:	Set on success only; owned by the caller
 * @loop:	Gives the node its time
 * @node:	Gets the messages of the MUDs; borrowed
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int mud_links_new(struct mud_links **ret, struct uv_loop_s *loop, struct ap_node *node,
		  struct err *err);

/** mud_links_free() - Forget all links without closing them. Return: NULL, always */
struct mud_links *mud_links_free(struct mud_links *ml);

AUTO_DEFINE(mud_links)

/** mud_links_up() - The link of a MUD came up */
void mud_links_up(struct mud_links *ml, struct link *l);

/** mud_links_message() - Take a message of a MUD; one that a MUD may not send ends its link */
void mud_links_message(struct mud_links *ml, struct link *l, const struct wire_message *m);

/** mud_links_down() - The link of a MUD is gone */
void mud_links_down(struct mud_links *ml, struct link *l);

/** mud_links_send() - Send to the link numbered @id, if it is still there; else drop */
void mud_links_send(struct mud_links *ml, uint64_t id, const struct wire_message *m);

/** mud_links_settle() - Tell the node of the links that are gone; not from inside the node */
void mud_links_settle(struct mud_links *ml);

/** mud_links_count() - Links that are up */
size_t mud_links_count(const struct mud_links *ml);
