/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kept cuts - consistent cuts of protected containers, on the disk of their edge server
 *
 * One directory for each, mode 0700, below the directory for all of them:
 *
 *	SESSION-NUMBER/		16 hexadecimal digits; the last request that the cut includes
 *		plan.json	the migration plan (migration/common/plan.h)
 *		memory/		CRIU's images
 *		layer/, volume-0/ ...	the files
 *
 * A name that ends in .part is a cut that is being written; it gets its name when all of it is on disk. One that
 * ends in .gone is being removed. The contents of memory, layer and volumes come from the container: only a file
 * worker touches them.
 */

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct err;
struct file_workers;

/**
 * kept_cuts_prepare() - At the start: make the directory, doom cuts that a crash has left unfinished
 *
 * A directory that is there must be ours alone already.
 *
 * Return: 0, or negative error code
 */
int kept_cuts_prepare(const char *dir, struct err *err);

/** kept_cuts_newest() - Find the newest cut of a session. Return: 0, -ENOENT, or another negative error code */
int kept_cuts_newest(const char *dir, uint64_t session, uint64_t *number);

/** kept_cuts_path() - Path of a cut. Return: 0, or -ENAMETOOLONG */
int kept_cuts_path(char to[PATH_MAX], const char *dir, uint64_t session, uint64_t number,
		   struct err *err);

/** kept_cuts_begin() - Make the directory of a cut that is to be written; @to is set to its path. Return: 0, or negative */
int kept_cuts_begin(char to[PATH_MAX], const char *dir, uint64_t session, uint64_t number,
		    struct err *err);

/**
 * kept_cuts_finish() - All of it is written: give it its name
 * @dir, @session, @number:	as for kept_cuts_begin()
 * @plan:	its plan
 * @err:	Filled in on failure
 *
 * It outlives a loss of power then. Older cuts of the session are doomed.
 *
 * Return: 0, or negative error code
 */
int kept_cuts_finish(const char *dir, uint64_t session, uint64_t number, const json_t *plan,
		     struct err *err);

/** kept_cuts_plan() - Read the plan of a cut. @ret: a new reference. Return: 0, or negative */
int kept_cuts_plan(json_t **ret, const char *dir, uint64_t session, uint64_t number,
		   struct err *err);

/** kept_cuts_abandon() - A cut that was begun is not finished */
void kept_cuts_abandon(const char *dir, uint64_t session, uint64_t number);

/** kept_cuts_each() - Call @fn for each cut; it may doom it */
void kept_cuts_each(const char *dir, void (*fn)(void *ctx, uint64_t session), void *ctx);

/** kept_cuts_doom() - Rename all cuts of a session, so that kept_cuts_sweep() removes them */
void kept_cuts_doom(const char *dir, uint64_t session);

/** kept_cuts_sweep() - Remove what is doomed. It takes long: not for the loop's thread */
void kept_cuts_sweep(const char *dir, struct file_workers *workers);
