/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/users.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/station_inquiry.h"
#include "ap/user.h"
#include "ap/user_connection.h"
#include "ap/user_listener.h"
#include "ap/user_session.h"
#include "ap/user_stations.h"
#include "ap/user_store.h"
#include "ap/user_writer.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/spool.h"
#include "core/ap_node.h"
#include "core/mud_session.h"
#include "net/crypto.h"

#define SWEEP_MS 500
#define TURN_MAX 4096 /* messages handed on before the loop looks at its sockets again */
#define LEFT_MAX 10   /* times move_ms that the copy of what was handed over is kept */

static const struct users_limits standard = {
	.users_max = 1024,
	.user_connections_max = 64,
	.client_connections_max = 4096,
	.idle_ms = 600000,
	.gone_ms = 60000,
	.dead_ms = 10000,
};

/* struct said - What the node said, until users_settle() */
struct said {
	struct list item;
	uint64_t link;
	struct wire_message message;
	uint8_t bytes[];
};

/* ---- what the modules of users need ---- */

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
static int normalise(struct sockaddr_storage *to, const struct sockaddr *from)
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

static void format(char text[INET6_ADDRSTRLEN], const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		(void)inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, text,
				INET6_ADDRSTRLEN);
	else
		(void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, text,
				INET6_ADDRSTRLEN);
}

/* Return: 0, or -EINVAL */
static int parse(struct sockaddr_storage *a, const char *text)
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
static void name_of(char name[NAME_SIZE], const struct sockaddr_storage *a)
{
	char text[INET6_ADDRSTRLEN];

	format(text, a);
	(void)snprintf(name, NAME_SIZE, "user-%s", text);
	for (char *c = name; *c; c++) {
		if (*c == ':')
			*c = '-';
	}
}

/* Reverse of name_of(). Return: 0, or -EINVAL if @name is no such name */
static int address_of(struct sockaddr_storage *a, const char *name)
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
	if (parse(&said, text) < 0 || normalise(a, (struct sockaddr *)&said) < 0)
		return -EINVAL;
	name_of(again, a);
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

struct user *users_find_address(struct users *u, const struct sockaddr_storage *address)
{
	char name[NAME_SIZE];

	name_of(name, address);
	return users_find(u, name);
}

static int new_user(struct users *u, struct user **ret, const char *name, struct err *err)
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
	list_append(bucket_of(u, name), &user->link);
	u->count++;
	users_heard(user);
	*ret = user;
	return 0;
}

/* It is ours if it is heard here and nobody else has it (user_handover_claim()), or until it is claimed. */
int users_remember(struct users *u, struct user **ret, const char *name, struct err *err)
{
	int r = new_user(u, ret, name, err);

	if (r == 0)
		(*ret)->state = USER_LEFT;
	return r;
}

static struct user_entry *find_session(const struct user *user, const char *service)
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

		count += !but || !users_listener(but, user_session_service(e->session));
	}
	return count;
}

int users_import_room(struct user *user, const char *service, struct err *err)
{
	const struct users *u = user->users;

	if (find_session(user, service))
		return 0;
	if (session_count(user, NULL) >= WIRE_USER_SESSIONS_MAX)
		return err_set(err, -EDQUOT, "%s: limit of %d sessions, %s would be one more",
			       user->name, WIRE_USER_SESSIONS_MAX, service);
	if (!users_listener(u, service) && session_count(user, u) >= USERS_ELSEWHERE_MAX)
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
	struct user_entry *e = find_session(user, service);
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
	*ret = e;
	return 0;
}

static void remove_session(struct user_entry *e)
{
	list_remove(&e->of_user);
	list_remove(&e->of_link);
	user_session_close(e->session);
	free(e);
}

void users_end_connections(struct user *user)
{
	list_for_each_safe(at, next, &user->connections)
		user_connection_close(user_connection_of(at), true);
}

void users_remove(struct user *user)
{
	user_handover_forget(user);
	users_end_connections(user);
	list_for_each_safe(at, next, &user->sessions)
		remove_session(list_entry(at, struct user_entry, of_user));
	list_remove(&user->link);
	user->users->count--;
	free(user);
}

void users_forget(struct user *user)
{
	if (user->users->writer)
		user_store_remove(user->users->writer, user);
	users_remove(user);
}

/* ---- admission ---- */

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

/* The user is here, and was heard: it is ours, or will be */
static void is_here(struct user *user, bool known)
{
	if (!known)
		log_info("%s is here", user->name);
	if (!known || user->state == USER_LEFT)
		user_handover_claim(user);
	if (user->giving) /* it was about to be handed over, but is here */
		user_handover_keep(user);
}

