/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Forgotten - properties that CRIU does not carry: noted at the source, put back in the replica
 *
 * These are the CPUs that a thread may run on, some options of sockets, and their multicast groups.
 * The source notes them shortly before the freeze, so they cost no frozen time. The destination
 * puts them back from outside when the replica runs, before it gets authority. They travel as a
 * file beside CRIU's images, with these lines:
 *
 *     thread PROCESS THREAD MASK                     CPUs, a hexadecimal number, the first is bit 0;
 *     option SOCKET LEVEL NAME VALUE                 setsockopt(2) with an int;
 *     member SOCKET LEVEL INTERFACE GROUP            a multicast group, in hexadecimal;
 *     outgoing SOCKET LEVEL INTERFACE                where its multicast datagrams leave.
 *
 * SOCKET is PROCESS DESCRIPTOR DOMAIN TYPE PROTOCOL; processes and threads have the numbers that
 * they see themselves. A peer writes the file, so only processes of the replica are touched, and
 * only with options that any process may set of itself; a line that does not fit is skipped.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FORGOTTEN_FILE     "forgotten"
#define FORGOTTEN_MAX      (256u << 10) /* bytes of it; further ones are lost */
#define FORGOTTEN_LINE_MAX 512
#define FORGOTTEN_THREADS  16384 /* of a container; the rest runs on any CPU */

/** struct forgotten_option - An option that is carried */
struct forgotten_option {
	int level;
	int name;
};

/** forgotten_options() - All of them. Return: how many */
size_t forgotten_options(const struct forgotten_option **to);

/** forgotten_option_may() - Whether an option is one of them */
bool forgotten_option_may(int level, int name);

/**
 * forgotten_note() - Note the properties of these processes that CRIU does not carry
 * @pids, @count: From container_pids()
 *
 * Return: the text, to be freed, "" if there is nothing; NULL without memory
 */
char *forgotten_note(const pid_t *pids, size_t count);

/**
 * forgotten_put_back() - Put the noted properties back into these processes
 * @text:	From the source
 * @pids, @count: From container_pids(), of the replica
 *
 * Return: number of lines that could not be applied
 */
size_t forgotten_put_back(const char *text, const pid_t *pids, size_t count);

/** forgotten_number() - The number that a task sees of itself: the last of "NSpid:". 0: it is gone */
pid_t forgotten_number(pid_t pid, pid_t tid);

#define FORGOTTEN_CPUS 1024 /* as the C library counts */
#define FORGOTTEN_HEX  (FORGOTTEN_CPUS / 4 + 1)

/** forgotten_cpus() - The CPUs that a container has, all that its control group gives it. Return: whether known */
bool forgotten_cpus(pid_t pid, uint8_t cpus[FORGOTTEN_CPUS / 8]);
