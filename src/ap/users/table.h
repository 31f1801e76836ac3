/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User - an ordinary user, known by its source address, and the table of all
 *
 * This is data only. The code in roaming/ admits users, claims them, hands them over and forgets them.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "ap/stations/text.h"
#include "ap/users/config.h"
#include "ap/users/session.h"
#include "base/list.h"
#include "base/text.h"

#define USERS_BUCKETS       256u
#define USERS_ELSEWHERE_MAX 8 /* see users_import_room() */
#define USERS_SCRATCH_SIZE  65536
#define USERS_STRANGERS_MAX 64 /* further ones are not reported */

/** enum user_state - Which access point has the user */
enum user_state {
	USER_HERE,     /* ours */
	USER_CLAIMING, /* it turned up here: the other access points are asked for its sessions */
	USER_LEFT,   /* handed over, but the other has not said yet that all arrived; or it was here
			* until it fell silent, or this program restarted, and has not been heard since */
	USER_UNREAD, /* it turned up here, but its file cannot be read now (roaming/away.h) */
};

/**
 * struct user - One user
 * @link:	In a bucket of its table
 * @claiming:	In the list of those for which access points are asked: CLAIMING, or HERE although not all
 *		have answered
 * @users:	Its table
 * @state:	See enum user_state
 * @name:	Towards the edge servers: "user-" and the address
 * @address:	Its address, port 0; family 0 while it was not heard
 * @sessions:	Of its services (struct user_entry)
 * @connections: Of struct user_connection, the one used latest last
 * @connection_count: How many
 * @mac, @mac_at: Its station, and when that was looked up; 0: never
 * @gone_at:	When hostapd said that its station has gone; 0: it has not, or was heard again since
 * @heard:	When it was last heard
 * @claim:	In @claiming: number of the claim
 * @since:	When the state was entered
 * @ask_at:	In @claiming: when to ask again those who have not answered. UNREAD: when to read again
 * @answered:	In @claiming: access points that do not have its sessions, or have given them, by their place
 *		in struct users
 * @peer:	In @claiming: from where its sessions are coming, or empty; LEFT: to where they went
 * @before:	CLAIMING: to where they had gone before
 * @refusal:	CLAIMING: for so long that nobody waits for it any more, and clients are told this; or empty.
 *		UNREAD: likewise
 * @saved, @saved_at: Digest of its record, and when it was written
 * @importing:	In @claiming: session whose requests are coming
 * @imported:	In @claiming: sessions that came
 * @giving:	HERE: held, for it is about to be handed over
 * @half_open:	Its connections of elsewhere that clients may still have, see roaming/half_open.h
 * @half_open_count: How many
 * @half_open_ended, @half_open_silent: How many clients were told, and how many did not answer, since ...
 * @half_open_since: ... the first was challenged
 * @half_open_told: Claim after which that was reported
 * @half_open_coming: An access point is telling of more
 * @half_open_taken: How many it has told of
 * @given:	LEFT: claim that it was handed over for
 * @owing, @owed, @owed_claim: In the list of those whose receipt is owed; to which access point, for which claim
 */
struct user {
	struct list link;
	struct list claiming;
	struct list owing;
	struct users *users;
	enum user_state state;
	char name[NAME_SIZE];
	struct sockaddr_storage address;
	struct list sessions;
	struct list connections;
	size_t connection_count;
	uint8_t mac[STATION_MAC_SIZE];
	uint64_t mac_at;
	uint64_t gone_at;
	uint64_t heard;
	uint64_t claim;
	uint64_t spoilt; /* claim with an invalid answer: logged once */
	uint64_t since;
	uint64_t ask_at;
	uint64_t answered[USERS_APS_MAX / 64];
	char peer[NAME_SIZE];
	char before[NAME_SIZE];
	char owed[NAME_SIZE];
	uint64_t owed_claim;
	uint64_t given;
	char refusal[WIRE_REASON_SIZE];
	uint64_t saved;
	uint64_t saved_at;
	struct user_session *importing;
	uint32_t imported;
	bool giving;
	struct list half_open;
	size_t half_open_count;
	uint32_t half_open_ended;
	uint32_t half_open_silent;
	uint64_t half_open_since;
	uint64_t half_open_told;
	bool half_open_coming;
	size_t half_open_taken;
};

/** struct user_entry - A user's session, where it is found by user and by link */
struct user_entry {
	struct list of_user;
	struct list of_link;
	struct user *user;
	struct user_session *session;
};

struct acceptor;
struct user_listener;
struct user_stations;
struct user_writer;

/**
 * struct users_offer - A service that is found here
 * @service:	Its name
 * @listener:	Where; owned
 * @acceptor:	Of it, for connections; NULL: it takes datagrams
 * @waiter:	Who answers its datagrams; the port is that of the user
 */
struct users_offer {
	const char *service;
	struct user_listener *listener;
	const struct acceptor *acceptor;
	struct user_waiter waiter;
};

