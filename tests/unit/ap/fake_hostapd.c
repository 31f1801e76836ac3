/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_hostapd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"

void fake_hostapd_say(struct fake_hostapd *h, const char *text)
{
	ssize_t n =
		sendto(h->fd, text, strlen(text), 0, (struct sockaddr *)&h->client, h->client_len);

	assert_int_equal(n, strlen(text));
}

/* The station behind number @n of the list */
static void say_station(struct fake_hostapd *h, size_t n)
{
	char text[128];

	h->listed++;
	if (n > h->stations) {
		fake_hostapd_say(h, h->stations ? "" : "FAIL\n");
		return;
	}
	(void)snprintf(text, sizeof(text), "02:00:00:00:%02x:%02x\nflags=%s\naid=0\n",
		       (unsigned int)(n >> 8), (unsigned int)(n & 0xff),
		       h->flags ? h->flags : "[AUTHORIZED]");
	fake_hostapd_say(h, text);
}

static void disassociate(struct fake_hostapd *h, const char *station)
{
	char text[sizeof("<3>AP-STA-DISCONNECTED ") + 256];

	h->forgotten++;
	fake_hostapd_say(h, "OK\n");
	(void)snprintf(text, sizeof(text), "<3>AP-STA-DISCONNECTED %s", station);
	fake_hostapd_say(h, text);
}

static void answer(struct fake_hostapd *h, const char *command)
{
	static const char forget[] = "DISASSOCIATE ";
	unsigned int high, low;

	if (strcmp(command, "ATTACH") == 0) {
		h->attached++;
		fake_hostapd_say(h, h->refuse ? "FAIL\n" : "OK\n");
	} else if (strcmp(command, "STA-FIRST") == 0) {
		say_station(h, 1);
	} else if (sscanf(command, "STA-NEXT 02:00:00:00:%2x:%2x", &high, &low) == 2) {
		say_station(h, h->endless ? 1 : (high << 8 | low) + 1);
	} else if (strcmp(command, "PING") == 0) {
		h->pings++;
		fake_hostapd_say(h, "PONG\n");
	} else if (strncmp(command, forget, strlen(forget)) == 0) {
		disassociate(h, command + strlen(forget));
	} else {
		fail_msg("hostapd was told '%s'", command);
	}
}

static void on_command(uv_poll_t *poll, int status, int events)
{
	struct fake_hostapd *h = container_of(poll, struct fake_hostapd, poll);
	char text[256];

	(void)events;
	assert_int_equal(status, 0);
	h->client_len = sizeof(h->client);
	ssize_t n = recvfrom(h->fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&h->client,
			     &h->client_len);
	assert_true(n > 0);
	text[n] = 0;
	if (!h->silent)
		answer(h, text);
}

void fake_hostapd_start(struct fake_hostapd *h)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	memcpy(at.sun_path, h->path, sizeof(at.sun_path));
	h->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(uv_poll_init(h->loop, &h->poll, h->fd), 0);
	assert_int_equal(uv_poll_start(&h->poll, UV_READABLE, on_command), 0);
	h->started = true;
}

void fake_hostapd_stop(struct fake_hostapd *h)
{
	if (!h->started)
		return;
	h->started = false;
	uv_close((uv_handle_t *)&h->poll, NULL);
	(void)uv_run(h->loop, UV_RUN_NOWAIT);
	(void)close(h->fd);
	(void)unlink(h->path);
}
