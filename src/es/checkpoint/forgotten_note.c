/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Forgotten note - the source's side: look at threads and sockets, see checkpoint/forgotten.h
 *
 * Options with the value of a new socket are not noted. The kernel does not list the groups of a
 * socket. It lists the groups of its network, and tells of each whether a socket is in it.
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/text.h"
#include "es/checkpoint/forgotten.h"
#include "es/container/sockets.h"
#include "es/system/hurry.h"

#define GROUPS_MAX 64 /* of a network that are looked for; the rest is lost */

/** struct group - A multicast group in the container's network */
struct group {
	int level;
	int index; /* of its interface */
	char interface[IFNAMSIZ];
	uint8_t address[16]; /* of IPv4: the first four */
};

/** struct noting - Text being written */
struct noting {
	char *text;
	size_t len;
	struct group groups[GROUPS_MAX];
	size_t groups_count;
	uint8_t cpus[FORGOTTEN_CPUS / 8];
	bool cpus_known;
	size_t threads;
};

/** line_add() - Write a line, if it fits */
__attribute__((format(printf, 2, 3))) static void line_add(struct noting *n, const char *format,
							   ...)
{
	va_list ap;

	va_start(ap, format);
	int len = vsnprintf(n->text + n->len, FORGOTTEN_MAX - n->len, format, ap);
	va_end(ap);
	if (len > 0 && (size_t)len < FORGOTTEN_MAX - n->len)
		n->len += (size_t)len;
	n->text[n->len] = '\0';
}

/* --- threads ---------------------------------------------------------------------------------- */

/** thread_note() - Note the CPUs of a thread that may not run on all */
static void thread_note(struct noting *n, pid_t pid, pid_t tid)
{
	uint8_t cpus[FORGOTTEN_CPUS / 8] = { 0 };
	char hex[FORGOTTEN_HEX] = "";
	size_t at = 0;
	cpu_set_t set;

	if (!n->cpus_known || sched_getaffinity(tid, sizeof(set), &set) < 0)
		return;
	for (size_t i = 0; i < FORGOTTEN_CPUS; i++)
		if (CPU_ISSET(i, &set))
			cpus[i / 8] |= (uint8_t)(1u << i % 8);
	if (!memcmp(cpus, n->cpus, sizeof(cpus)))
		return;
	for (size_t i = sizeof(cpus); i-- > 0;)
		if (at || cpus[i])
			at += (size_t)snprintf(hex + at, sizeof(hex) - at, "%02x", cpus[i]);
	pid_t process = forgotten_number(pid, pid);
	pid_t thread = forgotten_number(pid, tid);
	if (process && thread)
		line_add(n, "thread %d %d %s\n", (int)process, (int)thread, hex);
}

