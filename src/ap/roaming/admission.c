/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/admission.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "ap/clients/connection.h"
#include "ap/roaming/away.h"
#include "ap/roaming/claims.h"
#include "ap/roaming/half_open.h"
#include "ap/roaming/handover.h"
#include "ap/roaming/removal.h"
#include "ap/roaming/stations.h"
#include "ap/users/session.h"
#include "ap/users/table.h"
#include "base/err.h"
#include "base/log.h"

/* The user is here, and was heard: it is ours, or will be */
static void is_here(struct user *user, bool known)
{
	if (user->state == USER_UNREAD)
		return;
	if (!known)
		log_info("%s is here", user->name);
	if (!known || user->state == USER_LEFT)
		user_claim_begin(user);
	if (user->giving) /* it was about to be handed over, but is here */
		user_handover_keep(user);
	user_half_open_end(user);
}

/*
 * Whether a link-local address comes from another interface than the user's. It may be another host's then:
 * the user's name does not contain the interface, which has another number at each access point.
 */
static bool other_link(const struct user *user, const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *has = (const struct sockaddr_in6 *)&user->address;
	const struct sockaddr_in6 *comes = (const struct sockaddr_in6 *)a;

	return a->ss_family == AF_INET6 && user->address.ss_family == AF_INET6 &&
	       has->sin6_scope_id && comes->sin6_scope_id != has->sin6_scope_id;
}

/* The user of a name and station, which may be NULL; @known: it need not be made. Return: 0, or negative */
static int find_or_make(struct users *u, struct user **ret, const char *name, const uint8_t *mac,
			bool *known, struct err *err)
{
	struct user *user = NULL;
	struct err why;
	int unread = users_known(u, &user, name, mac, &why);
	int r = 0;

	*known = user;
	if (!user) {
		users_room(u);
		r = users_new_user(u, &user, name, err);
	}
	if (r == 0 && user && unread < 0)
		user_unread(user, &why);
	else if (r == 0 && user && !*known && u->full[0])
		user_no_room(user); /* after a crash it would begin anew (R15) */
	if (r == 0)
		*ret = user;
	return r;
}

/* The user at an address is here; @word: by another's word, else it has sent something. */
static int arrive(struct users *u, struct user **ret, const struct sockaddr_storage *a, bool word,
		  struct err *err)
{
	bool station = u->stations && !word;
	struct user_station seen = { 0 };
	struct user *user = NULL;
	char name[NAME_SIZE];
	bool known = false;
	int r = 0;

	user_name_of(name, a);
	if (station)
		r = user_stations_admit(u->stations, &seen, users_find(u, name), a, err);
	if (r < 0)
		return err_wrap(err, r, "%s", name);
	r = find_or_make(u, &user, name, station ? seen.mac : NULL, &known, err);
	if (r < 0 || !user)
		return r;
	if (known && other_link(user, a) && !list_empty(&user->sessions))
		return err_set(err, -EADDRINUSE,
			       "%s comes by another interface, and has sessions by the first: a "
			       "link-local address is one host's on one link only",
			       name);
	user->address = *a;
	if (station) {
		memcpy(user->mac, seen.mac, STATION_MAC_SIZE);
		user->mac_at = seen.at;
	}
	users_heard(user);
	is_here(user, known);
	*ret = user;
	return 0;
}

int users_arrived(struct users *u, const char *name, const uint8_t mac[STATION_MAC_SIZE],
		  uint64_t at, struct err *err)
{
	struct sockaddr_storage a;
	struct user *user = NULL;
	bool known = false;

	if (user_address_of(&a, name) < 0)
		return err_set(err, -EINVAL, "\"%.63s\" is no name of a user", name);
	int r = find_or_make(u, &user, name, mac, &known, err);
	if (r < 0 || !user)
		return r;
	if (!known)
		user->heard = at;
	if (user->address.ss_family == AF_UNSPEC) /* else it may have a scope, too */
		user->address = a;
	memcpy(user->mac, mac, STATION_MAC_SIZE);
	user->mac_at = 1; /* so long ago that its next packet must show that it is this station's */
	user->heard = user->heard > at ? user->heard : at;
	user->gone_at = 0;
	is_here(user, known);
	return 0;
}

/* A user that is UNREAD, and whose file is to be read again now. Return: NULL if there is none */
static struct user *next_unread(struct users *u, uint64_t now)
{
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->bucket[i])
		{
			struct user *user = list_entry(at, struct user, link);

			if (user->state == USER_UNREAD && now >= user->ask_at)
				return user;
		}
	}
	return NULL;
}

