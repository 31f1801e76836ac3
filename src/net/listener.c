/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Listener - accepts links
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/acceptor.h"
#include "net/link_inner.h"

#define BACKLOG           128
#define REFUSALS_A_SECOND 10
#define SHARE_OF          8 /* a name gets an eighth of the accepted connections, */
#define SHARE_LEAST                                                                                \
	4 /* but at least 4: it connects again before its old links are known to be dead */

/**
 * struct listener - Accepts connections
 * @setup:	As given, limits filled in
 * @roles:	Roles that may connect
 * @acceptor:	Where it listens; NULL once that is closed
 * @closing:	listener_close() was called
 * @links:	All connections accepted
 * @count:	How many
 * @proven:	How many of them with a proven certificate
 * @second:	Second that @refusals counts in
 */
struct listener {
	struct link_setup setup;
	unsigned int roles;
	struct acceptor *acceptor;
	bool closing;
	struct list links;
	uint32_t count;
	uint32_t proven;
	uint64_t second;
	uint32_t refusals;
};

static void listener_release(struct listener *ls)
{
	if (ls->closing && !ls->acceptor && ls->count == 0)
		free(ls);
}

/* How many places a name has */
static uint32_t listener_links_of(const struct listener *ls, const char *name)
{
	uint32_t count = 0;

	list_for_each_safe(i, next, (struct list *)(uintptr_t)&ls->links)
	{
		const struct link *l = list_entry(i, struct link, item);

		count += l->proven && name_equal(l->name, name);
	}
	return count;
}

/* Moves from a place among the strangers to one among the links. Return: 0, or -EBUSY if there is none */
static int on_proven(void *owner, struct link *l, struct err *err)
{
	struct listener *ls = owner;
	uint32_t max = ls->setup.limits.accepted_max;
	uint32_t share = max / SHARE_OF > SHARE_LEAST ? max / SHARE_OF : SHARE_LEAST;
	uint32_t has = listener_links_of(ls, l->name);

	if (!(ls->roles & LINK_ROLE(l->role)))
		return err_set(err, -EACCES, "%s has role \"%s\", which may not connect here",
			       l->name, wire_role_name(l->role));
	if (ls->proven >= max)
		return err_set(err, -EBUSY, "all %u connections are taken: raise connections_max",
			       max);
	if (has >= share)
		return err_set(err, -EBUSY,
			       "%s has %u connections, its share of connections_max (%u): close "
			       "some, or raise connections_max",
			       l->name, has, max);
	acceptor_settled(ls->acceptor, &l->from);
	l->proven = true;
	ls->proven++;
	return 0;
}

/* Gives back the place that it has */
static void listener_link_leaves(struct listener *ls, struct link *l)
{
	if (l->proven)
		ls->proven--;
	else if (ls->acceptor)
		acceptor_settled(ls->acceptor, &l->from);
	ls->count--;
}

/* Tells of a connection that never came up, but not of a flood of them */
static void listener_refused(struct listener *ls, const char *who, const char *reason)
{
	uint64_t second = uv_now(ls->setup.loop) / 1000;

	if (second != ls->second) {
		ls->second = second;
		ls->refusals = 0;
	}
	if (ls->setup.ops->refused && ls->refusals++ < REFUSALS_A_SECOND)
		ls->setup.ops->refused(ls->setup.ctx, who, reason);
}

static void on_gone(void *owner, struct link *l)
{
	struct listener *ls = owner;

	list_remove(&l->item);
	listener_link_leaves(ls, l);
	if (!l->announced && !l->silent && !ls->closing)
		listener_refused(ls, l->who, l->reason);
	listener_release(ls);
}

static const struct link_owner_ops owner_ops = { .proven = on_proven, .gone = on_gone };

static void on_accepted(void *ctx, int fd, const struct sockaddr_storage *from)
{
	struct listener *ls = ctx;
	struct link *l;
	int r;

	r = link_new(&l, &ls->setup, &owner_ops, ls);
	if (r < 0) {
		(void)close(fd);
		acceptor_settled(ls->acceptor, from);
		listener_refused(ls, "a connection", uv_strerror(r));
		return;
	}
	l->from = *from;
	address_format(l->who, (const struct sockaddr *)from);
	list_append(&ls->links, &l->item);
	ls->count++;
	r = uv_tcp_open(&l->tcp, fd);
	if (r < 0) {
		(void)close(fd);
		link_fail_uv(l, "accept", r);
		return;
	}
	link_connected(l, true);
}

static void on_not_accepted(void *ctx, const char *who, const char *reason)
{
	listener_refused(ctx, who, reason);
}

static const struct acceptor_ops acceptor_ops = {
	.accepted = on_accepted,
	.refused = on_not_accepted,
};

int listener_new(struct listener **ret, const struct link_setup *setup, const char *address,
		 unsigned int roles, struct err *err)
{
	struct address a;
	int r;

	r = address_parse(&a, address, err);
	if (r < 0)
		return err_wrap(err, r, "listen");
	struct listener *ls = calloc(1, sizeof(*ls));
	if (!ls)
		return err_set(err, -ENOMEM, "listen on %s", address);
	ls->setup = *setup;
	ls->setup.limits = link_limits_defaults(setup->limits);
	ls->roles = roles;
	list_init(&ls->links);
	const struct acceptor_setup accept = {
		.loop = setup->loop,
		.ops = &acceptor_ops,
		.ctx = ls,
		.backlog = BACKLOG,
		.handshakes = ls->setup.limits.handshakes_max,
	};
	r = acceptor_new(&ls->acceptor, &accept, &a, err);
	if (r < 0) {
		free(ls);
		return err_wrap(err, r, "listen on %s", address);
	}
	*ret = ls;
	return 0;
}

uint16_t listener_port(const struct listener *ls)
{
	return acceptor_port(ls->acceptor);
}

void listener_limits(struct listener *ls, const struct link_limits *limits)
{
	uint32_t handshakes = ls->setup.limits.handshakes_max;

	ls->setup.limits = link_limits_defaults(*limits);
	ls->setup.limits.handshakes_max = handshakes;
}

static void on_acceptor_closed(void *ctx)
{
	struct listener *ls = ctx;

	ls->acceptor = NULL;
	listener_release(ls);
}

void listener_close(struct listener *ls)
{
	if (!ls || ls->closing)
		return;
	ls->closing = true;
	list_for_each_safe(i, next, &ls->links)
	{
		link_close(list_entry(i, struct link, item));
	}
	acceptor_close(ls->acceptor, on_acceptor_closed, ls);
}
