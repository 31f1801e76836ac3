/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake hostapd - speaks hostapd's protocol over a real datagram socket, as a test tells it to
 *
 * It fails the test if it is told what hostapd would not understand.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

/**
 * struct fake_hostapd - What it was asked, and how it answers
 * @loop, @path: Event loop, and where its socket is or will be
 * @stations:	How many it has: 02:00:00:00:hh:ll, from 1 on
 * @flags:	Theirs; NULL: "[AUTHORIZED]"
 * @refuse, @silent, @endless: It does not let itself be attached to; answers nothing; has a list without end
 * @attached, @pings, @forgotten: How often it was told to
 * @listed:	How often it was asked for a station of its list
 */
struct fake_hostapd {
	uv_loop_t *loop;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	size_t stations;
	const char *flags;
	bool refuse, silent, endless;
	int attached, pings, forgotten, listed;
	int fd;
	uv_poll_t poll;
	bool started;
	struct sockaddr_un client;
	socklen_t client_len;
};

/** fake_hostapd_start() - Listen at @h->path on @h->loop */
void fake_hostapd_start(struct fake_hostapd *h);

/** fake_hostapd_say() - Tell an event to whoever is attached */
void fake_hostapd_say(struct fake_hostapd *h, const char *text);

/** fake_hostapd_stop() - End without a word, if it was started; runs the loop once */
void fake_hostapd_stop(struct fake_hostapd *h);
