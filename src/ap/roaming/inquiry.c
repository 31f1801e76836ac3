/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/inquiry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/roaming/admission.h"
#include "ap/roaming/away.h"
#include "ap/stations/address.h"
#include "ap/users/table.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "net/crypto.h"
#include "report/log_reporter.h"

#define TICK_MS 50

static_assert(STATION_MAC_SIZE == WIRE_STATION_SIZE, "one kind of address");

/* struct inquiry - One that is not answered by all yet; of a station there is one at most */
struct inquiry {
	struct list link;
	uint8_t mac[STATION_MAC_SIZE];
	uint64_t number;
	uint64_t since; /* when hostapd said that it is connected */
	uint64_t ask_at;
	uint64_t answered[USERS_APS_MAX / 64]; /* by their place in struct users */
};

static uint64_t now_of(const struct users *u)
{
	return uv_now(u->session.loop);
}

/* ---- the users of a station ---- */

/* struct found - Those that were heard last, of more than fit in; by name, for each may be forgotten meanwhile */
struct found {
	struct users *users;
	const uint8_t *mac;
	bool given; /* also those that were handed over */
	size_t count;
	struct found_user {
		char name[NAME_SIZE];
		uint64_t heard;
	} user[WIRE_STATION_USERS_MAX];
};

static void offer(struct found *f, const struct user *user)
{
	struct found_user offered = { .heard = user->heard };
	struct found_user *place = NULL;

	if (user->state == USER_LEFT && user->peer[0] && !f->given)
		return; /* the access point that has it decides */
	users_plain_name(offered.name, user);
	for (size_t i = 0; i < f->count; i++) {
		if (name_equal(f->user[i].name, offered.name))
			return;
	}
	if (f->count < WIRE_STATION_USERS_MAX) {
		f->user[f->count++] = offered;
		return;
	}
	for (size_t i = 0; i < f->count; i++) {
		if (f->user[i].heard < offered.heard && (!place || f->user[i].heard < place->heard))
			place = &f->user[i];
	}
	if (place)
		*place = offered;
}

/* The station has this address now: its user may be one that is away, or whose station was never seen. */
static void on_address(void *ctx, const struct sockaddr_storage *address)
{
	struct found *f = ctx;
	struct user *user = NULL;
	char name[NAME_SIZE];
	struct err err;

	user_name_of(name, address);
	/* of one that cannot be read now, its next packet tells */
	if (users_asked_for(f->users, &user, name, f->mac, &err) == 0 && user)
		offer(f, user);
}

/*
 * The station seen when a user's packets were admitted counts. The neighbour table is asked for users without
 * one (with `stations = "traffic"`, or if the operator associated them), and for those that are in files only.
 */
static void find_users(struct found *f, const uint8_t mac[STATION_MAC_SIZE])
{
	struct users *u = f->users;
	bool unseen = u->writer;
	struct err err;

	f->mac = mac;
	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->bucket[i])
		{
			struct user *user = list_entry(at, struct user, link);

			unseen |= !user->mac_at;
			if (user->mac_at && memcmp(user->mac, mac, STATION_MAC_SIZE) == 0)
				offer(f, user);
		}
	}
	if (unseen && station_address_each(mac, on_address, f, &err) < 0)
		log_error("users of a station: %s", err.text);
}

/* ---- asking ---- */

static struct inquiry *find(struct users *u, const uint8_t mac[STATION_MAC_SIZE])
{
	list_for_each_safe(at, next, &u->inquiries)
	{
		struct inquiry *q = list_entry(at, struct inquiry, link);

		if (memcmp(q->mac, mac, STATION_MAC_SIZE) == 0)
			return q;
	}
	return NULL;
}

static void forget(struct users *u, struct inquiry *q)
{
	list_remove(&q->link);
	u->inquiry_count--;
	free(q);
	if (list_empty(&u->inquiries))
		(void)uv_timer_stop(&u->inquire);
}

static bool has_answered(const struct inquiry *q, size_t i)
{
	return q->answered[i / 64] >> i % 64 & 1;
}

static void ask(struct users *u, struct inquiry *q)
{
	struct wire_message m = {
		.type = WIRE_STATION_INQUIRY,
		.station_inquiry = { .inquiry = q->number },
	};

	memcpy(m.station_inquiry.station, q->mac, STATION_MAC_SIZE);
	q->ask_at = now_of(u) + u->policy.retry_ms;
	for (size_t i = 0; i < u->others; i++) {
		if (!has_answered(q, i))
			u->ops->to_ap(u->ctx, u->other[i], &m);
	}
}

static void give_up(struct users *u, struct inquiry *q)
{
	char text[STATION_MAC_TEXT];

	station_text_mac(text, q->mac);
	log_info("station %s: not every access point said within %llu ms which user it is", text,
		 (unsigned long long)u->policy.move_ms);
	forget(u, q);
}

