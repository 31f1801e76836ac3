/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Call - one call to a file worker: its frames, its time, its end
 *
 * The line carries frames (line.h). A call goes out as one frame; until the worker sends its end, it may ask
 * for bytes of a stream, or send some: asked(). Calls without a result are posted: their ends are read before
 * the next call that waits, so setting up a worker takes one round trip.
 *
 * A call has a time in all, which bytes on the line prolong, and a time for each frame (struct file_patience).
 * Time that baton-es takes itself between two frames does not count. A call that breaks off leaves the line in
 * the middle of something: the worker is killed, and all further calls fail.
 */

#include "es/worker/call.h"

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

#define ENDS_MAX 8  /* times that a worker is told of the end of a stream */
#define OWED_MAX 32 /* calls with unread ends: few enough for the socket's buffer */

/** patience_begin() - The time of a call begins */
static void patience_begin(struct file_worker *fw, bool frozen, bool streams)
{
	const struct file_patience *p = &fw->workers->patience;
	uint32_t ms = frozen ? p->frozen : streams ? p->stream : p->call;

	fw->wait.ms = (int)(frozen ? p->frozen : p->frame);
	fw->wait.cancel_fd = frozen ? -1 : fw->cancel_fd;
	fw->left_us = (uint64_t)ms * 1000;
	fw->more_us = streams && !frozen ? (uint64_t)p->more * 1000 : 0;
}

/** patience_use() - A frame with @len bytes has taken its time since @began_us */
static void patience_use(struct file_worker *fw, uint64_t began_us, size_t len)
{
	/* 1 more: even frames that take no time come to an end */
	uint64_t used = monotonic_us() - began_us + 1;
	uint64_t more = len < fw->more_us ? len : fw->more_us;

	fw->left_us -= used < fw->left_us ? used : fw->left_us;
	fw->left_us += more;
	fw->more_us -= more;
}

/**
 * patience_next() - How long to wait for the next frame
 *
 * Return: 0, or -ETIMEDOUT if there is no time left
 */
static int patience_next(const struct file_worker *fw, struct worker_wait *wait, struct err *err)
{
	uint64_t left_ms = (fw->left_us + 999) / 1000;

	*wait = fw->wait;
	if ((uint64_t)wait->ms > left_ms)
		wait->ms = (int)left_ms;
	return left_ms ? 0
		       : err_set(err, -ETIMEDOUT, "the file worker takes longer than a call may");
}

/** hear() - The next frame from the worker, into @fw->in */
static int hear(struct file_worker *fw, enum worker_kind *kind, size_t *len, struct err *err)
{
	uint64_t began = monotonic_us();
	struct worker_wait wait;
	int r = patience_next(fw, &wait, err);

	if (r == 0)
		r = worker_line_receive(fw->line, &wait, kind, fw->in, len, NULL, err);
	if (r == 0)
		patience_use(fw, began, *len);
	return r;
}

/** say() - Send a frame. @pass: as for worker_line_send() */
static int say(struct file_worker *fw, enum worker_kind kind, const void *bytes, size_t len,
	       int pass, struct err *err)
{
	uint64_t began = monotonic_us();
	struct worker_wait wait;
	int r = patience_next(fw, &wait, err);

	if (r == 0)
		r = worker_line_send(fw->line, kind, bytes, len, pass, &wait, err);
	if (r == 0)
		patience_use(fw, began, len);
	return r;
}

struct worker_call *worker_call_begin(struct file_worker *fw, enum worker_op op)
{
	memset(&fw->call, 0, sizeof(fw->call));
	fw->call.op = op;
	return &fw->call;
}

/** lose() - End the worker at once: its state is unknown */
static void lose(struct file_worker *fw)
{
	fw->lost = true;
	(void)kill(fw->pid, SIGKILL);
}

/** end_take() - Read the worker's answer at the end of a call. Return: its result */
static int end_take(struct file_worker *fw, size_t len, struct err *err)
{
	if (len != sizeof(fw->end))
		return err_set(err, -EPROTO, "the file worker ends a call with %zu bytes", len);
	memcpy(&fw->end, fw->in, sizeof(fw->end));
	fw->end.text[sizeof(fw->end.text) - 1] = '\0';
	if (fw->end.result >= 0)
		return 0;
	if (fw->end.result < -4095)
		return err_set(err, -EPROTO, "the file worker ends a call with %d", fw->end.result);
	if (err) {
		/* its text has the errno's in it already */
		err->code = fw->end.result;
		err->lasting = false;
		(void)snprintf(err->text, sizeof(err->text), "%s", fw->end.text);
	}
	return fw->end.result;
}

/**
 * last_words() - The reason that a worker gave for its end, if any. Return: that, or @r if it has
 * not
 */
static int last_words(struct file_worker *fw, int r, struct err *err)
{
	static const struct worker_wait now = { .ms = 0, .cancel_fd = -1 };
	enum worker_kind kind;
	size_t len;

	/* ends of the calls before this one are in front */
	for (unsigned int n = 0; n <= fw->owed; n++) {
		struct err said = { 0 };

		if (worker_line_receive(fw->line, &now, &kind, fw->in, &len, NULL, NULL) < 0 ||
		    kind != WORKER_END)
			break;
		if (end_take(fw, len, &said) < 0) {
			if (err)
				*err = said;
			return said.code;
		}
	}
	return r;
}

/** call_send() - Send the call. @pass: descriptor that goes along, or -1 */
static int call_send(struct file_worker *fw, const struct worker_call *call, int pass,
		     struct err *err)
{
	size_t len = offsetof(struct worker_call, text) + strlen(call->text) + 1;

