/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Handoff - inner header of ap/handoff*.c; ap/session.h has the functions that others call
 *
 *	ap/handoff.c		from one state to the next
 *	ap/handoff_find.c	the edge server with authority is looked for
 *	ap/handoff_back.c	an attempt fails: dropped, or authority goes back to the source
 *	ap/handoff_authority.c	which edge server has authority: taken over, or doubted
 *
 * Each file calls only those below it.
 */

#include "core/ap/session.h"

/* ap/handoff_authority.c */

/** ap_handoff_begin() - Begin an attempt to move the container from the source to its place (T6) */
void ap_handoff_begin(struct ap_session *s, uint64_t now);

/**
 * ap_handoff_forget_answers() - Forget the answers of a replica that is gone
 * @delivered_too:	also of requests whose answers the user has
 */
void ap_handoff_forget_answers(struct ap_session *s, bool delivered_too);

/** ap_handoff_find_again() - Ask all edge servers of the session where authority is */
void ap_handoff_find_again(struct ap_session *s, uint64_t now);

/* ap/handoff_back.c */

/**
 * ap_handoff_release_hold() - The source holds since this attempt's cut (R6): give it authority again
 *
 * Only this access point could give authority to the replica of that cut, and has not. So CT-x may have it
 * back without waiting for word from the destination.
 */
void ap_handoff_release_hold(struct ap_session *s, uint64_t now, enum ap_result result,
			     const char *why);

/** ap_handoff_go_back() - The attempt has failed after FENCE: authority goes back to the source */
void ap_handoff_go_back(struct ap_session *s, uint64_t now, enum ap_result result, const char *why);

/** ap_handoff_source_ended() - Nothing runs anywhere: the source starts again on its data, if they are there (R15) */
void ap_handoff_source_ended(struct ap_session *s, uint64_t now);

/** ap_handoff_back_progress() - In AP_GOING_BACK: something changed */
void ap_handoff_back_progress(struct ap_session *s, uint64_t now);

/** ap_handoff_back_repeat() - In AP_GOING_BACK: repeat the questions and orders without an answer */
void ap_handoff_back_repeat(struct ap_session *s, uint64_t now);

/* ap/handoff_find.c */

/** ap_handoff_find_tick() - In AP_FINDING: ask again those that have not answered, or end the search */
void ap_handoff_find_tick(struct ap_session *s, uint64_t now);
