/* SPDX-License-Identifier: Apache-2.0 */
#include "report/reloader.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#include "base/auto.h"
#include "base/err.h"
#include "net/supervisor.h"

/**
 * struct reloader - See reloader.h
 * @reading:	The thread has @work
 * @again:	A signal came meanwhile
 * @open:	libuv still knows @hangup
 * @closing:	reloader_close() was called
 * @read, @result, @err: Results of the thread
 */
struct reloader {
	uv_signal_t hangup;
	uv_work_t work;
	struct supervisor *supervisor;
	const struct reloader_ops *ops;
	void *ctx;
	void (*drop)(void *read);
	bool reading;
	bool again;
	bool open;
	bool closing;
	void *read;
	int result;
	struct err err;
};

static void reloader_release(struct reloader *r)
{
	if (r->closing && !r->open && !r->reading)
		free(r);
}

static void on_work(uv_work_t *work)
{
	struct reloader *r = work->data;

	r->result = r->ops->read(r->ctx, &r->read, &r->err);
}

static void reloader_begin(struct reloader *r);

static void on_read(uv_work_t *work, int status)
{
	struct reloader *r = work->data;
	void *read = TAKE_PTR(r->read);

	r->reading = false;
	if (r->closing) {
		if (read)
			r->drop(read);
		reloader_release(r);
		return;
	}
	if (status < 0 || r->result < 0)
		r->ops->kept(r->ctx, status < 0 ? uv_strerror(status) : r->err.text);
	else
		r->ops->take(r->ctx, read);
	if (r->closing) /* the program has stopped for what it read */
		reloader_release(r);
	else if (r->again)
		reloader_begin(r);
	else
		supervisor_release(r->supervisor);
}

/* The hold of the supervisor is taken already */
static void reloader_begin(struct reloader *r)
{
	r->again = false;
	r->err = (struct err){ 0 };
	r->reading = true;
	int result = uv_queue_work(r->hangup.loop, &r->work, on_work, on_read);
	if (result == 0)
		return;
	r->reading = false;
	r->ops->kept(r->ctx, uv_strerror(result));
	supervisor_release(r->supervisor);
}

static void on_hangup(uv_signal_t *handle, int number)
{
	struct reloader *r = handle->data;

	(void)number;
	if (r->reading) {
		r->again = true;
		return;
	}
	supervisor_hold(r->supervisor);
	reloader_begin(r);
}

int reloader_new(struct reloader **ret, struct uv_loop_s *loop, struct supervisor *supervisor,
		 const struct reloader_ops *ops, void *ctx, struct err *err)
{
	struct reloader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, -ENOMEM, "watch for SIGHUP");
	r->supervisor = supervisor;
	r->ops = ops;
	r->ctx = ctx;
	r->open = true;
	r->hangup.data = r;
	r->work.data = r;
	(void)uv_signal_init(loop, &r->hangup);
	int result = uv_signal_start(&r->hangup, on_hangup, SIGHUP);
	if (result < 0) {
		reloader_close(r, NULL);
		return err_set(err, result, "watch for SIGHUP");
	}
	/* it keeps no program alive that has nothing else to do */
	uv_unref((uv_handle_t *)&r->hangup);
	*ret = r;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct reloader *r = handle->data;

	r->open = false;
	reloader_release(r);
}

void reloader_close(struct reloader *r, void (*drop)(void *read))
{
	if (!r || r->closing)
		return;
	r->closing = true;
	r->drop = drop;
	uv_close((uv_handle_t *)&r->hangup, on_closed);
}
