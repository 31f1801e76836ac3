/* SPDX-License-Identifier: Apache-2.0 */
#include "es/session_store.h"

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
#include "base/bytes.h"
#include "base/err.h"
#include "base/files.h"
#include "base/list.h"
#include "base/number_table.h"
#include "core/es/answer_cache.h"
#include "es/system/entry.h"
#include "es/journal_reserve.h"

#define MAGIC        "BATONSS2"
#define MAGIC_SIZE   8
#define FILE_MAX     (128u << 20) /* a journal at its limit and one full answer cache */
#define ANSWER_HEAD  20           /* number, digest, status */
#define FILE_NAME    32
#define DRAINED_FILE "drained" /* it is there: the edge server is drained */

#define BOOT_FILE                                                                                  \
	"boot" /* "ID runs": the program runs in that boot, or fell in it; "ID ended": in order */
#define BOOT_ID   "/proc/sys/kernel/random/boot_id"
#define BOOT_SIZE 64

#define HANDED 0x80000000u /* with the state of a record */

enum kind { KIND_ALL = 1, KIND_STARTED, KIND_ANSWER, KIND_HANDED };

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
	bool suspect;         /* see session_store_suspect() */
	char boot[BOOT_SIZE]; /* id of the host's boot; empty: not known */
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

/* --- the form of a record --------------------------------------------------------------------- */

#define RECORD_SIZE (8 + 4 + 4 + 4 + 4 + 8 + 8 + 5 * NAME_SIZE + WIRE_SECRET_SIZE)

static void record_encode(uint8_t *to, const struct es_record *r)
{
	put_be64(to, r->session);
	put_be32(to + 8, r->association);
	put_be32(to + 12, r->epoch);
	put_be32(to + 16, r->container_epoch);
	put_be32(to + 20, (uint32_t)r->state | (r->handed ? HANDED : 0));
	put_be64(to + 24, r->executed);
	put_be64(to + 32, r->started);
	to += 40;
	memcpy(to, r->mud, NAME_SIZE);
	memcpy(to + NAME_SIZE, r->service, NAME_SIZE);
	memcpy(to + 2 * NAME_SIZE, r->ap, NAME_SIZE);
	memcpy(to + 3 * NAME_SIZE, r->creator, NAME_SIZE);
	memcpy(to + 4 * NAME_SIZE, r->peer, NAME_SIZE);
	memcpy(to + 5 * NAME_SIZE, r->secret, WIRE_SECRET_SIZE);
}

static bool name_field(char to[NAME_SIZE], const uint8_t *from, bool may_be_empty)
{
	if (from[NAME_SIZE - 1] != 0)
		return false;
	memcpy(to, from, NAME_SIZE);
	return (may_be_empty && !to[0]) || name_valid(to);
}

static bool record_decode(struct es_record *r, const uint8_t *from)
{
	*r = (struct es_record){
		.session = get_be64(from),
		.association = get_be32(from + 8),
		.epoch = get_be32(from + 12),
		.container_epoch = get_be32(from + 16),
		.state = (enum wire_es_state)(get_be32(from + 20) & ~HANDED),
		.handed = get_be32(from + 20) & HANDED,
		.executed = get_be64(from + 24),
		.started = get_be64(from + 32),
	};
	from += 40;
	memcpy(r->secret, from + 5 * NAME_SIZE, WIRE_SECRET_SIZE);
	return r->session && r->state <= WIRE_ES_LOST && name_field(r->mud, from, false) &&
	       name_field(r->service, from + NAME_SIZE, false) &&
	       name_field(r->ap, from + 2 * NAME_SIZE, true) &&
	       name_field(r->creator, from + 3 * NAME_SIZE, true) &&
	       name_field(r->peer, from + 4 * NAME_SIZE, true);
}

/* --- writing ---------------------------------------------------------------------------------- */

