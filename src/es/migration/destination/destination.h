/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The destination's side: stages, each called once by the migration's thread, and their steps
 *
 *	destination.c  stages    channel.c  the connection        judge.c     the offer's verdict
 *	container.c    CT-y      image.c    C-Migr                registry.c  P-Migr with a registry
 *	memory.c       pre-copy of memory
 *
 * All return 0, or a negative error code, if nothing else is said.
 */

#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/migration.h"
#include "es/worker/file_worker.h"

struct incoming;

/** incoming_new() - The destination's own of one migration. Return: NULL without memory */
struct incoming *incoming_new(void);

/** incoming_free() - Release it. Return: NULL */
struct incoming *incoming_free(struct incoming *in);

/* destination.c */

/**
 * destination_begin() - The part of the first stage that all profiles have: take the offer, judge it,
 * look for the image
 * @m:		Migration
 * @image:	Set to the name of the image if it is here
 * @err:	Filled in on failure
 *
 * Return: 0, 1 if the image is not here, or negative error code
 */
int destination_begin(struct migration *m, char image[256], struct err *err);

/** destination_prepare() - Judge the offer, create CT-y if its image is here, accept */
int destination_prepare(struct migration *m, struct err *err);

/** destination_prepare_undo() - Remove CT-y and what was staged for it */
void destination_prepare_undo(struct migration *m);

/** destination_ahead() - Keep the pre-copied layer, for files that do not change before the cut */
int destination_ahead(struct migration *m, struct err *err);

/** destination_ahead_undo() - Remove what is left of it */
void destination_ahead_undo(struct migration *m);

/** destination_receive() - T2, T4: write checkpoint and layer where the restore finds them */
int destination_receive(struct migration *m, struct err *err);

/** destination_restore() - T5: start CT-y, which restores it; hand it to the loop */
int destination_restore(struct migration *m, struct err *err);

/** destination_clean() - After a success: wipe what was staged */
void destination_clean(struct migration *m);

/* channel.c */

/** destination_enter() - The source may send so much, in so much time, from here on */
void destination_enter(struct migration *m, enum incoming_state state);

/** destination_offer() - Let the source connect and say what it brings */
int destination_offer(struct migration *m, struct err *err);

/** destination_accept() - Accept; name the wanted part of the image, and its source */
int destination_accept(struct migration *m, struct err *err);

/** destination_probe() - Measure the link from the source. Return: bytes per second, or negative */
int64_t destination_probe(struct migration *m, struct err *err);

/** destination_cut() - Receive the cut's number and answer cache */
int destination_cut(struct migration *m, struct err *err);

/** destination_report() - Tell the source how it ended; after a failure, have it read that */
void destination_report(struct migration *m);

/* judge.c */

/** destination_judge() - Read the plan. Could the container run here, and is there room for it? */
int destination_judge(struct migration *m, struct err *err);

/**
 * destination_judge_checkpoint() - Check that the images make CRIU do nothing that the container's
 * configuration does not grant
 * @path:	of the images
 */
int destination_judge_checkpoint(struct migration *m, const char *path, struct err *err);

/* container.c */

/**
 * destination_find_image() - Find the image here by name or by id; its layers must be the same
 * @m:		Migration
 * @name:	Set to the name or id it was found by
 * @err:	Filled in on failure
 *
 * Return: 0, 1 if it is not here, or negative error code
 */
int destination_find_image(struct migration *m, char name[256], struct err *err);

/** destination_create() - Create CT-y with CT-x's whole configuration; it is not started */
int destination_create(struct migration *m, const char *image, struct err *err);

/** destination_make() - Create CT-y and find out where its files go */
int destination_make(struct migration *m, const char *image, struct err *err);

/** destination_prove() - See that CT-y runs and its port answers */
int destination_prove(struct migration *m, struct err *err);

/** destination_prove_restored() - See that the old process continues, and that none was started afresh */
int destination_prove_restored(struct migration *m, struct err *err);

/** destination_prove_kernel() - See that the kernel gives CT-y what was asked for, and no more (R13) */
int destination_prove_kernel(struct migration *m, struct err *err);

/* image.c */

/**
 * destination_image() - Receive the missing layers, load them meanwhile, create CT-y, accept
 * again
 *
 * Return: 0, or negative error code
 */
int destination_image(struct migration *m, struct err *err);

/** destination_image_undo() - Keep the bytes received for the next attempt (R8) */
void destination_image_undo(struct migration *m);

/**
 * destination_want_image() - Find the layers that are here, and whether there is room for the rest
 *
 * Return: 0, or negative error code
 */
int destination_want_image(struct migration *m, struct err *err);

/* registry.c */

/**
 * destination_choose_source() - Choose the source from which the image would be here sooner, and log why
 * @m:		Migration
 * @missing:	Bytes that are missing
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOENT if the image may not come from the source and no registry has it, or another
 * negative error code
 */
int destination_choose_source(struct migration *m, uint64_t missing, struct err *err);

/**
 * destination_pull() - Pull the image; if that fails and we may, have the source send it instead
 *
 * Return: 0, or negative error code
 */
int destination_pull(struct migration *m, struct err *err);

/* memory.c */

/** destination_memory() - Keep the pre-copied memory, for pages that do not change before the cut */
int destination_memory(struct migration *m, struct err *err);

/**
 * destination_memory_whole() - Put the checkpoint in @images together again, if its memory was
 * pre-copied
 *
 * Return: 0, or negative error code
 */
int destination_memory_whole(struct migration *m, struct file_place images, struct err *err);
