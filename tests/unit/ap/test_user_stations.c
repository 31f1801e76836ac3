/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users that come and go as hostapd tells it: two access points, each with an edge server and a hostapd of
 * ours. User k has the address 127.0.0.k and the station 02:00:00:00:00:k. All of it is in a network
 * namespace of its own, whose neighbour table says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ap/roaming/inquiry.h"
#include "ap/stations/address.h"
#include "ap/stations/text.h"
#include "base/auto.h"
#include "base/err.h"
#include "net/link.h"
#include "wire/message.h"
#include "fake_hostapd.h"
#include "users_bed.h"

#define AP_COUNT 2
#define BRIDGE   "users"
#define SKIPPED  77

static struct fake_hostapd hostapd[AP_COUNT];
static char dir[] = "/tmp/baton-user-stations-XXXXXX";
static uint64_t move_ms; /* if it is not 0, users begin anew after that */

/* ---- the neighbour table ---- */

static void set_up_interface(int fd, const char *name)
{
	struct ifreq i = { 0 };

	(void)snprintf(i.ifr_name, sizeof(i.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &i), 0);
	i.ifr_flags = (short)(i.ifr_flags | IFF_UP);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &i), 0);
}

/* Return: whether there is a network of our own now, with an interface that has neighbours */
static bool own_network(void)
{
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCBRADDBR, BRIDGE) < 0)
		return false;
	set_up_interface(fd, "lo");
	set_up_interface(fd, BRIDGE);
	return true;
}

/* Has the kernel know, or not (@known), that station @station has the address of user @k */
static void neighbour_is(int k, int station, bool known)
{
	struct arpreq a = { .arp_flags = ATF_PERM | ATF_COM, .arp_dev = BRIDGE };
	struct sockaddr_in *in = (struct sockaddr_in *)&a.arp_pa;
	const uint8_t mac[STATION_MAC_SIZE] = { 2, 0, 0, 0, 0, (uint8_t)station };

	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)k);
	a.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(a.arp_ha.sa_data, mac, sizeof(mac));
	assert_int_equal(ioctl(fd, known ? SIOCSARP : SIOCDARP, &a), 0);
}

/* Likewise, which station user @k is */
static void neighbour(int k, bool known)
{
	neighbour_is(k, k, known);
}

/* ---- an ordinary client of service "line" ---- */

/* User @k connects to the access point */
static void user_open(struct client *c, int k, int index)
{
	char ip[16];

	(void)snprintf(ip, sizeof(ip), "127.0.0.%d", k);
	client_open(c, ip, index, "line");
}

/* Asks, and wants to be told that this was request number @number of its container */
static void ask(struct client *c, int number)
{
	char want[32];

	(void)snprintf(want, sizeof(want), "%d 0 2\n", number);
	client_say(c, "x\n");
	expect(c, want);
}

/* User @k asks at the access point, on a connection that ends then */
static void ask_once(int k, int index, int number)
{
	struct client c;

	user_open(&c, k, index);
	ask(&c, number);
	client_close(&c);
}

/* ---- who is where ---- */

struct question {
	char user[32];
	int associated;
};

static void on_view(void *ctx, const struct users_view *view)
{
	struct question *q = ctx;

	if (strcmp(view->user, q->user) == 0 && strcmp(view->state, "associated") == 0)
		q->associated++;
}

/* Whether the user's session is associated at the access point */
static bool is_at(int k, int index)
{
	struct question q = { 0 };

	(void)snprintf(q.user, sizeof(q.user), "user-127.0.0.%d", k);
	access_point_users(users_bed.ap[index], on_view, &q);
	return q.associated == 1;
}

static void say(int index, const char *what, int k)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "<3>AP-STA-%s 02:00:00:00:%02x:%02x", what,
		       (unsigned int)k >> 8, (unsigned int)k & 0xff);
	fake_hostapd_say(&hostapd[index], text);
}

/* The user's station is there, and hostapd has authorised it */
static void connect_station(int index, int k)
{
	neighbour(k, true);
	say(index, "CONNECTED", k);
}

