/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The source's side: stages, each called once by the migration's thread, and their steps
 *
 *	source.c     stages            channel.c  the connection      container.c  CT-x and its files
 *	image.c      C-Migr            memory.c   pre-copy of memory  carry.c      state that CRIU loses
 *	protect.c    cuts that are kept, and recovery from them
 *
 * All return 0, or a negative error code, if nothing else is said.
 */

#include "es/migration/common/migration.h"

struct outgoing;

/** outgoing_new() - The source's own of one migration. Return: NULL without memory */
struct outgoing *outgoing_new(void);

/** outgoing_away() - Of a recovery: it was not begun, for the engine does not answer */
bool outgoing_away(const struct outgoing *out);

/** outgoing_free() - Release it. Return: NULL */
struct outgoing *outgoing_free(struct outgoing *out);

/* source.c */

/** source_prepare() - Look at CT-x, make the staging copies, offer it (before the cut) */
int source_prepare(struct migration *m, struct err *err);

/** source_prepare_undo() - Close the connection, remove what was staged */
void source_prepare_undo(struct migration *m);

/** source_ahead() - Send the layer as it is while the service runs (before the cut) */
int source_ahead(struct migration *m, struct err *err);

/** source_cut() - T1: hold, quiesce, freeze, dump, snapshot the layer, thaw (R2) */
int source_cut(struct migration *m, struct err *err);

/** source_cut_undo() - Release the checkpoint, if there is one */
void source_cut_undo(struct migration *m);

/**
 * source_held_ms() - How long users may wait in a stop-and-copy while the source sends the cut (R6)
 * @bytes:	Of the cut, uncompressed
 *
 * After this time the source gives up, and its container runs on.
 *
 * Return: milliseconds: 20 s, 4 s more for each MiB, 300 s at most
 */
uint64_t source_held_ms(uint64_t bytes);

/** source_send() - T2, T4: checkpoint and layer as one stream */
int source_send(struct migration *m, struct err *err);

/* protect.c */

/** source_keep_prepare() - As source_prepare(), for a cut that is to be kept: nothing is offered */
int source_keep_prepare(struct migration *m, struct err *err);

/** source_keep() - Write the cut to its directory (es/protection/kept_cuts.h) */
int source_keep(struct migration *m, struct err *err);

/** source_recover_prepare() - Offer a kept cut to this edge server */
int source_recover_prepare(struct migration *m, struct err *err);

/* channel.c */

/** source_offer() - Connect, offer the plan, learn whether the image is wanted */
int source_offer(struct migration *m, struct err *err);

/** source_accepted() - Wait until the destination accepts, learn which part of the image it wants */
int source_accepted(struct migration *m, int timeout_ms, struct err *err);

/** source_trees() - Send trees; if the destination gave up meanwhile, learn why */
int source_trees(struct migration *m, enum transfer_form way, struct transfer_tree *trees,
		 size_t count, struct err *err);

/**
 * source_flush() - Wait until nearly all that was sent has gone out on the link
 * @m:		Migration
 * @err:	Filled in on failure
 *
 * Bytes that the kernel still holds would go before the memory. An earlier cut would only extend the
 * time for which requests are buffered. A little may be left: it goes while CRIU gets ready.
 *
 * Return: 0, -ECANCELED, or -ETIMEDOUT if nothing moves
 */
int source_flush(struct migration *m, struct err *err);

/**
 * source_learn_reason() - The link may have broken because the destination gave up, and said why
 */
void source_learn_reason(struct migration *m, int r, struct err *err);

/** source_tell_cut() - Send number and answer cache of the cut */
int source_tell_cut(struct migration *m, struct err *err);

/** source_confirm() - Wait until the destination has restored */
int source_confirm(struct migration *m, struct err *err);

/* container.c */

/**
 * source_look() - Inspect CT-x and its image, and see whether it can be moved
 * @m:		Migration
 * @image:	Set on success only, a new reference
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int source_look(struct migration *m, json_t **image, struct err *err);

/** source_work() - Make the work directory */
int source_work(struct migration *m, struct err *err);

/**
 * source_layer() - Copy layer and volumes as they are now into the work directory; the service runs
 *
 * Return: 0, or negative error code
 */
int source_layer(struct migration *m, struct err *err);

/** source_layer_ahead() - Bring the staging copies of layer and volumes up to date while the service runs */
int source_layer_ahead(struct migration *m, struct err *err);

/** source_plan() - Make the plan of the offer: @memory and @layer bytes beside the image */
int source_plan(struct migration *m, const json_t *image, uint64_t memory, uint64_t layer,
		struct err *err);

/**
 * source_checkpoint() - Start CRIU; it waits before it touches anything
 * @m:		Migration
 * @name:	Of the directory for it, below the work directory
 * @hold:	The container stays frozen after it (R6)
 * @ret:	Set on success only; the caller owns it
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int source_checkpoint(struct migration *m, const char *name, bool hold, struct checkpoint **ret,
		      struct err *err);

/**
 * source_drain() - Ask the daemon to hold requests and quiesce the session (R12), until it has;
 * migration_cut_taken() is owed
 *
 * Return: 0, or negative error code
 */
int source_drain(struct migration *m, struct err *err);

/* image.c */

/** source_image() - C-Migr: send the image's layers that are missing there (before the cut) */
int source_image(struct migration *m, struct err *err);

/** source_image_begin() - Have the engine begin to save the image while other things are sent */
int source_image_begin(struct migration *m, struct err *err);

/** source_image_undo() - Remove the files of layers that were made to be sent */
void source_image_undo(struct migration *m);

/* memory.c */

/** source_memory() - Stop-and-copy: take a checkpoint while the service runs, send its memory */
int source_memory(struct migration *m, struct err *err);

/** source_memory_undo() - Release that checkpoint, if there is one */
void source_memory_undo(struct migration *m);

/**
 * source_memory_delta() - Find the pages that the destination does not have
 * @m:		Migration with pre-copied memory, after the cut
 * @path:	Set on success: directory to send instead of the checkpoint's
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int source_memory_delta(struct migration *m, char path[MIGRATION_DIR_MAX + 16], struct err *err);

/* carry.c */

/**
 * source_unread() - Wait until no socket of the container has anything unread, which would be lost
 * @m:		Migration
 * @held:	Its user waits
 * @first:	Set to a process with such a socket
 * @err:	Filled in on failure
 *
 * A service that always has some moves all the same, after 8 s, or 0.1 s if @held, and if it reads
 * nothing for 0.5 s: datagrams may be lost anywhere.
 *
 * Return: how many sockets have some in the end, or negative error code
 */
int source_unread(struct migration *m, bool held, pid_t *first, struct err *err);

/** source_forgotten() - Note what CRIU will forget, see checkpoint/forgotten.h */
int source_forgotten(struct migration *m, struct err *err);

/** source_mend() - Correct the images, see `criu/mend.h`, and put the notes beside them */
int source_mend(struct migration *m, struct err *err);
