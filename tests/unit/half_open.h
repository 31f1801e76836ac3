/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Half-open connections for tests - as when a host is gone, and its reset has been lost
 */

#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/**
 * half_open_vanish() - Close a connected TCP socket without a word to the other end
 * @fd:		Socket, which is closed in any case
 *
 * A socket in repair mode sends nothing when it is closed. That takes CAP_NET_ADMIN.
 *
 * Return: whether this was possible
 */
static inline bool half_open_vanish(int fd)
{
	int on = 1;
	bool can = setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0;

	(void)close(fd);
	return can;
}
