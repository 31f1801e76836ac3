/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Handoff links - the access point's links to the other access points (IAPP)
 *
 * Two access points may have a link each way: one that we made, one that the other made. A message
 * goes by whichever is up, ours first, so a handoff works as soon as one of the two can connect, and
 * an access point that is not in our configuration is answered on the link it made.
 *
 * Limit (R9): a link whose queue is full is closed; the core repeats MOVE NOTIFY.
 */

#include <stdbool.h>
#include <stddef.h>

#include "ap/links/neighbours.h"
#include "base/auto.h"
#include "wire/message.h"

struct ap_node;
struct err;
struct handoff_links; /* opaque */
struct link;
struct link_setup;
struct users;
struct wire_message;

/**
 * handoff_links_new() - Begin to connect
 * @ret:	Set on success only; the caller owns it, see handoff_links_free()
 * @setup:	Event loop, identity and limits; its callbacks are not used
 * @node:	Gets the messages of the access points; borrowed until handoff_links_free()
 * @aps:	The other access points
 * @err:	Filled in on failure; an access point that is not there is no failure
 *
 * Return: 0, or negative error code
 */
int handoff_links_new(struct handoff_links **ret, const struct link_setup *setup,
		      struct ap_node *node, const struct ap_neighbours *aps, struct err *err);

/**
 * handoff_links_change() - Other access points, addresses or limits, while all runs
 * @hl:		Links
 * @setup:	As for handoff_links_new()
 * @aps:	The other access points from now on; the links that others made stay
 * @err:	Filled in on failure; then nothing has changed
 *
 * Return: 0, or negative error code
 */
int handoff_links_change(struct handoff_links *hl, const struct link_setup *setup,
			 const struct ap_neighbours *aps, struct err *err);

/**
 * handoff_links_users() - Set the receiver of access points' messages about ordinary users
 * @hl:		Links
 * @message:	users_message()
 * @users:	Its first argument, borrowed
 */
void handoff_links_users(struct handoff_links *hl,
			 void (*message)(struct users *users, const char *ap,
					 const struct wire_message *m),
			 struct users *users);

/** handoff_links_accepted() - A link that an access point made came up */
void handoff_links_accepted(struct handoff_links *hl, struct link *l);

/** handoff_links_message() - Take a message of an access point, by either link */
void handoff_links_message(struct handoff_links *hl, struct link *l, const struct wire_message *m);

/** handoff_links_down() - A link that an access point made is gone */
void handoff_links_down(struct handoff_links *hl, struct link *l);

/** handoff_links_send() - Send to access point @ap, if there is a link; else drop */
void handoff_links_send(struct handoff_links *hl, const char *ap, const struct wire_message *m);

/** handoff_links_each() - Call @fn for each configured access point and whether there is a link */
void handoff_links_each(const struct handoff_links *hl,
			void (*fn)(void *ctx, const char *name, bool up), void *ctx);

/**
 * handoff_links_free() - Close the links we made, forget the accepted ones (their listener closes
 * them) and release; no callback comes any more. Return: NULL, always
 */
struct handoff_links *handoff_links_free(struct handoff_links *hl);

AUTO_DEFINE(handoff_links)