/*
 * Whether a link-local address comes from another interface than the user's: the name does not say which, for
 * interfaces have other numbers at each access point, so it may be another host's.
 */
static bool other_link(const struct user *user, const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *has = (const struct sockaddr_in6 *)&user->address;
	const struct sockaddr_in6 *comes = (const struct sockaddr_in6 *)a;

	return a->ss_family == AF_INET6 && user->address.ss_family == AF_INET6 &&
	       has->sin6_scope_id && comes->sin6_scope_id != has->sin6_scope_id;
}

/* The user at an address is here; @word: somebody says so, else it has sent something. */
static int arrive(struct users *u, struct user **ret, const struct sockaddr_storage *a, bool word,
		  struct err *err)
{
	char name[NAME_SIZE];
	int r = 0;

	name_of(name, a);
	struct user *user = users_find(u, name);
	bool known = user;
	if (!known)
		r = new_user(u, &user, name, err);
	if (r < 0 || !user)
		return r;
	if (known && other_link(user, a) && !list_empty(&user->sessions))
		return err_set(err, -EADDRINUSE,
			       "%s comes by another interface, and has sessions by the first: a "
			       "link-local address is one host's on one link only",
			       name);
	user->address = *a;
	if (u->stations && !word)
		r = user_stations_admit(u->stations, user, err);
	if (r < 0 && !known)
		users_remove(user);
	if (r < 0)
		return r;
	users_heard(user);
	is_here(user, known);
	*ret = user;
	return 0;
}

int users_arrived(struct users *u, const char *name, const uint8_t mac[STATION_MAC_SIZE],
		  uint64_t at, struct err *err)
{
	struct user *user = users_find(u, name);
	struct sockaddr_storage a;
	bool known = user;
	int r = 0;

	if (address_of(&a, name) < 0)
		return err_set(err, -EINVAL, "\"%.63s\" is no name of a user", name);
	if (!known) {
		r = new_user(u, &user, name, err);
		if (r < 0 || !user)
			return r;
		user->heard = at;
	}
	if (user->address.ss_family == AF_UNSPEC) /* else it may have a scope, too */
		user->address = a;
	memcpy(user->mac, mac, STATION_MAC_SIZE);
	user->mac_at = 1; /* so long ago that its next packet must show that it is this station's */
	user->heard = user->heard > at ? user->heard : at;
	user->gone_at = 0;
	is_here(user, known);
	return 0;
}

int users_admit(struct users *u, const struct sockaddr *from, const char *service, bool connection,
		struct user_session **ret, struct err *err)
{
	struct sockaddr_storage a;
	struct user *user = NULL;
	struct user_entry *e = NULL;
	int r = normalise(&a, from);

	if (r < 0)
		return err_set(err, r, "a user's address");
	r = arrive(u, &user, &a, false, err);
	if (r == 0 && connection)
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

	if (normalise(&a, from) == 0)
		name_of(name, &a);
	const struct user *user = users_find(u, name);
	const struct user_entry *e =
		user && user->state != USER_LEFT ? find_session(user, service) : NULL;
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

	if (parse(&said, address) < 0 || normalise(&a, (struct sockaddr *)&said) < 0)
		return err_set(err, -EINVAL, "\"%.80s\" is no address", address);
	if (service && !users_listener(u, service))
		return err_set(err, -EINVAL, "there is no listener for service \"%.63s\" here",
			       service);
	int r = arrive(u, &user, &a, true, err);
	if (r == 0 && service)
		r = users_session(user, &e, service, err);
	if (r == 0 && e)
		user_session_want(e->session);
	return r;
}

/* ---- from the node ---- */

static struct user_entry *find_link(struct users *u, uint64_t link)
{
	list_for_each_safe(at, next, &u->links[link % USERS_BUCKETS])
	{
		struct user_entry *e = list_entry(at, struct user_entry, of_link);

		if (user_session_link(e->session) == link)
			return e;
	}
	return NULL;
}

/* What the service says by itself on connection @stream->connection, or of all of them (0) */
static void on_stream(struct user_session *us, const struct wire_stream *stream)
{
	struct user *user = user_session_owner(us);

	list_for_each_safe(at, next, &user->connections)
	{
		struct user_connection *c = user_connection_of(at);

		if (user_connection_session(c) == us &&
		    (!stream->connection || user_connection_number(c) == stream->connection))
			user_connection_stream(c, stream);
	}
}

