/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container sockets - queries the sockets of a container's processes directly
 *
 * Each descriptor is copied (pidfd_getfd), and the copy is queried, as the process itself could
 * query it. So nothing that a container writes is parsed, no netlink module is needed, and a socket
 * may be in any network namespace. A copy lives for some microseconds. If the container closes its
 * own descriptor meanwhile, our close ends the socket: see system/hurry.h.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#define CONTAINER_SOCKETS_MAX   32768 /* of a container that are looked at; the rest is not */
#define CONTAINER_ADDRESSES_MAX 8     /* of its own; it is in one network */

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/**
 * struct container_socket - A socket
 * @pid:	a process that has it open
 * @number:	its descriptor there
 * @fd:		our copy of it, valid as long as the callback runs
 * @domain, @type, @protocol: as socket(2) takes them
 * @listening:	it is TCP, or the like, and listens
 * @inode:	the same for all descriptors of one socket
 */
struct container_socket {
	pid_t pid;
	int number;
	int fd;
	int domain;
	int type;
	int protocol;
	bool listening;
	ino_t inode;
};

/**
 * container_sockets_each() - Look at each socket of these processes once
 * @pids, @count: Processes, from container_pids()
 * @ms:		It takes no longer
 * @look:	Called for each; false: stop there
 * @ctx:	Handed to it
 *
 * Return: how many there were; CONTAINER_SOCKETS_MAX: or more, or the time was up
 */
size_t container_sockets_each(const pid_t *pids, size_t count, unsigned int ms,
			      bool (*look)(void *ctx, const struct container_socket *s), void *ctx);

/**
 * container_sockets_check() - Look for sockets that CRIU cannot dump, or not restore elsewhere
 * @findings:	Appended to
 * @pids, @count: Processes of the container
 * @networks:	the engine's description of its networks: their addresses are its own
 */
void container_sockets_check(json_t *findings, const pid_t *pids, size_t count,
			     const json_t *networks);

/**
 * container_sockets_notes() - Note losses of its sockets that an operator should know
 * @notes:	Appended to
 * @pids, @count: Processes of the container
 */
void container_sockets_notes(json_t *notes, const pid_t *pids, size_t count);

/**
 * container_sockets_unread() - Count sockets with unread data that would be lost, or make the dump
 * fail
 * @pids, @count: Processes of the container
 * @ms:		It takes no longer; sockets not looked at by then count as read
 * @first:	Set to a process with one, if there is one
 * @bytes:	Set to the number of unread bytes of datagrams in the container's network
 *
 * Datagrams that the service has not read yet are not carried, and a netlink socket with messages
 * cannot be dumped.
 *
 * Return: how many sockets have some
 */
size_t container_sockets_unread(const pid_t *pids, size_t count, unsigned int ms, pid_t *first,
				uint64_t *bytes);

/** container_own_addresses() - The container's own addresses. Return: how many were put into @to */
size_t container_own_addresses(struct in_addr *to, size_t max, const json_t *networks);
