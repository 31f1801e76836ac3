/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Links of access points - by name, the newest of each
 */

#include <stdbool.h>

#include "base/auto.h"

struct ap_links; /* opaque */
struct err;
struct link;
struct wire_message;

/** ap_links_new() - Create an empty table. Return: 0, or -ENOMEM */
int ap_links_new(struct ap_links **ret, struct err *err);

/** ap_links_free() - Forget all; the links belong to their listener. Return: NULL, always */
struct ap_links *ap_links_free(struct ap_links *t);

AUTO_DEFINE(ap_links)

/** ap_links_up() - A link of an access point came up; an older one of the same name is closed */
void ap_links_up(struct ap_links *t, struct link *l);

/** ap_links_down() - A link is gone, or is about to be closed; nothing if it is not in the table */
void ap_links_down(struct ap_links *t, struct link *l);

/**
 * ap_links_send() - Send to an access point, if it is connected; else drop
 *
 * A link whose queue is full is closed: the access point connects again and asks how its sessions
 * stand, which costs less than a gap it does not know of (R9).
 */
void ap_links_send(struct ap_links *t, const char *name, const struct wire_message *m);

/** ap_links_each() - Call @fn with the name of each connected access point */
void ap_links_each(const struct ap_links *t, void (*fn)(void *ctx, const char *name), void *ctx);
