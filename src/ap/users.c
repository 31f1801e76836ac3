/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/users.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/clients/connection.h"
#include "ap/listeners/listener.h"
#include "ap/roaming/away.h"
#include "ap/roaming/claims.h"
#include "ap/roaming/handover.h"
#include "ap/roaming/inquiry.h"
#include "ap/roaming/receipt.h"
#include "ap/roaming/removal.h"
#include "ap/roaming/stations.h"
#include "ap/roaming/strangers.h"
#include "ap/users/session.h"
#include "ap/users/store.h"
#include "ap/users/table.h"
#include "ap/users/writer.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/spool.h"
#include "core/ap/node.h"
#include "core/mud/session.h"
#include "net/crypto.h"

#define SWEEP_MS      500
#define TURN_MAX      4096    /* messages handed on before the loop looks at its sockets again */
#define SAVE_AGAIN_MS 3600000 /* the age of a file tells how long its user has been away */

/* struct outbox_item - A message of the node, until users_settle() */
struct outbox_item {
	struct list item;
	uint64_t link;
	struct wire_message message;
	uint8_t bytes[];
};

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

/* The service sends by itself on connection @stream->connection, or reports on all of them (0) */
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
	struct outbox_item *s = malloc(sizeof(*s) + len);

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
	list_append(&u->outbox, &s->item);
}

/* Writes the user's record if something in it is new, or @anyhow */
static void user_remember(struct user *user, bool anyhow)
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
	if (user->mac_at)
		digest = digest_add(digest, user->mac, sizeof(user->mac));
	if (digest == user->saved && !anyhow)
		return;
	user->saved = digest;
	user->saved_at = uv_now(user->users->session.loop);
	if (user_store_save(uw, user, &err) < 0)
		log_error("%s will not be known after a restart: %s", user->name, err.text);
}

static void on_more(uv_idle_t *more)
{
	(void)more; /* users_settle() comes by itself, before the loop waits */
}

void users_settle(struct users *u)
{
	for (int i = 0; i < TURN_MAX && !list_empty(&u->outbox); i++) {
		struct outbox_item *s = list_first(&u->outbox, struct outbox_item, item);
		struct user_entry *e = find_link(u, s->link);

		list_remove(&s->item);
		if (e)
			user_session_message(e->session, &s->message);
		if (e && s->message.type != WIRE_ANSWER)
			user_remember(e->user, false);
		free(s);
	}
	if (list_empty(&u->outbox))
		(void)uv_idle_stop(&u->more);
	else
		(void)uv_idle_start(&u->more, on_more);
}

void users_message(struct users *u, const char *ap, const struct wire_message *m)
{
	if (users_strange(u, ap, m))
		return;
	if (m->type == WIRE_STATION_INQUIRY || m->type == WIRE_STATION_USERS)
		station_inquiry_message(u, ap, m);
	else
		user_handover_message(u, ap, m);
}

void users_neighbour(struct users *u, const char *ap)
{
	if (users_place(u, ap) < 0)
		users_stranger(u, ap);
}

/* ---- time ---- */

static size_t unanswered(const struct user *user)
{
	size_t n = 0;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions) n +=
		user_session_unanswered(list_entry(at, struct user_entry, of_user)->session);
	return n;
}

/* Return: why the user is away, or NULL if it is not */
static const char *why_away(const struct user *user, uint64_t now)
{
	const struct users *u = user->users;

	if (u->stations && user_stations_gone(u->stations, user, now))
		return "its station is gone, and it was silent";
	return now >= user->heard + u->limits.idle_ms ? "silent for user_idle_ms" : NULL;
}

static void sweep_user(struct user *user, uint64_t now)
{
	list_for_each_safe(at, next, &user->connections)
		user_connection_tick(user_connection_of(at), now);
	const char *away = why_away(user, now);
	if (user->state == USER_LEFT)
		users_sweep_away(user, now);
	else if (user->state == USER_UNREAD && away)
		users_remove(user); /* its file stays */
	else if (away && (user->state == USER_HERE ? !unanswered(user) : user->refusal[0]))
		user_away(user, away);
	else if (user->state == USER_HERE && now >= user->saved_at + SAVE_AGAIN_MS)
		user_remember(user, true);
}

static void on_sweep(uv_timer_t *timer)
{
	struct users *u = timer->data;
	uint64_t now = uv_now(u->session.loop);

	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->bucket[i])
			sweep_user(list_entry(at, struct user, link), now);
	}
	users_read_again(u, now);
	users_sweep_old(u, now);
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
	struct users *u = handle->data;

	if (--u->handles > 0)
		return;
	spools_free(u->spools);
	free(u->state_dir);
	free(u);
}