static void threads_note(struct noting *n, pid_t pid)
{
	char path[64];
	const struct dirent *entry;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	while (tasks && n->threads < FORGOTTEN_THREADS && (entry = readdir(tasks)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
			n->threads++;
			thread_note(n, pid, atoi(entry->d_name));
		}
	if (tasks)
		(void)closedir(tasks);
}

/* --- groups of the network -------------------------------------------------------------------- */

/** groups_read4() - "2 eth0 : ..." and below it, indented, a group a line as the kernel has it in memory */
static void groups_read4(struct noting *n, pid_t pid)
{
	struct group g = { .level = IPPROTO_IP };
	char path[64];
	char line[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/net/igmp", (int)pid);
	auto_fclose FILE *f = fopen(path, "re");
	while (f && n->groups_count < GROUPS_MAX && fgets(line, sizeof(line), f)) {
		unsigned int address;

		if (*line != '\t')
			(void)sscanf(line, "%d %15s", &g.index, g.interface);
		else if (g.index && sscanf(line, " %8x", &address) == 1 &&
			 address != htonl(INADDR_ALLHOSTS_GROUP)) {
			memcpy(g.address, &address, sizeof(address));
			n->groups[n->groups_count++] = g;
		}
	}
}

/** groups_read6() - "2 eth0 ff02...", the address in 32 hexadecimal digits */
static void groups_read6(struct noting *n, pid_t pid)
{
	char path[64];
	char line[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/net/igmp6", (int)pid);
	auto_fclose FILE *f = fopen(path, "re");
	while (f && n->groups_count < GROUPS_MAX && fgets(line, sizeof(line), f)) {
		struct group g = { .level = IPPROTO_IPV6 };
		char hex[33];

		if (sscanf(line, "%d %15s %32s", &g.index, g.interface, hex) == 3 &&
		    hex_decode(g.address, sizeof(g.address), hex) == 0)
			n->groups[n->groups_count++] = g;
	}
}

/* --- sockets ---------------------------------------------------------------------------------- */

/** struct seen - A socket being noted, and a new one to compare it with */
struct seen {
	struct noting *n;
	const struct container_socket *s;
	char name[96]; /* as SOCKET in a line */
};

/** option_note() - Note an option if it differs from a new socket's */
static void option_note(const struct seen *seen, int fresh, const struct forgotten_option *o)
{
	int value = 0;
	int usual = 0;
	socklen_t len = sizeof(value);

	if (getsockopt(seen->s->fd, o->level, o->name, &value, &len) < 0)
		return;
	/* some are a byte of theirs */
	if (len == 1)
		value = *(const uint8_t *)&value;
	socklen_t usual_len = sizeof(usual);
	if (getsockopt(fresh, o->level, o->name, &usual, &usual_len) < 0)
		return;
	if (usual_len == 1)
		usual = *(const uint8_t *)&usual;
	if (value != usual)
		line_add(seen->n, "option %s %d %d %d\n", seen->name, o->level, o->name, value);
}

/** in_group() - Whether a socket has joined a group itself, from any source */
static bool in_group(const struct container_socket *s, const struct group *g)
{
	struct group_filter f = { .gf_interface = (uint32_t)g->index };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(f);

	memcpy(&v4.sin_addr, g->address, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, g->address, sizeof(v6.sin6_addr));
	if (g->level == IPPROTO_IP)
		memcpy(&f.gf_group, &v4, sizeof(v4));
	else
		memcpy(&f.gf_group, &v6, sizeof(v6));
	f.gf_numsrc = 0;
	return getsockopt(s->fd, g->level, MCAST_MSFILTER, &f, &len) == 0 &&
	       f.gf_fmode == MCAST_EXCLUDE && f.gf_numsrc == 0;
}

static void groups_note(const struct seen *seen)
{
	char hex[33];

	for (size_t i = 0; i < seen->n->groups_count; i++) {
		const struct group *g = &seen->n->groups[i];

		if ((g->level == IPPROTO_IPV6 && seen->s->domain != AF_INET6) ||
		    !in_group(seen->s, g))
			continue;
		hex_encode(hex, g->address, g->level == IPPROTO_IP ? 4 : 16);
		line_add(seen->n, "member %s %d %s %s\n", seen->name, g->level, g->interface, hex);
	}
}

/** interface_of() - The interface that has an IPv4 address. Return: whether it was found */
static bool interface_of(const struct seen *seen, struct in_addr address, char name[IFNAMSIZ])
{
	for (int index = 1; index <= GROUPS_MAX; index++) {
		struct ifreq r = { .ifr_ifindex = index };

		if (ioctl(seen->s->fd, SIOCGIFNAME, &r) < 0)
			continue;
		memcpy(name, r.ifr_name, IFNAMSIZ);
		r.ifr_addr.sa_family = AF_INET;
		if (ioctl(seen->s->fd, SIOCGIFADDR, &r) == 0 &&
		    ((const struct sockaddr_in *)(const void *)&r.ifr_addr)->sin_addr.s_addr ==
			    address.s_addr)
			return true;
	}
	return false;
}

/** outgoing_note() - Where its multicast datagrams leave, if it said so */
static void outgoing_note(const struct seen *seen)
{
	struct in_addr address = { 0 };
	socklen_t len = sizeof(address);
	struct ifreq r = { .ifr_ifindex = 0 };
	socklen_t index_len = sizeof(r.ifr_ifindex);
	char name[IFNAMSIZ];

	if (getsockopt(seen->s->fd, IPPROTO_IP, IP_MULTICAST_IF, &address, &len) == 0 &&
	    address.s_addr && interface_of(seen, address, name))
		line_add(seen->n, "outgoing %s %d %s\n", seen->name, IPPROTO_IP, name);
	if (seen->s->domain == AF_INET6 &&
	    getsockopt(seen->s->fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &r.ifr_ifindex, &index_len) ==
		    0 &&
	    r.ifr_ifindex && ioctl(seen->s->fd, SIOCGIFNAME, &r) == 0)
		line_add(seen->n, "outgoing %s %d %s\n", seen->name, IPPROTO_IPV6, r.ifr_name);
}

static bool socket_note(void *ctx, const struct container_socket *s)
{
	struct seen seen = { .n = ctx, .s = s };
	const struct forgotten_option *options;
	union {
		struct sockaddr any;
		struct sockaddr_storage room;
	} peer;
	socklen_t len = sizeof(peer);
	pid_t process;

	if (s->domain != AF_INET && s->domain != AF_INET6 && s->domain != AF_UNIX)
		return true;
	/* a connection is closed in the replica */
	if (s->type == SOCK_STREAM && getpeername(s->fd, &peer.any, &len) == 0)
		return true;
	process = forgotten_number(s->pid, s->pid);
	auto_close int fresh = socket(s->domain, s->type | SOCK_CLOEXEC, s->protocol);
	if (!process || fresh < 0)
		return true;
	(void)snprintf(seen.name, sizeof(seen.name), "%d %d %d %d %d", (int)process, s->number,
		       s->domain, s->type, s->protocol);
	size_t count = forgotten_options(&options);
	for (size_t i = 0; i < count; i++)
		if (options[i].level == SOL_SOCKET || s->domain != AF_UNIX)
			option_note(&seen, fresh, &options[i]);
	if (s->domain != AF_UNIX && s->type == SOCK_DGRAM) {
		groups_note(&seen);
		outgoing_note(&seen);
	}
	return true;
}

char *forgotten_note(const pid_t *pids, size_t count)
{
	auto_free struct noting *n = calloc(1, sizeof(*n));

	if (!n || !count)
		return n ? strdup("") : NULL;
	auto_free char *text = calloc(1, FORGOTTEN_MAX);
	if (!text)
		return NULL;
	n->text = text;
	n->cpus_known = forgotten_cpus(pids[0], n->cpus);
	for (size_t i = 0; i < count; i++)
		threads_note(n, pids[i]);
	groups_read4(n, pids[0]);
	groups_read6(n, pids[0]);
	(void)container_sockets_each(pids, count, HURRY_MS, socket_note, n);
	return strdup(n->text);
}
