/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/hurry.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "es/system/process.h"

/* One of the real-time signals, which no other code here uses. */
#define SIGNAL (SIGRTMIN + 4)

/* The type of a descriptor's owner in sigevent has no name in this library. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct hurry {
	timer_t timer;
	sigset_t before;
	uint64_t end_us;
};

static void on_tick(int number)
{
	(void)number; /* it only interrupts a call */
}

struct hurry *hurry_begin(unsigned int ms)
{
	struct sigaction action = { .sa_handler = on_tick };
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGNAL,
	};
	const struct timespec tick = { .tv_nsec = HURRY_TICK_MS * 1000000L };
	const struct itimerspec ticks = { .it_interval = tick, .it_value = tick };
	struct hurry *h = calloc(1, sizeof(*h));
	sigset_t ours;

	if (!h)
		return NULL;
	h->end_us = monotonic_us() + ms * 1000ull;
	event.sigev_notify_thread_id = gettid();
	(void)sigemptyset(&ours);
	(void)sigaddset(&ours, SIGNAL);
	/* Without SA_RESTART; threads of libuv have all signals blocked. */
	if (sigaction(SIGNAL, &action, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &h->timer) < 0) {
		free(h);
		return NULL;
	}
	(void)pthread_sigmask(SIG_UNBLOCK, &ours, &h->before);
	(void)timer_settime(h->timer, 0, &ticks, NULL);
	return h;
}

bool hurry_over(const struct hurry *h)
{
	return !h || monotonic_us() >= h->end_us;
}

struct hurry *hurry_end(struct hurry *h)
{
	if (!h)
		return NULL;
	(void)timer_delete(h->timer);
	(void)pthread_sigmask(SIG_SETMASK, &h->before, NULL);
	free(h);
	return NULL;
}
