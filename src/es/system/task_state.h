/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Task state - states of a process in which it cannot be checkpointed
 *
 * A task that is stopped (SIGSTOP, SIGTSTP ...) makes CRIU hang: the kernel does not allow to seize
 * a stopped task of a frozen group. A traced task already has another tracer.
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

/** task_name() - The kernel's name of a process, printable; "?" if it is gone */
void task_name(char to[64], pid_t pid);
