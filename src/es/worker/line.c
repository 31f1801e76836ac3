/* SPDX-License-Identifier: Apache-2.0 */
#include "es/worker/line.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"
#include "es/system/process.h"

/** struct head - Before the bytes of a frame */
struct head {
	uint32_t kind;
	uint32_t len;
};

/**
 * union passing - Room for one descriptor beside a frame, aligned as the kernel wants it
 *
 * Alignment leaves room for a second one: passed_take() closes it.
 */
union passing {
	char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/**
 * struct line - A socket, and until when it is waited for
 * @wait:	NULL: without an end
 * @end_us:	as of monotonic_us(); UINT64_MAX: no limit
 */
struct line {
	int fd;
	const struct worker_wait *wait;
	uint64_t end_us;
};

/** line_begin() - The time of a frame begins */
static struct line line_begin(int fd, const struct worker_wait *wait)
{
	bool limited = wait && wait->ms >= 0;

	return (struct line){ .fd = fd,
			      .wait = wait,
			      .end_us = limited ? monotonic_us() + (uint64_t)wait->ms * 1000
						: UINT64_MAX };
}

/** left_ms() - Time that is left, as poll() wants it: rounded up, and -1 for no limit */
static int left_ms(const struct line *line)
{
	uint64_t now = line->end_us == UINT64_MAX ? 0 : monotonic_us();

	if (line->end_us == UINT64_MAX)
		return -1;
	return now >= line->end_us ? 0 : (int)((line->end_us - now + 999) / 1000);
}

/**
 * line_wait() - Wait until the line can be read, or written
 *
 * Cancellation has precedence: a worker that never stops sending cannot prevent it.
 */
static int line_wait(const struct line *line, short events, struct err *err)
{
	struct pollfd fds[2] = { { .fd = line->fd, .events = events },
				 { .fd = line->wait ? line->wait->cancel_fd : -1,
				   .events = POLLIN } };

	for (;;) {
		int ready = poll(fds, 2, left_ms(line));

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return err_set(err, -errno, "wait for the file worker");
		if (fds[1].revents)
			return err_set(err, -ECANCELED, "the file worker was not waited for");
		if (ready == 0)
			return err_set(err, -ETIMEDOUT, "the file worker says nothing for %d ms",
				       line->wait ? line->wait->ms : -1);
		return 0;
	}
}

int worker_line_send(int fd, enum worker_kind kind, const void *bytes, size_t len, int pass,
		     const struct worker_wait *wait, struct err *err)
{
	const struct line line = line_begin(fd, wait);
	struct head head = { .kind = kind, .len = (uint32_t)len };
	struct iovec parts[2] = { { &head, sizeof(head) }, { (void *)(uintptr_t)bytes, len } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = len ? 2 : 1 };
	union passing passing;

	if (len > WORKER_BYTES_MAX)
		return err_set(err, -EMSGSIZE, "speak to the file worker");
	if (pass >= 0) {
		memset(&passing, 0, sizeof(passing));
		m.msg_control = passing.room;
		m.msg_controllen = sizeof(passing.room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(int));
	}
	while (m.msg_iovlen) {
		ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			int r = line_wait(&line, POLLOUT, err);

			if (r < 0)
				return r;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "speak to the file worker");
		m.msg_control = NULL;
		m.msg_controllen = 0;
		while (m.msg_iovlen && (size_t)n >= m.msg_iov->iov_len) {
			n -= (ssize_t)m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (m.msg_iovlen) {
			m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + n;
			m.msg_iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/** passed_take() - The first descriptor that came along, or -1; others are closed */
static int passed_take(struct msghdr *m)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(int));
			if (first < 0)
				first = fd;
			else
				(void)close(fd);
		}
	}
	return first;
}

/**
 * bytes_receive() - Wait for exactly so many bytes
 * @passed:	Set to a descriptor that comes with the first of them; NULL: there is no room for
 *		any, so the kernel closes what the other side passes
 */
static int bytes_receive(const struct line *line, void *bytes, size_t len, int *passed,
			 struct err *err)
{
	size_t got = 0;

	while (got < len) {
		bool room = passed && got == 0;
		union passing passing;
		struct iovec part = { (char *)bytes + got, len - got };
		struct msghdr m = { .msg_iov = &part,
				    .msg_iovlen = 1,
				    .msg_control = room ? passing.room : NULL,
				    .msg_controllen = room ? sizeof(passing.room) : 0 };
		int r = line_wait(line, POLLIN, err);

		if (r < 0)
			return r;
		ssize_t n = recvmsg(line->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_set(err, -errno, "listen to the file worker");
		if (n == 0)
			return err_set(err, -EPIPE, "the file worker has ended");
		if (room)
			*passed = passed_take(&m);
		got += (size_t)n;
	}
	return 0;
}

int worker_line_receive(int fd, const struct worker_wait *wait, enum worker_kind *kind, void *bytes,
			size_t *len, int *passed, struct err *err)
{
	const struct line line = line_begin(fd, wait);
	struct head head;
	int came = -1;
	int r = bytes_receive(&line, &head, sizeof(head), passed ? &came : NULL, err);
	auto_close int owned = came;

	if (r == 0 && head.len > WORKER_BYTES_MAX)
		r = err_set(err, -EPROTO, "the file worker sends %u bytes at once", head.len);
	if (r == 0)
		r = bytes_receive(&line, bytes, head.len, NULL, err);
	if (r < 0)
		return r;
	*kind = (enum worker_kind)head.kind;
	*len = head.len;
	if (passed)
		*passed = TAKE_FD(owned);
	return 0;
}
