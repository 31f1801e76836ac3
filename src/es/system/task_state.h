/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Task state - what a process is in, and cannot be checkpointed in
 *
 * A task that is stopped (SIGSTOP, SIGTSTP ...) makes CRIU hang: the kernel lets nobody seize a
 * stopped task of a frozen group. A task that is traced is somebody else's already.
 */

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct task_obstacle - Why a process cannot be checkpointed now, and what can be done about it
 */
struct task_obstacle {
	char what[160];
	const char *remedy;
};

/**
 * task_obstacle() - Look whether a process, or a thread of it, is stopped or traced
 * @pid:	Process, in our PID namespace
 * @to:		Filled in if so
 *
 * Return: whether it is; false if the process is gone
 */
bool task_obstacle(pid_t pid, struct task_obstacle *to);

/** task_name() - What the kernel calls a process, printable; "?" if it is gone */
void task_name(char to[64], pid_t pid);
