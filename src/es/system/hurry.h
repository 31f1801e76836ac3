/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Hurry - limits the time of looks at a container's descriptors
 *
 * The close of the last descriptor of a TCP socket waits for the peer as long as SO_LINGER says,
 * which the container can set to years. While we hold a copy, the container may close its own, and
 * then the last one is ours. A signal ends that wait. So the thread gets one every HURRY_TICK_MS
 * while it looks, and after a time it should stop looking.
 */

#include <stdbool.h>
#include <stdint.h>

#define HURRY_TICK_MS 20
#define HURRY_MS      1000 /* for a look that delays nobody */

struct hurry;

/** hurry_begin() - Begin to hurry for @ms, in this thread. Return: to be ended by the same thread; NULL without memory */
struct hurry *hurry_begin(unsigned int ms);

/** hurry_over() - Whether the time is up. @h may be NULL: then it is */
bool hurry_over(const struct hurry *h);

/** hurry_end() - Stop. @h may be NULL. Return: NULL */
struct hurry *hurry_end(struct hurry *h);
