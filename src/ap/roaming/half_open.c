/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/half_open.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/clients/connection.h"
#include "ap/users/table.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "net/acceptor.h"
#include "net/address.h"
#include "ap/clients/challenge.h"
#include "report/log_reporter.h"
#include "wire/message.h"

#define TICK_MS   100
#define TAKEN_MAX (4 * HALF_OPEN_MAX) /* of one claim */
#define AGAIN_MS  600 /* a kernel answers a challenge of one connection once in 500 ms */

/**
 * struct half_open - One connection
 * @of_user:	In the user's list, oldest first
 * @waiting:	In the list of all that are to be challenged; empty: its user is not here
 * @user:	Its user
 * @local:	Our end
 * @port:	The client's end, at the user's address
 * @until:	When nobody tries any more
 * @again_at:	When the running challenge is given up for another
 * @challenge:	NULL: none runs
 */
struct half_open {
	struct list of_user;
	struct list waiting;
	struct user *user;
	struct sockaddr_storage local;
	uint16_t port;
	uint64_t until;
	uint64_t again_at;
	struct challenge *challenge;
};

static uint64_t now_of(const struct users *u)
{
	return uv_now(u->session.loop);
}

/* ---- which there are ---- */

static void stop_challenge(struct half_open *h)
{
	if (h->challenge)
		h->user->users->challenges--;
	h->challenge = challenge_free(h->challenge);
}

static void stop(struct half_open *h)
{
	stop_challenge(h);
	list_remove(&h->waiting);
}

static void forget(struct half_open *h)
{
	stop(h);
	list_remove(&h->of_user);
	h->user->half_open_count--;
	free(h);
}

static bool same_end(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family ||
	    address_port((const struct sockaddr *)a) != address_port((const struct sockaddr *)b))
		return false;
	if (a->ss_family == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
					  &((const struct sockaddr_in6 *)b)->sin6_addr);
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
	       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

static bool is_known(const struct user *user, const struct sockaddr_storage *local, uint16_t port)
{
	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->half_open)
	{
		const struct half_open *h = list_entry(at, struct half_open, of_user);

		if (h->port == port && same_end(&h->local, local))
			return true;
	}
	return false;
}

static void remember(struct user *user, const struct sockaddr_storage *local, uint16_t port)
{
	if (is_known(user, local, port))
		return;
	if (user->half_open_count >= HALF_OPEN_MAX)
		forget(list_first(&user->half_open, struct half_open, of_user));
	struct half_open *h = calloc(1, sizeof(*h));
	if (!h) {
		log_error("%s: a client may wait for its own timeout: out of memory", user->name);
		return;
	}
	h->user = user;
	h->local = *local;
	h->port = port;
	list_init(&h->waiting);
	list_append(&user->half_open, &h->of_user);
	user->half_open_count++;
}

void user_half_open_lost(struct user *user, const struct sockaddr_storage *local, uint16_t port)
{
	remember(user, local, port);
	user->half_open_told = 0; /* no access point has told of it */
}

void user_half_open_leave(struct user *user)
{
	user->half_open_coming = false;
	list_for_each_safe(at, next, &user->half_open)
		stop(list_entry(at, struct half_open, of_user));
	list_for_each_safe(at, next, &user->connections)
	{
		struct user_connection *c = user_connection_of(at);
		struct sockaddr_storage local;
		uint16_t port;

		user_connection_ends(c, &local, &port);
		remember(user, &local, port);
		user_connection_close(c, true);
	}
}

bool user_half_open_kept(const struct user *user, uint64_t now)
{
	return user->half_open_count && now < user->since + HALF_OPEN_KEPT_MS;
}

void user_half_open_forget(struct user *user)
{
	list_for_each_safe(at, next, &user->half_open)
		forget(list_entry(at, struct half_open, of_user));
}

/* ---- from access point to access point ---- */

/* IPv4 as within IPv6 */
static void pack(uint8_t bytes[WIRE_ADDRESS_SIZE], const struct sockaddr_storage *a)
{
	static const uint8_t mapped[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (a->ss_family == AF_INET6) {
		memcpy(bytes, &((const struct sockaddr_in6 *)a)->sin6_addr, WIRE_ADDRESS_SIZE);
		return;
	}
	memcpy(bytes, mapped, sizeof(mapped));
	memcpy(bytes + sizeof(mapped), &((const struct sockaddr_in *)a)->sin_addr,
	       WIRE_ADDRESS_SIZE - sizeof(mapped));
}

/* A link-local address is one of the link by which the user comes. */
static void unpack(struct sockaddr_storage *a, const uint8_t bytes[WIRE_ADDRESS_SIZE],
		   uint16_t port, const struct user *user)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memcpy(&in6.sin6_addr, bytes, WIRE_ADDRESS_SIZE);
	if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) && user->address.ss_family == AF_INET6)
		in6.sin6_scope_id = ((const struct sockaddr_in6 *)&user->address)->sin6_scope_id;
	(void)user_address_normalise(a, (const struct sockaddr *)&in6); /* of a family it knows */
	address_set_port(a, port);
}

void user_half_open_give(struct user *user, const char *ap, const struct wire_user_claim *claim)
{
	struct users *u = user->users;

	list_for_each_safe(at, next, &user->half_open)
	{
		const struct half_open *h = list_entry(at, struct half_open, of_user);
		struct wire_message m = {
			.type = WIRE_USER_CONNECTION,
			.user_connection = { .claim = claim->claim,
					     .service_port = address_port(
						     (const struct sockaddr *)&h->local),
					     .user_port = h->port },
		};

		memcpy(m.user_connection.user, claim->user, NAME_SIZE);
		pack(m.user_connection.address, &h->local);
		u->ops->to_ap(u->ctx, ap, &m);
	}
}

