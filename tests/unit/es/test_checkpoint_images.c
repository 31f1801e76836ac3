/* SPDX-License-Identifier: Apache-2.0 */

/* What a checkpoint must not make CRIU do (R13, R16): images written here, as a peer could write them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/images.h"
#include "es/criu/seccomp_filter.h"
#include "es/files/layer_node.h"
#include "criu_images.pb-c.h"

#define DEFAULT_CAPS 0xa80425fbu

static char base[64];
static int images = -1;

static int begin(void **state)
{
	(void)state;
	strcpy(base, "/tmp/baton-images-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	images = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return images < 0 ? -1 : 0;
}

static int finish(void **state)
{
	(void)state;
	close(images);
	return layer_path_remove(base, NULL);
}

/** image_put() - Write an image of one entry */
static void image_put(const char *name, const ProtobufCMessage *m)
{
	const bool inventory = !strcmp(name, "inventory.img");
	const uint32_t magic[2] = { inventory ? 0x58313116 : 0x54564319, 1 };
	char path[128];
	uint8_t bytes[65536];
	uint32_t len = (uint32_t)protobuf_c_message_get_packed_size(m);

	assert_true(len <= sizeof(bytes));
	protobuf_c_message_pack(m, bytes);
	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	auto_fclose FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(magic, inventory ? 4 : 8, 1, f), 1);
	assert_int_equal(fwrite(&len, sizeof(len), 1, f), 1);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
}

/** struct task - A thread's image, to be changed */
struct task {
	Criu__Core core;
	Criu__ThreadCore thread;
	Criu__Credentials creds;
	uint32_t caps[5][2];
};

/** task_init() - What an engine gives a container's first process */
static void task_init(struct task *t)
{
	criu__core__init(&t->core);
	criu__thread_core__init(&t->thread);
	criu__credentials__init(&t->creds);
	t->core.thread = &t->thread;
	t->thread.creds = &t->creds;
	for (size_t i = 0; i < 5; i++) {
		t->caps[i][0] = i == 1 || i == 2 || i == 3 ? DEFAULT_CAPS : 0;
		t->caps[i][1] = 0;
	}
	t->creds.inheritable = t->caps[0];
	t->creds.permitted = t->caps[1];
	t->creds.effective = t->caps[2];
	t->creds.bounding = t->caps[3];
	t->creds.ambient = t->caps[4];
	t->creds.n_inheritable = t->creds.n_permitted = t->creds.n_effective = 2;
	t->creds.n_bounding = t->creds.n_ambient = 2;
}

static int check(bool no_new_privs, bool filtered)
{
	const struct checkpoint_grant grant = { .capabilities = DEFAULT_CAPS,
						.no_new_privs = no_new_privs,
						.filtered = filtered };
	struct err err = { 0 };
	int r = checkpoint_images_check(images, &grant, &err);

	assert_true(r == 0 || err.text[0]);
	return r;
}

/** process_put() - pstree.img: one process with these threads, the first is its own */
static void process_put(uint32_t *threads, size_t count)
{
	Criu__Process process = CRIU__PROCESS__INIT;

	process.has_pid = true;
	process.pid = threads[0];
	process.threads = threads;
	process.n_threads = count;
	image_put("pstree.img", &process.base);
}

/** processes_put() - pstree.img: two processes, the first of one thread, the second of @count */
static void processes_put(uint32_t *first, uint32_t *second, size_t count)
{
	const uint32_t magic[2] = { 0x54564319, 1 };
	uint32_t *threads[] = { first, second };
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/pstree.img", base);
	auto_fclose FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(magic, sizeof(magic), 1, f), 1);
	for (size_t i = 0; i < 2; i++) {
		Criu__Process process = CRIU__PROCESS__INIT;
		uint8_t bytes[64];

		process.has_pid = true;
		process.pid = *threads[i];
		process.threads = threads[i];
		process.n_threads = i ? count : 1;
		uint32_t len = (uint32_t)criu__process__pack(&process, bytes);
		assert_int_equal(fwrite(&len, sizeof(len), 1, f), 1);
		assert_int_equal(fwrite(bytes, len, 1, f), 1);
	}
}

