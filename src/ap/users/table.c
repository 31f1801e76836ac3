/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/users/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "ap/users/session.h"
#include "base/digest.h"
#include "base/err.h"
#include "core/mud/session.h"
#include "net/crypto.h"

static const struct users_limits standard = {
	.users_max = 1024,
	.user_connections_max = 64,
	.client_connections_max = 4096,
	.idle_ms = 600000,
	.gone_ms = 60000,
	.dead_ms = 10000,
};

struct users_limits users_limits_defaults(struct users_limits l)
{
	l.users_max = l.users_max ? l.users_max : standard.users_max;
	l.user_connections_max =
		l.user_connections_max ? l.user_connections_max : standard.user_connections_max;
	l.client_connections_max = l.client_connections_max ? l.client_connections_max
							    : standard.client_connections_max;
	l.idle_ms = l.idle_ms ? l.idle_ms : standard.idle_ms;
	l.gone_ms = l.gone_ms ? l.gone_ms : standard.gone_ms;
	l.dead_ms = l.dead_ms ? l.dead_ms : standard.dead_ms;
	return l;
}

char *users_scratch(struct users *u, size_t *size)
{
	*size = sizeof(u->scratch);
	return u->scratch;
}

void users_heard(struct user *user)
{
	user->heard = uv_now(user->users->session.loop);
	user->gone_at = 0;
}

void users_connection_closed(struct users *u)
{
	u->connections--;
}

/* ---- users by address ---- */

/* The address alone; IPv4 within IPv6 is IPv4. Return: 0, or -EAFNOSUPPORT */
int user_address_normalise(struct sockaddr_storage *to, const struct sockaddr *from)
{
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	if (from->sa_family == AF_INET) {
		in->sin_addr = ((const struct sockaddr_in *)(const void *)from)->sin_addr;
		in->sin_family = AF_INET;
		return 0;
	}
	if (from->sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)from;
	if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		memcpy(&in->sin_addr, &six->sin6_addr.s6_addr[12], sizeof(in->sin_addr));
		in->sin_family = AF_INET;
		return 0;
	}
	in6->sin6_addr = six->sin6_addr;
	in6->sin6_scope_id = six->sin6_scope_id;
	in6->sin6_family = AF_INET6;
	return 0;
}

void user_address_format(char text[INET6_ADDRSTRLEN], const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		(void)inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, text,
				INET6_ADDRSTRLEN);
	else
		(void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, text,
				INET6_ADDRSTRLEN);
}

/* Return: 0, or -EINVAL */
int user_address_parse(struct sockaddr_storage *a, const char *text)
{
	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)a)->sin_addr) == 1)
		a->ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)a)->sin6_addr) == 1)
		a->ss_family = AF_INET6;
	else
		return -EINVAL;
	return 0;
}

static struct list *bucket_of(struct users *u, const char *name)
{
	return &u->bucket[digest_add(DIGEST_START, name, strlen(name)) % USERS_BUCKETS];
}

/* A name as other nodes want it: 1 to 63 of a few characters */
void user_name_of(char name[NAME_SIZE], const struct sockaddr_storage *a)
{
	char text[INET6_ADDRSTRLEN];

	user_address_format(text, a);
	(void)snprintf(name, NAME_SIZE, "user-%s", text);
	for (char *c = name; *c; c++) {
		if (*c == ':')
			*c = '-';
	}
}

/* Reverse of user_user_name_of(). Return: 0, or -EINVAL if @name is no such name */
int user_address_of(struct sockaddr_storage *a, const char *name)
{
	static const char prefix[] = "user-";
	struct sockaddr_storage said = { 0 };
	char text[NAME_SIZE], again[NAME_SIZE];

	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return -EINVAL;
	(void)snprintf(text, sizeof(text), "%s", name + strlen(prefix));
	for (char *c = text; *c; c++) {
		if (*c == '-')
			*c = ':';
	}
	if (user_address_parse(&said, text) < 0 ||
	    user_address_normalise(a, (struct sockaddr *)&said) < 0)
		return -EINVAL;
	user_name_of(again, a);
	return name_equal(again, name) ? 0 : -EINVAL;
}

struct user *users_find(struct users *u, const char *name)
{
	list_for_each_safe(at, next, bucket_of(u, name))
	{
		struct user *user = list_entry(at, struct user, link);

		if (name_equal(user->name, name))
			return user;
	}
	return NULL;
}

