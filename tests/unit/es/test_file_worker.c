/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The file worker, and what is behind its checks (R16)
 *
 * argv[1] is baton-file-worker, argv[2] the same with every check of es/files/beneath.c taken out: names
 * are followed wherever they lead. The host must be untouched all the same. Needs root.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/err.h"
#include "es/files/layer_node.h"
#include "es/worker/file_worker.h"
#include "es/worker/line.h"

#define LIMIT (64u << 20)

static struct file_workers *worker;
static struct file_workers *hole;
static char *self; /* path of this program */
static char base[64];

static void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static int begin(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	strcpy(base, "/tmp/baton-worker-XXXXXX");
	if (!mkdtemp(base) || chdir(base) < 0)
		return -1;
	shell("mkdir -p victim/dir && echo precious >victim/file && echo precious >victim/dir/file "
	      "&&"
	      "mkdir in copy out");
	return 0;
}

static int finish(void **state)
{
	(void)state;
	return chdir("/") == 0 ? layer_path_remove(base, NULL) : -1;
}

/** host_untouched() - Nothing of the victim is missing or changed, and nothing new is anywhere around it */
static void host_untouched(void)
{
	shell("test \"$(cat victim/file victim/dir/file | grep -c precious)\" = 2 &&"
	      "test \"$(find victim | wc -l)\" = 4 && test ! -e evil && test ! -e /baton-evil &&"
	      "test ! -e /etc/baton-evil && test ! -e /tmp/baton-evil");
}

static struct file_worker *start(struct file_workers *of)
{
	struct file_worker *fw = NULL;
	struct err err;

	if (file_worker_start(&fw, of, -1, &err) < 0)
		fail_msg("%s", err.text);
	return fw;
}

static struct file_workers *workers_of(const char *program, const struct file_patience *patience)
{
	struct file_workers *w = NULL;

	assert_int_equal(file_workers_new(&w, program, patience, NULL), 0);
	return w;
}

static struct file_place give(struct file_worker *fw, const char *dir, bool writable)
{
	struct err err;
	int n = file_worker_directory(fw, dir, writable, &err);

	if (n < 0)
		fail_msg("%s", err.text);
	return (struct file_place){ .dir = n, .path = "" };
}

static int take(void *ctx, const void *bytes, size_t len, struct err *err)
{
	return buf_append(ctx, bytes, len, err);
}

static ssize_t give_bytes(void *ctx, const void **bytes, struct err *err)
{
	static uint8_t piece[9973];
	struct buf *b = ctx;
	size_t n = b->len < sizeof(piece) ? b->len : sizeof(piece);

	(void)err;
	if (n)
		memcpy(piece, buf_bytes(b), n);
	buf_consume(b, n);
	*bytes = piece;
	return (ssize_t)n;
}

static int extract(struct file_worker *fw, struct buf *from, struct file_place to, struct err *err)
{
	const struct file_tree tree = { .name = "layer", .place = to, .ahead = { .dir = -1 } };
	const struct file_extracting how = { .max_bytes = LIMIT,
					     .source = give_bytes,
					     .ctx = from };

	return file_worker_extract(fw, &tree, 1, &how, err);
}

