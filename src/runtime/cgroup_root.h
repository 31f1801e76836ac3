/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cgroup root - path of a container's control group, as runc will derive it from the engine's wish
 *
 * With version 2 CRIU puts a restored container into the group in which it was dumped, unless it is told another one.
 * That group is the old container's. On another host it is a directory without limits, without a filter of devices,
 * unknown to systemd. On the same host it may be frozen, and ends with the old container.
 */

#include <limits.h>
#include <stdbool.h>

#define CGROUP_ROOT_MAX PATH_MAX /* bytes of a path with its end; a longer one is refused */

/**
 * cgroup_root_of() - The path of a container's group in the hierarchy of version 2
 * @to:		Set to it, from the hierarchy's root
 * @wanted:	"linux.cgroupsPath" of the container's configuration
 * @systemd:	runc is told --systemd-cgroup: @wanted is "SLICE:PREFIX:NAME"
 *
 * A slice lies in others: a-b.slice is /a.slice/a-b.slice. Without one it is system.slice.
 *
 * Return: 0, -EINVAL for a path that runc would refuse, too, or that is no single word of CRIU's configuration,
 * or -ENAMETOOLONG
 */
int cgroup_root_of(char to[CGROUP_ROOT_MAX], const char *wanted, bool systemd);