/* The kernel is asked for the one address, on the interface to which its route leads */
static void test_address_by_route(void **state)
{
	const uint8_t mac[STATION_MAC_SIZE] = { 2, 0, 0, 0, 1, 5 };
	uint8_t found[STATION_MAC_SIZE] = { 0 };
	struct sockaddr_storage at = { .ss_family = AF_INET };
	struct sockaddr_in *in = (struct sockaddr_in *)&at;
	struct ifreq i = { 0 };
	struct arpreq a = { .arp_flags = ATF_PERM | ATF_COM, .arp_dev = BRIDGE };
	struct err err = { 0 };

	(void)state;
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)snprintf(i.ifr_name, sizeof(i.ifr_name), "%s", BRIDGE);
	in->sin_addr.s_addr = inet_addr("10.9.0.1");
	memcpy(&i.ifr_addr, in, sizeof(*in));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &i), 0);
	in->sin_addr.s_addr = inet_addr("10.9.0.5");
	memcpy(&a.arp_pa, in, sizeof(*in));
	a.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(a.arp_ha.sa_data, mac, sizeof(mac));
	assert_int_equal(ioctl(fd, SIOCSARP, &a), 0);
	assert_int_equal(station_address_find(found, &at, &err), 0);
	assert_memory_equal(found, mac, sizeof(mac));
	in->sin_addr.s_addr = inet_addr("10.9.0.6"); /* nobody */
	assert_int_equal(station_address_find(found, &at, &err), -ENOENT);
	in->sin_addr.s_addr = inet_addr("192.0.2.1"); /* no route */
	assert_int_equal(station_address_find(found, &at, &err), -ENOENT);
	assert_memory_equal(found, mac, sizeof(mac));
}

/* ---- fixture ---- */

static void stop_access_point(int index)
{
	access_point_close(TAKE_PTR(users_bed.ap[index]));
	uv_run(&users_bed.loop, UV_RUN_NOWAIT);
}

/* Waits until it was told hostapd's stations */
static void hostapd_listed(int index)
{
	wait_until(hostapd[index].attached && hostapd[index].listed);
}

static int set_up_one(void **state)
{
	(void)state;
	users_bed_prepare(AP_COUNT);
	users_bed.move_ms = move_ms ? move_ms : users_bed.move_ms;
	users_bed.unreachable = move_ms ? USERS_BEGIN : USERS_REFUSE;
	memset(hostapd, 0, sizeof(hostapd));
	for (int i = 0; i < AP_COUNT; i++) {
		hostapd[i].loop = &users_bed.loop;
		(void)snprintf(hostapd[i].path, sizeof(hostapd[i].path), "%s/hostapd%d", dir, i);
		users_bed.stations[i] = hostapd[i].path;
		fake_hostapd_start(&hostapd[i]);
		(void)snprintf(users_bed.state_dir[i], sizeof(users_bed.state_dir[i]), "%s/AP-%d",
			       dir, i + 1);
		assert_int_equal(mkdir(users_bed.state_dir[i], 0700), 0);
	}
	users_bed_start(0, false);
	hostapd_listed(0);
	return 0;
}

static int set_up(void **state)
{
	(void)set_up_one(state);
	users_bed_start(1, false);
	hostapd_listed(1);
	return 0;
}

/* AP-1 does not wait long for AP-2, which is not there */
static int set_up_hasty(void **state)
{
	move_ms = 300;
	return set_up_one(state);
}

static int set_up_impatient(void **state)
{
	users_bed.limits = (struct users_limits){ .gone_ms = 200 };
	return set_up(state);
}

static void forget_records(int index)
{
	DIR *d = opendir(users_bed.state_dir[index]);

	assert_non_null(d);
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (e->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
	}
	(void)closedir(d);
	assert_int_equal(rmdir(users_bed.state_dir[index]), 0);
}

static int tear_down(void **state)
{
	for (int i = 0; i < AP_COUNT; i++)
		fake_hostapd_stop(&hostapd[i]);
	(void)users_bed_tear_down(state);
	for (int i = 0; i < AP_COUNT; i++)
		forget_records(i);
	move_ms = 0;
	return 0;
}

