/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "es/container/check.h"
#include "es/container/findings.h"
#include "es/engine/docker_engine.h"
#include "es/system/hurry.h"
#include "es/system/task_state.h"

#define SEEN_SLOTS (2 * CONTAINER_SOCKETS_MAX) /* a power of two */
#define BOUND_MAX  1024                        /* bound sockets that are compared with each other */

/* --- all of them ------------------------------------------------------------------------------ */

/** struct walk - Sockets that were seen, by their inode */
struct walk {
	ino_t seen[SEEN_SLOTS]; /* hashed, 0: free */
	size_t count;
	size_t files; /* open files of any kind */
	bool stop;
	struct hurry *hurry;
	bool (*look)(void *ctx, const struct container_socket *s);
	void *ctx;
};

/** first_time() - Whether a socket was not seen before. It is from now on */
static bool first_time(struct walk *w, ino_t inode)
{
	size_t at = (size_t)(inode * 0x9e3779b97f4a7c15ull >> 40) % SEEN_SLOTS;

	while (w->seen[at]) {
		if (w->seen[at] == inode)
			return false;
		at = (at + 1) % SEEN_SLOTS;
	}
	w->seen[at] = inode;
	w->count++;
	return true;
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

/** socket_look() - Take a copy of a descriptor and have it looked at */
static void socket_look(struct walk *w, int process, pid_t pid, int number, ino_t inode)
{
	auto_close int fd = (int)syscall(SYS_pidfd_getfd, process, number, 0);
	if (fd < 0)
		return; /* closed meanwhile */
	const struct container_socket s = {
		.pid = pid,
		.number = number,
		.fd = fd,
		.domain = option(fd, SOL_SOCKET, SO_DOMAIN),
		.type = option(fd, SOL_SOCKET, SO_TYPE),
		.protocol = option(fd, SOL_SOCKET, SO_PROTOCOL),
		.listening = option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1,
		.inode = inode,
	};
	w->stop = s.domain >= 0 && !w->look(w->ctx, &s);
}

static void process_look(struct walk *w, pid_t pid)
{
	char path[64];
	struct stat st;
	const struct dirent *entry;

	auto_close int process = (int)syscall(SYS_pidfd_open, pid, 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = process < 0 ? NULL : opendir(path);
	while (dir && !w->stop && !hurry_over(w->hurry) && w->count < CONTAINER_SOCKETS_MAX &&
	       w->files++ < CONTAINER_OPEN_MAX && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
		    S_ISSOCK(st.st_mode) && st.st_ino && first_time(w, st.st_ino))
			socket_look(w, process, pid, atoi(entry->d_name), st.st_ino);
	if (dir)
		(void)closedir(dir);
}

size_t container_sockets_each(const pid_t *pids, size_t count, unsigned int ms,
			      bool (*look)(void *ctx, const struct container_socket *s), void *ctx)
{
	auto_free struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return CONTAINER_SOCKETS_MAX;
	w->look = look;
	w->ctx = ctx;
	w->hurry = hurry_begin(ms);
	for (size_t i = 0; i < count && !w->stop && w->count < CONTAINER_SOCKETS_MAX; i++)
		process_look(w, pids[i]);
	if (!w->stop && hurry_over(w->hurry))
		w->count = CONTAINER_SOCKETS_MAX;
	w->hurry = hurry_end(w->hurry);
	return w->count;
}

/* --- sockets that cannot be dumped, or not restored ------------------------------------------- */

/** union address - Address of a socket of any family */
union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage room;
};

/** struct bound - A socket that is bound to an IPv4 address, also by IPv6 */
struct bound {
	struct in_addr address;
	uint16_t port;
	int type;
	pid_t pid;
};

/** struct judging - Sockets being judged */
struct judging {
	json_t *findings;
	struct in_addr own[CONTAINER_ADDRESSES_MAX];
	size_t own_count;
	struct bound bound[BOUND_MAX];
	size_t bound_count;
	size_t mptcp;
};

size_t container_own_addresses(struct in_addr *to, size_t max, const json_t *networks)
{
	const char *name;
	json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)(uintptr_t)networks, name, value)
	{
		if (n < max && inet_pton(AF_INET, json_text(value, "IPAddress", NULL), &to[n]) == 1)
			n++;
	}
	return n;
}

static bool is_own(const struct judging *j, struct in_addr address)
{
	for (size_t i = 0; i < j->own_count; i++)
		if (j->own[i].s_addr == address.s_addr)
			return true;
	return false;
}

