/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Call - one call to a file worker; inner header of file_worker.c, call.c and operations.c
 *
 *	operations.c	the calls that a worker knows (file_worker.h)
 *	file_worker.c	the process: its start, its end, processes that cannot be ended
 *	call.c		a call on the line: its frames, its time, its end
 *
 * Each file calls only those below it.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "es/files/layer_archive.h"
#include "es/worker/file_worker.h"
#include "es/worker/line.h"

/**
 * struct file_workers - See file_workers_new()
 * @lock:	guards @stuck
 * @stuck:	struct file_worker that were killed and have not ended, by their @link
 */
struct file_workers {
	char *program;
	struct file_patience patience;
	pthread_mutex_t lock;
	struct list stuck;
};

/**
 * struct file_worker - A worker
 * @workers:	borrowed
 * @link:	in its list, once it is stuck
 * @pidfd:	readable when it has ended
 * @line:	to it
 * @cancel_fd:	borrowed, or -1
 * @wait:	of the call under way: longest for a frame, and cancellation
 * @left_us:	of the call under way: time that it still has
 * @more_us:	limit of its further growth
 * @dirs, @layers: numbers given out
 * @owed:	calls that were posted and whose ends are still to be read
 * @lost:	a call broke off: the line is out of step
 * @call, @end, @in: of the call under way
 */
struct file_worker {
	struct file_workers *workers;
	struct list link;
	pid_t pid;
	int pidfd;
	int line;
	int cancel_fd;
	struct worker_wait wait;
	uint64_t left_us;
	uint64_t more_us;
	uint32_t dirs;
	uint32_t layers;
	unsigned int owed;
	bool lost;
	struct worker_call call;
	struct worker_end end;
	uint8_t in[WORKER_BYTES_MAX];
};

/** struct worker_streams - Functions that the worker may ask for during a call; NULL: it may not */
struct worker_streams {
	archive_source source;
	archive_sink sink;
	int (*tree_done)(void *ctx, size_t tree, struct err *err);
	archive_after after;
	void *ctx;
	const uint8_t *left; /* of the source's bytes, borrowed from it */
	size_t left_len;
	unsigned int ends; /* times that the source had no more */
	size_t trees;
};

/** worker_call_begin() - Begin to write a call. Return: borrowed, until the next one */
struct worker_call *worker_call_begin(struct file_worker *fw, enum worker_op op);

/** worker_call_post() - Make a call whose end the next call waits for. @pass: descriptor that goes along, or -1 */
int worker_call_post(struct file_worker *fw, const struct worker_call *call, int pass,
		     struct err *err);

/** worker_call_run() - Make a call and wait for its end, in @fw->end; @call->frozen limits its time */
int worker_call_run(struct file_worker *fw, const struct worker_call *call,
		    struct worker_streams *streams, struct err *err);
