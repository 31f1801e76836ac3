/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Upper directory - the engine's directory with the files that a container has written
 */

#include <limits.h>

#include <jansson.h>

struct err;

/**
 * upper_dir_find() - Find the writable directory of a container's layer
 * @to:		Set to its path
 * @inspect:	The engine's description of the container
 * @exec_root:	Of the engine
 * @err:	Filled in on failure
 *
 * The engine tells it. With containerd's image store it comes from the mount of a root that is in
 * use, or from containerd.
 *
 * Return: 0, or negative error code
 */
int upper_dir_find(char to[PATH_MAX], const json_t *inspect, const char *exec_root,
		   struct err *err);
