/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/claims.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "ap/roaming/half_open.h"
#include "ap/roaming/removal.h"
#include "ap/users/table.h"
#include "base/log.h"
#include "net/crypto.h"
#include "report/log_reporter.h"

#define ASK_TICK_MS 50
#define NAMED_MAX   3 /* access points in a reason */
#define NAMES_SIZE  (NAMED_MAX * (NAME_SIZE + 48))

static uint64_t now_of(const struct users *u)
{
	return uv_now(u->session.loop);
}

void users_hold(struct user *user, bool held)
{
	list_for_each_safe(at, next, &user->sessions)
		user_session_hold(list_entry(at, struct user_entry, of_user)->session, held);
}

/* ---- who has answered ---- */

static bool bit(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static bool all_answered(const struct user *user)
{
	const struct users *u = user->users;
	size_t count = 0;

	for (size_t i = 0; i < u->others; i++)
		count += bit(user->answered, i);
	return count == u->others;
}

/* The access points that have not answered, for people */
static void name_silent(const struct user *user, char text[NAMES_SIZE])
{
	const struct users *u = user->users;
	size_t named = 0, len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < u->others; i++) {
		if (bit(user->answered, i))
			continue;
		if (++named > NAMED_MAX)
			break;
		int n = snprintf(text + len, NAMES_SIZE - len, "%s%s%s", len ? ", " : "",
				 u->other[i],
				 bit(u->foreign, i) ? " (which does not know this one)" : "");
		len += n > 0 ? (size_t)n : 0;
	}
	if (named > NAMED_MAX && len < NAMES_SIZE)
		(void)snprintf(text + len, NAMES_SIZE - len, " and others");
}

/* ---- asking ---- */

static void ask(struct user *user)
{
	struct users *u = user->users;
	struct wire_message m = {
		.type = WIRE_USER_CLAIM,
		.user_claim = { .claim = user->claim, .silent_ms = now_of(u) - user->heard },
	};

	memcpy(m.user_claim.user, user->name, NAME_SIZE);
	if (user->mac_at)
		memcpy(m.user_claim.station, user->mac, STATION_MAC_SIZE);
	user->ask_at = now_of(u) + u->policy.retry_ms;
	if (user->state ==
	    USER_HERE) { /* an answer that broke off does not keep others from answering */
		user->peer[0] = '\0';
		user->imported = 0;
	}
	for (size_t i = 0; i < u->others; i++) {
		if (!bit(user->answered, i))
			u->ops->to_ap(u->ctx, u->other[i], &m);
	}
}

static void start_asking(struct user *user)
{
	struct users *u = user->users;

	do {
		if (crypto_random(&user->claim, sizeof(user->claim)) < 0)
			user->claim = uv_hrtime();
	} while (!user->claim);
	list_remove(&user->claiming);
	list_append(&u->claims, &user->claiming);
	ask(user);
	if (!uv_is_active((uv_handle_t *)&u->ask))
		(void)uv_timer_start(&u->ask, users_on_ask, ASK_TICK_MS, ASK_TICK_MS);
}

void user_claim_begin(struct user *user)
{
	struct users *u = user->users;

	if (!u->others) {
		user_claim_settle(user);
		return;
	}
	(void)snprintf(user->before, sizeof(user->before), "%s",
		       user->state == USER_LEFT ? user->peer : "");
	if (user->before[0])
		users_park_old(user);
	user->state = USER_CLAIMING;
	user->since = now_of(u);
	user->refusal[0] = '\0';
	user->peer[0] = '\0';
	user->importing = NULL;
	user->imported = 0;
	memset(user->answered, 0, sizeof(user->answered));
	users_hold(user, true);
	log_reporter_event(u->session.reporter, "USER CLAIM", 0, 0, "mud=%s", user->name);
	start_asking(user);
}

void user_claim_also(struct user *user, const char *ap)
{
	const struct users *u = user->users;
	int place = users_place(u, ap);

	if (place < 0)
		return;
	if (list_empty(&user->claiming)) /* nobody else is asked */
		memset(user->answered, 0xff, sizeof(user->answered));
	user->answered[place / 64] &= ~(1ull << place % 64);
	if (list_empty(&user->claiming))
		start_asking(user);
}

void user_claim_back(struct user *user, const char *ap)
{
	if (user->state != USER_HERE)
		return;
	users_end_connections(user); /* their answers came from the other history */
	users_hold(user, true);
	user->state = USER_CLAIMING;
	user->since = now_of(user->users);
	user->refusal[0] = '\0';
	(void)snprintf(user->before, sizeof(user->before), "%s", ap);
}

