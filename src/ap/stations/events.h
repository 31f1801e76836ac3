/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Station events - hostapd tells which stations come and go
 *
 * hostapd is the program that makes a Linux host an IEEE 802.11 (or wired 802.1X) access point. It
 * has a control interface, a Unix datagram socket for each of its interfaces. We attach to it, ask
 * which stations are authorised already, and then hear of each that becomes so (in the paper: the
 * (re)association of a mobile user) or ceases to be.
 *
 *	down ---ATTACH--> attaching ---STA-FIRST, STA-NEXT ...--> listing ------> up: PING each @ping_ms
 *	  ^------------ no answer in time, hostapd ended, retry after a while --------'
 *
 * A hostapd that is restarted, or not there yet, is attached to when it comes. Its list is then
 * compared with ours: this finds the events that were missed, so that each station is reported right
 * in the end. We run unprivileged: hostapd's ctrl_interface_group must be a group of ours. Our own end
 * has an address without a file (an abstract one), and accepts datagrams from hostapd only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ap/stations/text.h"

struct err;
struct station_events; /* opaque */
struct uv_loop_s;

#define STATION_EVENTS_MAX      2007 /* stations of one interface, the limit of IEEE 802.11 */
#define STATION_EVENTS_RETRY_MS 1000 /* between attempts to attach */
#define STATION_EVENTS_PING_MS  5000 /* between signs of life */
#define STATION_EVENTS_REPLY_MS 2000 /* an answer that takes longer does not come */

/**
 * struct station_events_ops - Reports; each is called from the event loop
 * @up:		The list is read: from now on we know every station
 * @down:	hostapd is not heard any more, or cannot be attached to, for @reason; told once until
 *		the next @up. The stations are still taken to be where they were
 * @connected:	The station is authorised. @now: hostapd has just said so, also of a station that we
 *		know, which may have been away meanwhile. Else it was found in hostapd's list when we
 *		attached: it may have gone without a word, so nothing says that it is there
 * @disconnected: A station that was told connected is not any more
 *
 * station_events_close() may be called from any of them.
 */
struct station_events_ops {
	void (*up)(void *ctx);
	void (*down)(void *ctx, const char *reason);
	void (*connected)(void *ctx, const uint8_t mac[STATION_MAC_SIZE], bool now);
	void (*disconnected)(void *ctx, const uint8_t mac[STATION_MAC_SIZE]);
};

/**
 * struct station_events_setup - Setup of station events
 * @loop:	Event loop
 * @path:	hostapd's socket: its ctrl_interface, a slash, its interface; copied
 * @ops:	Borrowed until station_events_close()
 * @ctx:	Handed to @ops
 * @retry_ms, @ping_ms, @reply_ms: Waits; 0: the usual ones, above
 */
struct station_events_setup {
	struct uv_loop_s *loop;
	const char *path;
	const struct station_events_ops *ops;
	void *ctx;
	uint64_t retry_ms;
	uint64_t ping_ms;
	uint64_t reply_ms;
};

/**
 * station_events_new() - Begin to attach, and never give up
 * @ret:	Set on success only; the caller owns it, see station_events_close()
 * @setup:	See struct station_events_setup
 * @err:	Filled in on failure
 *
 * No callback comes before the event loop runs.
 *
 * Return: 0, -ENOMEM, or -EINVAL if @path is too long for a socket
 */
int station_events_new(struct station_events **ret, const struct station_events_setup *setup,
		       struct err *err);

/**
 * station_events_forget() - Have hostapd drop a station that has gone to another access point
 * @se:		Station events
 * @mac:	Its address
 * @err:	Filled in on failure
 *
 * As IAPP's MOVE does. Without it a station that left without a word stays authorised here, and
 * hostapd's wired driver would not report it connected when it comes back. Answered by
 * @disconnected.
 *
 * Return: 0, -ENOTCONN while not attached, -EAGAIN if hostapd does not take it now
 */
int station_events_forget(struct station_events *se, const uint8_t mac[STATION_MAC_SIZE],
			  struct err *err);

/**
 * station_events_close() - Detach and release
 * @se:		Station events, may be NULL; not to be used again. No callback comes any more; its memory
 *		goes when the event loop has closed its handles
 */
void station_events_close(struct station_events *se);
