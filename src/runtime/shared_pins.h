/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shared pins - a container gets the shared directory that was meant, whatever happens to its name
 *
 * A container may mount files below a directory that the operator shares. Another container that can write there may
 * put a symbolic link in their place between our check and the engine's mount. The engine would follow it to any
 * directory of the host. So just before runc runs, each such source is opened without following a link. The mount
 * that it names is cloned to a path of our own, and the bundle names this path. The path is removed when runc is
 * done; the container keeps its mount.
 *
 * base/shared_list.h says which directories are shared. The clones are beside it, below /run/baton/pins: PID-N, as
 * long as that process runs.
 */

#include <limits.h>

#include <jansson.h>

#define SHARED_PINS_MAX 64 /* sources of one container; with more it is refused */

/**
 * struct shared_pins - Pins of one container
 * @dir:	where the pins are
 * @list:	from shared_list_read(); owned
 * @count:	pins that are there
 * @failed:	the source that could not be pinned, or empty
 */
struct shared_pins {
	char dir[PATH_MAX];
	char *list;
	unsigned count;
	char failed[PATH_MAX];
};

/**
 * shared_pins_begin() - Read which directories are shared, and remove pins of processes that have ended
 * @pins:	Filled in; end with shared_pins_end() also after an error
 * @staged:	The staging root. List and pins are beside it
 *
 * Return: 0, also where nothing is shared; or an error of shared_list_read()
 */
int shared_pins_begin(struct shared_pins *pins, const char *staged);

/**
 * shared_pins_config() - Pin the mounts of a configuration from shared directories
 * @pins:	From shared_pins_begin()
 * @config:	OCI configuration. "source" of its mounts is changed
 *
 * Return: 0, -ELOOP if a link is in the way, -E2BIG, or another negative error code; @pins->failed says where
 */
int shared_pins_config(struct shared_pins *pins, json_t *config);

/** shared_pins_end() - Remove the pins; the container keeps its mounts */
void shared_pins_end(struct shared_pins *pins);
