/* SPDX-License-Identifier: Apache-2.0 */
#include "es/journal/journal_sync.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "base/log.h"
#include "es/protection/request_log.h"
#include "es/journal/session_store.h"

#define AT_ONCE 256 /* journals that are synced in one go; the others come next */

/**
 * struct journal_sync - See journal_sync.h
 * @fd:		Journals of the round that runs, owned by its thread
 * @failed:	Of that round: error code, or 0
 * @failing:	It was logged that a round failed
 */
struct journal_sync {
	struct session_store *store;
	struct request_log *requests;
	uv_timer_t timer;
	uv_work_t work;
	uint64_t every_ms;
	int fd[AT_ONCE];
	size_t count;
	int failed;
	bool failing;
	bool working;
	bool closing;
};

/* In a thread. */
static void work(uv_work_t *w)
{
	struct journal_sync *js = w->data;

	for (size_t i = 0; i < js->count; i++) {
		if (fdatasync(js->fd[i]) < 0)
			js->failed = errno;
		close(js->fd[i]);
	}
}

static void release(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_timer(uv_timer_t *timer);

static void on_worked(uv_work_t *w, int status)
{
	struct journal_sync *js = w->data;

	(void)status;
	js->working = false;
	if (js->closing) {
		uv_close((uv_handle_t *)&js->timer, release);
		return;
	}
	if (js->failed)
		session_store_suspect(js->store);
	if (js->failed && !js->failing)
		log_error("session journals do not reach the disk: %s", strerror(js->failed));
	js->failing = js->failed;
	if (js->count == AT_ONCE)
		on_timer(&js->timer);
}

static void on_timer(uv_timer_t *timer)
{
	struct journal_sync *js = timer->data;

	if (js->working)
		return;
	js->failed = 0;
	js->count = js->requests ? request_log_unsynced(js->requests, js->fd, AT_ONCE / 2) : 0;
	js->count += session_store_unsynced(js->store, js->fd + js->count, AT_ONCE - js->count);
	if (!js->count)
		return;
	js->working = uv_queue_work(timer->loop, &js->work, work, on_worked) == 0;
	if (!js->working) /* cannot happen: it only queues */
		work(&js->work);
}

int journal_sync_new(struct journal_sync **ret, struct uv_loop_s *loop, struct session_store *store,
		     struct request_log *requests, uint64_t every_ms, struct err *err)
{
	struct journal_sync *js = calloc(1, sizeof(*js));

	if (!js)
		return err_set(err, -ENOMEM, "sync journals");
	js->store = store;
	js->requests = requests;
	(void)uv_timer_init(loop, &js->timer); /* this and its start cannot fail */
	js->timer.data = js;
	js->work.data = js;
	if (every_ms)
		(void)uv_timer_start(&js->timer, on_timer, every_ms, every_ms);
	*ret = js;
	return 0;
}

void journal_sync_close(struct journal_sync *js)
{
	if (!js)
		return;
	js->closing = true;
	(void)uv_timer_stop(&js->timer);
	if (!js->working)
		uv_close((uv_handle_t *)&js->timer, release);
}
