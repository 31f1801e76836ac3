/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sandbox - separates a file worker from the host (R16)
 *
 * A file worker handles names and bytes that containers and peers wrote. If one of our checks is
 * wrong or a library is vulnerable, an attacker finds nothing in reach. The worker has an empty
 * root, no other process, no network, no program to execute, capabilities over files only, and a
 * filter of system calls. Directories come as descriptors of mounts of their own (file_worker.h);
 * no ".." leads out of them.
 *
 * sandbox.c gives up capabilities and makes the filter. Two other files use these libraries for
 * look-ups only: container/grant.c for names of capabilities, seccomp_filter.c for numbers of
 * system calls.
 */

struct err;

/**
 * sandbox_enter() - Lock this process in, for good
 * @err:	Filled in on failure; the process must end then
 *
 * The caller has one thread, and stands in mount, PID, network, IPC, UTS and cgroup namespaces of
 * its own. Open descriptors stay open. /proc shows this process alone.
 *
 * Return: 0, or negative error code
 */
int sandbox_enter(struct err *err);
