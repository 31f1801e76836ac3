/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Session store: what was written down comes back, whatever a crash tore (R1)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "core/es/answer_cache.h"
#include "es/journal/session_store.h"

#define SESSION 0x1234abcd5678ef01ull

static char dir[64];

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/baton-store-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static void file_path(char *to, size_t size)
{
	(void)snprintf(to, size, "%s/1234abcd5678ef01.session", dir);
}

static int finish(void **state)
{
	char path[128];

	(void)state;
	file_path(path, sizeof(path));
	(void)unlink(path);
	return rmdir(dir);
}

static struct es_record record_of(uint64_t executed)
{
	struct es_record r = { .session = SESSION,
			       .association = 3,
			       .epoch = 5,
			       .container_epoch = 4,
			       .state = WIRE_ES_ACTIVE,
			       .executed = executed };

	strcpy(r.mud, "USER");
	strcpy(r.service, "offload");
	strcpy(r.ap, "AP-2");
	strcpy(r.creator, "AP-1");
	strcpy(r.peer, "EdgeServer-1");
	memset(r.secret, 0x5a, sizeof(r.secret));
	return r;
}

struct found {
	int sessions;
	int bad;
	struct es_record record;
	size_t answers;
	struct wire_data last;
	char last_bytes[64];
	int code; /* of the last bad one */
};

static void on_session(void *ctx, const struct es_record *record, const void *cache, size_t len)
{
	struct found *f = ctx;
	struct answer_cache *answers = NULL;

	f->sessions++;
	f->record = *record;
	assert_int_equal(answer_cache_decode(&answers, cache, len, NULL), 0);
	f->answers = answer_cache_count(answers);
	if (answer_cache_get(answers, record->executed, &f->last) == 0 && f->last.len)
		memcpy(f->last_bytes, f->last.bytes, f->last.len);
	answer_cache_free(answers);
}

static void on_bad(void *ctx, uint64_t session, const struct err *why)
{
	struct found *f = ctx;

	assert_int_equal(session, SESSION);
	assert_true(strlen(why->text) > 0);
	f->bad++;
	f->code = why->code;
}

static struct found read_back(void)
{
	struct found f = { 0 };
	struct err err;

	AUTO(session_store) struct session_store *st = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	assert_int_equal(session_store_each(st, on_session, on_bad, &f, &err), 0);
	return f;
}

static const struct wire_data answer7 = {
	.number = 7, .digest = 70, .bytes = (const uint8_t *)"seven", .len = 5
};
static const struct wire_data answer8 = {
	.number = 8, .digest = 80, .bytes = (const uint8_t *)"eight", .len = 5
};

/* A record, a request that is done, one that was started: as es_node persists them */
static void write_three(void)
{
	struct es_record r = record_of(7);
	struct err err;

	AUTO(session_store) struct session_store *st = NULL;
	AUTO(answer_cache) struct answer_cache *cache = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	assert_int_equal(answer_cache_new(&cache, &err), 0);
	assert_int_equal(answer_cache_put(cache, &answer7, &err), 0);
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ALL, &err), 0);
	r.started = 8;
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_STARTED, &err), 0);
	r.started = 0;
	r.executed = 8;
	assert_int_equal(answer_cache_put(cache, &answer8, &err), 0);
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ANSWER, &err), 0);
	r.started = 9;
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_STARTED, &err), 0);
}

static void test_comes_back(void **state)
{
	struct es_record expected = record_of(8);
	struct stat st;
	char path[128];

	(void)state;
	write_three();
	struct found f = read_back();
	assert_int_equal(f.sessions, 1);
	assert_int_equal(f.bad, 0);
	expected.started = 9;
	assert_memory_equal(&f.record, &expected, sizeof(expected));
	assert_int_equal(f.answers, 2);
	assert_string_equal(f.last_bytes, "eight");
	file_path(path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* What a replica executed before it had authority is not taken for a damaged file: it is undone (R10) */
static void test_replica_comes_back(void **state)
{
	struct es_record r = record_of(0);
	struct err err;

	(void)state;
	r.state = WIRE_ES_ARRIVING;
	{
		AUTO(session_store) struct session_store *st = NULL;
		AUTO(answer_cache) struct answer_cache *cache = NULL;
		assert_int_equal(session_store_open(&st, dir, &err), 0);
		assert_int_equal(answer_cache_new(&cache, &err), 0);
		assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ALL, &err), 0);
		r.started = 7; /* the first one after its cut */
		assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_STARTED, &err), 0);
		r.started = 0;
		r.executed = 7;
		assert_int_equal(answer_cache_put(cache, &answer7, &err), 0);
		assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ANSWER, &err), 0);
	}
	struct found f = read_back();
	assert_int_equal(f.bad, 0);
	assert_int_equal(f.sessions, 1);
	assert_int_equal(f.record.state, WIRE_ES_ARRIVING);
	assert_int_equal(f.record.executed, 0);
	assert_int_equal(f.record.started, 0);
}

/*
 * Cut off at every byte: either an older state that was once true, or a file that is refused. Never
 * a request both answered and not started.
 */
static void test_torn_at_every_byte(void **state)
{
	char path[128];
	struct stat st;

	(void)state;
	write_three();
	file_path(path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		assert_int_equal(truncate(path, len), 0);
		struct found f = read_back();
		assert_int_equal(f.sessions + f.bad, 1);
		if (!f.sessions)
			continue;
		assert_true(f.record.executed == 7 || f.record.executed == 8);
		assert_true(f.record.started == 0 || f.record.started == f.record.executed + 1);
	}
}