/** namespaces_of() - Numbers of namespaces as CRIU gives them; @from: the first one */
static Criu__Namespaces namespaces_of(uint32_t from)
{
	Criu__Namespaces ids = CRIU__NAMESPACES__INIT;

	ids.has_pid = ids.has_net = ids.has_ipc = ids.has_uts = ids.has_mnt = ids.has_user = true;
	ids.pid = from;
	ids.net = from + 1;
	ids.ipc = from + 2;
	ids.uts = from + 3;
	ids.mnt = from + 4;
	ids.user = 7;
	return ids;
}

/** host_put() - What the host had, and the first process */
static void host_put(const Criu__Namespaces *init)
{
	Criu__Inventory inventory = CRIU__INVENTORY__INIT;
	Criu__Namespaces host = namespaces_of(1);

	inventory.host = &host;
	image_put("inventory.img", &inventory.base);
	image_put("ids-1.img", &init->base);
}

static void task_put(const struct task *t)
{
	const Criu__Namespaces init = namespaces_of(10);
	uint32_t one[] = { 1 };

	process_put(one, 1);
	host_put(&init);
	image_put("core-1.img", &t->core.base);
}

static void test_capabilities(void **state)
{
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	assert_int_equal(check(false, false), 0);
	for (size_t set = 0; set < 5; set++) {
		for (uint32_t bit = 0; bit < 64; bit++) {
			if (bit < 32 && DEFAULT_CAPS >> bit & 1)
				continue;
			task_init(&t);
			t.caps[set][bit / 32] |= 1u << bit % 32;
			task_put(&t);
			assert_int_equal(check(false, false), -EPERM);
		}
	}
	/* another thread is judged, too */
	uint32_t threads[] = { 1, 77 };
	task_init(&t);
	task_put(&t);
	process_put(threads, 2);
	assert_int_equal(check(false, false), -ENOENT);
	t.caps[2][0] |= 1u << 21;
	image_put("core-77.img", &t.core.base);
	assert_int_equal(check(false, false), -EPERM);
}

static void test_no_credentials(void **state)
{
	struct task t;

	(void)state;
	Criu__Process process = CRIU__PROCESS__INIT;

	const Criu__Namespaces init = namespaces_of(10);

	assert_int_equal(check(false, false), -ENOENT); /* no process at all */
	host_put(&init);
	assert_int_equal(check(false, false), -ENOENT);
	image_put("pstree.img", &process.base);
	assert_int_equal(check(false, false), -EPROTO); /* one without a number */
	task_init(&t);
	t.thread.creds = NULL;
	task_put(&t);
	assert_int_equal(check(false, false), -EPROTO);
	task_init(&t);
	t.core.thread = NULL;
	task_put(&t);
	assert_int_equal(check(false, false), -EPROTO);
	/* but one that has ended runs nothing */
	Criu__TaskCore ended = CRIU__TASK_CORE__INIT;
	ended.has_state = true;
	ended.state = 2;
	uint32_t both[] = { 1 };
	uint32_t second[] = { 5, 1786958944 }; /* and CRIU writes anything as its threads */
	t.core.task = &ended;
	task_put(&t);
	assert_int_equal(check(false, true), -EPROTO); /* nobody at all runs */
	image_put("core-5.img", &t.core.base);
	t.core.task = NULL;
	t.core.thread = &t.thread;
	t.thread.creds = &t.creds;
	task_put(&t);
	processes_put(both, second, 2);
	assert_int_equal(check(false, false), 0);
	t.core.task = &ended;
	t.core.thread = NULL;
	t.core.thread = &t.thread;
	task_put(&t);
	assert_int_equal(check(false, true), -EPERM);
	task_init(&t);
	task_put(&t);
	image_put("creds-1.img", &t.creds.base);
	assert_int_equal(check(false, false), -EPERM);
}

static void test_new_privileges(void **state)
{
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	assert_int_equal(check(true, false), -EPERM);
	t.creds.has_no_new_privs = true;
	t.creds.no_new_privs = 1;
	task_put(&t);
	assert_int_equal(check(true, false), 0);
}

#define LOAD(at)                                                                                   \
	{                                                                                          \
		BPF_LD | BPF_W | BPF_ABS, 0, 0, at                                                 \
	}
#define IS(value, yes, no)                                                                         \
	{                                                                                          \
		BPF_JMP | BPF_JEQ | BPF_K, yes, no, value                                          \
	}
#define SAY(action)                                                                                \
	{                                                                                          \
		BPF_RET | BPF_K, 0, 0, action                                                      \
	}
