/* SPDX-License-Identifier: Apache-2.0 */
#include "es/criu/memory_delta.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/auto.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/files.h"
#include "es/files/beneath.h"

#define PAGE       MEMORY_DELTA_PAGE
#define MAGIC      "BATONMD1"
#define HEAD_SIZE  24u
#define COPY_SIZE  16u
#define BYTES_SIZE 8u
#define RUN_MAX    (64u << 10) /* pages in one record */

/* a file, mapped; @bytes is NULL if it is empty */
struct mapped {
	uint8_t *bytes;
	size_t size;
};

/* where a page of the earlier checkpoint is: a slot of a table with open addressing */
struct place {
	uint64_t digest;
	uint32_t file;
	uint32_t page;
	bool used;
};

/* the earlier checkpoint: its files by number, and a table of their pages' contents */
struct memory_base {
	struct mapped file[MEMORY_DELTA_FILES];
	uint32_t files; /* the highest number and 1 */
	struct place *table;
	uint64_t mask; /* slots - 1 */
};

static void unmap(struct mapped *m)
{
	if (m->bytes)
		(void)munmap(m->bytes, m->size);
	*m = (struct mapped){ 0 };
}

/*
 * @populate: MAP_POPULATE for files of our own, as all of them is read soon. 0 for those of a peer:
 * a hole costs no memory until it is read.
 */
static int map_file(struct mapped *m, int dir, const char *name, int populate, struct err *err)
{
	struct stat st;

	auto_close int fd = beneath_regular(dir, name, O_RDONLY);
	if (fd < 0)
		return err_set(err, fd, "open %s", name);
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", name);
	m->size = (size_t)st.st_size;
	m->bytes = NULL;
	if (!m->size)
		return 0;
	void *bytes = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE | populate, fd, 0);
	if (bytes == MAP_FAILED)
		return err_set(err, -errno, "map %s", name);
	m->bytes = bytes;
	return 0;
}

/* Number of a file of pages with this ending. Return: -1 if it is none */
static int number_of(const char *name, const char *ending)
{
	const char *digits = name + strlen("pages-");
	char *end;

	if (strncmp(name, "pages-", strlen("pages-")) != 0 || *digits < '0' || *digits > '9')
		return -1;
	unsigned long n = strtoul(digits, &end, 10);
	return n < MEMORY_DELTA_FILES && strcmp(end, ending) == 0 ? (int)n : -1;
}

static void base_close(struct memory_base *b)
{
	for (uint32_t i = 0; i < b->files; i++)
		unmap(&b->file[i]);
	free(b->table);
	free(b);
}

static int base_map(struct memory_base *b, int dir, int populate, struct err *err)
{
	const struct dirent *entry;
	DIR *list = beneath_list(dir);
	int r = list ? 0 : err_set(err, -errno, "list the earlier checkpoint");

	while (r == 0 && (entry = readdir(list))) {
		int n = number_of(entry->d_name, ".img");

		if (n < 0)
			continue;
		b->files = (uint32_t)n < b->files ? b->files : (uint32_t)n + 1;
		r = map_file(&b->file[n], dir, entry->d_name, populate, err);
	}
	if (list)
		(void)closedir(list);
	return r;
}

static int base_open(struct memory_base **ret, int dir, int populate, struct err *err)
{
	struct memory_base *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_set(err, -ENOMEM, "read the earlier checkpoint");
	r = base_map(b, dir, populate, err);
	if (r < 0) {
		base_close(b);
		return r;
	}
	*ret = b;
	return 0;
}

/* --- making ----------------------------------------------------------------------------------- */

static struct place *slot_of(const struct memory_base *b, uint64_t digest)
{
	uint64_t at = digest & b->mask;

	while (b->table[at].used && b->table[at].digest != digest)
		at = (at + 1) & b->mask;
	return &b->table[at];
}

/* Of pages that are alike the first one counts. */
static int base_index(struct memory_base *b, struct err *err)
{
	uint64_t pages = 0;
	uint64_t slots = 16;

	for (uint32_t i = 0; i < b->files; i++)
		pages += b->file[i].size / PAGE;
	while (slots < 2 * pages)
		slots *= 2;
	b->table = calloc(slots, sizeof(*b->table));
	if (!b->table)
		return err_set(err, -ENOMEM, "index %" PRIu64 " pages", pages);
	b->mask = slots - 1;
	for (uint32_t i = 0; i < b->files; i++) {
		for (uint32_t page = 0; page < b->file[i].size / PAGE; page++) {
			uint64_t digest = XXH3_64bits(b->file[i].bytes + (size_t)page * PAGE, PAGE);
			struct place *p = slot_of(b, digest);

			if (!p->used)
				*p = (struct place){ digest, i, page, true };
		}
	}
	return 0;
}

/* The same page in the earlier checkpoint. Return: NULL if it has none */
static const struct place *find(const struct memory_base *b, const uint8_t *page)
{
	const struct place *p = slot_of(b, XXH3_64bits(page, PAGE));

	if (!p->used || memcmp(b->file[p->file].bytes + (size_t)p->page * PAGE, page, PAGE) != 0)
		return NULL;
	return p;
}

