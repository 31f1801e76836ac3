/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Work pool: what blocks keeps only its own key waiting, in order, and all that was taken is done
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/system/work_pool.h"

#define THREADS 2
#define WAITING 6

/**
 * struct gate - What the work of a test waits for, and how far it is
 * @open:	keys whose work may end
 * @inside:	pieces that run at this moment, of each key
 * @order:	pieces that have ended, in order, and those told to the loop
 */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open[4];
	int inside[4];
	int inside_max[4];
	int order[32];
	int ended;
	int told;
	uv_thread_t loop;
	bool closed;
};

struct piece {
	struct work work;
	struct gate *gate;
	int number;
};

static void run(struct work *work)
{
	struct piece *p = container_of(work, struct piece, work);
	struct gate *g = p->gate;

	(void)pthread_mutex_lock(&g->lock);
	if (++g->inside[work->key] > g->inside_max[work->key])
		g->inside_max[work->key] = g->inside[work->key];
	(void)pthread_cond_broadcast(&g->changed);
	while (!g->open[work->key])
		(void)pthread_cond_wait(&g->changed, &g->lock);
	g->inside[work->key]--;
	g->order[g->ended++] = p->number;
	(void)pthread_mutex_unlock(&g->lock);
}

static void done(struct work *work)
{
	struct gate *g = container_of(work, struct piece, work)->gate;
	uv_thread_t self = uv_thread_self();

	assert_true(uv_thread_equal(&self, &g->loop));
	g->told++;
}

static void on_closed(void *ctx)
{
	((struct gate *)ctx)->closed = true;
}

static void gate_open(struct gate *g, int key)
{
	(void)pthread_mutex_lock(&g->lock);
	g->open[key] = true;
	(void)pthread_cond_broadcast(&g->changed);
	(void)pthread_mutex_unlock(&g->lock);
}

/** running_wait() - Wait until a piece of the key runs */
static void running_wait(struct gate *g, int key)
{
	(void)pthread_mutex_lock(&g->lock);
	while (!g->inside[key])
		(void)pthread_cond_wait(&g->changed, &g->lock);
	(void)pthread_mutex_unlock(&g->lock);
}

static void test_keys(void **state)
{
	static const uint64_t keys[THREADS + WAITING] = { 1, 1, 1, 1, 2, 1, 2, 1 };
	struct gate g = { .loop = uv_thread_self() };
	struct piece pieces[THREADS + WAITING + 1];
	struct work_pool *pool = NULL;
	struct err err = { 0 };
	uv_loop_t loop;

	(void)state;
	assert_int_equal(pthread_mutex_init(&g.lock, NULL), 0);
	assert_int_equal(pthread_cond_init(&g.changed, NULL), 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(work_pool_new(&pool, &loop, THREADS, WAITING, &err), 0);
	for (int i = 0; i < THREADS + WAITING; i++) {
		pieces[i] = (struct piece){ { .key = keys[i], .run = run, .done = done }, &g, i };
		assert_int_equal(work_pool_add(pool, &pieces[i].work, &err), 0);
	}
	/* no more than was said (R9) */
	pieces[8] = (struct piece){ { .key = 3, .run = run, .done = done }, &g, 8 };
	assert_int_equal(work_pool_add(pool, &pieces[8].work, &err), -EBUSY);
	/* key 1 waits at the gate with one thread; key 2, behind four of it, has the other one */
	running_wait(&g, 1);
	running_wait(&g, 2);
	gate_open(&g, 2);
	gate_open(&g, 1);
	work_pool_close(pool, on_closed, &g);
	assert_int_equal(work_pool_add(pool, &pieces[8].work, &err), -EBUSY);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_true(g.closed);
	assert_int_equal(g.told, THREADS + WAITING);
	assert_int_equal(g.inside_max[1], 1);
	assert_int_equal(g.inside_max[2], 1);
	for (int i = 0, last[4] = { -1, -1, -1, -1 }; i < g.ended; i++) {
		assert_true(g.order[i] > last[keys[g.order[i]]]);
		last[keys[g.order[i]]] = g.order[i];
	}
	assert_int_equal(uv_loop_close(&loop), 0);
	(void)pthread_mutex_destroy(&g.lock);
	(void)pthread_cond_destroy(&g.changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
