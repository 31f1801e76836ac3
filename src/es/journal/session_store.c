/* SPDX-License-Identifier: Apache-2.0 */
#include "es/journal/session_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/files.h"
#include "base/list.h"
#include "base/number_table.h"
#include "core/es/answer_cache.h"
#include "es/journal/edge_notes.h"
#include "es/journal/journal_reserve.h"
#include "es/journal/session_journal.h"

#define FILE_MAX  (128u << 20) /* a journal at its limit and one full answer cache */
#define FILE_NAME 32

/*
 * An open journal. @broken: the file behind @size bytes is unknown, or @fd may not be the file any
 * more. Nothing may be appended before the journal was begun anew.
 */
struct journal {
	struct list link;
	struct number_entry by_session;
	uint64_t session;
	int fd;
	size_t size;
	bool broken;
	bool unsynced;
};

struct session_store {
	int dir;
	struct list journals;
	struct number_table by_session;  /* the same */
	struct journal_reserve *reserve; /* NULL: none */
	bool sync_each;
	bool suspect;              /* see session_store_suspect() */
	char boot[EDGE_BOOT_SIZE]; /* id of the host's boot; empty: not known */
};

int session_store_open(struct session_store **ret, const char *dir, struct err *err)
{
	int r = files_directory(dir);
	if (r < 0)
		return err_set(err, r, "make directory %s", dir);
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open directory %s", dir);
	if (fchmod(fd, 0700) < 0)
		return err_set(err, -errno, "directory %s must be ours alone (0700)", dir);
	struct session_store *st = calloc(1, sizeof(*st));
	if (!st)
		return err_set(err, -ENOMEM, "open session store");
	list_init(&st->journals);
	st->dir = TAKE_FD(fd);
	*ret = st;
	return 0;
}

static void journal_free(struct session_store *st, struct journal *j)
{
	list_remove(&j->link);
	number_table_remove(&st->by_session, &j->by_session);
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}

struct session_store *session_store_free(struct session_store *st)
{
	if (st) {
		list_for_each_safe(at, next, &st->journals)
			journal_free(st, list_entry(at, struct journal, link));
		number_table_deinit(&st->by_session);
		journal_reserve_free(st->reserve);
		close(st->dir);
		free(st);
	}
	return NULL;
}

static struct journal *find(const struct session_store *st, uint64_t session)
{
	struct number_entry *e = number_table_find(&st->by_session, session);

	return e ? container_of(e, struct journal, by_session) : NULL;
}

static void file_name(char to[FILE_NAME], uint64_t session)
{
	(void)snprintf(to, FILE_NAME, "%016" PRIx64 ".session", session);
}

static struct journal *journal_of(struct session_store *st, uint64_t session, struct err *err)
{
	struct journal *j = find(st, session);

	if (j)
		return j;
	j = calloc(1, sizeof(*j));
	if (!j || number_table_add(&st->by_session, &j->by_session, session) < 0) {
		free(j);
		(void)err_set(err, -ENOMEM, "keep the journal of a session");
		return NULL;
	}
	j->session = session;
	j->fd = -EBADF;
	j->broken = true;
	list_append(&st->journals, &j->link);
	return j;
}

