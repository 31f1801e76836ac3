/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Users' bed - access points, each with a fake edge server, and ordinary clients, all in one event loop
 *
 * Users are addresses of 127.0.0.0/8: a client that binds to 127.0.0.11 is the user 127.0.0.11. Services are
 * named as their codecs; see fake_edge.h for what they answer. "nonesuch" is one that no edge server has.
 *
 *	users_bed_prepare()	edge servers and ports; then what is to be otherwise is set in users_bed
 *	users_bed_start()	an access point, as often as there are to be some
 *	users_bed_tear_down()	all of it
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include <uv.h>

#include "ap/access_point.h"
#include "net/tls.h"
#include "base/err.h"
#include "fake_edge.h"
#include "wait_until.h"

#define USERS_BED_MAX      3
#define USERS_BED_LIMIT_MS 20000 /* a test that has not seen its event by then has failed */

/**
 * struct users_bed - The one bed of a test program
 * @loop:	Event loop
 * @late:	What a test waits for has not come; see wait_until()
 * @count:	Access points that know one another; each has an edge server
 * @edge:	EdgeServer-1 ...; NULL: closed by the test
 * @ap:		AP-1 ...; NULL: not started, or closed by the test
 * @ap_port:	Where access points meet; known beforehand, for they name one another
 * @ap_tls:	Identities of the access points
 * @mud_tls:	Identity of a device
 * @operator_tls: Identity of an operator
 * @listen_ip:	Of the users' side, with brackets if it is one of IPv6
 * @limits:	Of ordinary users
 * @move_ms:	Of the policy. By default so long that what a test waits for comes sooner, or not at all
 * @spool_bytes: Of long requests and answers
 * @state_dir:	Of each access point; empty: none
 * @stations:	hostapd's socket of each access point; NULL: none
 * @edge_address: Where access points look for an edge server; NULL: where it is
 * @without:	Service that no listener offers; NULL: all are offered
 * @listen:	Where "nonesuch" is offered; NULL: at any port
 * @unreachable, @keep_ms: As in struct access_point_setup
 */
struct users_bed {
	uv_loop_t loop;
	int count;
	struct fake_edge *edge[USERS_BED_MAX];
	struct access_point *ap[USERS_BED_MAX];
	uint16_t ap_port[USERS_BED_MAX];
	struct tls_context *ap_tls[USERS_BED_MAX];
	struct tls_context *mud_tls;
	struct tls_context *operator_tls;
	const char *listen_ip;
	struct users_limits limits;
	uint64_t move_ms;
	uint64_t spool_bytes;
	char state_dir[USERS_BED_MAX][64];
	const char *stations[USERS_BED_MAX];
	const char *edge_address[USERS_BED_MAX];
	const char *without;
	const char *listen;
	enum users_unreachable unreachable;
	uint64_t keep_ms;
};

extern struct users_bed users_bed;

/** users_bed_certificates() - Group set-up: certificates of all nodes. Return: 0 */
int users_bed_certificates(void **state);

/** users_bed_remove_certificates() - Group tear-down. Return: 0 */
int users_bed_remove_certificates(void **state);

/** users_bed_prepare() - An event loop with @count edge servers, and defaults for all else */
void users_bed_prepare(int count);

/** users_bed_can_bind() - Whether this machine has address @ip, of either family */
bool users_bed_can_bind(const char *ip);

/** users_bed_start() - Start an access point that knows the others, or none if @alone */
void users_bed_start(int index, bool alone);

/** users_bed_change() - Have one that runs take the configuration that the bed has now. Return: as access_point_change() */
int users_bed_change(int index, bool alone, struct err *err);

/** users_bed_start_all() - Start all access points */
void users_bed_start_all(void);

/** users_bed_tear_down() - Close all that there is; nothing may be left in the loop. Return: 0 */
int users_bed_tear_down(void **state);

/* Runs the loop until @condition; fails the test if that takes too long */
#define wait_until(condition) wait_until_in(&users_bed.loop, USERS_BED_LIMIT_MS, condition)

/* ---- an ordinary client ---- */

/**
 * struct client - A connection, or a datagram socket (service "udp")
 * @got:	What came and was not forgotten, with a NUL behind it
 * @len:	Its length
 * @datagrams:	How many came
 * @up:		Connected
 * @end:	UV_EOF, or how the connection broke; 0 while it lives
 */
struct client {
	union {
		uv_handle_t handle;
		uv_tcp_t tcp;
		uv_udp_t udp;
	};
	uv_connect_t connect;
	char *got;
	size_t len;
	int datagrams;
	bool up;
	int end;
};

/** client_open() - A client at the user's address @ip uses @service at access point @index */
void client_open(struct client *c, const char *ip, int index, const char *service);

/** client_write() - Send bytes, as far as the other side takes any */
void client_write(struct client *c, const void *bytes, size_t len);

/** client_say() - Send text */
void client_say(struct client *c, const char *text);

/** client_say_no_more() - Half-close */
void client_say_no_more(struct client *c);

/** client_send() - Send a datagram */
void client_send(struct client *c, const char *datagram);

/** client_read() - Take what comes, or, unless @on, nothing */
void client_read(struct client *c, bool on);

/** client_forget() - Forget what has come */
void client_forget(struct client *c);

/** client_close() - Close it */
void client_close(struct client *c);

/* Waits for exactly @text */
#define expect(c, text)                                                                            \
	do {                                                                                       \
		wait_until((c)->len >= strlen(text) || (c)->end);                                  \
		if (!(c)->got || strcmp((c)->got, text) != 0)                                      \
			fail_msg("got \"%s\", want \"%s\"", (c)->got ? (c)->got : "", text);       \
		client_forget(c);                                                                  \
	} while (0)
