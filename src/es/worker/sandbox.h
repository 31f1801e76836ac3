/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sandbox - what stands between a file worker and the host (R16)
 *
 * A file worker handles names and bytes that containers and peers wrote. Should a check of ours be
 * wrong one day, or a library have a hole, there is nothing to reach: an empty root, no process but
 * itself, no network, no program to execute, capabilities over files only, and a filter of system
 * calls. Directories come as descriptors of mounts of their own (file_worker.h), out of which no
 * ".." leads.
 *
 * sandbox.c is where capabilities are given up and a filter is made. Others know these libraries
 * for what they can tell only: container/grant.c names of capabilities, seccomp_filter.c numbers of
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
