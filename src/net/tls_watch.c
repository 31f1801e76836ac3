/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "base/err.h"
#include "net/tls.h"

#define DAY_S  86400
#define DAY_MS (DAY_S * 1000ull)

/**
 * struct tls_watch - See tls_watch.h
 * @handles:	How many of its handles libuv still knows
 */
struct tls_watch {
	uv_signal_t hangup;
	uv_timer_t daily;
	int handles;
	struct tls_context *tls;
	void (*said)(void *ctx, enum tls_watch_word word, const char *text);
	void *ctx;
};

int64_t tls_watch_days(struct tls_context *tls)
{
	int64_t left = tls_context_expires(tls) - (int64_t)time(NULL);

	return left >= 0 ? left / DAY_S : -1 - -left / DAY_S;
}

static void on_day(uv_timer_t *timer)
{
	const struct tls_watch *w = timer->data;
	const char *name = tls_context_name(w->tls);
	int64_t days = tls_watch_days(w->tls);
	char text[ERR_TEXT_MAX];

	if (days >= TLS_WATCH_DAYS)
		return;
	if (days < 0)
		(void)snprintf(text, sizeof(text),
			       "the certificate of %s has ended: `baton pki renew %s`, copy it "
			       "here, then SIGHUP",
			       name, name);
	else
		(void)snprintf(text, sizeof(text),
			       "the certificate of %s ends in %" PRId64
			       " days: `baton pki renew %s`, copy it here, then SIGHUP",
			       name, days, name);
	w->said(w->ctx, TLS_WATCH_ENDING, text);
}

static void on_hangup(uv_signal_t *handle, int number)
{
	struct tls_watch *w = handle->data;
	struct err err = { 0 };
	char text[ERR_TEXT_MAX + 64];

	(void)number;
	if (tls_context_reload(w->tls, &err) < 0) {
		(void)snprintf(text, sizeof(text), "certificates stay as they were: %s", err.text);
		w->said(w->ctx, TLS_WATCH_KEPT, text);
		return;
	}
	w->said(w->ctx, TLS_WATCH_READ,
		"certificates, authorities and lists of revoked ones read again");
	on_day(&w->daily);
}

static void on_closed(uv_handle_t *handle)
{
	struct tls_watch *w = handle->data;

	if (--w->handles == 0)
		free(w);
}

int tls_watch_new(struct tls_watch **ret, struct uv_loop_s *loop, struct tls_context *tls,
		  void (*said)(void *ctx, enum tls_watch_word word, const char *text), void *ctx,
		  struct err *err)
{
	struct tls_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_set(err, -ENOMEM, "watch over certificates");
	w->tls = tls;
	w->said = said;
	w->ctx = ctx;
	w->handles = 2;
	w->hangup.data = w;
	w->daily.data = w;
	(void)uv_signal_init(loop, &w->hangup);
	(void)uv_timer_init(loop, &w->daily);
	r = uv_signal_start(&w->hangup, on_hangup, SIGHUP);
	if (r == 0)
		r = uv_timer_start(&w->daily, on_day, 0, DAY_MS);
	if (r < 0) {
		tls_watch_close(w);
		return err_set(err, r, "watch for SIGHUP");
	}
	/* neither keeps a program alive that has nothing else to do */
	uv_unref((uv_handle_t *)&w->hangup);
	uv_unref((uv_handle_t *)&w->daily);
	*ret = w;
	return 0;
}

void tls_watch_close(struct tls_watch *w)
{
	if (!w)
		return;
	uv_close((uv_handle_t *)&w->hangup, on_closed);
	uv_close((uv_handle_t *)&w->daily, on_closed);
}
