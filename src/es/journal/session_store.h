/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session store - the state of sessions that an edge server needs after a crash of its program
 *
 * One file for each session, "<16 hexadecimal digits>.session", mode 0600, in a directory of mode
 * 0700, for the files hold secrets. It is on a disk, for sessions outlive a reboot (R15). Entries that
 * are appended reach the disk within sync_ms (journal_sync.h), or, with session_store_sync_each(), before
 * their requests run.
 *
 * A file is a journal. All numbers are big-endian:
 *
 *	8 bytes		"BATONSS2"
 *	entries		see es/system/entry.h
 *
 *	kind 1, ALL	the whole record, then the answer cache (core/es/answer_cache.h)
 *	kind 2, STARTED	u64 number handed to the container
 *	kind 3, ANSWER	u64 number, u64 digest, u32 status, answer
 *
 * Reading stops at the first entry that is cut off or does not match its sum. Nothing relied on an
 * entry that a crash tore: each entry is written before the step that it announces. ALL begins the
 * file anew (base/atomic_file.h); so does a journal beyond SESSION_STORE_JOURNAL_MAX.
 *
 * A write that fails, for want of room or any other reason, leaves no trace: the torn entry is cut
 * off again. If that fails, too, the journal is begun anew before anything else is appended. So
 * there is never an entry behind one that cannot be read.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/es/node.h"

struct answer_cache;
struct err;
struct session_store; /* opaque */

#define SESSION_STORE_JOURNAL_MAX (4u << 20)

/** session_store_open() - Use directory @dir, made if it is not there. Return: 0, or negative */
int session_store_open(struct session_store **ret, const char *dir, struct err *err);

/** session_store_free() - Close files; they stay. Return: NULL, always */
struct session_store *session_store_free(struct session_store *st);

AUTO_DEFINE(session_store)

/**
 * session_store_reserve() - Reserve room in the directory for journals, see journal_reserve.h
 * @st:		Store
 * @bytes:	How much; 0: none
 * @err:	Filled in on failure
 *
 * Return: 0, -EOPNOTSUPP if the file system cannot do it, or another negative error code
 */
int session_store_reserve(struct session_store *st, uint64_t bytes, struct err *err);

/** session_store_sync_each() - From now on a request's beginning is on the disk before it runs, or not (@each) */
void session_store_sync_each(struct session_store *st, bool each);

/**
 * session_store_suspect() - Entries may not have reached the disk, and the kernel tells that only once
 *
 * Each journal is begun anew with its next entry, and the end of the program is not one in order.
 */
void session_store_suspect(struct session_store *st);

/**
 * session_store_unsynced() - Journals with entries that may not be on the disk yet
 * @st:		Store
 * @fd:		Filled with descriptors that the caller closes, after fdatasync()
 * @max:	Room in @fd; the others come with the next call
 *
 * Return: how many
 */
size_t session_store_unsynced(struct session_store *st, int *fd, size_t max);

/**
 * session_store_boot() - Note which boot of the host this program runs in
 * @st:		Store, before anything is read
 * @id:		Of the boot; NULL: the kernel's
 * @lost:	Set to whether the host went down in an earlier boot before all journals had reached the disk
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int session_store_boot(struct session_store *st, const char *id, bool *lost, struct err *err);

/** session_store_end() - The program ends in order: all journals go to the disk. Return: 0, or negative error code */
int session_store_end(struct session_store *st, struct err *err);

/** struct session_store_room - Reserved room: bytes that there are, and that there are to be */
struct session_store_room {
	uint64_t left;
	uint64_t wanted;
};

/** session_store_fill() - Reserve again what was used, as far as there is room. Return: how much is reserved now */
struct session_store_room session_store_fill(struct session_store *st);

/**
 * session_store_persist() - Write down what changed
 * @st:		Store
 * @record:	Record
 * @cache:	Its answers
 * @what:	Which part changed; STARTED and ANSWER of a session never written whole are left
 *		out: it has no authority yet
 * @err:	Filled in on failure
 *
 * Where there is no room, the journal is begun anew in reserved room, if it is small enough for that.
 *
 * A write that failed may be repeated, as it is or as a part of ES_PERSIST_ALL. Until then the file
 * has its old contents. Only if the failure came after the whole was written, it may have the new ones
 * already.
 *
 * Return: 0, or negative error code; -EINVAL for an ANSWER that is not in @cache
 */
int session_store_persist(struct session_store *st, const struct es_record *record,
			  const struct answer_cache *cache, enum es_persist what, struct err *err);

/** session_store_forget() - Remove a session's file */
void session_store_forget(struct session_store *st, uint64_t session);

/**
 * session_store_drain() - Keep over a restart whether the edge server is drained
 * @st:		Store
 * @drained:	Which of the two
 * @err:	Filled in on failure; then the file is unchanged
 *
 * Return: 0, or negative error code
 */
int session_store_drain(struct session_store *st, bool drained, struct err *err);

/**
 * session_store_drained() - Read the value kept by session_store_drain()
 * @st:		Store
 * @ret:	Set on success; false if it was never called
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code if it cannot be said
 */
int session_store_drained(const struct session_store *st, bool *ret, struct err *err);

/**
 * session_store_each() - Read all sessions
 * @st:		Store
 * @fn:		Called for each, with its answer cache as answer_cache_encode() writes it, borrowed
 * @bad:	Called for each file that cannot be used, with its session and the reason: -EPROTO if it is
 *		damaged, otherwise another attempt may succeed. The file is left alone
 * @ctx:	Handed to both
 * @err:	Filled in on failure
 *
 * Return: 0, or negative if the directory cannot be read
 */
int session_store_each(struct session_store *st,
		       void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				  size_t cache_len),
		       void (*bad)(void *ctx, uint64_t session, const struct err *why), void *ctx,
		       struct err *err);

/**
 * session_store_again() - Read one session whose file could not be used before
 * @st:		Store
 * @session:	Its number
 * @fn:		Called as by session_store_each(); NULL: only find out whether the file can be used
 * @ctx:	Handed to it
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOENT if there is no file, -EPROTO if it is damaged, or another negative error code
 */
int session_store_again(struct session_store *st, uint64_t session,
			void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				   size_t cache_len),
			void *ctx, struct err *err);

/**
 * session_store_read() - Read one journal
 * @bytes:	Of the file, borrowed
 * @len:	Their number
 * @fn:		Called if it is good, as by session_store_each()
 * @ctx:	Handed to it
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO for bytes that are no journal or break a rule, -ENOMEM
 */
int session_store_read(const void *bytes, size_t len,
		       void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				  size_t cache_len),
		       void *ctx, struct err *err);
