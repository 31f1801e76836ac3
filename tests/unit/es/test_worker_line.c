/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Worker line: a worker that has fallen cannot fill our table of descriptors, nor keep us waiting
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "es/worker/line.h"

#define PASSED_MAX 64

/** open_count() - Descriptors that this process has */
static size_t open_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	assert_int_equal(closedir(dir), 0);
	return n;
}

/** send_with() - Send bytes with so many copies of a descriptor */
static void send_with(int line, const void *bytes, size_t len, int fd, size_t count)
{
	union {
		char room[CMSG_SPACE(PASSED_MAX * sizeof(int))];
		struct cmsghdr align;
	} passing = { 0 };
	struct iovec part = { (void *)(uintptr_t)bytes, len };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count) {
		m.msg_control = passing.room;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		for (size_t i = 0; i < count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(line, &m, MSG_NOSIGNAL), len);
}

/** received() - Receive a frame with nothing in it. Return: descriptors that are left open of it */
static size_t received(int line, bool wanted)
{
	uint8_t bytes[WORKER_BYTES_MAX];
	enum worker_kind kind;
	size_t before = open_count();
	static const struct worker_wait wait = { .ms = 1000, .cancel_fd = -1 };
	size_t left;
	size_t len;
	int passed = -1;

	assert_int_equal(
		worker_line_receive(line, &wait, &kind, bytes, &len, wanted ? &passed : NULL, NULL),
		0);
	assert_int_equal(kind, WORKER_WANT);
	assert_int_equal(len, 0);
	left = open_count() - before;
	assert_int_equal(left, passed >= 0);
	if (passed >= 0)
		(void)close(passed);
	return left;
}

static void test_descriptors(void **state)
{
	static const uint32_t head[] = { WORKER_WANT, 0 };
	static const struct {
		size_t first;  /* descriptors with the first half of the head */
		size_t second; /* with the other one */
		bool wanted;
		size_t left;
	} rows[] = {
		{ 0, 0, true, 0 },          { 1, 0, true, 1 },  { 2, 0, true, 1 },
		{ PASSED_MAX, 0, true, 1 }, { 1, 1, true, 1 },  { 0, 2, true, 1 },
		{ 1, 0, false, 0 },         { 2, 2, false, 0 }, { 0, 1, false, 0 },
	};
	int line[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		send_with(line[0], &head[0], sizeof(head[0]), line[0], rows[i].first);
		send_with(line[0], &head[1], sizeof(head[1]), line[0], rows[i].second);
		assert_int_equal(received(line[1], rows[i].wanted), rows[i].left);
	}
	(void)close(line[0]);
	(void)close(line[1]);
}

/* Sends a frame byte by byte, for longer than anybody waits, until the line ends. */
static void *drip_run(void *arg)
{
	static const uint32_t head[] = { WORKER_BYTES, 1000 };
	const int *line = arg;
	uint8_t byte = 0;

	(void)send(*line, head, sizeof(head), MSG_NOSIGNAL);
	while (send(*line, &byte, 1, MSG_NOSIGNAL) == 1)
		(void)poll(NULL, 0, 5);
	return NULL;
}

/* A frame has its time in all: one that comes byte by byte is not waited for longer. */
static void test_drip(void **state)
{
	static const struct worker_wait wait = { .ms = 50, .cancel_fd = -1 };
	uint8_t bytes[WORKER_BYTES_MAX];
	enum worker_kind kind;
	pthread_t thread;
	size_t len;
	int line[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
	assert_int_equal(pthread_create(&thread, NULL, drip_run, &line[0]), 0);
	assert_int_equal(worker_line_receive(line[1], &wait, &kind, bytes, &len, NULL, NULL),
			 -ETIMEDOUT);
	(void)close(line[1]);
	(void)pthread_join(thread, NULL);
	(void)close(line[0]);
}

/* Cancelling ends each wait: for a silent worker, a talkative one, and one that does not read. */
static void test_cancel(void **state)
{
	uint8_t bytes[WORKER_BYTES_MAX] = { 0 };
	struct worker_wait wait = { .ms = -1, .cancel_fd = eventfd(1, EFD_CLOEXEC) };
	enum worker_kind kind;
	size_t len;
	int line[2];
	int r = 0;

	(void)state;
	assert_true(wait.cancel_fd >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
	assert_int_equal(worker_line_receive(line[1], &wait, &kind, bytes, &len, NULL, NULL),
			 -ECANCELED);
	assert_int_equal(worker_line_send(line[0], WORKER_WANT, NULL, 0, -1, NULL, NULL), 0);
	assert_int_equal(worker_line_receive(line[1], &wait, &kind, bytes, &len, NULL, NULL),
			 -ECANCELED);
	for (int i = 0; i < 100 && r == 0; i++)
		r = worker_line_send(line[0], WORKER_BYTES, bytes, sizeof(bytes), -1, &wait, NULL);
	assert_int_equal(r, -ECANCELED);
	(void)close(line[0]);
	(void)close(line[1]);
	(void)close(wait.cancel_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_drip),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
