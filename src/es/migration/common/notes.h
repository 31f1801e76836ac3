/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Notes - the line between a migration's thread and the loop
 *
 *     thread                                        loop
 *     migration_stage_done(), ...  -- note -->      the controller takes it, in order
 *     migration_ask_...()          -- note -->
 *         waits                    <-- answer --    migration_answer()
 *                                  <-- cancel --    migration_cancel(): the wait, and any other, ends
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "es/migration/common/migration.h"

/** enum migration_note_kind - Kind of a note from a thread to the loop */
enum migration_note_kind {
	MIGRATION_NOTE_CUT_WANTED,
	MIGRATION_NOTE_CUT_TAKEN,
	MIGRATION_NOTE_PROVEN,
	MIGRATION_NOTE_OFFERED,
	MIGRATION_NOTE_STAGE,
	MIGRATION_NOTE_ARRIVED,
	MIGRATION_NOTE_ENDED,
};

/** struct migration_note - One thing a thread tells the loop */
struct migration_note {
	struct migration *m;
	enum migration_note_kind kind;
	bool taken;
	uint32_t freeze_us;
	uint64_t time_us;
	uint64_t number;
	char event[32];
	char text[ERR_TEXT_MAX];
};

/** migration_note_new() - Begin a note; waits for memory, since a note that is lost would stall a session */
struct migration_note *migration_note_new(struct migration *m, enum migration_note_kind kind);

/** migration_note_send() - Give it to the loop, which owns it from here on */
void migration_note_send(struct migration_note *note);

/**
 * migration_stage_done() - Have the loop call stage()
 * @m:		Migration
 * @event:	"T1" ...
 * @fmt:	"key=value ..." for its detail
 */
void migration_stage_done(struct migration *m, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** migration_ask_cut() - Have the loop call cut_wanted(), wait for its answer
 *
 * Return: 0: the session is quiesced, @m->number and @m->cache are set, and migration_cut_taken() is
 * owed; 1: delayed, the reason is in @m->answer_reason; or negative error code
 */
int migration_ask_cut(struct migration *m, struct err *err);

/** migration_cut_taken() - Have the loop call cut_taken() */
void migration_cut_taken(struct migration *m, bool taken, const char *reason);

/**
 * migration_ask_slot() - The peer has proven itself: ask the loop for a slot
 *
 * Return: 0, -EPERM ...
 */
int migration_ask_slot(struct migration *m, struct err *err);

/**
 * migration_ask_offer() - Have the loop call offered(), wait
 *
 * Return: 0 accepted, -EPERM, negative
 */
int migration_ask_offer(struct migration *m, struct err *err);

/**
 * migration_tell_until() - Wait for a thread, and tell the other side meanwhile that we still
 * work
 * @m:		Migration
 * @lock:	held; guards @ended
 * @changed:	signalled when @ended is set
 * @ended:	the thread is done
 * @tell:	called every two seconds without the lock; NULL: nobody listens
 * @err:	Filled in on failure of @tell: the other side is gone, and the thread is cancelled,
 *		by @m->cancel_fd
 *
 * Return: 0, or negative error code
 */
int migration_tell_until(struct migration *m, pthread_mutex_t *lock, pthread_cond_t *changed,
			 const bool *ended, int (*tell)(struct migration *m, struct err *err),
			 struct err *err);

/** migration_rest() - Sleep, unless cancelled. Return: 0, or -ECANCELED */
int migration_rest(struct migration *m, int ms, struct err *err);

/** migration_answer() - Loop: answer a migration's question. Return: whether it was waiting for one */
bool migration_answer(struct migration *m, enum migration_question answer, const char *reason);

/** migration_cancel() - Loop: have a migration end soon */
void migration_cancel(struct migration *m, const char *reason);
