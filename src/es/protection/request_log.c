/* SPDX-License-Identifier: Apache-2.0 */
#include "es/protection/request_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/files.h"
#include "base/list.h"
#include "es/system/entry.h"

#define MAGIC        "BATONRL1"
#define MAGIC_SIZE   8
#define REQUEST_HEAD 20
#define ANSWER_SIZE  16
#define DOUBT_SIZE   8
#define FILE_NAME    32
#define BODY_MAX     (REQUEST_HEAD + WIRE_PAYLOAD_MAX)

enum kind { KIND_REQUEST = 1, KIND_ANSWER, KIND_DOUBT };

/** struct place - Where a request is; @len 0: it is not there */
struct place {
	uint64_t at;
	uint32_t len; /* of the body */
	struct es_logged how;
};

/**
 * struct session_log - The file of one session
 * @size:	up to the end of its last entry
 * @base:	number of the first of @places
 * @changed:	since request_log_unsynced()
 */
struct session_log {
	struct list link;
	uint64_t session;
	int fd;
	uint64_t size;
	uint64_t base;
	struct place *place;
	size_t places;
	size_t room;
	bool changed;
};

struct request_log {
	int dir;
	struct list sessions;
	bool sync_each;
	struct buf bytes; /* of the request read last */
};

int request_log_open(struct request_log **ret, const char *dir, struct err *err)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open directory %s", dir);
	struct request_log *log = calloc(1, sizeof(*log));
	if (!log)
		return err_set(err, -ENOMEM, "open the request log");
	list_init(&log->sessions);
	buf_init(&log->bytes, 0);
	log->dir = TAKE_FD(fd);
	*ret = log;
	return 0;
}

static void session_log_free(struct session_log *l)
{
	list_remove(&l->link);
	if (l->changed)
		(void)fdatasync(l->fd); /* its journal will be, too */
	if (l->fd >= 0)
		close(l->fd);
	free(l->place);
	free(l);
}

struct request_log *request_log_free(struct request_log *log)
{
	if (log) {
		list_for_each_safe(at, next, &log->sessions)
			session_log_free(list_entry(at, struct session_log, link));
		buf_deinit(&log->bytes);
		close(log->dir);
		free(log);
	}
	return NULL;
}

static void file_name(char to[FILE_NAME], uint64_t session)
{
	(void)snprintf(to, FILE_NAME, "%016" PRIx64 ".requests", session);
}

/* --- where requests are ------------------------------------------------------------------------ */

static struct place *find(struct session_log *l, uint64_t number)
{
	if (number < l->base || number - l->base >= l->places)
		return NULL;
	return &l->place[number - l->base];
}

/* Numbers come in order; one that does not begins the list anew, for those before it are of another history. */
static int note(struct session_log *l, uint64_t number, struct place p, struct err *err)
{
	if (l->places && (number < l->base || number > l->base + l->places))
		l->places = 0;
	if (!l->places)
		l->base = number;
	if (number - l->base == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		struct place *more = reallocarray(l->place, room, sizeof(*more));

		if (!more)
			return err_set(err, -ENOMEM, "log a request");
		l->place = more;
		l->room = room;
	}
	if (number - l->base == l->places)
		l->places++;
	l->place[number - l->base] = p;
	return 0;
}

/* --- reading ----------------------------------------------------------------------------------- */

static int read_at(int fd, void *to, size_t len, uint64_t at)
{
	ssize_t n = pread(fd, to, len, (off_t)at);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -ENODATA;
}

/** entry_read() - Read the entry at @at. Return: 0, -ENODATA if there is none that is whole, or negative */
static int entry_read(int fd, uint64_t at, uint32_t *kind, struct buf *body, struct err *err)
{
	uint8_t head[ENTRY_SIZE];
	int r = read_at(fd, head, sizeof(head), at);
	uint32_t len = r < 0 ? 0 : get_be32(head);

	*kind = r < 0 ? 0 : get_be32(head + 4);
	if (r < 0 || len < DOUBT_SIZE || len > BODY_MAX)
		return r < 0 ? r : -ENODATA;
	buf_consume(body, body->len);
	r = buf_reserve(body, len, err);
	if (r == 0)
		r = read_at(fd, buf_tail(body), len, at + ENTRY_SIZE);
	if (r < 0)
		return r;
	body->len = len;
	return entry_good(head, buf_bytes(body)) ? 0 : -ENODATA;
}

static int entry_take(struct session_log *l, uint64_t at, uint32_t kind, const struct buf *body,
		      struct err *err)
{
	const uint8_t *bytes = buf_bytes(body);

	if (kind == KIND_REQUEST && body->len >= REQUEST_HEAD)
		return note(l, get_be64(bytes),
			    (struct place){ .at = at + ENTRY_SIZE, .len = (uint32_t)body->len },
			    err);
	bool doubt = kind == KIND_DOUBT && body->len == DOUBT_SIZE;
	if (!doubt && (kind != KIND_ANSWER || body->len != ANSWER_SIZE))
		return -ENODATA;
	struct place *p = find(l, get_be64(bytes));
	if (p)
		p->how = (struct es_logged){ .digest = doubt ? 0 : get_be64(bytes + 8),
					     .in_doubt = doubt };
	return 0;
}

