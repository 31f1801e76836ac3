/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Journal sync - session journals reach the disk soon, and whether the host went down without warning
 *
 * The kernel would keep appended entries in memory for half a minute, and a loss of power would take them. So a
 * thread forces the journals that have changed to the disk every so often. The program notes in the file "boot"
 * which boot of the host it runs in, and, when it ends in order, that all was synced. A start in another boot
 * without that tells that entries may be missing.
 */

#include <stdint.h>

struct err;
struct journal_sync; /* opaque */
struct request_log;
struct session_store;
struct uv_loop_s;

/**
 * journal_sync_new() - Begin
 * @ret:	Set on success only; the caller owns it, see journal_sync_close()
 * @loop:	Event loop
 * @store:	Store, borrowed until journal_sync_close()
 * @requests:	Log of protected sessions, likewise, or NULL: it is synced first, for a journal must not know more
 * @every_ms:	How often; 0: never, for the store syncs by itself
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int journal_sync_new(struct journal_sync **ret, struct uv_loop_s *loop, struct session_store *store,
		     struct request_log *requests, uint64_t every_ms, struct err *err);

/** journal_sync_close() - End; the memory goes when the event loop has closed its handles. @js may be NULL */
void journal_sync_close(struct journal_sync *js);
