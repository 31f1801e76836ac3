/* SPDX-License-Identifier: Apache-2.0 */
#include "net/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"

/**
 * struct supervisor - See supervisor.h
 * @fd:		Socket, -1: nobody listens
 * @to, @to_len: Address that it sends to
 * @watchdog_ms: Longest silence, 0: any
 * @handles:	How many of its handles libuv still knows
 * @held:	supervisor_hold() without supervisor_release()
 * @reloading:	systemd was told that files are read again, and not yet that this is over
 */
struct supervisor {
	uv_signal_t hangup;
	uv_timer_t read_again;
	uv_timer_t alive;
	int handles;
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;
	uint64_t watchdog_ms;
	unsigned int held;
	bool reloading;
};

static void tell(const struct supervisor *s, const char *text)
{
	if (s->fd >= 0)
		(void)sendto(s->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
			     (const struct sockaddr *)&s->to, s->to_len);
}

static void tell_if_over(struct supervisor *s)
{
	if (!s->reloading || s->held)
		return;
	s->reloading = false;
	tell(s, "READY=1");
}

static void on_read_again(uv_timer_t *timer)
{
	tell_if_over(timer->data);
}

void supervisor_hold(struct supervisor *s)
{
	s->held++;
}

void supervisor_release(struct supervisor *s)
{
	s->held--;
	/* while the timer runs, other handlers of the signal are still to come */
	if (!uv_is_active((uv_handle_t *)&s->read_again))
		tell_if_over(s);
}

static void on_hangup(uv_signal_t *handle, int number)
{
	struct supervisor *s = handle->data;
	char text[96];

	(void)number;
	/* Type=notify-reload wants to know which SIGHUP this is about. */
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, monotonic_us());
	tell(s, text);
	s->reloading = true;
	/* after the other handlers of this signal */
	(void)uv_timer_start(&s->read_again, on_read_again, 0, 0);
}

static void on_alive(uv_timer_t *timer)
{
	tell(timer->data, "WATCHDOG=1");
}

/** address_read() - From NOTIFY_SOCKET: a path, or "@" and an abstract name. Return: 0, or -EINVAL */
static int address_read(struct supervisor *s, const char *text, struct err *err)
{
	size_t len = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof(s->to.sun_path))
		return err_set(err, -EINVAL,
			       "NOTIFY_SOCKET = \"%.80s\": want a path, or \"@\" and a name, of "
			       "at most %zu bytes: systemd sets it, or unset it",
			       text, sizeof(s->to.sun_path) - 1);
	s->to.sun_family = AF_UNIX;
	memcpy(s->to.sun_path, text, len);
	if (text[0] == '@')
		s->to.sun_path[0] = '\0';
	s->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 0;
}

/** watchdog_read() - Longest silence in ms that systemd allows this process, or 0 */
static uint64_t watchdog_read(void)
{
	const char *limit = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (!limit || (pid && strtoimax(pid, NULL, 10) != getpid()))
		return 0;
	return strtoumax(limit, NULL, 10) / 1000;
}

int supervisor_new(struct supervisor **ret, struct uv_loop_s *loop, struct err *err)
{
	const char *address = getenv("NOTIFY_SOCKET");
	auto_free struct supervisor *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return err_set(err, -ENOMEM, "supervisor");
	s->fd = -1;
	if (address && *address)
		r = address_read(s, address, err);
	if (r < 0)
		return r;
	if (s->to_len) {
		s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (s->fd < 0)
			return err_set(err, -errno, "socket to the supervisor");
		s->watchdog_ms = watchdog_read();
	}
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	s->hangup.data = s;
	s->read_again.data = s;
	s->alive.data = s;
	s->handles = 3;
	(void)uv_signal_init(loop, &s->hangup);
	(void)uv_timer_init(loop, &s->read_again);
	(void)uv_timer_init(loop, &s->alive);
	/* none keeps a program alive that has nothing else to do */
	uv_unref((uv_handle_t *)&s->hangup);
	uv_unref((uv_handle_t *)&s->read_again);
	uv_unref((uv_handle_t *)&s->alive);
	*ret = TAKE_PTR(s);
	return 0;
}

void supervisor_ready(struct supervisor *s)
{
	if (s->fd < 0)
		return;
	/* the supervisor may send the signal as soon as it knows that we are ready */
	(void)uv_signal_start(&s->hangup, on_hangup, SIGHUP);
	tell(s, "READY=1");
	if (s->watchdog_ms)
		(void)uv_timer_start(&s->alive, on_alive, 0, 1 + s->watchdog_ms / 3);
}

void supervisor_stopping(struct supervisor *s)
{
	tell(s, "STOPPING=1");
}

static void on_closed(uv_handle_t *handle)
{
	struct supervisor *s = handle->data;

	if (--s->handles > 0)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

void supervisor_close(struct supervisor *s)
{
	if (!s)
		return;
	uv_close((uv_handle_t *)&s->hangup, on_closed);
	uv_close((uv_handle_t *)&s->read_again, on_closed);
	uv_close((uv_handle_t *)&s->alive, on_closed);
}
