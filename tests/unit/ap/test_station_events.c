/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Station events against a hostapd of ours, which speaks its protocol over a real datagram socket. The
 * real one is in tests/e2e/test_stations.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "ap/stations/events.h"
#include "base/auto.h"
#include "base/err.h"
#include "fake_hostapd.h"

#define LIMIT_MS 20000 /* a test that has not seen its event by then has failed */
#define SOON_MS  20    /* waits of the code under test; only their order matters */

static const uint8_t A[STATION_MAC_SIZE] = { 2, 0, 0, 0, 0, 0xa };
static const uint8_t B[STATION_MAC_SIZE] = { 2, 0, 0, 0, 0, 0xb };

/* struct seen - What was told */
struct seen {
	int up, down, connected, listed, disconnected;
	uint8_t last[STATION_MAC_SIZE];
	char reason[256];
	bool close_at_once;
	struct station_events *se;
};

static uv_loop_t loop;
static bool late;
static char dir[] = "/tmp/baton-stations-XXXXXX";
static char path[64];
static struct fake_hostapd hostapd;
static struct seen seen;

static void say(const char *text)
{
	fake_hostapd_say(&hostapd, text);
}

static void hostapd_start(void)
{
	fake_hostapd_start(&hostapd);
}

static void hostapd_stop(void)
{
	fake_hostapd_stop(&hostapd);
}

/* --- what is told ------------------------------------------------------------------------------- */

static void on_up(void *ctx)
{
	((struct seen *)ctx)->up++;
}