/* ---- tests: the user is silent, its sessions follow ---- */

/* What was seen of the user's packets is enough, and the access point it left has hostapd drop it */
static void test_silent_user_moves(void **state)
{
	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	neighbour(11, false);
	say(1, "CONNECTED", 11);
	wait_until(is_at(11, 1));
	wait_until(fake_edge_state(users_bed.edge[1]) == WIRE_ES_ACTIVE);
	wait_until(hostapd[0].forgotten == 1);
	assert_false(is_at(11, 0));
	neighbour(11, true);
	ask_once(11, 1, 2);
}

/* With stations = "traffic" it is the neighbour table that tells */
static void test_from_traffic(void **state)
{
	(void)state;
	stop_access_point(0);
	users_bed.stations[0] = NULL;
	users_bed_start(0, false);
	neighbour(11, true);
	ask_once(11, 0, 1);
	say(1, "CONNECTED", 11);
	wait_until(is_at(11, 1));
	ask_once(11, 1, 2);
}

/* R8: to and fro, without a packet; both hostapds still list the station when it has gone */
static void test_to_and_fro(void **state)
{
	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	for (int hop = 1; hop <= 5; hop++) {
		say(hop % 2, "CONNECTED", 11);
		wait_until(is_at(11, hop % 2) && !is_at(11, !(hop % 2)));
	}
	ask_once(11, 1, 2);
}

/* Back before the claim for it is through: one of the two has it in the end, and all of it */
static void test_flapping(void **state)
{
	(void)state;
	connect_station(0, 11);
	connect_station(0, 12);
	ask_once(11, 0, 1);
	ask_once(12, 0, 1);
	for (int i = 0; i < 4; i++) {
		say(1, "CONNECTED", 11);
		say(0, "CONNECTED", 11);
	}
	say(1, "CONNECTED", 12); /* is heard after them */
	wait_until(is_at(12, 1));
	wait_until(is_at(11, 0) != is_at(11, 1));
	int index = is_at(11, 1);
	say(index, "CONNECTED", 11); /* what may have been dropped: here it is */
	ask_once(11, index, 2);
	wait_until(is_at(11, index) && !is_at(11, !index));
}

/* The one it comes from is out of reach first. It remembers the user, not which station it is */
static void test_out_of_reach(void **state)
{
	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	stop_access_point(0);
	say(1, "CONNECTED", 11);
	users_bed_start(0, false);
	wait_until(is_at(11, 1));
	ask_once(11, 1, 2);
}

/* R7: after a restart it is enough that the station comes */
static void test_restarted(void **state)
{
	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	stop_access_point(0);
	hostapd[0].listed = 0;
	users_bed_start(0, false);
	hostapd_listed(0);
	assert_false(is_at(11, 0));
	say(0, "CONNECTED", 11);
	wait_until(is_at(11, 0));
	ask_once(11, 0, 2);
}

/* R11: a station that is merely in the list may have gone long ago */
static void test_listed_station_stays(void **state)
{
	(void)state;
	connect_station(0, 11);
	connect_station(0, 12);
	ask_once(11, 0, 1);
	ask_once(12, 0, 1);
	stop_access_point(1);
	hostapd[1].stations = 11; /* user 11's is among them */
	hostapd[1].listed = 0;
	users_bed_start(1, false);
	wait_until(hostapd[1].listed == 12);
	say(1, "CONNECTED", 12); /* is heard after the list */
	wait_until(is_at(12, 1));
	assert_true(is_at(11, 0));
	assert_int_equal(hostapd[0].forgotten, 1);
}

/* ---- tests: the station goes ---- */

/* Who comes back in time stays, who does not is away */
static void test_gone(void **state)
{
	struct client one, two;

	(void)state;
	connect_station(0, 11);
	connect_station(0, 12);
	user_open(&one, 11, 0);
	user_open(&two, 12, 0);
	ask(&one, 1);
	ask(&two, 1);
	say(0, "DISCONNECTED", 11);
	say(0, "DISCONNECTED", 12);
	wait_until(one.end && two.end);
	client_close(&one);
	client_close(&two);
	say(0, "CONNECTED", 12);
	wait_until(!is_at(11, 0));
	assert_true(is_at(12, 0));
	assert_int_equal(fake_edge_sessions(users_bed.edge[0]), 2);
	ask_once(12, 0, 2);
}

