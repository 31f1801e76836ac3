/* SPDX-License-Identifier: Apache-2.0 */
#include "es/worker/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/fs.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"

#define FILES_OPEN_MAX 1024        /* directories in one another, and a few */
#define DATA_MAX       (1ul << 30) /* memory: notes on a million files, and a window of zstd */

/* A sanitizer's own memory is beyond any limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/** root_empty() - Exchange the root for an empty one that has only a /proc of this process */
static int root_empty(struct err *err)
{
	/* Any directory will do. This one always exists, and we do not use its contents. */
	static const char place[] = "/proc";

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set(err, -errno, "make mounts private");
	if (mount("baton", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0500,size=64k") <
	    0)
		return err_set(err, -errno, "mount an empty root");
	if (chdir(place) < 0 || mkdir("proc", 0500) < 0)
		return err_set(err, -errno, "fill an empty root");
	/* Nothing but processes: root may write into the rest of /proc. */
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid") < 0)
		return err_set(err, -errno, "mount /proc with subset=pid (Linux 5.8 or later)");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_set(err, -errno, "leave the host's root");
	if (mount(NULL, "/", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return err_set(err, -errno, "close the empty root");
	return 0;
}

/**
 * rights_drop() - Keep the capabilities that a copy of somebody's files needs
 *
 * CAP_SYS_ADMIN is one: "trusted." attributes, in which overlayfs notes opaque directories, need
 * it. The filter of system calls denies everything else that it would allow.
 */
static int rights_drop(struct err *err)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_CHOWN, CAP_DAC_OVERRIDE,
			  CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN, -1) < 0 ||
	    capng_apply(CAPNG_SELECT_BOTH) < 0)
		return err_set(err, -EPERM, "drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(err, -errno, "give up new privileges");
	return 0;
}

static int limits_set(struct err *err)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit files = { FILES_OPEN_MAX, FILES_OPEN_MAX };
	const struct rlimit data = { DATA_MAX, DATA_MAX };

	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    (!SANITIZED && setrlimit(RLIMIT_DATA, &data) < 0))
		return err_set(err, -errno, "set limits");
	return 0;
}

/*
 * calls - System calls that copying, removing, packing and unpacking files take
 *
 * Every other one answers ENOSYS, as on a kernel that lacks it: newer C libraries then fall back to
 * an older call.
 */
static const int calls[] = {
	SCMP_SYS(brk),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	/* the line to baton-es */
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	/* files */
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(close),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(ftruncate),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(sendfile),
	SCMP_SYS(fadvise64),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(getdents64),
	SCMP_SYS(readlinkat),
	SCMP_SYS(mkdirat),
	SCMP_SYS(mknodat),
	SCMP_SYS(symlinkat),
	SCMP_SYS(linkat),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(unlinkat),
	SCMP_SYS(fchownat),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(utimensat),
	SCMP_SYS(llistxattr),
	SCMP_SYS(lgetxattr),
	SCMP_SYS(lsetxattr),
	SCMP_SYS(lremovexattr),
};

static int calls_add(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_EQ, FICLONE));
	return r < 0 ? r : seccomp_load(filter);
}

static int calls_filter(struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r = filter ? calls_add(filter) : -ENOMEM;

	seccomp_release(filter);
	return r < 0 ? err_set(err, r, "filter system calls") : 0;
}

int sandbox_enter(struct err *err)
{
	int r = root_empty(err);

	if (r == 0)
		r = limits_set(err);
	if (r == 0)
		r = rights_drop(err);
	if (r == 0)
		r = calls_filter(err);
	return r < 0 ? err_wrap(err, r, "enter the sandbox") : 0;
}