#define NUMBER       offsetof(struct seccomp_data, nr)
#define ARCHITECTURE offsetof(struct seccomp_data, arch)
#define REFUSE       (SECCOMP_RET_ERRNO | EPERM)

/** struct filter_case - A program, and the call that it lets pass: NULL: none, "": it is no program */
struct filter_case {
	struct sock_filter program[8];
	size_t count;
	const char *passes;
};

static const struct filter_case filter_cases[] = {
	{ { SAY(REFUSE) }, 1, NULL },
	{ { SAY(SECCOMP_RET_KILL_PROCESS) }, 1, NULL },
	{ { SAY(SECCOMP_RET_ALLOW) }, 1, "mount" },
	{ { SAY(SECCOMP_RET_LOG) }, 1, "mount" },
	{ { SAY(SECCOMP_RET_TRACE) }, 1, "mount" },
	{ { SAY(SECCOMP_RET_USER_NOTIF) }, 1, "mount" },
	/* one call alone */
	{ { LOAD(NUMBER), IS(SYS_bpf, 1, 0), SAY(REFUSE), SAY(SECCOMP_RET_ALLOW) }, 4, "bpf" },
	/* one with certain arguments alone */
	{ { LOAD(offsetof(struct seccomp_data, args[0])), IS(0xffffffff, 0, 3), LOAD(NUMBER),
	    IS(SYS_unshare, 0, 1), SAY(SECCOMP_RET_ALLOW), SAY(REFUSE) },
	  6,
	  "unshare" },
	/* one with an argument that nobody would try */
	{ { LOAD(NUMBER), IS(SYS_unshare, 0, 3), LOAD(offsetof(struct seccomp_data, args[0])),
	    IS(0x12345678, 0, 1), SAY(SECCOMP_RET_ALLOW), SAY(REFUSE) },
	  6,
	  "unshare" },
	/* clone(), with no flag that makes a namespace, with some of them, with any */
	{ { LOAD(NUMBER),
	    IS(SYS_clone, 0, 4),
	    LOAD(offsetof(struct seccomp_data, args[0])),
	    { BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x7e020000 },
	    IS(0, 0, 1),
	    SAY(SECCOMP_RET_ALLOW),
	    SAY(REFUSE) },
	  7,
	  NULL },
	{ { LOAD(NUMBER),
	    IS(SYS_clone, 0, 3),
	    LOAD(offsetof(struct seccomp_data, args[0])),
	    { BPF_JMP | BPF_JSET | BPF_K, 1, 0, 0x7e020000 },
	    SAY(SECCOMP_RET_ALLOW),
	    SAY(REFUSE) },
	  6,
	  NULL },
	{ { LOAD(NUMBER),
	    IS(SYS_clone, 0, 4),
	    LOAD(offsetof(struct seccomp_data, args[0])),
	    { BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x6e020000 },
	    IS(0, 0, 1),
	    SAY(SECCOMP_RET_ALLOW),
	    SAY(REFUSE) },
	  7,
	  "clone" },
	{ { LOAD(NUMBER), IS(SYS_clone, 0, 1), SAY(SECCOMP_RET_ALLOW), SAY(REFUSE) }, 4, "clone" },
	/* all of a foreign architecture */
	{ { LOAD(ARCHITECTURE), IS(AUDIT_ARCH_I386, 0, 1), SAY(SECCOMP_RET_ALLOW), SAY(REFUSE) },
	  4,
	  "mount" },
	/* no program: no return, a jump too far, words that are not there, instructions that are none */
	{ { LOAD(NUMBER) }, 1, "" },
	{ { { BPF_JMP | BPF_JA, 0, 0, 0xfffffff0 }, SAY(REFUSE) }, 2, "" },
	{ { IS(0, 250, 250), SAY(REFUSE) }, 2, "" },
	{ { LOAD(64), SAY(REFUSE) }, 2, "" },
	{ { LOAD(0xfffffffc), SAY(REFUSE) }, 2, "" },
	{ { LOAD(2), SAY(REFUSE) }, 2, "" },
	{ { { BPF_LD | BPF_MEM, 0, 0, 16 }, SAY(REFUSE) }, 2, "" },
	{ { { BPF_ST, 0, 0, 16 }, SAY(REFUSE) }, 2, "" },
	{ { { BPF_LD | BPF_B | BPF_ABS, 0, 0, 0 }, SAY(REFUSE) }, 2, "" },
	{ { { 0xffff, 0, 0, 0 }, SAY(REFUSE) }, 2, "" },
	{ { SAY(0) }, 0, "" },
};

