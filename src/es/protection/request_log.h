/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Request log - the requests of protected sessions since their last cut that is kept, and digests of the answers
 *
 * One file for each session, "<16 hexadecimal digits>.requests", mode 0600. All numbers are big-endian:
 *
 *	8 bytes		"BATONRL1"
 *	entries		see es/system/entry.h
 *
 *	kind 1, REQUEST	u64 number, u32 preamble, u32 connection, u32 segment, bytes
 *	kind 2, ANSWER	u64 number, u64 digest
 *	kind 3, DOUBT	u64 number: nobody knows whether it was executed
 *
 * Reading stops at the first entry that is cut off or does not match its sum. A request that is written again under
 * its number replaces the earlier one: the program died before the container saw it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "core/es/node.h"
#include "wire/message.h"

struct err;
struct request_log; /* opaque */

#define REQUEST_LOG_MAX (512u << 20) /* bytes of one file */

/** request_log_open() - Use the files of directory @dir, which exists. Return: 0, or negative */
int request_log_open(struct request_log **ret, const char *dir, struct err *err);

/** request_log_free() - Close the files; they stay. Return: NULL, always */
struct request_log *request_log_free(struct request_log *log);

AUTO_DEFINE(request_log)

/** request_log_add() - A request begins. Return: 0, or negative error code: then it is not logged */
int request_log_add(struct request_log *log, uint64_t session, const struct wire_data *request,
		    struct err *err);

/** request_log_sync_each() - Each request is on the disk before request_log_add() returns, or not (the default) */
void request_log_sync_each(struct request_log *log, bool each);

/** request_log_unsynced() - Descriptors of logs that have changed since, owned by the caller. Return: how many, @max at most */
size_t request_log_unsynced(struct request_log *log, int *fds, size_t max);

/** request_log_answer() - It has ended. Return: 0, or negative error code */
int request_log_answer(struct request_log *log, uint64_t session, uint64_t number,
		       struct es_logged how, struct err *err);

/** request_log_covers() - Whether all requests after @from are there, through @through. Return: 0, 1, or negative */
int request_log_covers(struct request_log *log, uint64_t session, uint64_t from, uint64_t through);

/**
 * request_log_read() - Read a request
 * @log:	Log
 * @session, @number:	Of it
 * @request:	Filled in; its bytes are borrowed until the next call
 * @how:	How it ended
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOENT, or another negative error code
 */
int request_log_read(struct request_log *log, uint64_t session, uint64_t number,
		     struct wire_data *request, struct es_logged *how, struct err *err);

/** request_log_trim() - Drop requests through @through. Return: 0, or negative: then they are still there */
int request_log_trim(struct request_log *log, uint64_t session, uint64_t through, struct err *err);

/** request_log_each() - Call @fn for each session that has a file; it may forget it */
void request_log_each(struct request_log *log, void (*fn)(void *ctx, uint64_t session), void *ctx);

/** request_log_forget() - Remove the file of a session */
void request_log_forget(struct request_log *log, uint64_t session);
