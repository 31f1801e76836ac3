/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Upper directory - where the engine keeps what a container has written
 */

#include <limits.h>

#include <jansson.h>

struct err;

/**
 * upper_dir_find() - Find the writable directory of a container's layer
 * @to:		Set to its path
 * @inspect:	What the engine says of the container
 * @exec_root:	Of the engine
 * @err:	Filled in on failure
 *
 * By the engine's word; with containerd's image store by the mount of a root that is in use, or by
 * containerd's word.
 *
 * Return: 0, or negative error code
 */
int upper_dir_find(char to[PATH_MAX], const json_t *inspect, const char *exec_root,
		   struct err *err);