/**
 * keeps_address() - Whether CRIU binds a socket to its address again
 *
 * Connections are closed in the replica, and bound to nothing.
 */
static bool keeps_address(const struct container_socket *s)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (s->type != SOCK_STREAM || s->listening)
		return s->type == SOCK_STREAM || s->type == SOCK_DGRAM || s->type == SOCK_RAW;
	return getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

/** elsewhere() - Say that the replica will not have an address that a socket is bound to */
static void elsewhere(struct judging *j, const struct container_socket *s, const char *address)
{
	char name[64];

	task_name(name, s->pid);
	finding_add_now(j->findings, "have it bind its sockets to 0.0.0.0 or ::",
			"process %d (%s) has a socket bound to %s, which its copy will not have",
			(int)s->pid, name, address);
}

/**
 * bound_note() - Note an IPv4 address that a socket is bound to; judge others than general and own
 * ones
 */
static void bound_note(struct judging *j, const struct container_socket *s, struct in_addr address,
		       uint16_t port)
{
	char text[INET_ADDRSTRLEN] = "?";
	uint32_t host = ntohl(address.s_addr);

	if (j->bound_count < BOUND_MAX)
		j->bound[j->bound_count++] = (struct bound){ address, port, s->type, s->pid };
	if (host == INADDR_ANY || host >> 24 == IN_LOOPBACKNET || IN_MULTICAST(host) ||
	    host == INADDR_BROADCAST || is_own(j, address) ||
	    option(s->fd, IPPROTO_IP, IP_FREEBIND) == 1)
		return;
	elsewhere(j, s, inet_ntop(AF_INET, &address, text, sizeof(text)));
}

/** bound_note6() - The same of an IPv6 address */
static void bound_note6(struct judging *j, const struct container_socket *s,
			const struct in6_addr *address, uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "?";
	struct in_addr v4;

	memcpy(&v4, address->s6_addr + 12, sizeof(v4));
	if (IN6_IS_ADDR_V4MAPPED(address))
		bound_note(j, s, v4, port);
	else if (!IN6_IS_ADDR_UNSPECIFIED(address) && !IN6_IS_ADDR_LOOPBACK(address) &&
		 !IN6_IS_ADDR_MULTICAST(address) && option(s->fd, IPPROTO_IP, IP_FREEBIND) != 1)
		elsewhere(j, s, inet_ntop(AF_INET6, address, text, sizeof(text)));
}

static bool judge(void *ctx, const struct container_socket *s)
{
	struct judging *j = ctx;
	union address a = { 0 };
	socklen_t len = sizeof(a);
	char name[64];

	if (s->protocol == IPPROTO_MPTCP && !j->mptcp++) {
		task_name(name, s->pid);
		finding_add(j->findings,
			    "start a program in Go with GODEBUG=multipathtcp=0, and others without "
			    "MPTCP",
			    "process %d (%s) has an MPTCP socket, which CRIU cannot dump",
			    (int)s->pid, name);
	}
	if ((s->domain != AF_INET && s->domain != AF_INET6) || s->protocol == IPPROTO_MPTCP ||
	    !keeps_address(s) || getsockname(s->fd, &a.any, &len) < 0)
		return true;
	if (a.any.sa_family == AF_INET)
		bound_note(j, s, a.v4.sin_addr, a.v4.sin_port);
	else if (a.any.sa_family == AF_INET6)
		bound_note6(j, s, &a.v6.sin6_addr, a.v6.sin6_port);
	return true;
}

/**
 * clash_find() - Look for sockets of one port, bound to the container's own address and to all
 *
 * A socket bound to the container's own address is bound to all addresses in the replica, which has
 * another address (see `criu/mend.h`). Then both sockets would match, and a packet could reach the
 * wrong one.
 */
static void clash_find(const struct judging *j)
{
	for (size_t i = 0; i < j->bound_count; i++) {
		const struct bound *own = &j->bound[i];

		for (size_t k = 0; is_own(j, own->address) && k < j->bound_count; k++) {
			const struct bound *all = &j->bound[k];

			if (!own->port || all->port != own->port || all->type != own->type ||
			    all->address.s_addr != htonl(INADDR_ANY))
				continue;
			finding_add_now(j->findings, "have it bind one of them only",
					"process %d has a socket bound to port %u of the "
					"container's own address, which changes, and another "
					"bound to that port of all addresses",
					(int)own->pid, ntohs(own->port));
			return;
		}
	}
}

