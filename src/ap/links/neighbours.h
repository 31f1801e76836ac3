/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Neighbours - where the other programs of the deployment are, as the configuration names them
 */

#include <stddef.h>

/** struct ap_neighbour - Another node; both strings are borrowed for the call they are given to */
struct ap_neighbour {
	const char *name;
	const char *address; /* "IP:PORT" */
};

/** struct ap_neighbours - List of @count neighbours */
struct ap_neighbours {
	const struct ap_neighbour *at;
	size_t count;
};