/* A tree goes through all of it: copied, packed, sent, unpacked, removed. */
static void test_round_trip(void **state)
{
	struct file_worker *fw = start(worker);
	struct layer_stats stats;
	struct buf stream;
	struct err err;

	(void)state;
	shell("cd in && mkdir -p a/b 'odd name' && head -c 700000 /dev/urandom >a/b/data &&"
	      "ln a/b/data hard && ln -s /nowhere a/link && mknod gone c 0 0 && mknod null c 1 3 &&"
	      "mkfifo fifo && chown 12:34 a && chmod 4751 hard && truncate -s 3M a/hole &&"
	      "touch -d 2001-01-01 a 'odd name'");
	struct file_place copy = give(fw, "copy", true);
	int layer = file_worker_layer_new(fw, give(fw, "in", false), copy, "", LIMIT, &err);
	assert_int_equal(layer, 0);
	if (file_worker_layer_update(fw, layer, false, &stats, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < 200; i++) /* more than may be posted */
		assert_int_equal(file_worker_layer_dirty(fw, layer, "/a/b/data", &err), 0);
	assert_int_equal(file_worker_layer_update(fw, layer, true, &stats, &err), 0);
	assert_true(stats.copied_bytes >= 700000);
	const struct file_tree tree = { .name = "layer", .place = copy, .ahead = { .dir = -1 } };
	const struct file_packing how = { .sink = take, .ctx = &stream };
	buf_init(&stream, 0);
	assert_int_equal(file_worker_pack(fw, &tree, 1, &how, &err), 0);
	assert_true(stream.len > 700000 && stream.len < 800000);
	if (extract(fw, &stream, give(fw, "out", true), &err) < 0)
		fail_msg("%s", err.text);
	shell("for d in in copy out; do (cd $d && find . -printf '%P|%y|%m|%U|%G|%n|%T@|%l\\n' |"
	      "grep -v '^|d' | sort && sha256sum a/b/data) >$d.txt || exit 1; done;"
	      "cmp in.txt copy.txt && cmp in.txt out.txt && test $(wc -l <in.txt) = 11");
	assert_int_equal(file_worker_empty(fw, copy, &err), 0);
	shell("test -z \"$(ls -A copy)\"");
	buf_deinit(&stream);
	file_worker_free(fw);
	assert_int_equal(file_worker_remove(worker, "out", &err), 0);
	assert_int_equal(access("out", F_OK), -1);
	assert_int_equal(file_worker_remove(worker, "out", &err), 0);
}

/* A directory that is only to be read cannot be changed, even by a worker without checks. */
static void test_read_only(void **state)
{
	struct file_worker *fw = start(worker);
	struct err err;

	(void)state;
	shell("touch in/file");
	assert_int_equal(file_worker_empty(fw, give(fw, "in", false), &err), -EROFS);
	shell("test -e in/file");
	file_worker_free(fw);
}

/* The container exchanges directories for links between two updates; no check of ours is there. */
static void test_links_lead_nowhere(void **state)
{
	static const char *const links[] = { "../victim", "../../../../../../../../../..",
					     "/proc/1/root", "/proc/self/cwd", "/" };
	char command[512];
	struct layer_stats stats;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(links) + 1; i++) {
		struct file_worker *fw = start(hole);

		shell("rm -rf in copy && mkdir -p in/a/dir copy && touch in/a/file in/a/dir/file");
		int layer = file_worker_layer_new(fw, give(fw, "in", false), give(fw, "copy", true),
						  "", LIMIT, &err);
		assert_int_equal(layer, 0);
		assert_int_equal(file_worker_layer_update(fw, layer, false, &stats, &err), 0);
		(void)snprintf(command, sizeof(command), "rm -r in/a && ln -s '%s' in/a",
			       i ? links[i - 1] : "$PWD/victim");
		if (!i)
			(void)snprintf(command, sizeof(command),
				       "rm -r in/a && ln -s %s/victim in/a", base);
		shell(command);
		(void)file_worker_layer_update(fw, layer, true, &stats, &err);
		host_untouched();
		file_worker_free(fw);
	}
}

/** struct evil - An archive: links first, then a file */
struct evil {
	const char *link;
	const char *target;
	const char *path;
};

static la_ssize_t evil_write(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	(void)a;
	return buf_append(ctx, bytes, len, NULL) < 0 ? -1 : (la_ssize_t)len;
}

static void evil_pack(struct buf *to, const struct evil *evil)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	buf_init(to, 0);
	archive_write_set_format_pax(a);
	assert_int_equal(archive_write_open(a, to, NULL, evil_write, NULL), ARCHIVE_OK);
	if (evil->link) {
		archive_entry_set_pathname(e, evil->link);
		archive_entry_set_symlink(e, evil->target);
		archive_entry_set_filetype(e, AE_IFLNK);
		archive_entry_set_perm(e, 0777);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		archive_entry_clear(e);
	}
	archive_entry_set_pathname(e, evil->path);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, 0);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	archive_entry_free(e);
	archive_write_close(a);
	archive_write_free(a);
}

/* A peer's archive names files outside; no check of ours is there. */
static void test_names_lead_nowhere(void **state)
{
	static const struct evil evils[] = {
		{ NULL, NULL, "layer/../evil" },
		{ NULL, NULL, "layer/../victim/evil" },
		{ NULL, NULL, "layer/../../../../../../../etc/baton-evil" },
		{ "layer/out", "/", "layer/out/baton-evil" },
		{ "layer/out", "/etc", "layer/out/baton-evil" },
		{ "layer/out", "../victim", "layer/out/evil" },
		{ "layer/out", "/proc/1/root/etc", "layer/out/baton-evil" },
		{ "layer/out", "/proc/self/root", "layer/out/baton-evil" },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(evils); i++) {
		for (int checked = 0; checked < 2; checked++) {
			struct file_worker *fw = start(checked ? worker : hole);
			struct buf stream;

			shell("rm -rf out && mkdir out");
			evil_pack(&stream, &evils[i]);
			int r = extract(fw, &stream, give(fw, "out", true), &err);
			host_untouched();
			if (checked && r >= 0)
				fail_msg("%s was taken", evils[i].path);
			buf_deinit(&stream);
			file_worker_free(fw);
		}
	}
}