/** scan() - Find out what a file has, and where its last good entry ends */
static int scan(struct session_log *l, struct err *err)
{
	char magic[MAGIC_SIZE];
	struct buf body;
	int r = read_at(l->fd, magic, sizeof(magic), 0);

	if (r < 0 || memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
		return err_set(err, r < 0 ? r : -EPROTO, "it is no request log");
	l->size = MAGIC_SIZE;
	buf_init(&body, 0);
	while (r == 0) {
		uint32_t kind;

		r = entry_read(l->fd, l->size, &kind, &body, err);
		if (r == 0)
			r = entry_take(l, l->size, kind, &body, err);
		if (r == 0)
			l->size += ENTRY_SIZE + body.len;
	}
	buf_deinit(&body);
	if (r == -ENODATA)
		r = ftruncate(l->fd, (off_t)l->size) < 0
			    ? err_set(err, -errno, "cut off a torn entry")
			    : 0;
	return r;
}

/** known() - The log of a session that is open. Return: NULL if it is not */
static struct session_log *known(struct request_log *log, uint64_t session)
{
	list_for_each_safe(at, next, &log->sessions)
	{
		struct session_log *l = list_entry(at, struct session_log, link);

		if (l->session == session)
			return l;
	}
	return NULL;
}

/** of() - The log of a session, from its file if there is one; @make: otherwise a new one. Return: NULL if there is none */
static struct session_log *of(struct request_log *log, uint64_t session, bool make, struct err *err)
{
	struct session_log *l = known(log, session);
	char name[FILE_NAME];

	if (l)
		return l;
	file_name(name, session);
	auto_close int fd = openat(log->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && make && atomic_file_write(log->dir, name, MAGIC, MAGIC_SIZE, 0600, err) == 0)
		fd = openat(log->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		(void)err_set(err, -errno, "open request log %s", name);
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		(void)err_set(err, -ENOMEM, "open request log %s", name);
		return NULL;
	}
	l->session = session;
	l->fd = TAKE_FD(fd);
	list_append(&log->sessions, &l->link);
	if (scan(l, err) < 0) {
		session_log_free(l);
		return NULL;
	}
	return l;
}

int request_log_read(struct request_log *log, uint64_t session, uint64_t number,
		     struct wire_data *request, struct es_logged *how, struct err *err)
{
	struct session_log *l = of(log, session, false, err);
	const struct place *p = l ? find(l, number) : NULL;
	uint32_t kind;

	if (!p || !p->len)
		return err_set(err, -ENOENT, "request %" PRIu64 " is not in the log", number);
	int r = entry_read(l->fd, p->at - ENTRY_SIZE, &kind, &log->bytes, err);
	const uint8_t *b = buf_bytes(&log->bytes);
	if (r < 0 || kind != KIND_REQUEST || log->bytes.len != p->len || get_be64(b) != number)
		return err_set(err, r < 0 ? r : -EPROTO,
			       "request %" PRIu64 " in the log is damaged", number);
	*request = (struct wire_data){ .number = number,
				       .preamble = get_be32(b + 8),
				       .connection = get_be32(b + 12),
				       .segment = (enum wire_segment)get_be32(b + 16),
				       .bytes = b + REQUEST_HEAD,
				       .len = p->len - REQUEST_HEAD };
	*how = p->how;
	return 0;
}

int request_log_covers(struct request_log *log, uint64_t session, uint64_t from, uint64_t through)
{
	struct err err = { 0 };

	if (from >= through)
		return 1;
	struct session_log *l = of(log, session, false, &err);
	if (!l)
		return err.code == -ENOENT || err.code == -EPROTO || err.code == -ENODATA
			       ? 0
			       : err.code;
	for (uint64_t n = from + 1; n <= through; n++) {
		const struct place *p = find(l, n);

		if (!p || !p->len)
			return 0;
	}
	return 1;
}

/* --- writing ----------------------------------------------------------------------------------- */

static int request_entry(struct buf *out, const struct wire_data *request, struct err *err)
{
	uint8_t head[REQUEST_HEAD];

	put_be64(head, request->number);
	put_be32(head + 8, request->preamble);
	put_be32(head + 12, request->connection);
	put_be32(head + 16, (uint32_t)request->segment);
	return entry_add(out, KIND_REQUEST, head, sizeof(head), request->bytes, request->len, err);
}

static int answer_entry(struct buf *out, uint64_t number, struct es_logged how, struct err *err)
{
	uint8_t body[ANSWER_SIZE];

	put_be64(body, number);
	put_be64(body + 8, how.digest);
	return entry_add(out, how.in_doubt ? KIND_DOUBT : KIND_ANSWER, body,
			 how.in_doubt ? DOUBT_SIZE : ANSWER_SIZE, NULL, 0, err);
}

/** append() - Write an entry behind the last good one: a torn one before it would hide it */
static int append(struct session_log *l, const struct buf *out, struct err *err)
{
	int r;

	if (l->size + out->len > REQUEST_LOG_MAX)
		return err_set(err, -EFBIG, "the request log has its %u MB", REQUEST_LOG_MAX >> 20);
	if (lseek(l->fd, (off_t)l->size, SEEK_SET) < 0)
		return err_set(err, -errno, "append to the request log");
	r = files_write(l->fd, buf_bytes(out), out->len);
	if (r < 0)
		return err_set(err, r, "append %zu bytes to the request log", out->len);
	l->size += out->len;
	l->changed = true;
	return 0;
}

void request_log_sync_each(struct request_log *log, bool each)
{
	log->sync_each = each;
}

size_t request_log_unsynced(struct request_log *log, int *fds, size_t max)
{
	size_t count = 0;

	list_for_each_safe(at, next, &log->sessions)
	{
		struct session_log *l = list_entry(at, struct session_log, link);
		int fd = l->changed && count < max ? fcntl(l->fd, F_DUPFD_CLOEXEC, 0) : -1;

		if (fd < 0)
			continue;
		l->changed = false;
		fds[count++] = fd;
		list_remove(&l->link);
		list_append(&log->sessions, &l->link); /* the next call begins with others */
	}
	return count;
}

int request_log_add(struct request_log *log, uint64_t session, const struct wire_data *request,
		    struct err *err)
{
	struct session_log *l = of(log, session, true, err);
	struct buf out;
	int r;

	if (!l)
		return -EIO;
	buf_init(&out, 0);
	uint64_t at = l->size + ENTRY_SIZE;
	r = request_entry(&out, request, err);
	if (r == 0)
		r = append(l, &out, err);
	buf_deinit(&out);
	if (r == 0 && log->sync_each && fdatasync(l->fd) < 0)
		r = err_set(err, -errno, "sync the request log");
	if (r < 0)
		return r;
	return note(l, request->number,
		    (struct place){ .at = at, .len = (uint32_t)(REQUEST_HEAD + request->len) },
		    err);
}

int request_log_answer(struct request_log *log, uint64_t session, uint64_t number,
		       struct es_logged how, struct err *err)
{
	struct session_log *l = of(log, session, false, err);
	struct place *p = l ? find(l, number) : NULL;
	struct buf out;
	int r;

	if (!p)
		return err_set(err, -ENOENT, "request %" PRIu64 " is not in the log", number);
	p->how = how;
	buf_init(&out, 0);
	r = answer_entry(&out, number, how, err);
	if (r == 0)
		r = append(l, &out, err);
	buf_deinit(&out);
	return r;
}

/** rest_of() - The entries of all requests after @through */
static int rest_of(struct request_log *log, struct session_log *l, uint64_t through,
		   struct buf *out, struct err *err)
{
	int r = buf_append(out, MAGIC, MAGIC_SIZE, err);

	for (uint64_t n = through + 1; r == 0 && find(l, n); n++) {
		struct wire_data request;
		struct es_logged how;

		r = request_log_read(log, l->session, n, &request, &how, err);
		if (r == 0)
			r = request_entry(out, &request, err);
		if (r == 0 && (how.digest || how.in_doubt))
			r = answer_entry(out, n, how, err);
	}
	return r;
}

int request_log_trim(struct request_log *log, uint64_t session, uint64_t through, struct err *err)
{
	struct session_log *l = of(log, session, false, err);
	char name[FILE_NAME];
	struct buf out;
	int r;

	if (!l)
		return 0; /* nothing was logged yet */
	buf_init(&out, 0);
	file_name(name, session);
	r = rest_of(log, l, through, &out, err);
	if (r == 0)
		r = atomic_file_write(log->dir, name, buf_bytes(&out), out.len, 0600, err);
	buf_deinit(&out);
	if (r < 0)
		return r;
	l->changed = false;  /* it is another file now, and on the disk */
	session_log_free(l); /* it is read again when it is needed */
	return 0;
}

void request_log_forget(struct request_log *log, uint64_t session)
{
	struct session_log *l = known(log, session);
	char name[FILE_NAME];

	if (l) {
		l->changed = false;
		session_log_free(l);
	}
	file_name(name, session);
	(void)unlinkat(log->dir, name, 0);
}

void request_log_each(struct request_log *log, void (*fn)(void *ctx, uint64_t session), void *ctx)
{
	struct dirent **list = NULL;
	int count = scandirat(log->dir, ".", &list, NULL, NULL);

	for (int i = 0; i < count; i++) {
		const char *name = list[i]->d_name;

		if (strspn(name, "0123456789abcdef") == 16 && !strcmp(name + 16, ".requests"))
			fn(ctx, strtoull(name, NULL, 16));
		free(list[i]);
	}
	free(list);
}