/**
 * struct users - See users.h
 * @session:	Setup that all sessions share; points to @policy and @ap
 * @writer:	Of users' files; NULL: nothing is remembered over a restart
 * @spools:	Where long requests and answers lie
 * @stations:	NULL: each sender is a user
 * @ops, @ctx:	See struct users_setup
 * @bucket:	Of struct user, by name
 * @links:	Of struct user_entry, by number
 * @outbox:	Messages of the node, until users_settle()
 * @claims:	Of struct user, by @claiming
 * @owing:	Of struct user, by @owing
 * @inquiries:	Of struct inquiry, see roaming/inquiry.c
 * @inquiry_count: How many
 * @half_open:	Of struct half_open, see roaming/half_open.c: those to be challenged
 * @challenges:	How many are being challenged now
 * @other:	Names of the other access points
 * @dropped:	Datagrams of listeners that are gone
 * @foreign:	Those of them that do not know this one, as they say
 * @stranger:	Access points that are not among @other, and have sent something; each is reported once
 * @unreachable: See enum users_unreachable
 * @keep_ms:	A user that was released is ended after this time; 0: never
 * @state_dir:	Of @writer
 * @look_at:	When its old files are looked for next
 * @full:	Why no user is taken that is in no file here; or empty
 */
struct users {
	struct user_session_setup session;
	struct policy policy;
	char ap[NAME_SIZE];
	struct users_limits limits;
	struct user_writer *writer;
	struct spools *spools;
	struct user_stations *stations;
	const struct users_ops *ops;
	void *ctx;
	struct list bucket[USERS_BUCKETS];
	struct list links[USERS_BUCKETS];
	uint64_t last_link;
	size_t count;
	size_t connections;
	struct list outbox;
	struct list claims;
	struct list owing;
	struct list inquiries;
	size_t inquiry_count;
	struct list half_open;
	size_t challenges;
	char other[USERS_APS_MAX][NAME_SIZE];
	size_t others;
	uint64_t foreign[USERS_APS_MAX / 64];
	char stranger[USERS_STRANGERS_MAX][NAME_SIZE];
	size_t strangers;
	enum users_unreachable unreachable;
	uint64_t keep_ms;
	char *state_dir;
	uint64_t look_at;
	char full[WIRE_REASON_SIZE];
	struct users_offer offer[USERS_SERVICES_MAX];
	size_t offers;
	uint64_t dropped;
	uv_timer_t sweep;
	uv_timer_t ask;       /* runs while there are claims */
	uv_timer_t inquire;   /* runs while there are inquiries */
	uv_timer_t challenge; /* runs while clients are to be challenged */
	uv_idle_t more;       /* keeps the loop from waiting while something is queued */
	int handles;
	char scratch[USERS_SCRATCH_SIZE];
};

/** users_limits_defaults() - Fill in the limits that are zero */
struct users_limits users_limits_defaults(struct users_limits l);

/** users_scratch() - Room for one read of @size bytes; good until the next call */
char *users_scratch(struct users *u, size_t *size);

/** users_heard() - The user has just sent something */
void users_heard(struct user *user);

/** users_connection_closed() - One connection of all is gone */
void users_connection_closed(struct users *u);

/** users_find() - User by name. Return: NULL if it is not known */
struct user *users_find(struct users *u, const char *name);

/** users_session() - The user's session of a service, made if need be. Return: 0, or -ENOMEM */
int users_session(struct user *user, struct user_entry **ret, const char *service, struct err *err);

/** users_remember() - Make a user known that was here before a restart. Return: 0, or negative */
int users_remember(struct users *u, struct user **ret, const char *name, struct err *err);

/**
 * users_import_room() - May another access point bring a session with this service?
 * @user:	Its user
 * @service:	Its name
 * @err:	Filled in if not
 *
 * A user has WIRE_USER_SESSIONS_MAX sessions at most, of which USERS_ELSEWHERE_MAX may be with services that
 * no listener here offers: they wait until the user moves on to where there is one.
 *
 * Return: 0, or -EDQUOT
 */
int users_import_room(struct user *user, const char *service, struct err *err);

/** users_place() - Place of another access point in @other. Return: -1 if it is not in the configuration */
int users_place(const struct users *u, const char *ap);

/** user_has_sessions() - Whether the user has a session that can be continued */
bool user_has_sessions(const struct user *user);

/** users_offered() - A service, if it is offered here. Return: borrowed, or NULL */
const struct users_offer *users_offered(const struct users *u, const char *service);

/** users_new_user() - Add a user; it was heard now. Return: 0, -EAGAIN at the limit, or -ENOMEM */
int users_new_user(struct users *u, struct user **ret, const char *name, struct err *err);

/** users_rename() - Give a user another name, which none has */
void users_rename(struct user *user, const char *name);

/** user_find_session() - A user's session of a service. Return: NULL if there is none */
struct user_entry *user_find_session(const struct user *user, const char *service);

/** user_remove_session() - Forget a session; the edge servers are not told */
void user_remove_session(struct user_entry *e);

/** user_address_normalise() - The address alone; IPv4 within IPv6 is IPv4. Return: 0, or -EAFNOSUPPORT */
int user_address_normalise(struct sockaddr_storage *to, const struct sockaddr *from);

/** user_address_parse() - Read an address. Return: 0, or -EINVAL */
int user_address_parse(struct sockaddr_storage *a, const char *text);

/** user_address_format() - Write one; INET6_ADDRSTRLEN bytes */
void user_address_format(char text[INET6_ADDRSTRLEN], const struct sockaddr_storage *a);

/** user_name_of() - The name of the user at an address, as other nodes want it */
void user_name_of(char name[NAME_SIZE], const struct sockaddr_storage *a);

/** user_address_of() - Reverse of user_name_of(). Return: 0, or -EINVAL if @name is no such name */
int user_address_of(struct sockaddr_storage *a, const char *name);
