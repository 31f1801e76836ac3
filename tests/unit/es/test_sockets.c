/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sockets of a process: those that cannot move, and those with something unread. Here our own.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "es/container/check.h"
#include "es/container/sockets.h"
#include "es/engine/docker_engine.h"
#include "es/system/hurry.h"

/** address() - Port @port of an IPv4 address */
static struct sockaddr_in address(const char *ip, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	return a;
}

/** bound() - A socket bound to an address; its port is set if it was 0 */
static int bound(int type, struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	int one = 1;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)a, sizeof(*a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)a, &len), 0);
	return fd;
}

/** found() - What is found of our sockets must be one thing with this text, or nothing */
static void found(const char *own, const char *text)
{
	const pid_t self = getpid();
	json_t *findings = json_array();
	json_t *networks = json_pack("{s:{s:s}}", "bridge", "IPAddress", own);

	container_sockets_check(findings, &self, 1, networks);
	assert_int_equal(json_array_size(findings), text ? 1 : 0);
	if (text)
		assert_non_null(strstr(json_text(json_array_get(findings, 0), "what", NULL), text));
	json_decref(networks);
	json_decref(findings);
}

static void test_mptcp(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

	(void)state;
	if (fd < 0) {
		print_message("SKIP: this kernel has no MPTCP, or it is switched off\n");
		skip();
	}
	found("172.17.0.2", "has an MPTCP socket");
	close(fd);
	found("172.17.0.2", NULL);
}

/* 127.0.0.2 stands for an address that the copy will not have; the test says that it is no loopback's. */
static void test_bound(void **state)
{
	struct sockaddr_in any = address("0.0.0.0", 0);
	struct sockaddr_in loop = address("127.0.0.1", 0);

	(void)state;
	auto_close int a = bound(SOCK_DGRAM, &any);
	auto_close int b = bound(SOCK_STREAM, &loop);
	assert_true(a >= 0 && b >= 0);
	found("172.17.0.2", NULL);
	/* bound to all and to the container's own: cannot be told apart at the copy */
	loop.sin_port = any.sin_port;
	auto_close int c = bound(SOCK_DGRAM, &loop);
	assert_true(c >= 0);
	found("172.17.0.2", NULL);
	found("127.0.0.1", "bound to that port of all addresses");
}

static void test_unread(void **state)
{
	const pid_t self = getpid();
	struct sockaddr_in a = address("127.0.0.1", 0);
	pid_t first = 0;
	uint64_t bytes;
	char byte;

	(void)state;
	auto_close int to = bound(SOCK_DGRAM, &a);
	assert_int_equal(container_sockets_unread(&self, 1, HURRY_MS, &first, &bytes), 0);
	/* also an empty one */
	assert_int_equal(sendto(to, "", 0, 0, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(container_sockets_unread(&self, 1, HURRY_MS, &first, &bytes), 1);
	assert_int_equal(first, self);
	assert_true(bytes > 0);
	assert_int_equal(sendto(to, "more", 4, 0, (struct sockaddr *)&a, sizeof(a)), 4);
	assert_int_equal(container_sockets_unread(&self, 1, HURRY_MS, &first, &bytes), 1);
	assert_int_equal(recv(to, &byte, 1, 0), 0);
	assert_int_equal(recv(to, &byte, 1, 0), 1);
	assert_int_equal(container_sockets_unread(&self, 1, HURRY_MS, &first, &bytes), 0);
}

/* Connections that it has opened are noted, those to its own ports from elsewhere are not: here both ends are ours. */
static void test_opened(void **state)
{
	const pid_t self = getpid();
	struct sockaddr_in a = address("127.0.0.1", 0);
	json_t *notes = json_array();

	(void)state;
	auto_close int server = bound(SOCK_STREAM, &a);
	assert_int_equal(listen(server, 1), 0);
	container_sockets_notes(notes, &self, 1);
	assert_int_equal(json_array_size(notes), 0);
	auto_close int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof(a)), 0);
	auto_close int taken = accept(server, NULL, NULL);
	assert_true(taken >= 0);
	container_sockets_notes(notes, &self, 1);
	assert_int_equal(json_array_size(notes), 1);
	assert_non_null(strstr(json_text(json_array_get(notes, 0), "what", NULL),
			       "is lost: 1 TCP connections"));
	json_decref(notes);
}

