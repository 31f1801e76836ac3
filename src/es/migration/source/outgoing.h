/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Outgoing - state of a migration that only the source has; inner header of source/ and of paper.c
 */

#include <stdbool.h>

#include "es/checkpoint/checkpoint.h"
#include "es/files/layer.h"
#include "es/migration/common/migration.h"

struct image_saving; /* in source/image.c */
struct memory_base;

/**
 * struct outgoing - The source's side of one migration
 * @layer_stats:	of all trees, from the copy before the cut on
 * @earlier:	checkpoint of the pre-copied memory (stop-and-copy), or NULL
 * @base:	of @earlier
 * @checkpoint:	the cut's, or NULL
 * @forgotten:	from forgotten_note(), or NULL
 * @puts_back:	the destination puts back what CRIU forgets
 * @probed:	the destination has measured the link
 * @departure:	directory of the image that is being sent, "" if there is none
 * @away:	of a recovery: the engine does not answer
 * @kept:	of a recovery, directory of the memory; otherwise ""
 * @saving:	the engine saves the image, NULL if it does not
 */
struct outgoing {
	struct layer_stats layer_stats;
	struct checkpoint *earlier;
	struct memory_base *base;
	struct checkpoint *checkpoint;
	char *forgotten;
	bool puts_back;
	bool probed;
	char departure[MIGRATION_DIR_MAX];
	bool away;
	char kept[PATH_MAX];
	struct image_saving *saving;
};
