/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bed of a migration controller that has no engine: a listener, and tools that only tell a version
 */

#include <uv.h>

#include "es/migration/controller.h"

/**
 * struct controller_bed - A controller on a loop of its own
 * @address:	Where other edge servers bring containers
 * @offered:	How many offers came; each is refused with "that will do", for good
 * @failed:	How many arrivals failed that the session waited for
 * @cancels:	Before it refuses, it lets go of an older arrival of the session, as the node does
 */
struct controller_bed {
	uv_loop_t loop;
	struct migration_controller *mc;
	char dir[4][96];
	char address[32];
	int offered;
	int failed;
	bool cancels;
};

/** controller_bed_open() - Make it, with files below @dir, and @slots for migrations that come in */
void controller_bed_open(struct controller_bed *b, const char *dir, struct tls_context *tls,
			 uint32_t slots);

/** controller_bed_shut() - Close it and all that is open on its loop */
void controller_bed_shut(struct controller_bed *b);
