/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/loop_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"

/** struct loop_queue - Calls that wait for the loop; @lock guards @calls */
struct loop_queue {
	uv_async_t async;
	pthread_mutex_t lock;
	struct list calls;
	void (*closed)(void *ctx);
	void *ctx;
};

/** struct call - One function to call on the loop */
struct call {
	struct list link;
	void (*fn)(void *arg);
	void *arg;
};

static void calls_make(struct loop_queue *q)
{
	for (;;) {
		(void)pthread_mutex_lock(&q->lock);
		struct call *call = list_first(&q->calls, struct call, link);
		if (call)
			list_remove(&call->link);
		(void)pthread_mutex_unlock(&q->lock);
		if (!call)
			return;
		call->fn(call->arg);
		free(call);
	}
}

static void async_cb(uv_async_t *async)
{
	calls_make(async->data);
}

int loop_queue_new(struct loop_queue **ret, uv_loop_t *loop, struct err *err)
{
	struct loop_queue *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return err_set(err, -ENOMEM, "queue");
	list_init(&q->calls);
	(void)pthread_mutex_init(&q->lock, NULL);
	r = uv_async_init(loop, &q->async, async_cb);
	if (r < 0) {
		free(q);
		return err_set(err, r, "queue");
	}
	q->async.data = q;
	*ret = q;
	return 0;
}

int loop_queue_post(struct loop_queue *q, void (*fn)(void *arg), void *arg)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return -ENOMEM;
	call->fn = fn;
	call->arg = arg;
	(void)pthread_mutex_lock(&q->lock);
	list_append(&q->calls, &call->link);
	(void)pthread_mutex_unlock(&q->lock);
	(void)uv_async_send(&q->async);
	return 0;
}

static void async_closed(uv_handle_t *handle)
{
	struct loop_queue *q = handle->data;
	void (*closed)(void *ctx) = q->closed;
	void *ctx = q->ctx;

	(void)pthread_mutex_destroy(&q->lock);
	free(q);
	if (closed)
		closed(ctx);
}

void loop_queue_close(struct loop_queue *q, void (*closed)(void *ctx), void *ctx)
{
	calls_make(q);
	q->closed = closed;
	q->ctx = ctx;
	uv_close((uv_handle_t *)&q->async, async_closed);
}
