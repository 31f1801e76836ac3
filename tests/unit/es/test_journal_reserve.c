/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Journals on a disk that is full, and stays full: whatever room appears is taken by somebody else at once
 *
 * The disk is a tmpfs, and an ext4 in a file, mounted where nobody else sees them. Both need root.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "core/es/answer_cache.h"
#include "es/journal/journal_reserve.h"
#include "es/journal/session_store.h"

#define SESSION 0x1234abcd5678ef01ull
#define RESERVE (8u * JOURNAL_RESERVE_FILE)
#define ANSWER  400

static char at[64], dir[80], image[80];

/* Somebody who writes as much as there is room for, again and again; sequential, so that it gets each block */
static void hog(void)
{
	static char bytes[1 << 16];
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/hog", at);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t size = sizeof(bytes); size; size = size > 1 ? size / 2 : 0) {
		while (write(fd, bytes, size) > 0)
			;
	}
	assert_int_equal(fsync(fd), 0);
}

static void hog_goes(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/hog", at);
	assert_int_equal(unlink(path), 0);
}

static int prepare(void)
{
	strcpy(at, "/tmp/baton-reserve-XXXXXX");
	if (!mkdtemp(at))
		return -1;
	(void)snprintf(dir, sizeof(dir), "%s/state", at);
	(void)snprintf(image, sizeof(image), "%s.ext4", at);
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
		       ? 0
		       : -1;
}

static int on_tmpfs(void **state)
{
	(void)state;
	if (prepare() < 0 || mount("small", at, "tmpfs", 0, "size=12m") < 0)
		at[0] = '\0';
	return 0;
}

static int on_ext4(void **state)
{
	char command[400];

	(void)state;
	if (prepare() < 0) {
		at[0] = '\0';
		return 0;
	}
	(void)snprintf(command, sizeof(command),
		       "truncate -s 24M %s && mkfs.ext4 -q -m 0 %s && mount -o loop %s %s "
		       "2>/dev/null",
		       image, image, image, at);
	if (system(command) != 0)
		at[0] = '\0';
	return 0;
}

static int finish(void **state)
{
	(void)state;
	if (!at[0])
		return 0;
	(void)unlink(image);
	return umount2(at, MNT_DETACH) == 0 && rmdir(at) == 0 ? 0 : -1;
}

static struct es_record record(void)
{
	struct es_record r = { .session = SESSION,
			       .association = 1,
			       .epoch = 1,
			       .container_epoch = 1,
			       .state = WIRE_ES_ACTIVE };

	strcpy(r.mud, "USER");
	strcpy(r.service, "offload");
	return r;
}

/* One request, as the node has it written. Return: 0, or what the store says */
static int execute(struct session_store *st, struct es_record *r, struct answer_cache *cache)
{
	static const uint8_t bytes[ANSWER];
	const struct wire_data answer = {
		.number = r->executed + 1, .digest = 1, .bytes = bytes, .len = sizeof(bytes)
	};
	struct err err = { 0 };

	r->started = r->executed + 1;
	int result = session_store_persist(st, r, cache, ES_PERSIST_STARTED, &err);
	if (result < 0) {
		r->started = 0;
		return result;
	}
	r->executed++;
	r->started = 0;
	if (r->executed > 16)
		answer_cache_trim(cache, r->executed - 16);
	assert_int_equal(answer_cache_put(cache, &answer, NULL), 0);
	return session_store_persist(st, r, cache, ES_PERSIST_ANSWER, &err);
}

static void take(void *ctx, const struct es_record *r, const void *cache, size_t len)
{
	(void)cache;
	(void)len;
	*(uint64_t *)ctx = r->executed;
}

static void bad(void *ctx, uint64_t session, const struct err *why)
{
	(void)ctx;
	(void)session;
	fail_msg("%s", why->text);
}

static struct session_store *open_store(uint64_t *executed)
{
	struct session_store *st = NULL;
	struct err err = { 0 };

	assert_int_equal(session_store_open(&st, dir, &err), 0);
	assert_int_equal(session_store_reserve(st, RESERVE, &err), 0);
	if (executed)
		assert_int_equal(session_store_each(st, take, bad, executed, &err), 0);
	return st;
}

static void test_full(void **state)
{
	struct es_record r = record(), other = record();
	struct answer_cache *cache = NULL;
	uint64_t executed = 0;
	struct err err = { 0 };

	(void)state;
	if (!at[0]) {
		print_message("SKIP: no file system can be mounted here\n");
		skip();
	}
	AUTO(session_store) struct session_store *st = open_store(NULL);
	assert_int_equal(session_store_fill(st).left, RESERVE);
	assert_int_equal(answer_cache_new(&cache, NULL), 0);
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ALL, &err), 0);
	hog();
	/* the session goes on for all that is reserved, although each block that it gives back is taken */
	for (int i = 0; i < 500; i++) {
		assert_int_equal(execute(st, &r, cache), 0);
		hog();
	}
	assert_true(session_store_fill(st).left < RESERVE);
	/* a restart while it is full */
	st = session_store_free(st);
	st = open_store(&executed);
	assert_int_equal(executed, 500);
	/* nothing of it is for sessions that are new */
	other.session++;
	assert_int_equal(session_store_persist(st, &other, cache, ES_PERSIST_ALL, &err), -ENOSPC);
	/* it ends, and then nothing is half written */
	int result = 0;
	while (result == 0) {
		result = execute(st, &r, cache);
		hog();
	}
	assert_int_equal(result, -ENOSPC);
	print_message("executed %llu\n", (unsigned long long)r.executed);
	assert_true(r.executed > 8 * (JOURNAL_RESERVE_FILE / (ANSWER + 64)) / 2);
	assert_int_equal(session_store_fill(st).left, 0);
	st = session_store_free(st);
	st = open_store(&executed);
	assert_in_range(executed, r.executed - 1, r.executed);
	/* room again: it goes on, and the reserve is what it was */
	hog_goes();
	assert_int_equal(session_store_persist(st, &r, cache, ES_PERSIST_ALL, &err), 0);
	assert_int_equal(execute(st, &r, cache), 0);
	assert_int_equal(session_store_fill(st).left, RESERVE);
	assert_int_equal(session_store_persist(st, &other, cache, ES_PERSIST_ALL, &err), 0);
	answer_cache_free(cache);
}

/* Not more than a share of a small file system; and the files of before are used again */
static void test_share(void **state)
{
	struct err err = { 0 };

	(void)state;
	if (!at[0])
		skip();
	AUTO(session_store) struct session_store *st = NULL;
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	assert_int_equal(session_store_reserve(st, 1u << 30, &err), 0);
	struct session_store_room room = session_store_fill(st);
	assert_in_range(room.wanted, JOURNAL_RESERVE_FILE, (24u << 20) / JOURNAL_RESERVE_SHARE);
	assert_int_equal(room.left, room.wanted);
	hog();
	st = session_store_free(st);
	assert_int_equal(session_store_open(&st, dir, &err), 0);
	assert_int_equal(session_store_reserve(st, 1u << 30, &err), 0);
	assert_int_equal(session_store_fill(st).left, room.left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_full, on_tmpfs, finish),
		cmocka_unit_test_setup_teardown(test_share, on_tmpfs, finish),
		cmocka_unit_test_setup_teardown(test_full, on_ext4, finish),
		cmocka_unit_test_setup_teardown(test_share, on_ext4, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
