/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/stations/events.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"

#define DATAGRAM_MAX  4096 /* hostapd's own limit; a longer one is cut, its beginning is enough */
#define AT_ONCE       64   /* datagrams taken in one turn of the loop */
#define ANSWERS_AHEAD 16   /* commands whose answers have not come */

enum state {
	STATE_DOWN,      /* waits to try again */
	STATE_ATTACHING, /* ATTACH is sent */
	STATE_LISTING,   /* asks for one station after the other */
	STATE_UP,
};

/* struct attachment - A socket and its handle, whose memory goes after the loop is done with it */
struct attachment {
	uv_poll_t poll;
	int fd;
	struct station_events *owner;
};

/* struct station - One that was told connected */
struct station {
	uint8_t mac[STATION_MAC_SIZE];
	bool seen; /* in the list that is being read, or heard of since */
};

struct station_events {
	uv_timer_t timer;
	struct station_events_setup setup; /* its path is ours */
	struct attachment *at;             /* NULL while down */
	enum state state;
	bool told_down;
	bool told_full;
	bool closed;
	size_t unanswered; /* commands on their way */
	size_t listed;
	size_t count;
	struct station stations[STATION_EVENTS_MAX];
	char path[];
};

static void on_timer(uv_timer_t *timer);

/* --- the stations we know ---------------------------------------------------------------------- */

static struct station *find(struct station_events *se, const uint8_t mac[STATION_MAC_SIZE])
{
	for (size_t i = 0; i < se->count; i++) {
		if (memcmp(se->stations[i].mac, mac, STATION_MAC_SIZE) == 0)
			return &se->stations[i];
	}
	return NULL;
}

/* Return: whether there was room; a station that finds none is not told, and so not served */
static bool add(struct station_events *se, const uint8_t mac[STATION_MAC_SIZE])
{
	if (se->count == STATION_EVENTS_MAX) {
		if (!se->told_full)
			log_error("hostapd at %s has more than %d stations, the others are not "
				  "served: "
				  "let it have several interfaces",
				  se->path, STATION_EVENTS_MAX);
		se->told_full = true;
		return false;
	}
	struct station *s = &se->stations[se->count++];
	memcpy(s->mac, mac, STATION_MAC_SIZE);
	s->seen = true;
	return true;
}

static void connected(struct station_events *se, const uint8_t mac[STATION_MAC_SIZE], bool now)
{
	struct station *s = find(se, mac);

	if (s)
		s->seen = true;
	else if (!add(se, mac))
		return;
	se->setup.ops->connected(se->setup.ctx, mac, now);
}

static void disconnected(struct station_events *se, const uint8_t mac[STATION_MAC_SIZE])
{
	struct station *s = find(se, mac);
	uint8_t gone[STATION_MAC_SIZE];

	if (!s)
		return;
	memcpy(gone, s->mac, sizeof(gone)); /* @mac may lie in the table */
	*s = se->stations[--se->count];
	se->setup.ops->disconnected(se->setup.ctx, gone);
}

/* Tells what has gone while we were not attached */
static void drop_unseen(struct station_events *se)
{
	for (size_t i = se->count; i-- > 0 && !se->closed;) {
		if (!se->stations[i].seen)
			disconnected(se, se->stations[i].mac);
	}
}

/* --- attached or not --------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct attachment, poll));
}

static void detach(struct station_events *se)
{
	struct attachment *at = TAKE_PTR(se->at);

	se->state = STATE_DOWN;
	se->unanswered = 0;
	if (!at)
		return;
	at->owner = NULL;
	/* libuv has forgotten the fd when uv_close() returns */
	uv_close((uv_handle_t *)&at->poll, on_poll_closed);
	(void)close(at->fd);
}

static void retry_later(struct station_events *se, const char *reason)
{
	detach(se);
	(void)uv_timer_start(&se->timer, on_timer, se->setup.retry_ms, 0);
	if (se->told_down)
		return;
	se->told_down = true;
	se->setup.ops->down(se->setup.ctx, reason);
}