static void test_filters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(filter_cases); i++) {
		const struct filter_case *c = &filter_cases[i];
		const char *passes = seccomp_filter_passes(c->program, c->count);

		if ((passes == NULL) != (c->passes == NULL) ||
		    (passes && strcmp(passes, c->passes) != 0))
			fail_msg("filter %zu: %s", i, passes ? passes : "none");
	}
}

/** filters_put() - seccomp.img with programs of filter_cases */
static void filters_put(const size_t *which, size_t count, uint32_t flags)
{
	Criu__SeccompFilter filter[4];
	Criu__SeccompFilter *list[4];
	Criu__Seccomp all = CRIU__SECCOMP__INIT;

	for (size_t i = 0; i < count; i++) {
		const struct filter_case *c = &filter_cases[which[i]];

		criu__seccomp_filter__init(&filter[i]);
		filter[i].has_filter = filter[i].has_flags = true;
		filter[i].flags = flags;
		filter[i].filter.data = (uint8_t *)(uintptr_t)c->program;
		filter[i].filter.len = c->count * sizeof(*c->program);
		list[i] = &filter[i];
	}
	all.filters = list;
	all.n_filters = count;
	image_put("seccomp.img", &all.base);
}

static void test_threads_are_filtered(void **state)
{
	static const size_t strict_then_open[] = { 0, 2 };
	static const size_t empty[] = { ARRAY_SIZE(filter_cases) - 1 };
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	assert_int_equal(check(false, true), -EPERM); /* no filter */
	t.thread.has_seccomp_mode = t.thread.has_seccomp_filter = true;
	t.thread.seccomp_mode = 2;
	task_put(&t);
	assert_int_equal(check(false, true), -EPERM); /* one that is not there */
	filters_put(strict_then_open, 2, 0);
	assert_int_equal(check(false, true), 0);
	/* one that lets all pass, and so may keep the one behind it out */
	t.thread.seccomp_filter = 1;
	task_put(&t);
	assert_int_equal(check(false, true), -EPERM);
	assert_int_equal(check(false, false), 0);
	t.thread.seccomp_filter = 2;
	task_put(&t);
	assert_int_equal(check(false, true), -EPERM);
	/* one of no instructions */
	filters_put(empty, 1, 0);
	t.thread.seccomp_filter = 0;
	task_put(&t);
	assert_int_equal(check(false, true), -EPERM);
}

/* CRIU writes the filter of all threads once, if they have the same: with the first one. */
static void test_filter_of_all_threads(void **state)
{
	static const size_t strict[] = { 0 };
	uint32_t threads[] = { 1, 9 };
	struct task first;
	struct task other;

	(void)state;
	task_init(&first);
	task_init(&other);
	first.thread.has_seccomp_mode = first.thread.has_seccomp_filter = true;
	first.thread.seccomp_mode = 2;
	task_put(&first);
	process_put(threads, 2);
	image_put("core-9.img", &other.core.base);
	filters_put(strict, 1, 0);
	assert_int_equal(check(false, true), -EPERM);
	filters_put(strict, 1, 1);
	assert_int_equal(check(false, true), 0);
	/* one beside it, which CRIU may install before that of all: then that one is not */
	other.thread.has_seccomp_mode = other.thread.has_seccomp_filter = true;
	other.thread.seccomp_mode = 2;
	image_put("core-9.img", &other.core.base);
	assert_int_equal(check(false, true), -EPERM);
	other.thread.seccomp_mode = 0;
	image_put("core-9.img", &other.core.base);
	assert_int_equal(check(false, true), 0);
	/* a process of its own is not a thread */
	processes_put(threads, threads + 1, 1);
	assert_int_equal(check(false, true), -EPERM);
	process_put(threads, 2);
	/* the way of an old CRIU, which reads these instead */
	Criu__TaskCore task = CRIU__TASK_CORE__INIT;
	task.has_old_seccomp_mode = true;
	first.core.task = &task;
	task_put(&first);
	assert_int_equal(check(false, true), -EPERM);
}

