/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Movement - where the device is at a time: along a trace, or at random through an area
 *
 * Both are described in docs/mobility.md. Nothing here does I/O or reads a clock.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct movement; /* opaque */

#define MOVEMENT_ROWS_MAX   100000
#define MOVEMENT_METRES_MAX 1e6
#define MOVEMENT_TEXT_MAX   160

/** struct place - A point of the plane, in metres */
struct place {
	double x;
	double y;
};

/**
 * struct movement_waypoints - Random waypoint
 * @width, @height: The area is from (0, 0) to (@width, @height), in metres; above 0
 * @speed_min, @speed_max: Metres a second; above 0, or the device would slow down for ever
 * @pause_ms:	Rest at each waypoint
 * @seed:	Makes the way
 */
struct movement_waypoints {
	double width;
	double height;
	double speed_min;
	double speed_max;
	uint64_t pause_ms;
	uint64_t seed;
};

/**
 * movement_trace() - Move along a trace
 * @ret:	Set on success only; the caller owns it, see movement_free()
 * @name:	Name of the file, for errors; copied
 * @text:	Its text: "time_s,x_m,y_m" a line, times growing; a first line that says just that,
 *		empty lines and lines that begin with # are allowed
 * @err:	Filled in on failure: file, line, what is wrong
 *
 * Between two lines the device goes straight and evenly; before the first and after the last it
 * stands still.
 *
 * Return: 0, -EINVAL for a mistake in the text, or -ENOMEM
 */
int movement_trace(struct movement **ret, const char *name, const char *text, struct err *err);

/**
 * movement_random() - Move at random from waypoint to waypoint
 * @ret:	Set on success only; the caller owns it, see movement_free()
 * @plan:	See struct movement_waypoints; copied
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a plan outside the limits, or -ENOMEM
 */
int movement_random(struct movement **ret, const struct movement_waypoints *plan, struct err *err);

/** movement_at() - Where the device is @ms after the start; time must not go back between calls */
struct place movement_at(struct movement *m, uint64_t ms);

/** movement_text() - Description, one line for a person. Return: valid as long as @m */
const char *movement_text(const struct movement *m);

/** movement_free() - Release it; @m may be NULL. Return: NULL, always */
struct movement *movement_free(struct movement *m);

AUTO_DEFINE(movement)
