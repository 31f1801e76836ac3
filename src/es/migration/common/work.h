/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Work directories, their free space, and clients of the engine
 */

#include <stdint.h>

struct docker_engine;
struct err;
struct migration_config;
struct migration_controller;

/**
 * migration_work_clean() - Remove a source's work directory
 *
 * A predecessor that was killed may have left a container frozen, in the cut or in the pre-copy of
 * memory, and a CRIU that will freeze it again: see checkpoint_clean().
 *
 * Return: 0, -ETIMEDOUT if somebody in it cannot be ended: it stays; or another negative error code
 */
int migration_work_clean(const struct migration_config *config, const char *path, struct err *err);

/** migration_space() - Is there room for @bytes of @what where @path is? Return: 0, or -ENOSPC */
int migration_space(const char *path, uint64_t bytes, const char *what, struct err *err);

/**
 * migration_engine() - A client of the engine, as patient as this host needs it
 * @ret:	Set on success only; the caller owns it, see docker_engine_free()
 * @mc:		Controller
 * @cancel_fd:	See docker_engine_new()
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int migration_engine(struct docker_engine **ret, const struct migration_controller *mc,
		     int cancel_fd, struct err *err);