static void on_down(void *ctx, const char *reason)
{
	struct seen *s = ctx;

	s->down++;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

static void on_connected(void *ctx, const uint8_t mac[STATION_MAC_SIZE], bool now)
{
	struct seen *s = ctx;

	s->connected++;
	s->listed += !now;
	memcpy(s->last, mac, sizeof(s->last));
	if (s->close_at_once)
		station_events_close(TAKE_PTR(s->se));
}

static void on_disconnected(void *ctx, const uint8_t mac[STATION_MAC_SIZE])
{
	struct seen *s = ctx;

	s->disconnected++;
	memcpy(s->last, mac, sizeof(s->last));
}

static const struct station_events_ops ops = {
	.up = on_up,
	.down = on_down,
	.connected = on_connected,
	.disconnected = on_disconnected,
};

static void on_limit(uv_timer_t *t)
{
	(void)t;
	late = true;
}

/* Runs the loop until @condition; fails the test if that takes too long */
#define RUN_UNTIL(condition)                                                                       \
	do {                                                                                       \
		while (!(condition) && !late)                                                      \
			(void)uv_run(&loop, UV_RUN_ONCE);                                          \
		assert_true(condition);                                                            \
	} while (0)

static void start(void)
{
	struct err err = { 0 };
	struct station_events_setup setup = { .loop = &loop,
					      .path = path,
					      .ops = &ops,
					      .ctx = &seen,
					      .retry_ms = SOON_MS,
					      .ping_ms = SOON_MS };

	assert_int_equal(station_events_new(&seen.se, &setup, &err), 0);
}

static uv_timer_t limit;

static int setup(void **state)
{
	(void)state;
	memset(&hostapd, 0, sizeof(hostapd));
	memset(&seen, 0, sizeof(seen));
	hostapd.loop = &loop;
	memcpy(hostapd.path, path, sizeof(path));
	late = false;
	(void)uv_loop_init(&loop);
	(void)uv_timer_init(&loop, &limit);
	(void)uv_timer_start(&limit, on_limit, LIMIT_MS, 0);
	return 0;
}

/* Every handle must go; the loop says whether any is left */
static int teardown(void **state)
{
	(void)state;
	station_events_close(TAKE_PTR(seen.se));
	hostapd_stop();
	uv_close((uv_handle_t *)&limit, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/users", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

/* --- tests --------------------------------------------------------------------------------------- */

static void test_events(void **state)
{
	(void)state;
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(seen.connected, 0);
	say("<3>CTRL-EVENT-EAP-STARTED 02:00:00:00:00:0a");
	say("<3>AP-STA-CONNECTED 02:00:00:00:00:0a");
	RUN_UNTIL(seen.connected == 1);
	assert_memory_equal(seen.last, A, sizeof(A));
	say("<3>AP-STA-CONNECTED 02:00:00:00:00:0b auth_alg=open");
	RUN_UNTIL(seen.connected == 2);
	assert_memory_equal(seen.last, B, sizeof(B));
	say("<3>AP-STA-DISCONNECTED 02:00:00:00:00:0a");
	RUN_UNTIL(seen.disconnected == 1);
	assert_memory_equal(seen.last, A, sizeof(A));
	/* of one that is not there, and of one that is: it may have been away in between */
	say("<3>AP-STA-DISCONNECTED 02:00:00:00:00:0a");
	say("<3>AP-STA-CONNECTED 02:00:00:00:00:0b");
	RUN_UNTIL(seen.connected == 3);
	assert_int_equal(seen.listed, 0);
	assert_int_equal(seen.disconnected, 1);
	assert_int_equal(seen.down, 0);
}

/* What is there already when we attach */
static void test_listed(void **state)
{
	(void)state;
	hostapd.stations = 3;
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(seen.connected, 3);
	assert_int_equal(seen.listed, 3);
	say("<3>AP-STA-CONNECTED 02:00:00:00:00:01"); /* one of them has just come */
	RUN_UNTIL(seen.connected == 4);
	assert_int_equal(seen.listed, 3);
}

static void test_listed_unauthorized(void **state)
{
	(void)state;
	hostapd.stations = 3;
	hostapd.flags = "[AUTH][ASSOC]";
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(seen.connected, 0);
}

/* A list that never ends, and one that is longer than the table */
static void test_bounded(void **state)
{
	(void)state;
	hostapd.stations = STATION_EVENTS_MAX + 100;
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(seen.connected, STATION_EVENTS_MAX);
	say("<3>AP-STA-CONNECTED 02:ff:00:00:00:0a");
	say("<3>AP-STA-DISCONNECTED 02:00:00:00:00:0a");
	say("<3>AP-STA-CONNECTED 02:00:00:00:00:0a");
	RUN_UNTIL(seen.disconnected == 1 && seen.connected == STATION_EVENTS_MAX + 1);
	assert_memory_equal(seen.last, A, sizeof(A));
}

static void test_endless(void **state)
{
	(void)state;
	hostapd.stations = 1;
	hostapd.endless = true;
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(seen.connected, 1);
}

/* It is there later than we, says nothing, ends, comes back with others: nothing is lost */
static void test_restart(void **state)
{
	(void)state;
	start();
	RUN_UNTIL(seen.down == 1);
	assert_non_null(strstr(seen.reason, path));
	hostapd.stations = 10;
	hostapd_start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(seen.connected, 10);
	hostapd_stop(); /* without a word: a ping finds out */
	RUN_UNTIL(seen.down == 2);
	assert_int_equal(seen.disconnected, 0);
	hostapd.stations = 9;
	hostapd_start();
	RUN_UNTIL(seen.up == 2);
	assert_int_equal(seen.connected, 10);
	assert_int_equal(seen.disconnected, 1);
	assert_memory_equal(seen.last, A, sizeof(A));
	say("<3>CTRL-EVENT-TERMINATING ");
	RUN_UNTIL(seen.down == 3 && seen.up == 3);
	assert_int_equal(hostapd.attached, 3);
}

static void test_silent(void **state)
{
	struct err err = { 0 };
	struct station_events_setup own = { .loop = &loop,
					    .path = path,
					    .ops = &ops,
					    .ctx = &seen,
					    .retry_ms = SOON_MS,
					    .ping_ms = SOON_MS,
					    .reply_ms = SOON_MS };

	(void)state;
	hostapd_start();
	hostapd.silent = true;
	assert_int_equal(station_events_new(&seen.se, &own, &err), 0);
	RUN_UNTIL(seen.down == 1);
	assert_string_equal(seen.reason, "hostapd does not answer");
	assert_int_equal(station_events_forget(seen.se, A, &err), -ENOTCONN);
}

static void test_refused(void **state)
{
	(void)state;
	hostapd_start();
	hostapd.refuse = true;
	start();
	RUN_UNTIL(seen.down == 1 && hostapd.attached > 2);
	assert_string_equal(seen.reason, "hostapd refuses to be attached to");
	assert_int_equal(seen.down, 1);
}

static void test_ping(void **state)
{
	(void)state;
	hostapd_start();
	start();
	RUN_UNTIL(hostapd.pings == 3);
	assert_int_equal(seen.up, 1);
	assert_int_equal(seen.down, 0);
}

static void test_forget(void **state)
{
	struct err err = { 0 };

	(void)state;
	hostapd.stations = 10;
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(station_events_forget(seen.se, A, &err), 0);
	RUN_UNTIL(seen.disconnected == 1);
	assert_int_equal(hostapd.forgotten, 1);
	assert_memory_equal(seen.last, A, sizeof(A));
}

/* More commands than are taken at once are an error, not a queue without end */
static void test_forget_limit(void **state)
{
	struct err err = { 0 };
	int r = 0, taken;

	(void)state;
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	for (taken = 0; taken < 1000 && r == 0; taken++)
		r = station_events_forget(seen.se, A, &err);
	assert_int_equal(r, -EAGAIN);
	RUN_UNTIL(hostapd.forgotten >= taken - 1);
	assert_int_equal(station_events_forget(seen.se, A, &err), 0);
	assert_int_equal(seen.down, 0);
}

static void test_close_in_callback(void **state)
{
	(void)state;
	hostapd.stations = 3;
	seen.close_at_once = true;
	hostapd_start();
	start();
	RUN_UNTIL(seen.connected == 1);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(seen.up, 0);
}

/* The kernel keeps off all but hostapd itself */
static void test_others(void **state)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char lie[] = "<3>AP-STA-CONNECTED 02:00:00:00:00:0a";

	(void)state;
	hostapd_start();
	start();
	RUN_UNTIL(seen.up == 1);
	assert_int_equal(sendto(fd, lie, strlen(lie), 0, (struct sockaddr *)&hostapd.client,
				hostapd.client_len),
			 -1);
	assert_int_equal(errno, EPERM);
	(void)close(fd);
}

static void test_path(void **state)
{
	struct err err = { 0 };
	struct station_events_setup own = { .loop = &loop, .ops = &ops, .ctx = &seen };
	char longer[200];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	own.path = longer;
	assert_int_equal(station_events_new(&seen.se, &own, &err), -EINVAL);
	assert_non_null(strstr(err.text, "107"));
	own.path = "";
	assert_int_equal(station_events_new(&seen.se, &own, &err), -EINVAL);
}

/* --- text ---------------------------------------------------------------------------------------- */

static void test_text_event(void **state)
{
	static const struct {
		const char *text;
		enum station_text_kind kind;
	} table[] = {
		{ "<3>AP-STA-CONNECTED 02:00:00:00:00:0a", STATION_TEXT_CONNECTED },
		{ "<3>AP-STA-CONNECTED 02:00:00:00:00:0A keyid=x", STATION_TEXT_CONNECTED },
		{ "<2>AP-STA-DISCONNECTED 02:00:00:00:00:0a", STATION_TEXT_DISCONNECTED },
		{ "<3>CTRL-EVENT-TERMINATING ", STATION_TEXT_TERMINATING },
		{ "<3>CTRL-EVENT-EAP-SUCCESS 02:00:00:00:00:0a", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED ", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED 02:00:00:00:00:0", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED 02:00:00:00:00:0a0", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED 02:00:00:00:00-0a", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED 02:00:00:00:00:0g", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED 03:00:00:00:00:0a", STATION_TEXT_OTHER },
		{ "<3>AP-STA-CONNECTED ff:ff:ff:ff:ff:ff", STATION_TEXT_OTHER },
		{ "<x>AP-STA-CONNECTED 02:00:00:00:00:0a", STATION_TEXT_OTHER },
		{ "<3", STATION_TEXT_OTHER },
		{ "<", STATION_TEXT_OTHER },
		{ "", STATION_TEXT_ANSWER },
		{ "PONG\n", STATION_TEXT_ANSWER },
		{ "AP-STA-CONNECTED 02:00:00:00:00:0a", STATION_TEXT_ANSWER },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint8_t mac[STATION_MAC_SIZE] = { 0 };

		print_message("%s\n", table[i].text);
		assert_int_equal(station_text_event(table[i].text, strlen(table[i].text), mac),
				 table[i].kind);
		if (table[i].kind == STATION_TEXT_CONNECTED)
			assert_memory_equal(mac, A, sizeof(A));
	}
}

static void test_text_entry(void **state)
{
	static const struct {
		const char *text;
		bool station, authorized;
	} table[] = {
		{ "02:00:00:00:00:0a\nflags=[AUTHORIZED]\naid=0\n", true, true },
		{ "02:00:00:00:00:0a\nflags=[AUTH][ASSOC][AUTHORIZED]", true, true },
		{ "02:00:00:00:00:0a\nflags=[AUTH]\nx=[AUTHORIZED]\n", true, false },
		{ "02:00:00:00:00:0a\nflags=\n", true, false },
		{ "02:00:00:00:00:0a\naid=0\n", false, false },
		{ "02:00:00:00:00:0a", false, false },
		{ "FAIL\n", false, false },
		{ "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint8_t mac[STATION_MAC_SIZE];
		bool authorized = false;

		print_message("%s\n", table[i].text);
		assert_int_equal(
			station_text_entry(table[i].text, strlen(table[i].text), mac, &authorized),
			table[i].station);
		assert_int_equal(authorized, table[i].authorized);
	}
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(test_events),
		ONE(test_listed),
		ONE(test_listed_unauthorized),
		ONE(test_bounded),
		ONE(test_endless),
		ONE(test_restart),
		ONE(test_silent),
		ONE(test_refused),
		ONE(test_ping),
		ONE(test_forget),
		ONE(test_forget_limit),
		ONE(test_close_in_callback),
		ONE(test_others),
		ONE(test_path),
		cmocka_unit_test(test_text_event),
		cmocka_unit_test(test_text_entry),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
