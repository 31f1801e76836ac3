/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * containerd - where a container's layer lies, if the engine keeps images in containerd's store
 *
 * The Engine API tells no directories of such containers. The mounts of a running container tell
 * them. For a container that was made, but never started, only containerd knows: each has a
 * snapshot under its id. containerd is asked by gRPC: an HTTP/2 request with a protobuf message,
 * and the status in the trailers.
 */

#include <limits.h>

struct err;

/**
 * containerd_upper() - Find the writable directory of a container's layer
 * @to:		Set to its path
 * @exec_root:	Of the engine: it starts a containerd of its own there, or uses the system's
 * @id:		Id of the container
 * @err:	Filled in on failure
 *
 * Blocks for 10 s at most.
 *
 * Return: 0, -ENOTSUP if there is no containerd or the layer is no overlay, or another negative
 * error code
 */
int containerd_upper(char to[PATH_MAX], const char *exec_root, const char *id, struct err *err);