/* A device of the tree cannot be opened in the sandbox, even if nobody looks first. */
static void test_devices_stay_closed(void **state)
{
	struct file_worker *fw = start(hole);
	struct buf stream;
	struct err err;

	(void)state;
	shell("mkdir -p out/dev && mknod out/dev/mem c 1 5 && chmod 666 out/dev/mem");
	/* "extract" over a device: the file that is opened to be written is the device */
	const struct evil evil = { NULL, NULL, "layer/dev/mem" };
	evil_pack(&stream, &evil);
	assert_true(extract(fw, &stream, give(fw, "out", true), &err) < 0);
	buf_deinit(&stream);
	file_worker_free(fw);
}

static void test_json(void **state)
{
	static const char good[] =
		"{ \"a\" : [1, 2.5, null],\n\"b\": {\"c\": \"\\u00fc\\u0001\"} }";
	static const char *const bad[] = {
		"", "{", "{\"a\":1,\"a\":2}", "[1]x", "\xff", "[1e999]"
	};
	struct file_worker *fw = start(worker);
	struct err err;
	char *ours = NULL;

	(void)state;
	assert_int_equal(file_worker_json(fw, good, strlen(good), &ours, &err), 0);
	assert_string_equal(ours, "{\"a\":[1,2.5,null],\"b\":{\"c\":\"\xc3\xbc\\u0001\"}}");
	free(ours);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(file_worker_json(fw, bad[i], strlen(bad[i]), &ours, &err),
				 -EPROTO);
	auto_free char *large = malloc((1u << 20) + 1);
	memset(large, ' ', (1u << 20) + 1);
	assert_int_equal(file_worker_json(fw, large, (1u << 20) + 1, &ours, &err), -EFBIG);
	/* it goes on after all of these */
	assert_int_equal(file_worker_json(fw, "[]", 2, &ours, &err), 0);
	free(ours);
	file_worker_free(fw);
}

static ssize_t fail_bytes(void *ctx, const void **bytes, struct err *err)
{
	(void)ctx;
	(void)bytes;
	return err_set(err, -ECONNRESET, "the link broke");
}

/* After a failure in the middle the worker is gone, and says so instead of doing half a call. */
static void test_failures(void **state)
{
	struct file_worker *fw = start(worker);
	struct layer_stats stats;
	struct err err;

	(void)state;
	struct file_place out = give(fw, "out", true);
	const struct file_tree tree = { .name = "layer", .place = out, .ahead = { .dir = -1 } };
	const struct file_extracting how = { .max_bytes = LIMIT, .source = fail_bytes };
	assert_int_equal(file_worker_extract(fw, &tree, 1, &how, &err), -ECONNRESET);
	assert_string_equal(err.text, "the link broke: Connection reset by peer");
	assert_int_equal(file_worker_empty(fw, out, &err), -EPIPE);
	file_worker_free(fw);

	fw = start(worker);
	assert_int_equal(file_worker_empty(fw, (struct file_place){ 7, "" }, &err), -EBADF);
	assert_int_equal(file_worker_empty(fw, give(fw, "out", true), &err), 0);
	assert_int_equal(file_worker_layer_update(fw, 3, true, &stats, &err), -EBADF);
	assert_int_equal(file_worker_directory(fw, "none", true, &err), -ENOENT);
	shell("ln -s victim link");
	assert_true(file_worker_directory(fw, "link", true, &err) < 0);
	file_worker_free(fw);

	struct file_workers *none = workers_of("/nowhere/baton-file-worker", NULL);
	assert_int_equal(file_worker_start(&fw, none, -1, &err), -ENOENT);
	file_workers_free(none);
	none = workers_of("/bin/true", NULL); /* no worker at all */
	fw = start(none);
	int dir = file_worker_directory(fw, "out", true, &err);
	assert_true(dir < 0 || file_worker_empty(fw, (struct file_place){ dir, "" }, &err) < 0);
	file_worker_free(fw);
	file_workers_free(none);
}

