/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A nasty tree, copied, changed, copied again, sent through an archive: what comes out must be what
 * went in. Needs root (device nodes, trusted attributes), and skips without.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "base/buf.h"
#include "base/err.h"
#include "es/files/beneath.h"
#include "es/files/layer.h"
#include "es/files/layer_archive.h"
#include "es/files/layer_node.h"

#define LIMIT (1u << 30)

static char base[64];

static int begin(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return -1;
	strcpy(base, "/tmp/baton-layer-XXXXXX");
	return mkdtemp(base) ? chdir(base) : -1;
}

static int finish(void **state)
{
	(void)state;
	return chdir("/") == 0 ? layer_path_remove(base, NULL) : -1;
}

static void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void put(const char *path, const char *text)
{
	auto_fclose FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

/** nasty_tree() - Everything a layer can have */
static void nasty_tree(void)
{
	static const char capability[20] = { 1, 0, 0, 2, 0, 4 };
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "upper/socket" };

	shell("rm -rf upper && mkdir -p upper/dir/deep upper/opaque upper/empty 'upper/sp ace'");
	put("upper/dir/plain", "text\n");
	put("upper/dir/deep/x", "");
	put("upper/sp ace/new\nline", "odd name\n");
	put("upper/suid", "#!\n");
	assert_int_equal(chmod("upper/suid", 04751), 0);
	assert_int_equal(chown("upper/dir/plain", 1234, 4321), 0);
	assert_int_equal(chmod("upper/empty", 01777), 0);
	assert_int_equal(chmod("upper/opaque", 0500), 0);
	assert_int_equal(symlink("/does/not/exist", "upper/link"), 0);
	assert_int_equal(lchown("upper/link", 7, 8), 0);
	assert_int_equal(mkfifo("upper/fifo", 0640), 0);
	assert_int_equal(mknod("upper/whiteout", S_IFCHR | 0000, makedev(0, 0)), 0);
	assert_int_equal(mknod("upper/null", S_IFCHR | 0666, makedev(1, 3)), 0);
	assert_int_equal(link("upper/dir/plain", "upper/hard1"), 0);
	assert_int_equal(link("upper/dir/plain", "upper/zhard2"), 0);
	assert_int_equal(setxattr("upper/opaque", "trusted.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(setxattr("upper/dir", "trusted.overlay.origin", "here", 4, 0), 0);
	assert_int_equal(setxattr("upper/dir/plain", "user.note", "a\0b", 3, 0), 0);
	assert_int_equal(setxattr("upper/suid", "security.capability", capability, 20, 0), 0);
	/* A file with holes: at the beginning, in the middle, at the end. */
	auto_close int fd = open("upper/sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(fd, "data", 4, 1 << 20), 4);
	assert_int_equal(pwrite(fd, "more", 4, 5 << 20), 4);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	auto_close int hole = open("upper/hole", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(hole, 8 << 20), 0);
	auto_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&a, sizeof(a)), 0);
	shell("touch -d '2001-02-03 04:05:06.123456789' upper/dir/plain upper/dir upper/fifo && "
	      "touch -h -d '1969-12-31 23:59:58.5' upper/link");
}

/** list() - One line for each file with all that must be kept, into the file @to */
static void list(const char *dir, const char *to)
{
	char command[1024];

	/* Times of sockets and origins of overlayfs stay behind; inode numbers become link groups. */
	(void)snprintf(command, sizeof(command),
		       "cd %s && { find . ! -type s -printf '%%p|%%y|%%m|%%U|%%G|%%n|%%T@|%%l\\n' |"
		       " LC_ALL=C sort; find . -type f ! -name '*\n*' -print0 | LC_ALL=C sort -z |"
		       " xargs -0 sha256sum; find . -type c -exec stat -c '%%n %%t %%T' {} + |"
		       " sort; } >%s/%s",
		       dir, base, to);
	shell(command);
}

static void expect_same(const char *a, const char *b)
{
	list(a, "a.txt");
	list(b, "b.txt");
	shell("diff a.txt b.txt >&2");
}

static void expect_xattr(const char *path, const char *name, const char *value, ssize_t size)
{
	char got[128];

	assert_int_equal(lgetxattr(path, name, got, sizeof(got)), size);
	if (size > 0)
		assert_memory_equal(got, value, (size_t)size);
}

/** expect_copy() - What list() cannot show of the nasty tree */
static void expect_copy(const char *root)
{
	char path[128];
	struct stat st;
	struct stat other;

#define AT(name) (snprintf(path, sizeof(path), "%s/" name, root), path)
	expect_xattr(AT("opaque"), "trusted.overlay.opaque", "y", 1);
	expect_xattr(AT("dir"), "trusted.overlay.origin", NULL, -1);
	expect_xattr(AT("dir/plain"), "user.note", "a\0b", 3);
	assert_int_equal(lgetxattr(AT("suid"), "security.capability", NULL, 0), 20);
	assert_int_equal(stat(AT("sparse"), &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(stat(AT("hole"), &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 16);
	assert_int_equal(st.st_size, 8 << 20);
	assert_int_equal(stat(AT("dir/plain"), &st), 0);
	assert_int_equal(stat(AT("hard1"), &other), 0);
	assert_int_equal(st.st_ino, other.st_ino);
	assert_int_equal(lstat(AT("socket"), &st), -1);
#undef AT
}

static int append(void *ctx, const void *bytes, size_t len, struct err *err)
{
	return buf_append(ctx, bytes, len, err);
}

/* Gives what is left, in pieces of odd size. */
static ssize_t give(void *ctx, const void **bytes, struct err *err)
{
	struct buf *b = ctx;
	static uint8_t piece[4099];
	size_t n = b->len < sizeof(piece) ? b->len : sizeof(piece);

	(void)err;
	if (n)
		memcpy(piece, buf_bytes(b), n);
	buf_consume(b, n);
	*bytes = piece;
	return (ssize_t)n;
}

static void pack_sent(struct buf *to, int dirfd, const char *root, struct archive_sent *sent)
{
	struct archive_writer *w = NULL;
	struct err err;

	buf_init(to, 0);
	assert_int_equal(archive_writer_new(&w, append, to, &err), 0);
	if (sent)
		archive_writer_remember(w, sent);
	if (archive_writer_add(w, dirfd, root, -1, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(archive_writer_end(w, &err), 0);
	archive_writer_free(w);
}

static void pack(struct buf *to, int dirfd, const char *root)
{
	pack_sent(to, dirfd, root, NULL);
}

static int unpack(struct buf *from, const char *dir, bool plain, uint64_t max, struct err *err)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct archive_root root = { .name = "layer", .dirfd = fd, .plain = plain, .ahead = -1 };

	assert_true(fd >= 0);
	return archive_extract(give, from, &root, 1, max, NULL, NULL, err);
}

/** staging_new() - Prepare to copy "upper" into "stage" */
static struct layer_staging *staging_new(const char *at, uint64_t max_bytes)
{
	struct layer_staging *ls = NULL;
	struct err err;

	shell("rm -rf stage && mkdir -m 700 stage");
	int upper = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int copy = open("stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(upper >= 0 && copy >= 0);
	assert_int_equal(layer_staging_new(&ls, upper, copy, at, max_bytes, &err), 0);
	return ls;
}

/** stage_pack() - An archive of the copy */
static void stage_pack(struct buf *to, struct archive_sent *sent)
{
	auto_close int fd = open("stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	pack_sent(to, fd, "layer", sent);
}

static void update(struct layer_staging *ls, bool frozen, struct layer_stats *stats)
{
	struct err err;

	if (layer_staging_update(ls, frozen, -1, stats, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_round_trip(void **state)
{
	struct layer_staging *ls = NULL;
	struct layer_stats stats;
	struct buf stream;
	struct err err;

	(void)state;
	nasty_tree();
	ls = staging_new("", LIMIT);
	update(ls, true, &stats);
	expect_same("upper", "stage");
	expect_copy("stage");
	stage_pack(&stream, NULL);
	/* Holes are not sent. */
	assert_true(stream.len < 1 << 20);
	shell("rm -rf out && mkdir out");
	if (unpack(&stream, "out", false, LIMIT, &err) < 0)
		fail_msg("%s", err.text);
	buf_deinit(&stream);
	expect_same("upper", "out");
	expect_copy("out");
	layer_staging_free(ls);
}

/* Each change that can happen between two updates. */
static const char *const changes[] = {
	"echo more >>upper/dir/plain",
	"printf TEXT >upper/dir/deep/x",
	"chmod 0600 upper/suid && chown 5:6 upper/fifo",
	"rm upper/hard1",
	"rm upper/zhard2 && echo now another >upper/zhard2",
	"ln upper/dir/plain upper/again",
	"rm -r upper/opaque && echo file >upper/opaque",
	"rm upper/link && mkdir upper/link && echo x >upper/link/x",
	"mv upper/dir upper/renamed",
	"rm upper/whiteout && mkdir upper/whiteout",
	"touch -d '2002-02-02' upper/empty upper/renamed/deep",
	"truncate -s 3M upper/sparse",
	"rm -r upper/renamed/deep && mkdir -p upper/renamed/deep/y",
	"chmod 0710 upper && chown 3:4 upper",
	"rm -r 'upper/sp ace' upper/null",
};

/* Each change must arrive, and only changes are copied. */
static void test_update(void **state)
{
	struct layer_staging *ls = NULL;
	struct layer_stats stats;

	(void)state;
	nasty_tree();
	ls = staging_new("", LIMIT);
	update(ls, false, &stats);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		shell(changes[i]);
		update(ls, i % 2, &stats);
		expect_same("upper", "stage");
	}
	assert_int_equal(removexattr("upper/renamed", "trusted.overlay.origin"), 0);
	assert_int_equal(setxattr("upper/renamed", "user.gone", "x", 1, 0), 0);
	update(ls, false, &stats);
	expect_xattr("stage/renamed", "user.gone", "x", 1);
	assert_int_equal(removexattr("upper/renamed", "user.gone"), 0);
	update(ls, true, &stats);
	expect_xattr("stage/renamed", "user.gone", NULL, -1);
	expect_same("upper", "stage");
	/* Nothing changed: nothing is copied. */
	update(ls, true, &stats);
	assert_int_equal(stats.copied_bytes, 0);
	assert_int_equal(stats.copied_files, 0);
	layer_staging_free(ls);
}

/** victim_make() - A directory of the host that no container may reach */
static void victim_make(void)
{
	shell("rm -rf victim && mkdir -p victim/dir && echo precious >victim/passwd &&"
	      "echo precious >victim/dir/file && touch -d '2001-01-01' victim/dir victim");
}

static void victim_untouched(void)
{
	shell("test \"$(cat victim/passwd victim/dir/file | grep -c precious)\" = 2 &&"
	      "test \"$(find victim | wc -l)\" = 4 &&"
	      "test \"$(stat -c %Y victim/dir)\" = \"$(date -d 2001-01-01 +%s)\"");
}

/*
 * A container exchanges a directory for a link between two updates (R16). It may do so at any depth, with
 * a link that leads anywhere, and fill the place where files are that it had before.
 */
static void test_directory_becomes_link(void **state)
{
	static const char *const before[] = {
		"mkdir -p upper/a/dir && touch upper/a/passwd upper/a/dir/file",
		"mkdir -p upper/x/a/dir && touch upper/x/a/passwd upper/x/a/dir/file",
		"mkdir -p upper/a upper/b/dir && touch upper/b/passwd upper/b/dir/file",
		"mkdir -p upper/a/dir && cd upper && touch a/passwd z && ln z a/dir/file",
	};
	static const char *const after[] = {
		"rm -r upper/a && ln -s \"$PWD/victim\" upper/a",
		"rm -r upper/x/a && ln -s ../../victim upper/x/a",
		"rm -r upper/b && ln -s ../victim upper/b && rmdir upper/a && ln -s b upper/a",
		"rm -r upper/a && ln -s ../victim upper/a && ln upper/z upper/y",
	};
	struct layer_stats stats;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(before) * 2; i++) {
		struct layer_staging *ls;

		victim_make();
		shell("rm -rf upper && mkdir upper");
		shell(before[i / 2]);
		ls = staging_new("", LIMIT);
		update(ls, false, &stats);
		shell(after[i / 2]);
		update(ls, i % 2, &stats);
		victim_untouched();
		expect_same("upper", "stage");
		layer_staging_free(ls);
		victim_untouched();
	}
}

/* A device in place of a file is copied as a device; it is never opened. */
static void test_device_is_not_opened(void **state)
{
	struct layer_staging *ls = NULL;
	struct layer_stats stats;

	(void)state;
	shell("rm -rf upper && mkdir upper && mkfifo upper/fifo && mknod upper/tty c 5 0");
	auto_close int fd = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(beneath_regular(fd, "fifo", O_RDONLY), -EMEDIUMTYPE);
	assert_int_equal(beneath_regular(fd, "tty", O_RDWR), -EMEDIUMTYPE);
	ls = staging_new("", LIMIT);
	update(ls, true, &stats);
	expect_same("upper", "stage");
	layer_staging_free(ls);
}

/* A directory's default ACL gives its new files rights; a copied file has its own and no other. */
static void test_default_acl(void **state)
{
	/* version 2; u::rwx, u:1000:rwx, g::r-x, m::rwx, o::r-x */
	static const uint8_t acl[] = { 2,    0,    0,    0, /**/
				       1,    0,    7,    0,    0xff, 0xff, 0xff, 0xff, 2,    0,
				       7,    0,    0xe8, 3,    0,    0,    4,    0,    5,    0,
				       0xff, 0xff, 0xff, 0xff, 0x10, 0,    7,    0,    0xff, 0xff,
				       0xff, 0xff, 0x20, 0,    5,    0,    0xff, 0xff, 0xff, 0xff };
	struct layer_staging *ls = NULL;
	struct layer_stats stats;
	struct buf stream;
	struct err err;

	(void)state;
	shell("rm -rf upper out && mkdir -p upper/dir/below out && echo text >upper/dir/file &&"
	      "chmod 600 upper/dir/file && chmod 700 upper/dir/below");
	if (setxattr("upper/dir", "system.posix_acl_default", acl, sizeof(acl), 0) < 0)
		skip(); /* the file system of /tmp has no ACLs */
	ls = staging_new("", LIMIT);
	update(ls, true, &stats);
	stage_pack(&stream, NULL);
	assert_int_equal(unpack(&stream, "out", false, LIMIT, &err), 0);
	buf_deinit(&stream);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(chdir(i ? "out" : "stage"), 0);
		expect_xattr("dir", "system.posix_acl_default", (const char *)acl, sizeof(acl));
		expect_xattr("dir/file", "system.posix_acl_access", NULL, -1);
		expect_xattr("dir/below", "system.posix_acl_access", NULL, -1);
		expect_xattr("dir/below", "system.posix_acl_default", NULL, -1);
		assert_int_equal(chdir(".."), 0);
	}
	expect_same("upper", "out");
	layer_staging_free(ls);
}

/* A layer sent ahead and again after changes arrives as it was the second time, the same files unsent. */
static void test_ahead(void **state)
{
	struct archive_sent *sent = NULL;
	struct layer_staging *ls = NULL;
	struct layer_stats stats;
	struct buf stream;
	struct err err;

	(void)state;
	nasty_tree();
	shell("head -c 300000 /dev/urandom >upper/big && ln upper/big upper/big2");
	/* a file changed less than a timer tick ago is copied again in any case */
	shell("touch -d '2001-01-01' upper/big; sleep 0.1");
	ls = staging_new("", LIMIT);
	update(ls, false, &stats);
	for (size_t i = 0; i <= ARRAY_SIZE(changes); i++) {
		shell("rm -rf ahead out && mkdir ahead out");
		assert_int_equal(archive_sent_new(&sent, &err), 0);
		stage_pack(&stream, sent);
		size_t whole = stream.len;
		if (unpack(&stream, "ahead", false, LIMIT, &err) < 0)
			fail_msg("%s", err.text);
		buf_deinit(&stream);
		if (i < ARRAY_SIZE(changes))
			shell(changes[i]);
		update(ls, true, &stats);
		stage_pack(&stream, sent);
		assert_true(stream.len + 250000 < whole);
		auto_close int out = open("out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		auto_close int ahead = open("ahead", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct archive_root root = { .name = "layer", .dirfd = out, .ahead = ahead };
		if (archive_extract(give, &stream, &root, 1, LIMIT, NULL, NULL, &err) < 0)
			fail_msg("after '%s': %s", i < ARRAY_SIZE(changes) ? changes[i] : "",
				 err.text);
		buf_deinit(&stream);
		shell("rm -rf ahead"); /* further names of files of several names are still there */
		expect_same("upper", "out");
		if (i < ARRAY_SIZE(changes))
			sent = archive_sent_free(sent);
	}
	/* without what came before, a reference is refused */
	stage_pack(&stream, sent);
	shell("rm -rf out && mkdir out");
	assert_int_equal(unpack(&stream, "out", false, LIMIT, &err), -EPROTO);
	buf_deinit(&stream);
	archive_sent_free(sent);
	layer_staging_free(ls);
}

/* Volumes may lie on another file system than what came ahead: then it is copied, with its holes. */
static void test_ahead_elsewhere(void **state)
{
	char elsewhere[] = "/dev/shm/baton-layer-XXXXXX";
	struct archive_sent *sent = NULL;
	struct layer_staging *ls = NULL;
	struct layer_stats stats;
	struct buf stream;
	struct err err;
	struct stat st;
	struct stat here;

	(void)state;
	assert_non_null(mkdtemp(elsewhere));
	assert_int_equal(stat(elsewhere, &st), 0);
	assert_int_equal(stat(".", &here), 0);
	if (st.st_dev == here.st_dev) {
		(void)rmdir(elsewhere);
		skip();
	}
	shell("rm -rf upper out && mkdir upper out && head -c 300000 /dev/urandom >upper/big &&"
	      "truncate -s 5M upper/big && ln upper/big upper/big2 && chmod 4751 upper/big &&"
	      "touch -d '2001-01-01' upper/big; sleep 0.1");
	ls = staging_new("", LIMIT);
	assert_int_equal(archive_sent_new(&sent, &err), 0);
	update(ls, false, &stats);
	stage_pack(&stream, sent);
	assert_int_equal(unpack(&stream, elsewhere, false, LIMIT, &err), 0);
	buf_deinit(&stream);
	update(ls, true, &stats);
	stage_pack(&stream, sent);
	assert_true(stream.len < 100000);
	auto_close int out = open("out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int ahead = open(elsewhere, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct archive_root root = { .name = "layer", .dirfd = out, .ahead = ahead };
	assert_int_equal(archive_extract(give, &stream, &root, 1, LIMIT, NULL, NULL, &err), 0);
	expect_same("upper", "out");
	assert_int_equal(stat("out/big", &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
	buf_deinit(&stream);
	archive_sent_free(sent);
	layer_staging_free(ls);
	assert_int_equal(layer_path_remove(elsewhere, NULL), 0);
}

/**
 * mapped() - The layer (@at "") or a volume, and a file of it by its path in the container
 *
 * With more names around it, whichever comes first when the directory is read.
 */
static void mapped(const char *at, const char *path, const char *more_names)
{
	struct layer_staging *ls = NULL;
	struct layer_stats stats;
	char got[8] = "";

	shell("rm -rf upper && mkdir upper");
	put("upper/map", "before");
	shell(more_names);
	auto_close int fd = open("upper/map", O_RDWR | O_CLOEXEC);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	map[0] = 'B';
	shell("sleep 0.1");
	ls = staging_new(at, LIMIT);
	update(ls, false, &stats);
	layer_staging_dirty(ls, path);
	update(ls, false, &stats); /* what it has named stays so until all is frozen */
	memcpy(map, "AFTER ", 6);
	update(ls, true, &stats);
	auto_close int copy = open("stage/map", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(copy, got, 6), 6);
	assert_string_equal(got, "AFTER ");
	(void)munmap(map, 4096);
	layer_staging_free(ls);
}

/* A page that is dirty can be written again without any time changing. */
static void test_mapped(void **state)
{
	(void)state;
	mapped("", "/map", "true");
	mapped("/volume", "/volume/map", "true");
	mapped("", "/map", "for i in 1 2 3 4 5 6 7 8; do ln upper/map upper/$i; done");
}

/* Attributes with odd names: there are as many after two hops, with the same values. */
static void test_odd_attributes(void **state)
{
	static const char *const names[] = { "user.a=b",      "user.a",   "user.new\nline",
					     "user.\xff\xfe", "user.%3d", "user.a=b=c" };
	struct buf stream;
	struct err err;
	char list[512];

	(void)state;
	shell("rm -rf upper out && mkdir upper && echo x >upper/file");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(setxattr("upper/file", names[i], names[i], strlen(names[i]), 0),
				 0);
	for (int hop = 0; hop < 2; hop++) {
		auto_close int fd = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		pack(&stream, fd, "layer");
		shell("rm -rf out && mkdir out");
		if (unpack(&stream, "out", false, LIMIT, &err) < 0)
			fail_msg("%s", err.text);
		buf_deinit(&stream);
		shell("rm -rf upper && cp -a --reflink=auto out upper");
	}
	ssize_t len = listxattr("out/file", list, sizeof(list));
	size_t count = 0;
	for (ssize_t i = 0; i < len; i++)
		count += !list[i];
	assert_int_equal(count, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		expect_xattr("out/file", names[i], names[i], (ssize_t)strlen(names[i]));
}

/* The longest hole takes no time: reading it would take a quarter of an hour. */
static void test_long_hole(void **state)
{
	struct buf stream;
	struct err err;
	struct stat st;

	(void)state;
	shell("rm -rf upper out && mkdir upper out && truncate -s 1T upper/sparse && "
	      "printf end | dd of=upper/sparse bs=1 seek=500G conv=notrunc 2>/dev/null");
	auto_close int fd = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pack(&stream, fd, "layer");
	assert_true(stream.len < 1 << 20);
	if (unpack(&stream, "out", false, 2ull << 40, &err) < 0)
		fail_msg("%s", err.text);
	buf_deinit(&stream);
	assert_int_equal(stat("out/sparse", &st), 0);
	assert_int_equal(st.st_size, 1ll << 40);
	assert_true(st.st_blocks < 1024);
	shell("test \"$(dd if=out/sparse bs=1 skip=500G count=3 2>/dev/null)\" = end");
	shell("rm -rf upper out");
}

static void test_limits(void **state)
{
	struct layer_staging *ls = NULL;
	struct layer_stats stats;
	struct buf stream;
	struct err err;

	(void)state;
	shell("rm -rf upper && mkdir upper && head -c 300000 /dev/urandom >upper/big");
	ls = staging_new("", 100000);
	assert_int_equal(layer_staging_update(ls, false, -1, &stats, &err), -EFBIG);
	layer_staging_free(ls);
	auto_close int fd = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pack(&stream, fd, "layer");
	shell("rm -rf out && mkdir out");
	assert_int_equal(unpack(&stream, "out", false, 100000, &err), -EFBIG);
	buf_deinit(&stream);
	pack(&stream, fd, "unknown");
	assert_int_equal(unpack(&stream, "out", false, LIMIT, &err), -EPROTO);
	buf_deinit(&stream);
	/* Holes count: a small stream must not become a file that fills the disk, or somebody's memory. */
	shell("rm -rf upper out && mkdir upper out && truncate -s 1G upper/sparse");
	ls = staging_new("", 1 << 20);
	assert_int_equal(layer_staging_update(ls, false, -1, &stats, &err), -EFBIG);
	layer_staging_free(ls);
	auto_close int sparse = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pack(&stream, sparse, "layer");
	assert_true(stream.len < 1 << 16);
	assert_int_equal(unpack(&stream, "out", false, 1 << 20, &err), -EFBIG);
	buf_deinit(&stream);
	/* So do names and attributes: each of these files is empty. */
	shell("rm -rf upper out && mkdir upper out && cd upper && for i in $(seq 200); do :>$i; "
	      "done");
	auto_close int many = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pack(&stream, many, "layer");
	assert_int_equal(unpack(&stream, "out", false, 100 * 512, &err), -EFBIG);
	buf_deinit(&stream);
	char value[1024];
	memset(value, 'x', sizeof(value));
	shell("rm -rf upper out && mkdir upper out && : >upper/one");
	assert_int_equal(setxattr("upper/one", "trusted.much", value, sizeof(value), 0), 0);
	auto_close int one = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pack(&stream, one, "layer");
	assert_int_equal(unpack(&stream, "out", false, 2 * 512 + sizeof(value), &err), -EFBIG);
	buf_deinit(&stream);
	/* Cut short anywhere, it is an error, never a crash or a success. */
	shell("head -c 300000 /dev/urandom >upper/big");
	pack(&stream, one, "layer");
	stream.len = 150000;
	shell("rm -rf out && mkdir out");
	assert_true(unpack(&stream, "out", false, LIMIT, &err) < 0);
	buf_deinit(&stream);
}

/** struct evil - An entry that must not be taken */
struct evil {
	const char *path;
	const char *hardlink;
	const char *symlink;
	bool plain;
};

static la_ssize_t evil_write(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	(void)a;
	return buf_append(ctx, bytes, len, NULL) < 0 ? -1 : (la_ssize_t)len;
}

/** evil_pack() - An archive with a symbolic link "layer/out" to / and one evil entry */
static void evil_pack(struct buf *to, const struct evil *evil)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	buf_init(to, 0);
	archive_write_set_format_pax(a);
	assert_int_equal(archive_write_open(a, to, NULL, evil_write, NULL), ARCHIVE_OK);
	if (!evil->plain) {
		archive_entry_set_pathname(e, "layer/out");
		archive_entry_set_symlink(e, "/");
		archive_entry_set_filetype(e, AE_IFLNK);
		archive_entry_set_perm(e, 0777);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		archive_entry_clear(e);
	}
	archive_entry_set_pathname(e, evil->path);
	archive_entry_set_filetype(e, evil->symlink ? AE_IFLNK : AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, 0);
	if (evil->hardlink)
		archive_entry_set_hardlink(e, evil->hardlink);
	if (evil->symlink)
		archive_entry_set_symlink(e, evil->symlink);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	archive_entry_free(e);
	archive_write_close(a);
	archive_write_free(a);
}

static void test_evil(void **state)
{
	static const struct evil evils[] = {
		{ .path = "/etc/baton-evil" },
		{ .path = "layer/../baton-evil" },
		{ .path = "layer/a/../../baton-evil" },
		{ .path = "layer/.." },
		{ .path = "layer/out/tmp/baton-evil" },
		{ .path = "layer/x", .hardlink = "/etc/passwd" },
		{ .path = "layer/x", .hardlink = "layer/out/etc/passwd" },
		{ .path = "layer/x", .hardlink = "layer/../../etc/passwd" },
		{ .path = "layer/x", .symlink = "" },
		{ .path = "layerx" },
		{ .path = "other/x" },
		{ .path = "layer/link", .symlink = "/etc/passwd", .plain = true },
		{ .path = "layer/x", .hardlink = "layer/y", .plain = true },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(evils); i++) {
		struct buf stream;

		shell("rm -rf out && mkdir out");
		evil_pack(&stream, &evils[i]);
		if (unpack(&stream, "out", evils[i].plain, LIMIT, &err) >= 0)
			fail_msg("%s was taken", evils[i].path);
		buf_deinit(&stream);
	}
	assert_int_equal(access("/tmp/baton-evil", F_OK), -1);
	assert_int_equal(access("baton-evil", F_OK), -1);
}

/* Trees are as deep as we can copy, and remove again; an archive must not make deeper ones. */
static void test_deep(void **state)
{
	struct evil deep = { .path = NULL };
	char path[4096] = "layer";
	struct buf stream;
	struct err err;

	(void)state;
	for (int i = 0; i < 300; i++)
		strcat(path, "/d");
	deep.path = path;
	shell("rm -rf out && mkdir -p out/d && cd out/d && for i in $(seq 299); do mkdir d; cd d; "
	      "done");
	evil_pack(&stream, &deep);
	assert_int_equal(unpack(&stream, "out", false, LIMIT, &err), -EFBIG);
	buf_deinit(&stream);
	shell("rm -rf out upper && mkdir upper && cd upper &&"
	      "for i in $(seq 300); do mkdir d; cd d; done");
	struct layer_staging *ls = staging_new("", LIMIT);
	struct layer_stats stats;
	assert_int_equal(layer_staging_update(ls, true, -1, &stats, &err), -ELOOP);
	/* the reason first: an event takes 256 bytes */
	assert_non_null(strstr(err.text, "deeper than 256"));
	assert_true(strstr(err.text, "deeper than 256") - err.text < 100);
	assert_true(strlen(err.text) < 200);
	layer_staging_free(ls);
	assert_int_equal(layer_path_remove("stage", &err), 0);
	shell("rm -rf upper");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_directory_becomes_link),
		cmocka_unit_test(test_device_is_not_opened),
		cmocka_unit_test(test_default_acl),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_ahead_elsewhere),
		cmocka_unit_test(test_odd_attributes),
		cmocka_unit_test(test_long_hole),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_evil),
		cmocka_unit_test(test_deep),
	};

	if (geteuid() != 0) {
		printf("skipped: device nodes and trusted attributes need root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, begin, finish);
}
