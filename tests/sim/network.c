/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Links - messages arrive in order after a delay, or not at all when the connection breaks
 */

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "wire/codec.h"
#include "world.h"

struct node_id node_mud(int index)
{
	return (struct node_id){ KIND_MUD, index };
}

struct node_id node_ap(int index)
{
	return (struct node_id){ KIND_AP, index };
}

struct node_id node_es(int index)
{
	return (struct node_id){ KIND_ES, index };
}

static int number(struct node_id n)
{
	switch (n.kind) {
	case KIND_MUD:
		return n.index;
	case KIND_AP:
		return MUDS_MAX + n.index;
	case KIND_ES:
		break;
	}
	return MUDS_MAX + EDGES_MAX + n.index;
}

struct pipe *pipe_between(struct world *w, struct node_id a, struct node_id b)
{
	return &w->pipe[number(a)][number(b)];
}

static bool far_apart(struct node_id a, struct node_id b)
{
	return a.kind != KIND_MUD && b.kind != KIND_MUD && a.index != b.index;
}

uint64_t network_delay(struct world *w, struct node_id a, struct node_id b)
{
	return far_apart(a, b) ? w->plan.wan_ms + roll(w, w->plan.wan_ms / 4 + 1) : 1 + roll(w, 2);
}

struct delivery {
	struct node_id from, to;
	uint32_t generation;
	struct wire_message message;
	size_t encoded;    /* bytes of a frame in @payload; 0: message and payload as they are */
	uint8_t payload[]; /* bytes the message points to */
};

/* A message borrows at most one byte string. */
static const uint8_t **borrowed(struct wire_message *m, size_t *len)
{
	if (m->type == WIRE_REQUEST || m->type == WIRE_ANSWER) {
		*len = m->data.len;
		return &m->data.bytes;
	}
	*len = 0;
	return NULL;
}

static void deliver(struct world *w, void *arg)
{
	struct delivery *d = arg;

	if (pipe_between(w, d->from, d->to)->generation != d->generation ||
	    !pipe_between(w, d->from, d->to)->up)
		return;
	if (!d->encoded) {
		actor_deliver(w, d->from, d->to, &d->message);
		return;
	}
	struct wire_message m;
	struct err err;
	struct wire_scratch scratch = { 0 };

	if (wire_decode(d->payload, d->encoded, &m, &scratch, &err) < 0)
		violated(w, "a message the core sent cannot be decoded: %s", err.text);
	else
		actor_deliver(w, d->from, d->to, &m);
	wire_scratch_deinit(&scratch);
}

static struct delivery *plain_delivery(const struct wire_message *m)
{
	struct wire_message copy = *m;
	size_t len;
	const uint8_t **bytes = borrowed(&copy, &len);
	struct delivery *d = malloc(sizeof(*d) + len);

	if (!d)
		abort();
	d->encoded = 0;
	if (len)
		memcpy(d->payload, *bytes, len);
	if (bytes)
		*bytes = d->payload;
	d->message = copy;
	return d;
}

static struct delivery *encoded_delivery(struct world *w, const struct wire_message *m)
{
	struct buf frame;
	struct err err;

	buf_init(&frame, 0);
	if (wire_encode(m, &frame, &err) < 0) {
		violated(w, "a message the core sent cannot be encoded: %s", err.text);
		buf_deinit(&frame);
		return plain_delivery(m);
	}
	struct delivery *d = malloc(sizeof(*d) + frame.len);
	if (!d)
		abort();
	d->encoded = frame.len;
	memcpy(d->payload, buf_bytes(&frame), frame.len);
	buf_deinit(&frame);
	return d;
}

void network_send(struct world *w, struct node_id from, struct node_id to,
		  const struct wire_message *m)
{
	struct pipe *p = pipe_between(w, from, to);
	uint64_t at = w->now + network_delay(w, from, to);

	if (!p->up)
		return;
	struct delivery *d = w->plan.through_codec ? encoded_delivery(w, m) : plain_delivery(m);
	d->from = from;
	d->to = to;
	d->generation = p->generation;
	if (at < p->last)
		at = p->last;
	p->last = at;
	agenda_add(w, at - w->now, deliver, d);
}

static bool alive(struct world *w, struct node_id n)
{
	switch (n.kind) {
	case KIND_AP:
		return w->edge[n.index].ap != NULL;
	case KIND_ES:
		return w->edge[n.index].es != NULL;
	case KIND_MUD:
		break;
	}
	return true;
}

void network_connect(struct world *w, struct node_id a, struct node_id b)
{
	if (!alive(w, a) || !alive(w, b) || pipe_between(w, a, b)->up)
		return;
	if ((a.kind == KIND_MUD && w->mud[a.index].at != b.index) ||
	    (b.kind == KIND_MUD && w->mud[b.index].at != a.index))
		return; /* the device went elsewhere meanwhile */
	pipe_between(w, a, b)->up = true;
	pipe_between(w, b, a)->up = true;
	actor_up(w, a, b);
	actor_up(w, b, a);
}

static void break_pipe(struct world *w, struct node_id a, struct node_id b)
{
	struct pipe *p = pipe_between(w, a, b);

	p->up = false;
	p->generation++;
	p->last = 0;
}

struct pair {
	struct node_id a, b;
};

static void reconnect(struct world *w, void *arg)
{
	const struct pair *p = arg;

	network_connect(w, p->a, p->b);
}

void network_cut(struct world *w, struct node_id a, struct node_id b, uint64_t for_ms)
{
	if (!pipe_between(w, a, b)->up)
		return;
	break_pipe(w, a, b);
	break_pipe(w, b, a);
	if (a.kind == KIND_ES && b.kind == KIND_ES)
		engine_transfers_broken(w, a.index, b.index);
	actor_down(w, a, b);
	actor_down(w, b, a);
	struct pair *p = malloc(sizeof(*p));
	if (!p)
		abort();
	*p = (struct pair){ a, b };
	agenda_add(w, for_ms, reconnect, p);
}

void network_drop_all(struct world *w, struct node_id a)
{
	struct node_id other[NODES_MAX];
	size_t count = 0;

	for (int i = 0; i < MUDS_MAX; i++)
		other[count++] = node_mud(i);
	for (int i = 0; i < EDGES_MAX; i++) {
		other[count++] = node_ap(i);
		other[count++] = node_es(i);
	}
	for (size_t i = 0; i < count; i++) {
		if (!pipe_between(w, a, other[i])->up)
			continue;
		break_pipe(w, a, other[i]);
		break_pipe(w, other[i], a);
		actor_down(w, other[i], a);
	}
}
