/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Null device - what a restored container's masked files are
 *
 * runc masks files below /proc with a null device. When it creates a container, that is the container's own. When it
 * restores one, it has CRIU take the /dev/null of where CRIU runs, which is the host's: root in the
 * container could then change mode and owner of it for the whole host, unless AppArmor or the like forbids it.
 */

/**
 * null_device_own() - Have this process, and what it restores, see another /dev/null than the host
 * @dir:	A directory; one called "null" is made in it, and stays there, empty
 *
 * For a process with one thread that is about to execute runc: it is in a mount namespace of its own
 * afterwards, which follows the host's.
 *
 * Return: 0, or negative error code
 */
int null_device_own(const char *dir);
