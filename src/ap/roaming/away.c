/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/away.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "ap/roaming/claims.h"
#include "ap/roaming/half_open.h"
#include "ap/roaming/removal.h"
#include "ap/users/store.h"
#include "ap/users/table.h"
#include "base/err.h"
#include "base/log.h"
#include "core/ap/node.h"
#include "core/mud/session.h"
#include "net/crypto.h"
#include "report/log_reporter.h"

#define GIVEN_MAX   10      /* times move_ms: a user handed over stays in memory so long */
#define AGAIN_MS    5000    /* until a file that is not written yet is looked at again */
#define OLD_LOOK_MS 3600000 /* files are looked through so often, or four times in keep_ms */

#define APART '_'

static uint64_t now_of(const struct users *u)
{
	return uv_now(u->session.loop);
}

/* ---- from files and back ---- */

static void name_apart(char apart[NAME_SIZE], const char *name, const uint8_t *mac)
{
	(void)snprintf(apart, NAME_SIZE, "%.50s%c%02x%02x%02x%02x%02x%02x", name, APART, mac[0],
		       mac[1], mac[2], mac[3], mac[4], mac[5]);
}

void users_plain_name(char name[NAME_SIZE], const struct user *user)
{
	char *apart;

	memcpy(name, user->name, NAME_SIZE);
	apart = strchr(name, APART);
	if (apart)
		memset(apart, 0, (size_t)(name + NAME_SIZE - apart));
}