/* A flipped bit in any byte: the entry it is in does not count, and nothing after it. */
static void test_flipped_bytes(void **state)
{
	char path[128];
	struct stat st;

	(void)state;
	write_three();
	file_path(path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (off_t at = 0; at < st.st_size; at++) {
		unsigned char byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		struct found f = read_back();
		assert_int_equal(f.sessions + f.bad, 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
}

/* A copy without authority is never written whole, so nothing of it may come back. */
static void test_copy_leaves_no_trace(void **state)
{
	struct es_record r = record_of(7);
	struct err err;

	(void)state;
	AUTO(session_store) struct session_store *st = NULL;
	AUTO(answer_cache) struct answer_cache *cache = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	session_store_forget(st, SESSION);
	assert_int_equal(answer_cache_new(&cache, &err), 0);
	r.started = 8;
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_STARTED, &err), 0);
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ANSWER, &err), 0);
	assert_int_equal(read_back().sessions, 0);
}

static bool drained(const struct session_store *st)
{
	bool is_drained = false;

	assert_int_equal(session_store_drained(st, &is_drained, NULL), 0);
	return is_drained;
}

/* That it is drained outlives the program, and is no session */
static void test_drained(void **state)
{
	struct err err;

	(void)state;
	for (int i = 0; i < 2; i++) {
		AUTO(session_store) struct session_store *st = NULL;

		assert_int_equal(session_store_open(&st, dir, &err), 0);
		assert_int_equal(drained(st), i);
		assert_int_equal(session_store_drain(st, true, &err), 0);
		assert_int_equal(session_store_drain(st, true, &err), 0);
		assert_true(drained(st));
	}
	struct found f = read_back();
	assert_int_equal(f.bad, 0);
	AUTO(session_store) struct session_store *st = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	assert_int_equal(session_store_drain(st, false, &err), 0);
	assert_int_equal(session_store_drain(st, false, &err), 0);
	assert_false(drained(st));
}

/* R15: that a file cannot be read is told apart from its being damaged, or not there */
static void test_cannot_be_read(void **state)
{
	struct err err = { 0 };
	char path[128], loop[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/1234abcd5678ef01.session", dir);
	(void)snprintf(loop, sizeof(loop), "%s/drained", dir);
	assert_int_equal(symlink(path, path), 0); /* opening it fails, not with ENOENT */
	assert_int_equal(symlink(loop, loop), 0);
	struct found f = read_back();
	assert_int_equal(f.sessions, 0);
	assert_int_equal(f.bad, 1);
	assert_int_equal(f.code, -ELOOP);
	AUTO(session_store) struct session_store *st = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	bool is_drained = false;
	assert_int_equal(session_store_drained(st, &is_drained, &err), -ELOOP);
	assert_int_equal(unlink(loop), 0);
	assert_int_equal(session_store_again(st, SESSION, NULL, NULL, &err), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(session_store_again(st, SESSION, NULL, NULL, &err), -ENOENT);
	write_three();
	assert_int_equal(session_store_again(st, SESSION, NULL, NULL, &err), 0);
	assert_int_equal(session_store_again(st, SESSION, on_session, &f, &err), 0);
	assert_int_equal(f.sessions, 1);
	assert_int_equal(truncate(path, 12), 0);
	assert_int_equal(session_store_again(st, SESSION, on_session, &f, &err), -EPROTO);
	assert_int_equal(f.sessions, 1);
	assert_int_equal(read_back().code, -EPROTO);
}

/* A loss of power is told from a stop in order, and from a crash of the program alone */
static void test_boot(void **state)
{
	struct es_record r = record_of(7);
	struct answer_cache *cache = NULL;
	struct err err = { 0 };
	char path[128];
	bool lost = true;
	int fd[2];

	(void)state;
	AUTO(session_store) struct session_store *st = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	assert_int_equal(session_store_boot(st, "one", &lost, &err), 0);
	assert_false(lost); /* nothing was here */
	assert_int_equal(session_store_boot(st, "one", &lost, &err), 0);
	assert_false(lost); /* only the program crashed */
	assert_int_equal(session_store_boot(st, "two", &lost, &err), 0);
	assert_true(lost);
	assert_int_equal(session_store_end(st, &err), 0);
	assert_int_equal(session_store_boot(st, "three", &lost, &err), 0);
	assert_false(lost); /* it ended in order */
	(void)snprintf(path, sizeof(path), "%s/boot", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(path, path), 0); /* R15: it cannot be read */
	assert_int_equal(session_store_boot(st, "four", &lost, &err), -ELOOP);
	assert_int_equal(unlink(path), 0);
	/* a journal is to be synced once for what was appended, and not at all if each entry is */
	assert_int_equal(answer_cache_new(&cache, &err), 0);
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ALL, &err), 0);
	assert_int_equal(session_store_unsynced(st, fd, 2), 0);
	r.started = 8;
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_STARTED, &err), 0);
	assert_int_equal(session_store_unsynced(st, fd, 2), 1);
	assert_int_equal(fdatasync(fd[0]), 0);
	assert_int_equal(close(fd[0]), 0);
	assert_int_equal(session_store_unsynced(st, fd, 2), 0);
	session_store_sync_each(st, true);
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_STARTED, &err), 0);
	assert_int_equal(session_store_unsynced(st, fd, 2), 0);
	answer_cache_free(cache);
}

static void test_forget(void **state)
{
	struct err err;

	(void)state;
	write_three();
	AUTO(session_store) struct session_store *st = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	session_store_forget(st, SESSION);
	assert_int_equal(read_back().sessions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_replica_comes_back),
		cmocka_unit_test(test_torn_at_every_byte),
		cmocka_unit_test(test_flipped_bytes),
		cmocka_unit_test(test_copy_leaves_no_trace),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_cannot_be_read),
		cmocka_unit_test(test_boot),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