void users_deliver(struct users *u, uint64_t link, const struct wire_message *m)
{
	bool stream = m->type == WIRE_STREAM;
	size_t len = m->type == WIRE_ANSWER ? m->data.len : stream ? m->stream.len : 0;
	struct said *s = malloc(sizeof(*s) + len);

	if (!s) {
		/* as if it had been lost on the way: the session asks again */
		log_error("message for a user dropped: out of memory");
		return;
	}
	s->link = link;
	s->message = *m;
	if (len)
		memcpy(s->bytes, stream ? m->stream.bytes : m->data.bytes, len);
	if (m->type == WIRE_ANSWER)
		s->message.data.bytes = s->bytes;
	else if (stream)
		s->message.stream.bytes = s->bytes;
	list_append(&u->said, &s->item);
}

/* Writes the user's record if something in it is new */
static void user_remember(struct user *user)
{
	struct user_writer *uw = user->users->writer;
	uint64_t digest = DIGEST_START;
	struct err err;

	if (!uw)
		return;
	list_for_each_safe(at, next, &user->sessions)
	{
		struct mud_context c = { 0 };

		if (!user_session_export(list_entry(at, struct user_entry, of_user)->session, &c))
			continue;
		c.ack = 0;
		c.next = 0;
		digest = digest_add(digest, &c, sizeof(c));
		crypto_wipe(&c, sizeof(c));
	}
	if (digest == user->saved)
		return;
	user->saved = digest;
	if (user_store_save(uw, user, &err) < 0)
		log_error("%s will not be known after a restart: %s", user->name, err.text);
}

static void on_more(uv_idle_t *more)
{
	(void)more; /* users_settle() comes by itself, before the loop waits */
}

void users_settle(struct users *u)
{
	for (int i = 0; i < TURN_MAX && !list_empty(&u->said); i++) {
		struct said *s = list_first(&u->said, struct said, item);
		struct user_entry *e = find_link(u, s->link);

		list_remove(&s->item);
		if (e)
			user_session_message(e->session, &s->message);
		if (e && s->message.type != WIRE_ANSWER)
			user_remember(e->user);
		free(s);
	}
	if (list_empty(&u->said))
		(void)uv_idle_stop(&u->more);
	else
		(void)uv_idle_start(&u->more, on_more);
}

void users_message(struct users *u, const char *ap, const struct wire_message *m)
{
	if (m->type == WIRE_STATION_INQUIRY || m->type == WIRE_STATION_USERS)
		station_inquiry_message(u, ap, m);
	else
		user_handover_message(u, ap, m);
}

/* ---- time ---- */

static void leave(struct user *user)
{
	log_info("%s has left: %s for %llu ms", user->name,
		 user->gone_at ? "its station is gone, and it was silent," : "silent",
		 (unsigned long long)(uv_now(user->users->session.loop) - user->heard));
	list_for_each_safe(at, next, &user->sessions)
		user_session_end(list_entry(at, struct user_entry, of_user)->session);
	users_forget(user);
}

static size_t unanswered(const struct user *user)
{
	size_t n = 0;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions) n +=
		user_session_unanswered(list_entry(at, struct user_entry, of_user)->session);
	return n;
}

static bool has_left(const struct user *user, uint64_t now)
{
	const struct users *u = user->users;

	return now >= user->heard + u->limits.idle_ms ||
	       (u->stations && user_stations_gone(u->stations, user, now));
}

static void sweep_user(struct user *user, uint64_t now)
{
	list_for_each_safe(at, next, &user->connections)
		user_connection_tick(user_connection_of(at), now);
	const struct users *u = user->users;
	/* what was handed over lives on elsewhere; who did not come back after a restart has left */
	uint64_t kept_until = user->peer[0] ? user->since + LEFT_MAX * u->policy.move_ms
					    : user->heard + u->limits.idle_ms;
	if (user->state == USER_LEFT && now >= kept_until)
		users_forget(user);
	else if (user->state == USER_HERE && has_left(user, now) && !unanswered(user))
		leave(user);
}

static void on_sweep(uv_timer_t *timer)
{
	struct users *u = timer->data;
	uint64_t now = uv_now(u->session.loop);

	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->bucket[i])
			sweep_user(list_entry(at, struct user, link), now);
	}
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
	struct users *u = handle->data;

	if (--u->handles > 0)
		return;
	spools_free(u->spools);
	free(u);
}

void users_close(struct users *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->listeners; i++)
		user_listener_close(u->listener[i]);
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->bucket[i])
			users_remove(list_entry(at, struct user, link));
	}
	user_writer_close(TAKE_PTR(u->writer));
	station_inquiry_close(u);
	list_for_each_safe(at, next, &u->said) free(list_entry(at, struct said, item));
	user_stations_close(u->stations);
	u->stations = NULL;
	uv_close((uv_handle_t *)&u->sweep, on_closed);
	uv_close((uv_handle_t *)&u->ask, on_closed);
	uv_close((uv_handle_t *)&u->inquire, on_closed);
	uv_close((uv_handle_t *)&u->more, on_closed);
}

static struct users_limits with_defaults(struct users_limits l)
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

