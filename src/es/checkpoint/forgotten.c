/* SPDX-License-Identifier: Apache-2.0 */
#include "es/checkpoint/forgotten.h"

#include <fcntl.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "es/system/cgroup.h"

#define STATUS_SIZE 4096 /* the line of numbers is among the first */

/*
 * Options that any process may set of itself, with an int. IP_TRANSPARENT and TCP_CONGESTION are
 * left out: we may set values that the container may not.
 */
static const struct forgotten_option options[] = {
	{ SOL_SOCKET, SO_TIMESTAMP },
	{ SOL_SOCKET, SO_TIMESTAMPNS },
	{ SOL_SOCKET, SO_RXQ_OVFL },
	{ SOL_SOCKET, SO_ZEROCOPY },
	{ IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_TTL },
	{ IPPROTO_IP, IP_PKTINFO },
	{ IPPROTO_IP, IP_MTU_DISCOVER },
	{ IPPROTO_IP, IP_RECVERR },
	{ IPPROTO_IP, IP_RECVTTL },
	{ IPPROTO_IP, IP_RECVTOS },
	{ IPPROTO_IP, IP_MINTTL },
	{ IPPROTO_IP, IP_RECVORIGDSTADDR },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
	{ IPPROTO_IP, IP_MULTICAST_TTL },
	{ IPPROTO_IP, IP_MULTICAST_LOOP },
	{ IPPROTO_IP, IP_MULTICAST_ALL },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER },
	{ IPPROTO_IPV6, IPV6_RECVERR },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS },
	{ IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL },
	{ IPPROTO_TCP, TCP_KEEPCNT },
	{ IPPROTO_TCP, TCP_SYNCNT },
	{ IPPROTO_TCP, TCP_LINGER2 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ IPPROTO_TCP, TCP_FASTOPEN },
	{ IPPROTO_TCP, TCP_FASTOPEN_CONNECT },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT },
	{ IPPROTO_UDP, UDP_SEGMENT },
	{ IPPROTO_UDP, UDP_GRO },
};

size_t forgotten_options(const struct forgotten_option **to)
{
	*to = options;
	return ARRAY_SIZE(options);
}

bool forgotten_option_may(int level, int name)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].level == level && options[i].name == name)
			return true;
	return false;
}

pid_t forgotten_number(pid_t pid, pid_t tid)
{
	static const char key[] = "\nNSpid:";
	char path[64];
	char text[STATUS_SIZE];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	char *line = strstr(text, key);
	if (!line)
		return 0;
	line += strlen(key);
	line[strcspn(line, "\n")] = '\0';
	const char *last = strrchr(line, '\t');
	return last ? atoi(last + 1) : 0;
}

bool forgotten_cpus(pid_t pid, uint8_t cpus[FORGOTTEN_CPUS / 8])
{
	static const char *const files[2] = { "cpuset.effective_cpus", "cpuset.cpus.effective" };
	char text[4096] = "";
	char *end = text;

	memset(cpus, 0, FORGOTTEN_CPUS / 8);
	if (!cgroup_read(pid, "cpuset", files, text, sizeof(text)) || !*text) {
		auto_fclose FILE *all = fopen("/sys/devices/system/cpu/online", "re");
		if (!all || !fgets(text, sizeof(text), all))
			return false;
	}
	/* "0-3,8" */
	for (char *at = text; *at >= '0' && *at <= '9'; at = end + (*end == ',')) {
		unsigned long first = strtoul(at, &end, 10);
		unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;

		for (; first <= last && first < FORGOTTEN_CPUS; first++)
			cpus[first / 8] |= (uint8_t)(1u << first % 8);
	}
	return true;
}
