/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Measure - the size of a container's data: its layer, and the volumes that are removed with it
 */

#include <stdbool.h>
#include <stdint.h>

struct docker_engine;
struct err;

#define CONTAINER_MEASURE_MAX 200000 /* files and directories that are looked at: a second or two */

/**
 * struct container_size - Size of a container's data
 * @bytes:	Of regular files, holes not counted
 * @whole:	False: there are more than CONTAINER_MEASURE_MAX files, and @bytes is less than the size
 */
struct container_size {
	uint64_t bytes;
	bool whole;
};

/**
 * container_measure() - Measure a container's layer and unnamed volumes
 * @to:		Set on success only
 * @de:		Engine
 * @id:		Container, by id or name
 * @exec_root:	Of the engine
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOENT if there is no such container, or another negative error code
 */
int container_measure(struct container_size *to, struct docker_engine *de, const char *id,
		      const char *exec_root, struct err *err);