static bool count_one(void *ctx, const struct container_socket *s)
{
	size_t *count = ctx;

	assert_int_equal(s->pid, getpid());
	return ++*count < 3;
}

/* A socket with several descriptors is one; whoever looks may stop. */
static void test_each_once(void **state)
{
	const pid_t twice[] = { getpid(), getpid() };
	size_t before = 0;
	size_t count = 0;
	int pair[2];

	(void)state;
	(void)container_sockets_each(twice, 1, HURRY_MS, count_one, &before);
	assert_int_equal(before, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	auto_close int same = dup(pair[0]);
	assert_true(same >= 0);
	assert_int_equal(container_sockets_each(twice, 2, HURRY_MS, count_one, &count), 2);
	assert_int_equal(count, 2);
	auto_close int more = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_close int fourth = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(more >= 0 && fourth >= 0);
	count = 0;
	(void)container_sockets_each(twice, 2, HURRY_MS, count_one, &count);
	assert_int_equal(count, 3);
	close(pair[0]);
	close(pair[1]);
}

/* struct lingering - A process that closes its socket while we look at it */
struct lingering {
	int tell;
	int told;
	bool asked;
};

/* A TCP socket that lingers for days over what its peer does not read; closed when we say so. */
static _Noreturn void lingering_run(int tell, int told)
{
	const struct linger days = { .l_onoff = 1, .l_linger = 1000000 };
	struct sockaddr_in a = address("127.0.0.1", 0);
	int listener = bound(SOCK_STREAM, &a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char bytes[65536];
	char word;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (listen(listener, 1) < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    accept(listener, NULL, NULL) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &days, sizeof(days)) < 0)
		_exit(1);
	(void)close(listener);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	if (write(told, "r", 1) != 1 || read(tell, &word, 1) != 1 || close(fd) < 0 ||
	    write(told, "c", 1) != 1)
		_exit(1);
	(void)read(tell, &word, 1);
	_exit(0);
}

static bool have_it_closed(void *ctx, const struct container_socket *s)
{
	struct lingering *l = ctx;
	struct linger linger = { 0 };
	socklen_t len = sizeof(linger);
	char word;

	assert_int_equal(getsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, &len), 0);
	if (linger.l_linger && !l->asked) {
		l->asked = true;
		assert_int_equal(write(l->tell, "x", 1), 1);
		assert_int_equal(read(l->told, &word, 1), 1);
	}
	return true;
}

/* Whoever closes last would wait for what the peer never reads: it is us, and we do not. */
static void test_last_close(void **state)
{
	struct lingering l = { 0 };
	int tell[2];
	int told[2];
	char word;

	(void)state;
	assert_int_equal(pipe(tell), 0);
	assert_int_equal(pipe(told), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		lingering_run(tell[0], told[1]);
	l.tell = tell[1];
	l.told = told[0];
	assert_int_equal(read(told[0], &word, 1), 1);
	(void)alarm(20); /* ends the test, and so the wait */
	assert_true(container_sockets_each(&child, 1, HURRY_MS, have_it_closed, &l) >= 2);
	(void)alarm(0);
	assert_true(l.asked);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (int i = 0; i < 2; i++) {
		(void)close(tell[i]);
		(void)close(told[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_close), cmocka_unit_test(test_mptcp),
		cmocka_unit_test(test_bound),      cmocka_unit_test(test_unread),
		cmocka_unit_test(test_opened),     cmocka_unit_test(test_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
