/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User writer - puts users' files on the disk while the event loop goes on
 *
 * A file is forced to the disk (base/atomic_file.h), which may take long, so a thread beside the loop does
 * it: one file at a time, in the order in which they were changed. A file that is changed again before its
 * turn is written once, in its newest state; so no more than one state of each waits.
 *
 * A change that fails, for want of room or any other reason, stays and is tried again each second: until it
 * succeeds the file has its old contents.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct err;
struct user_writer; /* opaque */
struct uv_loop_s;

/**
 * user_writer_new() - Write in one directory
 * @ret:	Set on success only; the caller owns it, see user_writer_close()
 * @loop:	Event loop; everything here belongs to its thread
 * @dir:	Directory, copied
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int user_writer_new(struct user_writer **ret, struct uv_loop_s *loop, const char *dir,
		    struct err *err);

/**
 * user_writer_put() - Have a file written, or removed, soon
 * @uw:		Writer
 * @name:	Name of the file in the directory
 * @text:	Its new contents, copied; NULL: the file shall not be there
 * @err:	Filled in on failure
 *
 * Return: 0, -ENAMETOOLONG or -ENOMEM
 */
int user_writer_put(struct user_writer *uw, const char *name, const char *text, struct err *err);

/** user_writer_tell() - Have @written called whenever files that waited are written, or could not be */
void user_writer_tell(struct user_writer *uw, void (*written)(void *ctx), void *ctx);

/**
 * user_writer_move() - Have a file written, and the one that it replaces removed after that
 * @uw:		Writer
 * @from:	Name of the file that it replaces
 * @to:		Its own name
 * @text:	Its contents, copied
 * @err:	Filled in on failure
 *
 * At each moment one of the two is there. A change of @from that comes later waits until it has been removed.
 *
 * Return: 0, -ENAMETOOLONG or -ENOMEM
 */
int user_writer_move(struct user_writer *uw, const char *from, const char *to, const char *text,
		     struct err *err);

/** struct user_writer_state - Changes that have failed, and are tried again; @why is that of the last one */
struct user_writer_state {
	size_t failed;
	struct err why;
};

/** user_writer_state() - How things stand */
void user_writer_state(struct user_writer *uw, struct user_writer_state *to);

/** user_writer_removes() - Whether a file is to be removed, and may still be there */
bool user_writer_removes(struct user_writer *uw, const char *name);

/** user_writer_close() - Write what still waits, and end; the loop waits for that. @uw may be NULL */
void user_writer_close(struct user_writer *uw);
