/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Migration: what is done for another edge server ends when that one is gone, and no user waits without a limit
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "es/migration/common/notes.h"
#include "es/migration/source/source.h"

struct work {
	struct migration m;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;
};

/* A pull that does not end by itself. */
static void *work(void *arg)
{
	struct work *w = arg;
	struct pollfd p = { .fd = w->m.cancel_fd, .events = POLLIN };

	while (poll(&p, 1, -1) < 0)
		;
	(void)pthread_mutex_lock(&w->lock);
	w->ended = true;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int gone(struct migration *m, struct err *err)
{
	(void)m;
	return err_set(err, -EPIPE, "tell the source");
}

static void test_source_gone(void **state)
{
	struct work w = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	struct err err = { 0 };
	pthread_t thread;

	(void)state;
	w.m.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(w.m.cancel_fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, work, &w), 0);
	(void)pthread_mutex_lock(&w.lock);
	assert_int_equal(migration_tell_until(&w.m, &w.lock, &w.changed, &w.ended, gone, &err),
			 -EPIPE);
	(void)pthread_mutex_unlock(&w.lock);
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(w.m.cancel_fd);
}

/* R6: a held cut is waited for by what goes after it, and never for longer than some minutes */
static void test_held(void **state)
{
	static const struct {
		uint64_t bytes;
		uint64_t ms;
	} rows[] = {
		{ 0, 20000 },           { 1u << 20, 24000 },    { 70u << 20, 300000 },
		{ 8ull << 30, 300000 }, { UINT64_MAX, 300000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(source_held_ms(rows[i].bytes), rows[i].ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source_gone),
		cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