/* A worker that could not lock itself in has said why before it was asked for anything */
static void test_last_words(void **state)
{
	struct file_workers *refusing = workers_of(self, NULL);
	struct file_worker *fw = start(refusing);
	siginfo_t info;
	struct err err = { 0 };
	char *ours = NULL;

	(void)state;
	assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0); /* it has ended */
	assert_int_equal(file_worker_json(fw, "[]", 2, &ours, &err), -ENOSYS);
	assert_string_equal(err.text, "no sandbox here");
	file_worker_free(fw);
	file_workers_free(refusing);
}

/** refusing_worker() - What this program is when test_last_words() starts it as a worker */
static int refusing_worker(void)
{
	struct worker_end end = { .result = -ENOSYS, .text = "no sandbox here" };

	return worker_line_send(3, WORKER_END, &end, sizeof(end), -1, NULL, NULL) < 0;
}

/** struct fallen - A worker that has fallen: this program, by another name */
struct fallen {
	struct file_workers *workers;
	struct file_worker *fw;
	int cancel_fd;
};

/** fallen_start() - Start one that @does something, see fallen_worker() */
static void fallen_start(struct fallen *f, const char *does, const struct file_patience *patience)
{
	char path[128];
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/%s", base, does);
	assert_true(symlink(self, path) == 0 || errno == EEXIST);
	f->workers = workers_of(path, patience);
	f->cancel_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(f->cancel_fd >= 0);
	if (file_worker_start(&f->fw, f->workers, f->cancel_fd, &err) < 0)
		fail_msg("%s", err.text);
}

static void fallen_end(struct fallen *f)
{
	file_worker_free(f->fw);
	assert_int_equal(file_workers_stuck(f->workers), 0);
	file_workers_free(f->workers);
	close(f->cancel_fd);
}

/** fallen_worker() - What this program is when a test starts it by such a name */
static int fallen_worker(const char *name)
{
	const struct worker_end end = { .result = 0 };

	/* the first call is the one of the cancel descriptor */
	if (worker_line_send(3, WORKER_END, &end, sizeof(end), -1, NULL, NULL) < 0)
		return 1;
	while (!strcmp(name, "talks"))
		if (worker_line_send(3, WORKER_AFTER, NULL, 0, -1, NULL, NULL) < 0)
			return 1;
	for (;;)
		(void)pause();
}
static int nothing_after(void *ctx, struct err *err)
{
	(void)ctx;
	(void)err;
	return 0;
}

/** fallen_call() - Have it extract an archive that never comes. Return: as file_worker_extract() */
static int fallen_call(struct fallen *f, struct err *err)
{
	const struct file_tree tree = { .name = "layer", .place = { 0, "" }, .ahead = { -1, "" } };
	const struct file_extracting how = { .max_bytes = LIMIT,
					     .source = fail_bytes,
					     .after = nothing_after };

	return file_worker_extract(f->fw, &tree, 1, &how, err);
}

/* A worker that is silent, or says a word now and then, has its time and no more; cancelling ends it at once. */
static void test_fallen(void **state)
{
	static const struct file_patience quick = {
		.frame = 20, .call = 20, .stream = 20, .frozen = 20, .end = 30000
	};
	static const char *const does[] = { "silent", "talks" };
	struct layer_stats stats;
	struct fallen f;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(does); i++) {
		fallen_start(&f, does[i], &quick);
		assert_int_equal(fallen_call(&f, &err), -ETIMEDOUT);
		assert_int_equal(fallen_call(&f, &err), -EPIPE);
		fallen_end(&f);
		fallen_start(&f, does[i], NULL);
		assert_int_equal(eventfd_write(f.cancel_fd, 1), 0);
		assert_int_equal(fallen_call(&f, &err), -ECANCELED);
		fallen_end(&f);
	}
	/* while tasks are frozen nothing is cancelled, and the time is another one */
	fallen_start(&f, "silent", &quick);
	assert_int_equal(eventfd_write(f.cancel_fd, 1), 0);
	assert_int_equal(file_worker_layer_update(f.fw, 0, true, &stats, &err), -ETIMEDOUT);
	fallen_end(&f);
}

