/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "es/migration/common/config.h"

/** migration_stage_name() - Name of a stage. Return: NULL if there are no more */
const char *migration_stage_name(enum migration_profile profile, size_t i);

/** migration_run() - A migration's thread: runs all stages, or undoes them, and tells the loop */
void *migration_run(void *migration);
