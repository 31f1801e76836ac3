/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Peer - keeps a link to one program
 *
 * A peer has at most one link; when that is gone it waits and makes the next.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/link_inner.h"

/**
 * struct peer - Keeps a connection to one program
 * @setup:	As given, limits filled in
 * @name, @role: Required name and role of its certificate
 * @address:	Where it is
 * @timer:	Wait before the next attempt
 * @open:	Whether libuv still knows @timer
 * @closing:	peer_close() was called
 * @link:	The present connection or attempt, or NULL while waiting
 * @wait_ms:	Next wait
 * @told:	Last reason given to refused(), so that it is given once
 */
struct peer {
	struct link_setup setup;
	char name[NAME_SIZE];
	enum wire_role role;
	struct address address;
	uv_timer_t timer;
	bool open;
	bool closing;
	struct link *link;
	uint32_t wait_ms;
	char told[ERR_TEXT_MAX];
};

static void peer_connect(struct peer *p);

static void peer_release(struct peer *p)
{
	if (p->closing && !p->open && !p->link)
		free(p);
}

static void on_time(uv_timer_t *timer)
{
	peer_connect(timer->data);
}

static void peer_retry_later(struct peer *p)
{
	uint32_t wait = p->wait_ms;

	p->wait_ms =
		wait * 2 < p->setup.limits.retry_max_ms ? wait * 2 : p->setup.limits.retry_max_ms;
	(void)uv_timer_start(&p->timer, on_time, wait, 0);
}

static void peer_refused(struct peer *p, const char *reason)
{
	if (!p->setup.ops->refused || strcmp(p->told, reason) == 0)
		return;
	(void)snprintf(p->told, sizeof(p->told), "%s", reason);
	p->setup.ops->refused(p->setup.ctx, p->name, reason);
}

static int on_proven(void *owner, struct link *l, struct err *err)
{
	const struct peer *p = owner;

	if (!name_equal(l->name, p->name) || l->role != p->role)
		return err_set(err, -EACCES,
			       "there is %s %s by its certificate, not %s %s: check the address",
			       wire_role_name(l->role), l->name, wire_role_name(p->role), p->name);
	return 0;
}

static void on_up(void *owner)
{
	struct peer *p = owner;

	p->wait_ms = p->setup.limits.retry_min_ms;
	p->told[0] = '\0';
}

static void on_gone(void *owner, struct link *l)
{
	struct peer *p = owner;

	if (!l->announced && !l->silent && !p->closing)
		peer_refused(p, l->reason);
	p->link = NULL;
	if (!p->closing)
		peer_retry_later(p);
	peer_release(p);
}

static const struct link_owner_ops owner_ops = { .proven = on_proven,
						 .up = on_up,
						 .gone = on_gone };

static void on_connected(uv_connect_t *req, int status)
{
	struct link *l = req->data;

	if (l->state == LINK_CLOSING)
		return;
	if (status < 0)
		link_fail_uv(l, "connect", status);
	else
		link_connected(l, false);
}

static void peer_connect(struct peer *p)
{
	struct link *l;
	int r;

	r = link_new(&l, &p->setup, &owner_ops, p);
	if (r < 0) {
		peer_refused(p, uv_strerror(r));
		if (!p->closing)
			peer_retry_later(p);
		return;
	}
	p->link = l;
	address_format(l->who, (struct sockaddr *)&p->address.any);
	l->connect.data = l;
	r = uv_tcp_connect(&l->connect, &l->tcp, (struct sockaddr *)&p->address.any, on_connected);
	if (r < 0)
		link_fail_uv(l, "connect", r);
}

int peer_new(struct peer **ret, const struct link_setup *setup, const char *name,
	     enum wire_role role, const char *address, struct err *err)
{
	struct peer *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "peer %s", name);
	r = name_set(p->name, name, err);
	if (r == 0)
		r = address_parse(&p->address, address, err);
	if (r < 0) {
		free(p);
		return err_wrap(err, r, "peer %.63s", name);
	}
	p->setup = *setup;
	p->setup.limits = link_limits_defaults(setup->limits);
	p->role = role;
	p->wait_ms = p->setup.limits.retry_min_ms;
	(void)uv_timer_init(setup->loop, &p->timer); /* cannot fail */
	p->timer.data = p;
	p->open = true;
	/* from the event loop: no callback may come before the caller has its pointer */
	(void)uv_timer_start(&p->timer, on_time, 0, 0);
	*ret = p;
	return 0;
}

int peer_change(struct peer *p, const char *address, const struct link_limits *limits,
		struct err *err)
{
	struct address next;
	int r = address_parse(&next, address, err);

	if (r < 0)
		return err_wrap(err, r, "peer %.63s", p->name);
	bool moved =
		next.len != p->address.len || memcmp(&next.any, &p->address.any, next.len) != 0;

	p->setup.limits = link_limits_defaults(*limits);
	if (!moved)
		return 0;
	p->address = next;
	p->wait_ms = p->setup.limits.retry_min_ms;
	p->told[0] = '\0';
	if (!p->link)
		(void)uv_timer_start(&p->timer, on_time, 0, 0);
	else if (p->link->state != LINK_UP)
		link_close(p->link); /* and again, at the new address */
	return 0;
}

struct link *peer_link(const struct peer *p)
{
	return p->link && p->link->state == LINK_UP ? p->link : NULL;
}

const char *peer_name(const struct peer *p)
{
	return p->name;
}

static void on_peer_closed(uv_handle_t *handle)
{
	struct peer *p = handle->data;

	p->open = false;
	peer_release(p);
}

void peer_close(struct peer *p)
{
	if (!p || p->closing)
		return;
	p->closing = true;
	if (p->link)
		link_close(p->link);
	uv_close((uv_handle_t *)&p->timer, on_peer_closed);
}