/* Runs the loop for longer than an answer of the neighbour table is believed */
static void outlast_belief(void)
{
	uint64_t now = uv_now(&users_bed.loop);

	wait_until(uv_now(&users_bed.loop) > now + 1100);
}

/*
 * R11: another station has the address of a user: it does not get that one's sessions, neither here nor at
 * another access point. The first station finds them when it has the address again.
 */
static void test_other_station(void **state)
{
	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	say(0, "CONNECTED", 99);
	neighbour_is(11, 99, true);
	outlast_belief();
	ask_once(11, 0, 1);
	assert_int_equal(fake_edge_sessions(users_bed.edge[0]), 2);
	say(1, "CONNECTED", 99);
	ask_once(11, 1, 2);
	neighbour_is(11, 11, true);
	outlast_belief();
	say(0, "CONNECTED", 11);
	ask_once(11, 0, 2);
	say(1, "CONNECTED", 11);
	ask_once(11, 1, 3);
}

/* R15: the user of a station that has gone is kept, in its file, and comes back with its station */
static void test_gone_and_back(void **state)
{
	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	say(0, "DISCONNECTED", 11);
	wait_until(!is_at(11, 0));
	assert_int_equal(fake_edge_sessions(users_bed.edge[0]), 1);
	say(1, "CONNECTED", 11);
	wait_until(is_at(11, 1));
	ask_once(11, 1, 2);
}

/* It is claimed by another: it has not left */
static void test_gone_elsewhere(void **state)
{
	(void)state;
	connect_station(0, 11);
	connect_station(0, 12);
	ask_once(11, 0, 1);
	ask_once(12, 0, 1);
	say(0, "DISCONNECTED", 11);
	say(0, "DISCONNECTED", 12);
	say(1, "CONNECTED", 11);
	wait_until(is_at(11, 1));
	wait_until(!is_at(12, 0));
	assert_true(is_at(11, 1));
	ask_once(11, 1, 2);
}

/* User @k comes to AP-2 for the @visit-th time, and leaves: longer than that nobody is waited for */
static void one_leaves(int k, int visit)
{
	connect_station(1, k);
	ask_once(k, 1, visit);
	say(1, "DISCONNECTED", k);
	wait_until(!is_at(k, 1));
}

/* While hostapd cannot be heard nobody is taken to have gone; who is in its list then has not */
static void test_hostapd_not_heard(void **state)
{
	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	connect_station(0, 12);
	ask_once(12, 0, 1);
	say(0, "DISCONNECTED", 11);
	say(0, "DISCONNECTED", 12);
	fake_hostapd_say(&hostapd[0], "<3>CTRL-EVENT-TERMINATING ");
	fake_hostapd_stop(&hostapd[0]);
	one_leaves(13, 1); /* the sweeps of both access points come in between */
	one_leaves(13, 2);
	assert_true(is_at(11, 0) && is_at(12, 0));
	hostapd[0].stations = 11; /* user 11's is among them */
	fake_hostapd_start(&hostapd[0]);
	wait_until(!is_at(12, 0));
	assert_true(is_at(11, 0));
}

/* ---- tests: what is said between access points ---- */

/* One that speaks the protocol by itself */
struct speaker {
	struct peer *peer;
	int up, down;
	int inquiries; /* that came, repeated ones included */
	int stations;  /* of which different ones */
	uint8_t last[WIRE_STATION_SIZE];
	uint64_t inquiry;
	int answers, claims;
	int claims_13;  /* of which for user 13 */
	uint32_t users; /* in the last answer */
	uint64_t claim, silent_ms;
	bool seen[65536]; /* by the last two bytes */
};

