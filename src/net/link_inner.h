/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inner header of links: link.c, one connection; listener.c and peer.c, which own them
 */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/text.h"
#include "net/address.h"
#include "net/link.h"
#include "net/tls.h"
#include "wire/codec.h"

/**
 * struct link_owner_ops - Decisions of a listener or peer about its link
 * @proven:	The certificate is good, @l->name and @l->role are set: may it stay? 0, LINK_E_HELD, or negative
 *		error code
 * @waited:	One that is held has waited for half of @handshake_ms; may be NULL if @proven holds none
 * @heard:	One that is suspected has sent something, so it lives; may be NULL if none is suspected
 * @up:		HELLO was good; may be NULL
 * @gone:	Its handles are closed; its memory goes when this returns
 */
struct link_owner_ops {
	int (*proven)(void *owner, struct link *l, struct err *err);
	void (*waited)(void *owner, struct link *l);
	void (*heard)(void *owner, struct link *l);
	void (*up)(void *owner);
	void (*gone)(void *owner, struct link *l);
};

#define LINK_E_HELD 1 /* of proven(): wait for link_greet() or link_refuse() */

/* enum link_state - Where a connection is; only UP is known to its owner */
enum link_state {
	LINK_CONNECTING, /* TCP */
	LINK_HANDSHAKE,  /* TLS */
	LINK_HELD,       /* its owner has yet to say whether it may stay; ours is not sent */
	LINK_HELLO,      /* ours is sent, the other's is awaited */
	LINK_UP,
	LINK_CLOSING, /* handles are being closed */
};

/**
 * struct link - One connection
 * @setup:		Copy of the listener's or peer's
 * @owner, @owner_ops:	Its listener or peer
 * @item:		In the listener's list
 * @tcp, @timer:	Its handles; the timer limits the handshake, then ticks for liveness
 * @handles:		How many of them libuv still knows
 * @state:		See enum link_state
 * @from:		Where an accepted one comes from
 * @proven:		Its certificate is good: it has a place among the listener's links, and gave back
 *			the one among its handshakes
 * @suspected:		Its owner asks whether it lives, see heard()
 * @twin:		It was refused because another program has its name
 * @announced:		up() was called
 * @silent:		Its owner closed it and gets no more callbacks
 * @paused:		Reading is stopped by the owner
 * @full:		writable() is owed
 * @writing:		@flying is with libuv
 * @in:			Decrypted bytes that make no whole frame yet
 * @frame:		Frame being encoded
 * @out, @flying:	Encrypted bytes, see above
 * @scratch:		Memory of the message being handled
 * @last_heard, @last_said, @last_tick: Loop times of bytes in, bytes out, timer
 * @name, @role:	From the peer's certificate
 * @version:		From the peer's HELLO
 * @who:		Name or address, for refused()
 * @reason:		Why it is closing
 * @data, @data_gone:	The owner's, see link_set_data()
 */
struct link {
	struct link_setup setup;
	const struct link_owner_ops *owner_ops;
	void *owner;
	struct list item;
	uv_tcp_t tcp;
	uv_timer_t timer;
	int handles;
	enum link_state state;
	struct sockaddr_storage from;
	bool proven;
	bool suspected;
	bool twin;
	bool announced;
	bool silent;
	bool broke_rules;
	bool paused;
	bool full;
	bool writing;
	struct tls_session *tls;
	struct buf in;
	struct buf frame;
	struct buf out;
	struct buf flying;
	uv_connect_t connect;
	uv_write_t write;
	struct wire_scratch scratch;
	uint64_t last_heard;
	uint64_t last_said;
	uint64_t last_tick;
	char name[NAME_SIZE];
	enum wire_role role;
	uint32_t version;
	char who[ADDRESS_TEXT_SIZE];
	char reason[ERR_TEXT_MAX];
	void *data;
	void (*data_gone)(void *data);
};

/** link_limits_defaults() - Fill in the limits that are zero */
struct link_limits link_limits_defaults(struct link_limits l);

/** link_new() - Make a link with its handles open. Return: 0, or negative: nothing is left */
int link_new(struct link **ret, const struct link_setup *setup, const struct link_owner_ops *ops,
	     void *owner);

/** link_connected() - TCP is there: tune it, start TLS and reading */
void link_connected(struct link *l, bool server);

/** link_hold() - Ask waited() in half of @handshake_ms from now; only while it is held */
void link_hold(struct link *l);

/** link_greet() - One that is held may stay: say HELLO */
void link_greet(struct link *l);

/** link_refuse() - Tell the peer @reason why it cannot stay, then end the link */
void link_refuse(struct link *l, const char *reason);

/** link_fail() - End a link because of @reason; its owner hears of it from the event loop */
void link_fail(struct link *l, const char *reason);

/** link_fail_uv() - The same, because libuv could not do @what */
void link_fail_uv(struct link *l, const char *what, int status);
