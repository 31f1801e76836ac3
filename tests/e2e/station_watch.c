/* SPDX-License-Identifier: Apache-2.0 */
/*
 * station-watch - print what station events tell, for tests with a real hostapd
 *
 *     station-watch SOCKET
 *
 * One line each: "up", "down REASON", "connected MAC", "listed MAC", "disconnected MAC". A line "MAC" on standard
 * input has hostapd forget that station; the end of standard input ends the program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ap/stations/events.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"

/* struct watch - The program */
struct watch {
	struct station_events *se;
	uv_poll_t input;
};

static void on_up(void *ctx)
{
	(void)ctx;
	puts("up");
}

static void on_down(void *ctx, const char *reason)
{
	(void)ctx;
	printf("down %s\n", reason);
}

static void say(const char *what, const uint8_t mac[STATION_MAC_SIZE])
{
	char text[STATION_MAC_TEXT];

	station_text_mac(text, mac);
	printf("%s %s\n", what, text);
}

static void on_connected(void *ctx, const uint8_t mac[STATION_MAC_SIZE], bool now)
{
	(void)ctx;
	say(now ? "connected" : "listed", mac);
}

static void on_disconnected(void *ctx, const uint8_t mac[STATION_MAC_SIZE])
{
	(void)ctx;
	say("disconnected", mac);
}

static const struct station_events_ops ops = {
	.up = on_up,
	.down = on_down,
	.connected = on_connected,
	.disconnected = on_disconnected,
};

static void forget(struct watch *w, const char *line)
{
	unsigned int b[STATION_MAC_SIZE];
	uint8_t mac[STATION_MAC_SIZE];
	struct err err = { 0 };

	if (sscanf(line, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) !=
	    STATION_MAC_SIZE) {
		log_error("'%s' is no address of a station", line);
		return;
	}
	for (size_t i = 0; i < STATION_MAC_SIZE; i++)
		mac[i] = (uint8_t)b[i];
	if (station_events_forget(w->se, mac, &err) < 0)
		log_error("%s", err.text);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	struct watch *w = container_of(poll, struct watch, input);
	char line[128];
	ssize_t n = status < 0 ? 0 : read(STDIN_FILENO, line, sizeof(line) - 1);

	(void)events;
	if (n > 0) {
		line[n] = 0;
		forget(w, line);
		return;
	}
	uv_close((uv_handle_t *)poll, NULL);
	station_events_close(TAKE_PTR(w->se));
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	struct watch w = { 0 };
	uv_loop_t loop;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: station-watch SOCKET\n");
		return 2;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (uv_loop_init(&loop) < 0 || uv_poll_init(&loop, &w.input, STDIN_FILENO) < 0 ||
	    uv_poll_start(&w.input, UV_READABLE, on_input) < 0) {
		log_error("no event loop");
		return 1;
	}
	struct station_events_setup setup = {
		.loop = &loop, .path = argv[1], .ops = &ops, .ctx = &w
	};
	if (station_events_new(&w.se, &setup, &err) < 0) {
		log_error("%s", err.text);
		return 1;
	}
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop) < 0;
}