/** child_in() - Start a child of ours in the PID namespace of our only worker. Return: it */
static pid_t child_in_worker(void)
{
	char path[64];
	pid_t pid;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	FILE *children = fopen(path, "re");
	assert_non_null(children);
	assert_int_equal(fscanf(children, "%d", &pid), 1);
	assert_int_equal(fclose(children), 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	int theirs = open(path, O_RDONLY | O_CLOEXEC);
	int ours = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	assert_true(theirs >= 0 && ours >= 0);
	assert_int_equal(setns(theirs, CLONE_NEWPID), 0);
	pid = fork();
	if (pid == 0)
		for (;;)
			(void)pause();
	assert_true(pid > 0);
	assert_int_equal(setns(ours, CLONE_NEWPID), 0);
	close(theirs);
	close(ours);
	return pid;
}

/*
 * A worker that does not end when it is killed is left, and reaped later. Here it waits in the kernel for a
 * process of its namespace that we do not reap; a disk that does not answer does the same to it.
 */
static void test_stuck(void **state)
{
	static const struct file_patience quick = {
		.frame = 20, .call = 20, .stream = 20, .frozen = 20, .end = 20
	};
	struct fallen f;
	struct err err;

	(void)state;
	fallen_start(&f, "silent", &quick);
	pid_t child = child_in_worker();
	assert_int_equal(file_worker_end(f.fw, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "hangs in the kernel"));
	assert_int_equal(file_workers_stuck(f.workers), 1);
	if (file_worker_start(&f.fw, f.workers, -1, &err) < 0) /* others can be had */
		fail_msg("%s", err.text);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while (file_workers_stuck(f.workers))
		(void)poll(NULL, 0, 1);
	f.fw = file_worker_free(f.fw);
	while (file_workers_stuck(f.workers)) /* its end has 20 ms, which a busy machine may need */
		(void)poll(NULL, 0, 1);
	fallen_end(&f);
}

/* It has no process but itself to see, no network, and few capabilities. */
static void test_sandbox(void **state)
{
	struct file_worker *fw = start(worker);
	struct err err;
	char *ours = NULL;

	(void)state;
	assert_int_equal(file_worker_json(fw, "[]", 2, &ours, &err), 0); /* it is in its sandbox */
	free(ours);
	shell("pid=$(pgrep -P $PPID -x baton-file-work) && cd /proc/$pid &&"
	      "grep -q '^Seccomp:\t2' status && grep -q '^NoNewPrivs:\t1' status &&"
	      "grep -q '^CapInh:\t0*$' status && grep -q '^CapAmb:\t0*$' status &&"
	      /* chown, dac_override, fowner, fsetid, sys_admin, mknod, setfcap */
	      "grep -q '^CapEff:\t000000008820001b$' status && grep -q '^CapBnd:\t0*$' status &&"
	      "test $(wc -l <mountinfo) = 2 && test \"$(ls root)\" = proc && test $(ls fd | wc -l) "
	      "= 4 &&"
	      "for ns in mnt pid net ipc uts cgroup; do test $(readlink ns/$ns) != $(readlink "
	      "/proc/self/ns/$ns) || exit 1; done");
	file_worker_free(fw);
	shell("! pgrep -P $PPID -x baton-file-work >/dev/null");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, begin, finish),
		cmocka_unit_test_setup_teardown(test_read_only, begin, finish),
		cmocka_unit_test_setup_teardown(test_links_lead_nowhere, begin, finish),
		cmocka_unit_test_setup_teardown(test_names_lead_nowhere, begin, finish),
		cmocka_unit_test_setup_teardown(test_devices_stay_closed, begin, finish),
		cmocka_unit_test_setup_teardown(test_json, begin, finish),
		cmocka_unit_test_setup_teardown(test_failures, begin, finish),
		cmocka_unit_test_setup_teardown(test_sandbox, begin, finish),
		cmocka_unit_test_setup_teardown(test_last_words, begin, finish),
		cmocka_unit_test_setup_teardown(test_fallen, begin, finish),
		cmocka_unit_test_setup_teardown(test_stuck, begin, finish),
	};
	const char *called = basename((const char *)getauxval(AT_EXECFN));
	int failed;

	if (!strcmp(called, "silent") || !strcmp(called, "talks"))
		return fallen_worker(called);
	if (argc == 1)
		return refusing_worker();
	if (argc != 3)
		return 2;
	self = realpath("/proc/self/exe", NULL);
	auto_free char *path = realpath(argv[1], NULL); /* the tests change their directory */
	auto_free char *open_path = realpath(argv[2], NULL);
	if (!self || !path || !open_path)
		return 2;
	worker = workers_of(path, NULL);
	hole = workers_of(open_path, NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	file_workers_free(worker);
	file_workers_free(hole);
	free(self);
	return failed;
}
