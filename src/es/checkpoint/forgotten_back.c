/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Forgotten back - the destination's side: a peer's lines, put into effect, see checkpoint/forgotten.h
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/text.h"
#include "es/checkpoint/forgotten.h"
#include "es/system/hurry.h"

/** struct thread - A thread, and the number that it sees of itself */
struct thread {
	pid_t number;
	pid_t tid;
};

/** struct copy - The restored processes, and the numbers that they see of themselves */
struct copy {
	const pid_t *pids;
	pid_t *numbers;
	size_t count;
	struct thread *threads; /* sorted by their numbers; NULL: not looked up yet */
	size_t threads_count;
	uint8_t cpus[FORGOTTEN_CPUS / 8];
	bool cpus_known;
};

/** struct socket_name - SOCKET in a line */
struct socket_name {
	int process;
	int descriptor;
	int domain;
	int type;
	int protocol;
};

#define SOCKET_FORMAT    "%d %d %d %d %d "
#define SOCKET_FIELDS(n) &(n).process, &(n).descriptor, &(n).domain, &(n).type, &(n).protocol
#define SOCKET_COUNT     5

/** process_find() - The process that sees this number of itself. Return: 0: none */
static pid_t process_find(const struct copy *c, int number)
{
	for (size_t i = 0; i < c->count; i++)
		if (number > 0 && c->numbers[i] == number)
			return c->pids[i];
	return 0;
}