void users_close(struct users *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->offers; i++)
		user_listener_close(u->offer[i].listener);
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->bucket[i])
			users_remove(list_entry(at, struct user, link));
	}
	user_writer_close(TAKE_PTR(u->writer));
	station_inquiry_close(u);
	list_for_each_safe(at, next, &u->outbox) free(list_entry(at, struct outbox_item, item));
	user_stations_close(u->stations);
	u->stations = NULL;
	uv_close((uv_handle_t *)&u->sweep, on_closed);
	uv_close((uv_handle_t *)&u->ask, on_closed);
	uv_close((uv_handle_t *)&u->inquire, on_closed);
	uv_close((uv_handle_t *)&u->challenge, on_closed);
	uv_close((uv_handle_t *)&u->more, on_closed);
}

static void on_written(void *ctx)
{
	users_receipts(ctx);
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
	for (; u->offers < setup->services; u->offers++) {
		struct users_offer *offer = &u->offer[u->offers];
		int r = user_listener_new(&offer->listener, &listener, &setup->service[u->offers],
					  err);

		if (r < 0)
			return r;
		offer->service = user_listener_service(offer->listener);
		offer->acceptor = user_listener_acceptor(offer->listener);
		offer->waiter = user_listener_waiter(offer->listener, 0);
	}
	return 0;
}

/* Lists without entries, and timers that do not run */
static void begin_empty(struct users *u, uv_loop_t *loop)
{
	list_init(&u->outbox);
	list_init(&u->claims);
	list_init(&u->owing);
	list_init(&u->inquiries);
	list_init(&u->half_open);
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_init(&u->bucket[i]);
		list_init(&u->links[i]);
	}
	(void)uv_timer_init(loop, &u->sweep); /* none can fail */
	(void)uv_timer_init(loop, &u->ask);
	(void)uv_timer_init(loop, &u->inquire);
	(void)uv_timer_init(loop, &u->challenge);
	(void)uv_idle_init(loop, &u->more);
	u->sweep.data = u;
	u->ask.data = u;
	u->inquire.data = u;
	u->challenge.data = u;
	u->more.data = u;
	u->handles = 5;
}

int users_new(struct users **ret, const struct users_setup *setup, struct err *err)
{
	struct users *u = calloc(1, sizeof(*u));
	int r = 0;

	if (!u)
		return err_set(err, -ENOMEM, "users");
	u->policy = *setup->policy;
	u->limits = users_limits_defaults(setup->limits);
	u->unreachable = setup->unreachable;
	u->keep_ms = setup->keep_ms;
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
	begin_empty(u, setup->loop);
	r = spools_new(&u->spools, setup->spool_dir, setup->spool_bytes, err);
	if (r == 0 && setup->state_dir) {
		u->state_dir = strdup(setup->state_dir);
		r = u->state_dir ? user_store_open(setup->state_dir, err)
				 : err_set(err, -ENOMEM, "state_dir");
		if (r == 0)
			r = user_writer_new(&u->writer, setup->loop, setup->state_dir, err);
		if (r == 0)
			user_writer_tell(u->writer, on_written, u);
	}
	if (r == 0 && setup->stations)
		r = user_stations_watch(&u->stations, u, setup->stations, err);
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

/* ---- full disks ---- */

struct users_files users_files(const struct users *u)
{
	struct users_files f = { 0 };
	struct user_writer_state state;

	if (!u->writer)
		return f;
	user_writer_state(u->writer, &state);
	f.behind = state.failed;
	if (f.behind)
		(void)snprintf(f.why, sizeof(f.why), "%.*s", WIRE_REASON_SIZE - 1, state.why.text);
	return f;
}

void users_full(struct users *u, const char *reason)
{
	(void)snprintf(u->full, sizeof(u->full), "%s", reason ? reason : "");
}

/* ---- queries ---- */

uint16_t users_port(const struct users *u, const char *service)
{
	const struct users_offer *offer = users_offered(u, service);

	return offer ? user_listener_port(offer->listener) : 0;
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
	uint64_t n = u->dropped;

	for (size_t i = 0; i < u->offers; i++)
		n += user_listener_dropped(u->offer[i].listener);
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

	user_address_format(address, &user->address);
	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions)
	{
		const struct user_session *us = list_entry(at, struct user_entry, of_user)->session;
		const struct users_view view = {
			.user = user->name,
			.address = address,
			.service = user_session_service(us),
			.state = user->state == USER_LEFT ? "away" : user_session_state(us),
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