static int listen_all(struct users *u, const struct users_setup *setup, struct err *err)
{
	const struct user_listener_setup listener = {
		.loop = setup->loop,
		.users = u,
		.dead_ms = u->limits.dead_ms,
	};

	if (setup->services > USERS_SERVICES_MAX)
		return err_set(err, -EINVAL, "%zu listeners, the limit is %d", setup->services,
			       USERS_SERVICES_MAX);
	for (; u->listeners < setup->services; u->listeners++) {
		int r = user_listener_new(&u->listener[u->listeners], &listener,
					  &setup->service[u->listeners], err);

		if (r < 0)
			return r;
	}
	return 0;
}

int users_new(struct users **ret, const struct users_setup *setup, struct err *err)
{
	struct users *u = calloc(1, sizeof(*u));
	int r = 0;

	if (!u)
		return err_set(err, -ENOMEM, "users");
	u->policy = *setup->policy;
	u->limits = with_defaults(setup->limits);
	(void)snprintf(u->ap, sizeof(u->ap), "%s", setup->ap);
	u->session = (struct user_session_setup){
		.loop = setup->loop,
		.ap = u->ap,
		.policy = &u->policy,
		.proof = setup->proof,
		.node = setup->node,
		.reporter = setup->reporter,
		.stream = on_stream,
	};
	u->ops = setup->ops;
	u->ctx = setup->ctx;
	for (; u->others < setup->aps.count && u->others < USERS_APS_MAX; u->others++)
		(void)snprintf(u->other[u->others], NAME_SIZE, "%s", setup->aps.at[u->others].name);
	list_init(&u->said);
	list_init(&u->claims);
	list_init(&u->inquiries);
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_init(&u->bucket[i]);
		list_init(&u->links[i]);
	}
	(void)uv_timer_init(setup->loop, &u->sweep); /* none can fail */
	(void)uv_timer_init(setup->loop, &u->ask);
	(void)uv_timer_init(setup->loop, &u->inquire);
	(void)uv_idle_init(setup->loop, &u->more);
	u->sweep.data = u;
	u->ask.data = u;
	u->inquire.data = u;
	u->more.data = u;
	u->handles = 4;
	r = spools_new(&u->spools, setup->spool_dir, setup->spool_bytes, err);
	if (r == 0 && setup->state_dir) {
		r = user_store_load(u, setup->state_dir, err);
		if (r == 0)
			r = user_writer_new(&u->writer, setup->loop, setup->state_dir, err);
	}
	if (r == 0 && setup->stations)
		r = user_stations_new(&u->stations, u, setup->stations, err);
	if (r == 0)
		r = listen_all(u, setup, err);
	if (r < 0) {
		users_close(u);
		return r;
	}
	(void)uv_timer_start(&u->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	*ret = u;
	return 0;
}

/* ---- what there is to know ---- */

struct user_listener *users_listener(const struct users *u, const char *service)
{
	for (size_t i = 0; i < u->listeners; i++) {
		if (name_equal(user_listener_service(u->listener[i]), service))
			return u->listener[i];
	}
	return NULL;
}

uint16_t users_port(const struct users *u, const char *service)
{
	const struct user_listener *ul = users_listener(u, service);

	return ul ? user_listener_port(ul) : 0;
}

size_t users_count(const struct users *u)
{
	return u->count;
}

long users_stations(const struct users *u)
{
	return u->stations ? (long)user_stations_count(u->stations) : -1;
}

uint64_t users_dropped(const struct users *u)
{
	uint64_t n = 0;

	for (size_t i = 0; i < u->listeners; i++)
		n += user_listener_dropped(u->listener[i]);
	return n;
}

static size_t connections_of(const struct user *user, const struct user_session *us)
{
	size_t n = 0;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->connections) n +=
		user_connection_session(user_connection_of(at)) == us;
	return n;
}

static void view_user(const struct user *user, void (*fn)(void *ctx, const struct users_view *view),
		      void *ctx)
{
	char address[INET6_ADDRSTRLEN];

	format(address, &user->address);
	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions)
	{
		const struct user_session *us = list_entry(at, struct user_entry, of_user)->session;
		const struct users_view view = {
			.user = user->name,
			.address = address,
			.service = user_session_service(us),
			.state = user_session_state(us),
			.session = user_session_number(us),
			.connections = connections_of(user, us),
			.unanswered = user_session_unanswered(us),
		};

		fn(ctx, &view);
	}
}

void users_each(const struct users *u, void (*fn)(void *ctx, const struct users_view *view),
		void *ctx)
{
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, (struct list *)(uintptr_t)&u->bucket[i])
			view_user(list_entry(at, struct user, link), fn, ctx);
	}
}