/* CRIU makes a namespace where the first process's number is not the host's; else it stays in the host's. */
static void test_namespaces(void **state)
{
	uint32_t first[] = { 1 };
	uint32_t second[] = { 5 };
	struct task t;

	(void)state;
	task_init(&t);
	for (size_t i = 0; i < 12; i++) {
		Criu__Namespaces ids = namespaces_of(10);
		uint32_t *one[] = { &ids.pid, &ids.net, &ids.ipc, &ids.uts, &ids.mnt };

		task_put(&t);
		if (i < 5)
			*one[i] = (uint32_t)i + 1; /* the host's */
		else if (i < 10)
			*one[i - 5] = 0; /* not said */
		else if (i == 10)
			ids.user = 8; /* one where it may be root */
		host_put(&ids);
		assert_int_equal(check(false, false), i == 11 ? 0 : -EPERM);
	}
	/* a process beside it, in others */
	Criu__Namespaces others = namespaces_of(10);
	task_put(&t);
	image_put("core-5.img", &t.core.base);
	processes_put(first, second, 1);
	assert_int_equal(check(false, false), -ENOENT);
	image_put("ids-5.img", &others.base);
	assert_int_equal(check(false, false), 0);
	others.mnt = 5;
	image_put("ids-5.img", &others.base);
	assert_int_equal(check(false, false), -EPERM);
	/* and the way of an old CRIU */
	t.core.ids = &others;
	task_put(&t);
	assert_int_equal(check(false, false), -EPERM);
}

static void test_places(void **state)
{
	Criu__TaskCore task = CRIU__TASK_CORE__INIT;
	struct task t;

	(void)state;
	task_init(&t);
	t.core.task = &task;
	t.thread.has_policy = t.thread.has_nice = task.has_oom_score_adj = true;
	t.thread.policy = 3;
	t.thread.nice = 5;
	task.oom_score_adj = 300;
	task_put(&t);
	assert_int_equal(check(false, false), 0);
	t.thread.policy = 1;
	task_put(&t);
	assert_int_equal(check(false, false), -EPERM);
	t.thread.policy = 0;
	t.thread.nice = -1;
	task_put(&t);
	assert_int_equal(check(false, false), -EPERM);
	t.thread.nice = 0;
	task.oom_score_adj = -998;
	task_put(&t);
	assert_int_equal(check(false, false), -EPERM);
	task.oom_score_adj = 0;
	t.creds.has_securebits = true;
	t.creds.securebits = 1;
	task_put(&t);
	assert_int_equal(check(false, false), -EPERM);
}

static void test_profile(void **state)
{
	const struct checkpoint_grant grant = { .capabilities = DEFAULT_CAPS,
						.profile = "docker-default" };
	struct err err = { 0 };
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	assert_int_equal(checkpoint_images_check(images, &grant, &err), -EPERM);
	t.creds.lsm_profile = (char *)(uintptr_t) "unconfined";
	task_put(&t);
	assert_int_equal(checkpoint_images_check(images, &grant, &err), -EPERM);
	t.creds.lsm_profile = (char *)(uintptr_t) "docker-default";
	task_put(&t);
	assert_int_equal(checkpoint_images_check(images, &grant, &err), 0);
}

static void test_kinds(void **state)
{
	static const char *const bad[] = {
		"apparmor.img",      "bpfmap-file.img", "bpfmap-data.img",
		"tunfile.img",       "binfmt-misc.img", "autofs-1.img",
		"userns-1.img",      "iptables-9.img",  "nftables-9.img",
		"route-9.img",       "netdev-9.img",    "netns-9.img",
		"something-new.img", "core-1.imgx",     "evil"
	};
	static const char *const good[] = { "tmpfs-dev-40.tar.gz.img",
					    "pages-1.img",
					    "ghost-file-1a.img",
					    "pagemap-shmem-77.img",
					    "files.img",
					    "descriptors.json",
					    "tty-info.img" };
	Criu__Core empty = CRIU__CORE__INIT;
	char path[128];
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		image_put(good[i], &empty.base);
	assert_int_equal(check(false, false), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		image_put(bad[i], &empty.base);
		if (check(false, false) != -EPERM)
			fail_msg("%s was taken", bad[i]);
		(void)snprintf(path, sizeof(path), "%s/%s", base, bad[i]);
		assert_int_equal(unlink(path), 0);
	}
}

