/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container files - open files and mounts that CRIU cannot dump, or not restore
 *
 * Each of these made a migration fail late: after bytes were sent and the container was frozen.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

/*
 * Bytes of a deleted file that is still open, which CRIU carries with the memory while the tasks are
 * frozen; longer ones are refused
 */
#define CONTAINER_GHOST_MAX (256u << 20)

/**
 * container_file_check() - Judge an open file of a process
 * @findings:	Appended to
 * @pid:	Process
 * @name:	The kernel's name of it, printable
 * @dir:	Its /proc/PID/fd
 * @number:	Name of the descriptor there
 * @link:	Target of the descriptor, as the kernel tells it; may be truncated
 */
void container_file_check(json_t *findings, pid_t pid, const char *name, int dir,
			  const char *number, const char *link);

/**
 * container_mqueues_check() - Look for POSIX message queues, open or not
 * @findings:	Appended to
 * @init:	First process of the container
 */
void container_mqueues_check(json_t *findings, pid_t init);

/**
 * container_mountinfo_check() - Look for mounts that CRIU cannot read: those of many layers
 * @findings:	Appended to
 * @init:	First process of the container
 */
void container_mountinfo_check(json_t *findings, pid_t init);

/**
 * container_semaphores() - How many sets of System V semaphores a container has
 * @init:	First process of the container
 *
 * CRIU carries them, but not the adjustments that are undone when a process ends (SEM_UNDO). They
 * cannot be seen from outside.
 *
 * Return: how many, at most 65,536
 */
size_t container_semaphores(pid_t init);