static void retry_after_error(struct station_events *se, const char *what, int code)
{
	struct err err = { 0 };

	(void)err_set(&err, code, "%s %s", what, se->path);
	retry_later(se, err.text);
}

static int send_command(struct station_events *se, const char *command)
{
	if (se->unanswered >= ANSWERS_AHEAD)
		return -EAGAIN;
	if (send(se->at->fd, command, strlen(command), MSG_NOSIGNAL) < 0)
		return -errno;
	se->unanswered++;
	(void)uv_timer_start(&se->timer, on_timer, se->setup.reply_ms, 0);
	return 0;
}

/* Sends a command of our own; if hostapd does not take it we begin anew */
static void command(struct station_events *se, const char *text)
{
	int r = send_command(se, text);

	if (r < 0)
		retry_after_error(se, "send to hostapd at", r);
}

/* --- what hostapd says -------------------------------------------------------------------------- */

static void list_next(struct station_events *se, const uint8_t mac[STATION_MAC_SIZE])
{
	char text[sizeof("STA-NEXT ") + STATION_MAC_TEXT] = "STA-NEXT ";

	station_text_mac(text + strlen(text), mac);
	command(se, text);
}

static void list_begin(struct station_events *se)
{
	se->state = STATE_LISTING;
	se->listed = 0;
	for (size_t i = 0; i < se->count; i++)
		se->stations[i].seen = false;
	command(se, "STA-FIRST");
}

static void list_end(struct station_events *se)
{
	se->state = STATE_UP;
	se->told_down = false;
	(void)uv_timer_start(&se->timer, on_timer, se->setup.ping_ms, 0);
	drop_unseen(se);
	if (!se->closed)
		se->setup.ops->up(se->setup.ctx);
}

static void list_entry_came(struct station_events *se, const char *text, size_t len)
{
	uint8_t mac[STATION_MAC_SIZE];
	bool authorized;

	if (!station_text_entry(text, len, mac, &authorized) || ++se->listed > STATION_EVENTS_MAX) {
		list_end(se);
		return;
	}
	struct station *known = find(se, mac);
	if (known && authorized)
		known->seen = true;
	else if (authorized)
		connected(se, mac, false);
	if (!se->closed)
		list_next(se, mac);
}

static bool is(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(text, word, len) == 0;
}

static void answer_came(struct station_events *se, const char *text, size_t len)
{
	if (!se->unanswered) /* nobody asked */
		return;
	se->unanswered--;
	switch (se->state) {
	case STATE_ATTACHING:
		if (is(text, len, "OK\n"))
			list_begin(se);
		else
			retry_later(se, "hostapd refuses to be attached to");
		break;
	case STATE_LISTING:
		list_entry_came(se, text, len);
		break;
	case STATE_UP: /* PONG, or OK or FAIL to DISASSOCIATE; any of them is a sign of life */
		if (!se->unanswered)
			(void)uv_timer_start(&se->timer, on_timer, se->setup.ping_ms, 0);
		break;
	case STATE_DOWN:
		break;
	}
}

static void datagram_came(struct station_events *se, const char *text, size_t len)
{
	uint8_t mac[STATION_MAC_SIZE];

	switch (station_text_event(text, len, mac)) {
	case STATION_TEXT_ANSWER:
		answer_came(se, text, len);
		break;
	case STATION_TEXT_CONNECTED:
		connected(se, mac, true);
		break;
	case STATION_TEXT_DISCONNECTED:
		disconnected(se, mac);
		break;
	case STATION_TEXT_TERMINATING:
		retry_later(se, "hostapd ends");
		break;
	case STATION_TEXT_OTHER:
		break;
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct attachment *at = container_of(poll, struct attachment, poll);
	struct station_events *se = at->owner;
	char text[DATAGRAM_MAX];

	(void)events;
	if (status < 0) {
		retry_after_error(se, "wait for hostapd at", status);
		return;
	}
	/* a callback may close us, or a datagram end this attachment */
	for (int i = 0; i < AT_ONCE && at->owner; i++) {
		ssize_t n = recv(at->fd, text, sizeof(text), 0);

		if (n >= 0)
			datagram_came(se, text, (size_t)n);
		else if (errno == EAGAIN || errno == EINTR)
			return;
		else
			retry_after_error(se, "hear hostapd at", -errno);
	}
}

/* --- attaching ---------------------------------------------------------------------------------- */

/*
 * The socket is connected, so the kernel drops datagrams of others. It is bound to its family only: the
 * kernel gives it an abstract address, to which hostapd answers, and no file can be left behind.
 */
static int open_socket(const char *path, struct err *err)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	struct sockaddr_un peer = { .sun_family = AF_UNIX };

	memcpy(peer.sun_path, path, strlen(path)); /* station_events_new() has measured it */
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "make a socket");
	if (bind(fd, (struct sockaddr *)&own, sizeof(own.sun_family)) < 0)
		return err_set(err, -errno, "bind a socket");
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0)
		return err_set(err, -errno, "connect to hostapd at %s", path);
	return TAKE_FD(fd);
}