/* The file is replaced; only when the new one is open again is it known what appending would do. */
static int begin_anew(struct session_store *st, const struct es_record *record,
		      const struct answer_cache *cache, bool reserved, struct err *err)
{
	char name[FILE_NAME];
	struct buf out;
	int r;

	struct journal *j = journal_of(st, record->session, err);
	if (!j)
		return -ENOMEM;
	file_name(name, record->session);
	buf_init(&out, 0);
	r = session_journal_whole(&out, record, cache, err);
	size_t size = out.len;
	if (r == 0) {
		j->broken = true;
		r = reserved
			    ? journal_reserve_use(st->reserve, name, buf_bytes(&out), out.len, err)
			    : atomic_file_write(st->dir, name, buf_bytes(&out), out.len, 0600, err);
	}
	buf_deinit(&out);
	if (r < 0)
		return err_wrap(err, r, "journal");
	int fd = openat(st->dir, name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(err, -errno, "open journal %s", name);
	if (j->fd >= 0)
		close(j->fd);
	j->fd = fd;
	j->size = size;
	j->broken = false;
	j->unsynced = false;
	return 0;
}

/*
 * An entry is there whole or not at all: entries behind a torn one would be lost at the next
 * start.
 */
static int append(struct journal *j, const struct buf *entry, struct err *err)
{
	int r = files_write(j->fd, buf_bytes(entry), entry->len);

	j->unsynced = true;
	if (r == 0)
		j->size += entry->len;
	else
		j->broken = ftruncate(j->fd, (off_t)j->size) < 0;
	return r < 0 ? err_set(err, r, "append %zu bytes to a journal", entry->len) : 0;
}

/* After a failure entries may be lost, and a second try would not tell: the journal is begun anew */
static int sync_journal(struct journal *j, struct err *err)
{
	if (fdatasync(j->fd) < 0) {
		j->broken = true;
		return err_set(err, -errno, "sync a journal");
	}
	j->unsynced = false;
	return 0;
}

/* A journal that is whole gets one more entry. */
static int append_entry(struct session_store *st, struct journal *j, const struct es_record *record,
			const struct answer_cache *cache, enum es_persist what, struct err *err)
{
	struct buf entry;
	int r;

	buf_init(&entry, 0);
	if (what == ES_PERSIST_STARTED)
		r = session_journal_started(&entry, record, err);
	else if (what == ES_PERSIST_HANDED)
		r = session_journal_handed(&entry, err);
	else
		r = session_journal_answer(&entry, record, cache, err);
	if (r == 0)
		r = append(j, &entry, err);
	buf_deinit(&entry);
	/*
	 * All entries before a beginning come along: only this request's outcome can be unknown after a loss of
	 * power. A cut, which is rare, decides who may have authority, so it must outlive a crash of the host.
	 */
	bool sync = what == ES_PERSIST_HANDED || (what == ES_PERSIST_STARTED && st->sync_each);
	return r == 0 && sync ? sync_journal(j, err) : r;
}

static int persist(struct session_store *st, const struct es_record *record,
		   const struct answer_cache *cache, enum es_persist what, struct err *err)
{
	struct journal *j = find(st, record->session);

	if (what == ES_PERSIST_ALL)
		return begin_anew(st, record, cache, false, err);
	if (!j)
		return 0;
	if (j->broken)
		return begin_anew(st, record, cache, false, err);
	if (what == ES_PERSIST_ANSWER && j->size > SESSION_STORE_JOURNAL_MAX)
		return begin_anew(st, record, cache, false, err);
	return append_entry(st, j, record, cache, what, err);
}

int session_store_persist(struct session_store *st, const struct es_record *record,
			  const struct answer_cache *cache, enum es_persist what, struct err *err)
{
	const struct journal *j = find(st, record->session);
	/* the reserve is for sessions that are here, not for more of them */
	bool known = st->reserve && j && j->fd >= 0;
	struct err no_room;
	int r = persist(st, record, cache, what, &no_room);

	if (known && (r == -ENOSPC || r == -EDQUOT) &&
	    begin_anew(st, record, cache, true, err) == 0)
		return 0;
	if (r < 0 && err)
		*err = no_room;
	return r;
}

int session_store_reserve(struct session_store *st, uint64_t bytes, struct err *err)
{
	return bytes ? journal_reserve_new(&st->reserve, st->dir, bytes, err) : 0;
}

struct session_store_room session_store_fill(struct session_store *st)
{
	if (!st->reserve)
		return (struct session_store_room){ 0 };
	journal_reserve_fill(st->reserve);
	return (struct session_store_room){
		.left = journal_reserve_left(st->reserve),
		.wanted = journal_reserve_wanted(st->reserve),
	};
}

void session_store_forget(struct session_store *st, uint64_t session)
{
	struct journal *j = find(st, session);
	char name[FILE_NAME];

	if (j)
		journal_free(st, j);
	file_name(name, session);
	(void)unlinkat(st->dir, name, 0);
}

static int read_file(struct session_store *st, const char *name, struct buf *to, struct err *err)
{
	int r;

	auto_close int fd = openat(st->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(err, -errno, "open");
	for (;;) {
		r = buf_reserve(to, 65536, err);
		if (r < 0)
			return r;
		ssize_t n = read(fd, buf_tail(to), 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read");
		if (n == 0)
			return 0;
		to->len += (size_t)n;
	}
}

/* Return: the session of a file; 0: it is another file */
static uint64_t session_of(const char *name)
{
	char again[FILE_NAME];
	uint64_t session;

	if (sscanf(name, "%16" SCNx64, &session) != 1)
		return 0;
	file_name(again, session);
	return strcmp(name, again) == 0 ? session : 0;
}

static int read_and_tell(struct session_journal_reading *rd, const void *bytes, size_t len,
			 int (*before)(void *at, const struct session_journal_reading *rd,
				       struct err *err),
			 void *at,
			 void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				    size_t cache_len),
			 void *ctx, struct err *err)
{
	struct buf cache;
	int r;

	buf_init(&cache, 0);
	r = session_journal_read(rd, bytes, len, err);
	if (r == 0)
		r = answer_cache_encode(rd->cache, &cache, err);
	if (r == 0 && before)
		r = before(at, rd, err);
	if (r == 0)
		fn(ctx, &rd->record, buf_bytes(&cache), cache.len);
	answer_cache_free(rd->cache);
	buf_deinit(&cache);
	return r;
}

int session_store_read(const void *bytes, size_t len,
		       void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				  size_t cache_len),
		       void *ctx, struct err *err)
{
	struct session_journal_reading rd = { 0 };

	return read_and_tell(&rd, bytes, len, NULL, NULL, fn, ctx, err);
}

/* Where a journal that is read is to go on */
struct resumption {
	struct session_store *store;
	const char *name;
	size_t size;
};

/*
 * A journal of before goes on as it is: to write it anew would need room, and a session must outlive a restart
 * while the disk is full. One with a torn entry is begun anew before anything is appended.
 */
static int resume(void *at, const struct session_journal_reading *rd, struct err *err)
{
	const struct resumption *to = at;

	if (rd->record.session != session_of(to->name))
		return err_set(err, -EPROTO, "it is the journal of session %016" PRIx64,
			       rd->record.session);
	struct journal *j = journal_of(to->store, rd->record.session, err);

	if (!j)
		return -ENOMEM;
	int fd = openat(to->store->dir, to->name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0; /* it is begun anew before anything is appended */
	if (j->fd >= 0)
		close(j->fd);
	j->fd = fd;
	j->size = rd->good;
	j->broken = rd->good < to->size;
	return 0;
}

static int read_one(struct session_store *st, const char *name,
		    void (*fn)(void *ctx, const struct es_record *record, const void *cache,
			       size_t cache_len),
		    void *ctx, struct err *err)
{
	struct buf file;
	int r;

	struct session_journal_reading rd = { 0 };

	buf_init(&file, FILE_MAX);
	r = read_file(st, name, &file, err);
	struct resumption to = { st, name, file.len };
	if (r == 0)
		r = read_and_tell(&rd, buf_bytes(&file), file.len, resume, &to, fn, ctx, err);
	buf_deinit(&file);
	return r;
}

void session_store_sync_each(struct session_store *st, bool each)
{
	st->sync_each = each;
}

size_t session_store_unsynced(struct session_store *st, int *fd, size_t max)
{
	size_t count = 0;

	list_for_each_safe(at, next, &st->journals)
	{
		struct journal *j = list_entry(at, struct journal, link);

		if (!j->unsynced || j->fd < 0 || count == max)
			continue;
		fd[count] = fcntl(j->fd, F_DUPFD_CLOEXEC, 0);
		if (fd[count] < 0)
			break; /* none to spare: the next time */
		j->unsynced = false;
		count++;
		/* the next call begins with others */
		list_remove(&j->link);
		list_append(&st->journals, &j->link);
	}
	return count;
}

void session_store_suspect(struct session_store *st)
{
	st->suspect = true;
	list_for_each_safe(at, next, &st->journals) list_entry(at, struct journal, link)->broken =
		true;
}

int session_store_boot(struct session_store *st, const char *id, bool *lost, struct err *err)
{
	*lost = false;
	if (id)
		(void)snprintf(st->boot, sizeof(st->boot), "%s", id);
	else if (!edge_boot_id(st->boot))
		return 0;
	int r = edge_boot_lost(st->dir, st->boot, lost, err);

	return r == 0 ? edge_boot_note(st->dir, st->boot, "runs", err) : r;
}

int session_store_drain(struct session_store *st, bool drained, struct err *err)
{
	return edge_drained_note(st->dir, drained, err);
}

int session_store_drained(const struct session_store *st, bool *ret, struct err *err)
{
	return edge_drained(st->dir, ret, err);
}

int session_store_end(struct session_store *st, struct err *err)
{
	list_for_each_safe(at, next, &st->journals)
	{
		struct journal *j = list_entry(at, struct journal, link);
		int r = j->fd >= 0 ? sync_journal(j, err)
				   : 0; /* a thread may be at it, and not done */

		if (r < 0)
			return r;
	}
	if (st->suspect)
		return err_set(err, -EIO, "the disk has lost entries of journals");
	return st->boot[0] ? edge_boot_note(st->dir, st->boot, "ended", err) : 0;
}

int session_store_each(struct session_store *st,
		       void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				  size_t cache_len),
		       void (*bad)(void *ctx, uint64_t session, const struct err *why), void *ctx,
		       struct err *err)
{
	struct dirent **found;
	int count;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", st->dir);
	count = scandir(path, &found, NULL, alphasort);
	if (count < 0)
		return err_set(err, -errno, "read session directory");
	for (int i = 0; i < count; i++) {
		uint64_t session = session_of(found[i]->d_name);
		struct err why = { 0 };

		if (session && read_one(st, found[i]->d_name, fn, ctx, &why) < 0)
			bad(ctx, session, &why);
		free(found[i]);
	}
	free(found);
	return 0;
}

static void ignore(void *ctx, const struct es_record *record, const void *cache, size_t cache_len)
{
	(void)ctx;
	(void)record;
	(void)cache;
	(void)cache_len;
}

int session_store_again(struct session_store *st, uint64_t session,
			void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				   size_t cache_len),
			void *ctx, struct err *err)
{
	char name[FILE_NAME];
	struct buf file;

	file_name(name, session);
	if (fn)
		return read_one(st, name, fn, ctx, err);
	buf_init(&file, FILE_MAX);
	int r = read_file(st, name, &file, err);
	if (r == 0)
		r = session_store_read(buf_bytes(&file), file.len, ignore, NULL, err);
	buf_deinit(&file);
	return r;
}