/* ---- decisions ---- */

void user_claim_settle(struct user *user)
{
	user->state = USER_HERE;
	user->since = now_of(user->users);
	user->importing = NULL;
	user->imported = 0;
	user->peer[0] = '\0';
	user->refusal[0] = '\0';
	if (all_answered(user))
		list_remove(&user->claiming);
	list_for_each_safe(at, next, &user->sessions)
		user_session_go_on(list_entry(at, struct user_entry, of_user)->session);
	users_hold(user, false);
}

void user_claim_answered(struct user *user, const char *ap)
{
	const struct users *u = user->users;
	int place = users_place(u, ap);

	if (place >= 0)
		user->answered[place / 64] |= 1ull << place % 64;
	if (name_equal(user->peer, ap))
		user->peer[0] = '\0';
	if (!all_answered(user))
		return;
	if (user->state == USER_CLAIMING)
		user_claim_settle(user);
	list_remove(&user->claiming);
}

size_t users_park(struct user *user)
{
	size_t kept = 0;

	list_for_each_safe(at, next, &user->sessions)
	{
		struct user_entry *e = list_entry(at, struct user_entry, of_user);

		if (user_session_park(e->session))
			kept++;
		else
			user_remove_session(e);
	}
	users_hold(user, true);
	return kept;
}

void users_park_old(struct user *user)
{
	list_for_each_safe(at, next, &user->sessions)
	{
		struct user_entry *e = list_entry(at, struct user_entry, of_user);

		if (!user_session_park_old(e->session))
			user_remove_session(e);
	}
	users_hold(user, true);
}

bool user_claim_yield(struct user *user)
{
	list_remove(&user->claiming);
	user_half_open_leave(user);
	if (!users_park(user)) {
		users_forget(user);
		return false;
	}
	user->state = USER_LEFT;
	user->since = now_of(user->users);
	user->peer[0] = '\0';
	user->importing = NULL;
	user->refusal[0] = '\0';
	return true;
}

/* Its sessions were here last, so none that has not answered has newer ones, as far as is known here. */
static bool was_here_last(const struct user *user)
{
	int place = user->before[0] ? users_place(user->users, user->before) : -1;

	if (user->peer[0] || !user_has_sessions(user))
		return false;
	return place < 0 || bit(user->answered, (size_t)place);
}

static void refuse(struct user *user, const char *silent)
{
	(void)snprintf(
		user->refusal, sizeof(user->refusal),
		"%s cannot be asked for the sessions of %s; the service continues when it has "
		"answered",
		silent, user->name);
	list_for_each_safe(at, next, &user->sessions) user_session_refuse(
		list_entry(at, struct user_entry, of_user)->session, user->refusal);
	log_error(
		"%s is refused: no answer of %s within %llu ms, which may have its sessions. If "
		"one of "
		"them is gone for good, remove it from the configuration, or set when_unreachable "
		"= \"begin\"",
		user->name, silent, (unsigned long long)user->users->policy.move_ms);
	log_reporter_event(user->users->session.reporter, "USER REFUSED", 0, 0, "mud=%s silent=%s",
			   user->name, silent);
}

static void overdue(struct user *user)
{
	struct users *u = user->users;
	char silent[NAMES_SIZE];

	name_silent(user, silent);
	if (was_here_last(user)) {
		log_info("%s continues with the sessions that it had here last; no answer of %s",
			 user->name, silent);
		user_claim_settle(user);
	} else if (u->unreachable == USERS_BEGIN) {
		log_error("%s begins anew: no answer of %s within %llu ms, which may have its "
			  "sessions "
			  "(when_unreachable = \"begin\")",
			  user->name, silent, (unsigned long long)u->policy.move_ms);
		log_reporter_event(u->session.reporter, "USER BEGINS ANEW", 0, 0,
				   "mud=%s silent=%s", user->name, silent);
		user_claim_settle(user);
	} else {
		refuse(user, silent);
	}
}

void users_on_ask(uv_timer_t *timer)
{
	struct users *u = timer->data;
	uint64_t now = now_of(u);

	list_for_each_safe(at, next, &u->claims)
	{
		struct user *user = list_entry(at, struct user, claiming);

		if (all_answered(user)) /* the others were removed from the configuration */
			user_claim_answered(user, "");
		else if (user->state == USER_CLAIMING && !user->refusal[0] &&
			 now >= user->since + u->policy.move_ms)
			overdue(user);
		else if (now >= user->ask_at)
			ask(user);
	}
	if (list_empty(&u->claims))
		(void)uv_timer_stop(&u->ask);
}
