/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container mounts - mounts of a container, and their treatment when it moves
 *
 *     volume      moves. Its files are captured at the same instant as the layer (R2). The
 *                 container at the destination gets an unnamed volume of its own, which is
 *                 removed with it
 *     tmpfs       moves. It is memory, and CRIU carries it
 *     bind mount  stays. It is refused, unless it lies in a directory that the operator has
 *                 declared to be the same on all edge servers (`shared`).
 *
 * Docker has several settings for each (Binds, Mounts, Tmpfs, Volumes). "Mounts" in its description
 * of a container has the results of all.
 */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct container_service;
struct docker_engine;
struct err;

#define CONTAINER_VOLUMES_MAX 16
#define CONTAINER_PATH_MAX    512 /* of a path in a container, with its NUL */

/**
 * container_mounts_for_service() - Ask for the mounts of a session's first container
 * @host:	HostConfig, changed in place
 * @service:	Says which
 *
 * Return: 0, -EINVAL if an entry makes no sense, or -ENOMEM
 */
int container_mounts_for_service(json_t *host, const struct container_service *service);

/**
 * container_mounts_clone() - In a copy of a configuration, ask for volumes of its own
 * @config:	Copy of the configuration in @inspect, changed in place
 * @inspect:	The engine's description of the container
 *
 * Volumes of every setting become empty volumes without a name. No other container there can have
 * them, and the engine removes them with the container.
 *
 * Return: 0, or -ENOMEM
 */
int container_mounts_clone(json_t *config, const json_t *inspect);

/**
 * container_mounts_check() - Judge the mounts of a configuration that is to be used on this host
 * @findings:	Array to which findings are appended
 * @config:	The engine's Config
 * @host:	and HostConfig, after container_mounts_clone()
 * @shared:	Directories that are the same on all edge servers, NULL-terminated; or NULL
 */
void container_mounts_check(json_t *findings, const json_t *config, const json_t *host,
			    const char *const *shared);

/**
 * container_mounts_check_volumes() - Judge the volumes that a container has on this host
 * @findings:	Array to which findings are appended
 * @engine:	Asked about each
 * @inspect:	Its description of the container
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int container_mounts_check_volumes(json_t *findings, struct docker_engine *engine,
				   const json_t *inspect, struct err *err);

/**
 * container_mounts_check_closed() - Check that mounts which cannot be written have the engine's
 * paths
 * @findings:	Array to which findings are appended
 * @inspect:	The engine's description of the container, which runs
 *
 * A path through a link of the image leads to another directory. The destination looks for the
 * mount at its path, and would refuse a checkpoint with the mount at another one.
 */
void container_mounts_check_closed(json_t *findings, const json_t *inspect);

/**
 * container_mounts_volume() - The next volume of a container, in the engine's order
 * @inspect:	The engine's description of the container
 * @index:	Begin with 0; moved on
 *
 * Return: an object with Destination (in the container), Source (on the host) and Name, borrowed;
 * NULL after the last one
 */
const json_t *container_mounts_volume(const json_t *inspect, size_t *index);

/**
 * container_mounts_shared() - Whether a path is one of the @shared directories, or in one of them
 *
 * Return: false if it is not, or leads out of it by ".."
 */
bool container_mounts_shared(const char *const *shared, const char *path);