/* Its connections were told that they are refused: they come again. */
static void admit_again(struct user *user)
{
	const struct user was = *user;
	struct users *u = user->users;
	bool known = false;
	struct err err;

	users_remove(user);
	user = NULL;
	int r = find_or_make(u, &user, was.name, was.mac_at ? was.mac : NULL, &known, &err);
	if (r < 0 || !user) {
		log_info("%s: %s", was.name, err.text);
		return;
	}
	user->address = was.address;
	user->heard = was.heard;
	if (was.mac_at) {
		memcpy(user->mac, was.mac, STATION_MAC_SIZE);
		user->mac_at = was.mac_at;
	}
	if (user->state == USER_UNREAD)
		return;
	log_info("%s is refused no more", was.name);
	is_here(user, known);
}

void users_read_again(struct users *u, uint64_t now)
{
	struct user *user = next_unread(u, now);

	for (; user; user = next_unread(u, now)) {
		user->ask_at = now + USERS_UNREAD_MS;
		if (user_is_readable(user))
			admit_again(user);
	}
}

/* One more connection of @user. Return: 0, or -EAGAIN */
static int make_room(struct user *user, struct err *err)
{
	const struct users *u = user->users;

	if (user->connection_count >= u->limits.user_connections_max) {
		list_for_each_safe(at, next, &user->connections)
		{
			struct user_connection *c = user_connection_of(at);

			if (!user_connection_idle(c))
				continue;
			user_connection_close(c, false);
			break;
		}
	}
	if (user->connection_count >= u->limits.user_connections_max)
		return err_set(err, -EAGAIN, "%s: limit of %u connections (user_connections_max)",
			       user->name, u->limits.user_connections_max);
	if (u->connections >= u->limits.client_connections_max)
		return err_set(err, -EAGAIN, "limit of %u connections (client_connections_max)",
			       u->limits.client_connections_max);
	return 0;
}

int users_admit(struct users *u, const struct sockaddr *from, const char *service, bool connection,
		struct user_session **ret, struct err *err)
{
	struct sockaddr_storage a;
	struct user *user = NULL;
	struct user_entry *e = NULL;
	int r = user_address_normalise(&a, from);

	if (r < 0)
		return err_set(err, r, "a user's address");
	r = arrive(u, &user, &a, false, err);
	if (r == 0 && user && connection)
		r = make_room(user, err);
	if (r == 0)
		r = users_session(user, &e, service, err);
	if (r < 0 || !e)
		return r;
	if (connection)
		u->connections++;
	*ret = e->session;
	return 0;
}

int users_still(struct users *u, const struct sockaddr *from, const char *service,
		struct user_session **ret, struct err *err)
{
	char name[NAME_SIZE] = "";
	struct sockaddr_storage a;

	if (user_address_normalise(&a, from) == 0)
		user_name_of(name, &a);
	const struct user *user = users_find(u, name);
	const struct user_entry *e =
		user && user->state != USER_LEFT ? user_find_session(user, service) : NULL;
	if (!e)
		return err_set(err, -ENOENT, "%s is not here any more", name);
	*ret = e->session;
	return 0;
}

int users_associate(struct users *u, const char *address, const char *service, struct err *err)
{
	struct sockaddr_storage said = { 0 }, a;
	struct user *user = NULL;
	struct user_entry *e = NULL;

	if (user_address_parse(&said, address) < 0 ||
	    user_address_normalise(&a, (struct sockaddr *)&said) < 0)
		return err_set(err, -EINVAL, "\"%.80s\" is no address", address);
	if (service && !users_offered(u, service))
		return err_set(err, -EINVAL, "there is no listener for service \"%.63s\" here",
			       service);
	int r = arrive(u, &user, &a, true, err);
	if (r == 0 && user && user->state == USER_UNREAD)
		r = err_set(err, -EAGAIN, "%s", user->refusal);
	if (r == 0 && service)
		r = users_session(user, &e, service, err);
	if (r == 0 && e)
		user_session_want(e->session);
	return r;
}

int users_disassociate(struct users *u, const char *address, const char *who, size_t *ended,
		       struct err *err)
{
	struct sockaddr_storage said = { 0 }, a;
	char name[NAME_SIZE], reason[NAME_SIZE + 16];

	if (user_address_parse(&said, address) < 0 ||
	    user_address_normalise(&a, (struct sockaddr *)&said) < 0)
		return err_set(err, -EINVAL, "\"%.80s\" is no address", address);
	user_name_of(name, &a);
	struct user *user = NULL;
	int r = users_known(u, &user, name, NULL, err);
	if (r < 0)
		return r;
	if (user && user->state == USER_UNREAD)
		return err_set(err, -EAGAIN, "%s", user->refusal);
	if (!user || (user->state == USER_LEFT && user->peer[0]))
		return err_set(err, -ENOENT, "%s is not known here", name);
	if (user->state == USER_CLAIMING)
		return err_set(err, -EBUSY, "other access points are asked for %s: try again",
			       name);
	(void)snprintf(reason, sizeof(reason), "operator %s", who);
	*ended = user_end_sessions(user, reason);
	return 0;
}