int users_new_user(struct users *u, struct user **ret, const char *name, struct err *err)
{
	if (u->count >= u->limits.users_max)
		return err_set(err, -EAGAIN, "%s: limit of %u users (users_max)", name,
			       u->limits.users_max);
	struct user *user = calloc(1, sizeof(*user));
	if (!user)
		return err_set(err, -ENOMEM, "%s", name);
	user->users = u;
	(void)snprintf(user->name, sizeof(user->name), "%s", name);
	list_init(&user->sessions);
	list_init(&user->connections);
	list_init(&user->claiming);
	list_init(&user->half_open);
	list_init(&user->owing);
	list_append(bucket_of(u, name), &user->link);
	u->count++;
	users_heard(user);
	*ret = user;
	return 0;
}

void users_rename(struct user *user, const char *name)
{
	list_remove(&user->link);
	(void)snprintf(user->name, sizeof(user->name), "%s", name);
	list_append(bucket_of(user->users, user->name), &user->link);
}

/* It is ours if it is heard here and nobody else has it (user_claim_begin()), or until it is claimed. */
int users_remember(struct users *u, struct user **ret, const char *name, struct err *err)
{
	int r = users_new_user(u, ret, name, err);

	if (r < 0)
		return r;
	(*ret)->state = USER_LEFT;
	(*ret)->since = (*ret)->heard;
	(*ret)->heard = 0;
	return 0;
}

int users_place(const struct users *u, const char *ap)
{
	for (size_t i = 0; i < u->others; i++) {
		if (name_equal(u->other[i], ap))
			return (int)i;
	}
	return -1;
}

/* ---- their sessions ---- */

bool user_has_sessions(const struct user *user)
{
	bool any = false;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions)
	{
		const struct user_session *us = list_entry(at, struct user_entry, of_user)->session;
		struct mud_context c = { 0 };

		any |= user_session_export(us, &c);
		crypto_wipe(c.secret, sizeof(c.secret));
	}
	return any;
}

struct user_entry *user_find_session(const struct user *user, const char *service)
{
	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions)
	{
		struct user_entry *e = list_entry(at, struct user_entry, of_user);

		if (name_equal(user_session_service(e->session), service))
			return e;
	}
	return NULL;
}

/* How many sessions a user has; with @but: those of services without a listener of @but's */
static size_t session_count(const struct user *user, const struct users *but)
{
	size_t count = 0;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions)
	{
		const struct user_entry *e = list_entry(at, struct user_entry, of_user);

		count += !but || !users_offered(but, user_session_service(e->session));
	}
	return count;
}

int users_import_room(struct user *user, const char *service, struct err *err)
{
	const struct users *u = user->users;

	if (user_find_session(user, service))
		return 0;
	if (session_count(user, NULL) >= WIRE_USER_SESSIONS_MAX)
		return err_set(err, -EDQUOT, "%s: limit of %d sessions, %s would be one more",
			       user->name, WIRE_USER_SESSIONS_MAX, service);
	if (!users_offered(u, service) && session_count(user, u) >= USERS_ELSEWHERE_MAX)
		return err_set(
			err, -EDQUOT,
			"%s: limit of %d sessions with services that no listener here offers, "
			"%s would be one more",
			user->name, USERS_ELSEWHERE_MAX, service);
	return 0;
}

int users_session(struct user *user, struct user_entry **ret, const char *service, struct err *err)
{
	struct users *u = user->users;
	struct user_entry *e = user_find_session(user, service);
	uint64_t link = USERS_LINK | ++u->last_link;

	if (e) {
		*ret = e;
		return 0;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return err_set(err, -ENOMEM, "session of %s", user->name);
	int r = user_session_new(&e->session, &u->session, user->name, service, link, user, err);
	if (r < 0) {
		free(e);
		return r;
	}
	e->user = user;
	list_append(&user->sessions, &e->of_user);
	list_append(&u->links[link % USERS_BUCKETS], &e->of_link);
	user_session_hold(e->session, user->state != USER_HERE);
	if (user->refusal[0])
		user_session_refuse(e->session, user->refusal);
	*ret = e;
	return 0;
}

void user_remove_session(struct user_entry *e)
{
	list_remove(&e->of_user);
	list_remove(&e->of_link);
	user_session_close(e->session);
	free(e);
}

/* ---- what is offered here ---- */

const struct users_offer *users_offered(const struct users *u, const char *service)
{
	for (size_t i = 0; i < u->offers; i++) {
		if (name_equal(u->offer[i].service, service))
			return &u->offer[i];
	}
	return NULL;
}
