/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of checkpoints as far as they are read - images of CRIU, and filters of system calls
 *
 * The first byte says which image the bytes are, or that they are a filter alone; all other images of the
 * checkpoint are good. They must be either judged or refused with a text.
 */

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/images.h"
#include "es/criu/seccomp_filter.h"
#include "criu_images.pb-c.h"
#include "fuzz_home.h"
#include "fuzz_input.h"

#define CAPABILITIES 0xa80425fbu
#define FILTER       5 /* first byte of a filter alone */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct checkpoint_grant grant = {
	.capabilities = CAPABILITIES,
	.filtered = true,
	.closed = "m/proc/kcore\nr/proc/sys\nb/etc/hosts",
};

/* By the first byte of an input */
static const char *const names[] = { "core-1.img",    "seccomp.img", "mountpoints-1.img",
				     "cgroup.img",    "pstree.img",  NULL /* FILTER */,
				     "inventory.img", "ids-1.img" };

/* Good checkpoints, but for one image each, which is open to be written */
static int checkpoint[ARRAY_SIZE(names)];
static int image[ARRAY_SIZE(names)];

/* --- good images --------------------------------------------------------------------------------- */

/** image_begin() - Make an image, without a message yet */
static int image_begin(int dir, const char *name)
{
	const int inventory = !strcmp(name, "inventory.img");
	const uint32_t magic[2] = { inventory ? 0x58313116 : 0x54564319, 1 };
	const ssize_t len = inventory ? 4 : 8;
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, magic, (size_t)len) == len);
	return fd;
}

static void message_put(int fd, const ProtobufCMessage *m)
{
	uint8_t bytes[512];
	uint32_t len = (uint32_t)protobuf_c_message_get_packed_size(m);

	require(len <= sizeof(bytes));
	require(protobuf_c_message_pack(m, bytes) == len);
	require(write(fd, &len, sizeof(len)) == sizeof(len) && write(fd, bytes, len) == (int)len);
}

static void image_put(int dir, const char *name, const ProtobufCMessage *m)
{
	auto_close int fd = image_begin(dir, name);

	message_put(fd, m);
}

static Criu__Namespaces namespaces_of(uint32_t from)
{
	Criu__Namespaces ids = CRIU__NAMESPACES__INIT;

	ids.has_pid = ids.has_net = ids.has_ipc = ids.has_uts = ids.has_mnt = true;
	ids.pid = from;
	ids.net = from + 1;
	ids.ipc = from + 2;
	ids.uts = from + 3;
	ids.mnt = from + 4;
	return ids;
}

/** process_put() - One process, in namespaces of its own */
static void process_put(int dir)
{
	Criu__Process process = CRIU__PROCESS__INIT;
	Criu__Inventory inventory = CRIU__INVENTORY__INIT;
	Criu__Namespaces host = namespaces_of(1);
	Criu__Namespaces own = namespaces_of(10);
	uint32_t threads[] = { 1 };

	process.has_pid = true;
	process.pid = 1;
	process.threads = threads;
	process.n_threads = 1;
	inventory.host = &host;
	image_put(dir, "pstree.img", &process.base);
	image_put(dir, "inventory.img", &inventory.base);
	image_put(dir, "ids-1.img", &own.base);
}

/** core_put() - Its thread, with the capabilities and the filter of an engine's container */
static void core_put(int dir)
{
	Criu__Core core = CRIU__CORE__INIT;
	Criu__ThreadCore thread = CRIU__THREAD_CORE__INIT;
	Criu__Credentials creds = CRIU__CREDENTIALS__INIT;
	uint32_t caps[] = { CAPABILITIES, 0 };

	core.thread = &thread;
	thread.creds = &creds;
	thread.has_seccomp_mode = thread.has_seccomp_filter = true;
	thread.seccomp_mode = 2;
	creds.permitted = creds.effective = creds.bounding = caps;
	creds.n_permitted = creds.n_effective = creds.n_bounding = 2;
	image_put(dir, "core-1.img", &core.base);
}

static void filter_put(int dir)
{
	struct sock_filter program[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1) };
	Criu__SeccompFilter filter = CRIU__SECCOMP_FILTER__INIT;
	Criu__Seccomp seccomp = CRIU__SECCOMP__INIT;
	Criu__SeccompFilter *filters[] = { &filter };

	filter.has_filter = true;
	filter.filter.data = (uint8_t *)program;
	filter.filter.len = sizeof(program);
	seccomp.filters = filters;
	seccomp.n_filters = 1;
	image_put(dir, "seccomp.img", &seccomp.base);
}

/** mounts_put() - The root, and what closes the paths that are granted closed only; numbers count from 1 */
static void mounts_put(int dir)
{
	static struct {
		char at[16];
		uint32_t fstype;
		uint32_t parent;
		uint32_t flags;
		char root[8];
		char ext_key[16];
	} mounts[] = {
		{ "/", 17 /* overlay */, 0, 0, "", "" },
		{ "/proc", 1 /* proc */, 1, 0, "/", "" },
		{ "/proc/sys", 1, 2, MS_RDONLY, "/sys", "" },
		{ "/proc/kcore", 0, 2, 0, "", "/dev/null" },
		{ "/etc/hosts", 0, 1, MS_RDONLY, "", "/etc/hosts" },
	};
	auto_close int fd = image_begin(dir, "mountpoints-1.img");

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		Criu__Mount m = CRIU__MOUNT__INIT;

		m.has_id = m.has_parent = m.has_root_dev = m.has_fstype = m.has_flags = true;
		m.id = m.root_dev = (uint32_t)i + 1;
		m.fstype = mounts[i].fstype;
		m.parent = mounts[i].parent;
		m.flags = mounts[i].flags;
		m.mountpoint = mounts[i].at;
		m.root = mounts[i].root;
		m.ext_key = mounts[i].ext_key;
		message_put(fd, &m.base);
	}
}

static void groups_put(int dir)
{
	Criu__Cgroup all = CRIU__CGROUP__INIT;

	image_put(dir, "cgroup.img", &all.base);
}

/* --- the fuzzer ---------------------------------------------------------------------------------- */

/** checkpoint_make() - A good one, whose image of this number is open */
static void checkpoint_make(size_t i)
{
	char name[2] = { (char)('0' + i), '\0' };
	struct err err = { 0 };
	int dir = home_directory(name);

	process_put(dir);
	core_put(dir);
	filter_put(dir);
	mounts_put(dir);
	groups_put(dir);
	require(checkpoint_images_check(dir, &grant, &err) == 0);
	checkpoint[i] = dir;
	image[i] = openat(dir, names[i], O_WRONLY | O_CLOEXEC);
	require(image[i] >= 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (i != FILTER)
			checkpoint_make(i);
	return 0;
}

static void filter_try(const uint8_t *bytes, size_t len)
{
	auto_free struct sock_filter *program = malloc(len + 1);

	require(program != NULL);
	memcpy(program, bytes, len);
	(void)seccomp_filter_passes(program, len / sizeof(*program));
}

static void image_try(size_t i, const uint8_t *bytes, size_t len)
{
	struct err err = { 0 };

	require(pwrite(image[i], bytes, len, 0) == (ssize_t)len);
	require(ftruncate(image[i], (off_t)len) == 0);
	int r = checkpoint_images_check(checkpoint[i], &grant, &err);
	require(r == 0 || err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if ((data[0] & 7) == FILTER)
		filter_try(data + 1, size - 1);
	else
		image_try(data[0] & 7, data + 1, size - 1);
	return 0;
}
