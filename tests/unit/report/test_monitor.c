/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "report/exposition.h"
#include "report/monitor.h"
#include "wait_until.h"

#define LIMIT_MS 20000
#define BIG      3000 /* metrics: more than a socket's buffers take at once */

static uv_loop_t loop;

struct daemon_model {
	const char *wrong;
	unsigned int families;
};

static void on_metrics(void *ctx, struct exposition *x)
{
	const struct daemon_model *d = ctx;

	for (unsigned int i = 0; i < d->families; i++)
		exposition_one(x, "baton_a", "gauge", "How much.", i);
}

static const char *on_health(void *ctx)
{
	return ((const struct daemon_model *)ctx)->wrong;
}

static const struct monitor_ops ops = { .metrics = on_metrics, .health = on_health };

static struct monitor *start(struct daemon_model *d)
{
	struct monitor *m = NULL;
	struct err err = { 0 };

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(monitor_new(&m, &loop, "127.0.0.1:0", &ops, d, &err), 0);
	return m;
}

static void stop(struct monitor *m)
{
	monitor_close(m);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* One that asks: what has come, and whether that was all */
struct client {
	int fd;
	char in[1 << 20];
	size_t len;
	bool ended;
};

static struct client client[MONITOR_CONNECTIONS + 1];

static void ask(struct client *c, const struct monitor *m, const char *request)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(monitor_port(m)),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };

	*c = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	assert_true(c->fd >= 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(send(c->fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
}

/* Reads what is there. Return: whether the other side has closed */
static bool ended(struct client *c)
{
	ssize_t n;

	while (!c->ended &&
	       (n = recv(c->fd, c->in + c->len, sizeof(c->in) - 1 - c->len, 0)) != -1) {
		c->len += (size_t)n;
		c->ended = n == 0;
	}
	if (!c->ended && errno == ECONNRESET)
		c->ended = true;
	return c->ended;
}

/* While nothing else happens in the loop it must not sleep */
static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

static void wait_for(struct client *c)
{
	uv_idle_t idle;

	uv_idle_init(&loop, &idle);
	uv_idle_start(&idle, on_idle);
	wait_until_in(&loop, LIMIT_MS, ended(c));
	uv_close((uv_handle_t *)&idle, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	close(c->fd);
}

static void expect(const struct monitor *m, const char *request, const char *status,
		   const char *body)
{
	struct client *c = &client[0];

	ask(c, m, request);
	wait_for(c);
	if (strncmp(c->in, status, strlen(status)) != 0 || !strstr(c->in, body))
		fail_msg("\"%.40s\": not \"%s\" with \"%s\", but:\n%s", request, status, body,
			 c->in);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void test_answers(void **state)
{
	struct daemon_model d = { .families = 1 };
	struct monitor *m = start(&d);

	(void)state;
	expect(m, GET("/metrics"), "HTTP/1.1 200 OK\r\n", "\r\n\r\n# HELP baton_a How much.\n");
	expect(m, GET("/metrics?x=1"), "HTTP/1.1 200 OK\r\n", "version=0.0.4");
	expect(m, GET("/healthz"), "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n");
	d.wrong = "no room on the disk";
	expect(m, GET("/healthz"), "HTTP/1.1 503 ", "\r\n\r\nno room on the disk\n");
	expect(m, GET("/"), "HTTP/1.1 404 ", "there are /metrics and /healthz");
	expect(m, GET("/metricsandmore"), "HTTP/1.1 404 ", "");
	expect(m, "HEAD /metrics HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n",
	       "Content-Length: 56\r\n");
	assert_null(strstr(client[0].in, "baton_a"));
	expect(m, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
	       "HTTP/1.1 405 ", "Allow: GET, HEAD");
	/* what comes behind a request is not answered */
	expect(m, GET("/healthz") GET("/metrics"), "HTTP/1.1 503 ", "");
	assert_null(strstr(client[0].in, "baton_a"));
	stop(m);
}

static void test_nonsense(void **state)
{
	static char longer[MONITOR_REQUEST_MAX + 100];
	struct daemon_model d = { .families = 1 };
	struct monitor *m = start(&d);

	(void)state;
	expect(m, "\x16\x03\x01 TLS?\r\n\r\n", "HTTP/1.1 400 ", "no HTTP request");
	expect(m, "GET / HTTP/1.1\nHost\n\n", "HTTP/1.1 400 ", "");
	(void)snprintf(longer, sizeof(longer), "GET /%0300d HTTP/1.1\r\n\r\n", 1);
	expect(m, longer, "HTTP/1.1 400 ", "");
	/* headers without an end */
	memset(longer, 'x', sizeof(longer) - 1);
	memcpy(longer, "GET /healthz HTTP/1.1\r\nA: ", 26);
	ask(&client[0], m, longer);
	wait_for(&client[0]);
	if (client[0].len) /* the connection may be reset before it is read */
		assert_int_equal(strncmp(client[0].in, "HTTP/1.1 431 ", 13), 0);
	stop(m);
}

/* One that says nothing, or reads nothing, keeps its place for MONITOR_MS and no longer (R9) */
static void test_limits(void **state)
{
	struct daemon_model d = { .families = BIG };
	struct monitor *m = start(&d);

	(void)state;
	for (int i = 0; i < MONITOR_CONNECTIONS; i++)
		ask(&client[i], m, i % 2 ? "GET /metr" : GET("/metrics"));
	ask(&client[MONITOR_CONNECTIONS], m, GET("/healthz"));
	wait_for(&client[MONITOR_CONNECTIONS]); /* closed at once: there is no room */
	assert_int_equal(client[MONITOR_CONNECTIONS].len, 0);
	for (int i = 0; i < MONITOR_CONNECTIONS; i++)
		wait_for(&client[i]);
	assert_int_equal(client[1].len, 0);
	expect(m, GET("/healthz"), "HTTP/1.1 200 OK\r\n", "ok");
	stop(m);
}

static void test_closed_meanwhile(void **state)
{
	struct daemon_model d = { .families = BIG };
	struct monitor *m = start(&d);

	(void)state;
	ask(&client[0], m, "GET /metr");
	ask(&client[1], m, GET("/metrics"));
	(void)uv_run(&loop, UV_RUN_ONCE);
	stop(m);
	close(client[0].fd);
	close(client[1].fd);
}

static void test_addresses(void **state)
{
	struct daemon_model d = { 0 };
	struct monitor *m = start(&d), *other = NULL;
	struct err err = { 0 };
	char taken[32];

	(void)state;
	(void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", monitor_port(m));
	assert_int_equal(monitor_new(&other, &loop, taken, &ops, &d, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "monitor_listen = \"127.0.0.1:"));
	assert_int_equal(monitor_new(&other, &loop, "somewhere", &ops, &d, &err), -EINVAL);
	assert_int_equal(monitor_new(&other, &loop, NULL, &ops, &d, &err), 0);
	assert_null(other);
	monitor_close(other);
	stop(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),   cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_limits),    cmocka_unit_test(test_closed_meanwhile),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