void container_sockets_check(json_t *findings, const pid_t *pids, size_t count,
			     const json_t *networks)
{
	auto_free struct judging *j = calloc(1, sizeof(*j));

	if (!j)
		return;
	j->findings = findings;
	j->own_count = container_own_addresses(j->own, CONTAINER_ADDRESSES_MAX, networks);
	if (container_sockets_each(pids, count, HURRY_MS, judge, j) >= CONTAINER_SOCKETS_MAX)
		finding_add_now(findings, "have it open fewer sockets",
				"its processes have %d sockets open, or more",
				CONTAINER_SOCKETS_MAX);
	clash_find(j);
}

/* --- losses ----------------------------------------------------------------------------------- */

/** struct opened - Connections that a container has opened itself */
struct opened {
	uint8_t listening[65536 / 8]; /* ports; the gateway connects to them again */
	bool counting;
	size_t count;
	pid_t first;
};

/** port_of() - The local port of a socket. Return: 0: none */
static uint16_t port_of(const struct container_socket *s)
{
	union address a = { 0 };
	socklen_t len = sizeof(a);

	if (getsockname(s->fd, &a.any, &len) < 0)
		return 0;
	return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

static bool opened_look(void *ctx, const struct container_socket *s)
{
	struct opened *o = ctx;
	union address peer;
	socklen_t len = sizeof(peer);
	uint16_t port;

	if ((s->domain != AF_INET && s->domain != AF_INET6) || s->type != SOCK_STREAM)
		return true;
	port = port_of(s);
	if (s->listening)
		o->listening[port / 8] |= (uint8_t)(1u << port % 8);
	else if (o->counting && !(o->listening[port / 8] >> port % 8 & 1) &&
		 getpeername(s->fd, &peer.any, &len) == 0 && !o->count++)
		o->first = s->pid;
	return true;
}

void container_sockets_notes(json_t *notes, const pid_t *pids, size_t count)
{
	auto_free struct opened *o = calloc(1, sizeof(*o));
	char name[64];

	if (!o)
		return;
	(void)container_sockets_each(pids, count, HURRY_MS, opened_look, o);
	o->counting = true;
	(void)container_sockets_each(pids, count, HURRY_MS, opened_look, o);
	if (!o->count)
		return;
	task_name(name, o->first);
	finding_add(notes, "have it connect again when a connection ends",
		    "is lost: %zu TCP connections that it has opened end at the copy; "
		    "process %d (%s) has one",
		    o->count, (int)o->first, name);
}

/* --- unread bytes ----------------------------------------------------------------------------- */

/** struct unread - Sockets with something in them */
struct unread {
	size_t count;
	pid_t first;
};

static bool unread_look(void *ctx, const struct container_socket *s)
{
	struct unread *u = ctx;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	bool inet = s->domain == AF_INET || s->domain == AF_INET6;

	if (s->domain != AF_NETLINK && !(inet && (s->type == SOCK_DGRAM || s->type == SOCK_RAW)))
		return true;
	if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN))
		return true;
	if (!u->count++)
		u->first = s->pid;
	return true;
}

/**
 * table_bytes() - Unread bytes of a table of the network that a process is in
 *
 * A socket itself tells only the memory in use, which is freed much later than it is read.
 */
static uint64_t table_bytes(pid_t pid, const char *table)
{
	char path[64];
	char line[256];
	uint64_t bytes = 0;
	size_t lines = 0;
	unsigned long one;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, table);
	auto_fclose FILE *f = fopen(path, "re");
	/* "12: 0100007F:270F 00000000:0000 07 00000000:00000300 ...": behind the state, to send and unread */
	while (f && lines++ < CONTAINER_SOCKETS_MAX && fgets(line, sizeof(line), f))
		if (sscanf(line, " %*d: %*s %*s %*x %*x:%lx", &one) == 1)
			bytes += one;
	return bytes;
}

size_t container_sockets_unread(const pid_t *pids, size_t count, unsigned int ms, pid_t *first,
				uint64_t *bytes)
{
	struct unread u = { .count = 0 };

	(void)container_sockets_each(pids, count, ms, unread_look, &u);
	if (u.count)
		*first = u.first;
	*bytes = !u.count ? 0 : table_bytes(pids[0], "udp") + table_bytes(pids[0], "udp6");
	return u.count;
}