static bool base_has(const struct memory_base *b, uint32_t file, uint64_t page,
		     const uint8_t *bytes)
{
	return (page + 1) * PAGE <= b->file[file].size &&
	       memcmp(b->file[file].bytes + page * PAGE, bytes, PAGE) == 0;
}

/* Pages from @bytes on that follow one another in the earlier checkpoint, too */
static uint32_t run_same(const struct memory_base *b, const struct place *p, const uint8_t *bytes,
			 uint64_t left)
{
	uint32_t n = 1;

	while (n < left && n < RUN_MAX &&
	       base_has(b, p->file, (uint64_t)p->page + n, bytes + (size_t)n * PAGE))
		n++;
	return n;
}

static bool write_run(FILE *out, uint32_t count, uint32_t base, uint64_t page, size_t head,
		      const uint8_t *bytes)
{
	uint8_t record[COPY_SIZE];

	put_be32(record, count);
	put_be32(record + 4, base);
	put_be64(record + 8, page);
	return fwrite(record, 1, head, out) == head &&
	       (!bytes || fwrite(bytes, PAGE, count, out) == count);
}

static bool write_pages(FILE *out, const struct memory_base *b, const struct mapped *m,
			struct memory_delta_stats *stats)
{
	uint64_t pages = m->size / PAGE;
	bool good = true;

	for (uint64_t at = 0; good && at < pages;) {
		const uint8_t *bytes = m->bytes + at * PAGE;
		const struct place *p = find(b, bytes);
		uint32_t n = 1;

		if (p) {
			n = run_same(b, p, bytes, pages - at);
			good = write_run(out, n, p->file + 1, p->page, COPY_SIZE, NULL);
			stats->same += n;
		} else {
			while (at + n < pages && n < RUN_MAX && !find(b, bytes + (size_t)n * PAGE))
				n++;
			good = write_run(out, n, 0, 0, BYTES_SIZE, bytes);
		}
		at += n;
	}
	stats->pages += pages;
	return good;
}

static int make_one(const struct memory_base *b, const struct mapped *m, int delta, int number,
		    struct memory_delta_stats *stats, struct err *err)
{
	uint8_t head[HEAD_SIZE];
	char name[32];

	if (m->size % PAGE)
		return err_set(err, -EPROTO, "pages-%d.img is not made of pages", number);
	(void)snprintf(name, sizeof(name), "pages-%d.delta", number);
	auto_close int fd = beneath_create(delta, name);
	if (fd < 0)
		return err_set(err, fd, "create %s", name);
	auto_fclose FILE *out = fdopen(fd, "w");
	if (!out)
		return err_set(err, -errno, "create %s", name);
	(void)TAKE_FD(fd);
	memcpy(head, MAGIC, 8);
	put_be64(head + 8, m->size / PAGE);
	put_be64(head + 16, XXH3_64bits(m->bytes, m->size));
	if (fwrite(head, 1, sizeof(head), out) != sizeof(head) || !write_pages(out, b, m, stats) ||
	    fflush(out) != 0)
		return err_set(err, -errno, "write %s", name);
	stats->bytes += (uint64_t)ftello(out);
	return 0;
}

/* A file that has no pages is linked as it is */
static int link_one(int images, int delta, const char *name, struct memory_delta_stats *stats,
		    struct err *err)
{
	struct stat st = { 0 };
	int r = beneath_link(images, name, delta, name);

	if (r == 0)
		r = beneath_stat(delta, name, &st);
	stats->bytes += (uint64_t)st.st_size;
	return r < 0 ? err_set(err, r, "link %s", name) : 0;
}

/* One file of the checkpoint, of any kind */
static int make_entry(const struct memory_base *b, int images, int delta, const char *name,
		      struct memory_delta_stats *stats, struct err *err)
{
	int number = number_of(name, ".img");
	struct mapped m;
	int r;

	if (number < 0)
		return link_one(images, delta, name, stats, err);
	r = map_file(&m, images, name, MAP_POPULATE, err);
	if (r < 0)
		return r;
	r = make_one(b, &m, delta, number, stats, err);
	unmap(&m);
	return r;
}

int memory_base_new(struct memory_base **ret, int dir, struct err *err)
{
	struct memory_base *b;
	int r = base_open(&b, dir, MAP_POPULATE, err);

	if (r < 0)
		return r;
	r = base_index(b, err);
	if (r < 0) {
		base_close(b);
		return r;
	}
	*ret = b;
	return 0;
}

struct memory_base *memory_base_free(struct memory_base *b)
{
	if (b)
		base_close(b);
	return NULL;
}

int memory_delta_make(const struct memory_base *base, int images, int delta,
		      struct memory_delta_stats *stats, struct err *err)
{
	const struct dirent *entry;
	DIR *list = beneath_list(images);
	int r = list ? 0 : err_set(err, -errno, "list the checkpoint");

