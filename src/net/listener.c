/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Listener - accepts links
 *
 * A name is one program's, except that a device or an operator may have several links. If a second link comes with
 * the name of an access point or edge server that has one, the first one is probed, and the second one is
 * held. If the first one sends anything, its program lives: another program has been given its name, and is told
 * who holds it. If it stays silent, it was half dead: it is closed, and the second one replaces it. A program that
 * was restarted is not held, as its old connection has ended with it.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/acceptor.h"
#include "net/link_inner.h"

#define BACKLOG           128
#define REFUSALS_A_SECOND 10
#define SHARE_OF          8 /* a name gets an eighth of the accepted connections, */
#define SHARE_LEAST                                                                                \
	4 /* but at least 4: it connects again before its old links are known to be dead */
#define ONE_LINK (LINK_ROLE(WIRE_ROLE_AP) | LINK_ROLE(WIRE_ROLE_ES)) /* for each name */
#define TWIN_MS  60000 /* a program with another one's name tries for ever: not said more often */

/**
 * struct listener - Accepts connections
 * @setup:	As given, limits filled in
 * @roles:	Roles that may connect
 * @acceptor:	Where it listens; NULL once that is closed
 * @closing:	listener_close() was called
 * @links:	All connections accepted
 * @count:	How many
 * @proven:	How many of them with a proven certificate
 * @twin, @twin_at: Name of the last one refused for its name, and when that was said
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
	char twin[NAME_SIZE];
	uint64_t twin_at;
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

static bool same_program(const struct link *a, const struct link *b)
{
	return a->role == b->role && name_equal(a->name, b->name);
}

/* The link that has the name of @l. Return: NULL if there is none */
static struct link *rival_of(struct listener *ls, const struct link *l)
{
	list_for_each_safe(i, next, &ls->links)
	{
		struct link *other = list_entry(i, struct link, item);

		if (other != l && other->proven && same_program(other, l) &&
		    (other->state == LINK_HELLO || other->state == LINK_UP))
			return other;
	}
	return NULL;
}

/* Whether @l has to wait for what its rival says. One that we do not read from cannot say anything. */
static bool suspect_rival(struct listener *ls, struct link *l)
{
	struct link *rival = (ONE_LINK & LINK_ROLE(l->role)) ? rival_of(ls, l) : NULL;

	if (!rival || rival->paused)
		return false;
	rival->suspected = true;
	(void)link_probe(rival);
	return true;
}

/* One that waited too long for its rival's answer */
static void on_waited(void *owner, struct link *l)
{
	struct link *rival = rival_of(owner, l);
	char text[ERR_TEXT_MAX];

	if (!rival) {
		link_greet(l);
		return;
	}
	(void)snprintf(text, sizeof(text), "silent when its program connected again from %s",
		       l->who);
	link_hold(l); /* until that one is gone */
	link_fail(rival, text);
}

/* One that is suspected lives */
static void on_heard(void *owner, struct link *holder)
{
	struct listener *ls = owner;
	char text[ERR_TEXT_MAX];

	holder->suspected = false;
	(void)snprintf(text, sizeof(text),
		       "the name %s is held by the program at %s, which answers: a name is for one "
		       "program, give this one another name and certificate",
		       holder->name, holder->who);
	list_for_each_safe(i, next, &ls->links)
	{
		struct link *l = list_entry(i, struct link, item);

		if (l->state != LINK_HELD || !same_program(l, holder))
			continue;
		l->twin = true;
		link_refuse(l, text);
	}
}

/* Those that were held because of @gone: the first may stay, the others have a new rival */
static void judge_again(struct listener *ls, const struct link *gone)
{
	list_for_each_safe(i, next, &ls->links)
	{
		struct link *l = list_entry(i, struct link, item);

		if (l->state != LINK_HELD || !same_program(l, gone))
			continue;
		if (suspect_rival(ls, l))
			link_hold(l);
		else
			link_greet(l);
	}
}

/* Moves from a place among the strangers to one among the links. Return: 0, LINK_E_HELD, or -EBUSY if there is none */
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
	return suspect_rival(ls, l) ? LINK_E_HELD : 0;
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

/* Whether it was refused for its name, and that was said before not long ago */
static bool twin_said(struct listener *ls, const struct link *l)
{
	uint64_t now = uv_now(ls->setup.loop);

	if (!l->twin)
		return false;
	if (ls->twin_at && now < ls->twin_at + TWIN_MS && name_equal(ls->twin, l->name))
		return true;
	ls->twin_at = now;
	(void)name_set(ls->twin, l->name, NULL);
	return false;
}

static void on_gone(void *owner, struct link *l)
{
	struct listener *ls = owner;

	list_remove(&l->item);
	listener_link_leaves(ls, l);
	if (!l->announced && !l->silent && !ls->closing && !twin_said(ls, l))
		listener_refused(ls, l->who, l->reason);
	if (l->proven && !ls->closing)
		judge_again(ls, l);
	listener_release(ls);
}

static const struct link_owner_ops owner_ops = {
	.proven = on_proven,
	.waited = on_waited,
	.heard = on_heard,
	.gone = on_gone,
};

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
