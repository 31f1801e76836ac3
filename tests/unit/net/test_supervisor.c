/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What systemd hears of a program: when it serves, reads its files again, stops, and that it is alive
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "net/supervisor.h"

struct world {
	uv_loop_t loop;
	uv_poll_t poll;
	int fd;
	struct supervisor *s;
	char heard[512]; /* all messages, "|" behind each */
	const char *wanted;
	bool handled; /* another handler of SIGHUP has run */
};

static void hear(struct world *w)
{
	char text[256];
	ssize_t n;

	while ((n = recv(w->fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
		text[n] = '\0';
		/* the time is another one each time */
		char *time = strstr(text, "\nMONOTONIC_USEC=");
		if (time)
			*time = '\0';
		(void)snprintf(w->heard + strlen(w->heard), sizeof(w->heard) - strlen(w->heard),
			       "%s%s|", text, time && strlen(time + 1) > 15 ? "+time" : "");
	}
}

static void on_message(uv_poll_t *poll, int status, int events)
{
	struct world *w = poll->data;

	(void)status;
	(void)events;
	hear(w);
	if (strstr(w->heard, w->wanted))
		uv_stop(poll->loop);
}

static void wait_for(struct world *w, const char *wanted)
{
	w->wanted = wanted;
	hear(w);
	if (!strstr(w->heard, wanted))
		(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_non_null(strstr(w->heard, wanted));
}

/** world_open() - A systemd that listens at an abstract name, and allows silence of @watchdog_us */
static void world_open(struct world *w, const char *watchdog_us)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char name[64];
	char pid[16];
	struct err err = { 0 };

	memset(w, 0, sizeof(*w));
	(void)snprintf(name, sizeof(name), "@baton-test-supervisor-%d", (int)getpid());
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
	w->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->fd, (struct sockaddr *)&at,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", watchdog_us, 1), 0);
	assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
	(void)uv_loop_init(&w->loop);
	(void)uv_poll_init(&w->loop, &w->poll, w->fd);
	w->poll.data = w;
	(void)uv_poll_start(&w->poll, UV_READABLE, on_message);
	assert_int_equal(supervisor_new(&w->s, &w->loop, &err), 0);
}

static void world_close(struct world *w)
{
	supervisor_close(w->s);
	uv_close((uv_handle_t *)&w->poll, NULL);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	close(w->fd);
}

static void on_hangup(uv_signal_t *handle, int number)
{
	struct world *w = handle->data;

	(void)number;
	hear(w);
	/* whoever is called first: it is not over before all have been */
	assert_null(strstr(w->heard, "RELOADING=1+time|READY=1|"));
	w->handled = true;
}

static void test_states(void **state)
{
	struct world w;
	uv_signal_t other;

	(void)state;
	world_open(&w, "0");
	/* programs that are started later are not the main one */
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	hear(&w);
	assert_string_equal(w.heard, "");
	supervisor_ready(w.s);
	other.data = &w;
	(void)uv_signal_init(&w.loop, &other);
	assert_int_equal(uv_signal_start(&other, on_hangup, SIGHUP), 0);
	assert_int_equal(raise(SIGHUP), 0);
	wait_for(&w, "RELOADING=1+time|READY=1|");
	assert_true(w.handled);
	supervisor_stopping(w.s);
	wait_for(&w, "STOPPING=1|");
	assert_string_equal(w.heard, "READY=1|RELOADING=1+time|READY=1|STOPPING=1|");
	uv_close((uv_handle_t *)&other, NULL);
	world_close(&w);
}

static void test_alive(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "30000");
	supervisor_ready(w.s);
	wait_for(&w, "READY=1|WATCHDOG=1|WATCHDOG=1|");
	world_close(&w);
}

/* The watchdog is for the process that systemd started, not for one that inherits its environment. */
static void test_watchdog_of_another(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "30000");
	supervisor_close(w.s);
	assert_int_equal(setenv("NOTIFY_SOCKET", "@nobody", 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", "30000", 1), 0);
	assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
	assert_int_equal(supervisor_new(&w.s, &w.loop, NULL), 0);
	supervisor_ready(w.s);
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	/* the loop waits for messages alone, and for no timer */
	assert_int_equal(uv_backend_timeout(&w.loop), -1);
	world_close(&w);
}

static void test_no_supervisor(void **state)
{
	uv_loop_t loop;
	struct supervisor *s = NULL;
	struct err err = { 0 };

	(void)state;
	(void)uv_loop_init(&loop);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	assert_int_equal(supervisor_new(&s, &loop, &err), 0);
	supervisor_ready(s);
	supervisor_stopping(s);
	supervisor_close(s);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(setenv("NOTIFY_SOCKET", "run/notify", 1), 0);
	assert_int_equal(supervisor_new(&s, &loop, &err), -EINVAL);
	assert_non_null(strstr(err.text, "NOTIFY_SOCKET = \"run/notify\": want a path"));
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_alive),
		cmocka_unit_test(test_watchdog_of_another),
		cmocka_unit_test(test_no_supervisor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
