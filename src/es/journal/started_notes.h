/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Started notes - since when each of our containers runs, as we saw it last (R15)
 *
 * A container that was restarted while this program was down has the id, the name and the labels
 * that it had, but processes that begin anew: its session's memory is gone. The time at which the
 * engine started it shows this. There is a file for each container, ID.started, beside the
 * session journals.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

struct container_address;
struct container_found;
struct err;
struct started_notes;

/** started_notes_open() - Use directory @dir, which exists. Return: 0, or negative error code */
int started_notes_open(struct started_notes **ret, const char *dir, struct err *err);

/** started_notes_free() - The files stay. @sn may be NULL. Return: NULL, always */
struct started_notes *started_notes_free(struct started_notes *sn);

AUTO_DEFINE(started_notes)

/**
 * started_notes_put() - Note since when a container runs
 *
 * Nothing outlives a crash of the host, no container either, so nothing is synced.
 *
 * Return: 0, or negative error code
 */
int started_notes_put(struct started_notes *sn, const struct container_address *where,
		      struct err *err);

/**
 * started_notes_same() - Whether a container runs since when it was noted
 * @sn:		Notes
 * @where:	The engine's present word
 * @noted:	Set to what was noted, CONTAINER_TIME_SIZE bytes; "" if nothing was, by an older
 *		version
 *
 * Return: 1 if it does, also if nothing was noted; 0 if not; negative error code if the note cannot be read
 */
int started_notes_same(struct started_notes *sn, const struct container_address *where,
		       char *noted);

/** started_notes_drop() - Forget a container that goes: there is one file for each that lives */
void started_notes_drop(struct started_notes *sn, const char *id);

/** started_notes_sweep() - Remove the notes of all containers but these */
void started_notes_sweep(struct started_notes *sn, const struct container_found *found,
			 size_t count);