	memset(stats, 0, sizeof(*stats));
	while (r == 0 && (entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = make_entry(base, images, delta, entry->d_name, stats, err);
	}
	if (list)
		(void)closedir(list);
	return r;
}

/* --- applying --------------------------------------------------------------------------------- */

/* A delta that is being read: bytes from @at to @end are still to come */
struct reader {
	const uint8_t *at;
	const uint8_t *end;
};

static size_t left(const struct reader *rd)
{
	return (size_t)(rd->end - rd->at);
}

/* The next run of pages. Return: its first byte, or NULL if the delta is no good */
static const uint8_t *next_run(const struct memory_base *b, struct reader *rd, uint32_t *count)
{
	const uint8_t *bytes;

	if (left(rd) < BYTES_SIZE)
		return NULL;
	*count = get_be32(rd->at);
	uint32_t base = get_be32(rd->at + 4);
	size_t size = (size_t)*count * PAGE;

	if (!*count || *count > RUN_MAX || base > MEMORY_DELTA_FILES)
		return NULL;
	if (base == 0) {
		rd->at += BYTES_SIZE;
		if (left(rd) < size)
			return NULL;
		bytes = rd->at;
		rd->at += size;
		return bytes;
	}
	if (left(rd) < COPY_SIZE)
		return NULL;
	uint64_t page = get_be64(rd->at + 8);
	const struct mapped *from = &b->file[base - 1];
	rd->at += COPY_SIZE;
	if (page > from->size / PAGE || *count > from->size / PAGE - page)
		return NULL;
	return from->bytes + page * PAGE;
}

static int apply_runs(const struct memory_base *b, struct reader *rd, uint64_t pages, int fd,
		      const char *name, struct err *err)
{
	XXH3_state_t *digest = XXH3_createState();
	uint64_t wanted = get_be64(rd->at + 16);
	int r = digest ? 0 : err_set(err, -ENOMEM, "%s", name);

	if (r == 0)
		(void)XXH3_64bits_reset(digest);
	rd->at += HEAD_SIZE;
	while (r == 0 && pages) {
		uint32_t count = 0;
		const uint8_t *bytes = next_run(b, rd, &count);

		if (!bytes || count > pages) {
			r = err_set(err, -EPROTO, "%s is no delta of the checkpoint before", name);
			break;
		}
		(void)XXH3_64bits_update(digest, bytes, (size_t)count * PAGE);
		r = files_write(fd, bytes, (size_t)count * PAGE);
		if (r < 0)
			r = err_set(err, r, "write pages of %s", name);
		pages -= count;
	}
	if (r == 0 && (left(rd) || XXH3_64bits_digest(digest) != wanted))
		r = err_set(err, -EPROTO, "%s does not come to what it says", name);
	(void)XXH3_freeState(digest);
	return r;
}

static int apply_one(const struct memory_base *b, int images, const char *name, int number,
		     uint64_t *room, struct err *err)
{
	char pages_name[32];
	struct mapped m;
	int r = map_file(&m, images, name, 0, err);

	if (r < 0)
		return r;
	struct reader rd = { m.bytes, m.bytes ? m.bytes + m.size : NULL };
	uint64_t pages = m.size < HEAD_SIZE ? 0 : get_be64(m.bytes + 8);
	if (m.size < HEAD_SIZE || memcmp(m.bytes, MAGIC, 8) != 0)
		r = err_set(err, -EPROTO, "%s is no delta", name);
	else if (pages > *room / PAGE)
		r = err_set(err, -EFBIG, "%s: %" PRIu64 " pages", name, pages);
	if (r == 0) {
		(void)snprintf(pages_name, sizeof(pages_name), "pages-%d.img", number);
		auto_close int fd = beneath_create(images, pages_name);
		*room -= pages * PAGE;
		r = fd < 0 ? err_set(err, fd, "create %s", pages_name)
			   : apply_runs(b, &rd, pages, fd, name, err);
	}
	unmap(&m);
	if (r < 0)
		return r;
	r = beneath_unlink(images, name, 0);
	return r < 0 ? err_set(err, r, "remove %s", name) : 0;
}

/*
 * Notes which deltas there are: a directory in which files come and go is not read at the same
 * time.
 */
static int deltas_find(int images, bool there[MEMORY_DELTA_FILES], struct err *err)
{
	const struct dirent *entry;
	DIR *list = beneath_list(images);

	if (!list)
		return err_set(err, -errno, "list the checkpoint");
	while ((entry = readdir(list))) {
		int n = number_of(entry->d_name, ".delta");

		if (n >= 0)
			there[n] = true;
	}
	(void)closedir(list);
	return 0;
}

int memory_delta_apply(int base, int images, uint64_t max_bytes, struct err *err)
{
	bool there[MEMORY_DELTA_FILES] = { false };
	struct memory_base *b = NULL;
	int r = base_open(&b, base, 0, err);

	if (r == 0)
		r = deltas_find(images, there, err);
	for (int i = 0; r == 0 && i < (int)MEMORY_DELTA_FILES; i++) {
		char name[32];

		if (!there[i])
			continue;
		(void)snprintf(name, sizeof(name), "pages-%d.delta", i);
		r = apply_one(b, images, name, i, &max_bytes, err);
	}
	if (b)
		base_close(b);
	return r;
}
