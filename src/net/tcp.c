/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define BULK_BYTES (16 << 20)

static void choose_congestion_control(int fd)
{
	char now[16] = "";
	socklen_t len = sizeof(now) - 1;

	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, now, &len) < 0)
		return;
	if (strcmp(now, "bbr") == 0 || strcmp(now, "reno") == 0)
		return;
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3) < 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

void tcp_tune(int fd, uint32_t dead_ms)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (dead_ms)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
	choose_congestion_control(fd);
}

void tcp_tune_bulk(int fd)
{
	int bytes = BULK_BYTES;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
}
