/* SPDX-License-Identifier: Apache-2.0 */
#include "base/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/files.h"

static int write_beside(int dir, const char *beside, const void *bytes, size_t len, mode_t mode,
			struct err *err)
{
	int r;

	(void)unlinkat(dir, beside, 0); /* the remains of a crash */
	auto_close int fd =
		openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_set(err, -errno, "create %s", beside);
	r = files_write(fd, bytes, len);
	if (r < 0)
		return err_set(err, r, "write %s, %zu bytes", beside, len);
	/* without this a rename may outlive a crash of the host, and the content not */
	return fsync(fd) < 0 ? err_set(err, -errno, "sync %s", beside) : 0;
}

static int put(int dir, const char *name, const void *bytes, size_t len, mode_t mode, bool fresh,
	       struct err *err)
{
	char beside[ATOMIC_FILE_NAME_MAX + sizeof(ATOMIC_FILE_SUFFIX)];
	int r;

	if (strlen(name) > ATOMIC_FILE_NAME_MAX)
		return err_set(err, -ENAMETOOLONG, "write %s", name);
	(void)snprintf(beside, sizeof(beside), "%s%s", name, ATOMIC_FILE_SUFFIX);
	r = write_beside(dir, beside, bytes, len, mode, err);
	if (r == 0 && (fresh ? renameat2(dir, beside, dir, name, RENAME_NOREPLACE)
			     : renameat(dir, beside, dir, name)) < 0)
		r = err_set(err, -errno, "rename %s to %s", beside, name);
	if (r < 0) {
		(void)unlinkat(dir, beside,
			       0); /* it takes room, and the lack of room may be the reason */
		return r;
	}
	return fsync(dir) < 0 ? err_set(err, -errno, "sync the directory of %s", name) : 0;
}

int atomic_file_write(int dir, const char *name, const void *bytes, size_t len, mode_t mode,
		      struct err *err)
{
	return put(dir, name, bytes, len, mode, false, err);
}

int atomic_file_create(int dir, const char *name, const void *bytes, size_t len, mode_t mode,
		       struct err *err)
{
	return put(dir, name, bytes, len, mode, true, err);
}
