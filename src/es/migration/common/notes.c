/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/notes.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "es/migration/common/migration.h"
#include "es/system/loop_queue.h"

#define TELL_S 2

/* --- the thread's side ------------------------------------------------------------------------ */

struct migration_note *migration_note_new(struct migration *m, enum migration_note_kind kind)
{
	static const struct timespec nap = { .tv_nsec = 10000000 };
	struct migration_note *note;

	while (!(note = calloc(1, sizeof(*note))))
		(void)nanosleep(&nap, NULL);
	note->m = m;
	note->kind = kind;
	note->time_us = realtime_us();
	return note;
}

void migration_note_send(struct migration_note *note)
{
	struct migration_controller *mc = note->m->mc;
	static const struct timespec nap = { .tv_nsec = 10000000 };

	while (loop_queue_post(mc->queue, mc->note_take, note) < 0)
		(void)nanosleep(&nap, NULL);
}

void migration_stage_done(struct migration *m, const char *event, const char *fmt, ...)
{
	struct migration_note *note = migration_note_new(m, MIGRATION_NOTE_STAGE);
	va_list ap;

	(void)snprintf(note->event, sizeof(note->event), "%s", event);
	note->number = m->number;
	va_start(ap, fmt);
	(void)vsnprintf(note->text, sizeof(note->text), fmt, ap);
	va_end(ap);
	migration_note_send(note);
}

/** ask() - Put a question to the loop and wait. Return: the answer, or -ECANCELED */
static int ask(struct migration *m, enum migration_note_kind kind, struct err *err)
{
	int r;

	(void)pthread_mutex_lock(&m->lock);
	m->question = MIGRATION_ASKS;
	(void)pthread_mutex_unlock(&m->lock);
	migration_note_send(migration_note_new(m, kind));
	(void)pthread_mutex_lock(&m->lock);
	/* An answer counts even if a cancellation came after it: it began work that must be ended. */
	while (m->question == MIGRATION_ASKS && !m->cancelled)
		(void)pthread_cond_wait(&m->told, &m->lock);
	r = m->question == MIGRATION_ASKS ? -ECANCELED : (int)m->question;
	m->question = MIGRATION_ASKS_NOTHING;
	(void)pthread_mutex_unlock(&m->lock);
	return r < 0 ? err_set(err, r, "wait for the session") : r;
}

int migration_ask_cut(struct migration *m, struct err *err)
{
	int r = ask(m, MIGRATION_NOTE_CUT_WANTED, err);

	return r < 0 ? r : r == MIGRATION_TOLD_YES ? 0 : 1;
}

void migration_cut_taken(struct migration *m, bool taken, const char *reason)
{
	struct migration_note *note = migration_note_new(m, MIGRATION_NOTE_CUT_TAKEN);

	note->taken = taken;
	note->freeze_us = m->cut.freeze_us > UINT32_MAX ? UINT32_MAX : (uint32_t)m->cut.freeze_us;
	(void)snprintf(note->text, sizeof(note->text), "%s", reason ? reason : "");
	migration_note_send(note);
}

/**
 * ask_leave() - Ask the loop whether the migration may continue
 *
 * Return: 0, -EPERM, or another code
 */
static int ask_leave(struct migration *m, enum migration_note_kind kind, struct err *err)
{
	int r = ask(m, kind, err);

	if (r < 0 || r == MIGRATION_TOLD_YES)
		return r < 0 ? r : 0;
	(void)err_set(err, -EPROTO, "refused: %s", m->answer_reason);
	if (err)
		err->code = -EPERM;
	return r == MIGRATION_TOLD_NEVER ? err_lasting(err, -EPERM) : -EPERM;
}

int migration_ask_slot(struct migration *m, struct err *err)
{
	return ask_leave(m, MIGRATION_NOTE_PROVEN, err);
}

int migration_ask_offer(struct migration *m, struct err *err)
{
	return ask_leave(m, MIGRATION_NOTE_OFFERED, err);
}

int migration_tell_until(struct migration *m, pthread_mutex_t *lock, pthread_cond_t *changed,
			 const bool *ended, int (*tell)(struct migration *m, struct err *err),
			 struct err *err)
{
	int r = 0;

	while (!*ended) {
		struct timespec until;
		bool now;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += TELL_S;
		now = pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT &&
		      !*ended;
		(void)pthread_mutex_unlock(lock);
		if (now && tell && r == 0) {
			r = tell(m, err);
			if (r < 0) /* nobody wants it any more: end the thread's wait */
				(void)eventfd_write(m->cancel_fd, 1);
		}
		(void)pthread_mutex_lock(lock);
	}
	return r;
}

int migration_rest(struct migration *m, int ms, struct err *err)
{
	struct pollfd p = { .fd = m->cancel_fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0 ? err_set(err, -ECANCELED, "wait for the session") : 0;
}

/* --- the loop's side -------------------------------------------------------------------------- */

bool migration_answer(struct migration *m, enum migration_question answer, const char *reason)
{
	bool waiting;

	(void)pthread_mutex_lock(&m->lock);
	waiting = m->question == MIGRATION_ASKS && !m->cancelled;
	if (waiting) {
		m->question = answer;
		(void)snprintf(m->answer_reason, sizeof(m->answer_reason), "%s", reason);
		(void)pthread_cond_signal(&m->told);
	}
	(void)pthread_mutex_unlock(&m->lock);
	return waiting;
}

void migration_cancel(struct migration *m, const char *reason)
{
	(void)pthread_mutex_lock(&m->lock);
	if (!m->cancelled) {
		m->cancelled = true;
		(void)snprintf(m->cancel_reason, sizeof(m->cancel_reason), "%s", reason);
		(void)eventfd_write(m->cancel_fd, 1);
		(void)pthread_cond_signal(&m->told);
	}
	(void)pthread_mutex_unlock(&m->lock);
}