static void on_inquiry(struct speaker *s, const struct wire_station_inquiry *w)
{
	size_t k = (size_t)w->station[4] << 8 | w->station[5];

	s->inquiries++;
	s->stations += !s->seen[k];
	s->seen[k] = true;
	s->inquiry = w->inquiry;
	memcpy(s->last, w->station, sizeof(s->last));
}

static void on_speaker_up(void *ctx, struct link *l)
{
	(void)l;
	((struct speaker *)ctx)->up++;
}

static void on_speaker_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct speaker *s = ctx;

	(void)l;
	if (m->type == WIRE_STATION_INQUIRY) {
		on_inquiry(s, &m->station_inquiry);
	} else if (m->type == WIRE_STATION_USERS) {
		s->answers++;
		s->users = m->station_users.count;
	} else if (m->type == WIRE_USER_CLAIM) {
		s->claims++;
		s->claims_13 += strcmp(m->user_claim.user, "user-127.0.0.13") == 0;
		s->claim = m->user_claim.claim;
		s->silent_ms = m->user_claim.silent_ms;
	}
}

static void on_speaker_down(void *ctx, struct link *l, const char *reason)
{
	(void)l;
	(void)reason;
	((struct speaker *)ctx)->down++;
}

static const struct link_ops speaker_ops = {
	.up = on_speaker_up,
	.message = on_speaker_message,
	.down = on_speaker_down,
};

/* Connects to AP-1 */
static void speak(struct speaker *s, struct tls_context *tls, uint16_t port)
{
	const struct link_setup setup = { .loop = &users_bed.loop,
					  .tls = tls,
					  .ops = &speaker_ops,
					  .ctx = s,
					  .limits = { .retry_max_ms = 50 } };
	char address[32];

	*s = (struct speaker){ 0 };
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(peer_new(&s->peer, &setup, "AP-1", WIRE_ROLE_AP, address, NULL), 0);
	wait_until(s->up);
}

static void send_message(struct speaker *s, const struct wire_message *m)
{
	assert_int_equal(link_send(peer_link(s->peer), m), 0);
}

/* Answers the last inquiry: user @k is it */
static void answer(struct speaker *s, int k)
{
	struct wire_message m = { .type = WIRE_STATION_USERS,
				  .station_users = { .inquiry = s->inquiry, .count = k != 0 } };

	memcpy(m.station_users.station, s->last, WIRE_STATION_SIZE);
	(void)snprintf(m.station_users.user[0], NAME_SIZE, "user-127.0.0.%d", k);
	send_message(s, &m);
}

/* Asks, and waits for the answer: all that was sent before was heard before */
static uint32_t inquire(struct speaker *s, int k)
{
	int answers = s->answers;
	struct wire_message m = { .type = WIRE_STATION_INQUIRY,
				  .station_inquiry = { .inquiry = 5,
						       .station = { 2, 0, 0, 0, 0, (uint8_t)k } } };

	send_message(s, &m);
	wait_until(s->answers > answers);
	return s->users;
}

/* Repeated until answered; the claim counts from hostapd's event on; a late answer does nothing */
static void test_inquiry(void **state)
{
	static struct speaker s;

	(void)state;
	speak(&s, users_bed.ap_tls[1], access_point_port(users_bed.ap[0]));
	say(0, "CONNECTED", 11);
	wait_until(s.inquiries >= 1);
	uint64_t number = s.inquiry;
	wait_until(s.inquiries >= 3);
	assert_int_equal(s.inquiry, number);
	answer(&s, 11);
	wait_until(s.claims >= 1);
	assert_true(s.silent_ms >= 150); /* two repetitions */
	/* it was heard there later: AP-1 forgets it, and asks again when the station comes again */
	struct wire_message end = { .type = WIRE_USER_END,
				    .user_end = { .claim = s.claim,
						  .status = WIRE_E_NOT_ALLOWED } };
	strcpy(end.user_end.user, "user-127.0.0.11");
	send_message(&s, &end);
	assert_int_equal(inquire(&s, 11), 0);
	say(0, "CONNECTED", 11);
	wait_until(s.inquiry != number);
	number = s.inquiry;
	say(0, "DISCONNECTED", 11);
	say(0, "CONNECTED", 11);
	wait_until(s.inquiry != number);
	int claims = s.claims;
	struct wire_message late_answer = {
		.type = WIRE_STATION_USERS,
		.station_users = { .inquiry = number, .station = { 2, 0, 0, 0, 0, 11 }, .count = 1 }
	};
	strcpy(late_answer.station_users.user[0], "user-127.0.0.11");
	send_message(&s, &late_answer);
	assert_int_equal(inquire(&s, 11), 0);
	assert_int_equal(s.claims, claims);
	peer_close(s.peer);
}

