/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/file_copy.h"

#include <linux/fs.h>
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "es/system/process.h"

#define COPY_AT_ONCE (1u << 20)

/** range_copy() - Copy one range of data in the fastest way of both file systems */
static int range_copy(int from, int to, off_t at, off_t end)
{
	bool by_range = true;

	while (at < end) {
		off_t in = at;
		off_t out = at;
		size_t want = end - at > COPY_AT_ONCE ? COPY_AT_ONCE : (size_t)(end - at);
		ssize_t n = by_range ? copy_file_range(from, &in, to, &out, want, 0) : -1;

		if (n < 0 || !by_range) {
			by_range = false;
			if (lseek(to, at, SEEK_SET) < 0)
				return -errno;
			in = at;
			n = sendfile(to, from, &in, want);
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0; /* it has become shorter: it will be copied again */
		at += n;
	}
	return 0;
}

int file_copy_data(int from, int to, off_t size, int cancel_fd, uint64_t *copied)
{
	off_t at = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, size) < 0)
		return -errno;
	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		int r;

		if (data < 0 && errno == ENXIO)
			return 0; /* a hole to the end */
		if (data < 0 || hole < 0)
			return -errno;
		if (hole > size)
			hole = size;
		if (cancelled(cancel_fd))
			return -ECANCELED;
		r = data < hole ? range_copy(from, to, data, hole) : 0;
		if (r < 0)
			return r;
		*copied += (uint64_t)(hole - data);
		at = hole > data ? hole : size;
	}
	return 0;
}