/** struct mount_row - A mount as the tests write it; NULL at @at: no more */
struct mount_row {
	uint32_t fstype;
	uint32_t id;
	uint32_t parent;
	uint32_t flags;
	const char *at;
	const char *root; /* NULL: "/" */
	const char *ext_key;
	const char *fsname;
	uint32_t root_dev; /* 0: one of its own */
	const char *options;
};

#define ROWS 8

/** mounts_put() - Write a mount namespace: the root (number 1), /proc (2) with a closed /proc/sys (3), and rows */
static void mounts_put(const struct mount_row *rows)
{
	static const struct mount_row usual[] = {
		{ 17, 1, 0, 0, "/", NULL, NULL, NULL },
		{ 1, 2, 1, 0, "/proc", NULL, NULL, NULL },
		{ 1, 3, 2, MS_RDONLY, "/proc/sys", "/sys", NULL, NULL },
	};
	const uint32_t magic[2] = { 0x54564319, 1 };
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/mountpoints-9.img", base);
	auto_fclose FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(magic, sizeof(magic), 1, f), 1);
	for (size_t i = 0; i < ARRAY_SIZE(usual) + ROWS; i++) {
		const struct mount_row *row =
			i < ARRAY_SIZE(usual) ? &usual[i] : &rows[i - ARRAY_SIZE(usual)];
		Criu__Mount m = CRIU__MOUNT__INIT;
		uint8_t bytes[1024];
		uint32_t len;

		if (!row->at)
			break;
		m.has_fstype = m.has_id = m.has_parent = m.has_flags = true;
		m.fstype = row->fstype;
		m.id = row->id;
		m.parent = row->parent;
		m.flags = row->flags;
		m.mountpoint = (char *)(uintptr_t)row->at;
		m.root = (char *)(uintptr_t)(row->root ? row->root : "/");
		m.ext_key = (char *)(uintptr_t)row->ext_key;
		m.fsname = (char *)(uintptr_t)row->fsname;
		m.has_root_dev = true;
		m.root_dev = row->root_dev ? row->root_dev : 1000 + (uint32_t)i;
		m.options = (char *)(uintptr_t)row->options;
		len = (uint32_t)criu__mount__get_packed_size(&m);
		assert_true(len <= sizeof(bytes));
		criu__mount__pack(&m, bytes);
		assert_int_equal(fwrite(&len, sizeof(len), 1, f), 1);
		assert_int_equal(fwrite(bytes, 1, len, f), len);
	}
}

/** closed_case() - Judge with paths that the engine closes */
static int closed_case(const char *closed)
{
	const struct checkpoint_grant grant = { .capabilities = DEFAULT_CAPS, .closed = closed };
	struct err err = { 0 };

	return checkpoint_images_check(images, &grant, &err);
}