/* Makes @fd, which it takes, the attachment */
static int take_socket(struct station_events *se, int fd, struct err *err)
{
	struct attachment *at = calloc(1, sizeof(*at));
	int r = at ? uv_poll_init(se->setup.loop, &at->poll, fd) : -ENOMEM;

	if (r < 0) {
		free(at);
		(void)close(fd);
		return err_set(err, r, "watch the socket to hostapd");
	}
	at->fd = fd;
	at->owner = se;
	se->at = at;
	r = uv_poll_start(&at->poll, UV_READABLE, on_readable);
	return r < 0 ? err_set(err, r, "watch the socket to hostapd") : 0;
}

static void attach(struct station_events *se)
{
	struct err err = { 0 };
	int fd = open_socket(se->path, &err);

	if (fd < 0 || take_socket(se, fd, &err) < 0) {
		retry_later(se, err.text);
		return;
	}
	se->state = STATE_ATTACHING;
	command(se, "ATTACH");
}

static void on_timer(uv_timer_t *timer)
{
	struct station_events *se = container_of(timer, struct station_events, timer);

	if (se->state == STATE_DOWN)
		attach(se);
	else if (se->unanswered)
		retry_later(se, "hostapd does not answer");
	else
		command(se, "PING");
}

int station_events_new(struct station_events **ret, const struct station_events_setup *setup,
		       struct err *err)
{
	size_t len = strlen(setup->path);
	struct station_events *se;
	int r;

	if (len == 0 || len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(err, -EINVAL, "hostapd's socket %s: a path has 1 to %zu bytes",
			       setup->path, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	se = calloc(1, sizeof(*se) + len + 1);
	if (!se)
		return err_set(err, -ENOMEM, "station events");
	memcpy(se->path, setup->path, len);
	se->setup = *setup;
	se->setup.path = se->path;
	if (!se->setup.retry_ms)
		se->setup.retry_ms = STATION_EVENTS_RETRY_MS;
	if (!se->setup.ping_ms)
		se->setup.ping_ms = STATION_EVENTS_PING_MS;
	if (!se->setup.reply_ms)
		se->setup.reply_ms = STATION_EVENTS_REPLY_MS;
	r = uv_timer_init(setup->loop, &se->timer);
	if (r == 0)
		r = uv_timer_start(&se->timer, on_timer, 0, 0);
	if (r < 0) {
		free(se);
		return err_set(err, r, "station events");
	}
	*ret = se;
	return 0;
}

int station_events_forget(struct station_events *se, const uint8_t mac[STATION_MAC_SIZE],
			  struct err *err)
{
	char text[sizeof("DISASSOCIATE ") + STATION_MAC_TEXT] = "DISASSOCIATE ";
	int r = -ENOTCONN;

	station_text_mac(text + strlen(text), mac);
	if (se->state == STATE_UP)
		r = send_command(se, text);
	return r < 0 ? err_set(err, r, "tell hostapd at %s: %s", se->path, text) : 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct station_events, timer));
}

void station_events_close(struct station_events *se)
{
	if (!se)
		return;
	se->closed = true;
	detach(se);
	uv_close((uv_handle_t *)&se->timer, on_timer_closed);
}
