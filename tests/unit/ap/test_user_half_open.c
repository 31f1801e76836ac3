/* SPDX-License-Identifier: Apache-2.0 */
#include "users_bed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "half_open.h"
#include "net/link.h"
#include "wire/message.h"

/*
 * Connections of clients that have left an access point. AP-1 is real; the test speaks for AP-2. A connection
 * whose other end has vanished stands for one to AP-2, at the address of AP-1's listener "nonesuch".
 */

#define USER  "127.0.0.11"
#define OTHER "127.0.0.12"
#define MANY  300 /* more than are kept of a user: HALF_OPEN_MAX is 128 */
#define TOLD  256 /* more than AP-1 can tell */

/**
 * struct speaker - AP-2
 * @claim:	The last claim that came
 * @told:	USER CONNECTION that came, @count of them
 * @contexts:	How many USER CONTEXT came
 * @ended:	How often USER END came
 */
struct speaker {
	struct peer *peer;
	bool up;
	uint64_t claim;
	struct wire_user_connection told[TOLD];
	int count;
	int contexts;
	int ended;
};

/* 0: as it is */
static uint32_t speaks_version;

void __real_wire_hello_set(struct wire_message *m, const char *name, enum wire_role role);
void __wrap_wire_hello_set(struct wire_message *m, const char *name, enum wire_role role);

void __wrap_wire_hello_set(struct wire_message *m, const char *name, enum wire_role role)
{
	__real_wire_hello_set(m, name, role);
	if (speaks_version && strcmp(name, "AP-2") == 0)
		m->hello.version = speaks_version;
}

static void on_up(void *ctx, struct link *l)
{
	(void)l;
	((struct speaker *)ctx)->up = true;
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct speaker *s = ctx;

	(void)l;
	if (m->type == WIRE_USER_CLAIM)
		s->claim = m->user_claim.claim;
	if (m->type == WIRE_USER_CONNECTION && s->count < TOLD)
		s->told[s->count++] = m->user_connection;
	s->contexts += m->type == WIRE_USER_CONTEXT;
	if (m->type == WIRE_USER_END)
		s->ended++;
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	(void)ctx;
	(void)l;
	(void)reason;
}

static const struct link_ops speaker_ops = { .up = on_up, .message = on_message, .down = on_down };

static void speak(struct speaker *s)
{
	const struct link_setup setup = { .loop = &users_bed.loop,
					  .tls = users_bed.ap_tls[1],
					  .ops = &speaker_ops,
					  .ctx = s,
					  .limits = { .retry_max_ms = 50 } };
	char address[32];

	*s = (struct speaker){ 0 };
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u",
		       access_point_port(users_bed.ap[0]));
	assert_int_equal(peer_new(&s->peer, &setup, "AP-1", WIRE_ROLE_AP, address, NULL), 0);
	wait_until(s->up);
}

static void send_to(struct speaker *s, const struct wire_message *m)
{
	assert_int_equal(link_send(peer_link(s->peer), m), 0);
}

static void claim_user(struct speaker *s, enum wire_type type)
{
	struct wire_message m = { .type = type, .user_claim = { .claim = 7 } };

	strcpy(m.user_claim.user, "user-" USER);
	send_to(s, &m);
}

static struct wire_message connection(const char *user, uint64_t claim, in_port_t service_port,
				      in_port_t user_port)
{
	struct wire_message m = {
		.type = WIRE_USER_CONNECTION,
		.user_connection = { .claim = claim,
				     .address = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0,
						  1 },
				     .service_port = service_port,
				     .user_port = user_port },
	};

	(void)snprintf(m.user_connection.user, NAME_SIZE, "user-%s", user);
	return m;
}

static void say_end(struct speaker *s)
{
	struct wire_message m = {
		.type = WIRE_USER_END,
		.user_end = { .claim = s->claim, .status = WIRE_E_UNKNOWN_SESSION },
	};

	strcpy(m.user_end.user, "user-" USER);
	send_to(s, &m);
}

/* ---- clients whose connection has vanished at the other end ---- */

static struct sockaddr_in at(const char *ip, in_port_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	return a;
}

