/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program reads its configuration again at SIGHUP, and systemd hears when that is over
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
#include "report/reloader.h"
#include "net/supervisor.h"

struct world {
	uv_loop_t loop;
	uv_poll_t poll;
	int fd;
	struct supervisor *s;
	char heard[512]; /* all messages, "|" behind each */
	const char *wanted;
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

/** world_open() - A systemd that listens at an abstract name, and allows silence of @watchdog_us ("0": any) */
static void world_open(struct world *w, const char *watchdog_us)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char name[64];
	char pid[16];
	struct err err = { 0 };

	memset(w, 0, sizeof(*w));
	(void)snprintf(name, sizeof(name), "@baton-test-reloader-%d", (int)getpid());
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

/* struct reading - A configuration that takes its time; @value is what was read last, @fails of the next */
struct reading {
	uv_sem_t begun;
	uv_sem_t may_end;
	bool fails;
	int reads;
	int value;
	int taken;
	char reason[64];
	struct reloader *reloader;
	bool ends; /* the program stops for what it reads */
};

static int dropped;

static void drop(void *read)
{
	dropped++;
	free(read);
}

static int on_reload_read(void *ctx, void **ret, struct err *err)
{
	struct reading *g = ctx;

	uv_sem_post(&g->begun);
	uv_sem_wait(&g->may_end);
	if (g->fails)
		return err_set(err, -EINVAL, "x.conf:7: no");
	int *value = malloc(sizeof(*value));
	assert_non_null(value);
	*value = ++g->reads;
	*ret = value;
	return 0;
}

static void on_reload_take(void *ctx, void *read)
{
	struct reading *g = ctx;

	g->value = *(int *)read;
	g->taken++;
	free(read);
	if (g->ends)
		reloader_close(g->reloader, drop);
}

static void on_reload_kept(void *ctx, const char *reason)
{
	struct reading *g = ctx;

	(void)snprintf(g->reason, sizeof(g->reason), "%s", reason);
}

static const struct reloader_ops reload_ops = { on_reload_read, on_reload_take, on_reload_kept };

static void reading_open(struct world *w, struct reading *g)
{
	struct err err = { 0 };

	memset(g, 0, sizeof(*g));
	dropped = 0;
	assert_int_equal(uv_sem_init(&g->begun, 0), 0);
	assert_int_equal(uv_sem_init(&g->may_end, 0), 0);
	world_open(w, "0");
	supervisor_ready(w->s);
	assert_int_equal(reloader_new(&g->reloader, &w->loop, w->s, &reload_ops, g, &err), 0);
}

static void reading_close(struct world *w, struct reading *g)
{
	world_close(w);
	uv_sem_destroy(&g->begun);
	uv_sem_destroy(&g->may_end);
}

/* systemd is told that it is over when the thread has read, and the program has taken what it read */
static void test_reload(void **state)
{
	struct reading g;
	struct world w;

	(void)state;
	reading_open(&w, &g);
	assert_int_equal(raise(SIGHUP), 0);
	wait_for(&w, "RELOADING=1+time|");
	uv_sem_wait(&g.begun);
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	hear(&w);
	assert_string_equal(w.heard, "READY=1|RELOADING=1+time|");
	/* another signal meanwhile: what is being read may be out of date already */
	assert_int_equal(raise(SIGHUP), 0);
	wait_for(&w, "RELOADING=1+time|RELOADING=1+time|");
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	uv_sem_post(&g.may_end);
	uv_sem_post(&g.may_end);
	wait_for(&w, "RELOADING=1+time|READY=1|");
	assert_int_equal(g.taken, 2);
	assert_int_equal(g.value, 2);
	assert_string_equal(w.heard, "READY=1|RELOADING=1+time|RELOADING=1+time|READY=1|");
	reloader_close(g.reloader, drop);
	reading_close(&w, &g);
	assert_int_equal(dropped, 0);
}

static void test_reload_fails(void **state)
{
	struct reading g;
	struct world w;

	(void)state;
	reading_open(&w, &g);
	g.fails = true;
	uv_sem_post(&g.may_end);
	assert_int_equal(raise(SIGHUP), 0);
	wait_for(&w, "RELOADING=1+time|READY=1|");
	assert_int_equal(g.taken, 0);
	assert_string_equal(g.reason, "x.conf:7: no");
	/* the next one is good */
	g.fails = false;
	uv_sem_post(&g.may_end);
	assert_int_equal(raise(SIGHUP), 0);
	wait_for(&w, "READY=1|RELOADING=1+time|READY=1|RELOADING=1+time|READY=1|");
	assert_int_equal(g.taken, 1);
	reloader_close(g.reloader, drop);
	reading_close(&w, &g);
}

/* A program that stops while a thread reads leaves nothing, nor one that stops for what was read */
static void test_reload_and_stop(void **state)
{
	struct reading g;
	struct world w;

	(void)state;
	reading_open(&w, &g);
	assert_int_equal(raise(SIGHUP), 0);
	wait_for(&w, "RELOADING=1+time|");
	uv_sem_wait(&g.begun);
	reloader_close(g.reloader, drop);
	uv_sem_post(&g.may_end);
	reading_close(&w, &g);
	assert_int_equal(g.taken, 0);
	assert_int_equal(dropped, 1);

	reading_open(&w, &g);
	g.ends = true;
	uv_sem_post(&g.may_end);
	assert_int_equal(raise(SIGHUP), 0);
	wait_for(&w, "RELOADING=1+time|");
	reading_close(&w, &g);
	assert_int_equal(g.taken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_reload_fails),
		cmocka_unit_test(test_reload_and_stop),
	};

	return cmocka_run_group_tests_name("report/reloader", tests, NULL, NULL);
}
