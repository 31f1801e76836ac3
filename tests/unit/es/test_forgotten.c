/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What CRIU forgets is noted and put back: here of our own sockets and threads, made anew in between.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "es/checkpoint/forgotten.h"

static void set(int fd, int level, int name, int value)
{
	assert_int_equal(setsockopt(fd, level, name, &value, sizeof(value)), 0);
}

static int get(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return len == 1 ? *(const uint8_t *)&value : value;
}

static char *note(void)
{
	const pid_t self = getpid();
	char *text = forgotten_note(&self, 1);

	assert_non_null(text);
	return text;
}

static size_t put_back(const char *text)
{
	const pid_t self = getpid();

	return forgotten_put_back(text, &self, 1);
}

/** anew() - Another socket of the kind under the same number */
static void anew(int fd, int domain, int type)
{
	int other = socket(domain, type | SOCK_CLOEXEC, 0);

	assert_true(other >= 0);
	assert_int_equal(dup2(other, fd), fd);
	close(other);
}

static void test_options(void **state)
{
	auto_close int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_close int udp = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	auto_free char *nothing = note();
	assert_string_equal(nothing, "");
	set(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
	set(tcp, IPPROTO_TCP, TCP_DEFER_ACCEPT, 7);
	set(tcp, IPPROTO_TCP, TCP_FASTOPEN, 5);
	set(udp, IPPROTO_IP, IP_RECVTTL, 1);
	set(udp, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	set(udp, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
	auto_free char *text = note();
	anew(tcp, AF_INET, SOCK_STREAM);
	anew(udp, AF_INET6, SOCK_DGRAM);
	assert_int_equal(get(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	assert_int_equal(put_back(text), 0);
	assert_int_equal(get(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	assert_int_equal(get(tcp, IPPROTO_TCP, TCP_DEFER_ACCEPT), 7);
	assert_int_equal(get(tcp, IPPROTO_TCP, TCP_FASTOPEN), 5);
	assert_int_equal(get(udp, IPPROTO_IP, IP_RECVTTL), 1);
	assert_int_equal(get(udp, SOL_SOCKET, SO_TIMESTAMPNS), 1);
	assert_int_equal(get(udp, IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 0);
	auto_free char *again = note();
	assert_string_equal(again, text);
}

static void test_groups(void **state)
{
	struct ip_mreqn group = { .imr_ifindex = 1 };
	struct ip_mreqn v4 = { .imr_ifindex = 1 };
	struct ipv6_mreq v6 = { .ipv6mr_interface = 1 };

	(void)state;
	auto_close int a = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	auto_close int b = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(inet_pton(AF_INET, "239.1.2.3", &group.imr_multiaddr), 1);
	assert_int_equal(inet_pton(AF_INET6, "ff02::1:2345", &v6.ipv6mr_multiaddr), 1);
	if (setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
	    setsockopt(b, IPPROTO_IPV6, IPV6_JOIN_GROUP, &v6, sizeof(v6)) < 0) {
		print_message("SKIP: no multicast on the loopback interface here\n");
		skip();
	}
	v4.imr_address.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(setsockopt(a, IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof(v4)), 0);
	auto_free char *text = note();
	assert_non_null(strstr(text, " 0 lo ef010203\n"));
	assert_non_null(strstr(text, " 41 lo ff020000000000000000000000012345\n"));
	assert_non_null(strstr(text, "outgoing "));
	anew(a, AF_INET, SOCK_DGRAM);
	anew(b, AF_INET6, SOCK_DGRAM);
	auto_free char *none = note();
	assert_string_equal(none, "");
	assert_int_equal(put_back(text), 0);
	/* they are members: they cannot join again, but leave */
	assert_int_equal(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)), -1);
	assert_int_equal(setsockopt(b, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &v6, sizeof(v6)), 0);
}

/** struct second - A second thread */
struct second {
	pthread_mutex_t lock;
	pid_t tid;
};

static void *second_run(void *ctx)
{
	struct second *s = ctx;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_SEQ_CST);
	(void)pthread_mutex_lock(&s->lock); /* until the test is through */
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* A thread is found by its own number; one that is not there is passed over. */
static void test_cpus_of_thread(void **state)
{
	struct second s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread;
	cpu_set_t all;
	cpu_set_t now;
	char text[80];
	pid_t tid;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	if (!CPU_ISSET(0, &all)) {
		print_message("SKIP: not on the first CPU\n");
		skip();
	}
	(void)pthread_mutex_lock(&s.lock);
	assert_int_equal(pthread_create(&thread, NULL, second_run, &s), 0);
	while (!(tid = __atomic_load_n(&s.tid, __ATOMIC_SEQ_CST)))
		(void)sched_yield();
	(void)snprintf(text, sizeof(text), "thread %d %d 01\nthread %d %d 01\n", (int)getpid(),
		       (int)forgotten_number(getpid(), tid), (int)getpid(), 0x7fffffff);
	assert_int_equal(put_back(text), 1);
	assert_int_equal(sched_getaffinity(tid, sizeof(now), &now), 0);
	assert_int_equal(CPU_COUNT(&now), 1);
	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_true(CPU_EQUAL(&now, &all));
	(void)pthread_mutex_unlock(&s.lock);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_cpus(void **state)
{
	cpu_set_t all;
	cpu_set_t one;
	cpu_set_t now;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	if (CPU_COUNT(&all) < 2) {
		print_message("SKIP: one CPU only\n");
		skip();
	}
	CPU_ZERO(&one);
	for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	auto_free char *text = note();
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_non_null(strstr(text, "thread "));
	assert_int_equal(put_back(text), 0);
	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_true(CPU_EQUAL(&now, &one));
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

/* What a peer may write: other processes, other options, nonsense. Nothing of it is heeded. */
static void test_hostile(void **state)
{
	static const char *const lines[] = {
		"thread 1 1 01\n",
		"thread %d %d \n",
		"thread %d %d zz\n",
		"thread %d %d 00\n",
		"thread %d 999999999 01\n",
		"thread -1 -1 01\n",
		"option 1 %d 2 1 6 6 18 5\n",
		"option %d %d 2 1 6 0 19 1\n",  /* IP_TRANSPARENT */
		"option %d %d 2 1 6 1 33 99\n", /* SO_RCVBUFFORCE */
		"option %d %d 2 2 17 0 12 1\n", /* it is no such socket */
		"option %d -5 2 1 6 6 18 5\n",
		"option %d 99999999999999999999 2 1 6 6 18 5\n",
		"member %d %d 2 1 6 0 lo ef010203ef010203\n",
		"member %d %d 2 1 6 0 lo xyz\n",
		"member %d %d 2 1 6 0 nowhere ef010203\n",
		"outgoing %d %d 2 1 6 7 lo\n",
		"\n",
		"nonsense\n",
		"option",
	};
	char line[1024];

	(void)state;
	auto_close int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *at = lines[i];
		size_t len = 0;
		int n = 0;

		/* the first number is ours, the second the socket's, or ours */
		for (; *at; at++) {
			if (at[0] != '%') {
				line[len++] = *at;
				continue;
			}
			len += (size_t)snprintf(line + len, sizeof(line) - len, "%d",
						n++ && *lines[i] != 't' ? tcp : (int)getpid());
			at++;
		}
		line[len] = '\0';
		if (put_back(line) != 1)
			fail_msg("heeded: %s", line);
	}
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(put_back(line), 1);
	assert_int_equal(put_back(""), 0);
	auto_free char *text = note();
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options), cmocka_unit_test(test_groups),
		cmocka_unit_test(test_cpus),    cmocka_unit_test(test_cpus_of_thread),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