/* The listener of our end. Return: NULL if there is none */
static const struct acceptor *listener_of(const struct users *u,
					  const struct sockaddr_storage *local)
{
	for (size_t i = 0; i < u->offers; i++) {
		const struct acceptor *a = u->offer[i].acceptor;

		if (a && acceptor_takes(a, (const struct sockaddr *)local))
			return a;
	}
	return NULL;
}

static void count_anew(struct user *user)
{
	user->half_open_since = now_of(user->users);
	user->half_open_ended = 0;
	user->half_open_silent = 0;
	user->half_open_taken = 0;
}

void user_half_open_take(struct user *user, const struct wire_user_connection *w)
{
	struct sockaddr_storage local = { 0 };

	unpack(&local, w->address, (uint16_t)w->service_port, user);
	if (local.ss_family != user->address.ss_family || !listener_of(user->users, &local))
		return;
	if (!user->half_open_coming)
		count_anew(user);
	user->half_open_coming = true;
	/* a liar must not have us knock at all ports */
	if (user->half_open_taken >= TAKEN_MAX)
		return;
	user->half_open_taken++;
	remember(user, &local, (uint16_t)w->user_port);
}

/* ---- where the user is ---- */

/* All that are over */
static void report(struct user *user)
{
	const struct users *u = user->users;

	if (!user->claim || user->half_open_told != user->claim)
		log_reporter_event(u->session.reporter, "CLIENTS RESET", 0, 0,
				   "mud=%s connections=%u silent=%u ms=%llu", user->name,
				   user->half_open_ended, user->half_open_silent,
				   (unsigned long long)(now_of(u) - user->half_open_since));
	user->half_open_told = user->claim; /* an access point may tell of them again */
}

static void over(struct half_open *h, bool ended)
{
	struct user *user = h->user;

	user->half_open_ended += ended;
	user->half_open_silent += !ended;
	forget(h);
	if (list_empty(&user->half_open) && !user->half_open_coming)
		report(user);
}

void user_half_open_told(struct user *user)
{
	if (user->half_open_coming && list_empty(&user->half_open))
		report(user);
	user->half_open_coming = false;
}

static void on_done(void *ctx, int result)
{
	struct half_open *h = ctx;
	struct users *u = h->user->users;
	bool full = u->challenges >= HALF_OPEN_AT_ONCE;

	if (result == 0)
		over(h, true);
	else
		stop_challenge(h); /* until its next turn */
	if (full)
		users_on_challenge(&u->challenge);
}

static void challenge(struct half_open *h)
{
	struct user *user = h->user;
	struct users *u = user->users;
	struct sockaddr_storage client = user->address;
	struct err err;

	address_set_port(&client, h->port);
	const struct challenge_setup setup = {
		.loop = u->session.loop,
		.acceptor = listener_of(u, &h->local),
		.local = (const struct sockaddr *)&h->local,
		.client = (const struct sockaddr *)&client,
		.done = on_done,
		.ctx = h,
	};
	h->again_at = now_of(u) + AGAIN_MS;
	int r = setup.acceptor ? challenge_new(&h->challenge, &setup, &err) : -EADDRNOTAVAIL;
	if (r == 0)
		u->challenges++;
	else if (r == -EEXIST || r == -EADDRNOTAVAIL)
		over(h, r == -EEXIST); /* it has connected anew; or our end is not here */
	else
		log_debug("%s: %s", user->name, err.text); /* no descriptor: tried again */
}

static void tick(struct half_open *h, uint64_t now)
{
	struct users *u = h->user->users;

	if (now >= h->until) {
		over(h, false);
		return;
	}
	if (now < h->again_at)
		return;
	stop_challenge(h);
	if (u->challenges >= HALF_OPEN_AT_ONCE)
		return;
	/* behind those that wait for their turn */
	list_remove(&h->waiting);
	list_append(&u->half_open, &h->waiting);
	challenge(h);
}

void users_on_challenge(uv_timer_t *timer)
{
	struct users *u = timer->data;
	uint64_t now = now_of(u);

	list_for_each_safe(at, next, &u->half_open)
		tick(list_entry(at, struct half_open, waiting), now);
	if (list_empty(&u->half_open))
		(void)uv_timer_stop(&u->challenge);
}

void user_half_open_end(struct user *user)
{
	struct users *u = user->users;
	uint64_t now = now_of(u);
	bool begins = !user->half_open_coming;

	if (list_empty(&user->half_open))
		return;
	list_for_each_safe(at, next, &user->half_open) begins &=
		list_empty(&list_entry(at, struct half_open, of_user)->waiting);
	if (begins)
		count_anew(user);
	list_for_each_safe(at, next, &user->half_open)
	{
		struct half_open *h = list_entry(at, struct half_open, of_user);

		if (!list_empty(&h->waiting))
			continue;
		h->until = now + HALF_OPEN_TRY_MS;
		h->again_at = now;
		list_append(&u->half_open, &h->waiting);
		tick(h, now);
	}
	if (!list_empty(&u->half_open) && !uv_is_active((uv_handle_t *)&u->challenge))
		(void)uv_timer_start(&u->challenge, users_on_challenge, TICK_MS, TICK_MS);
}