/* R9: so many at once and no more; one that was answered makes room */
static void test_limit_of_inquiries(void **state)
{
	static struct speaker s;

	(void)state;
	speak(&s, users_bed.ap_tls[1], access_point_port(users_bed.ap[0]));
	for (int k = 1; k <= STATION_INQUIRIES_MAX; k++) {
		say(0, "CONNECTED", k);
		wait_until(s.stations == k);
	}
	for (int k = 1; k <= 3; k++)
		say(0, "CONNECTED", STATION_INQUIRIES_MAX + k);
	say(0, "DISCONNECTED", 1);
	say(0, "CONNECTED", 1000);
	wait_until(s.seen[1000]);
	assert_int_equal(s.stations, STATION_INQUIRIES_MAX + 1);
	peer_close(s.peer);
}

/* R11: only access points may ask and tell, and only what was asked for is heard */
static void test_rogues(void **state)
{
	struct wire_message m = { .type = WIRE_STATION_INQUIRY,
				  .station_inquiry = { .inquiry = 5,
						       .station = { 2, 0, 0, 0, 0, 11 } } };
	static struct speaker device, other;

	(void)state;
	connect_station(0, 11);
	ask_once(11, 0, 1);
	speak(&device, users_bed.mud_tls, access_point_station_port(users_bed.ap[0]));
	send_message(&device, &m);
	wait_until(device.down);
	assert_int_equal(device.answers, 0);
	peer_close(device.peer);

	speak(&other, users_bed.ap_tls[1], access_point_port(users_bed.ap[0]));
	assert_int_equal(inquire(&other, 11), 1);
	assert_int_equal(inquire(&other, 12), 0);
	other.inquiry = 5;
	memcpy(other.last, m.station_inquiry.station, sizeof(other.last));
	answer(&other, 13);
	assert_int_equal(inquire(&other, 13), 0);
	assert_int_equal(other.claims_13, 0);
	peer_close(other.peer);
}

/* ---- all of them ---- */

static int prepare(void **state)
{
	return mkdtemp(dir) ? users_bed_certificates(state) : -1;
}

static int clean_up(void **state)
{
	(void)users_bed_remove_certificates(state);
	return rmdir(dir);
}

#define ONE(test)       cmocka_unit_test_setup_teardown(test, set_up_one, tear_down)
#define HASTY(test)     cmocka_unit_test_setup_teardown(test, set_up_hasty, tear_down)
#define TWO(test)       cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define IMPATIENT(test) cmocka_unit_test_setup_teardown(test, set_up_impatient, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_by_route),
		TWO(test_silent_user_moves),
		TWO(test_from_traffic),
		TWO(test_to_and_fro),
		TWO(test_flapping),
		TWO(test_out_of_reach),
		TWO(test_restarted),
		TWO(test_listed_station_stays),
		IMPATIENT(test_gone),
		IMPATIENT(test_gone_and_back),
		IMPATIENT(test_gone_elsewhere),
		TWO(test_other_station),
		IMPATIENT(test_hostapd_not_heard),
		ONE(test_inquiry),
		ONE(test_limit_of_inquiries),
		HASTY(test_rogues),
	};

	if (!own_network()) {
		(void)puts("SKIP: a network namespace and a bridge need CAP_NET_ADMIN, or user "
			   "namespaces");
		return SKIPPED;
	}
	return cmocka_run_group_tests_name("ap/user_stations", tests, prepare, clean_up);
}
