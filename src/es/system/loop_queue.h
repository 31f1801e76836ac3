/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Loop queue - how other threads call a function on the event loop's thread, in order
 */

#include <uv.h>

struct err;
struct loop_queue;

/**
 * loop_queue_new() - Make a queue
 * @ret:	Set on success only; the caller owns it, see loop_queue_close()
 * @loop:	Loop whose thread makes the calls; the queue keeps the loop alive until it is closed
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int loop_queue_new(struct loop_queue **ret, uv_loop_t *loop, struct err *err);

/**
 * loop_queue_post() - Call @fn(@arg) on the loop's thread soon; from any thread
 * @q:		Queue
 * @fn:		Function; it owns @arg
 * @arg:	Its argument
 *
 * Return: 0, or -ENOMEM, when @fn will not be called
 */
int loop_queue_post(struct loop_queue *q, void (*fn)(void *arg), void *arg);

/**
 * loop_queue_close() - Make the calls still waiting, then release the queue
 * @q:		Queue to which nobody posts any more; loop thread only
 * @closed:	Called on the loop when the memory has been released; may be NULL
 * @ctx:	Handed to @closed
 */
void loop_queue_close(struct loop_queue *q, void (*closed)(void *ctx), void *ctx);
