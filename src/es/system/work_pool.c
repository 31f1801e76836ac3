/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/work_pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/system/loop_queue.h"

/**
 * struct work_pool - Threads, and work that waits for them
 * @waiting:	work that no thread has taken, oldest first
 * @running:	work that one has
 * @live:	threads that have not been joined
 */
struct work_pool {
	struct loop_queue *queue;
	struct list waiting;
	struct list running;
	size_t count;
	size_t max;
	unsigned int live;
	pthread_t *thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool end;
	void (*closed)(void *ctx);
	void *ctx;
};

static bool key_runs(const struct work_pool *pool, uint64_t key)
{
	list_for_each_safe(
		at, next,
		(struct list *)&pool->running) if (list_entry(at, struct work, link)->key ==
						   key) return true;
	return false;
}

/** work_take() - The oldest work whose key has nothing running, taken from the list; or NULL */
static struct work *work_take(struct work_pool *pool)
{
	list_for_each_safe(at, next, &pool->waiting)
	{
		struct work *work = list_entry(at, struct work, link);

		if (key_runs(pool, work->key))
			continue;
		list_remove(&work->link);
		list_append(&pool->running, &work->link);
		return work;
	}
	return NULL;
}

/* On the loop. */
static void work_done(void *arg)
{
	struct work *work = arg;
	struct work_pool *pool = work->pool;

	(void)pthread_mutex_lock(&pool->lock);
	pool->count--;
	(void)pthread_mutex_unlock(&pool->lock);
	work->done(work);
}

/** post() - Tell the loop; waits for memory, since a lost call would stall its caller for ever */
static void post(struct work_pool *pool, void (*fn)(void *arg), void *arg)
{
	static const struct timespec nap = { .tv_nsec = 10000000 };

	while (loop_queue_post(pool->queue, fn, arg) < 0)
		(void)nanosleep(&nap, NULL);
}

static void queue_closed(void *ctx)
{
	struct work_pool *pool = ctx;
	void (*closed)(void *ctx) = pool->closed;
	void *closed_ctx = pool->ctx;

	(void)pthread_mutex_destroy(&pool->lock);
	(void)pthread_cond_destroy(&pool->changed);
	free(pool->thread);
	free(pool);
	if (closed)
		closed(closed_ctx);
}

/* On the loop: a thread has ended. */
static void thread_ended(void *arg)
{
	struct work_pool *pool = arg;

	if (--pool->live > 0)
		return;
	for (size_t i = 0; pool->thread[i]; i++)
		(void)pthread_join(pool->thread[i], NULL);
	loop_queue_close(TAKE_PTR(pool->queue), queue_closed, pool);
}

static void *pool_thread(void *arg)
{
	struct work_pool *pool = arg;

	(void)pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct work *work = work_take(pool);

		if (!work && pool->end && list_empty(&pool->waiting))
			break;
		if (!work) {
			(void)pthread_cond_wait(&pool->changed, &pool->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&pool->lock);
		work->run(work);
		(void)pthread_mutex_lock(&pool->lock);
		list_remove(&work->link);
		/* Work of the same key may run now, also in a thread that found nothing before. */
		(void)pthread_cond_broadcast(&pool->changed);
		(void)pthread_mutex_unlock(&pool->lock);
		post(pool, work_done, work);
		(void)pthread_mutex_lock(&pool->lock);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	post(pool, thread_ended, pool);
	return NULL;
}

int work_pool_new(struct work_pool **ret, uv_loop_t *loop, unsigned int threads, size_t waiting,
		  struct err *err)
{
	struct work_pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return err_set(err, -ENOMEM, "work pool");
	list_init(&pool->waiting);
	list_init(&pool->running);
	pool->max = threads + waiting;
	pool->thread = calloc(threads + 1, sizeof(*pool->thread));
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_cond_init(&pool->changed, NULL);
	r = pool->thread ? loop_queue_new(&pool->queue, loop, err)
			 : err_set(err, -ENOMEM, "work pool");
	if (r < 0) {
		queue_closed(pool);
		return r;
	}
	for (; pool->live < threads; pool->live++) {
		r = pthread_create(&pool->thread[pool->live], NULL, pool_thread, pool);
		if (r) {
			pool->thread[pool->live] = 0;
			work_pool_close(pool, NULL, NULL);
			return err_set(err, -r, "start a thread");
		}
	}
	*ret = pool;
	return 0;
}

int work_pool_add(struct work_pool *pool, struct work *work, struct err *err)
{
	bool full;

	work->pool = pool;
	(void)pthread_mutex_lock(&pool->lock);
	full = pool->end || pool->count >= pool->max;
	if (!full) {
		pool->count++;
		list_append(&pool->waiting, &work->link);
		(void)pthread_cond_signal(&pool->changed);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return full ? err_set(err, -EBUSY, "%zu operations are under way or wait already",
			      pool->max)
		    : 0;
}

void work_pool_close(struct work_pool *pool, void (*closed)(void *ctx), void *ctx)
{
	pool->closed = closed;
	pool->ctx = ctx;
	if (!pool->live) {
		loop_queue_close(TAKE_PTR(pool->queue), queue_closed, pool);
		return;
	}
	(void)pthread_mutex_lock(&pool->lock);
	pool->end = true;
	(void)pthread_cond_broadcast(&pool->changed);
	(void)pthread_mutex_unlock(&pool->lock);
}