static int thread_compare(const void *a, const void *b)
{
	const struct thread *x = a;
	const struct thread *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/** threads_add() - Note the threads of a process */
static void threads_add(struct copy *c, pid_t pid)
{
	char path[64];
	const struct dirent *entry;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	while (tasks && c->threads_count < FORGOTTEN_THREADS && (entry = readdir(tasks))) {
		pid_t tid = atoi(entry->d_name);
		pid_t number = tid > 0 ? forgotten_number(pid, tid) : 0;

		if (number)
			c->threads[c->threads_count++] = (struct thread){ number, tid };
	}
	if (tasks)
		(void)closedir(tasks);
}

/**
 * thread_find() - The thread that sees this number of itself. Return: 0: none
 *
 * The first call looks up all threads: a peer may ask for very many of very many threads.
 */
static pid_t thread_find(struct copy *c, int number)
{
	const struct thread key = { .number = number };

	if (!c->threads) {
		c->threads = calloc(FORGOTTEN_THREADS, sizeof(*c->threads));
		for (size_t i = 0; c->threads && i < c->count; i++)
			threads_add(c, c->pids[i]);
		if (c->threads)
			qsort(c->threads, c->threads_count, sizeof(*c->threads), thread_compare);
	}
	const struct thread *t = !c->threads ? NULL
					     : bsearch(&key, c->threads, c->threads_count,
						       sizeof(*c->threads), thread_compare);
	return t ? t->tid : 0;
}

/** thread_back() - "thread PROCESS THREAD MASK": of the CPUs, those that there are */
static bool thread_back(struct copy *c, const char *line)
{
	uint8_t cpus[FORGOTTEN_CPUS / 8];
	char hex[FORGOTTEN_HEX];
	int process;
	int thread;
	cpu_set_t set;

	if (!c->cpus_known || sscanf(line, "thread %d %d %256s", &process, &thread, hex) != 3)
		return false;
	size_t len = strlen(hex) / 2;
	pid_t tid = process == thread ? process_find(c, process) : thread_find(c, thread);
	if (!tid || len > sizeof(cpus) || hex_decode(cpus, len, hex) < 0)
		return false;
	CPU_ZERO(&set);
	for (size_t i = 0; i < len * 8; i++)
		if (cpus[len - 1 - i / 8] & c->cpus[i / 8] & 1u << i % 8)
			CPU_SET(i, &set);
	return CPU_COUNT(&set) > 0 && sched_setaffinity(tid, sizeof(set), &set) == 0;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

/** socket_open() - Our copy of a socket, if it is still the same. Return: descriptor, or -1 */
static int socket_open(const struct copy *c, const struct socket_name *name)
{
	pid_t pid = process_find(c, name->process);

	auto_close int process = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (process < 0 || name->descriptor < 0)
		return -1;
	auto_close int fd = (int)syscall(SYS_pidfd_getfd, process, name->descriptor, 0);
	if (fd < 0 || option(fd, SO_DOMAIN) != name->domain || option(fd, SO_TYPE) != name->type ||
	    option(fd, SO_PROTOCOL) != name->protocol)
		return -1;
	return TAKE_FD(fd);
}

static bool option_back(const struct copy *c, const char *line)
{
	struct socket_name name;
	int level;
	int which;
	int value;

	if (sscanf(line, "option " SOCKET_FORMAT "%d %d %d", SOCKET_FIELDS(name), &level, &which,
		   &value) != SOCKET_COUNT + 3 ||
	    !forgotten_option_may(level, which))
		return false;
	auto_close int fd = socket_open(c, &name);
	return fd >= 0 && setsockopt(fd, level, which, &value, sizeof(value)) == 0;
}

/** index_of() - The number of an interface in a socket's network. Return: 0: there is none */
static int index_of(int fd, const char *interface)
{
	struct ifreq r = { .ifr_ifindex = 0 };

	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	return ioctl(fd, SIOCGIFINDEX, &r) == 0 ? r.ifr_ifindex : 0;
}

static bool member_back(const struct copy *c, const char *line)
{
	struct socket_name name;
	char interface[IFNAMSIZ];
	char hex[33];
	int level;
	struct ip_mreqn v4 = { .imr_ifindex = 0 };
	struct ipv6_mreq v6 = { .ipv6mr_interface = 0 };

	if (sscanf(line, "member " SOCKET_FORMAT "%d %15s %32s", SOCKET_FIELDS(name), &level,
		   interface, hex) != SOCKET_COUNT + 3)
		return false;
	auto_close int fd = socket_open(c, &name);
	int index = fd < 0 ? 0 : index_of(fd, interface);
	if (!index)
		return false;
	if (level == IPPROTO_IP && hex_decode(&v4.imr_multiaddr, 4, hex) == 0) {
		v4.imr_ifindex = index;
		return setsockopt(fd, level, IP_ADD_MEMBERSHIP, &v4, sizeof(v4)) == 0;
	}
	if (level != IPPROTO_IPV6 || hex_decode(&v6.ipv6mr_multiaddr, 16, hex) < 0)
		return false;
	v6.ipv6mr_interface = (unsigned int)index;
	return setsockopt(fd, level, IPV6_JOIN_GROUP, &v6, sizeof(v6)) == 0;
}

static bool outgoing_back(const struct copy *c, const char *line)
{
	struct socket_name name;
	char interface[IFNAMSIZ];
	int level;
	struct ip_mreqn v4 = { .imr_ifindex = 0 };

	if (sscanf(line, "outgoing " SOCKET_FORMAT "%d %15s", SOCKET_FIELDS(name), &level,
		   interface) != SOCKET_COUNT + 2)
		return false;
	auto_close int fd = socket_open(c, &name);
	int index = fd < 0 ? 0 : index_of(fd, interface);
	if (!index)
		return false;
	v4.imr_ifindex = index;
	if (level == IPPROTO_IP)
		return setsockopt(fd, level, IP_MULTICAST_IF, &v4, sizeof(v4)) == 0;
	return level == IPPROTO_IPV6 &&
	       setsockopt(fd, level, IPV6_MULTICAST_IF, &index, sizeof(index)) == 0;
}

static bool line_back(struct copy *c, const char *line)
{
	return thread_back(c, line) || option_back(c, line) || member_back(c, line) ||
	       outgoing_back(c, line);
}

size_t forgotten_put_back(const char *text, const pid_t *pids, size_t count)
{
	struct copy c = { .pids = pids, .count = count };
	char line[FORGOTTEN_LINE_MAX];
	size_t failed = 0;

	auto_free pid_t *numbers = calloc(count + 1, sizeof(*numbers));
	if (!numbers || !count)
		return 1;
	c.numbers = numbers;
	for (size_t i = 0; i < count; i++)
		numbers[i] = forgotten_number(pids[i], pids[i]);
	c.cpus_known = forgotten_cpus(pids[0], c.cpus);
	struct hurry *hurry = hurry_begin(HURRY_MS);
	while (*text) {
		size_t len = strcspn(text, "\n");

		(void)snprintf(line, sizeof(line), "%.*s",
			       len < sizeof(line) ? (int)len : (int)sizeof(line) - 1, text);
		failed += len >= sizeof(line) || hurry_over(hurry) || !line_back(&c, line);
		text += len + (text[len] == '\n');
	}
	free(c.threads);
	hurry = hurry_end(hurry);
	return failed;
}