static void test_mounts(void **state)
{
	static const struct {
		struct mount_row row[ROWS];
		int result;
	} cases[] = {
		{ { { 5, 9, 1, 0, "/dev", NULL, NULL, NULL } }, 0 },
		{ { { 0, 9, 1, 0, "/etc/hosts", "/x", "/etc/hosts", NULL } }, 0 },
		{ { { 2, 9, 1, MS_RDONLY, "/sys", NULL, NULL, NULL } }, 0 },
		{ { { 1, 9, 2, MS_RDONLY, "/proc/bus", "/bus", NULL, NULL } }, 0 },
		/* of a kind that may reach the host */
		{ { { 0, 9, 1, 0, "/x", NULL, NULL, NULL } }, -EPERM },
		{ { { 11, 9, 1, 0, "/x", NULL, NULL, NULL } }, -EPERM },
		{ { { 16, 9, 1, 0, "/x", NULL, NULL, "ext4" } }, -EPERM },
		{ { { 5, 9, 1, 0, "/x", NULL, NULL, "ext4" } }, -EPERM },
		{ { { 17, 9, 1, 0, "/x", NULL, NULL, NULL } }, -EPERM },
		{ { { 0, 9, 1, 0, "/x", NULL, "/etc/hosts", NULL } }, -EPERM },
		/* outside of the container */
		{ { { 5, 9, 1, 0, "/x/../../etc", NULL, NULL, NULL } }, -EPERM },
		{ { { 5, 9, 1, 0, "..", NULL, NULL, NULL } }, -EPERM },
		{ { { 5, 9, 1, 0, "/x", "/../..", NULL, NULL } }, -EPERM },
		{ { { 5, 9, 1, 0, "/x", "/below", NULL, NULL } }, -EPERM },
		{ { { 5, 9, 1, 0, "", NULL, NULL, NULL } }, -EPERM },
		/* the kernel's settings, writable */
		{ { { 2, 9, 1, 0, "/sys", NULL, NULL, NULL } }, -EPERM },
		{ { { 1, 9, 1, 0, "/x", NULL, NULL, NULL } }, -EPERM },
		{ { { 1, 9, 2, 0, "/proc/bus", "/bus", NULL, NULL } }, -EPERM },
		{ { { 1, 9, 2, MS_RDONLY, "/proc/bus", "/sys", NULL, NULL } }, -EPERM },
		{ { { 12, 9, 1, 0, "/sys/fs/cgroup/memory", NULL, NULL, NULL } }, -EPERM },
		{ { { 0, 9, 1, 0, "/sys/fs/cgroup/x", NULL, "/sys/fs/cgroup/x", NULL } }, -EPERM },
		{ { { 1, 9, 2, MS_RDONLY, "/proc/1/root", "/1/root", NULL, NULL } }, -EPERM },
		{ { { 12, 9, 1, MS_RDONLY, "/sys/fs/cgroup/x", NULL, NULL, NULL, 0, "cpu" } }, 0 },
		{ { { 12, 9, 1, MS_RDONLY, "/sys/fs/cgroup/x", NULL, NULL, NULL, 0,
		      "release_agent=/x" } },
		  -EPERM },
		{ { { 12, 9, 1, MS_RDONLY, "/sys/fs/cgroup/x", NULL, NULL, NULL, 0, "name=x" } },
		  -EPERM },
		{ { { 12, 9, 1, MS_RDONLY, "/sys/fs/cgroup/x", NULL, NULL, NULL, 0,
		      "xattr,name=systemd" } },
		  0 },
		{ { { 12, 9, 1, MS_RDONLY, "/sys/fs/cgroup/x", NULL, NULL, NULL, 0,
		      "name=systemdx" } },
		  -EPERM },
		{ { { 12, 9, 1, MS_RDONLY, "/sys/fs/cgroup/x", NULL, NULL, NULL, 0,
		      "name=systemd,name=x" } },
		  -EPERM },
		/* the host's, once more and writable */
		{ { { 0, 9, 1, MS_RDONLY, "/maps", NULL, "/maps", NULL, 7 },
		    { 5, 10, 1, 0, "/leak", NULL, NULL, NULL, 8 } },
		  0 },
		{ { { 0, 9, 1, MS_RDONLY, "/maps", NULL, "/maps", NULL, 7 },
		    { 5, 10, 1, 0, "/leak", NULL, NULL, NULL, 7 } },
		  -EPERM },
		{ { { 5, 10, 1, 0, "/leak", NULL, NULL, NULL, 1000 } }, -EPERM },
		/* not where they seem to be */
		{ { { 1, 9, 3, MS_RDONLY, "/proc/bus", "/bus", NULL, NULL } }, -EPERM },
		{ { { 5, 9, 1, 0, "/proc/sys", NULL, NULL, NULL } }, -EPERM },
		{ { { 5, 3, 1, 0, "/dev", NULL, NULL, NULL } }, -EPERM },
	};
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		mounts_put(cases[i].row);
		if (check(false, false) != cases[i].result)
			fail_msg("case %zu: %u at '%s'", i, cases[i].row[0].fstype,
				 cases[i].row[0].at);
	}
}

static void test_closed_paths(void **state)
{
	static const struct mount_row rows[ROWS] = {
		{ 0, 9, 1, MS_RDONLY, "/etc/key", "/x", "/etc/key", NULL },
		{ 5, 10, 2, 0, "/proc/kcore", "/null", "/dev/null", NULL },
		{ 5, 11, 1, 0, "/tmp", NULL, NULL, NULL },
	};
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	assert_int_equal(closed_case("r/proc/sys"), -EPROTO); /* no mounts at all */
	mounts_put(rows);
	assert_int_equal(closed_case("r/proc/sys\nb/etc/key\nm/proc/kcore"), 0);
	assert_int_equal(closed_case(""), 0);
	assert_int_equal(closed_case("r/proc/sys\nb/etc/other"), -EPERM);
	assert_int_equal(closed_case("r/tmp"), -EPERM);
	assert_int_equal(closed_case("r/"), -EPERM);
	assert_int_equal(closed_case("m/proc/sys"), -EPERM); /* it is read-only, and can be read */
	assert_int_equal(closed_case("b/proc/kcore"),
			 -EPERM); /* not what the engine mounts there */
	assert_int_equal(closed_case("x/proc/sys"), -EPERM);
}

