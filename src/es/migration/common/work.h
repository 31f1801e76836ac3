/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Work directories, and the room there is for what comes into them
 */

#include <stdint.h>

struct err;
struct migration_config;

/**
 * migration_work_clean() - Remove a source's work directory
 *
 * A predecessor that was killed may have left a container frozen, in the cut or in the memory pass
 * ahead of it, and a CRIU that will freeze it again: see checkpoint_clean().
 *
 * Return: 0, -ETIMEDOUT if somebody in it cannot be ended: it stays; or another negative error code
 */
int migration_work_clean(const struct migration_config *config, const char *path, struct err *err);

/** migration_space() - Is there room for @bytes of @what where @path is? Return: 0, or -ENOSPC */
int migration_space(const char *path, uint64_t bytes, const char *what, struct err *err);
