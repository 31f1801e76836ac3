/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The paper's way, see paper.c; all return 0, or a negative error code
 */

struct err;
struct migration;

/** paper_source_prepare() - Look at CT-x, remember its last executed number, offer it */
int paper_source_prepare(struct migration *m, struct err *err);

/** paper_source_checkpoint() - T1: have the engine checkpoint CT-x */
int paper_source_checkpoint(struct migration *m, struct err *err);

/** paper_source_send_checkpoint() - T2: the checkpoint's files, one after the other */
int paper_source_send_checkpoint(struct migration *m, struct err *err);

/** paper_source_files() - T3: commit and save the container, or copy its UpperDir */
int paper_source_files(struct migration *m, struct err *err);

/** paper_source_send_files() - T4 */
int paper_source_send_files(struct migration *m, struct err *err);

/** paper_source_undo() - Remove checkpoint, image and copies; close the connection */
void paper_source_undo(struct migration *m);

/** paper_destination_prepare() - Judge the offer, say whether the image is here; no CT-y yet */
int paper_destination_prepare(struct migration *m, struct err *err);

/** paper_destination_checkpoint() - T2: keep the checkpoint's files until there is a CT-y */
int paper_destination_checkpoint(struct migration *m, struct err *err);

/** paper_destination_files() - T4: keep the saved image, or the layer */
int paper_destination_files(struct migration *m, struct err *err);

/**
 * paper_destination_restore() - T5: load the image, create CT-y, put its files in place, start it
 *
 * Return: 0, or negative error code
 */
int paper_destination_restore(struct migration *m, struct err *err);

/** paper_destination_undo() - Remove CT-y and what was kept for it */
void paper_destination_undo(struct migration *m);
