/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Storage Management - how and where events are stored (paper, Figure 2)
 *
 * A store keeps events in the order in which they came. Which kind of store it is, is hidden behind
 * struct storage_backend; the default is a file, see file_writer.h. Inquiries are answered here,
 * for every kind of store alike, in bounded pages: a page looks at STORAGE_SCAN_MAX events at most
 * and gives back where to go on, so no inquiry can hold up the storing of events for long.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "wire/message.h"

struct buf;
struct err;
struct storage; /* opaque */

#define STORAGE_PAGE_MAX 1000  /* events in an answer */
#define STORAGE_SCAN_MAX 50000 /* events looked at for an answer */

/**
 * struct storage_cursor - A place between two events of a store; all zero is its beginning
 * @part:	Which part of the store (a file's number)
 * @offset:	Where in that part
 *
 * A cursor stays valid while the store grows. If its event was removed since, reading continues at the
 * oldest event in the store.
 */
struct storage_cursor {
	uint64_t part;
	uint64_t offset;
};

/**
 * struct storage_backend - A kind of store
 * @self:	First argument of each function
 * @append:	Store events; all or none of them. Return: 0, or negative error code
 * @read:	Call @event for each event from @at on, until it returns non-zero (then that event
 *		is not passed by) or there is none; leaves @at behind the last one passed by
 *		Return: 0, or negative error code
 * @sync:	Bring all that was stored to the disk. Return: 0, or negative error code
 * @close:	Sync and release
 */
struct storage_backend {
	void *self;
	int (*append)(void *self, const struct wire_event *events, size_t count, struct err *err);
	int (*read)(void *self, struct storage_cursor *at,
		    int (*event)(void *ctx, const struct wire_event *e), void *ctx,
		    struct err *err);
	int (*sync)(void *self, struct err *err);
	void (*close)(void *self);
};

/**
 * storage_new() - Manage a store
 * @ret:	Set on success only; the caller owns it, see storage_free()
 * @backend:	Store; taken over on success
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int storage_new(struct storage **ret, const struct storage_backend *backend, struct err *err);

/** storage_free() - Close the store; @s may be NULL. Return: NULL, always */
struct storage *storage_free(struct storage *s);

AUTO_DEFINE(storage)

/**
 * storage_store() - Store a batch
 * @s:		Storage
 * @sender:	Who sent it, by its certificate; all events must be its own. Named in an event EVENTS
 *		DROPPED if the batch tells of a loss
 * @batch:	Events, borrowed for the call
 * @err:	Filled in on failure
 *
 * Return: 0, -EPERM if an event names another node, or another negative error code: nothing of the batch
 * was stored, and it is counted as lost
 */
int storage_store(struct storage *s, const char *sender, const struct wire_events *batch,
		  struct err *err);

/** storage_sync() - Bring all that was stored to the disk. Return: 0, or negative error code */
int storage_sync(struct storage *s, struct err *err);

/** storage_stored() - Events stored since the start */
uint64_t storage_stored(const struct storage *s);

/** storage_lost() - Events that could not be stored, or that senders had dropped, since the start */
uint64_t storage_lost(const struct storage *s);

/**
 * storage_query() - Answer an inquiry for events
 * @s:		Storage
 * @filter:	JSON object; every key may be left out: "session" (hexadecimal string; 8 to 15 digits
 *		are its first ones), "node", "kind", "since_us" (integer), "limit" (1 to
 *		STORAGE_PAGE_MAX), "cursor" (string of an earlier answer)
 * @len:	Length of @filter; 0 asks for everything
 * @answer:	The answer is appended: {"events": [...], "cursor": "...", "more": bool}. "more"
 *		says that the page is full and another should be asked for at once; without it,
 *		asking again later with the cursor gives the events since then
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL if the filter is not understood, or another negative error code
 */
int storage_query(struct storage *s, const char *filter, size_t len, struct buf *answer,
		  struct err *err);