static int encode_whole(struct buf *out, const struct es_record *record,
			const struct answer_cache *cache, struct err *err)
{
	uint8_t head[RECORD_SIZE];
	struct buf body;
	int r;

	buf_init(&body, 0);
	record_encode(head, record);
	r = buf_append(&body, head, sizeof(head), err);
	if (r == 0)
		r = answer_cache_encode(cache, &body, err);
	if (r == 0)
		r = buf_append(out, MAGIC, MAGIC_SIZE, err);
	if (r == 0)
		r = entry_add(out, KIND_ALL, buf_bytes(&body), body.len, NULL, 0, err);
	buf_deinit(&body);
	return r;
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
	r = encode_whole(&out, record, cache, err);
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
static int append(struct journal *j, enum kind kind, const struct buf *body, struct err *err)
{
	struct buf out;
	int r;

	buf_init(&out, 0);
	r = entry_add(&out, kind, buf_bytes(body), body->len, NULL, 0, err);
	if (r == 0) {
		r = files_write(j->fd, buf_bytes(&out), out.len);
		j->unsynced = true;
		if (r == 0)
			j->size += out.len;
		else
			j->broken = ftruncate(j->fd, (off_t)j->size) < 0;
		if (r < 0)
			(void)err_set(err, r, "append %zu bytes to a journal", out.len);
	}
	buf_deinit(&out);
	return r;
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

static int append_started(struct journal *j, const struct es_record *record, bool sync,
			  struct err *err)
{
	uint8_t number[8];
	struct buf body;
	int r;

	buf_init(&body, 0);
	put_be64(number, record->started);
	r = buf_append(&body, number, sizeof(number), err);
	if (r == 0)
		r = append(j, KIND_STARTED, &body, err);
	buf_deinit(&body);
	/* all entries before it come along: only this request's outcome can be unknown after a loss of power */
	if (r == 0 && sync)
		r = sync_journal(j, err);
	return r;
}

/* Rare: once for each cut. It decides who may have authority, so it must outlive a crash of the host. */
static int append_handed(struct journal *j, struct err *err)
{
	struct buf body;

	buf_init(&body, 0);
	int r = append(j, KIND_HANDED, &body, err);
	buf_deinit(&body);
	return r == 0 ? sync_journal(j, err) : r;
}

static int append_answer(struct journal *j, const struct es_record *record,
			 const struct answer_cache *cache, struct err *err)
{
	uint8_t head[ANSWER_HEAD];
	struct wire_data answer;
	struct buf body;
	int r;

	if (answer_cache_get(cache, record->executed, &answer) != 0)
		return err_set(err, -EINVAL, "answer %" PRIu64 " is not in the cache",
			       record->executed);
	put_be64(head, record->executed);
	put_be64(head + 8, answer.digest);
	put_be32(head + 16, (uint32_t)answer.status);
	buf_init(&body, 0);
	r = buf_append(&body, head, sizeof(head), err);
	if (r == 0)
		r = buf_append(&body, answer.bytes, answer.len, err);
	if (r == 0)
		r = append(j, KIND_ANSWER, &body, err);
	buf_deinit(&body);
	return r;
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
	if (what == ES_PERSIST_STARTED)
		return append_started(j, record, st->sync_each, err);
	if (what == ES_PERSIST_HANDED)
		return append_handed(j, err);
	if (j->size > SESSION_STORE_JOURNAL_MAX)
		return begin_anew(st, record, cache, false, err);
	return append_answer(j, record, cache, err);
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

/* --- reading ---------------------------------------------------------------------------------- */

/* @good: bytes of the journal that can be relied on */
struct reading {
	struct es_record record;
	struct answer_cache *cache;
	bool begun;
	size_t good;
};

static int take_all(struct reading *rd, const uint8_t *body, size_t len, struct err *err)
{
	const struct es_record *record = &rd->record;
	int r;

	if (len < RECORD_SIZE || !record_decode(&rd->record, body))
		return err_set(err, -EPROTO, "the record breaks a rule");
	rd->cache = answer_cache_free(rd->cache);
	r = answer_cache_decode(&rd->cache, body + RECORD_SIZE, len - RECORD_SIZE, err);
	if (r < 0)
		return r;
	if (answer_cache_highest(rd->cache) > record->executed ||
	    (record->started && record->started != record->executed + 1))
		return err_set(err, -EPROTO, "the record's numbers do not fit together");
	rd->begun = true;
	return 0;
}

/*
 * A replica executes copies before it is in charge, and the number of its cut was never written: its entries follow a
 * record that has none. A restart gives the replica up, see es_node_restore().
 */
static bool of_replica(const struct reading *rd)
{
	return rd->record.state == WIRE_ES_ARRIVING;
}

static int take_started(struct reading *rd, const uint8_t *body, struct err *err)
{
	if (of_replica(rd))
		return 0;
	rd->record.started = get_be64(body);
	if (rd->record.started != rd->record.executed + 1)
		return err_set(err, -EPROTO, "request %" PRIu64 " started out of order",
			       rd->record.started);
	return 0;
}

static int take_answer(struct reading *rd, const uint8_t *body, size_t len, struct err *err)
{
	const struct wire_data answer = { .number = get_be64(body),
					  .digest = get_be64(body + 8),
					  .status = get_be32(body + 16),
					  .bytes = body + ANSWER_HEAD,
					  .len = len - ANSWER_HEAD };

	if (of_replica(rd))
		return 0;
	if (answer.number != rd->record.executed + 1)
		return err_set(err, -EPROTO, "answer %" PRIu64 " out of order", answer.number);
	rd->record.executed = answer.number;
	rd->record.started = 0;
	int r = answer_cache_put(rd->cache, &answer, err);
	return r == -EINVAL ? err_wrap(err, -EPROTO, "the journal") : r;
}

static int take_entry(struct reading *rd, uint32_t kind, const uint8_t *body, size_t len,
		      struct err *err)
{
	if (kind == KIND_ALL)
		return take_all(rd, body, len, err);
	if (!rd->begun)
		return err_set(err, -EPROTO, "the journal does not begin with a record");
	if (kind == KIND_STARTED && len == 8)
		return take_started(rd, body, err);
	if (kind == KIND_ANSWER && len >= ANSWER_HEAD)
		return take_answer(rd, body, len, err);
	if (kind == KIND_HANDED && len == 0) {
		rd->record.handed = true;
		return 0;
	}
	return err_set(err, -EPROTO, "an entry of unknown kind");
}

static int read_journal(struct reading *rd, const uint8_t *at, size_t left, struct err *err)
{
	int r;

	if (left < MAGIC_SIZE || memcmp(at, MAGIC, MAGIC_SIZE) != 0)
		return err_set(err, -EPROTO, "not a session file of this version");
	at += MAGIC_SIZE;
	left -= MAGIC_SIZE;
	rd->good = MAGIC_SIZE;
	while (left >= ENTRY_SIZE) {
		size_t len = get_be32(at);
		uint32_t kind = get_be32(at + 4);

		if (len > left - ENTRY_SIZE || !entry_good(at, at + ENTRY_SIZE))
			break; /* torn by the crash: it was not relied upon yet */
		r = take_entry(rd, kind, at + ENTRY_SIZE, len, err);
		if (r < 0)
			return r;
		at += ENTRY_SIZE + len;
		left -= ENTRY_SIZE + len;
		rd->good += ENTRY_SIZE + len;
	}
	return rd->begun ? 0 : err_set(err, -EPROTO, "no whole record in it");
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

static int read_and_tell(struct reading *rd, const void *bytes, size_t len,
			 int (*before)(void *at, const struct reading *rd, struct err *err),
			 void *at,
			 void (*fn)(void *ctx, const struct es_record *record, const void *cache,
				    size_t cache_len),
			 void *ctx, struct err *err)
{
	struct buf cache;
	int r;

	buf_init(&cache, 0);
	r = read_journal(rd, bytes, len, err);
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
	struct reading rd = { 0 };

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
static int resume(void *at, const struct reading *rd, struct err *err)
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

	struct reading rd = { 0 };

	buf_init(&file, FILE_MAX);
	r = read_file(st, name, &file, err);
	struct resumption to = { st, name, file.len };
	if (r == 0)
		r = read_and_tell(&rd, buf_bytes(&file), file.len, resume, &to, fn, ctx, err);
	buf_deinit(&file);
	return r;
}

/* --- loss of power ---------------------------------------------------------------------------- */

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

static int note_boot(struct session_store *st, const char *how, struct err *err)
{
	char text[BOOT_SIZE + 16];
	int n = snprintf(text, sizeof(text), "%s %s\n", st->boot, how);

	return atomic_file_write(st->dir, BOOT_FILE, text, (size_t)n, 0600, err);
}

/* Return: false if the kernel does not tell */
static bool read_boot(char to[BOOT_SIZE])
{
	auto_close int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, BOOT_SIZE - 1);

	to[n > 0 ? n : 0] = '\0';
	to[strcspn(to, "\n")] = '\0';
	return to[0];
}

int session_store_boot(struct session_store *st, const char *id, bool *lost, struct err *err)
{
	char text[BOOT_SIZE + 16] = "", before[BOOT_SIZE] = "", how[16] = "";

	*lost = false;
	if (id)
		(void)snprintf(st->boot, sizeof(st->boot), "%s", id);
	else if (!read_boot(st->boot))
		return 0;
	auto_close int fd = openat(st->dir, BOOT_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return err_set(err, -errno, "open %s", BOOT_FILE);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		return err_set(err, -errno, "read %s", BOOT_FILE);
	bool known = sscanf(text, "%63s %15s", before, how) == 2;
	*lost = known && strcmp(how, "runs") == 0 && strcmp(before, st->boot) != 0;
	return note_boot(st, "runs", err);
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
	return st->boot[0] ? note_boot(st, "ended", err) : 0;
}

int session_store_drain(struct session_store *st, bool drained, struct err *err)
{
	static const char why[] = "an operator has drained this edge server: baton undrain\n";

	if (drained)
		return atomic_file_write(st->dir, DRAINED_FILE, why, sizeof(why) - 1, 0600, err);
	if (unlinkat(st->dir, DRAINED_FILE, 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s", DRAINED_FILE);
	return 0;
}

int session_store_drained(const struct session_store *st, bool *ret, struct err *err)
{
	auto_close int fd = openat(st->dir, DRAINED_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		return err_set(err, -errno, "open %s", DRAINED_FILE);
	*ret = fd >= 0;
	return 0;
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
