/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static struct {
	unsigned int disk, memory; /* calls until the fault, 0: none */
	enum faults_how how;
	int code;
	bool failing; /* what follows fails, too */
	bool crashed;
	bool struck;
} now;

void faults_disk(unsigned int n, enum faults_how how, int code)
{
	now.disk = n;
	now.how = how;
	now.code = code;
}

void faults_memory(unsigned int n)
{
	now.memory = n;
}

bool faults_off(void)
{
	bool struck = now.struck;

	now.disk = 0;
	now.memory = 0;
	now.failing = false;
	now.crashed = false;
	now.struck = false;
	return struck;
}

bool faults_crashed(void)
{
	return now.crashed;
}

/* Whether this call fails. @first: it is the one that was asked for */
static bool strikes(bool *first)
{
	*first = false;
	if (!now.failing && now.disk && --now.disk == 0) {
		*first = true;
		now.struck = true;
		now.failing = now.how != FAULTS_ONCE;
		now.crashed = now.how == FAULTS_CRASH || now.how == FAULTS_TORN;
		errno = now.code;
		return true;
	}
	if (now.failing)
		errno = now.code;
	return now.failing;
}

static bool memory_fails(void)
{
	if (!now.memory || --now.memory)
		return false;
	now.struck = true;
	errno = ENOMEM;
	return true;
}

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	bool first;

	if (fd <= STDERR_FILENO || !strikes(&first))
		return __real_write(fd, bytes, len);
	if (!first || (now.how != FAULTS_SHORT && now.how != FAULTS_TORN))
		return -1;
	ssize_t half = __real_write(fd, bytes, (len + 1) / 2);
	if (now.how == FAULTS_SHORT) { /* the rest of the same write does not fit, all others do */
		now.failing = false;
		now.disk = 1;
		now.how = FAULTS_ONCE;
		return half;
	}
	errno = now.code;
	return -1;
}

int __wrap_fsync(int fd)
{
	bool first;

	return strikes(&first) ? -1 : __real_fsync(fd);
}

int __wrap_ftruncate64(int fd, off_t len)
{
	bool first;

	return strikes(&first) ? -1 : __real_ftruncate64(fd, len);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	bool first;

	return strikes(&first) ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
	bool first;

	return strikes(&first) ? -1 : __real_unlinkat(dir, name, flags);
}

int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	bool first;
	va_list ap;

	va_start(ap, flags);
	mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	/* one that only opens fails with descriptors, not with disks; a crash stops it, too */
	if ((flags & O_ACCMODE) != O_RDONLY && strikes(&first))
		return -1;
	return __real_openat64(dir, name, flags, mode);
}

void *__wrap_malloc(size_t size)
{
	return memory_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return memory_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return memory_fails() ? NULL : __real_realloc(old, size);
}