static in_port_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static int bound(const char *ip, in_port_t port)
{
	struct sockaddr_in a = at(ip, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Where the service was, and will be at AP-1 */
static int old_listener(void)
{
	int fd = bound("127.0.0.1", 0);

	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* A client's socket. Skips the test if its other end cannot vanish */
static int waiting_client(int listener, const char *ip)
{
	int fd = bound(ip, 0);
	struct sockaddr_in to = at("127.0.0.1", port_of(listener));

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	if (!half_open_vanish(server)) {
		(void)close(fd);
		(void)close(listener);
		print_message("SKIP: TCP_REPAIR needs CAP_NET_ADMIN\n");
		skip();
	}
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static int read_of(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) < 0 ? -errno : 0;
}

/* AP-1 takes the place of the old listener, and asks AP-2 for a user who comes by @c */
static in_port_t begin(int listener, struct speaker *s, struct client *c)
{
	static char address[32];
	in_port_t port = port_of(listener);

	(void)close(listener);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	users_bed.listen = address;
	users_bed_start(0, false);
	speak(s);
	client_open(c, USER, 0, "line");
	client_say(c, "x\n");
	wait_until(s->claim);
	return port;
}

static int set_up(void **state)
{
	(void)state;
	users_bed_prepare(2);
	return 0;
}

/* ---- tests ---- */

/* A client that waits is reset at once; one of another user is not, whoever says what */
static void test_takes(void **state)
{
	struct speaker s;
	struct client c;

	(void)state;
	int listener = old_listener();
	int waits = waiting_client(listener, USER);
	int others = waiting_client(listener, OTHER);
	in_port_t port = begin(listener, &s, &c);
	in_port_t other_port = port_of(others);

	/* of a user that is not claimed, of another claim, of no listener, of an address that is none here */
	struct wire_message lies[] = {
		connection(OTHER, s.claim, port, other_port),
		connection(USER, s.claim + 1, port, port_of(waits)),
		connection(USER, s.claim, access_point_port(users_bed.ap[0]), port_of(waits)),
		connection(USER, s.claim, port, port_of(waits)),
		/* the ports of another user's connection: the user's own address has none such */
		connection(USER, s.claim, port, other_port),
	};
	lies[3].user_connection.address[15] = 2;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		send_to(&s, &lies[i]);
	struct wire_message m = connection(USER, s.claim, port, port_of(waits));
	assert_int_equal(read_of(waits), -EAGAIN);
	send_to(&s, &m);
	wait_until(read_of(waits) == -ECONNRESET);
	say_end(&s);
	expect(&c, "1 0 2\n"); /* with all of that, the user is served */
	assert_int_equal(read_of(others), -EAGAIN);
	peer_close(s.peer);
	client_close(&c);
	(void)close(waits);
	(void)close(others);
}

/* R9: however many are said to be there, the newest are ended */
static void test_flood(void **state)
{
	struct speaker s;
	struct client c;

	(void)state;
	int listener = old_listener();
	int waits = waiting_client(listener, USER);
	in_port_t port = begin(listener, &s, &c);
	for (in_port_t i = 0; i < MANY; i++) {
		struct wire_message m = connection(USER, s.claim, port, (in_port_t)(1 + i));

		send_to(&s, &m);
	}
	struct wire_message m = connection(USER, s.claim, port, port_of(waits));
	send_to(&s, &m);
	wait_until(read_of(waits) == -ECONNRESET);
	say_end(&s);
	expect(&c, "1 0 2\n");
	peer_close(s.peer);
	client_close(&c);
	(void)close(waits);
}

/* Who goes on is told of all connections, and again until it has all */
static void test_gives(void **state)
{
	struct speaker s;
	struct client c, d;

	(void)state;
	users_bed_start(0, false);
	speak(&s);
	client_open(&c, USER, 0, "line");
	client_say(&c, "x\n");
	wait_until(s.claim);
	say_end(&s);
	expect(&c, "1 0 2\n");
	client_open(&d, USER, 0, "http");
	for (int round = 1; round <= 2; round++) {
		s.count = 0;
		claim_user(&s, WIRE_USER_CLAIM);
		wait_until(s.ended == round);
		assert_int_equal(s.count, 2);
		assert_string_equal(s.told[0].user, "user-" USER);
		assert_int_equal(s.told[0].claim, 7);
		assert_memory_equal(s.told[0].address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1",
				    WIRE_ADDRESS_SIZE);
		assert_int_equal(s.told[0].service_port,
				 access_point_service_port(users_bed.ap[0], "line"));
		assert_int_equal(s.told[1].service_port,
				 access_point_service_port(users_bed.ap[0], "http"));
	}
	claim_user(&s, WIRE_USER_TAKEN);
	s.count = 0;
	claim_user(&s, WIRE_USER_CLAIM);
	wait_until(s.ended == 3);
	assert_int_equal(s.count, 0);
	peer_close(s.peer);
	client_close(&c);
	client_close(&d);
}

/* One that does not know USER CONNECTION gets the user without */
static void test_gives_to_an_older_one(void **state)
{
	struct speaker s;
	struct client c;

	(void)state;
	users_bed_start(0, false);
	speaks_version = 2;
	speak(&s);
	speaks_version = 0;
	client_open(&c, USER, 0, "line");
	client_say(&c, "x\n");
	wait_until(s.claim);
	say_end(&s);
	expect(&c, "1 0 2\n");
	claim_user(&s, WIRE_USER_CLAIM);
	wait_until(s.ended);
	assert_int_equal(s.contexts, 1);
	assert_int_equal(s.count, 0);
	peer_close(s.peer);
	client_close(&c);
}

/* A socket that takes no SYN: it listens, and nothing accepts */
static int deaf_client(int *fills)
{
	int fd = bound(USER, 0);
	struct sockaddr_in to = at(USER, port_of(fd));

	assert_int_equal(listen(fd, 0), 0);
	*fills = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*fills, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* R8: a connection that could not be ended here goes on with its user */
static void test_goes_on(void **state)
{
	struct speaker s;
	struct client c;
	int fills;

	(void)state;
	int listener = old_listener();
	int waits = waiting_client(listener, USER);
	int deaf = deaf_client(&fills);
	in_port_t port = begin(listener, &s, &c);
	in_port_t client_port = port_of(waits);
	struct wire_message m[] = {
		connection(USER, s.claim, port, client_port),
		connection(USER, s.claim, port, port_of(deaf)),
	};
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		send_to(&s, &m[i]);
	wait_until(read_of(waits) == -ECONNRESET);
	say_end(&s);
	expect(&c, "1 0 2\n");
	claim_user(&s, WIRE_USER_CLAIM);
	wait_until(s.ended);
	bool told = false;
	for (int i = 0; i < s.count; i++)
		told |= s.told[i].user_port == port_of(deaf);
	assert_true(told);
	peer_close(s.peer);
	client_close(&c);
	(void)close(waits);
	(void)close(deaf);
	(void)close(fills);
}

struct view {
	size_t connections;
	size_t unanswered;
};

static void on_view(void *ctx, const struct users_view *view)
{
	struct view *v = ctx;

	v->connections += view->connections;
	v->unanswered += view->unanswered;
}

static struct view look(void)
{
	struct view v = { 0 };

	access_point_users(users_bed.ap[0], on_view, &v);
	return v;
}

/* Bytes of a socket that are not acknowledged */
static int unacknowledged(int fd)
{
	int n = -1;

	assert_int_equal(ioctl(fd, SIOCOUTQ, &n), 0);
	return n;
}

/* Lets a socket hear nothing, or everything again. Return: whether that is possible */
static bool deafen(int fd, bool deaf)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = { .len = 1, .filter = &nothing };

	return deaf ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0
		    : setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int)) == 0;
}

/* Out of reach for so long that its connection ended, a client that waits is reset when its user is back */
static void test_out_of_reach(void **state)
{
	struct client c;

	(void)state;
	users_bed.limits.dead_ms = 200;
	users_bed_start(0, true);
	int waits = bound(USER, 0);
	struct sockaddr_in to = at("127.0.0.1", access_point_service_port(users_bed.ap[0], "line"));
	assert_int_equal(connect(waits, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(waits, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(send(waits, "x\n", 2, 0), 2);
	wait_until(recv(waits, &(char[16]){ 0 }, 16, 0) > 0);
	fake_edge_pause(users_bed.edge[0], true);
	assert_int_equal(send(waits, "x\n", 2, 0), 2);
	wait_until(look().unanswered == 1 && unacknowledged(waits) == 0);
	bool can = deafen(waits, true);
	fake_edge_pause(users_bed.edge[0], false);
	if (!can) {
		(void)close(waits);
		print_message("SKIP: a filter on a socket needs CAP_NET_ADMIN\n");
		skip();
	}
	wait_until(look().connections == 0);
	assert_true(deafen(waits, false));
	assert_int_equal(read_of(waits), -EAGAIN);
	client_open(&c, USER, 0, "http");
	wait_until(read_of(waits) == -ECONNRESET);
	client_close(&c);
	(void)close(waits);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, users_bed_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_takes),   TEST(test_flood),
		TEST(test_gives),   TEST(test_gives_to_an_older_one),
		TEST(test_goes_on), TEST(test_out_of_reach),
	};

	return cmocka_run_group_tests_name("ap/user_half_open", tests, users_bed_certificates,
					   users_bed_remove_certificates);
}
