/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Null device - the mask over files of a restored container
 *
 * runc masks files below /proc with a null device. When it creates a container, that is the container's own. When
 * it restores one, CRIU takes the /dev/null that it sees itself, which is the host's. Root in the container could
 * then change its mode and owner for the whole host, unless AppArmor or the like forbids it.
 */

/**
 * null_device_own() - Give this process, and the container that it restores, another /dev/null than the host's
 * @dir:	A directory; one called "null" is made in it, and stays there, empty
 *
 * For a process with one thread that is about to execute runc: it is in a mount namespace of its own
 * afterwards, which follows the host's.
 *
 * Return: 0, or negative error code
 */
int null_device_own(const char *dir);