static void on_tick(uv_timer_t *timer)
{
	struct users *u = timer->data;
	uint64_t now = now_of(u);

	list_for_each_safe(at, next, &u->inquiries)
	{
		struct inquiry *q = list_entry(at, struct inquiry, link);

		if (now >= q->since + u->policy.move_ms)
			give_up(u, q);
		else if (now >= q->ask_at)
			ask(u, q);
	}
}

/* Return: NULL at the limit */
static struct inquiry *new_inquiry(struct users *u, const uint8_t mac[STATION_MAC_SIZE])
{
	struct inquiry *q = u->inquiry_count < STATION_INQUIRIES_MAX ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return NULL;
	u->inquiry_count++;
	q->since = now_of(u);
	memcpy(q->mac, mac, STATION_MAC_SIZE);
	do {
		if (crypto_random(&q->number, sizeof(q->number)) < 0)
			q->number = uv_hrtime();
	} while (!q->number);
	list_append(&u->inquiries, &q->link);
	return q;
}

/* Users that are here, or were: nobody needs to be asked who they are */
static void claim_own(struct users *u, const uint8_t mac[STATION_MAC_SIZE])
{
	struct found f = { .users = u, .given = true };

	find_users(&f, mac);
	for (size_t i = 0; i < f.count; i++)
		(void)users_arrived(u, f.user[i].name, mac, now_of(u), NULL); /* it is known */
}

void station_inquiry_begin(struct users *u, const uint8_t mac[STATION_MAC_SIZE])
{
	char text[STATION_MAC_TEXT];

	claim_own(u, mac);
	/* it was away meanwhile: answers to an earlier inquiry are old */
	station_inquiry_end(u, mac);
	if (!u->others)
		return;
	struct inquiry *q = new_inquiry(u, mac);
	if (!q) {
		station_text_mac(text, mac);
		log_info("station %s: %d inquiries are on their way, its users come when they send "
			 "something",
			 text, STATION_INQUIRIES_MAX);
		return;
	}
	ask(u, q);
	if (!uv_is_active((uv_handle_t *)&u->inquire))
		(void)uv_timer_start(&u->inquire, on_tick, TICK_MS, TICK_MS);
}

void station_inquiry_end(struct users *u, const uint8_t mac[STATION_MAC_SIZE])
{
	struct inquiry *q = find(u, mac);

	if (q)
		forget(u, q);
}

void station_inquiry_close(struct users *u)
{
	list_for_each_safe(at, next, &u->inquiries) forget(u, list_entry(at, struct inquiry, link));
}

/* ---- answers of the others ---- */

static void on_inquiry(struct users *u, const char *ap, const struct wire_station_inquiry *w)
{
	struct found f = { .users = u };
	struct wire_message m = {
		.type = WIRE_STATION_USERS,
		.station_users = { .inquiry = w->inquiry },
	};

	find_users(&f, w->station);
	memcpy(m.station_users.station, w->station, STATION_MAC_SIZE);
	m.station_users.count = (uint32_t)f.count;
	for (size_t i = 0; i < f.count; i++)
		memcpy(m.station_users.user[i], f.user[i].name, NAME_SIZE);
	u->ops->to_ap(u->ctx, ap, &m);
}

/* Note that @ap has answered. Return: whether all have */
static bool all_answered(const struct users *u, struct inquiry *q, const char *ap)
{
	size_t answered = 0;

	for (size_t i = 0; i < u->others; i++) {
		if (name_equal(u->other[i], ap))
			q->answered[i / 64] |= 1ull << i % 64;
		answered += has_answered(q, i);
	}
	return answered == u->others;
}

static void arrived(struct users *u, const struct inquiry *q, const char *user, const char *ap)
{
	char text[STATION_MAC_TEXT];
	struct err err;

	if (users_arrived(u, user, q->mac, q->since, &err) < 0) {
		log_error("user of a station from %s: %s", ap, err.text);
		return;
	}
	station_text_mac(text, q->mac);
	log_reporter_event(u->session.reporter, "STATION USER", 0, 0, "mud=%s station=%s from=%s",
			   user, text, ap);
}

static void on_users(struct users *u, const char *ap, const struct wire_station_users *w)
{
	struct inquiry *q = find(u, w->station);

	if (!q || q->number != w->inquiry)
		return; /* not asked, or answered too late */
	for (uint32_t i = 0; i < w->count; i++)
		arrived(u, q, w->user[i], ap);
	if (all_answered(u, q, ap))
		forget(u, q);
}

void station_inquiry_message(struct users *u, const char *ap, const struct wire_message *m)
{
	if (m->type == WIRE_STATION_INQUIRY)
		on_inquiry(u, ap, &m->station_inquiry);
	else
		on_users(u, ap, &m->station_users);
}
