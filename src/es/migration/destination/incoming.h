/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Incoming - state of a migration that only the destination has; inner header of destination/ and of paper.c
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "es/container/grant.h"
#include "es/container/management.h"
#include "es/migration/common/migration.h"

struct image_arrival;

#define MIGRATION_CLOSED_MAX 3500 /* less than BENEATH_PATH_MAX, with the name of a profile */

/**
 * struct incoming - The destination's side of one migration
 * @offer_plan:	bytes of the plan in the offer
 * @engine_grant: grants of the engine here
 * @closed:	from container_grant_closed()
 * @ulimits:	as they were asked for
 * @containerd:	the engine has containerd's image store
 * @image_id:	the engine's id of the image, once it has come; "" before
 * @image_digest: by which the operator may trust it: "sha256:" and the digest of its configuration
 * @predicted_us: how long its way will take; 0: not predicted
 * @expected_us: the same, corrected by the errors of earlier predictions
 * @arrival:	the image as far as it has come, or NULL
 * @id:		of CT-y, "" if there is none
 * @staged:	the directory for the restore was made
 * @ahead:	directory for files that come before their place is there; @ahead_made: it was made
 * @received_us: when all was here
 */
struct incoming {
	char *offer_plan;
	struct container_engine_grant engine_grant;
	char closed[MIGRATION_CLOSED_MAX];
	json_t *ulimits;
	bool containerd;
	char image_id[80];
	char image_digest[80];
	uint64_t predicted_us;
	uint64_t expected_us;
	struct image_arrival *arrival;
	char id[CONTAINER_ID_SIZE];
	bool staged;
	char ahead[PATH_MAX];
	bool ahead_made;
	uint64_t received_us;
};
