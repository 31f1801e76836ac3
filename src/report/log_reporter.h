/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Log Reporter - sends this node's events to the event log repository (paper, Figure 2)
 *
 * An event gets its time where it happens and waits in a ring of fixed size; the event loop sends
 * batches. A slow or dead LogRepo therefore never holds up the caller: events wait in the ring
 * until the repository is there again. When the ring is full the newest are dropped and counted.
 * The count travels with the next batch. Events in flight when a link broke are counted, too, for
 * nobody can tell whether they arrived.
 *
 * When the link comes up the offset between the two clocks is measured (least round trip of
 * several). It is reported as an event CLOCK OFFSET "offset_us=N rtt_us=M". N added to this node's
 * times gives the LogRepo's, give or take M / 2.
 */

#include <stddef.h>
#include <stdint.h>

#include "net/tls_watch.h"

struct err;
struct log_reporter; /* opaque */
struct tls_context;
struct uv_loop_s;

#define LOG_REPORTER_RING     8192 /* events that can wait */
#define LOG_REPORTER_BATCH_MS 5    /* longest wait for a batch to fill while the link is up */
#define LOG_REPORTER_CLOSE_MS 2000 /* longest wait for the last events to leave */

/**
 * struct log_reporter_setup - Settings of a reporter; copied, its pointers are borrowed
 * @loop:	Event loop that sends
 * @tls:	Our identity
 * @node:	Name of this node in the event log: USER, AP-1, EdgeServer-1 ...; copied
 * @repository:	Name of the LogRepo, as in its certificate; copied
 * @address:	"IP:PORT" of the LogRepo; copied. NULL: there is none, all events are dropped
 * @refused:	Told why the LogRepo cannot be reached or was lost, once for each reason; may be
 *		NULL
 * @ctx:	First argument of @refused
 */
struct log_reporter_setup {
	struct uv_loop_s *loop;
	struct tls_context *tls;
	const char *node;
	const char *repository;
	const char *address;
	void (*refused)(void *ctx, const char *who, const char *reason);
	void *ctx;
};

/**
 * log_reporter_new() - Start reporting
 * @ret:	Set on success only; the caller owns it, see log_reporter_close()
 * @setup:	See struct log_reporter_setup
 * @err:	Filled in on failure; a LogRepo that cannot be reached is none
 *
 * Return: 0, or negative error code
 */
int log_reporter_new(struct log_reporter **ret, const struct log_reporter_setup *setup,
		     struct err *err);

/**
 * log_reporter_event() - Report that something happened just now
 * @r:		Reporter; NULL does nothing
 * @kind:	Kind of event: SVCQ, SVCR, REASSOCIATION REQUEST, T1 ...
 * @session:	Session it belongs to, or 0
 * @number:	Request number it belongs to, or 0
 * @fmt:	More for a person; "" for nothing
 *
 * Any thread may call this until log_reporter_close(). It takes a mutex that is held for a few
 * instructions only, and never waits for anything else.
 */
void log_reporter_event(struct log_reporter *r, const char *kind, uint64_t session, uint64_t number,
			const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/**
 * log_reporter_event_at() - Report something that happened at @time_us (UTC, microseconds)
 *
 * For events that a thread noticed at one time and the loop reports at another; else log_reporter_event().
 */
void log_reporter_event_at(struct log_reporter *r, uint64_t time_us, const char *kind,
			   uint64_t session, uint64_t number, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/**
 * log_reporter_certificates() - Log what the watch over our identity says; that a certificate ends
 * is an event, too
 * @r:		Reporter; NULL: only the log
 * @tls:	Identity that is watched
 * @word:	As from tls_watch_new()
 * @text:	Likewise
 */
void log_reporter_certificates(struct log_reporter *r, struct tls_context *tls,
			       enum tls_watch_word word, const char *text);

/**
 * log_reporter_repository() - The LogRepo is another one, or elsewhere, from now on
 * @r:		Reporter
 * @repository: Its name
 * @address:	"IP:PORT", or NULL: there is none
 * @err:	Filled in on failure; then nothing has changed
 *
 * Events that wait go there. Those that the last one has not confirmed count as dropped.
 *
 * Return: 0, or negative error code
 */
int log_reporter_repository(struct log_reporter *r, const char *repository, const char *address,
			    struct err *err);

/** log_reporter_dropped() - Events dropped since the start, because the ring was full */
uint64_t log_reporter_dropped(struct log_reporter *r);

/** log_reporter_waiting() - Events that wait to be sent */
uint64_t log_reporter_waiting(struct log_reporter *r);

/**
 * log_reporter_close() - Send the events that wait, for at most LOG_REPORTER_CLOSE_MS, then release
 * @r:		Reporter, may be NULL; no other thread may use it any more
 * @done:	Called from the event loop when it is gone, at once if @r is NULL; may be NULL
 * @ctx:	Argument of @done
 */
void log_reporter_close(struct log_reporter *r, void (*done)(void *ctx), void *ctx);
