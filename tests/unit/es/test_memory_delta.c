/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/bytes.h"
#include "base/err.h"
#include "es/criu/memory_delta.h"
#include "es/files/layer_node.h"

#define PAGE  MEMORY_DELTA_PAGE
#define PAGES 700u

/* A checkpoint taken ahead (base), the one of the cut (images), what is sent of it (delta) */
struct bed {
	char dir[32];
	int base, images, delta;
};

static int directory(const struct bed *b, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", b->dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	strcpy(b->dir, "/tmp/baton-test-delta-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->base = directory(b, "base");
	b->images = directory(b, "images");
	b->delta = directory(b, "delta");
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	close(b->base);
	close(b->images);
	close(b->delta);
	assert_int_equal(layer_path_remove(b->dir, NULL), 0);
	free(b);
	return 0;
}

static void put(int dir, const char *name, const void *bytes, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static size_t get(int dir, const char *name, void *to, size_t room)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	ssize_t n = read(fd, to, room);
	assert_true(n >= 0);
	close(fd);
	return (size_t)n;
}

static off_t size_of(int dir, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, 0), 0);
	return st.st_size;
}

/* Every page different, but by its number the same again */
static void fill(uint8_t *bytes, uint32_t pages, uint32_t first)
{
	for (uint32_t i = 0; i < pages; i++) {
		memset(bytes + (size_t)i * PAGE, (int)(i & 0xff), PAGE);
		put_be32(bytes + (size_t)i * PAGE, first + i);
	}
}

static int make(const struct bed *b, struct memory_delta_stats *stats, struct err *err)
{
	AUTO(memory_base) struct memory_base *base = NULL;

	assert_int_equal(memory_base_new(&base, b->base, err), 0);
	return memory_delta_make(base, b->images, b->delta, stats, err);
}

/* Pages that changed, came, went, and lie elsewhere than before */
static void test_round_trip(void **state)
{
	struct bed *b = *state;
	struct memory_delta_stats stats;
	struct err err;

	auto_free uint8_t *before = malloc((size_t)PAGES * PAGE);
	auto_free uint8_t *after = malloc((size_t)PAGES * PAGE);
	auto_free uint8_t *again = malloc((size_t)PAGES * PAGE);
	fill(before, PAGES, 0);
	/* 300 pages have moved by 17, then 100 new ones, then 200 where they were, one of them changed */
	memcpy(after, before + (size_t)17 * PAGE, (size_t)300 * PAGE);
	fill(after + (size_t)300 * PAGE, 100, 5000);
	memcpy(after + (size_t)400 * PAGE, before + (size_t)400 * PAGE, (size_t)200 * PAGE);
	after[(size_t)450 * PAGE + 77] ^= 1;
	put(b->base, "pages-1.img", before, (size_t)PAGES * PAGE);
	put(b->images, "pages-1.img", after, (size_t)600 * PAGE);
	put(b->images, "pages-2.img", before, PAGE); /* a process more */
	put(b->images, "pages-3.img", before, 0);
	put(b->images, "core-1.img", "core", 4);
	assert_int_equal(make(b, &stats, &err), 0);
	assert_int_equal(stats.pages, 601);
	assert_int_equal(stats.same, 601 - 101);
	assert_true(size_of(b->delta, "pages-1.delta") < 102 * (off_t)PAGE);
	/* what a held cut is waited for: the bytes that really go */
	assert_int_equal(stats.bytes, size_of(b->delta, "pages-1.delta") +
					      size_of(b->delta, "pages-2.delta") +
					      size_of(b->delta, "pages-3.delta") + 4);
	assert_int_equal(faccessat(b->delta, "pages-1.img", F_OK, 0), -1);
	assert_int_equal(memory_delta_apply(b->base, b->delta, 1u << 30, &err), 0);
	assert_int_equal(get(b->delta, "pages-1.img", again, (size_t)PAGES * PAGE), 600 * PAGE);
	assert_memory_equal(again, after, (size_t)600 * PAGE);
	assert_int_equal(get(b->delta, "pages-2.img", again, (size_t)PAGES * PAGE), PAGE);
	assert_memory_equal(again, before, PAGE);
	assert_int_equal(size_of(b->delta, "pages-3.img"), 0);
	assert_int_equal(get(b->delta, "core-1.img", again, 16), 4);
	assert_int_equal(faccessat(b->delta, "pages-1.delta", F_OK, 0), -1);
}

static void test_not_pages(void **state)
{
	struct bed *b = *state;
	struct memory_delta_stats stats;
	struct err err;

	put(b->images, "pages-1.img", "odd", 3);
	assert_int_equal(make(b, &stats, &err), -EPROTO);
	assert_non_null(strstr(err.text, "pages-1.img"));
}

static size_t head(uint8_t *to, uint64_t pages)
{
	memcpy(to, "BATONMD1", 8);
	put_be64(to + 8, pages);
	put_be64(to + 16, 0);
	return 24;
}

static size_t copy(uint8_t *to, uint32_t count, uint32_t base, uint64_t page)
{
	put_be32(to, count);
	put_be32(to + 4, base);
	put_be64(to + 8, page);
	return 16;
}

static void refused(const struct bed *b, const void *bytes, size_t len, int code)
{
	struct err err;

	put(b->delta, "pages-1.delta", bytes, len);
	assert_int_equal(memory_delta_apply(b->base, b->delta, 64 * PAGE, &err), code);
	assert_non_null(strstr(err.text, "pages-1.delta"));
	(void)unlinkat(b->delta, "pages-1.img", 0);
}

/* What comes from another host is looked at before it is believed. */
static void test_bad(void **state)
{
	const struct bed *b = *state;
	uint8_t bytes[24 + 3 * 16 + PAGE] = { 0 };
	uint8_t pages[2 * PAGE] = { 0 };
	size_t at;

	put(b->base, "pages-1.img", pages, sizeof(pages));
	refused(b, bytes, 0, -EPROTO);
	refused(b, bytes, sizeof(bytes), -EPROTO);
	at = head(bytes, 65);
	refused(b, bytes, at, -EFBIG); /* more than there is room for */
	at = head(bytes, UINT64_MAX);
	refused(b, bytes, at, -EFBIG);
	at = head(bytes, 2);
	refused(b, bytes, at, -EPROTO);                                /* ends early */
	refused(b, bytes, at + copy(bytes + at, 0, 2, 0), -EPROTO);    /* a run of nothing */
	refused(b, bytes, at + copy(bytes + at, 3, 2, 0), -EPROTO);    /* more than it says */
	refused(b, bytes, at + copy(bytes + at, 2, 2, 1), -EPROTO);    /* beyond its end */
	refused(b, bytes, at + copy(bytes + at, 2, 3, 0), -EPROTO);    /* of no file */
	refused(b, bytes, at + copy(bytes + at, 2, 2000, 0), -EPROTO); /* nor could be */
	refused(b, bytes, at + copy(bytes + at, 2, 2, UINT64_MAX), -EPROTO);
	refused(b, bytes, at + copy(bytes + at, 2, 2, 0), -EPROTO); /* but for its digest good */
	refused(b, bytes, at + copy(bytes + at, 2, 0, 0), -EPROTO); /* pages that do not follow */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
