/* SPDX-License-Identifier: Apache-2.0 */
#include "users_bed.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "codec/codec.h"
#include "core/common/policy.h"
#include "test_pki.h"
#include "wire/message.h"

#define PORTS_FROM 10000 /* Linux gives connections ports from 32768 on */
#define PORTS_TO   30000

struct users_bed users_bed;

static struct test_pki pki;
static struct tls_context *es_tls[USERS_BED_MAX];
static const char *const ap_names[USERS_BED_MAX] = { "AP-1", "AP-2", "AP-3" };
static const char *const es_names[USERS_BED_MAX] = { "EdgeServer-1", "EdgeServer-2",
						     "EdgeServer-3" };
static const char *const services[] = { "frame", "line", "resp", "http", "udp" };

/* ---- an ordinary client ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	*buf = uv_buf_init(malloc(suggested), (unsigned int)suggested);
}

static void keep(struct client *c, ssize_t nread, const uv_buf_t *buf)
{
	if (nread > 0) {
		c->got = realloc(c->got, c->len + (size_t)nread + 1);
		assert_non_null(c->got);
		memcpy(c->got + c->len, buf->base, (size_t)nread);
		c->len += (size_t)nread;
		c->got[c->len] = '\0';
	}
	free(buf->base);
}

static void on_read(uv_stream_t *s, ssize_t nread, const uv_buf_t *buf)
{
	struct client *c = s->data;

	if (nread < 0)
		c->end = (int)nread;
	keep(c, nread, buf);
}

static void on_datagram(uv_udp_t *s, ssize_t nread, const uv_buf_t *buf,
			const struct sockaddr *from, unsigned int flags)
{
	struct client *c = s->data;

	(void)flags;
	c->datagrams += from != NULL;
	keep(c, nread, buf);
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct client *c = connect->data;

	if (status < 0) {
		c->end = status;
		return;
	}
	c->up = true;
	assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
}

/* An address of either family, which is given without brackets or with them */
static struct sockaddr_storage at(const char *ip, uint16_t port)
{
	struct sockaddr_storage a = { 0 };
	char bare[64];

	(void)snprintf(bare, sizeof(bare), "%s", ip + (*ip == '['));
	bare[strcspn(bare, "]")] = '\0';
	if (strchr(bare, ':'))
		assert_int_equal(uv_ip6_addr(bare, port, (struct sockaddr_in6 *)&a), 0);
	else
		assert_int_equal(uv_ip4_addr(bare, port, (struct sockaddr_in *)&a), 0);
	return a;
}

/* Where users of @ip find a service: of their own family, if the access points listen at all addresses */
static struct sockaddr_storage service_at(const char *ip, int index, const char *service)
{
	uint16_t port = access_point_service_port(users_bed.ap[index], service);
	bool all = strcmp(users_bed.listen_ip, "[::]") == 0;

	assert_true(port);
	return at(!all ? users_bed.listen_ip : strchr(ip, ':') ? "::1" : "127.0.0.1", port);
}

void client_open(struct client *c, const char *ip, int index, const char *service)
{
	struct sockaddr_storage from = at(ip, 0);
	struct sockaddr_storage to = service_at(ip, index, service);

	*c = (struct client){ 0 };
	if (strcmp(service, "udp") == 0) {
		assert_int_equal(uv_udp_init(&users_bed.loop, &c->udp), 0);
		c->handle.data = c;
		assert_int_equal(uv_udp_bind(&c->udp, (struct sockaddr *)&from, 0), 0);
		assert_int_equal(uv_udp_connect(&c->udp, (struct sockaddr *)&to), 0);
		assert_int_equal(uv_udp_recv_start(&c->udp, on_alloc, on_datagram), 0);
		return;
	}
	assert_int_equal(uv_tcp_init(&users_bed.loop, &c->tcp), 0);
	c->handle.data = c;
	c->connect.data = c;
	assert_int_equal(uv_tcp_bind(&c->tcp, (struct sockaddr *)&from, 0), 0);
	assert_int_equal(uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&to, on_connected),
			 0);
	wait_until(c->up || c->end);
}

