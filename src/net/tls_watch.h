/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Watch over our identity while a program runs
 *
 * At SIGHUP it reads certificate, key, authorities and lists of revoked certificates again; links with
 * revoked certificates then end by themselves (net/link.h). Once a day, and first soon after the start, it
 * says whether our own certificate ends within TLS_WATCH_DAYS.
 */

#include <stdint.h>

struct err;
struct tls_context;
struct tls_watch; /* opaque */
struct uv_loop_s;

#define TLS_WATCH_DAYS 30

/** enum tls_watch_word - Kinds of reports */
enum tls_watch_word {
	TLS_WATCH_READ,   /* all files were read again */
	TLS_WATCH_KEPT,   /* they could not be used: all stays as it was */
	TLS_WATCH_ENDING, /* our certificate ends soon, or has ended */
};

/**
 * tls_watch_new() - Begin
 * @ret:	Set on success only; the caller owns it, see tls_watch_close()
 * @loop:	Event loop
 * @tls:	Identity, borrowed until tls_watch_close()
 * @said:	Gets each report, as one line for a person
 * @ctx:	First argument of @said
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int tls_watch_new(struct tls_watch **ret, struct uv_loop_s *loop, struct tls_context *tls,
		  void (*said)(void *ctx, enum tls_watch_word word, const char *text), void *ctx,
		  struct err *err);

/** tls_watch_close() - End; @w may be NULL. Its memory goes when the event loop has closed its handles */
void tls_watch_close(struct tls_watch *w);

/** tls_watch_days() - Whole days until our own certificate ends, negative if it has ended */
int64_t tls_watch_days(struct tls_context *tls);
