/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Work pool - threads of its own for one kind of work that blocks, results on the loop
 *
 * libuv's own four threads serve everybody; work that blocks there delays all others. A pool is for
 * one kind of work, so creations wait for creations only. Work of one key (a session's, say) runs
 * one piece at a time, in order. So no key takes all threads, and work on one container keeps its
 * order.
 */

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/list.h"

struct err;
struct work_pool;

/**
 * struct work - A piece of work, part of the caller's own structure
 * @link:	the pool's
 * @key:	of its owner (a session, say)
 * @run:	called on a thread of the pool
 * @done:	called on the loop afterwards; it owns the work then
 */
struct work {
	struct list link;
	struct work_pool *pool;
	uint64_t key;
	void (*run)(struct work *work);
	void (*done)(struct work *work);
};

/**
 * work_pool_new() - Make a pool
 * @ret:	Set on success only; the caller owns it, see work_pool_close()
 * @loop:	Loop on whose thread all calls are made
 * @threads:	so many pieces of work run at a time
 * @waiting:	so many more may wait (R9); beyond that work_pool_add() fails
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int work_pool_new(struct work_pool **ret, uv_loop_t *loop, unsigned int threads, size_t waiting,
		  struct err *err);

/**
 * work_pool_add() - Have work done
 * @pool:	Pool
 * @work:	With key, run and done; the pool's until done() is called
 * @err:	Filled in on failure
 *
 * Return: 0, or -EBUSY if too much waits already, or the pool is being closed
 */
int work_pool_add(struct work_pool *pool, struct work *work, struct err *err);

/**
 * work_pool_close() - Take no more work, do what was added, release the pool
 * @pool:	Pool
 * @closed:	Called on the loop after the last done(), when all threads are gone; may be NULL
 * @ctx:	Handed to @closed
 */
void work_pool_close(struct work_pool *pool, void (*closed)(void *ctx), void *ctx);