void client_write(struct client *c, const void *bytes, size_t len)
{
	const char *next = bytes;

	while (len && !c->end) {
		uv_buf_t buf = uv_buf_init((char *)(uintptr_t)next, (unsigned int)len);
		int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);

		if (n == UV_EAGAIN) {
			uv_run(&users_bed.loop, UV_RUN_ONCE);
			continue;
		}
		if (n < 0)
			return; /* the other side has enough; on_read() tells */
		next += n;
		len -= (size_t)n;
	}
}

void client_say(struct client *c, const char *text)
{
	client_write(c, text, strlen(text));
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	(void)status;
	free(req);
}

void client_say_no_more(struct client *c)
{
	uv_shutdown_t *req = malloc(sizeof(*req));

	assert_non_null(req);
	assert_int_equal(uv_shutdown(req, (uv_stream_t *)&c->tcp, on_shutdown), 0);
}

void client_send(struct client *c, const char *datagram)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)datagram, (unsigned int)strlen(datagram));

	assert_int_equal(uv_udp_try_send(&c->udp, &buf, 1, NULL), (int)strlen(datagram));
}

void client_read(struct client *c, bool on)
{
	if (on)
		assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
	else
		assert_int_equal(uv_read_stop((uv_stream_t *)&c->tcp), 0);
}

void client_forget(struct client *c)
{
	c->len = 0;
	if (c->got)
		c->got[0] = '\0';
}

void client_close(struct client *c)
{
	uv_close(&c->handle, NULL);
	uv_run(&users_bed.loop, UV_RUN_NOWAIT);
	free(c->got);
	c->got = NULL;
}

/* ---- nodes ---- */

bool users_bed_can_bind(const char *ip)
{
	struct sockaddr_storage a = at(ip, 0);
	int fd = socket(a.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool can = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	if (fd >= 0)
		(void)close(fd);
	return can;
}

static void on_nobody(uv_stream_t *server, int status)
{
	(void)server;
	(void)status;
}

static bool is_free(uint16_t port)
{
	struct sockaddr_storage a = at("127.0.0.1", port);
	uv_tcp_t tcp;

	assert_int_equal(uv_tcp_init(&users_bed.loop, &tcp), 0);
	bool free = uv_tcp_bind(&tcp, (struct sockaddr *)&a, 0) == 0 &&
		    uv_listen((uv_stream_t *)&tcp, 1, on_nobody) == 0;
	uv_close((uv_handle_t *)&tcp, NULL);
	uv_run(&users_bed.loop, UV_RUN_NOWAIT);
	return free;
}

/* A port that is free now, and none of those that connections get by themselves meanwhile */
static uint16_t free_port(void)
{
	static uint16_t next;

	if (!next)
		next = (uint16_t)(PORTS_FROM + (unsigned int)getpid() % (PORTS_TO - PORTS_FROM));
	do {
		next = next >= PORTS_TO ? PORTS_FROM : (uint16_t)(next + 1);
	} while (!is_free(next));
	return next;
}

static struct policy hasty_policy(void)
{
	struct policy policy = policy_default();

	policy.retry_ms = 100;
	policy.grace_ms = 50;
	policy.backoff_ms = 100;
	policy.move_ms = users_bed.move_ms;
	return policy;
}

/* struct room - What a setup borrows */
struct room {
	struct policy policy;
	struct ap_neighbour edges[USERS_BED_MAX], others[USERS_BED_MAX];
	char address[USERS_BED_MAX][32], user_side[64];
	struct users_service service[ARRAY_SIZE(services) + 1];
};

static size_t services_of(struct room *room)
{
	size_t n = 0;

	(void)snprintf(room->user_side, sizeof(room->user_side), "%s:0", users_bed.listen_ip);
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		if (!users_bed.without || strcmp(users_bed.without, services[i]) != 0)
			room->service[n++] = (struct users_service){ room->user_side, services[i],
								     codec_find(services[i]) };
	}
	room->service[n++] =
		(struct users_service){ users_bed.listen ? users_bed.listen : room->user_side,
					"nonesuch", &codec_http };
	return n;
}

static struct access_point_setup setup_of(struct room *room, int index, bool alone)
{
	size_t count = 0;