/* The user of a file becomes known; it is LEFT. Return: 0, also if there is no such file, or negative */
static int recall(struct users *u, struct user **ret, const char *name, struct err *err)
{
	AUTO(user_record) struct user_record *rec = NULL;
	struct user *user = NULL;

	if (!u->writer || !name_valid(name))
		return 0;
	int r = user_store_read(u, &rec, name, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* only for one that is there: others are not to be forgotten for a stranger's claim */
	users_room(u);
	r = users_remember(u, &user, name, err);
	if (r == 0 && user)
		r = user_store_load(user, rec, err);
	if (r == 0)
		*ret = user;
	else if (user)
		users_remove(user);
	return r;
}

static int find(struct users *u, struct user **ret, const char *name, struct err *err)
{
	*ret = users_find(u, name);
	return *ret ? 0 : recall(u, ret, name, err);
}

static void save(struct user *user)
{
	struct err err;

	if (user->users->writer && user_store_save(user->users->writer, user, &err) < 0)
		log_error("%s will not be known after a restart: %s", user->name, err.text);
}

/* Gives a user that is LEFT another name, with its file */
static void rename_user(struct user *user, const char *name)
{
	const struct users *u = user->users;
	char from[NAME_SIZE];
	struct err err;

	memcpy(from, user->name, NAME_SIZE);
	users_rename(user, name);
	if (u->writer && user_store_move(u->writer, user, from, &err) < 0)
		log_error("%s will be known as %s after a restart: %s", user->name, from, err.text);
}

static bool of_another(const struct user *user, const uint8_t *mac)
{
	return user && mac && user->mac_at && memcmp(user->mac, mac, STATION_MAC_SIZE) != 0;
}

static void set_apart(struct user *user)
{
	char apart[NAME_SIZE], station[STATION_MAC_TEXT], name[NAME_SIZE];
	struct users *u = user->users;

	memcpy(name, user->name, NAME_SIZE);
	station_text_mac(station, user->mac);
	name_apart(apart, name, user->mac);
	if (user->state == USER_LEFT)
		users_end_connections(user);
	else
		user_away(user, "another station has its address");
	if (!users_find(u, name))
		return; /* it had nothing to keep */
	log_info("%s: another station than %s has its address; that one's sessions are set apart",
		 name, station);
	rename_user(user, apart);
}

int users_known(struct users *u, struct user **ret, const char *name, const uint8_t *mac,
		struct err *err)
{
	struct user *user = NULL;
	char apart[NAME_SIZE];
	int r = find(u, &user, name, err);

	if (r < 0)
		return r;
	if (user && user->state != USER_UNREAD && of_another(user, mac)) {
		set_apart(user);
		user = NULL;
	}
	if (!user && mac) {
		name_apart(apart, name, mac);
		r = find(u, &user, apart, err);
		if (r == 0 && user && user->state == USER_LEFT)
			rename_user(user, name);
	}
	if (r == 0)
		*ret = user;
	return r;
}

int users_asked_for(struct users *u, struct user **ret, const char *name, const uint8_t *mac,
		    struct err *err)
{
	struct user *user = NULL;
	char apart[NAME_SIZE];
	int r = find(u, &user, name, err);

	if (r == 0 && mac && (!user || of_another(user, mac))) {
		name_apart(apart, name, mac);
		r = find(u, &user, apart, err);
	}
	if (r == 0 && user && user->state == USER_UNREAD)
		r = err_set(err, -EAGAIN, "%s", user->refusal);
	if (r == 0)
		*ret = user;
	return r;
}

/* ---- files that cannot be read ---- */

void user_unread(struct user *user, const struct err *why)
{
	const struct users *u = user->users;

	user->state = USER_UNREAD;
	user->since = now_of(u);
	user->ask_at = user->since + USERS_UNREAD_MS;
	(void)snprintf(user->refusal, sizeof(user->refusal),
		       "%s cannot read what it knows of %s; the service continues when it can: "
		       "%.200s",
		       u->ap, user->name, why->text);
	log_error("%s is refused, for its sessions are in a file that cannot be read: %s",
		  user->name, why->text);
	log_info("%s: its file is tried again each second. If it is damaged, remove it: other "
		 "access points are asked then, or it begins anew",
		 user->name);
	log_reporter_event(u->session.reporter, "USER REFUSED", 0, 0, "mud=%s reason=%s",
			   user->name, why->text);
}

void user_no_room(struct user *user)
{
	const struct users *u = user->users;

	user->state = USER_UNREAD;
	user->since = now_of(u);
	user->ask_at = user->since + USERS_UNREAD_MS;
	(void)snprintf(user->refusal, sizeof(user->refusal), "%s", u->full);
	log_debug("%s is refused: %s", user->name, u->full);
}

static bool readable(struct users *u, const char *name)
{
	AUTO(user_record) struct user_record *rec = NULL;
	struct err err;
	int r = user_store_read(u, &rec, name, &err);

	return r == 0 || r == -ENOENT;
}

bool user_is_readable(const struct user *user)
{
	char apart[NAME_SIZE];

	name_apart(apart, user->name, user->mac);
	if (user->users->full[0])
		return false;
	return readable(user->users, user->name) && (!user->mac_at || readable(user->users, apart));
}

/* ---- going away ---- */

void user_away(struct user *user, const char *why)
{
	struct users *u = user->users;

	user_half_open_leave(user);
	list_remove(&user->claiming);
	size_t kept = users_park(user);
	if (!kept) {
		log_info("%s has left: %s", user->name, why);
		users_forget(user);
		return;
	}
	log_info("%s is away: %s; its %zu sessions are kept", user->name, why, kept);
	log_reporter_event(u->session.reporter, "USER AWAY", 0, 0, "mud=%s sessions=%zu reason=%s",
			   user->name, kept, why);
	/* where its sessions went before a claim that was in vain is where they are */
	(void)snprintf(user->peer, sizeof(user->peer), "%s",
		       user->state == USER_CLAIMING ? user->before : "");
	user->state = USER_LEFT;
	user->since = now_of(u);
	user->ask_at = 0;
	user->refusal[0] = '\0';
	user->giving = false;
	user->importing = NULL;
	save(user);
}

/* ---- the end ---- */

/* Ends a session that the node does not have */
static void end_parked(const struct user *user, const struct mud_context *c)
{
	struct ap_ended ended = {
		.session = c->session,
		.association = c->association + 1,
		.edges = c->edges,
	};

	memcpy(ended.secret, c->secret, WIRE_SECRET_SIZE);
	ap_node_end(user->users->session.node, &ended);
	crypto_wipe(ended.secret, WIRE_SECRET_SIZE);
}

/* Return: whether there was one */
static bool end_session(const struct user *user, struct user_session *us, const char *why)
{
	struct mud_context c = { 0 };

	if (!user_session_export(us, &c)) {
		user_session_end(us);
		return false;
	}
	if (user->state == USER_LEFT)
		end_parked(user, &c);
	else
		user_session_end(us);
	crypto_wipe(c.secret, WIRE_SECRET_SIZE);
	log_error("%s: session %016" PRIx64 " with %s is ended, and its data are removed: %s",
		  user->name, c.session, user_session_service(us), why);
	log_reporter_event(user->users->session.reporter, "SESSION ENDED", c.session, 0,
			   "mud=%s service=%s reason=%s", user->name, user_session_service(us),
			   why);
	return true;
}

size_t user_end_sessions(struct user *user, const char *why)
{
	size_t ended = 0;

	list_for_each_safe(at, next, &user->sessions) ended +=
		end_session(user, list_entry(at, struct user_entry, of_user)->session, why);
	users_forget(user);
	return ended;
}

/* One that was handed over lives on elsewhere: only our copy ends. */
static void end_away(struct user *user)
{
	char why[64];

	if (user->peer[0]) {
		log_info("%s went to %s long ago, and is forgotten here", user->name, user->peer);
		users_forget(user);
		return;
	}
	(void)snprintf(why, sizeof(why), "it was away for %" PRIu64 " s (keep_days)",
		       user->users->keep_ms / 1000);
	(void)user_end_sessions(user, why);
}

static void on_old(struct users *u, const char *name)
{
	struct user *user = NULL;
	struct err err;

	if (recall(u, &user, name, &err) < 0)
		log_error("%s may have been away for too long: %s", name, err.text);
	else if (user)
		end_away(user);
}

void users_sweep_old(struct users *u, uint64_t now)
{
	uint64_t pause = u->keep_ms / 4 < OLD_LOOK_MS ? u->keep_ms / 4 : OLD_LOOK_MS;

	if (!u->writer || !u->keep_ms || now < u->look_at)
		return;
	u->look_at = now + pause;
	user_store_each_old(u, u->keep_ms, on_old);
}

void users_sweep_away(struct user *user, uint64_t now)
{
	const struct users *u = user->users;
	uint64_t stays = user->peer[0] ? GIVEN_MAX * u->policy.move_ms : 0;

	if (u->keep_ms && now >= user->since + u->keep_ms) {
		end_away(user);
		return;
	}
	if (user_half_open_kept(user, now))
		return;
	user_half_open_forget(user);
	if (!u->writer || now < user->since + stays || now < user->ask_at)
		return;
	if (user_store_is_current(user)) {
		users_remove(user);
		return;
	}
	user->ask_at = now + AGAIN_MS;
	save(user);
}

/* ---- room ---- */

static void forget_longest_away(struct users *u)
{
	struct user *longest = NULL;

	for (size_t i = 0; i < USERS_BUCKETS; i++) {
		list_for_each_safe(at, next, &u->bucket[i])
		{
			struct user *user = list_entry(at, struct user, link);

			if (user->state == USER_LEFT && (!longest || user->since < longest->since))
				longest = user;
		}
	}
	if (!longest)
		return;
	if (!u->writer || !user_store_is_current(longest)) {
		log_error("%s is forgotten, and will begin anew: limit of %u users (users_max), "
			  "and it is "
			  "in no file of state_dir",
			  longest->name, u->limits.users_max);
		log_reporter_event(u->session.reporter, "USER FORGOTTEN", 0, 0, "mud=%s",
				   longest->name);
	}
	users_remove(longest);
}

void users_room(struct users *u)
{
	if (u->count >= u->limits.users_max)
		forget_longest_away(u);
}
