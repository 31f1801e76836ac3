/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Migration predict - about how long it would take to move a container, for `baton check`
 *
 * A page of arithmetic with constants measured in the lab (docs/containers.md). Compression and
 * machines differ: take it for the order of magnitude.
 */

#include <stdbool.h>
#include <stdint.h>

/**
 * struct migration_sizes - Measured sizes of a container and of the link
 * @memory:	bytes in use, without those of its tmpfs mounts
 * @tmpfs:	bytes on its tmpfs mounts
 * @files:	bytes of its layer and volumes
 * @image:	bytes of its image
 * @rate:	of the link, bytes per second, not zero
 * @rtt_us:	its round-trip time
 */
struct migration_sizes {
	uint64_t memory;
	uint64_t tmpfs;
	uint64_t files;
	uint64_t image;
	uint64_t rate;
	uint64_t rtt_us;
};

/** migration_predict_freeze() - How long its processes would stand still. Return: microseconds */
uint64_t migration_predict_freeze(const struct migration_sizes *s);

/**
 * migration_predict_total() - How long the move would take, from the handoff to the switch
 * @s:		Sizes
 * @image:	The image is not there and goes, too (C-Migr)
 *
 * Return: microseconds
 */
uint64_t migration_predict_total(const struct migration_sizes *s, bool image);
