/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Control groups version 2 - shields runc and CRIU from the host, or the host from them
 */

#include <stdbool.h>

/** cgroup_v2_alone() - Whether this host has control groups of version 2 only, as systemd's unified mode */
bool cgroup_v2_alone(void);

/**
 * cgroup_v2_step_aside() - Move this process where its mounts of version 2 change nothing for the host
 *
 * CRIU mounts version 2 while it dumps and while it restores, and gives no options. In the kernel's first
 * cgroup namespace such a mount takes nsdelegate, memory_recursiveprot and the like from the whole host, for
 * there is one set of them (criu#3029). In any other namespace it does not. So before runc is executed, its
 * process enters a namespace of its own, whose root is the host's root: all paths are the same there. The host
 * loses nothing, so nothing has to be restored, even if processes are killed or many work at a time.
 *
 * For a process with one thread, also between fork() and exec. Where version 1 is in use it does nothing.
 *
 * Return: 0, or negative error code
 */
int cgroup_v2_step_aside(void);
