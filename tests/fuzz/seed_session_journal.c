/* SPDX-License-Identifier: Apache-2.0 */

/*
 * seed_session_journal DIR - write journals to DIR, as a start for fuzz_session_journal
 *
 * "file-N" is what the session store wrote after N changes, "entries-N" the same without sums.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/files.h"
#include "core/es/answer_cache.h"
#include "es/journal/session_store.h"

#define SESSION 0x1234abcd5678ef01ull
#define CHANGES 6

static void require(int holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "seed_session_journal: %s\n", what);
	exit(EXIT_FAILURE);
}

static size_t read_file(const char *path, uint8_t *to, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, size);

	require(n > 0, path);
	return (size_t)n;
}

static void write_seed(const char *dir, const char *name, int number, const struct buf *b)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s-%d", dir, name, number);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	require(fd >= 0 && files_write(fd, buf_bytes(b), b->len) == 0, path);
}

static void add(struct buf *b, const void *bytes, size_t len)
{
	require(buf_append(b, bytes, len, NULL) == 0, "out of memory");
}

/* One journal in both forms */
static void keep(const char *dir, int number, const uint8_t *file, size_t size)
{
	struct buf as_it_is, entries;

	buf_init(&as_it_is, 0);
	buf_init(&entries, 0);
	add(&as_it_is, "\0", 1);
	add(&as_it_is, file, size);
	add(&entries, "\1", 1);
	for (size_t at = 8; at + 16 <= size;) {
		size_t len = get_be32(file + at);
		const uint8_t head[3] = { file[at + 7], (uint8_t)(len >> 8), (uint8_t)len };

		add(&entries, head, sizeof(head));
		add(&entries, file + at + 16, len);
		at += 16 + len;
	}
	write_seed(dir, "file", number, &as_it_is);
	write_seed(dir, "entries", number, &entries);
	buf_deinit(&as_it_is);
	buf_deinit(&entries);
}

int main(int argc, char **argv)
{
	struct es_record r = { .session = SESSION,
			       .association = 3,
			       .epoch = 5,
			       .container_epoch = 4,
			       .state = WIRE_ES_ACTIVE,
			       .executed = 7 };
	char work[] = "/tmp/baton-seeds-XXXXXX", path[128];
	static uint8_t file[65536];

	require(argc == 2, "usage: seed_session_journal DIR");
	(void)strcpy(r.mud, "USER");
	(void)strcpy(r.service, "offload");
	(void)strcpy(r.ap, "AP-2");
	(void)strcpy(r.creator, "AP-1");
	(void)strcpy(r.peer, "EdgeServer-1");
	require(mkdtemp(work) != NULL, "make a directory");
	(void)snprintf(path, sizeof(path), "%s/%016llx.session", work, SESSION);
	AUTO(session_store) struct session_store *st = NULL;
	AUTO(answer_cache) struct answer_cache *cache = NULL;
	require(session_store_open(&st, work, NULL) == 0, "open a store");
	require(answer_cache_new(&cache, NULL) == 0, "out of memory");
	for (int i = 0; i < CHANGES; i++) {
		const struct wire_data answer = { .number = r.started,
						  .digest = 70,
						  .bytes = (const uint8_t *)"answer",
						  .len = 6 };
		enum es_persist what = ES_PERSIST_ALL;

		if (i > 0)
			what = i % 2 ? ES_PERSIST_STARTED : ES_PERSIST_ANSWER;
		if (what == ES_PERSIST_STARTED) {
			r.started = r.executed + 1;
		} else if (what == ES_PERSIST_ANSWER) {
			require(answer_cache_put(cache, &answer, NULL) == 0, "keep an answer");
			r.executed = r.started;
			r.started = 0;
		}
		require(session_store_persist(st, &r, cache, what, NULL) == 0, "write");
		keep(argv[1], i, file, read_file(path, file, sizeof(file)));
	}
	session_store_forget(st, SESSION);
	return rmdir(work) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