static void test_control_groups(void **state)
{
	Criu__CgroupProperty property = CRIU__CGROUP_PROPERTY__INIT;
	Criu__CgroupDirectory directory = CRIU__CGROUP_DIRECTORY__INIT;
	Criu__CgroupDirectory child = CRIU__CGROUP_DIRECTORY__INIT;
	Criu__CgroupController controller = CRIU__CGROUP_CONTROLLER__INIT;
	Criu__CgroupMember member = CRIU__CGROUP_MEMBER__INIT;
	Criu__CgroupSet set = CRIU__CGROUP_SET__INIT;
	Criu__Cgroup all = CRIU__CGROUP__INIT;
	Criu__CgroupProperty *properties[] = { &property };
	Criu__CgroupDirectory *directories[] = { &directory };
	Criu__CgroupDirectory *children[] = { &child };
	Criu__CgroupController *controllers[] = { &controller };
	Criu__CgroupMember *members[] = { &member };
	Criu__CgroupSet *sets[] = { &set };
	struct task t;

	(void)state;
	task_init(&t);
	task_put(&t);
	property.name = (char *)(uintptr_t) "memory.max";
	directory.name = (char *)(uintptr_t) "docker/1";
	child.name = (char *)(uintptr_t) "below";
	member.path = (char *)(uintptr_t) "/docker/1";
	child.properties = properties;
	directory.children = children;
	controller.directories = directories;
	set.members = members;
	all.controllers = controllers;
	all.sets = sets;
	child.n_properties = directory.n_children = controller.n_directories = 1;
	set.n_members = all.n_controllers = all.n_sets = 1;
	image_put("cgroup.img", &all.base);
	assert_int_equal(check(false, false), 0);
	property.name = (char *)(uintptr_t) "../../../proc/sys/kernel/core_pattern";
	image_put("cgroup.img", &all.base);
	assert_int_equal(check(false, false), -EPERM);
	property.name = (char *)(uintptr_t) "x";
	child.name = (char *)(uintptr_t) "../..";
	image_put("cgroup.img", &all.base);
	assert_int_equal(check(false, false), -EPERM);
	child.name = (char *)(uintptr_t) "..x";
	member.path = (char *)(uintptr_t) "/docker/../../x";
	image_put("cgroup.img", &all.base);
	assert_int_equal(check(false, false), -EPERM);
	member.path = (char *)(uintptr_t) "/";
	image_put("cgroup.img", &all.base);
	assert_int_equal(check(false, false), 0);
}

/* Cut short or filled with anything: an error, never a crash. */
static void test_malformed(void **state)
{
	char path[128];
	struct task t;
	struct stat st;

	(void)state;
	task_init(&t);
	task_put(&t);
	(void)snprintf(path, sizeof(path), "%s/core-1.img", base);
	assert_int_equal(stat(path, &st), 0);
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		assert_int_equal(truncate(path, len), 0);
		assert_int_equal(check(false, false), -EPROTO);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_true(check(false, false) < 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(check(false, false) < 0); /* it is not waited for */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_capabilities, begin, finish),
		cmocka_unit_test_setup_teardown(test_no_credentials, begin, finish),
		cmocka_unit_test_setup_teardown(test_new_privileges, begin, finish),
		cmocka_unit_test(test_filters),
		cmocka_unit_test_setup_teardown(test_threads_are_filtered, begin, finish),
		cmocka_unit_test_setup_teardown(test_filter_of_all_threads, begin, finish),
		cmocka_unit_test_setup_teardown(test_namespaces, begin, finish),
		cmocka_unit_test_setup_teardown(test_places, begin, finish),
		cmocka_unit_test_setup_teardown(test_profile, begin, finish),
		cmocka_unit_test_setup_teardown(test_kinds, begin, finish),
		cmocka_unit_test_setup_teardown(test_mounts, begin, finish),
		cmocka_unit_test_setup_teardown(test_closed_paths, begin, finish),
		cmocka_unit_test_setup_teardown(test_control_groups, begin, finish),
		cmocka_unit_test_setup_teardown(test_malformed, begin, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