	room->policy = hasty_policy();
	for (int i = 0; i < users_bed.count; i++) {
		room->edges[i] =
			(struct ap_neighbour){ es_names[i],
					       users_bed.edge_address[i]
						       ? users_bed.edge_address[i]
						       : fake_edge_address(users_bed.edge[i]) };
		(void)snprintf(room->address[i], sizeof(room->address[i]), "127.0.0.1:%u",
			       users_bed.ap_port[i]);
		if (i != index && !alone)
			room->others[count++] =
				(struct ap_neighbour){ ap_names[i], room->address[i] };
	}
	return (struct access_point_setup){
		.loop = &users_bed.loop,
		.tls = users_bed.ap_tls[index],
		.home = es_names[index],
		.listen = room->address[index],
		.station_listen = "127.0.0.1:0",
		.edges = { room->edges, (size_t)users_bed.count },
		.aps = { room->others, count },
		.policy = &room->policy,
		.limits = { .retry_min_ms = 10, .retry_max_ms = 50 },
		.service = room->service,
		.services = services_of(room),
		.users = users_bed.limits,
		.spool_dir = "/tmp",
		.spool_bytes = users_bed.spool_bytes,
		.state_dir = users_bed.state_dir[index][0] ? users_bed.state_dir[index] : NULL,
		.stations = users_bed.stations[index],
		.unreachable = users_bed.unreachable,
		.keep_ms = users_bed.keep_ms,
	};
}

void users_bed_start(int index, bool alone)
{
	struct room room;
	const struct access_point_setup setup = setup_of(&room, index, alone);
	struct err err = { 0 };

	if (access_point_new(&users_bed.ap[index], &setup, &err) < 0)
		fail_msg("%s", err.text);
}

int users_bed_change(int index, bool alone, struct err *err)
{
	struct room room;
	const struct access_point_setup setup = setup_of(&room, index, alone);

	return access_point_change(users_bed.ap[index], &setup, err);
}

void users_bed_start_all(void)
{
	for (int i = 0; i < users_bed.count; i++)
		users_bed_start(i, false);
}

void users_bed_prepare(int count)
{
	assert_true(count <= USERS_BED_MAX);
	assert_int_equal(uv_loop_init(&users_bed.loop), 0);
	users_bed.count = count;
	users_bed.move_ms = 60000;
	users_bed.spool_bytes = 1u << 30;
	users_bed.listen_ip = "127.0.0.1";
	for (int i = 0; i < count; i++) {
		users_bed.edge[i] = fake_edge_new(&users_bed.loop, es_tls[i]);
		users_bed.ap_port[i] = free_port();
	}
}

int users_bed_tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < users_bed.count; i++) {
		access_point_close(TAKE_PTR(users_bed.ap[i]));
		if (users_bed.edge[i])
			fake_edge_close(TAKE_PTR(users_bed.edge[i]));
	}
	uv_run(&users_bed.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&users_bed.loop), 0);
	users_bed.limits = (struct users_limits){ 0 };
	users_bed.without = NULL;
	users_bed.listen = NULL;
	memset(users_bed.edge_address, 0, sizeof(users_bed.edge_address));
	users_bed.unreachable = USERS_REFUSE;
	users_bed.keep_ms = 0;
	return 0;
}

int users_bed_certificates(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	users_bed.mud_tls = test_pki_tls(&pki, "USER", WIRE_ROLE_MUD);
	users_bed.operator_tls = test_pki_tls(&pki, "operator", WIRE_ROLE_OPERATOR);
	for (int i = 0; i < USERS_BED_MAX; i++) {
		users_bed.ap_tls[i] = test_pki_tls(&pki, ap_names[i], WIRE_ROLE_AP);
		es_tls[i] = test_pki_tls(&pki, es_names[i], WIRE_ROLE_ES);
	}
	return 0;
}

int users_bed_remove_certificates(void **state)
{
	(void)state;
	for (int i = 0; i < USERS_BED_MAX; i++) {
		tls_context_free(users_bed.ap_tls[i]);
		tls_context_free(es_tls[i]);
	}
	tls_context_free(users_bed.mud_tls);
	tls_context_free(users_bed.operator_tls);
	test_pki_remove(&pki);
	return 0;
}