	if (fw->lost)
		return err_set(err, -EPIPE, "the file worker was ended");
	int r = say(fw, WORKER_CALL, call, len, pass, err);
	if (r == -EPIPE) /* one that could not lock itself in is gone before it is asked */
		r = last_words(fw, r, err);
	if (r < 0) /* perhaps in the middle */
		lose(fw);
	return r;
}

/** bytes_give() - Answer the worker's wish for bytes */
static int bytes_give(struct file_worker *fw, struct worker_streams *streams, struct err *err)
{
	size_t len;
	int r;

	if (!streams->left_len) {
		const void *bytes = NULL;
		ssize_t n = streams->source(streams->ctx, &bytes, err);

		if (n < 0)
			return (int)n;
		if (n == 0 && ++streams->ends > ENDS_MAX)
			return err_set(err, -EPROTO,
				       "the file worker goes on asking after the end");
		streams->left = bytes;
		streams->left_len = (size_t)n;
	}
	len = streams->left_len < WORKER_BYTES_MAX ? streams->left_len : WORKER_BYTES_MAX;
	r = say(fw, WORKER_BYTES, streams->left, len, -1, err);
	if (len) /* at the end there are none, and nothing to point to */
		streams->left += len;
	streams->left_len -= len;
	return r;
}

/** asked() - Serve a request of the worker in the middle of a call */
static int asked(struct file_worker *fw, struct worker_streams *streams, enum worker_kind kind,
		 size_t len, struct err *err)
{
	if (kind == WORKER_WANT && streams && streams->source)
		return bytes_give(fw, streams, err);
	if (kind == WORKER_BYTES && streams && streams->sink)
		return streams->sink(streams->ctx, fw->in, len, err);
	if (kind == WORKER_AFTER && streams && streams->after)
		return streams->after(streams->ctx, err);
	if (kind == WORKER_TREE && streams && streams->sink)
		return streams->tree_done ? streams->tree_done(streams->ctx, streams->trees++, err)
					  : 0;
	return err_set(err, -EPROTO, "the file worker asks for %d", (int)kind);
}

/** end_wait() - Serve the worker until the call has ended */
static int end_wait(struct file_worker *fw, struct worker_streams *streams, struct err *err)
{
	enum worker_kind kind;
	size_t len;
	int r;

	for (;;) {
		r = hear(fw, &kind, &len, err);
		if (r == 0 && kind == WORKER_END)
			return end_take(fw, len, err);
		if (r == 0)
			r = asked(fw, streams, kind, len, err);
		if (r < 0)
			break;
	}
	lose(fw);
	return r;
}

/** settle() - Read the ends of posted calls. Return: 0, or the first failure among them */
static int settle(struct file_worker *fw, struct err *err)
{
	int r = 0;

	for (; fw->owed && !fw->lost && r == 0; fw->owed--)
		r = end_wait(fw, NULL, err);
	return r;
}

int worker_call_post(struct file_worker *fw, const struct worker_call *call, int pass,
		     struct err *err)
{
	int r;

	patience_begin(fw, false, false);
	r = fw->owed < OWED_MAX ? 0 : settle(fw, err);
	if (r == 0)
		r = call_send(fw, call, pass, err);
	fw->owed += r == 0;
	return r;
}

int worker_call_run(struct file_worker *fw, const struct worker_call *call,
		    struct worker_streams *streams, struct err *err)
{
	int r;

	patience_begin(fw, call->frozen, streams != NULL);
	r = call_send(fw, call, -1, err);
	if (r < 0)
		return r;
	r = settle(fw, err);
	if (r < 0) { /* the end of this call would be taken for that of the next one */
		lose(fw);
		return r;
	}
	return end_wait(fw, streams, err);
}

int file_unpacking_init(struct file_unpacking *u, struct file_worker *fw, archive_source source,
			void *ctx, uint64_t max_bytes, struct err *err)
{
	struct worker_call *call = worker_call_begin(fw, WORKER_OP_UNPACK);
	int r;

	*u = (struct file_unpacking){ .files = fw, .source = source, .ctx = ctx };
	call->max_bytes = max_bytes;
	patience_begin(fw, false, true);
	r = call_send(fw, call, -1, err);
	return r < 0 ? r : settle(fw, err);
}

ssize_t file_unpacking_give(void *ctx, const void **bytes, struct err *err)
{
	struct file_unpacking *u = ctx;
	struct file_worker *fw = u->files;
	struct worker_streams streams = { .source = u->source,
					  .ctx = u->ctx,
					  .left = u->left,
					  .left_len = u->left_len,
					  .ends = u->ends };
	enum worker_kind kind;
	size_t len;
	int r = 0;

	while (r == 0 && !u->ended) {
		r = hear(fw, &kind, &len, err);
		if (r == 0 && kind == WORKER_BYTES && len) {
			*bytes = fw->in;
			u->left = streams.left;
			u->left_len = streams.left_len;
			u->ends = streams.ends;
			return (ssize_t)len;
		}
		u->ended = r == 0 && kind == WORKER_END;
		if (u->ended)
			r = end_take(fw, len, err);
		else if (r == 0 && kind == WORKER_WANT)
			r = bytes_give(fw, &streams, err);
		else if (r == 0)
			r = err_set(err, -EPROTO, "the file worker says %d", (int)kind);
	}
	return r;
}

void file_unpacking_deinit(struct file_unpacking *u)
{
	if (u->files && !u->ended)
		lose(u->files);
	u->files = NULL;
}
